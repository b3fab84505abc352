//! `hm doctor`: what hm finds on this machine, and what to do about what is missing.

mod report;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use hm_vm::docker::DockerEngine;
use hm_vm::image::Images;
use hm_vm::sandbox::SandboxEngine;
use hm_vm::{Network, Probe, VmBackend, docker, sandbox};

use crate::config::{Folders, Layer, Settings, unknown_variables};
use crate::failure::{Exit, Failure};
use crate::run::EngineName;
use crate::terminal::Terminal;
use crate::{project, run};
use report::Report;

/// Check what hm needs on this machine, and where each setting comes from
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Work in this folder instead of the current one
    #[arg(short, long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints the report. Exit 0 if a build can run, else 4.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let folders = Folders::find()?;
    let root = project::find_root(args.dir.as_deref())?;
    let settings = Settings::load(&folders, root.as_deref(), Layer::default())?;
    let mut report = Report::new(terminal.color_on_stdout());
    let can_run = engines(&mut report, &folders, &settings)?;
    images(&mut report, &folders, &settings);
    toolchains(&mut report, &settings);
    python(&mut report);
    places(&mut report, &folders, root.as_deref());
    configuration(&mut report, &settings);
    std::io::stdout()
        .lock()
        .write_all(report.text(can_run).as_bytes())?;
    Ok(if can_run {
        Exit::Success
    } else {
        Exit::Unavailable
    })
}

/// Tries the engines; true if machines can be had by the one that is chosen.
fn engines(report: &mut Report, folders: &Folders, settings: &Settings) -> Result<bool, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::caused(Exit::Unavailable, "cannot start threads", error))?;
    let chosen = EngineName::chosen(folders, settings);
    let state = &folders.state.path;
    let is_automatic = settings.engine() == "auto";
    let mut can_run = false;
    for engine in EngineName::ALL {
        report.section(&format!("engine `{}`", engine.name()));
        let is_chosen = engine == chosen;
        let (probes, support) = match engine {
            EngineName::Sandbox => {
                let config = run::sandbox(state, settings);
                let probes = runtime.block_on(sandbox::probes(&config));
                (
                    probes,
                    SandboxEngine::open(config).map(|engine| engine.support()),
                )
            }
            EngineName::Docker => match run::docker(state) {
                Err(error) => (vec![unusable(&error)], Err(error)),
                Ok(config) => {
                    let probes = runtime.block_on(docker::probes(&config));
                    (
                        probes,
                        DockerEngine::open(config).map(|engine| engine.support()),
                    )
                }
            },
        };
        let works = probes
            .iter()
            .all(|probe| !probe.needed || probe.result.is_ok());
        for probe in probes {
            tell(report, probe, is_chosen);
        }
        if let (true, Ok(support)) = (works, &support) {
            report.fine("isolates", &support.isolation);
            report.fine("images", &support.images);
            report.fine("can limit", &support.limits);
            report.fine("networks", &networks(support));
        }
        can_run |= works && (is_chosen || is_automatic);
    }
    runtime.shutdown_background();
    Ok(can_run)
}

/// Tells of one thing that was tried. What only an engine lacks that nobody chose is no
/// failure.
fn tell(report: &mut Report, probe: Probe, is_chosen: bool) {
    match probe.result {
        Ok(found) => report.fine(probe.name, &found),
        Err((cause, remedy)) if probe.needed && is_chosen => {
            report.missing(probe.name, &cause, Some(&remedy));
        }
        Err((cause, remedy)) => report.limited(probe.name, &cause, Some(&remedy)),
    }
}

fn unusable(error: &hm_vm::VmError) -> Probe {
    Probe {
        name: "daemon",
        result: Err((error.to_string(), error.remedy().unwrap_or_default())),
        needed: true,
    }
}

fn networks(support: &hm_vm::Support) -> String {
    let words = support.networks.iter().map(|network| match network {
        Network::None => "none",
        Network::Public => "public",
        Network::Host => "host",
    });
    let list = words.collect::<Vec<_>>().join(", ");
    match &support.network_note {
        Some(note) => format!("{list}; {note}"),
        None => list,
    }
}

