//! Folders with a pipeline in them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;
use tempfile::TempDir;

/// A repository with one pipeline, and its own state.
pub struct Project {
    folder: TempDir,
}

impl Project {
    /// Makes a project with `.hm/ci.toml`.
    pub fn new(pipeline: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hm-bench-").tempdir()?;
        fs::create_dir_all(folder.path().join("repo/.hm"))?;
        fs::write(folder.path().join("repo/.hm/ci.toml"), pipeline)?;
        Ok(Self { folder })
    }

    /// Adds files of 100 bytes, 100 to a folder.
    pub fn with_files(self, count: usize) -> Result<Self> {
        self.with_files_of(count, 100)
    }

    /// Adds files of this many bytes, 100 to a folder.
    pub fn with_files_of(self, count: usize, bytes: usize) -> Result<Self> {
        let content = vec![b'x'; bytes];
        for index in 0..count {
            let folder = self.root().join(format!("src/{}", index / 100));
            if index % 100 == 0 {
                fs::create_dir_all(&folder)?;
            }
            fs::write(folder.join(format!("file-{index}")), &content)?;
        }
        Ok(self)
    }

    /// Writes the user's configuration.
    pub fn configure(&self, text: &str) -> Result<()> {
        let folder = self.folder.path().join("CONFIG");
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join("config.toml"), text)?)
    }

    /// Returns the repository.
    pub fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("repo")
    }

    /// Returns `hm run` in the project, its output to `/dev/null`.
    pub fn run(&self, hm: &Path, args: &[&str]) -> Command {
        let mut command = self.hm(hm, &["run", "--format", "plain"]);
        command.args(args);
        command
    }

    /// Returns a call of `hm` in the project, its output to `/dev/null`.
    pub fn hm(&self, hm: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(hm);
        command.current_dir(self.root()).args(args);
        for name in ["CONFIG", "CACHE", "STATE"] {
            command.env(format!("HM_{name}_DIR"), self.folder.path().join(name));
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Returns a file in the project's folder, for output.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}
