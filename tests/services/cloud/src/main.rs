//! The service by hand: `cargo xtask fake-cloud --port 4000 --token secret`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that talks to the person who called it"
)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use hm_fake_cloud::{Config, FakeCloud, Fault, Machines, Oddities, Versions};
use serde::Deserialize;
use tempfile::TempDir;

/// Serve Harmont's cloud on loopback, and run jobs in machines.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask fake-cloud")]
struct Arguments {
    /// Port on 127.0.0.1; 0 is any free one.
    #[arg(long, default_value_t = 4000)]
    port: u16,
    /// The bearer token that is let in.
    #[arg(long)]
    token: String,
    /// Boot TO where a plan says FROM; `*` stands for any text.
    #[arg(long, value_name = "FROM=TO", value_parser = rule)]
    image: Vec<(String, String)>,
    /// Prefixes to answer under.
    #[arg(long, value_enum, default_value_t = Version::Both)]
    version: Version,
    /// Silence before a log stream of a finished job ends, in milliseconds.
    #[arg(long)]
    idle: Option<u64>,
    /// Faults and oddities, as JSON: {"faults": […], "oddities": {…}}.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Version {
    V0,
    V1,
    Both,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Script {
    faults: Vec<Fault>,
    oddities: Oddities,
}

fn rule(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok((from.into(), to.into())),
        _ => Err("FROM=TO, as '*=host'".into()),
    }
}

fn main() -> Result<()> {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|first| first == "__sandbox")
    {
        std::process::exit(hm_vm::sandbox::spawner_main());
    }
    let arguments = Arguments::parse();
    let mut script = match &arguments.script {
        Some(path) => {
            let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
            serde_json::from_str::<Script>(&text).with_context(|| path.display().to_string())?
        }
        None => Script::default(),
    };
    if let Some(idle) = arguments.idle {
        script.oddities.idle_ms = idle;
    }
    let state = TempDir::with_prefix("hm-fake-cloud-state-")?;
    let spawner = vec!["/proc/self/exe".into(), "__sandbox".into()];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let entered = runtime.enter();
    let machines = Machines::open(state.path(), spawner, arguments.image)?;
    drop(entered);
    let mut config = Config::new(arguments.token, Arc::new(machines));
    config.port = arguments.port;
    config.faults = script.faults;
    config.oddities = script.oddities;
    config.versions = match arguments.version {
        Version::V0 => Versions::V0,
        Version::V1 => Versions::V1,
        Version::Both => Versions::Both,
    };
    let organization = config.organization.clone();
    let cloud = FakeCloud::start(config)?;
    println!(
        "{} serves organization `{organization}`; Ctrl-C ends it",
        cloud.url()
    );
    println!(
        "  export HM_API_URL={} HM_ORG={organization} HM_API_TOKEN={}",
        cloud.url(),
        cloud.token()
    );
    runtime.block_on(until_told())?;
    for violation in cloud.journal().violations() {
        eprintln!("against the description: {violation}");
    }
    cloud.stop();
    Ok(())
}

/// Waits for Ctrl-C, or to be terminated.
async fn until_told() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
