//! Owner, mode, times and extended attributes, as far as a layer may say.

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, fchmod, fchown,
    fsetxattr, utimensat,
};
use rustix::io::Errno;

/// Ids inside a machine are those of one 16-bit range, which is what user namespaces are
/// given (`/etc/subuid` has 65,536 by default).
const HIGHEST_ID: u64 = 65_535;

/// Who owns what has an id beyond [`HIGHEST_ID`]: nobody.
const NOBODY: u32 = 65_534;

/// What an archive says of an entry.
#[derive(Debug, Clone, Default)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds and nanoseconds.
    pub(super) modified: (i64, u32),
    pub(super) extended: Vec<(String, Vec<u8>)>,
}

/// Returns an id as it is on the disk.
pub(super) fn id(stated: u64) -> u32 {
    match u32::try_from(stated) {
        Ok(id) if stated <= HIGHEST_ID => id,
        _ => NOBODY,
    }
}

/// Tells whether an archive may set an extended attribute: those of users, and the
/// capabilities of programs. Never those that overlayfs reads.
pub(super) fn may_set(name: &str) -> bool {
    name == "security.capability"
        || (name.starts_with("user.") && !name.starts_with("user.overlay."))
}

impl Attributes {
    /// Gives them to an open file or folder. Owners only where that is possible.
    pub(super) fn apply(&self, to: BorrowedFd<'_>, ownership: bool) -> io::Result<()> {
        if ownership {
            fchown(
                to,
                Some(Uid::from_raw(self.uid)),
                Some(Gid::from_raw(self.gid)),
            )?;
        }
        // After the owner, as a change of owner takes the set-user-id bit away. The bit
        // is of no use in machines, but programs look at it.
        fchmod(to, Mode::from_raw_mode(self.mode & 0o7777))?;
        for (name, value) in &self.extended {
            match fsetxattr(to, name.as_str(), value, XattrFlags::empty()) {
                // Not this file system, or not this user: the file is as good without.
                Ok(()) | Err(Errno::PERM | Errno::NOTSUP | Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(rustix::fs::futimens(to, &self.times())?)
    }

    /// Gives them to what cannot be opened: a link or a pipe.
    pub(super) fn apply_by_name(
        &self,
        folder: BorrowedFd<'_>,
        name: &OsStr,
        is_link: bool,
        ownership: bool,
    ) -> io::Result<()> {
        if ownership {
            chownat(
                folder,
                name,
                Some(Uid::from_raw(self.uid)),
                Some(Gid::from_raw(self.gid)),
                AtFlags::SYMLINK_NOFOLLOW,
            )?;
        }
        if !is_link {
            let mode = Mode::from_raw_mode(self.mode & 0o7777);
            chmodat(folder, name, mode, AtFlags::empty())?;
        }
        Ok(utimensat(
            folder,
            name,
            &self.times(),
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    fn times(&self) -> Timestamps {
        let time = Timespec {
            tv_sec: self.modified.0,
            tv_nsec: i64::from(self.modified.1),
        };
        Timestamps {
            last_access: time,
            last_modification: time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_says_nothing_to_overlayfs() {
        assert!(may_set("user.note") && may_set("security.capability"));
        for name in [
            "trusted.overlay.opaque",
            "user.overlay.opaque",
            "user.overlay.redirect",
            "trusted.other",
            "security.selinux",
            "system.posix_acl_access",
        ] {
            assert!(!may_set(name), "{name}");
        }
    }

    #[test]
    fn ids_beyond_a_range_are_nobodys() {
        assert_eq!(id(0), 0);
        assert_eq!(id(65_535), 65_535);
        assert_eq!(id(65_536), NOBODY);
        assert_eq!(id(u64::MAX), NOBODY);
    }
}
