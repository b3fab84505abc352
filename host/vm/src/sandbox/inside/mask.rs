//! What of the host a machine does not see: a layer of empty folders and whiteouts that
//! is laid over the host's root.
//!
//! Top-level names are let through by a list, so that what this file does not know stays
//! out. Below them, what holds credentials, other people's data or another program's
//! state is hidden by name.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};

use super::ids::IdMap;
use crate::sandbox::failure::{Failure, failed};

/// Top-level names of the host that machines see.
pub(super) const SEEN: [&str; 13] = [
    "bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32", "usr", "etc", "opt", "var", "srv",
    "nix",
];

/// Folders that every machine has, empty at first, with their modes.
const OWN: [(&str, u32); 12] = [
    ("boot", 0o755),
    ("dev", 0o755),
    ("home", 0o755),
    ("media", 0o755),
    ("mnt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var/tmp", 0o1777),
    ("workspace", 0o755),
];

/// Folders below [`SEEN`] that are empty in machines.
const EMPTY: [&str; 25] = [
    "etc/NetworkManager/system-connections",
    "etc/apt/auth.conf.d",
    "etc/docker",
    "etc/kubernetes",
    "etc/letsencrypt",
    "etc/ssl/private",
    "etc/wireguard",
    "var/backups",
    "var/crash",
    "var/lib/containerd",
    "var/lib/containers",
    "var/lib/docker",
    "var/lib/jenkins",
    "var/lib/kubelet",
    "var/lib/libvirt",
    "var/lib/mongodb",
    "var/lib/mysql",
    "var/lib/postgresql",
    "var/lib/private",
    "var/lib/redis",
    "var/lib/lxc",
    "var/lib/lxd",
    "var/log",
    "var/mail",
    "var/spool",
];

/// Files below [`SEEN`] that machines do not have.
const ABSENT: [&str; 9] = [
    "etc/apt/auth.conf",
    "etc/gshadow",
    "etc/gshadow-",
    "etc/krb5.keytab",
    "etc/machine-id",
    "etc/netrc",
    "etc/security/opasswd",
    "etc/shadow",
    "etc/shadow-",
];

/// Builds the layer that hides.
pub(super) struct Mask<'a> {
    /// The layer's root.
    pub(super) root: &'a Path,
    /// `user.` or `trusted.`.
    pub(super) user_attributes: bool,
    /// Folders of the host that show, with all that is in them, although those around them
    /// are hidden.
    pub(super) shown: &'a [PathBuf],
    /// Gives what is made here to the ids that machines see.
    pub(super) ids: Option<&'a IdMap>,
}

