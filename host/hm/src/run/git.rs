//! Branch, commit and repository, as git tells them. No git, or no repository, is fine.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use hm_exec::SourceMeta;
use tokio::process::Command;

/// How long git is waited for. It takes milliseconds, and for ever where a file of the
/// repository is a pipe.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks git about the repository at `root`. `branch` and `message` are the user's own words.
pub(super) async fn describe(
    root: &Path,
    branch: Option<String>,
    message: Option<String>,
) -> SourceMeta {
    let told = SourceMeta {
        branch: branch.clone().unwrap_or(SourceMeta::default().branch),
        message: message.clone(),
        ..SourceMeta::default()
    };
    // What is given up is killed.
    tokio::time::timeout(PATIENCE, ask(root, branch, message))
        .await
        .unwrap_or(told)
}

async fn ask(root: &Path, branch: Option<String>, message: Option<String>) -> SourceMeta {
    let unknown = SourceMeta::default();
    // One process for both: the commit, then the branch's short name or `HEAD`.
    let head = git(root, &["rev-parse", "HEAD", "--abbrev-ref", "HEAD"]).await;
    let mut lines = head.iter().flat_map(|text| text.lines());
    let commit = lines.next().map_or(unknown.commit, str::to_owned);
    let found = lines.next().map(str::to_owned);
    SourceMeta {
        branch: branch.or(found).unwrap_or(unknown.branch),
        commit,
        message,
        repo_name: git(root, &["config", "--get", "remote.origin.url"])
            .await
            .and_then(|url| owner_and_name(url.trim())),
    }
}

async fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(arguments)
        // Asks nobody, and takes no lock that another git could want.
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns `owner/name` of a remote's address: its last two parts.
fn owner_and_name(url: &str) -> Option<String> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        // As `user@host:owner/name`.
        None => url.split_once(':')?.1,
    };
    let path = path.trim_end_matches('/').trim_end_matches(".git");
    let mut parts = path.rsplit('/');
    let (name, owner) = (parts.next()?, parts.next()?);
    (!name.is_empty() && !owner.is_empty()).then(|| format!("{owner}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::owner_and_name;

    #[test]
    fn a_remote_names_owner_and_repository() {
        for url in [
            "https://git.example/acme/tool.git",
            "ssh://git@git.example:22/acme/tool",
            "git@git.example:acme/tool.git",
            "https://git.example/group/acme/tool/",
        ] {
            assert_eq!(owner_and_name(url).as_deref(), Some("acme/tool"), "{url}");
        }
        for url in ["/srv/git/tool.git", "https://git.example", "tool", ""] {
            assert_eq!(owner_and_name(url), None, "{url}");
        }
    }
}
