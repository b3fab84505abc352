//! `hm backend test`: holds a component against the contract.

use std::path::PathBuf;

use hm_conformance::{Kit, KitError};
use hm_exec::{
    CloudBackend, ComponentSource, Grants, HttpGrant, HttpNetwork, LocalBackend, Pattern,
};

use crate::cloud::Account;
use crate::config::{Folders, Layer, Settings};
use crate::failure::{Exit, Failure};
use crate::run::{self, CloudChoice};
use crate::terminal::Terminal;

/// Hold a backend against the contract, in builds of every kind
///
/// `cloud` is tried on the service that HM_API_URL names, with some 25 builds, one of them of
/// 2,000 steps.
#[derive(clap::Args)]
pub(super) struct Args {
    /// A component's file, `local` or `cloud`
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A setting for the backend; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    setting: Vec<(String, String)>,
    /// Requests that it may send in these builds, as http://127.0.0.1:7878/
    #[arg(long, value_name = "PATTERN")]
    http: Vec<Pattern>,
    /// Write the results as JUnit XML too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("is to be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// What is tried, with which settings and grants.
type Subject = (ComponentSource, Vec<(String, String)>, Grants);

/// Runs the kit; the exit code is 0 if no check failed, else 1.
pub(super) fn run(args: &Args, folders: &Folders, terminal: &Terminal) -> Result<Exit, Failure> {
    let configured = Settings::load(folders, None, Layer::default())?;
    let tokio = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::caused(Exit::Unavailable, "no runtime", error))?;
    let (source, settings, grants) = match args.file.to_str() {
        Some("cloud") => tokio.block_on(cloud(args, folders, &configured, terminal))?,
        Some("local") => stranger(args, LocalBackend::source(), &configured)?,
        _ => stranger(args, ComponentSource::File(args.file.clone()), &configured)?,
    };
    let notes = *terminal;
    let kit = Kit {
        runtime: run::runtime(folders, &configured)?,
        source,
        settings,
        grants,
        progress: Box::new(move |scenario| notes.note(&format!("trying {scenario}"))),
    };
    let report = tokio.block_on(kit.run()).map_err(failure)?;
    if let Some(file) = &args.junit {
        std::fs::write(file, report.junit()).map_err(|error| {
            let what = format!("cannot write {}", file.display());
            Failure::caused(Exit::Usage, what, error)
        })?;
    }
    use std::io::Write;
    std::io::stdout()
        .lock()
        .write_all(report.text().as_bytes())?;
    Ok(if report.is_passed() {
        Exit::Success
    } else {
        Exit::Code(1)
    })
}

fn stranger(
    args: &Args,
    source: ComponentSource,
    configured: &Settings,
) -> Result<Subject, Failure> {
    let grants = Grants {
        http: Some(http(&args.http)),
        limits: run::limits(configured)?,
        ..Grants::default()
    };
    Ok((source, args.setting.clone(), grants))
}

/// Harmont's own service is not for trials: these builds cost somebody's credit.
async fn cloud(
    args: &Args,
    folders: &Folders,
    configured: &Settings,
    terminal: &Terminal,
) -> Result<Subject, Failure> {
    let hint = "HM_API_URL=http://127.0.0.1:PORT HM_API_TOKEN=TOKEN hm backend test cloud";
    if configured.cloud("api_url").is_none() {
        let what = "no service is named on which `cloud` may be tried, by some 25 builds";
        return Err(Failure::usage(what).hint(hint));
    }
    if !args.setting.is_empty() || !args.http.is_empty() {
        let what = "`cloud` takes its settings from the login; --setting and --http are for files";
        return Err(Failure::usage(what).hint(hint));
    }
    let account = Account::find(folders, configured, terminal)?;
    let config = run::cloud_config(&CloudChoice::default(), &account, configured).await?;
    let limits = run::limits(configured)?;
    let (settings, grants) = CloudBackend::lend(config, &limits).map_err(run::cloud_failure)?;
    Ok((CloudBackend::source(), settings, grants))
}

fn http(patterns: &[Pattern]) -> HttpGrant {
    HttpGrant {
        patterns: patterns.to_vec(),
        private: Vec::new(),
        methods: None,
        credentials: Vec::new(),
        network: HttpNetwork::default(),
    }
}

fn failure(error: KitError) -> Failure {
    match error {
        KitError::Load(error) => run::load_failure(error),
        error => Failure::new(Exit::Unavailable, error),
    }
}
