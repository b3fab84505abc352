//! Hashes of the files that an `on_change` policy watches.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use hm_plugin_protocol::Plan;
use ignore::WalkBuilder;
use sha2::{Digest, Sha256};

/// Name of the ignore file that holds for sources besides `.gitignore`.
const IGNORE_FILE: &str = ".hmignore";

/// A watched file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the watched file {}: {source}", .path.display())]
pub(crate) struct WatchError {
    path: PathBuf,
    source: io::Error,
}

/// A pattern that cannot be watched, with the reason.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadPattern(pub(crate) String);

/// Hashes files below a project folder; each file once, however many steps watch it.
pub(crate) struct Watch {
    root: PathBuf,
    hashes: HashMap<PathBuf, String>,
    /// Patterns that no file matched.
    pub(crate) unmatched: BTreeSet<String>,
}

/// Returns true if the pattern is one, and no plain path.
fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

fn matcher(pattern: &str) -> Result<GlobMatcher, BadPattern> {
    let pattern = pattern.trim_start_matches("./");
    match GlobBuilder::new(pattern).literal_separator(true).build() {
        Ok(glob) => Ok(glob.compile_matcher()),
        Err(error) => Err(BadPattern(error.kind().to_string())),
    }
}

/// Checks a path or pattern as it stands in a document.
pub(crate) fn check(pattern: &str) -> Result<(), BadPattern> {
    let path = Path::new(pattern);
    if pattern.is_empty() {
        return Err(BadPattern("it is empty".to_owned()));
    }
    if path.is_absolute() || path.components().any(|part| part.as_os_str() == "..") {
        return Err(BadPattern("it must stay within the project".to_owned()));
    }
    if is_glob(pattern) {
        matcher(pattern).map(drop)
    } else {
        Ok(())
    }
}

/// What each step's `on_change` policies watch at the moment: by the step's key, the hash
/// of each file, and of each folder that is watched as a whole. Steps that watch nothing,
/// and what cannot be read, are left out: this explains keys, and makes none.
pub fn watched(plan: &Plan, root: &Path) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut watch = Watch::new(root);
    let mut all = BTreeMap::new();
    for step in &plan.steps {
        let Some(cache) = &step.cache else {
            continue;
        };
        let mut patterns = Vec::new();
        let mut open = vec![&cache.document];
        while let Some(policy) = open.pop() {
            let list = |name: &str| policy[name].as_array().into_iter().flatten();
            patterns.extend(list("paths").filter_map(|path| path.as_str().map(str::to_owned)));
            open.extend(list("sub_policies"));
        }
        patterns.retain(|pattern| check(pattern).is_ok());
        if !patterns.is_empty()
            && let Ok(listing) = watch.listing(&patterns)
        {
            all.insert(step.key.clone(), listing);
        }
    }
    all
}

