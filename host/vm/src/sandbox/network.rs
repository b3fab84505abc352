//! The network `public`: which program carries it.
//!
//! A machine without the host's network reaches the internet through a user-mode stack: a
//! program on the host's side that turns the machine's packets into connections of its own
//! (`slirp4netns`, or `pasta` of passt). It needs no privileges, and two are in use.

use std::path::{Path, PathBuf};

use rustix::fs::Access;
use serde::{Deserialize, Serialize};

use super::failure::Failure;

/// Folders of programs, in the order in which they are searched. The environment's `PATH`
/// is the binary's to read, and these programs come from packages.
const PROGRAMS: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin"];

/// A program that carries packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Carrier {
    pub(super) kind: Kind,
    pub(super) program: PathBuf,
}

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Pasta,
    Slirp,
}

/// What a machine is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Connection {
    /// The host's own network.
    Host,
    /// Nothing.
    None,
    /// The internet, through the first of these that works.
    Public(Vec<Carrier>),
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pasta => "pasta",
            Self::Slirp => "slirp4netns",
        }
    }
}

/// Returns the programs that are here, the one to be tried first in front.
///
/// `pasta` gives up root and then may not open `/dev/net/tun` as most systems have it, nor
/// enter a network that root made; so root begins with the other.
pub(super) fn carriers() -> Vec<Carrier> {
    let mut kinds = [Kind::Pasta, Kind::Slirp];
    if rustix::process::geteuid().is_root() {
        kinds.reverse();
    }
    let find = |kind: Kind| {
        PROGRAMS
            .iter()
            .map(|folder| Path::new(folder).join(kind.name()))
            .find(|path| path.is_file())
            .map(|program| Carrier { kind, program })
    };
    kinds.into_iter().filter_map(find).collect()
}

/// Returns whether one of them is here, with the device that they need. Whether it works
/// shows when a machine wants it.
pub(super) fn is_likely() -> bool {
    let both = Access::READ_OK | Access::WRITE_OK;
    !carriers().is_empty() && rustix::fs::access("/dev/net/tun", both).is_ok()
}

/// What to do where there is none.
pub(super) const REMEDY: &str = "install slirp4netns or passt (`apt-get install slirp4netns`, `dnf \
     install slirp4netns`) and make /dev/net/tun usable for this user, or use `--network host` or \
     `--network none`";

/// There is no such program.
pub(super) fn missing() -> Failure {
    Failure::unavailable(
        "the network `public` needs slirp4netns or pasta, and neither is installed",
        REMEDY,
    )
}
