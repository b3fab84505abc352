//! `hm backend grant`: lets a component run, by the digest of its bytes.

use std::path::PathBuf;

use hm_exec::{ImagePolicy, Limits, Pattern, PatternError, PrivateRange};
use hm_plugin_protocol::Network;

use crate::config::{Folders, Layer, Settings};
use crate::consent::{self, Grant, GrantFile, HttpReach, LimitValue, VmReach};
use crate::failure::{Exit, Failure};
use crate::project;
use crate::run::{self, Choice};
use crate::terminal::Terminal;

/// Allow a component to run in this repository
#[derive(clap::Args)]
pub(super) struct Args {
    /// The digest of the component, or its file
    #[arg(value_name = "DIGEST|FILE")]
    component: String,
    /// It may start machines and run the pipeline's steps in them
    #[arg(long)]
    vm: bool,
    /// The furthest that its machines may reach
    #[arg(long, value_name = "NETWORK", value_parser = ["none", "public", "host"], requires = "vm")]
    vm_network: Option<String>,
    /// The engine that makes its machines; the one that would be used now, if not given
    #[arg(long, value_name = "ENGINE", requires = "vm")]
    vm_engine: Option<String>,
    /// What its machines boot from: `plan` for what a pipeline names, an image, PREFIX/*, or
    /// `host` for this machine's own file system; `plan` if not given
    #[arg(long, value_name = "IMAGE", requires = "vm")]
    vm_image: Vec<String>,
    /// It may read the source tree, and what commands of its own print
    #[arg(long)]
    source: bool,
    /// It may send requests that this covers, as https://api.example.com/v1/; `none` for HTTP
    /// without any place yet
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    http: Vec<String>,
    /// It may reach this address or range though it is not public
    #[arg(long, value_name = "CIDR", value_parser = private)]
    http_private: Vec<String>,
    /// It may use this method; without, all but CONNECT and TRACE
    #[arg(long, value_name = "METHOD", value_parser = method)]
    http_method: Vec<String>,
    /// Requests that PATTERN covers get the header of the entry NAME in credentials.toml; the
    /// component never sees it
    #[arg(long, value_name = "PATTERN=NAME", value_parser = credential)]
    credential: Vec<(String, String)>,
    /// It is handed the value of this secret, and not its name alone
    #[arg(long, value_name = "NAME")]
    secret: Vec<String>,
    /// A limit, down or up, as memory=512MiB; `hm backend limits` lists them
    #[arg(long, value_name = "KEY=VALUE", value_parser = limit)]
    limit: Vec<(String, LimitValue)>,
    /// In every repository, not only in this one
    #[arg(long)]
    any_repo: bool,
    /// The repository's folder, instead of the one that the current folder is in
    #[arg(short, long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Writes the grant.
pub(super) fn run(args: &Args, folders: &Folders, terminal: &Terminal) -> Result<Exit, Failure> {
    let root = project::find_root(args.dir.as_deref())?;
    let settings = Settings::load(folders, root.as_deref(), Layer::default())?;
    let (digest, name) = component(args, folders, &settings)?;
    let repo = match (&root, args.any_repo) {
        (_, true) => "*".to_owned(),
        (Some(root), false) => root.to_string_lossy().into_owned(),
        (None, false) => {
            return Err(Failure::usage(
                "this is no repository: there is no `.hm` folder here or above",
            )
            .hint("go to the repository in which the backend is to run, or add `--any-repo`"));
        }
    };
    let grant = Grant {
        name: name.clone(),
        repos: vec![repo],
        allow: [("vm", args.vm), ("source", args.source)]
            .into_iter()
            .filter(|(_, is_given)| *is_given)
            .map(|(name, _)| name.to_owned())
            .collect(),
        settings: chosen_by_repository(&digest, folders, &settings),
        secrets: args.secret.clone(),
        vm: args.vm.then(|| args.machines(&settings)),
        http: args.http(),
        limits: args.limit.iter().cloned().collect(),
    };
    let mut grants = GrantFile::read(folders)?;
    let ended = grants.add(&digest, grant);
    check_suffices(args, &digest, &grants, folders, &settings)?;
    grants.write()?;
    for repo in ended {
        terminal.warn(&format!(
            "what was allowed in {} was something else, and has ended",
            hm_render::clean_line(&repo)
        ));
    }
    let place = if args.any_repo {
        "in every repository"
    } else {
        "in this repository"
    };
    terminal.note(&format!(
        "`{}` may run {place}\n  {digest}\n  to undo:  hm backend revoke {digest}",
        hm_render::clean_line(&name)
    ));
    Ok(Exit::Success)
}

impl Args {
    fn machines(&self, settings: &Settings) -> VmReach {
        VmReach {
            engine: self
                .vm_engine
                .clone()
                .unwrap_or_else(|| run::engine_name(settings).to_owned()),
            images: if self.vm_image.is_empty() {
                vec![ImagePolicy::PLAN.to_owned()]
            } else {
                self.vm_image.clone()
            },
            network: self
                .vm_network
                .as_deref()
                .and_then(run::network)
                .unwrap_or(Network::None),
        }
    }

