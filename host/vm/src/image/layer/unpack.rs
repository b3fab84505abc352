//! From an archive to a folder.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{XattrFlags, fsetxattr};
use tar::{Archive, Entry, EntryType};

use super::attributes::{Attributes, id, may_set};
use super::meter::{Gauge, Plain, Raw, Stop};
use super::name::{Meaning, Parts, meaning, parts, shown};
use super::refusal::Refusal;
use super::tree::{self, Found, Tree};
use super::{Flavour, ImageLimits, compression};

/// How an archive writes what was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// As the OCI image specification: files named `.wh.NAME`.
    Image,
    /// As overlayfs: character devices 0/0, and a record [`OPAQUE`] at folders.
    Snapshot,
}

/// The record by which a snapshot's archive marks a folder that hides what lies below.
pub(crate) const OPAQUE: &str = "HM.opaque";

/// What to make of an archive.
#[derive(Debug, Clone)]
pub(crate) struct Unpacking {
    pub(crate) flavour: Flavour,
    /// Whether this process can give files to others.
    pub(crate) ownership: bool,
    pub(crate) limits: ImageLimits,
    pub(crate) dialect: Dialect,
    pub(crate) stop: Stop,
}

/// What was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// Of the archive before compression: `sha256:…`.
    pub(crate) diff_id: String,
    /// The layer hides all that lies below it.
    pub(crate) is_opaque: bool,
}

/// Unpacks an archive into an empty folder. Blocks.
///
/// # Errors
/// Why the layer is refused; the folder then holds rubbish.
pub(crate) fn unpack(
    archive: impl Read,
    into: &Path,
    how: &Unpacking,
) -> Result<Unpacked, Refusal> {
    let (raw, count) = Raw::new(archive, how.stop.clone());
    let gauge = Gauge::new(how.limits, count);
    let plain = Plain::new(compression::open(raw)?, gauge.clone());
    let mut archive = Archive::new(plain);
    let mut work = Work {
        tree: Tree::open(into).map_err(|source| written(b".", source))?,
        how,
        gauge: gauge.clone(),
        folders: BTreeMap::new(),
        sparse: 0,
        is_opaque: false,
    };
    let mut count = 0;
    gauge.begin_header();
    for entry in archive.entries().map_err(Refusal::reading)? {
        let mut entry = entry.map_err(Refusal::reading)?;
        gauge.end_header();
        count += 1;
        gauge.check_entries(count)?;
        work.entry(&mut entry)?;
        io::copy(&mut entry, &mut io::sink()).map_err(Refusal::reading)?;
        gauge.begin_header();
    }
    gauge.end_header();
    // Padding belongs to the digest.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(Refusal::reading)?;
    work.finish()?;
    Ok(Unpacked {
        diff_id: gauge.digest(),
        is_opaque: work.is_opaque,
    })
}

/// Reads the names in an archive until `visit` returns false. Blocks.
///
/// # Errors
/// As [`unpack`].
pub(crate) fn names(
    archive: impl Read,
    limits: ImageLimits,
    mut visit: impl FnMut(&[u8]) -> bool,
) -> Result<(), Refusal> {
    let (raw, count) = Raw::new(archive, Stop::default());
    let gauge = Gauge::new(limits, count);
    let plain = Plain::new(compression::open(raw)?, gauge.clone());
    let mut archive = Archive::new(plain);
    gauge.begin_header();
    for entry in archive.entries().map_err(Refusal::reading)? {
        let mut entry = entry.map_err(Refusal::reading)?;
        gauge.end_header();
        if !visit(&entry.path_bytes()) {
            break;
        }
        io::copy(&mut entry, &mut io::sink()).map_err(Refusal::reading)?;
        gauge.begin_header();
    }
    Ok(())
}

struct Work<'a> {
    tree: Tree,
    how: &'a Unpacking,
    gauge: Rc<Gauge>,
    /// Get their attributes last: filling a folder needs a mode and changes its time.
    folders: BTreeMap<Parts, Attributes>,
    /// Bytes of files beyond what the archive holds of them.
    sparse: u64,
    is_opaque: bool,
}

fn written(name: &[u8], source: io::Error) -> Refusal {
    Refusal::Write {
        entry: shown(name),
        source,
    }
}

