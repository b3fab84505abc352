//! A kept layer as an archive: the same layer is the same bytes everywhere.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{lgetxattr, llistxattr};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::digest;
use crate::image::{Flavour, OPAQUE};

/// Extended attributes that travel.
fn travels(name: &str) -> bool {
    name == "security.capability" || name.starts_with("user.") && !name.starts_with("user.overlay.")
}

/// Writes a layer's archive. Returns its digest. Blocks.
pub(super) fn pack(
    layer: &Path,
    flavour: Flavour,
    ownership: bool,
    to: impl Write,
) -> io::Result<String> {
    let mut packing = Packing {
        builder: Builder::new(Hashing {
            to,
            hash: Sha256::new(),
        }),
        flavour,
        ownership,
        seen: HashMap::new(),
    };
    // Names in order, folders before what they hold: no recursion.
    let mut pending = vec![PathBuf::new()];
    while let Some(name) = pending.pop() {
        let path = layer.join(&name);
        let found = fs::symlink_metadata(&path)?;
        if !name.as_os_str().is_empty() {
            packing.entry(&path, &name, &found)?;
        }
        if found.is_dir() {
            let mut names: Vec<PathBuf> = fs::read_dir(&path)?
                .map(|entry| Ok(name.join(entry?.file_name())))
                .collect::<io::Result<_>>()?;
            names.sort();
            pending.extend(names.into_iter().rev());
        }
    }
    let hashing = packing.builder.into_inner()?;
    Ok(digest::written(hashing.hash))
}

struct Hashing<W> {
    to: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

struct Packing<W: Write> {
    builder: Builder<Hashing<W>>,
    flavour: Flavour,
    ownership: bool,
    /// The first name of each file that has several.
    seen: HashMap<(u64, u64), PathBuf>,
}

impl<W: Write> Packing<W> {
    fn entry(&mut self, path: &Path, name: &Path, found: &Metadata) -> io::Result<()> {
        let kind = found.file_type();
        let is_whiteout = kind.is_char_device() && found.rdev() == 0;
        if kind.is_socket() || kind.is_block_device() || kind.is_char_device() && !is_whiteout {
            // Of no use after the process that made it, or in another machine.
            return Ok(());
        }
        let mut header = self.header(found);
        if found.nlink() > 1 && !found.is_dir() && !is_whiteout {
            let identity = (found.dev(), found.ino());
            if let Some(first) = self.seen.get(&identity) {
                header.set_entry_type(EntryType::Link);
                header.set_size(0);
                return self.builder.append_link(&mut header, name, first);
            }
            self.seen.insert(identity, name.to_owned());
        }
        self.records(path, found)?;
        if kind.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            return self
                .builder
                .append_link(&mut header, name, fs::read_link(path)?);
        }
        if kind.is_file() {
            header.set_entry_type(EntryType::Regular);
            header.set_size(found.len());
            return self
                .builder
                .append_data(&mut header, name, File::open(path)?);
        }
        if is_whiteout {
            header.set_device_major(0)?;
            header.set_device_minor(0)?;
        }
        header.set_entry_type(if kind.is_dir() {
            EntryType::Directory
        } else if kind.is_fifo() {
            EntryType::Fifo
        } else {
            EntryType::Char
        });
        self.builder.append_data(&mut header, name, io::empty())
    }

    fn header(&self, found: &Metadata) -> Header {
        let mut header = Header::new_gnu();
        header.set_mode(found.mode() & 0o7777);
        let (uid, gid) = if self.ownership {
            (found.uid(), found.gid())
        } else {
            (0, 0)
        };
        header.set_uid(u64::from(uid));
        header.set_gid(u64::from(gid));
        header.set_mtime(u64::try_from(found.mtime()).unwrap_or(0));
        header.set_size(0);
        header
    }

    /// Adds what a header has no place for.
    fn records(&mut self, path: &Path, found: &Metadata) -> io::Result<()> {
        let time = format!("{}.{:09}", found.mtime(), found.mtime_nsec());
        let mut records: Vec<(String, Vec<u8>)> = Vec::new();
        if found.mtime() >= 0 && found.mtime_nsec() > 0 {
            records.push(("mtime".to_owned(), time.into_bytes()));
        }
        for name in attributes(path)? {
            let Some(text) = name.to_str() else { continue };
            if travels(text) {
                records.push((format!("SCHILY.xattr.{text}"), attribute(path, &name)?));
            } else if text == self.flavour.opaque() && attribute(path, &name)? == b"y" {
                records.push((OPAQUE.to_owned(), b"y".to_vec()));
            }
        }
        if records.is_empty() {
            return Ok(());
        }
        records.sort();
        let records = records
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()));
        self.builder.append_pax_extensions(records)
    }
}

fn attributes(path: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = vec![0; 64 << 10];
    let length = match llistxattr(path, &mut names) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(error) => return Err(error.into()),
    };
    let names = names[..length].split(|byte| *byte == 0);
    Ok(names
        .filter(|name| !name.is_empty())
        .map(|name| OsStr::from_bytes(name).to_owned())
        .collect())
}

fn attribute(path: &Path, name: &OsStr) -> io::Result<Vec<u8>> {
    let mut value = vec![0; 64 << 10];
    let length = lgetxattr(path, name, &mut value)?;
    value.truncate(length);
    Ok(value)
}
