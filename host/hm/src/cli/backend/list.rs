//! `hm backend list`: what there is, and what was granted.

use std::io::Write;

use hm_render::clean_line;

use crate::config::{Folders, Layer, Settings};
use crate::consent::{self, Grant, GrantFile, HttpReach};
use crate::failure::{Exit, Failure};
use crate::project;

/// List built-in and configured backends, and all grants
#[derive(clap::Args)]
pub(super) struct Args {}

/// Prints both lists.
pub(super) fn run(folders: &Folders) -> Result<Exit, Failure> {
    let root = project::find_root(None)?;
    let settings = Settings::load(folders, root.as_deref(), Layer::default())?;
    let mut text = "local     built in: runs the steps on this machine\n\
                    cloud     built in: runs the steps in Harmont's cloud\n"
        .to_owned();
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
        text += &format!(
            "{}\n  name     {}\n",
            clean_line(digest),
            clean_line(&grant.name)
        );
        text += &scopes(grant, "  ");
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

/// Returns what a grant allows, a line each.
pub(super) fn scopes(grant: &Grant, indent: &str) -> String {
    let line = |head: &str, text: &str| format!("{indent}{head:<8} {}\n", clean_line(text));
    let mut allow = grant.allow.clone();
    allow.extend(grant.http.is_some().then(|| "http".to_owned()));
    let mut text = if allow.is_empty() {
        line("allowed", "to run")
    } else {
        line("allowed", &allow.join(", "))
    };
    if let Some(vm) = &grant.vm {
        text += &line("engine", &vm.engine);
        text += &line("images", &vm.images.join(", "));
        text += &line("network", consent::word(vm.network));
    }
    if let Some(http) = &grant.http {
        text += &places(http, line);
    }
    if !grant.secrets.is_empty() {
        text += &line("reads", &format!("secrets {}", grant.secrets.join(", ")));
    }
    for (key, value) in &grant.limits {
        text += &line("limit", &format!("{key} = {value}"));
    }
    text
}

fn places(http: &HttpReach, line: impl Fn(&str, &str) -> String) -> String {
    let mut text = String::new();
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
    text
}
