//! The files of a new project.

use std::path::Path;

use super::embedded::{self, WORKSPACE};
use super::{Kind, Language};
use crate::failure::Failure;

/// What is begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Project<'a> {
    pub(super) name: &'a str,
    pub(super) language: Language,
    pub(super) kind: Kind,
    pub(super) sdk: Option<&'a str>,
}

type Files = Vec<(String, String)>;

/// Files of the SDK as they lie in `vendor/`.
const VENDORED: &[&str] = &["sdk", "wit/v0.1", "LICENSE-APACHE", "LICENSE-MIT"];

impl Project<'_> {
    /// Returns names and texts of all files.
    pub(super) fn files(&self) -> Result<Files, Failure> {
        let mut files = match self.language {
            Language::Rust => self.rust()?,
            Language::Python => self.python()?,
        };
        files.push(("README.md".into(), self.readme()));
        files.push((".hm/hello.toml".into(), HELLO.into()));
        files.push((".hm/ci.toml".into(), self.ci()));
        Ok(files)
    }

    /// The example of the same kind, under the project's name.
    fn rust(&self) -> Result<Files, Failure> {
        let (example, ty) = match self.kind {
            Kind::Vm => ("machines", "Machines"),
            Kind::Http => ("remote", "Remote"),
        };
        let krate = self.name.replace('-', "_");
        let mut files = Files::new();
        for (name, text) in embedded::below(&format!("examples/backends/{example}")) {
            let text = match name {
                "README.md" => continue,
                "Cargo.toml" => self.manifest(example, text)?,
                // Of another SDK, other packages are needed.
                "Cargo.lock" if self.sdk.is_some() => continue,
                "Cargo.lock" => self.lock(example, text),
                _ => text.replace(&format!("{example}::{ty}"), &format!("{krate}::{ty}")),
            };
            files.push((name.to_owned(), text));
        }
        if self.sdk.is_none() {
            files.extend(vendored());
            files.push(("vendor/Cargo.toml".into(), WORKSPACE.into()));
        }
        Ok(files)
    }

    /// The example's manifest, with the project's name and its SDK.
    fn manifest(&self, example: &str, text: &str) -> Result<String, Failure> {
        let named = text.replacen(
            &format!("name = \"{example}\""),
            &format!("name = \"{}\"", self.name),
            1,
        );
        let (sdk, testkit) = match self.sdk {
            None => (by_path("vendor/sdk"), by_path("vendor/sdk/testkit")),
            Some(version) if version.starts_with(|first: char| first.is_ascii_digit()) => {
                (format!("\"{version}\""), format!("\"{version}\""))
            }
            Some(path) => {
                let path = std::path::absolute(path).map_err(|error| {
                    let what = format!("cannot find the SDK at `{path}`");
                    Failure::caused(crate::failure::Exit::Usage, what, error)
                })?;
                if !path.join("Cargo.toml").is_file() {
                    return Err(
                        Failure::usage(format!("there is no SDK at `{}`", path.display()))
                            .hint("give the folder of `hm-backend-sdk`, or a version as `0.1`"),
                    );
                }
                let path = path.display().to_string();
                (by_path(&path), by_path(&format!("{path}/testkit")))
            }
        };
        let named = named
            .replace("{ path = \"../../../sdk/testkit\" }", &testkit)
            .replace("{ path = \"../../../sdk\" }", &sdk);
        Ok(match self.sdk {
            None => named.replace("[workspace]\n", "[workspace]\nexclude = [\"vendor\"]\n"),
            Some(_) => named,
        })
    }

    /// The example's pinned packages, among which the project's own has another name, and so
    /// another place.
    fn lock(&self, example: &str, text: &str) -> String {
        let named = text.replacen(
            &format!("name = \"{example}\""),
            &format!("name = \"{}\"", self.name),
            1,
        );
        let mut parts: Vec<_> = named.trim_end().split("\n\n").collect();
        // The first says which form the file has.
        parts[1..].sort_by_key(|part| part.lines().nth(1).unwrap_or_default());
        format!("{}\n", parts.join("\n\n"))
    }

    /// The example, with the package and the interface beside it.
    fn python(&self) -> Result<Files, Failure> {
        if let Some(sdk) = self.sdk {
            return Err(Failure::usage(format!("--sdk {sdk} is for Rust projects"))
                .hint("a Python project has the package in `vendor/`; replace it there"));
        }
        let example = match self.kind {
            Kind::Vm => "python",
            Kind::Http => "python-http",
        };
        let mut files = Files::new();
        for (name, text) in embedded::below(&format!("examples/backends/{example}")) {
            let text = match name {
                "README.md" => continue,
                _ => text
                    .replace(&format!("\"{example}\""), &format!("\"{}\"", self.name))
                    .replace("../../../wit/v0.1", "vendor/wit/v0.1")
                    .replace("../../../sdk/python", "vendor"),
            };
            files.push((name.to_owned(), text));
        }
        files.extend(embedded::below("sdk/python").map(in_vendor));
        files.extend(
            embedded::below("wit/v0.1")
                .map(|(name, text)| (format!("vendor/wit/v0.1/{name}"), text.to_owned())),
        );
        Ok(files)
    }

    fn ci(&self) -> String {
        let name = self.name;
        match self.language {
            Language::Rust => format!(
                "# What `hm run ci` checks, here and wherever hm runs.\nimage = \"host\"\n\n\
                 [steps.test]\nrun = \"cargo test\"\n\n\
                 [steps.build]\nrun = \"hm backend build && hm backend inspect {name}.wasm\"\n\n\
                 [steps.lint]\nrun = \"cargo clippy --all-targets -- -D warnings\"\n"
            ),
            Language::Python => format!(
                "# What `hm run ci` checks, here and wherever hm runs.\nimage = \"host\"\n\n\
                 [steps.syntax]\nrun = \"python3 -m compileall -q app.py\"\n\n\
                 [steps.build]\nrun = \"hm backend build && hm backend inspect {name}.wasm\"\n"
            ),
        }
    }

    fn readme(&self) -> String {
        let name = self.name;
        let code = match self.language {
            Language::Rust => "src/lib.rs",
            Language::Python => "app.py",
        };
        let what = match self.kind {
            Kind::Vm => "It runs each step in a machine of its own.",
            Kind::Http => "It hands each step to an agent over HTTP and tells what that answers.",
        };
        format!(
            "# {name}\n\nAn execution backend for hm. {what} The code is in `{code}`.\n\n{}\n",
            self.commands("")
        )
    }

    /// Returns what to do first, for the user who has just made it.
    pub(super) fn next_steps(&self, dir: &Path) -> String {
        self.commands(&format!("    cd {}\n", dir.display()))
    }

    fn commands(&self, first: &str) -> String {
        let name = self.name;
        let mut text = first.to_owned();
        match self.language {
            Language::Rust => {
                text += "    cargo test                          # in a simulated world, in milliseconds\n"
            }
            Language::Python => {
                text += "    python3 -m venv .venv\n    .venv/bin/pip install componentize-py==0.25.1\n";
            }
        }
        text += &format!("    hm backend build                    # makes {name}.wasm\n");
        if self.kind == Kind::Http {
            text += match self.language {
                Language::Rust => {
                    "    cargo run --example agent           # in another terminal: the service\n"
                }
                Language::Python => {
                    "    python3 agent.py                    # in another terminal: the service\n"
                }
            };
        }
        text += &format!(
            "    hm run hello --backend {name}.wasm  # asks you once what it may do\n\
             {:4}hm backend test {name}.wasm         # holds it against the contract",
            ""
        );
        text
    }
}

/// A first pipeline: a step from another, and one beside them.
const HELLO: &str = "image = \"host\"\n\n[steps.greet]\nrun = \"echo hello > greeting\"\n\n\
    [steps.answer]\nfrom = \"greet\"\nrun = \"echo the greeting is there\"\n\n\
    [steps.beside]\nrun = \"sleep 0.2; echo nobody waits for me\"\n";

fn by_path(path: &str) -> String {
    format!("{{ path = {path:?} }}")
}

fn in_vendor((name, text): (&str, &str)) -> (String, String) {
    (format!("vendor/{name}"), text.to_owned())
}

fn vendored() -> impl Iterator<Item = (String, String)> {
    let is_python = |name: &str| name.starts_with("sdk/python/");
    embedded::FILES
        .iter()
        .filter(move |(name, _)| !is_python(name))
        .filter(|(name, _)| {
            VENDORED.iter().any(|wanted| {
                name.strip_prefix(wanted)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        })
        .map(|&(name, text)| in_vendor((name, text)))
}
