//! The binary in a world of its own: folders that go with the test, and no variables of
//! whoever runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A project folder beside configuration, cache and state.
pub struct World {
    folder: tempfile::TempDir,
}

/// What a command did.
pub struct Ran {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    fn new(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails the test unless the command ended with `code`.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "standard output:\n{}\nstandard error:\n{}",
            self.out, self.err
        );
        self
    }
}

#[allow(dead_code, reason = "each test file uses what it needs")]
impl World {
    /// Makes an empty project.
    pub fn new() -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for folder in ["project", "config", "cache", "state", "home"] {
            std::fs::create_dir(world.folder.path().join(folder)).unwrap();
        }
        world
    }

    /// The project's folder.
    pub fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    /// The folder of all folders.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of the project.
    pub fn with(self, name: &str, text: &str) -> Self {
        self.write(&format!("project/{name}"), text);
        self
    }

    /// Writes a file anywhere below [`World::path`].
    pub fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Reads a file of the project.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.project().join(name)).unwrap()
    }

    /// A command in the project's folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hm"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        command
            .args(arguments)
            .current_dir(self.project())
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.folder.path().join("home"))
            .env("HM_CONFIG_DIR", self.folder.path().join("config"))
            .env("HM_CACHE_DIR", self.folder.path().join("cache"))
            .env("HM_STATE_DIR", self.folder.path().join("state"))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn hm(&self, arguments: &[&str]) -> Ran {
        Ran::new(self.command(arguments).output().unwrap())
    }

    /// Runs a command to its end, with variables.
    pub fn hm_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
        Ran::new(
            self.command(arguments)
                .envs(variables.iter().copied())
                .output()
                .unwrap(),
        )
    }

    /// Replaces the folder's random name, so that texts can be compared.
    pub fn plain(&self, text: &str) -> String {
        let real = self.folder.path().canonicalize().unwrap();
        text.replace(real.to_str().unwrap(), "/world")
            .replace(self.folder.path().to_str().unwrap(), "/world")
    }
}

/// A pipeline of two steps, one after the other.
#[allow(dead_code, reason = "each test file uses what it needs")]
pub const TWO_STEPS: &str = "\
image = \"host\"
[steps.build]
run = \"echo built > out\"
[steps.test]
from = \"build\"
run = \"cat out\"
";
