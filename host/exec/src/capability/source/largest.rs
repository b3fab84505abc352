//! What takes the most room in a tree, as one would write it into an ignore file.

use std::collections::BTreeMap;
use std::path::Path;

use hm_vm::FrozenSource;

use crate::sequencer::clean::one_line;

/// How many entries are told.
const TOLD: usize = 5;

/// A folder is looked into while one entry in it makes up at least this many per cent.
const MOST_OF_IT: u64 = 80;

/// Returns the largest files and folders, largest first. A folder that consists of one
/// large entry is told by that entry.
pub(super) fn largest(frozen: &FrozenSource) -> Vec<(String, u64)> {
    let sized: Vec<_> = frozen
        .entries()
        .filter(|entry| entry.size > 0)
        .map(|entry| (entry.path, entry.size))
        .collect();
    of(&sized)
}

fn of(files: &[(&Path, u64)]) -> Vec<(String, u64)> {
    let mut found: Vec<_> = children(Path::new(""), files).into_iter().collect();
    found.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    found.truncate(TOLD);
    found
        .into_iter()
        .map(|(path, bytes)| {
            let (path, bytes) = descend(path, bytes, files);
            let is_file = files.iter().any(|(file, _)| *file == path);
            let slash = if is_file { "" } else { "/" };
            let shown = one_line(&path.display().to_string());
            (format!("{shown}{slash}"), bytes)
        })
        .collect()
}

fn descend<'a>(mut path: &'a Path, mut bytes: u64, files: &[(&'a Path, u64)]) -> (&'a Path, u64) {
    loop {
        let most = children(path, files).into_iter().max_by_key(|(_, b)| *b);
        match most {
            Some((inner, inner_bytes)) if inner_bytes.saturating_mul(100) / bytes >= MOST_OF_IT => {
                (path, bytes) = (inner, inner_bytes);
            }
            _ => return (path, bytes),
        }
    }
}

/// Returns what lies directly in a folder, with the bytes of all that is below.
fn children<'a>(folder: &Path, files: &[(&'a Path, u64)]) -> BTreeMap<&'a Path, u64> {
    let depth = folder.components().count() + 1;
    let mut sizes = BTreeMap::new();
    for (file, bytes) in files {
        if !file.starts_with(folder) {
            continue;
        }
        let excess = file.components().count().checked_sub(depth);
        if let Some(child) = excess.and_then(|excess| file.ancestors().nth(excess)) {
            *sizes.entry(child).or_default() += *bytes;
        }
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_told_as_one_would_ignore_them() {
        let files: Vec<_> = [
            ("README", 10),
            ("data/one.bin", 900),
            ("data/small", 1),
            ("node_modules/a/x", 300),
            ("node_modules/b/y", 300),
            ("src/main.rs", 20),
        ]
        .map(|(path, bytes)| (Path::new(path), bytes))
        .into();
        let expected = [
            ("data/one.bin", 900),
            ("node_modules/", 600),
            ("src/main.rs", 20),
            ("README", 10),
        ];
        assert_eq!(
            of(&files),
            expected.map(|(path, bytes)| (path.to_owned(), bytes))
        );
    }
}
