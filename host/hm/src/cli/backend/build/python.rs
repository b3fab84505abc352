//! Python projects: componentize-py, and the metadata that Rust's SDK writes by itself.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// The tool, and the version that was tried with this hm.
const TOOL: &str = "componentize-py";
const VERSION: &str = "0.25.1";

/// What a project says of itself: `[tool.hm]` and `[project]` of its `pyproject.toml`.
struct Project {
    name: String,
    version: String,
    world: String,
    wit: PathBuf,
    paths: Vec<PathBuf>,
}

/// Builds the project in `dir`; returns its name and the component.
pub(super) fn build(dir: &Path, terminal: &Terminal) -> Result<(String, Vec<u8>), Failure> {
    let project = read(&dir.join("pyproject.toml"))?;
    let tool = find(dir).ok_or_else(|| {
        Failure::new(Exit::Unavailable, format!("there is no `{TOOL}`, which makes components of Python")).hint(format!(
            "in the project's folder:  python3 -m venv .venv && .venv/bin/pip install {TOOL}=={VERSION}"
        ))
    })?;
    terminal.note(&format!("building {} as a component", project.name));
    let folder = tempfile::tempdir()
        .map_err(|error| Failure::caused(Exit::Unavailable, "no temporary folder", error))?;
    let component = folder.path().join("component.wasm");
    let mut command = Command::new(&tool);
    command
        .current_dir(dir)
        .arg("--wit-path")
        .arg(&project.wit)
        .args(["--world", &project.world, "componentize", "app"]);
    for path in &project.paths {
        command.arg("--python-path").arg(path);
    }
    command.arg("--output").arg(&component).stdin(Stdio::null());
    let output = command.output().map_err(|error| {
        Failure::caused(
            Exit::Unavailable,
            format!("cannot run {}", tool.display()),
            error,
        )
    })?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let text = format!(
            "{TOOL} made no component ({})\n{}",
            output.status,
            said.trim_end()
        );
        return Err(Failure::new(Exit::Code(1), text));
    }
    let mut bytes = fs::read(&component).map_err(|error| {
        Failure::caused(
            Exit::Unavailable,
            format!("cannot read {}", component.display()),
            error,
        )
    })?;
    let sdk = env!("CARGO_PKG_VERSION");
    bytes.extend(section(&[&project.name, &project.version, sdk]));
    Ok((project.name, bytes))
}

fn read(manifest: &Path) -> Result<Project, Failure> {
    let shown = manifest.display();
    let text = fs::read_to_string(manifest)
        .map_err(|error| Failure::caused(Exit::Usage, format!("cannot read {shown}"), error))?;
    let table: toml::Table = text
        .parse()
        .map_err(|error| Failure::caused(Exit::Usage, format!("{shown} is no TOML"), error))?;
    let get = |path: [&str; 2], key: &str| {
        let mut at = table.get(path[0]);
        if !path[1].is_empty() {
            at = at.and_then(|value| value.get(path[1]));
        }
        let found = at.and_then(|value| value.get(key)).cloned();
        let name = path.join(".");
        found.ok_or_else(|| {
            let name = name.trim_end_matches('.');
            Failure::usage(format!("{shown} has no `{key}` in [{name}]"))
        })
    };
    let text = |value: toml::Value, key: &str| match value {
        toml::Value::String(text) => Ok(text),
        _ => Err(Failure::usage(format!("`{key}` in {shown} is to be text"))),
    };
    let paths = get(["tool", "hm"], "python-path")?;
    let paths = paths.as_array().cloned().unwrap_or_default();
    Ok(Project {
        name: text(get(["project", ""], "name")?, "name")?,
        version: text(get(["project", ""], "version")?, "version")?,
        world: text(get(["tool", "hm"], "world")?, "world")?,
        wit: text(get(["tool", "hm"], "wit")?, "wit")?.into(),
        paths: paths
            .into_iter()
            .map(|path| text(path, "python-path").map(PathBuf::from))
            .collect::<Result<_, _>>()?,
    })
}

/// Looks for the tool: in the project's own environment, in the active one, on the path.
fn find(dir: &Path) -> Option<PathBuf> {
    let own = [".venv", "venv"].map(|name| dir.join(name).join("bin"));
    let active = env::var_os("VIRTUAL_ENV").map(|folder| PathBuf::from(folder).join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = own.into_iter().chain(active).chain(env::split_paths(&path));
    let tools = folders.map(|folder| folder.join(TOOL));
    let found = tools.into_iter().find(|tool| tool.is_file())?;
    Some(std::path::absolute(&found).unwrap_or(found))
}

/// Returns a custom section `hm-plugin` with words separated by zero bytes (WebAssembly
/// binary format, sections 5.2 and 5.5.3).
fn section(words: &[&str]) -> Vec<u8> {
    let name = b"hm-plugin";
    let data = words.join("\0");
    let mut content = vec![name.len() as u8];
    content.extend(name);
    content.extend(data.as_bytes());
    let mut section = vec![0];
    let mut size = content.len();
    // LEB128.
    loop {
        let low = (size & 0x7f) as u8;
        size >>= 7;
        section.push(if size > 0 { low | 0x80 } else { low });
        if size == 0 {
            break;
        }
    }
    section.extend(content);
    section
}
