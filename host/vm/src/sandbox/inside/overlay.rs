//! Overlay mounts by descriptor, with the kernel's own words for what it refuses.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_fd, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use crate::sandbox::failure::{Failure, failed};

/// What an overlay is made of.
pub(in crate::sandbox) struct Overlay<'a> {
    /// Topmost first.
    pub(in crate::sandbox) lower: &'a [PathBuf],
    /// The folder that takes all writes, and the one that the kernel works in; none is
    /// read-only.
    pub(in crate::sandbox) upper: Option<(&'a Path, &'a Path)>,
    /// Attributes live under `user.`, as they must in a user namespace.
    pub(in crate::sandbox) user_attributes: bool,
    /// A layer may say of a folder that it is another one of those below.
    pub(in crate::sandbox) redirects: bool,
}

/// Makes an overlay that is not attached yet.
pub(in crate::sandbox) fn mount_overlay(overlay: &Overlay<'_>) -> Result<OwnedFd, Failure> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(|error| {
        let failure = failed::<io::Error>("cannot use", "overlayfs")(error.into());
        match error {
            Errno::NODEV => {
                failure.with_remedy("load the kernel module: `modprobe overlay` as root")
            }
            _ => failure,
        }
    })?;
    add_lower(&context, overlay.lower)?;
    if let Some((upper, work)) = overlay.upper {
        set_folder(&context, "upperdir", upper)?;
        set_folder(&context, "workdir", work)?;
        // Without it, unmounting writes the whole upper layer to the disk first (vm
        // reference, A2: 1 ms against 113 ms after 200 MB).
        let _ = fsconfig_set_flag(&context, "volatile");
        if !overlay.user_attributes {
            // Kernels are built with different defaults, and a layer must mean the same
            // over another source. In a user namespace all of it is off anyway.
            for feature in ["redirect_dir", "metacopy", "index"] {
                let _ = fsconfig_set_string(&context, feature, "off");
            }
        }
    }
    if overlay.redirects {
        fsconfig_set_string(&context, "redirect_dir", "follow")
            .map_err(failed("overlayfs refuses", "redirect_dir"))?;
    }
    if overlay.user_attributes {
        fsconfig_set_flag(&context, "userxattr")
            .map_err(failed("overlayfs refuses", "userxattr"))
            .map_err(|failure| {
                failure.with_remedy("use a kernel of 5.11 or later, or run as root")
            })?;
    }
    fsconfig_create(&context).map_err(|error| refused(&context, error, overlay))?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map_err(failed("cannot mount", "overlayfs"))
}

/// Lower layers one by one: by descriptor (6.13), by path (6.5), or all in one string.
fn add_lower(context: &OwnedFd, lower: &[PathBuf]) -> Result<(), Failure> {
    for (index, layer) in lower.iter().enumerate() {
        let folder = open_folder(layer)?;
        let added = fsconfig_set_fd(context, "lowerdir+", folder.as_fd())
            .or_else(|_| fsconfig_set_string(context, "lowerdir+", layer));
        match added {
            Ok(()) => {}
            Err(_) if index == 0 => return add_lower_at_once(context, lower),
            Err(error) => return Err(failed("overlayfs refuses the layer", layer)(error)),
        }
    }
    Ok(())
}

fn add_lower_at_once(context: &OwnedFd, lower: &[PathBuf]) -> Result<(), Failure> {
    let mut list = String::new();
    for layer in lower {
        let path = layer.to_str().ok_or_else(|| {
            failed("cannot name the layer", layer)(io::Error::from(io::ErrorKind::InvalidInput))
        })?;
        if !list.is_empty() {
            list.push(':');
        }
        for letter in path.chars() {
            if matches!(letter, '\\' | ':') {
                list.push('\\');
            }
            list.push(letter);
        }
    }
    fsconfig_set_string(context, "lowerdir", list.as_str())
        .map_err(failed("overlayfs refuses the layers", &list))
}

fn set_folder(context: &OwnedFd, key: &str, path: &Path) -> Result<(), Failure> {
    let folder = open_folder(path)?;
    fsconfig_set_fd(context, key, folder.as_fd())
        .or_else(|_| fsconfig_set_string(context, key, path))
        .map_err(|error| {
            let failure = failed("overlayfs refuses as its writable layer", path)(error);
            not_here(failure, path)
        })
}

fn open_folder(path: &Path) -> Result<OwnedFd, Failure> {
    open(
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(failed("cannot open the layer", path))
}

/// Says why the kernel refused, in its own words where it gives any.
fn refused(context: &OwnedFd, error: Errno, overlay: &Overlay<'_>) -> Failure {
    let mut text = [0_u8; 512];
    let said = rustix::io::read(context, &mut text)
        .ok()
        .map(|length| String::from_utf8_lossy(&text[..length]).trim().to_owned())
        .filter(|said| !said.is_empty());
    let place = overlay
        .upper
        .map_or(Path::new("the host's root"), |(upper, _)| upper);
    let mut failure = failed("cannot mount an overlay over", place)(error);
    if let Some(said) = said {
        failure.cause = format!("{} ({})", failure.cause, said.trim_start_matches("e "));
    }
    match overlay.upper {
        Some((upper, _)) => not_here(failure, upper),
        None => failure,
    }
}

/// Adds the remedy where the state folder's file system cannot carry layers.
fn not_here(failure: Failure, upper: &Path) -> Failure {
    const OVERLAYFS: u64 = 0x794c_7630;
    let kind = rustix::fs::statfs(upper).map(|found| found.f_type as u64);
    if kind == Ok(OVERLAYFS) {
        return Failure::unavailable(
            format!(
                "the state folder lies on overlayfs (as in a container), which cannot carry \
                 another overlay's layers: {}",
                failure.cause
            ),
            "set HM_STATE_DIR to a folder on a volume, on tmpfs or on the host's own disk \
             (ext4, xfs, btrfs)",
        );
    }
    match failure.errno {
        Some(libc::EINVAL | libc::EOPNOTSUPP) => failure.with_remedy(
            "set HM_STATE_DIR to a folder on ext4, xfs, btrfs or tmpfs: the file system of the \
             state folder lacks what overlayfs needs",
        ),
        Some(libc::EPERM) => failure.with_remedy("use a kernel of 5.11 or later, or run as root"),
        _ => failure,
    }
}
