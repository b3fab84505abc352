//! What the cases share: guests that are built once, projects, and the checks that hold
//! for all of them.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use hm_tests::{Finished, Invocation, Project, guest};

/// Resident memory of `hm` itself, whatever the guest does, in KiB.
const MEMORY_KIB: u64 = 1 << 20;

/// Flags that let a component run steps on this machine, and commands of its own.
pub(crate) const VM: &[&str] = &[
    "--vm",
    "--vm-image",
    "host",
    "--vm-network",
    "host",
    "--source",
];

pub(crate) fn misbehave() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| guest("misbehave", "misbehave-backend"))
}

pub(crate) fn echo() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| guest("echo", "echo-backend"))
}

pub(crate) fn caller() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| guest("caller", "caller-backend"))
}

/// A project with one step that prints a word.
pub(crate) fn one_step() -> Project {
    Project::toml("[steps.a]\nimage = \"host\"\nrun = \"echo one\"")
}

#[track_caller]
pub(crate) fn grant(project: &Project, component: &Path, flags: &[&str]) {
    project
        .hm(["backend", "grant"])
        .arg(component)
        .args(flags)
        .run()
        .expect(0);
}

/// Returns `hm run` with a component.
pub(crate) fn by(project: &Project, component: &Path) -> Invocation {
    project.run().arg("--backend").arg(component)
}

/// Writes a component into the project.
pub(crate) fn write(project: &Project, name: &str, bytes: &[u8]) -> PathBuf {
    let path = project.path().join(format!("{name}.wasm"));
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Returns the command that a refusal printed, without `hm`.
#[track_caller]
pub(crate) fn printed_command(refused: &Finished) -> Vec<String> {
    let errors = refused.errors();
    let command = errors
        .lines()
        .find_map(|line| line.find("hm backend grant").map(|at| line[at..].trim()));
    let command = command.unwrap_or_else(|| panic!("no command in\n{errors}"));
    command
        .split_whitespace()
        .skip(1)
        .map(str::to_owned)
        .collect()
}

/// Runs to the end and checks what holds for every hostile component: a documented exit code,
/// no verdict that it could have forged, little memory, no escape on the way, in time.
#[track_caller]
pub(crate) fn endures(call: Invocation, codes: &[i32], within: Duration) -> Finished {
    let begun = Instant::now();
    let finished = call.run();
    let took = begun.elapsed();
    assert!(
        finished.code().is_some_and(|code| codes.contains(&code)),
        "{:?} is none of {codes:?}\n{}",
        finished.code(),
        finished.said()
    );
    assert!(took < within, "took {took:?}\n{}", finished.said());
    assert!(
        finished.peak_kib() < MEMORY_KIB,
        "{} KiB\n{}",
        finished.peak_kib(),
        finished.said()
    );
    if !finished.stdout.is_empty() {
        assert_ne!(finished.build().status, "passed", "{}", finished.said());
    }
    let shown = [finished.stdout.as_slice(), finished.errors().as_bytes()].concat();
    assert!(
        !shown.contains(&0x1b) && !shown.contains(&0x07),
        "an escape came through\n{}",
        finished.said()
    );
    finished
}

/// Checks that a good build works in the same project, whatever went before.
#[track_caller]
pub(crate) fn works(project: &Project) {
    project.write(
        ".hm/ci.toml",
        "[steps.a]\nimage = \"host\"\nrun = \"echo good\"",
    );
    let build = project.run().run().expect(0).build();
    assert_eq!(build.step("a").stdout(), ["good"]);
}

/// Returns a component's digest, found without `hm`.
pub(crate) fn digest(component: &Path) -> String {
    let sum = std::process::Command::new("sha256sum")
        .arg(component)
        .output()
        .unwrap();
    let text = String::from_utf8(sum.stdout).unwrap();
    format!("sha256:{}", text.split_whitespace().next().unwrap())
}

/// Returns machine code that `hm` compiled, without the seal around it.
pub(crate) fn machine_code() -> Vec<u8> {
    let project = one_step();
    let cache = project.path().join("cache");
    grant(&project, echo(), &[]);
    by(&project, echo())
        .env("HM_CACHE_DIR", &cache)
        .run()
        .expect(0);
    let entry = std::fs::read_dir(cache.join("components"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let bytes = std::fs::read(entry).unwrap();
    let start = bytes
        .windows(4)
        .position(|part| part == b"\x7fELF")
        .unwrap();
    bytes[start..bytes.len() - 32].to_vec()
}
