//! What a machine of an image finds there besides the image's own layers.
//!
//! ```text
//! STAGE/image/
//!   top/     over everything: places for mounts, and the network's files
//!   bottom/  under everything: folders that every machine has
//! ```
//!
//! What lies on top hides links that an image may have in the place of `/proc` and the
//! like, so that nothing is mounted through them; and a step's own version of the
//! network's files, which are made anew for each machine and are in no snapshot.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::assemble::HOSTNAME;
use super::ids::IdMap;
use super::stage::Stage;
use crate::sandbox::failure::{Failure, failed};
use crate::sandbox::network::Connection;
use crate::sandbox::wire::Boot;
use crate::state::remove_tree;

/// Folders that hide the image's, with their modes.
const TOP: [(&str, u32); 6] = [
    ("", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("proc", 0o555),
    ("run", 0o755),
    ("sys", 0o555),
];

/// Folders that are there if the image has none, with their modes.
const BOTTOM: [(&str, u32); 6] = [
    ("", 0o755),
    ("root", 0o700),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/tmp", 0o1777),
    ("workspace", 0o755),
];

/// Files of the network, and what is in them: the same before each command, whatever one
/// before it has made of them.
pub(super) type NetworkFiles = Vec<(PathBuf, Vec<u8>)>;

/// Builds both, once for all machines.
pub(super) fn build(stage: &Path, ids: Option<&IdMap>) -> Result<NetworkFiles, Failure> {
    // What lies here is no id-mapped mount, so its owner is root inside by its own id.
    let give = |path: &Path| match ids {
        Some(ids) => ids
            .give(path, 0, 0)
            .map_err(failed("cannot give away", path)),
        None => Ok(()),
    };
    for (layer, folders) in [("top", TOP), ("bottom", BOTTOM)] {
        for (folder, mode) in folders {
            let path = stage.join("image").join(layer).join(folder);
            fs::create_dir_all(&path).map_err(failed("cannot make", &path))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                .map_err(failed("cannot set the mode of", &path))?;
            give(&path)?;
        }
    }
    let hosts = format!("127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t{HOSTNAME}\n");
    // The file itself, as the link that it often is leads to `/run`.
    let resolver = fs::read("/etc/resolv.conf").unwrap_or_default();
    let files = [
        ("/etc/hosts", hosts.into_bytes()),
        ("/etc/hostname", format!("{HOSTNAME}\n").into_bytes()),
        ("/etc/resolv.conf", resolver),
    ];
    let files: NetworkFiles = files.map(|(name, text)| (name.into(), text)).into();
    for (name, text) in &files {
        let path = stage
            .join("image/top")
            .join(name.strip_prefix("/").unwrap_or(name));
        fs::write(&path, text).map_err(failed("cannot write", &path))?;
        give(&path)?;
    }
    Ok(files)
}

/// Returns the files that a machine has anew before each command: none on the host's file
/// system, and not what is mounted over one.
pub(super) fn own_files(stage: &Stage, boot: &Boot) -> NetworkFiles {
    if !boot.image {
        return NetworkFiles::new();
    }
    let is_public = matches!(boot.network, Connection::Public(_));
    let files = stage.network_files.iter();
    files
        .filter(|(path, _)| !is_public || path != Path::new("/etc/resolv.conf"))
        .cloned()
        .collect()
}

/// Gives back what a command has changed of the network's files, inside the machine: a
/// machine that boots from a snapshot has them anew, too.
pub(super) fn renew(files: &NetworkFiles) -> Result<(), Failure> {
    for (path, text) in files {
        let is_same = fs::symlink_metadata(path)
            .is_ok_and(|found| found.is_file() && found.len() == text.len() as u64)
            && fs::read(path).is_ok_and(|found| found == *text);
        if is_same {
            continue;
        }
        match fs::symlink_metadata(path) {
            Ok(_) => remove_tree(path).map_err(failed("cannot remove", path))?,
            // Perhaps the folder is gone as well.
            Err(_) => fs::create_dir_all("/etc").map_err(failed("cannot make", "/etc"))?,
        }
        fs::write(path, text).map_err(failed("cannot write", path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))
            .map_err(failed("cannot set the mode of", path))?;
    }
    Ok(())
}

/// Returns what an image's machine is stacked of, topmost first.
pub(super) fn lower(stage: &Path, layers: &[PathBuf]) -> Vec<PathBuf> {
    let mut lower = Vec::with_capacity(layers.len() + 2);
    lower.push(stage.join("image/top"));
    lower.extend_from_slice(layers);
    lower.push(stage.join("image/bottom"));
    lower
}