    fn http(&self) -> Option<HttpReach> {
        let is_given = !self.http.is_empty()
            || !self.http_private.is_empty()
            || !self.http_method.is_empty()
            || !self.credential.is_empty();
        is_given.then(|| HttpReach {
            hosts: self
                .http
                .iter()
                .filter(|host| *host != NOWHERE)
                .cloned()
                .collect(),
            private: self.http_private.clone(),
            methods: (!self.http_method.is_empty()).then(|| self.http_method.clone()),
            credentials: self.credential.iter().cloned().collect(),
        })
    }
}

/// `--http none`: the component may import HTTP; each place that it wants is refused, with
/// the flag that grants it.
const NOWHERE: &str = "none";

fn pattern(text: &str) -> Result<String, String> {
    if text == NOWHERE {
        return Ok(text.to_owned());
    }
    match text.parse::<Pattern>() {
        Ok(pattern) => Ok(pattern.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn private(text: &str) -> Result<String, String> {
    text.parse::<PrivateRange>().map(|range| range.to_string())
}

fn method(text: &str) -> Result<String, String> {
    let is_word = !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    match text {
        "CONNECT" | "TRACE" => Err("this method cannot be granted".into()),
        _ if is_word => Ok(text.to_owned()),
        _ => Err(format!(
            "a method is written in capitals, as `{}`",
            text.to_ascii_uppercase()
        )),
    }
}

fn credential(text: &str) -> Result<(String, String), String> {
    // A path may hold one too.
    let (at, name) = text.rsplit_once('=').ok_or("write it as PATTERN=NAME")?;
    let at: Pattern = at
        .parse()
        .map_err(|error: PatternError| error.to_string())?;
    if at.is_in_the_clear() {
        return Err("it would be sent in the clear; a credential needs https".into());
    }
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err("NAME is an entry of credentials.toml: letters, digits, `-` and `_`".into());
    }
    Ok((at.to_string(), name.to_owned()))
}

/// Tells at once if the component in a file imports what would still not be granted.
fn check_suffices(
    args: &Args,
    digest: &str,
    grants: &GrantFile,
    folders: &Folders,
    settings: &Settings,
) -> Result<(), Failure> {
    if consent::is_digest(&args.component) {
        return Ok(());
    }
    let (choice, inspection) = super::inspect_component(&args.component, folders, settings)?;
    let grant = grants.grants().get(digest);
    let lacks = |name: &&str| !grant.is_some_and(|grant| grant.has(name));
    let names = inspection.asks.iter().map(|interface| interface.name());
    if names.clone().find(lacks).is_none() {
        return Ok(());
    }
    let http = choice.http();
    let failure = Failure::usage(format!(
        "`{}` asks for more than that:\n{}",
        args.component,
        run::describe(&inspection, &http)
    ));
    let need = consent::Need {
        http: http.iter().map(|(pattern, _)| pattern.clone()).collect(),
        ..super::need(&inspection, std::path::Path::new("/"), settings, None)
    };
    Err(failure.hint(consent::command(&need)))
}

fn limit(text: &str) -> Result<(String, LimitValue), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("write it as KEY=VALUE, for example memory=512MiB")?;
    let value = LimitValue::from(value);
    value.apply(name, &mut Limits::default())?;
    Ok((name.to_owned(), value))
}

/// Returns digest and name.
fn component(
    args: &Args,
    folders: &Folders,
    settings: &Settings,
) -> Result<(String, String), Failure> {
    if consent::is_digest(&args.component) {
        let short = args.component["sha256:".len()..].chars().take(12).collect();
        return Ok((args.component.clone(), short));
    }
    if args.component.starts_with("sha256:") {
        return Err(
            Failure::usage("a digest is `sha256:` and 64 digits from 0 to 9 and a to f")
                .hint("`hm backend inspect FILE` prints it"),
        );
    }
    let (choice, inspection) = super::inspect_component(&args.component, folders, settings)?;
    if !matches!(choice, Choice::Stranger(_)) {
        return Err(Failure::usage(format!(
            "`{}` is built in, and needs no grant",
            choice.name()
        )));
    }
    Ok((inspection.digest.clone(), choice.name().to_owned()))
}

/// Returns what stands for the settings that this repository chose for the component, if it
/// is one of the configured ones.
fn chosen_by_repository(digest: &str, folders: &Folders, settings: &Settings) -> Option<String> {
    settings.backend_names().iter().find_map(|name| {
        let backend = settings.named_backend(name).ok()??;
        if backend.from_repository.is_empty() {
            return None;
        }
        let (_, inspection) = super::inspect_component(name, folders, settings).ok()?;
        (inspection.digest == digest)
            .then(|| consent::settings_digest(&backend.from_repository))
            .flatten()
    })
}