/// Tells what images are here, and how registries are reached.
fn images(report: &mut Report, folders: &Folders, settings: &Settings) {
    report.section("images");
    let listed = run::state(folders).and_then(|state| {
        let config = run::sandbox(state.root(), settings).images;
        let images = Images::open(&state, config).map_err(run::vm_failure)?;
        images.list().map_err(run::vm_failure)
    });
    match listed {
        Ok(images) => {
            let bytes = images.iter().map(|image| image.bytes).sum();
            let noun = if images.len() == 1 { "image" } else { "images" };
            report.fine(
                "here",
                &format!("{} {noun}, {}", images.len(), run::size(bytes)),
            );
        }
        Err(failure) => report.limited("here", &failure.error().to_string(), None),
    }
    if rustix::process::geteuid().is_root() {
        report.fine("owners", "files keep the owners that images give them");
    } else {
        report.limited(
            "owners",
            "all files of an image belong to its root, whatever the image says: this user has no \
             others to give",
            Some("run hm as root if steps need several users, as `apt-get` does"),
        );
    }
    for (host, options) in settings.registries() {
        match &options.ca {
            Some(ca) if !ca.is_file() => report.limited(
                &host,
                &format!("{} is not there", ca.display()),
                Some("correct `ca` under [registries] of your configuration"),
            ),
            Some(ca) => report.fine(&host, &format!("trusted by {}", ca.display())),
            None if options.insecure => report.limited(&host, "spoken to without TLS", None),
            None => report.fine(&host, "trusted as the system says"),
        }
    }
}

fn toolchains(report: &mut Report, settings: &Settings) {
    report.section("lent to machines, read-only");
    let exposed = run::exposed(settings);
    if exposed.is_empty() {
        report.limited(
            "toolchains",
            "none of the usual folders is in your home",
            None,
        );
    }
    for folder in exposed {
        if folder.is_dir() {
            report.fine("folder", &folder.display().to_string());
        } else {
            report.limited(
                "folder",
                &format!("{} is not there", folder.display()),
                None,
            );
        }
    }
}

/// Looks for what `.py` pipelines need; others do without.
fn python(report: &mut Report) {
    report.section("pipelines in Python");
    const ASK: &str = "import sys, importlib.metadata as m\nprint(sys.version.split()[0])\nprint(m.version('harmont'))";
    let output = Command::new("python3")
        .args(["-c", ASK])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let remedy = "`python3 -m pip install harmont==0.0.9`, or write pipelines as `.hm/NAME.toml`";
    match output {
        Err(error) => report.limited(
            "python3",
            &format!("cannot be started: {error}"),
            Some("install Python 3.11 or newer"),
        ),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let mut lines = text.lines();
            match lines.next() {
                Some(version) => report.fine("python3", version),
                None => report.limited(
                    "python3",
                    "does not run",
                    Some("install Python 3.11 or newer"),
                ),
            }
            match lines.next() {
                Some(version) => report.fine("harmont", version),
                None => report.limited("harmont", "is not installed for python3", Some(remedy)),
            }
        }
    }
}

fn places(report: &mut Report, folders: &Folders, root: Option<&std::path::Path>) {
    report.section("folders");
    for (name, folder) in [
        ("config", &folders.config),
        ("cache", &folders.cache),
        ("state", &folders.state),
    ] {
        report.fine(
            name,
            &format!("{}  ({})", folder.path.display(), folder.origin),
        );
    }
    match root {
        Some(root) => report.fine("repository", &root.display().to_string()),
        None => report.limited(
            "repository",
            "no `.hm` folder here or above",
            Some("`hm init` writes a first pipeline"),
        ),
    }
    if let Ok(space) = rustix::fs::statvfs(&folders.state.path) {
        let free = run::size(space.f_bavail.saturating_mul(space.f_frsize));
        report.fine("free space", &format!("{free} for state"));
    }
}

fn configuration(report: &mut Report, settings: &Settings) {
    report.section("configuration");
    for (name, value) in [
        ("backend", settings.backend().0.to_owned()),
        ("engine", settings.engine().to_owned()),
        ("format", settings.format().to_owned()),
    ] {
        if !settings
            .listing()
            .iter()
            .any(|(setting, _)| setting.name() == name)
        {
            report.fine(name, &format!("{value}  (default)"));
        }
    }
    for (setting, is_dormant) in settings.listing() {
        let text = format!("{}  ({})", setting.value, setting.origin);
        if is_dormant {
            report.limited(
                &setting.name(),
                &format!("{text}; nothing in this version reads it"),
                None,
            );
        } else {
            report.fine(&setting.name(), &text);
        }
    }
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in unknown_variables(names) {
        report.limited(&name, "is no variable of hm, and is ignored", None);
    }
}
