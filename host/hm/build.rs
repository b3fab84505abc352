//! Embeds what `hm backend new` unpacks: the sources of SDK and test kit, the interface,
//! and the examples that new projects begin as. They come from the workspace itself, so
//! that nothing of them stands twice.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use toml::{Table, Value};

/// Files and folders of the workspace that are embedded.
const EMBEDDED: &[&str] = &[
    "sdk/Cargo.toml",
    "sdk/src",
    "sdk/testkit/Cargo.toml",
    "sdk/testkit/src",
    "sdk/python",
    "wit/v0.1",
    "examples/backends/machines",
    "examples/backends/remote",
    "examples/backends/python",
    "examples/backends/python-http",
    "LICENSE-APACHE",
    "LICENSE-MIT",
];

/// What building or running an example leaves behind.
const LEFTOVERS: &[&str] = &["target", "__pycache__", ".venv"];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut code = String::from("pub(super) const FILES: &[(&str, &str)] = &[\n");
    for name in EMBEDDED {
        let path = root.join(name);
        println!("cargo::rerun-if-changed={}", path.display());
        for file in files(&path) {
            let name = file.strip_prefix(&root).expect("it lies below").display();
            let _ = writeln!(
                code,
                "    (\"{name}\", include_str!({:?})),",
                file.display().to_string()
            );
        }
    }
    code.push_str("];\n");
    let manifest = read(&root.join("Cargo.toml"));
    let _ = writeln!(
        code,
        "pub(super) const WORKSPACE: &str = {:?};",
        workspace(&manifest)
    );
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("embedded.rs"), code).expect("cargo's own folder can be written");
}

fn read(path: &Path) -> Table {
    println!("cargo::rerun-if-changed={}", path.display());
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the files at and below `path`, in order.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("it is being read").path())
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            let is_wasm = path
                .extension()
                .is_some_and(|extension| extension == "wasm");
            !is_wasm && name.is_some_and(|name| !LEFTOVERS.contains(&name))
        })
        .collect();
    paths.sort();
    paths.iter().flat_map(|path| files(path)).collect()
}

/// Returns the manifest of the workspace that SDK and test kit are unpacked as: what they
/// take from this one.
fn workspace(manifest: &Table) -> String {
    let ours = manifest["workspace"].as_table().expect("a table");
    let wanted = [
        "futures",
        "serde",
        "serde_json",
        "tracing",
        "wasip3",
        "wit-bindgen",
    ];
    let all = ours["dependencies"].as_table().expect("a table");
    let mut dependencies = Table::new();
    for name in wanted {
        dependencies.insert(name.into(), all[name].clone());
    }
    for (name, path) in [
        ("hm-backend-sdk", "sdk"),
        ("hm-backend-testkit", "sdk/testkit"),
    ] {
        let path = Table::from_iter([("path".to_owned(), Value::from(path))]);
        dependencies.insert(name.into(), path.into());
    }
    let members = Value::from(vec!["sdk", "sdk/testkit"]);
    let workspace = Table::from_iter([
        ("resolver".to_owned(), ours["resolver"].clone()),
        ("members".to_owned(), members),
        ("package".to_owned(), ours["package"].clone()),
        ("dependencies".to_owned(), dependencies.into()),
        ("lints".to_owned(), ours["lints"].clone()),
    ]);
    let manifest = Table::from_iter([("workspace".to_owned(), Value::from(workspace))]);
    format!("# The sources of hm's SDK and test kit, until they are published.\n{manifest}")
}
