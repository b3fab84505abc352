//! A project with a state, a configuration and an environment of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Invocation;
use crate::program::{hm, shared_folder};

/// A folder with a `.hm/`, and what `hm` needs around it; gone when the test ends.
#[derive(Debug)]
pub struct Project {
    _folder: TempDir,
    path: PathBuf,
    state: PathBuf,
    config: PathBuf,
    env: BTreeMap<OsString, OsString>,
}

impl Project {
    /// Makes a project without any pipeline.
    ///
    /// # Panics
    /// If the folders cannot be made.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("hm-test-")
            .tempdir()
            .expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it was just made");
        let make = |name: &str| {
            let path = base.join(name);
            fs::DirBuilder::new()
                .mode(0o700)
                .recursive(true)
                .create(&path)
                .expect("a folder of our own");
            path
        };
        let (path, config, home) = (make("project"), make("config"), make("home"));
        // Compiled components are shared, so the key that seals them is too.
        let key = config.join("seal.key");
        fs::write(&key, [7; 32]).expect("a folder of our own");
        fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).expect("it was just made");
        let state = base.join("state");
        make("project/.hm");
        let temporary = make("tmp");
        let set: [(&str, OsString); 8] = [
            (
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
            ),
            ("HOME", home.into()),
            ("TMPDIR", temporary.into()),
            ("LANG", "C.UTF-8".into()),
            ("TERM", "xterm-256color".into()),
            ("HM_CONFIG_DIR", config.clone().into()),
            ("HM_CACHE_DIR", shared_folder("cache").into()),
            ("HM_STATE_DIR", state.clone().into()),
        ];
        let env = set
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect();
        Self {
            _folder: folder,
            path,
            state,
            config,
            env,
        }
    }

    /// Makes a project with one pipeline, `ci`, in TOML.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn toml(text: &str) -> Self {
        Self::new().file(".hm/ci.toml", text)
    }

    /// Writes a file, and the folders that it needs.
    ///
    /// # Panics
    /// If it cannot be written.
    #[must_use]
    pub fn file(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        self.write(name, text);
        self
    }

    /// Writes a file, and the folders that it needs.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().expect("it lies in the project"))
            .expect("a folder of our own");
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Copies a folder's files into the project.
    ///
    /// # Panics
    /// If they cannot be copied.
    #[must_use]
    pub fn tree(self, from: &Path) -> Self {
        let mut open = vec![from.to_owned()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder)
                .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            {
                let path = entry.expect("it is being read").path();
                let name = path
                    .strip_prefix(from)
                    .expect("it lies below")
                    .to_str()
                    .expect("names are UTF-8");
                if path.is_dir() {
                    open.push(path.clone());
                } else {
                    self.write(name, fs::read(&path).expect("a sample can be read"));
                }
            }
        }
        self
    }

    /// Sets a variable for all calls.
    #[must_use]
    pub fn env_for_all(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Returns the project's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the state folder, which the first run makes.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Returns the text of every file that runs left in the state folder.
    pub fn everything_kept(&self) -> String {
        let mut open = vec![self.state.clone()];
        let mut text = String::new();
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() && !path.is_symlink() {
                    open.push(path);
                } else if let Ok(bytes) = fs::read(&path) {
                    text += &String::from_utf8_lossy(&bytes);
                }
            }
        }
        text
    }

    /// Returns the folder of the user's configuration.
    pub fn config(&self) -> &Path {
        &self.config
    }

    pub(crate) fn env(&self) -> &BTreeMap<OsString, OsString> {
        &self.env
    }

    /// Returns a call of `hm` in the project.
    pub fn hm<A: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Invocation {
        Invocation::new(self, hm()).args(args)
    }

    /// Returns a call of `hm run --format json`.
    pub fn run(&self) -> Invocation {
        self.hm(["run", "--format", "json"])
    }

    /// Returns a call of another program, with the same environment.
    pub fn program(&self, program: &str) -> Invocation {
        Invocation::new(self, Path::new(program))
    }

    /// Returns the records of runs, oldest first.
    pub fn records(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.state.join("runs"))
            .into_iter()
            .flatten()
            .flatten();
        let mut folders: Vec<_> = entries.map(|entry| entry.path()).collect();
        folders.sort();
        folders
    }

    /// Checks that nothing of a build was begun: no record, no machine.
    ///
    /// # Panics
    /// If something was.
    #[track_caller]
    pub fn assert_nothing_started(&self) {
        let records = self.records();
        assert!(records.is_empty(), "a run was recorded: {records:?}");
        for folder in ["machines", "layers/live", "source"] {
            let entries = fs::read_dir(self.state.join(folder))
                .into_iter()
                .flatten()
                .flatten();
            let found: Vec<_> = entries.map(|entry| entry.path()).collect();
            assert!(found.is_empty(), "something was started: {found:?}");
        }
    }
}

impl Default for Project {
    fn default() -> Self {
        Self::new()
    }
}
