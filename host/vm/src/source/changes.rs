//! What is different since the last build.

use std::cmp::Ordering;

use rayon::iter::{IntoParallelRefMutIterator, ParallelIterator};

use super::manifest::{Entry, Kind, Manifest, find, parent};

/// What a new layer must hold, as indexes into the new entries where there is one.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Files and links to be copied.
    pub(super) copies: Vec<usize>,
    /// Folders that are there with other permissions, or new.
    pub(super) folders: Vec<usize>,
    /// Those of them that must hide what layers below have under their name.
    pub(super) opaque: Vec<usize>,
    /// Paths that are gone from a folder that is still there.
    pub(super) whiteouts: Vec<Vec<u8>>,
    /// All entries that are gone.
    pub(super) removed: u64,
    /// Bytes in `copies`.
    pub(super) bytes: u64,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.copies.is_empty() && self.folders.is_empty() && self.whiteouts.is_empty()
    }

    /// Everything is new.
    pub(super) fn all(entries: &[Entry]) -> Self {
        let mut changes = Self::default();
        for (index, entry) in entries.iter().enumerate() {
            changes.write(index, entry, false);
        }
        changes
    }

    fn write(&mut self, index: usize, entry: &Entry, opaque: bool) {
        if entry.kind == Kind::Directory {
            self.folders.push(index);
            if opaque {
                self.opaque.push(index);
            }
        } else {
            self.copies.push(index);
            self.bytes += entry.size;
        }
    }
}

/// What became of an entry that was there before under the same path.
enum Verdict<'a> {
    Same(&'a Entry),
    /// Only its content can tell.
    Unsure(&'a Entry),
    Different,
}

/// Compares a tree with the last one, and notes in the entries which layer holds what has
/// not changed. `same_content` is asked, on many threads, about entries whose times do
/// not settle it.
pub(super) fn compare(
    old: &Manifest,
    new: &mut [Entry],
    same_content: impl Fn(&Entry, &Entry) -> bool + Sync,
) -> Changes {
    let mut verdicts = pair(old, new);
    let mut unsure: Vec<(&mut Verdict<'_>, &Entry)> = verdicts
        .iter_mut()
        .zip(new.iter())
        .filter_map(|(verdict, entry)| Some((verdict.as_mut()?, entry)))
        .filter(|(verdict, _)| matches!(verdict, Verdict::Unsure(_)))
        .collect();
    unsure.par_iter_mut().for_each(|(verdict, entry)| {
        if let Verdict::Unsure(before) = **verdict {
            **verdict = if same_content(before, entry) {
                Verdict::Same(before)
            } else {
                Verdict::Different
            };
        }
    });
    let mut changes = gone(old, new);
    for (index, (verdict, entry)) in verdicts.into_iter().zip(new.iter_mut()).enumerate() {
        match verdict {
            Some(Verdict::Same(before)) => entry.layer = before.layer,
            // A folder that was one before is merged with what is below.
            Some(_) if entry.kind == Kind::Directory && was_folder(old, entry) => {
                changes.write(index, entry, false);
            }
            _ => changes.write(index, entry, true),
        }
    }
    changes
}

fn was_folder(old: &Manifest, entry: &Entry) -> bool {
    old.get(&entry.path)
        .is_some_and(|before| before.kind == Kind::Directory)
}

/// Walks both lists side by side; entries that were not there before have no verdict.
fn pair<'a>(old: &'a Manifest, new: &[Entry]) -> Vec<Option<Verdict<'a>>> {
    let mut before = old.entries.iter().peekable();
    new.iter()
        .map(|entry| {
            while let Some(old) = before.peek() {
                match old.path.cmp(&entry.path) {
                    Ordering::Less => {
                        before.next();
                    }
                    Ordering::Equal => return before.next().map(|old| judge(old, entry)),
                    Ordering::Greater => break,
                }
            }
            None
        })
        .collect()
}

fn judge<'a>(before: &'a Entry, now: &Entry) -> Verdict<'a> {
    if now.kind == Kind::Directory && before.kind == Kind::Directory {
        // Its times change with entries that are left out, and would make a layer for
        // nothing; they are taken over whenever a layer holds the folder.
        return if before.mode == now.mode {
            Verdict::Same(before)
        } else {
            Verdict::Different
        };
    }
    if before.same_stat(now) && !before.racy {
        Verdict::Same(before)
    } else if before.same_shape(now) {
        Verdict::Unsure(before)
    } else {
        Verdict::Different
    }
}

fn gone(old: &Manifest, new: &[Entry]) -> Changes {
    let mut changes = Changes::default();
    let mut now = new.iter().peekable();
    for entry in &old.entries {
        while now.next_if(|new| new.path < entry.path).is_some() {}
        if now.peek().is_some_and(|new| new.path == entry.path) {
            continue;
        }
        changes.removed += 1;
        // With its folder gone too there is nothing left to hide.
        let folder = parent(&entry.path).and_then(|parent| find(new, parent));
        if folder.is_some_and(|folder| folder.kind == Kind::Directory) {
            changes.whiteouts.push(entry.path.clone());
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: Kind, changed: i64) -> Entry {
        Entry {
            path: path.into(),
            kind,
            mode: 0o644,
            size: 1,
            inode: 1,
            modified: 1,
            changed,
            racy: false,
            layer: 7,
        }
    }

    fn manifest(entries: Vec<Entry>) -> Manifest {
        Manifest {
            layers: Vec::new(),
            entries,
        }
    }

    #[test]
    fn only_the_topmost_of_what_is_gone_is_hidden() {
        let old = manifest(vec![
            entry("", Kind::Directory, 1),
            entry("a", Kind::Directory, 1),
            entry("a-b", Kind::File, 1),
            entry("a/b", Kind::Directory, 1),
            entry("a/b/c", Kind::File, 1),
        ]);
        let mut new = vec![entry("", Kind::Directory, 2), entry("a-b", Kind::File, 1)];
        let changes = compare(&old, &mut new, |_, _| false);
        assert_eq!(changes.whiteouts, [b"a".to_vec()]);
        assert_eq!(changes.removed, 3);
        assert!(changes.copies.is_empty() && changes.folders.is_empty());
        assert_eq!(new[1].layer, 7);
    }

    #[test]
    fn a_folder_in_the_place_of_a_file_hides_what_was_below_it() {
        let old = manifest(vec![
            entry("", Kind::Directory, 1),
            entry("x", Kind::File, 1),
        ]);
        let mut new = vec![
            entry("", Kind::Directory, 1),
            entry("x", Kind::Directory, 2),
            entry("x/y", Kind::File, 2),
        ];
        let changes = compare(&old, &mut new, |_, _| false);
        assert_eq!(
            (changes.folders, changes.opaque, changes.copies),
            (vec![1], vec![1], vec![2])
        );
        assert!(changes.whiteouts.is_empty());
    }

    #[test]
    fn content_settles_what_times_do_not() {
        let mut racy = entry("racy", Kind::File, 1);
        racy.racy = true;
        let old = manifest(vec![racy, entry("relinked", Kind::File, 1)]);
        let now = || {
            vec![
                entry("racy", Kind::File, 1),
                entry("relinked", Kind::File, 2),
            ]
        };
        assert!(compare(&old, &mut now(), |_, _| true).is_empty());
        assert_eq!(compare(&old, &mut now(), |_, _| false).copies, [0, 1]);
    }
}