impl Watch {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            hashes: HashMap::new(),
            unmatched: BTreeSet::new(),
        }
    }

    /// Returns the hashes of all that `patterns` match: patterns sorted, and sorted
    /// again within each. What does not exist is left out and noted as unmatched.
    pub(crate) fn hashes(&mut self, patterns: &[String]) -> Result<Vec<String>, WatchError> {
        let mut sorted: Vec<&String> = patterns.iter().collect();
        sorted.sort_unstable();
        let mut hashes = Vec::new();
        for pattern in sorted {
            let mut paths = self.matches(pattern)?;
            paths.sort_unstable();
            if paths.is_empty() {
                self.unmatched.insert(pattern.clone());
            }
            for path in paths {
                hashes.push(self.hash(&path)?);
            }
        }
        Ok(hashes)
    }

    /// Returns what the hashes are of: the path, relative to the project, of each file,
    /// and of each folder that is watched as a whole.
    fn listing(&mut self, patterns: &[String]) -> Result<BTreeMap<String, String>, WatchError> {
        let mut listing = BTreeMap::new();
        for pattern in patterns {
            for path in self.matches(pattern)? {
                let hash = self.hash(&path)?;
                let relative = path.strip_prefix(&self.root).unwrap_or(&path);
                listing.insert(relative.to_string_lossy().into_owned(), hash);
            }
        }
        Ok(listing)
    }

    fn matches(&self, pattern: &str) -> Result<Vec<PathBuf>, WatchError> {
        if !is_glob(pattern) {
            let path = self.root.join(pattern);
            // A device or a pipe has no content that could change.
            let is_there = fs::metadata(&path).is_ok_and(|found| found.is_file() || found.is_dir());
            return Ok(if is_there { vec![path] } else { Vec::new() });
        }
        // Checked when the document was read.
        let Ok(matcher) = matcher(pattern) else {
            return Ok(Vec::new());
        };
        let literal: PathBuf = Path::new(pattern.trim_start_matches("./"))
            .components()
            .take_while(|part| !is_glob(&part.as_os_str().to_string_lossy()))
            .collect();
        let start = self.root.join(&literal);
        if !start.exists() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        // A folder that matches is hashed as a whole: its files need not be found again.
        let mut whole: Option<PathBuf> = None;
        for entry in self.walk(start.clone()) {
            let entry = entry.map_err(|error| walk_error(&self.root, error))?;
            let path = entry.path();
            if path == self.root
                || whole
                    .as_ref()
                    .is_some_and(|folder| path.starts_with(folder))
            {
                continue;
            }
            let relative = path.strip_prefix(&self.root).unwrap_or(path);
            if !matcher.is_match(relative) {
                continue;
            }
            let Ok(metadata) = fs::metadata(path) else {
                continue;
            };
            if metadata.is_dir() {
                whole = Some(path.to_owned());
            } else if !metadata.is_file() {
                continue;
            }
            found.push(path.to_owned());
        }
        Ok(found)
    }

    /// Walks the project towards and below `start`, without what a source leaves out.
    /// A parent folder's ignore files do not count: watching too much is the safe side.
    fn walk(&self, start: PathBuf) -> ignore::Walk {
        WalkBuilder::new(&self.root)
            .hidden(false)
            .parents(false)
            .require_git(false)
            .git_global(false)
            .git_exclude(false)
            .add_custom_ignore_filename(IGNORE_FILE)
            .filter_entry(move |entry| {
                let path = entry.path();
                entry.file_name() != ".git" && (path.starts_with(&start) || start.starts_with(path))
            })
            .build()
    }

    fn hash(&mut self, path: &Path) -> Result<String, WatchError> {
        if let Some(hash) = self.hashes.get(path) {
            return Ok(hash.clone());
        }
        let failed = |source| WatchError {
            path: path.to_owned(),
            source,
        };
        let mut hash = Sha256::new();
        if fs::metadata(path).map_err(failed)?.is_dir() {
            hash_folder(path, &mut hash)?;
        } else {
            feed(path, &mut hash).map_err(failed)?;
        }
        let hash = hex::encode(hash.finalize());
        self.hashes.insert(path.to_owned(), hash.clone());
        Ok(hash)
    }
}

/// Feeds name and content of every file below `folder`, in order.
fn hash_folder(folder: &Path, hash: &mut Sha256) -> Result<(), WatchError> {
    let mut files = Vec::new();
    for entry in WalkBuilder::new(folder).standard_filters(false).build() {
        let entry = entry.map_err(|error| walk_error(folder, error))?;
        // A link to a folder is not followed: it could lead back here.
        if fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_file()) {
            files.push(entry.into_path());
        }
    }
    files.sort_unstable();
    for file in files {
        let relative = file.strip_prefix(folder).unwrap_or(&file);
        hash.update(relative.as_os_str().as_encoded_bytes());
        hash.update(b"\0");
        feed(&file, hash).map_err(|source| WatchError {
            path: file.clone(),
            source,
        })?;
        hash.update(b"\0");
    }
    Ok(())
}

fn feed(path: &Path, hash: &mut Sha256) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn walk_error(root: &Path, error: ignore::Error) -> WatchError {
    let source = error
        .into_io_error()
        .unwrap_or_else(|| io::Error::other("cannot walk the folder"));
    WatchError {
        path: root.to_owned(),
        source,
    }
}
