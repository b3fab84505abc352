//! What the house promises about itself: arrows between rooms, sizes, and standing alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hm_tests::workspace;

/// Rooms, and the rooms that each may use: in the program, and to build it (design, "Rooms").
const ARROWS: &[(&str, &[&str], &[&str])] = &[
    (
        "hm",
        &[
            "hm-exec",
            "hm-render",
            "hm-pipeline",
            "hm-vm",
            "hm-conformance",
            "hm-plugin-protocol",
            "hm-cloud-api",
            "hm-guest-toolchain",
        ],
        &[],
    ),
    (
        "hm-conformance",
        &["hm-exec", "hm-vm", "hm-plugin-protocol"],
        &[],
    ),
    (
        "hm-exec",
        &["hm-plugin-protocol", "hm-vm"],
        &["hm-guest-toolchain"],
    ),
    ("hm-render", &["hm-plugin-protocol"], &[]),
    ("hm-pipeline", &["hm-plugin-protocol"], &[]),
    ("hm-vm", &[], &[]),
    ("hm-plugin-protocol", &[], &[]),
    ("hm-backend-sdk", &[], &[]),
    ("hm-backend-testkit", &["hm-backend-sdk"], &[]),
    ("hm-guest-toolchain", &[], &[]),
    // Plain data of one service, for the backend inside and the commands outside.
    ("hm-cloud-api", &[], &[]),
    ("hm-plugin-cloud", &["hm-backend-sdk", "hm-cloud-api"], &[]),
];

/// Crates that look at the whole from outside, and may use any room.
const OUTSIDE: &[&str] = &["hm-tests", "hm-fake-cloud", "hm-bench", "hm-fuzz", "xtask"];

/// Lines of a Rust file: the most, the ninth decile, the median.
const MOST_LINES: usize = 800;
const DECILE_LINES: usize = 450;
const MEDIAN_LINES: usize = 200;

fn manifest(folder: &Path) -> toml::Table {
    let path = folder.join("Cargo.toml");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn members() -> Vec<toml::Table> {
    let root = manifest(workspace());
    let members = root["workspace"]["members"].as_array().unwrap();
    members
        .iter()
        .map(|member| manifest(&workspace().join(member.as_str().unwrap())))
        .collect()
}

fn name(manifest: &toml::Table) -> &str {
    manifest["package"]["name"].as_str().unwrap()
}

/// Returns the names of a table's dependencies, as the packages that they really are.
fn dependencies(manifest: &toml::Table, table: &str) -> BTreeSet<String> {
    let entries = manifest.get(table).and_then(toml::Value::as_table);
    let entries = entries.into_iter().flatten();
    entries
        .map(|(key, value)| {
            value
                .get("package")
                .and_then(toml::Value::as_str)
                .unwrap_or(key)
                .to_owned()
        })
        .collect()
}

#[test]
fn arrows_between_rooms_point_one_way() {
    let members = members();
    let rooms: BTreeSet<String> = members
        .iter()
        .map(|member| name(member).to_owned())
        .collect();
    let mut wrong = Vec::new();
    for member in &members {
        let room = name(member);
        if OUTSIDE.contains(&room) {
            continue;
        }
        let (normal, build): (&[&str], &[&str]) =
            match ARROWS.iter().find(|(known, _, _)| *known == room) {
                Some((_, normal, build)) => (normal, build),
                None if room.starts_with("hm-plugin-") => (&["hm-backend-sdk"], &[]),
                None => panic!("room {room} is not in the table of arrows"),
            };
        for (table, allowed) in [("dependencies", normal), ("build-dependencies", build)] {
            let used = dependencies(member, table);
            wrong.extend(
                used.intersection(&rooms)
                    .filter(|other| !allowed.contains(&other.as_str()))
                    .map(|other| format!("{room} → {other} ({table})")),
            );
        }
        // A table for one platform would hide an arrow from this test.
        assert!(
            member.get("target").is_none(),
            "{room} has dependencies by platform"
        );
    }
    assert_eq!(wrong, [""; 0], "arrows against the design");
}

/// Two things that only one room may know of.
#[test]
fn wasmtime_and_terminals_stay_in_their_rooms() {
    for member in members() {
        let used = dependencies(&member, "dependencies");
        let wasmtime = used.iter().any(|name| name.starts_with("wasmtime"));
        assert!(
            !wasmtime || name(&member) == "hm-exec" || OUTSIDE.contains(&name(&member)),
            "{}",
            name(&member)
        );
        let clap = used.contains("clap");
        assert!(
            !clap || name(&member) == "hm" || OUTSIDE.contains(&name(&member)),
            "{}",
            name(&member)
        );
    }
}

/// Returns all files that belong to the project, without what cargo makes.
fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![workspace().to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            let kind = entry.file_type().unwrap();
            if kind.is_dir()
                && !["target", ".git", "__pycache__", "node_modules"]
                    .iter()
                    .any(|other| name == *other)
            {
                open.push(entry.path());
            } else if kind.is_file() && name != ".git" {
                // Git's own, where the checkout is a second worktree.
                files.push(entry.path());
            }
        }
    }
    files.sort();
    files
}

