//! Which entries ignore files leave out.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::{CWD, Mode, OFlags, openat};

/// Ignore files larger than this are not rules that a person wrote.
const MAX_BYTES: u64 = 4 << 20;

/// The rules for what is in one folder: its own ignore files and, through the chain,
/// those of the folders around it.
///
/// `.hmignore` wins over `.ignore`, that over `.gitignore`, that over git's
/// `info/exclude`; among the same, the file nearest to the entry wins. Git's rules end at
/// a folder that is a repository of its own, and hold without a repository too.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// For a folder above the root: the root's path from there, with a final slash.
    outside: Vec<u8>,
    /// Length of the folder's path from the root, with a final slash.
    inside: usize,
    hmignore: Option<Gitignore>,
    ignore: Option<Gitignore>,
    gitignore: Option<Gitignore>,
    exclude: Option<Gitignore>,
    is_repository: bool,
    around: Option<Arc<Rules>>,
}

/// Which of the names that matter here a folder has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Present {
    pub(super) hmignore: bool,
    pub(super) ignore: bool,
    pub(super) gitignore: bool,
    pub(super) git: bool,
}

impl Present {
    pub(super) fn note(&mut self, name: &[u8]) {
        match name {
            b".hmignore" => self.hmignore = true,
            b".ignore" => self.ignore = true,
            b".gitignore" => self.gitignore = true,
            b".git" => self.git = true,
            _ => {}
        }
    }

    fn any(self) -> bool {
        self.hmignore || self.ignore || self.gitignore || self.git
    }
}

impl Rules {
    /// Returns the rules from the folders above the root that are in the same git
    /// repository; of others nothing is known to hold here.
    pub(super) fn above(root: &Path) -> Arc<Self> {
        let mut chain = Arc::new(Self::default());
        if root.join(".git").exists() {
            return chain;
        }
        let Some(top) = root
            .ancestors()
            .skip(1)
            .position(|folder| folder.join(".git").exists())
        else {
            return chain;
        };
        let folders: Vec<&Path> = root.ancestors().skip(1).take(top + 1).collect();
        for folder in folders.into_iter().rev() {
            let Ok(below) = root.strip_prefix(folder) else {
                continue;
            };
            let mut outside = below.as_os_str().as_bytes().to_vec();
            outside.push(b'/');
            let Ok(fd) = openat(
                CWD,
                folder,
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            ) else {
                continue;
            };
            chain = Arc::new(Self {
                outside,
                inside: 0,
                hmignore: None,
                ignore: None,
                gitignore: load(&fd, ".gitignore"),
                exclude: load(&fd, ".git/info/exclude"),
                is_repository: false,
                around: Some(chain),
            });
        }
        chain
    }

    /// Returns the rules for the entries of a folder.
    pub(super) fn enter(
        self: &Arc<Self>,
        folder: &OwnedFd,
        path: &[u8],
        present: Present,
    ) -> Arc<Self> {
        if !present.any() {
            return Arc::clone(self);
        }
        let load_if = |there: bool, name| if there { load(folder, name) } else { None };
        Arc::new(Self {
            outside: Vec::new(),
            inside: if path.is_empty() { 0 } else { path.len() + 1 },
            hmignore: load_if(present.hmignore, ".hmignore"),
            ignore: load_if(present.ignore, ".ignore"),
            gitignore: load_if(present.gitignore, ".gitignore"),
            exclude: load_if(present.git, ".git/info/exclude"),
            is_repository: present.git,
            around: Some(Arc::clone(self)),
        })
    }

    /// Returns whether an entry is left out. Its folder is known not to be.
    pub(super) fn leave_out(&self, path: &[u8], is_directory: bool) -> bool {
        // First verdict of each kind of file, the nearest first.
        let mut verdicts: [Option<bool>; 4] = [None; 4];
        let mut in_repository = true;
        let mut level = Some(self);
        while let Some(rules) = level {
            let kinds = [
                (&rules.hmignore, true),
                (&rules.ignore, true),
                (&rules.gitignore, in_repository),
                (&rules.exclude, in_repository),
            ];
            for (verdict, (matcher, holds)) in verdicts.iter_mut().zip(kinds) {
                if let (None, Some(matcher), true) = (&verdict, matcher, holds) {
                    *verdict = rules.ask(matcher, path, is_directory);
                }
            }
            if verdicts[0].is_some() {
                break;
            }
            in_repository &= !rules.is_repository;
            level = rules.around.as_deref();
        }
        verdicts.into_iter().flatten().next().unwrap_or(false)
    }

    fn ask(&self, matcher: &Gitignore, path: &[u8], is_directory: bool) -> Option<bool> {
        let joined;
        let path = if self.outside.is_empty() {
            path.get(self.inside..)?
        } else {
            joined = [self.outside.as_slice(), path].concat();
            &joined
        };
        match matcher.matched(Path::new(OsStr::from_bytes(path)), is_directory) {
            Match::None => None,
            Match::Ignore(_) => Some(true),
            Match::Whitelist(_) => Some(false),
        }
    }
}

/// Reads an ignore file. Lines that make no pattern are skipped, as git does; a file that
/// cannot be read has no rules.
fn load(folder: impl AsFd, name: &str) -> Option<Gitignore> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(folder, name, flags, Mode::empty()).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let mut builder = GitignoreBuilder::new("");
    for line in text.strip_prefix('\u{feff}').unwrap_or(&text).lines() {
        if let Err(error) = builder.add_line(None, line) {
            tracing::debug!(file = name, line, %error, "no pattern");
        }
    }
    builder.build().ok().filter(|rules| !rules.is_empty())
}
