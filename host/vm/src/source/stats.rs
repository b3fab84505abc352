//! What went into a frozen tree and what did not.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::manifest::{Entry, Kind};
use crate::error::one_line;

/// How many paths a list of examples holds.
const EXAMPLES: usize = 100;

/// How many of the largest entries are told.
const LARGEST: usize = 10;

/// A tree with more than this is told of, as most are large by an oversight: its first copy
/// takes seconds, and its comparison a tenth of one in each build after that.
const LARGE: (u64, u64) = (1 << 30, 100_000);

/// How many entries a sentence names.
const NAMED: usize = 5;

/// Why an entry is not in a frozen tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeftOut {
    /// `.git`, which was not asked for.
    Git,
    /// `.hm`: the pipelines are no part of what they build.
    Hm,
    /// An ignore file says so.
    Ignored,
    /// A socket, pipe or device.
    Special,
    /// This user may not read it.
    Unreadable,
}

/// What went into a frozen tree and what did not. Sizes are in bytes as `ls` shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceStats {
    /// Regular files.
    pub files: u64,
    /// Folders, the root not counted.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Bytes in regular files.
    pub bytes: u64,
    /// Entries left out, by reason. A folder counts once, whatever is in it.
    pub left_out: BTreeMap<LeftOut, u64>,
    /// The first hundred ignored entries, relative to the root.
    pub ignored: Vec<PathBuf>,
    /// Sockets, pipes and devices, relative to the root.
    pub special: Vec<PathBuf>,
    /// What this user may not read, relative to the root; steps will miss it.
    pub unreadable: Vec<PathBuf>,
    /// The entries at the root that hold most, largest first.
    pub largest: Vec<Part>,
    /// Files that were copied for this build.
    pub copied_files: u64,
    /// Bytes that were copied for this build.
    pub copied_bytes: u64,
    /// Entries that are gone since the last build.
    pub removed: u64,
}

/// An entry at the root of a tree, with all that is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: PathBuf,
    /// Bytes in regular files.
    pub bytes: u64,
    /// Regular files.
    pub files: u64,
}

impl SourceStats {
    /// Returns what went in and what was left out, in one line.
    pub fn summary(&self) -> String {
        let mut line = format!(
            "source: {} files, {}; copied {}, {}",
            self.files,
            size(self.bytes),
            self.copied_files,
            size(self.copied_bytes)
        );
        let names = |paths: &[PathBuf], count: u64| {
            let shown: Vec<_> = paths.iter().take(NAMED).map(one_line).collect();
            let more = if count > shown.len() as u64 {
                ", …"
            } else {
                ""
            };
            format!(" ({}{more})", shown.join(", "))
        };
        let left_out: Vec<String> = self
            .left_out
            .iter()
            .map(|(reason, count)| match reason {
                LeftOut::Git => format!("{count} .git"),
                LeftOut::Hm => format!("{count} .hm"),
                LeftOut::Ignored => format!("{count} ignored{}", names(&self.ignored, *count)),
                LeftOut::Special => {
                    format!(
                        "{count} sockets, pipes or devices{}",
                        names(&self.special, *count)
                    )
                }
                LeftOut::Unreadable => {
                    format!("{count} unreadable{}", names(&self.unreadable, *count))
                }
            })
            .collect();
        if !left_out.is_empty() {
            line += &format!("; left out {}", left_out.join(", "));
        }
        line
    }