impl Work<'_> {
    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<(), Refusal> {
        let name = entry.path_bytes().into_owned();
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        let parts = parts(&name)?;
        let Some((last, above)) = parts.split_last() else {
            return self.root(entry, &name);
        };
        let meaning = match self.how.dialect {
            Dialect::Image => meaning(last, &name)?,
            Dialect::Snapshot if is_whiteout(entry) => Meaning::Whiteout(last),
            Dialect::Snapshot => Meaning::Plain,
        };
        let folder = match meaning {
            Meaning::Ignored => return Ok(()),
            _ => self
                .tree
                .folder(above)
                .map_err(|error| Self::parent(&name, error))?,
        };
        match meaning {
            Meaning::Opaque => self
                .mark_opaque(folder.as_fd(), above.is_empty())
                .map_err(|error| written(&name, error)),
            Meaning::Whiteout(hidden) => self
                .white_out(folder.as_fd(), hidden)
                .map_err(|error| written(&name, error)),
            _ => self.plain(entry, &name, folder.as_fd(), &parts, last),
        }
    }

    /// Tells what is wrong with the folder of an entry.
    fn parent(name: &[u8], error: io::Error) -> Refusal {
        let why = match error.raw_os_error() {
            Some(libc::ELOOP) => "lies behind links that go in a circle",
            Some(libc::EEXIST) => "lies behind a link that leads nowhere",
            Some(libc::ENOTDIR) => "lies below what is no folder",
            _ => return written(name, error),
        };
        Refusal::Entry {
            entry: shown(name),
            why,
        }
    }

    /// The entry `./`, which many archives begin with.
    fn root<R: Read>(&mut self, entry: &mut Entry<'_, R>, name: &[u8]) -> Result<(), Refusal> {
        if entry.header().entry_type() != EntryType::Directory {
            return Err(Refusal::Entry {
                entry: shown(name),
                why: "would replace the layer's root",
            });
        }
        let (attributes, opaque) = attributes(entry, name)?;
        self.is_opaque |= opaque && self.how.dialect == Dialect::Snapshot;
        self.folders.insert(Parts::new(), attributes);
        Ok(())
    }

    fn plain<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        name: &[u8],
        folder: BorrowedFd<'_>,
        parts: &Parts,
        last: &OsStr,
    ) -> Result<(), Refusal> {
        let failed = |error| written(name, error);
        let kind = entry.header().entry_type();
        let (attributes, opaque) = attributes(entry, name)?;
        let ownership = self.how.ownership;
        if matches!(kind, EntryType::Block | EntryType::Char) {
            // Machines have their own `/dev`, and no other device works in them.
            return Ok(());
        }
        let (found, stat) = Tree::find(folder, last).map_err(failed)?;
        if kind == EntryType::Directory {
            if found != Found::Folder {
                self.tree.clear(folder, last, found).map_err(failed)?;
                tree::make_folder(folder, last).map_err(failed)?;
            }
            let hides = opaque && self.how.dialect == Dialect::Snapshot;
            if hides || found == Found::Whiteout {
                let made = tree::open_folder(folder, last).map_err(failed)?;
                self.mark_opaque(made.as_fd(), false).map_err(failed)?;
            }
            self.folders.insert(parts.clone(), attributes);
            return Ok(());
        }
        if kind == EntryType::Link {
            return self.hard_link(entry, name, folder, last, (found, stat.map(|s| s.st_ino)));
        }
        self.tree.clear(folder, last, found).map_err(failed)?;
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let mut file = File::from(tree::make_file(folder, last).map_err(failed)?);
                self.content(entry, name, &mut file)?;
                attributes.apply(file.as_fd(), ownership).map_err(failed)
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default();
                tree::make_link(folder, last, &target).map_err(failed)?;
                attributes
                    .apply_by_name(folder, last, true, ownership)
                    .map_err(failed)
            }
            EntryType::Fifo => {
                tree::make_pipe(folder, last).map_err(failed)?;
                attributes
                    .apply_by_name(folder, last, false, ownership)
                    .map_err(failed)
            }
            _ => Err(Refusal::Entry {
                entry: shown(name),
                why: "is of a kind that no file system has",
            }),
        }
    }

    fn content<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        name: &[u8],
        file: &mut File,
    ) -> Result<(), Refusal> {
        let failed = |error| written(name, error);
        let is_sparse = entry.header().entry_type() == EntryType::GNUSparse;
        // A snapshot's archive has holes as zeros, which pack well.
        let has_holes = is_sparse || self.how.dialect == Dialect::Snapshot;
        if is_sparse {
            self.sparse += entry.size();
            self.gauge.check_bytes(self.sparse)?;
        }
        let mut buffer = vec![0; 128 << 10];
        let mut length = 0;
        loop {
            let read = match entry.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Refusal::reading(error)),
            };
            let piece = &buffer[..read];
            length += read as u64;
            if has_holes && piece.iter().all(|byte| *byte == 0) {
                let skipped = i64::try_from(read).unwrap_or(i64::MAX);
                file.seek(SeekFrom::Current(skipped)).map_err(failed)?;
            } else {
                file.write_all(piece).map_err(failed)?;
            }
        }
        if has_holes {
            file.set_len(length).map_err(failed)?;
        }
        if length < entry.size() {
            // The reader takes the archive's end for the file's.
            let torn = io::Error::new(io::ErrorKind::UnexpectedEof, "it ends within a file");
            return Err(Refusal::Archive(torn));
        }
        Ok(())
    }

    fn hard_link<R: Read>(
        &mut self,
        entry: &Entry<'_, R>,
        name: &[u8],
        folder: BorrowedFd<'_>,
        last: &OsStr,
        found: (Found, Option<u64>),
    ) -> Result<(), Refusal> {
        let failed = |error| written(name, error);
        let refused = |why| Refusal::Entry {
            entry: shown(name),
            why,
        };
        let target = parts(&entry.link_name_bytes().unwrap_or_default())?;
        let Some((target, above)) = target.split_last() else {
            return Err(refused("is a hard link to the layer's root"));
        };
        let nowhere = || refused("is a hard link to what this layer does not have");
        let from = self.tree.resolve(above).map_err(|_| nowhere())?;
        let (kind, stat) = Tree::find(from.as_fd(), target).map_err(failed)?;
        match kind {
            Found::Nothing | Found::Whiteout => return Err(nowhere()),
            Found::Folder => return Err(refused("is a hard link to a folder")),
            // A file that is linked to itself stays.
            Found::Other if found.1.is_some() && found.1 == stat.map(|stat| stat.st_ino) => {
                return Ok(());
            }
            Found::Other => {}
        }
        self.tree.clear(folder, last, found.0).map_err(failed)?;
        tree::make_hard_link((from.as_fd(), target), (folder, last)).map_err(failed)
    }

    /// Hides a name of lower layers. What this layer itself has there stays, and hides it
    /// too.
    fn white_out(&mut self, folder: BorrowedFd<'_>, hidden: &OsStr) -> io::Result<()> {
        match Tree::find(folder, hidden)?.0 {
            Found::Nothing => tree::make_whiteout(folder, hidden),
            Found::Folder => {
                let found = tree::open_folder(folder, hidden)?;
                self.mark_opaque(found.as_fd(), false)
            }
            Found::Whiteout | Found::Other => Ok(()),
        }
    }

    fn mark_opaque(&mut self, folder: BorrowedFd<'_>, is_root: bool) -> io::Result<()> {
        if is_root {
            // Overlayfs does not look there; whoever stacks the layers does.
            self.is_opaque = true;
            return Ok(());
        }
        let name = self.how.flavour.opaque();
        Ok(fsetxattr(folder, name, b"y", XattrFlags::empty())?)
    }

    /// Gives folders what the archive says of them, those inside others first.
    fn finish(&mut self) -> Result<(), Refusal> {
        for (parts, attributes) in std::mem::take(&mut self.folders).into_iter().rev() {
            let name = parts.join(OsStr::new("/"));
            let failed = |error| written(name.as_encoded_bytes(), error);
            // A later entry may have replaced it, or one above.
            let Ok(folder) = self.tree.resolve(&parts) else {
                continue;
            };
            attributes
                .apply(folder.as_fd(), self.how.ownership)
                .map_err(failed)?;
        }
        Ok(())
    }
}

