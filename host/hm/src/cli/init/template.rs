//! Kinds of projects, how they are recognised, and a pipeline for each.
//!
//! Every pipeline uses the image `host`, so that it runs with the tools that the user has,
//! and only commands that come with the toolchain itself.

use std::path::Path;

/// A kind of project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// Cargo
    Rust,
    /// pytest, or else unittest
    Python,
    /// npm, pnpm or yarn
    #[value(aliases = ["js", "nextjs"])]
    Node,
    /// Go modules
    Go,
    /// A makefile
    Make,
    /// CMake and CTest
    Cmake,
    /// `zig build`
    Zig,
    /// Mix
    Elixir,
    /// A step to start from
    Generic,
}

/// Files by which a kind is known; the first that is there decides. Files that also serve
/// as a wrapper around others (`package.json`, a makefile) come late.
const MARKS: &[(&str, Kind)] = &[
    ("Cargo.toml", Kind::Rust),
    ("go.mod", Kind::Go),
    ("mix.exs", Kind::Elixir),
    ("build.zig", Kind::Zig),
    ("pyproject.toml", Kind::Python),
    ("setup.py", Kind::Python),
    ("setup.cfg", Kind::Python),
    ("requirements.txt", Kind::Python),
    ("package.json", Kind::Node),
    ("CMakeLists.txt", Kind::Cmake),
    ("Makefile", Kind::Make),
    ("makefile", Kind::Make),
    ("GNUmakefile", Kind::Make),
];

impl Kind {
    /// Looks at a folder.
    pub(super) fn detect(folder: &Path) -> Self {
        MARKS
            .iter()
            .find(|(name, _)| folder.join(name).is_file())
            .map_or(Self::Generic, |(_, kind)| *kind)
    }

    /// Returns the kind in words.
    pub(super) fn described(self) -> &'static str {
        match self {
            Self::Rust => "a Rust project",
            Self::Python => "a Python project",
            Self::Node => "a Node project",
            Self::Go => "a Go project",
            Self::Make => "a project with a makefile",
            Self::Cmake => "a CMake project",
            Self::Zig => "a Zig project",
            Self::Elixir => "an Elixir project",
            Self::Generic => "a project of no known kind",
        }
    }

    /// Returns the text of `.hm/ci.toml` for the project in `folder`.
    pub(super) fn pipeline(self, folder: &Path) -> String {
        let mut text = format!("{HEAD}{}", env(self));
        for step in self.steps(folder) {
            text += &format!("\n[steps.{}]\n", step.name);
            if let Some(from) = step.from {
                text += &format!("from = \"{from}\"  # starts from what `{from}` left behind\n");
            }
            text += &format!("run = {}\n", toml::Value::from(step.run));
        }
        text
    }

    fn steps(self, folder: &Path) -> Vec<Step> {
        match self {
            Self::Rust => vec![
                step("build", None, "cargo build"),
                step("test", Some("build"), "cargo test"),
            ],
            Self::Go => vec![
                step("build", None, "go build ./..."),
                step("vet", Some("build"), "go vet ./..."),
                step("test", Some("build"), "go test ./..."),
            ],
            Self::Python => vec![
                step("compile", None, "python3 -m compileall -q ."),
                step("test", None, PYTHON_TEST),
            ],
            Self::Node => {
                let (install, runner) = package_manager(folder);
                vec![
                    step("install", None, install),
                    step(
                        "build",
                        Some("install"),
                        format!("{runner} run --if-present build"),
                    ),
                    step(
                        "test",
                        Some("install"),
                        format!("{runner} run --if-present test"),
                    ),
                ]
            }
            Self::Cmake => vec![
                step("build", None, "cmake -S . -B build && cmake --build build"),
                step(
                    "test",
                    Some("build"),
                    "ctest --test-dir build --output-on-failure",
                ),
            ],
            Self::Make => {
                let mut steps = vec![step("build", None, "make")];
                if let Some(target) = make_test(folder) {
                    steps.push(step("test", Some("build"), format!("make {target}")));
                }
                steps
            }
            Self::Zig => {
                let mut steps = vec![step("build", None, "zig build")];
                if read(folder, "build.zig").contains("\"test\"") {
                    steps.push(step("test", Some("build"), "zig build test"));
                }
                steps
            }
            Self::Elixir => vec![
                step(
                    "deps",
                    None,
                    "mix local.hex --force && mix local.rebar --force && mix deps.get",
                ),
                step("build", Some("deps"), "mix compile"),
                step("test", Some("build"), "mix test"),
            ],
            Self::Generic => vec![
                step("hello", None, "echo \"Hello from $(uname -s) in $PWD\"; ls"),
                step(
                    "next",
                    Some("hello"),
                    "echo 'Put your own commands into .hm/ci.toml'",
                ),
            ],
        }
    }
}

/// What stands above the steps.
const HEAD: &str = "\
# Run it with `hm run`; `hm graph` shows the steps.
image = \"host\"     # this machine's own tools, in a sandbox of their own
timeout = \"30m\"
";

/// No test at all is exit code 5 with both; that is no failure of a young project.
const PYTHON_TEST: &str = "\
if python3 -c 'import pytest' 2>/dev/null; then python3 -m pytest; \
else python3 -m unittest discover; fi || [ $? -eq 5 ]";

fn env(kind: Kind) -> &'static str {
    match kind {
        Kind::Rust => "env = { RUST_BACKTRACE = \"1\" }\n",
        Kind::Elixir => "env = { MIX_ENV = \"test\" }\n",
        _ => "",
    }
}

struct Step {
    name: &'static str,
    from: Option<&'static str>,
    run: String,
}

fn step(name: &'static str, from: Option<&'static str>, run: impl Into<String>) -> Step {
    Step {
        name,
        from,
        run: run.into(),
    }
}

/// Returns how to install what the lock file says, and what runs scripts.
fn package_manager(folder: &Path) -> (&'static str, &'static str) {
    let has = |name: &str| folder.join(name).is_file();
    if has("pnpm-lock.yaml") {
        ("pnpm install --frozen-lockfile", "pnpm")
    } else if has("package-lock.json") || has("npm-shrinkwrap.json") {
        ("npm ci", "npm")
    } else {
        // npm also reads the lock file of yarn's first version.
        ("npm install", "npm")
    }
}

/// Returns the makefile's target for tests, if it has one.
fn make_test(folder: &Path) -> Option<&'static str> {
    let text = ["GNUmakefile", "makefile", "Makefile"]
        .iter()
        .map(|name| read(folder, name))
        .find(|t| !t.is_empty())?;
    ["test", "check"].into_iter().find(|target| {
        text.lines().any(|line| {
            line.split_once(':').is_some_and(|(targets, rest)| {
                !rest.starts_with('=') && targets.split_whitespace().any(|name| name == *target)
            })
        })
    })
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_default()
}