fn below(path: &Path) -> &Path {
    path.strip_prefix(workspace()).unwrap()
}

#[test]
fn files_are_small() {
    let rust = files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let mut sizes: Vec<(usize, PathBuf)> = rust
        .map(|path| (fs::read_to_string(&path).unwrap().lines().count(), path))
        .collect();
    sizes.sort();
    let (largest, path) = sizes.last().unwrap();
    assert!(
        *largest <= MOST_LINES,
        "{} has {largest} lines",
        below(path).display()
    );
    let (decile, path) = &sizes[sizes.len() * 9 / 10];
    assert!(
        *decile <= DECILE_LINES,
        "one file in ten has more lines than {} with {decile}",
        below(path).display()
    );
    let (median, _) = sizes[sizes.len() / 2];
    assert!(median <= MEDIAN_LINES, "the median is {median} lines");
}

/// A checkout must build and test anywhere, with nothing beside it.
#[test]
fn nothing_reaches_outside() {
    // In two parts, as this file is one of those that are read.
    let forbidden = [
        concat!("../", "shared"),
        concat!("/wo", "rk/"),
        concat!("/root/.car", "go"),
    ];
    let mut found = Vec::new();
    for path in files() {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            if forbidden.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}", below(&path).display(), number + 1));
            }
        }
    }
    assert_eq!(found, [""; 0], "names a place of one machine");
}

/// It would make plain `cargo` reach for the network.
#[test]
fn there_is_no_toolchain_file() {
    let found: Vec<_> = files()
        .into_iter()
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("rust-toolchain"))
        })
        .collect();
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(
        manifest(workspace())["workspace"]["package"]["rust-version"].as_str(),
        Some("1.95")
    );
}

fn cargo(args: &[&str]) -> String {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let output = cargo.args(args).current_dir(workspace()).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the folder of a crate's sources, in the version of the lock file.
fn sources(metadata: &serde_json::Value, name: &str) -> PathBuf {
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == name);
    let manifest = package.unwrap_or_else(|| panic!("{name} is linked"))["manifest_path"].as_str();
    Path::new(manifest.unwrap()).parent().unwrap().to_owned()
}

/// What WASI says is WASI's to change: the text is that of the crates which host and guests
/// are linked with.
#[test]
fn vendored_interfaces_are_those_of_the_lock_file() {
    let version = cargo(&["-vV"]);
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    // Other platforms' crates were never fetched.
    let metadata = cargo(&[
        "metadata",
        "--offline",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        host,
    ]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let theirs = [
        (
            "clocks.wit",
            sources(&metadata, "wasmtime-wasi").join("src/p3/wit/deps"),
        ),
        ("clocks.wit", sources(&metadata, "wasip3").join("wit/deps")),
        ("http.wit", sources(&metadata, "wasip3").join("wit/deps")),
    ];
    let ours = workspace().join("wit/v0.1/deps");
    for (name, folder) in &theirs {
        let ours = fs::read_to_string(ours.join(name)).unwrap();
        let theirs = fs::read_to_string(folder.join(name)).unwrap();
        // Its worlds pull in interfaces that we have no use for.
        let end = theirs
            .find("\n/// The `wasi:http/service` world")
            .unwrap_or(theirs.len());
        assert_eq!(ours.trim_end(), theirs[..end].trim_end(), "{name}");
    }
    for entry in fs::read_dir(ours).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(
            theirs.iter().any(|(known, _)| name == *known),
            "{name:?} is compared with nothing"
        );
    }
}

#[test]
fn licences_are_there() {
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        let text = fs::read_to_string(workspace().join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.len() > 500, "{name} is no licence");
    }
    for member in members() {
        assert_eq!(
            member["package"]["license"]["workspace"].as_bool(),
            Some(true),
            "{}",
            name(&member)
        );
    }
}