/// Overlayfs's own mark for a removed name.
fn is_whiteout<R: Read>(entry: &Entry<'_, R>) -> bool {
    let header = entry.header();
    header.entry_type() == EntryType::Char
        && header.device_major().ok().flatten() == Some(0)
        && header.device_minor().ok().flatten() == Some(0)
}

/// Reads what an archive says of an entry, and whether it marks a folder as hiding what
/// lies below.
fn attributes<R: Read>(
    entry: &mut Entry<'_, R>,
    name: &[u8],
) -> Result<(Attributes, bool), Refusal> {
    let header = entry.header();
    let number = |value: io::Result<u64>| value.map_err(Refusal::Archive);
    let mut attributes = Attributes {
        mode: header.mode().map_err(Refusal::Archive)?,
        uid: id(number(header.uid())?),
        gid: id(number(header.gid())?),
        // Before 1970 is written in a way that is rarely read.
        modified: (i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0), 0),
        extended: Vec::new(),
    };
    let mut is_opaque = false;
    for record in entry
        .pax_extensions()
        .map_err(Refusal::reading)?
        .into_iter()
        .flatten()
    {
        let record = record.map_err(Refusal::Archive)?;
        let Ok(key) = record.key() else { continue };
        if key.starts_with("GNU.sparse.") {
            return Err(Refusal::Entry {
                entry: shown(name),
                why: "is a sparse file in a form that is not read; make the archive without \
                      `--sparse`",
            });
        }
        match key {
            "mtime" => {
                if let Some(time) = record.value().ok().and_then(time) {
                    attributes.modified = time;
                }
            }
            OPAQUE => is_opaque = true,
            _ => {
                let extended = key
                    .strip_prefix("SCHILY.xattr.")
                    .filter(|name| may_set(name));
                if let Some(extended) = extended {
                    let value = record.value_bytes().to_vec();
                    attributes.extended.push((extended.to_owned(), value));
                }
            }
        }
    }
    Ok((attributes, is_opaque))
}

/// Reads seconds with a fraction.
fn time(text: &str) -> Option<(i64, u32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    match (whole.starts_with('-'), nanoseconds) {
        (true, 1..) => Some((seconds - 1, 1_000_000_000 - nanoseconds)),
        _ => Some((seconds, nanoseconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_with_fractions_are_read() {
        assert_eq!(time("12"), Some((12, 0)));
        assert_eq!(time("12.5"), Some((12, 500_000_000)));
        assert_eq!(time("-0.25"), Some((-1, 750_000_000)));
        assert_eq!(time("1.1234567899"), Some((1, 123_456_789)));
        assert_eq!(time("x"), None);
    }
}
