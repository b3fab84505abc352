//! The identity of the image `host`.

use std::fs;
use std::os::unix::fs::MetadataExt;

use sha2::{Digest, Sha256};

/// Tells one host from another, and itself from before its packages changed.
pub(super) fn host() -> String {
    let mut hash = Sha256::new();
    for file in [
        "/etc/os-release",
        "/var/lib/dpkg/status",
        "/lib/apk/db/installed",
        "/var/lib/pacman/local/ALPM_DB_VERSION",
    ] {
        hash.update(file.as_bytes());
        hash.update(fs::read(file).unwrap_or_default());
    }
    // Databases that change in place, or are too large to read.
    for file in [
        "/var/lib/rpm/rpmdb.sqlite",
        "/var/lib/pacman/local",
        "/nix/var/nix/db/db.sqlite",
    ] {
        if let Ok(found) = fs::metadata(file) {
            hash.update(format!("{file} {} {}", found.size(), found.mtime()));
        }
    }
    hash.update(if rustix::process::geteuid().is_root() {
        "root"
    } else {
        "user"
    });
    format!("host:{}", hex::encode(&hash.finalize()[..16]))
}
