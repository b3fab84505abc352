//! `hm run`: its flags, and how they become a run.

use std::path::PathBuf;
use std::time::Duration;

use hm_render::ReportFormat;

use super::{Global, flags};
use crate::config::{Layer, Origin, Setting, Value};
use crate::failure::{Exit, Failure};
use crate::run::{self, Options, WantedReport};
use crate::terminal::Terminal;

/// Run a pipeline on the working tree
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Name of the pipeline; the only one if there is but one
    pipeline: Option<String>,
    /// What runs the steps: `local`, `docker` (`local` with that engine), `cloud` (Harmont's),
    /// a name of the configuration, or a component's FILE.wasm
    #[arg(long, value_name = "NAME|FILE", help_heading = "What runs it")]
    backend: Option<String>,
    /// What machines are made with
    #[arg(long, value_name = "ENGINE", help_heading = "What runs it")]
    engine: Option<Engine>,
    /// Boot TO where a step names the image FROM, in which `*` stands for any text; `'*=host'`
    /// runs all on this machine's own file system
    #[arg(long, value_name = "FROM=TO", value_parser = image_rule, help_heading = "What runs it")]
    image: Vec<(String, String)>,
    /// What steps can reach that do not say it themselves
    #[arg(long, value_name = "NETWORK", help_heading = "What runs it")]
    network: Option<Network>,
    /// Organization in the cloud, instead of the one that `hm cloud org switch` chose
    #[arg(long, value_name = "SLUG", help_heading = "What runs it")]
    org: Option<String>,
    /// Read this document instead of `.hm/`; `-` is standard input
    #[arg(long, value_name = "FILE", help_heading = "What is run")]
    file: Option<PathBuf>,
    /// Work in this folder instead of the current one
    #[arg(short, long, value_name = "DIR", help_heading = "What is run")]
    dir: Option<PathBuf>,
    /// Set a variable for all steps
    #[arg(short, long, value_name = "KEY=VALUE", help_heading = "What is run")]
    env: Vec<String>,
    /// Set the variables of a file, one KEY=VALUE a line; `-e` wins
    #[arg(long, value_name = "FILE", help_heading = "What is run")]
    env_file: Vec<PathBuf>,
    /// Give steps that want `hm-secret:NAME` the value of $NAME, or a file's, and hide it in
    /// all output
    #[arg(long, value_name = "NAME[=@FILE]", help_heading = "What is run")]
    secret: Vec<String>,
    /// Record this branch instead of git's
    #[arg(short, long, value_name = "NAME", help_heading = "What is run")]
    branch: Option<String>,
    /// Record a message with the run
    #[arg(short, long, value_name = "TEXT", help_heading = "What is run")]
    message: Option<String>,
    /// Run up to this many steps at once; one a processor if not given
    #[arg(
        short,
        long,
        alias = "parallelism",
        value_name = "N",
        help_heading = "How it is run"
    )]
    jobs: Option<u32>,
    /// After a failure go on with what does not depend on it
    #[arg(short, long, help_heading = "How it is run")]
    keep_going: bool,
    /// Neither use nor keep cached results
    #[arg(long, help_heading = "How it is run")]
    no_cache: bool,
    /// Stop the build after this time, as 90s, 30m or 1h30m
    #[arg(long, value_name = "DURATION", value_parser = flags::duration, help_heading = "How it is run")]
    timeout: Option<Duration>,
    /// Leave as soon as the service has taken the build, and print where it can be watched
    #[arg(long, help_heading = "How it is run")]
    no_watch: bool,
    /// Print what would run, and stop
    #[arg(long, help_heading = "How it is run")]
    dry_run: bool,
    /// How to show the build: `auto` is `human` on a terminal, `github` in GitHub Actions and
    /// `plain` elsewhere
    #[arg(long, value_name = "FORMAT", help_heading = "How it is shown")]
    format: Option<Format>,
    /// Write a report at the end: FORMAT is `junit`, `html` or `json`; may be given more than
    /// once
    #[arg(long, value_name = "FORMAT=FILE", value_parser = report, help_heading = "How it is shown")]
    report: Vec<WantedReport>,
    /// The predecessor's `--format plain`
    #[arg(long, hide = true, conflicts_with = "format")]
    logs: bool,
    /// The predecessor's `--backend cloud`
    #[arg(long, hide = true, conflicts_with = "backend")]
    cloud: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Engine {
    /// The sandbox where it works, else docker
    Auto,
    /// Namespaces and overlays of this machine's kernel
    Sandbox,
    /// Containers of a Docker daemon, or of Podman's service
    Docker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Network {
    /// Nothing
    None,
    /// The internet, without this machine and its private networks
    Public,
    /// What this machine can reach
    Host,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// `human` on a terminal, `github` in GitHub Actions, else `plain`
    Auto,
    /// Live state, logs of what failed, a summary; on standard error
    Human,
    /// Every line of every step; on standard output
    Plain,
    /// One JSON object an event; on standard output
    Json,
    /// As `plain`, with annotations of what failed, for the log of GitHub Actions
    Github,
}

/// Runs the pipeline.
pub(crate) fn run(args: Args, global: &Global, terminal: &Terminal) -> Result<Exit, Failure> {
    let settings = args.settings();
    let options = Options {
        pipeline: args.pipeline,
        dir: args.dir,
        file: args.file,
        env_files: args.env_file,
        env: args.env,
        secrets: args.secret,
        no_cache: args.no_cache,
        keep_going: args.keep_going,
        timeout: args.timeout,
        branch: args.branch,
        commit: None,
        message: args.message,
        no_watch: args.no_watch,
        dry_run: args.dry_run,
        reports: args.report,
        verbose: global.verbose,
        quiet: global.quiet,
        settings,
    };
    run::run(options, terminal)
}

impl Args {
    /// Returns the flags that the configuration knows too, as the layer over all others.
    fn settings(&self) -> Layer {
        let mut layer = Layer::default();
        let mut set = |path: &[&str], flag, value| {
            let path = path.iter().map(|part| (*part).to_owned()).collect();
            layer.settings.push(Setting {
                path,
                value,
                origin: Origin::Flag(flag),
            });
        };
        let word = |value: &dyn Named| Value::Text(value.name());
        let backend = self
            .backend
            .clone()
            .or_else(|| self.cloud.then(|| "cloud".to_owned()));
        if let Some(backend) = backend {
            set(&["backend"], "--backend", Value::Text(backend));
        }
        if let Some(org) = &self.org {
            set(&["cloud", "org"], "--org", Value::Text(org.clone()));
        }
        if let Some(engine) = &self.engine {
            set(&["engine"], "--engine", word(engine));
        }
        if let Some(network) = &self.network {
            set(&["vm", "network"], "--network", word(network));
        }
        if let Some(format) = self.format.as_ref().or(self.logs.then_some(&Format::Plain)) {
            set(&["format"], "--format", word(format));
        }
        if let Some(jobs) = self.jobs {
            set(&["jobs"], "--jobs", Value::Number(i64::from(jobs)));
        }
        for (from, to) in &self.image {
            set(&["images", from], "--image", Value::Text(to.clone()));
        }
        layer
    }
}

/// A flag's value by its name on the command line.
trait Named {
    fn name(&self) -> String;
}

impl<T: clap::ValueEnum> Named for T {
    fn name(&self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }
}

fn image_rule(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => {
            Ok((from.to_owned(), to.to_owned()))
        }
        _ => Err("write it as FROM=TO, for example '*=host'".into()),
    }
}

fn report(text: &str) -> Result<WantedReport, String> {
    let wanted = |format, path: &str| WantedReport {
        format,
        path: path.into(),
    };
    match text.split_once('=') {
        Some((_, "")) | None => {}
        Some(("junit", path)) => return Ok(wanted(ReportFormat::Junit, path)),
        Some(("html", path)) => return Ok(wanted(ReportFormat::Html, path)),
        Some(("json", path)) => return Ok(wanted(ReportFormat::Json, path)),
        Some(_) => {}
    }
    Err("write it as FORMAT=FILE, where FORMAT is junit, html or json".into())
}