impl Mask<'_> {
    /// Fills the layer: for the host as it is now, and for the folders that are lent.
    pub(super) fn build(&self, exposed: &[PathBuf], hidden: &[PathBuf]) -> Result<(), Failure> {
        self.hide_top(exposed)?;
        for (name, mode) in OWN {
            self.empty(Path::new(name), Some(mode))?;
        }
        for name in EMPTY {
            self.empty_if_there(Path::new(name))?;
        }
        for folder in hidden {
            if let Ok(relative) = folder.strip_prefix("/")
                && is_seen(relative)
            {
                self.empty_if_there(relative)?;
            }
        }
        for name in ABSENT {
            self.absent_if_there(Path::new(name))?;
        }
        self.hide_ssh_keys()?;
        self.copy_network_files()?;
        for folder in exposed {
            let relative = folder.strip_prefix("/").unwrap_or(folder);
            self.folders(relative)?;
        }
        self.shown.iter().try_for_each(|folder| self.show(folder))
    }

    fn hide_top(&self, exposed: &[PathBuf]) -> Result<(), Failure> {
        let root = Path::new("/");
        let entries = fs::read_dir(root).map_err(failed("cannot read", root))?;
        for entry in entries {
            let name = PathBuf::from(entry.map_err(failed("cannot read", root))?.file_name());
            let own = OWN.iter().any(|(own, _)| name == Path::new(own));
            if is_seen(&name) || own {
                continue;
            }
            if exposed
                .iter()
                .any(|path| path.starts_with(root.join(&name)))
            {
                self.empty(&name, Some(0o755))?;
            } else {
                self.whiteout(&name)?;
            }
        }
        Ok(())
    }

    fn hide_ssh_keys(&self) -> Result<(), Failure> {
        let folder = Path::new("etc/ssh");
        let Ok(entries) = fs::read_dir(Path::new("/").join(folder)) else {
            return Ok(());
        };
        for entry in entries.flatten() {
            if entry.file_name().as_bytes().ends_with(b"_key") {
                self.absent_if_there(&folder.join(entry.file_name()))?;
            }
        }
        Ok(())
    }

    /// Puts the content in place of what may be a link into `/run`, which is hidden.
    fn copy_network_files(&self) -> Result<(), Failure> {
        let mut hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
        if !hosts.contains("localhost") {
            hosts.push_str("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n");
        }
        hosts.push_str(&format!("127.0.1.1\t{}\n", super::assemble::HOSTNAME));
        let resolv = fs::read("/etc/resolv.conf").unwrap_or_default();
        self.file("etc/hosts", hosts.as_bytes())?;
        self.file("etc/resolv.conf", &resolv)?;
        self.file(
            "etc/hostname",
            format!("{}\n", super::assemble::HOSTNAME).as_bytes(),
        )
    }

    fn file(&self, name: &str, content: &[u8]) -> Result<(), Failure> {
        let path = self.root.join(name);
        if let Some(parent) = Path::new(name).parent() {
            self.folders(parent)?;
        }
        fs::write(&path, content)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o644)))
            .and_then(|()| self.give(&path, 0, 0))
            .map_err(failed("cannot write", &path))
    }

    fn empty_if_there(&self, relative: &Path) -> Result<(), Failure> {
        match fs::symlink_metadata(Path::new("/").join(relative)) {
            Ok(found) if found.is_dir() => self.empty(relative, None),
            Ok(_) => self.whiteout(relative),
            Err(_) => Ok(()),
        }
    }

    fn absent_if_there(&self, relative: &Path) -> Result<(), Failure> {
        match fs::symlink_metadata(Path::new("/").join(relative)) {
            Ok(found) if found.is_dir() => self.empty(relative, None),
            Ok(_) => self.whiteout(relative),
            Err(_) => Ok(()),
        }
    }

    /// A folder that lets nothing of the host's through.
    fn empty(&self, relative: &Path, mode: Option<u32>) -> Result<(), Failure> {
        self.folders(relative)?;
        let path = self.root.join(relative);
        if let Some(mode) = mode {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                .map_err(failed("cannot set the mode of", &path))?;
        }
        let attribute = if self.user_attributes {
            "user.overlay.opaque"
        } else {
            "trusted.overlay.opaque"
        };
        setxattr(&path, attribute, b"y", XattrFlags::empty())
            .map_err(failed("cannot hide what is under", &path))
    }

    /// Lets a folder of the host's through by its path from the root, as if it had been
    /// moved here: the opaque ones around it do not count for that.
    fn show(&self, folder: &Path) -> Result<(), Failure> {
        let path = self.root.join(folder.strip_prefix("/").unwrap_or(folder));
        setxattr(
            &path,
            "trusted.overlay.redirect",
            folder.as_os_str().as_bytes(),
            XattrFlags::empty(),
        )
        .map_err(failed("cannot let through", &path))
    }

    fn whiteout(&self, relative: &Path) -> Result<(), Failure> {
        if let Some(parent) = relative.parent() {
            self.folders(parent)?;
        }
        let path = self.root.join(relative);
        mknodat(CWD, &path, FileType::CharacterDevice, Mode::empty(), 0)
            .map_err(failed("cannot hide", &path))
    }

    fn give(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
        match self.ids {
            Some(ids) => ids.give(path, uid, gid),
            None if (uid, gid) == (0, 0) => Ok(()),
            None => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
        }
    }

    /// Makes folders that look like the host's, as the upper of two merged folders gives
    /// owner and mode.
    fn folders(&self, relative: &Path) -> Result<(), Failure> {
        let mut host = PathBuf::from("/");
        let mut path = self.root.to_owned();
        for part in relative.components() {
            host.push(part);
            path.push(part);
            match fs::DirBuilder::new().mode(0o755).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(failed("cannot make", &path)(error)),
            }
            self.give(&path, 0, 0)
                .map_err(failed("cannot give away", &path))?;
            if let Ok(found) = fs::symlink_metadata(&host)
                && found.is_dir()
                && is_seen(relative)
            {
                // In a user namespace most owners cannot be given; they show as nobody's
                // below, too.
                let _ = self.give(&path, found.uid(), found.gid());
                let _ = fs::set_permissions(&path, found.permissions());
            }
        }
        Ok(())
    }
}

/// Tells whether a path, relative to the root, is under a name that machines see.
pub(super) fn is_seen(relative: &Path) -> bool {
    relative
        .components()
        .next()
        .is_some_and(|top| SEEN.iter().any(|seen| top.as_os_str() == *seen))
}
