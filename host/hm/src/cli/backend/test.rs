//! `hm backend test`: holds a component against the contract.

use std::path::PathBuf;

use hm_conformance::{Kit, KitError};
use hm_exec::{ComponentSource, Grants, HttpGrant, HttpNetwork, LocalBackend, Pattern};

use crate::config::{Folders, Layer, Settings};
use crate::failure::{Exit, Failure};
use crate::run;
use crate::terminal::Terminal;

/// Hold a backend against the contract, in builds of every kind
#[derive(clap::Args)]
pub(super) struct Args {
    /// A component's file, or `local`
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

/// Runs the kit; the exit code is 0 if no check failed, else 1.
pub(super) fn run(args: &Args, folders: &Folders, terminal: &Terminal) -> Result<Exit, Failure> {
    let source = if args.file.as_os_str() == "local" {
        LocalBackend::source()
    } else {
        ComponentSource::File(args.file.clone())
    };
    let settings = Settings::load(folders, None, Layer::default())?;
    let runtime = run::runtime(folders, &settings)?;
    let notes = *terminal;
    let kit = Kit {
        runtime,
        source,
        settings: args.setting.clone(),
        grants: Grants {
            http: Some(http(&args.http)),
            limits: run::limits(&settings)?,
            ..Grants::default()
        },
        progress: Box::new(move |scenario| notes.note(&format!("trying {scenario}"))),
    };
    let tokio = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::caused(Exit::Unavailable, "no runtime", error))?;
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
