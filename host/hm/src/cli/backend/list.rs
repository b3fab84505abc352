//! `hm backend list`: what there is, and what was granted.

use std::io::Write;

use hm_render::clean_line;

use crate::config::{Folders, Layer, Settings};
use crate::consent::{self, GrantFile};
use crate::failure::{Exit, Failure};
use crate::project;

/// List built-in and configured backends, and all grants
#[derive(clap::Args)]
pub(super) struct Args {}

/// Prints both lists.
pub(super) fn run(folders: &Folders) -> Result<Exit, Failure> {
    let root = project::find_root(None)?;
    let settings = Settings::load(folders, root.as_deref(), Layer::default())?;
    let mut text = "local     built in: runs the steps on this machine\n".to_owned();
    for name in settings.backend_names() {
        let shown = clean_line(&name);
        text += &match settings.named_backend(&name) {
            Ok(Some(backend)) => format!(
                "{shown:<8}  {}\n",
                clean_line(&backend.file.display().to_string())
            ),
            _ => format!("{shown:<8}  has no file in the configuration\n"),
        };
    }
    let grants = GrantFile::read(folders)?;
    if !grants.grants().is_empty() {
        text += "\ngrants\n";
    }
    for (digest, grant) in grants.grants() {
        let mut allow = grant.allow.clone();
        allow.extend(grant.http.is_some().then(|| "http".to_owned()));
        let allow = if allow.is_empty() {
            "to run".to_owned()
        } else {
            allow.join(", ")
        };
        text += &format!(
            "{}\n  name     {}\n  allowed  {}\n",
            clean_line(digest),
            clean_line(&grant.name),
            clean_line(&allow)
        );
        if grant.vm.is_some() {
            text += &format!("  network  {}\n", consent::word(grant.network()));
        }
        if let Some(http) = &grant.http {
            let line = |head: &str, text: &str| format!("  {head:<8} {}\n", clean_line(text));
            for host in &http.hosts {
                text += &line("http", &consent::told(host));
            }
            for range in &http.private {
                text += &line("private", range);
            }
            if let Some(methods) = &http.methods {
                text += &line("methods", &methods.join(", "));
            }
            for (at, name) in &http.credentials {
                text += &line("with", &format!("credential {name} at {at}"));
            }
        }
        if !grant.secrets.is_empty() {
            text += &format!(
                "  reads    secrets {}\n",
                clean_line(&grant.secrets.join(", "))
            );
        }
        for repo in &grant.repos {
            let place = if repo == "*" {
                "every repository"
            } else {
                repo
            };
            text += &format!("  in       {}\n", clean_line(place));
        }
    }
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Success)
}