    /// Returns what the user should be told of, as whole sentences.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.bytes > LARGE.0 || self.files > LARGE.1 {
            let parts: Vec<String> = self
                .largest
                .iter()
                .take(NAMED)
                .map(|part| {
                    let (name, size) = (one_line(&part.name), size(part.bytes));
                    match part.files {
                        1 => format!("{name} {size}"),
                        files => format!("{name} {size} in {files} files"),
                    }
                })
                .collect();
            warnings.push(format!(
                "the source tree is large, {} in {} files: {}; what steps do not need can be \
                 listed in .gitignore or .hmignore",
                size(self.bytes),
                self.files,
                parts.join(", ")
            ));
        }
        if let Some(first) = self.unreadable.first() {
            warnings.push(format!(
                "{} entries of the source tree cannot be read by this user, and steps will miss \
                 them: {}{}",
                self.unreadable.len(),
                one_line(first),
                if self.unreadable.len() > 1 {
                    ", …"
                } else {
                    ""
                }
            ));
        }
        warnings
    }

    pub(super) fn leave_out(&mut self, reason: LeftOut, path: &[u8]) {
        *self.left_out.entry(reason).or_default() += 1;
        let list = match reason {
            LeftOut::Ignored => &mut self.ignored,
            LeftOut::Special => &mut self.special,
            LeftOut::Unreadable => &mut self.unreadable,
            LeftOut::Git | LeftOut::Hm => return,
        };
        if reason != LeftOut::Ignored || list.len() < EXAMPLES {
            list.push(OsStr::from_bytes(path).into());
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (reason, count) in other.left_out {
            *self.left_out.entry(reason).or_default() += count;
        }
        self.ignored.extend(other.ignored);
        self.special.extend(other.special);
        self.unreadable.extend(other.unreadable);
    }

    /// Puts what many threads have found in order.
    pub(super) fn tidy(&mut self) {
        self.ignored.sort();
        self.ignored.truncate(EXAMPLES);
        self.special.sort();
        self.unreadable.sort();
    }

    pub(super) fn count(&mut self, entries: &[Entry]) {
        let mut sizes: BTreeMap<&[u8], (u64, u64)> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| !entry.path.is_empty()) {
            match entry.kind {
                Kind::Directory => self.directories += 1,
                Kind::Symlink => self.symlinks += 1,
                Kind::File => {
                    self.files += 1;
                    self.bytes += entry.size;
                    let top = entry.path.split(|byte| *byte == b'/').next();
                    let part = sizes.entry(top.unwrap_or_default()).or_default();
                    part.0 += entry.size;
                    part.1 += 1;
                }
            }
        }
        let mut largest: Vec<_> = sizes.into_iter().collect();
        // By whichever of the two makes the tree large.
        let by_count = self.bytes <= LARGE.0 && self.files > LARGE.1;
        largest.sort_by_key(|(_, (bytes, files))| {
            std::cmp::Reverse(if by_count { *files } else { *bytes })
        });
        largest.truncate(LARGEST);
        self.largest = largest
            .into_iter()
            .map(|(name, (bytes, files))| Part {
                name: OsStr::from_bytes(name).into(),
                bytes,
                files,
            })
            .collect();
    }
}

/// A size as people read it.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = (bytes.max(1).ilog2() / 10).min(4);
    if unit == 0 {
        return format!("{bytes} B");
    }
    let tenths = (u128::from(bytes) * 10) >> (10 * unit);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_tree_is_told_with_what_makes_it_large() {
        let mut stats = SourceStats {
            bytes: 3 << 30,
            files: 7,
            largest: vec![
                Part {
                    name: "target".into(),
                    bytes: 2 << 30,
                    files: 6,
                },
                Part {
                    name: "disk.img".into(),
                    bytes: 1 << 30,
                    files: 1,
                },
            ],
            ..SourceStats::default()
        };
        let told = stats.warnings();
        assert_eq!(told.len(), 1);
        assert!(
            told[0].contains("3.0 GiB in 7 files: target 2.0 GiB in 6 files, disk.img 1.0 GiB;"),
            "{told:?}"
        );
        stats.bytes = 1000;
        assert_eq!(stats.warnings(), Vec::<String>::new());
    }

    #[test]
    fn what_was_left_out_is_told_by_reason() {
        let mut stats = SourceStats {
            files: 2,
            bytes: 1536,
            ..SourceStats::default()
        };
        stats.leave_out(LeftOut::Git, b".git");
        for name in ["a", "b", "c", "d", "e", "f"] {
            stats.leave_out(LeftOut::Ignored, name.as_bytes());
        }
        stats.leave_out(LeftOut::Unreadable, b"secret");
        assert_eq!(
            stats.summary(),
            "source: 2 files, 1.5 KiB; copied 0, 0 B; left out 1 .git, 6 ignored (a, b, c, d, e, …), 1 unreadable (secret)"
        );
        assert!(stats.warnings()[0].contains("secret"));
    }
}
