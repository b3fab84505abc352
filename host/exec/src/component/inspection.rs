//! What a component is and asks for, told without running it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A component as its bytes describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// `sha256:` and 64 hex digits.
    pub digest: String,
    /// In bytes.
    pub size: u64,
    /// The interface that makes it a backend, with its version.
    pub contract: String,
    /// Every import, as the component names it.
    pub imports: Vec<String>,
    /// What of it needs a grant.
    pub asks: BTreeSet<Interface>,
    /// What the SDK embedded about the build; the author's words, not verified.
    pub author: Option<Author>,
    /// What the tools that made it embedded about themselves; not verified either.
    pub tools: Vec<Tool>,
}

impl Inspection {
    /// True if it imports anything of WASI 0.2, which is offered without anything behind it.
    pub(super) fn is_inert(&self) -> bool {
        let is_inert = |import: &String| matches!(classify(import), Some(Import::Inert));
        self.imports.iter().any(is_inert)
    }
}

/// What a component says of itself. Any characters; 64 of each at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// Package name.
    pub name: String,
    /// Package version.
    pub version: String,
    /// SDK and its version.
    pub sdk: String,
}

/// A tool that had a part in making a component. Any characters; 64 of each at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// `language`, `processed-by` or `sdk`, as a rule.
    pub role: String,
    /// What it calls itself.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A capability that needs the user's grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interface {
    /// Start machines and run the plan's steps in them.
    Vm,
    /// Read the source tree.
    Source,
    /// Send requests to places that are named in the grant.
    Http,
}

impl Interface {
    /// Each of them.
    pub(super) const ALL: [Self; 3] = [Self::Vm, Self::Source, Self::Http];

    /// Returns the word in grants, flags and the interface's own name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vm => "vm",
            Self::Source => "source",
            Self::Http => "http",
        }
    }

    /// Returns what it lets a component do, in plain words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Vm => "start machines and run the pipeline's steps in them",
            Self::Source => "read your source tree, and what commands of its own print",
            Self::Http => "talk to places on the network, each by name",
        }
    }
}

/// What an import is to this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Import {
    /// Everybody has it, or it holds types only.
    Ambient,
    /// Offered in a form that can do nothing: WASI 0.2 for toolchains that drag it in.
    Inert,
    /// Needs a grant.
    Asks(Interface),
}

/// The versions of `hm:backend` that this host speaks: names match by minor version.
const CONTRACT: &str = "0.1.";

/// For the error about an import that is none of these.
pub(super) const OFFERED: &str = "hm:backend/{vm,source,control,diagnostics}@0.1.0, wasi:clocks/monotonic-clock@0.3.0, \
     wasi:http/client@0.3.0 (types included), and WASI 0.2 in an inert form (no environment, arguments, files or sockets)";

/// Returns what an import is, or none if hm does not offer it.
pub(super) fn classify(import: &str) -> Option<Import> {
    let (path, version) = import.split_once('@').unwrap_or((import, ""));
    let (package, interface) = path.split_once('/')?;
    match package {
        "hm:backend" if version.starts_with(CONTRACT) => match interface {
            "types" | "events" | "control" | "diagnostics" => Some(Import::Ambient),
            "vm" => Some(Import::Asks(Interface::Vm)),
            "source" => Some(Import::Asks(Interface::Source)),
            _ => None,
        },
        "wasi:http" if version.starts_with("0.3.") => match interface {
            "types" => Some(Import::Ambient),
            "client" => Some(Import::Asks(Interface::Http)),
            _ => None,
        },
        "wasi:clocks" if version.starts_with("0.3.") => {
            matches!(interface, "types" | "monotonic-clock").then_some(Import::Ambient)
        }
        "wasi:cli" | "wasi:clocks" | "wasi:filesystem" | "wasi:io" | "wasi:random"
        | "wasi:sockets"
            if version.starts_with("0.2.") =>
        {
            Some(Import::Inert)
        }
        _ => None,
    }
}
