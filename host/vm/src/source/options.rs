//! How a source tree is frozen.

/// Which overlay attributes mark a layer's folders. Layers of one flavour cannot be
/// mounted as another: what a folder hides would show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// `trusted.overlay.*`, for mounts by root.
    Trusted,
    /// `user.overlay.*`, for mounts in a user namespace (`userxattr`).
    User,
}

impl Flavour {
    /// Returns the flavour that this process can write and mount.
    pub fn of_this_process() -> Self {
        if rustix::process::geteuid().is_root() {
            Self::Trusted
        } else {
            Self::User
        }
    }

    /// Returns the word that names it in records and folders.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::User => "user",
        }
    }

    pub(super) fn opaque_attribute(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.opaque",
            Self::User => "user.overlay.opaque",
        }
    }
}

/// How a source tree is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreezeOptions {
    /// Whether `.git` goes in, for steps that ask git.
    pub include_git: bool,
    /// Which overlay attributes the engine reads.
    pub flavour: Flavour,
}

impl Default for FreezeOptions {
    fn default() -> Self {
        Self {
            include_git: false,
            flavour: Flavour::of_this_process(),
        }
    }
}
