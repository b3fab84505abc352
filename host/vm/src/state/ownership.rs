//! Who could swap the state folder under a running process.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{getegid, geteuid};

use super::refused;
use crate::error::VmError;

/// Checks every folder above `path` that exists: owned by root or this user, and not
/// writable by others unless sticky.
pub(super) fn check_parents(path: &Path) -> Result<(), VmError> {
    let Some(existing) = path.ancestors().skip(1).find(|parent| parent.exists()) else {
        return Ok(());
    };
    // Of the real folder, as a link's own parents say nothing of what it points to.
    let real = existing
        .canonicalize()
        .map_err(|error| refused("cannot be reached", existing, &error))?;
    for parent in real.ancestors() {
        let metadata =
            fs::metadata(parent).map_err(|error| refused("cannot be checked", parent, &error))?;
        check(path, parent, &metadata)?;
    }
    Ok(())
}

/// Checks that the state folder itself is this user's own.
pub(super) fn check_own(root: &Path) -> Result<(), VmError> {
    let metadata =
        fs::metadata(root).map_err(|error| refused("cannot be checked", root, &error))?;
    let user = geteuid().as_raw();
    if metadata.uid() == user {
        return Ok(());
    }
    Err(VmError::Unavailable {
        cause: format!(
            "the state folder {} belongs to user {}, but this is user {user}",
            root.display(),
            metadata.uid()
        ),
        remedy: "set HM_STATE_DIR to a folder of your own".to_owned(),
    })
}

fn check(path: &Path, parent: &Path, metadata: &Metadata) -> Result<(), VmError> {
    let problem = problem(
        metadata.uid(),
        metadata.gid(),
        metadata.mode(),
        geteuid().as_raw(),
        getegid().as_raw(),
    );
    match problem {
        None => Ok(()),
        Some(problem) => Err(VmError::Unavailable {
            cause: format!(
                "the state folder {} is not safe: {} {problem}, so another user could swap it",
                path.display(),
                parent.display()
            ),
            remedy: "correct the owner and mode of that folder, or set HM_STATE_DIR to a folder \
                     in your own home"
                .to_owned(),
        }),
    }
}

/// Group-writable is fine for root's group and for the user's own: with a group a user
/// and umask 002, as on Debian, homes look like that.
fn problem(uid: u32, gid: u32, mode: u32, user: u32, group: u32) -> Option<String> {
    if uid != 0 && uid != user {
        return Some(format!("belongs to user {uid}"));
    }
    if mode & 0o1000 != 0 {
        return None;
    }
    if mode & 0o002 != 0 {
        return Some("can be written by everyone".to_owned());
    }
    if mode & 0o020 != 0 && gid != 0 && gid != group {
        return Some(format!("can be written by group {gid}"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn parents_of_root_and_of_the_user_are_fine() {
        assert_eq!(problem(0, 0, 0o40755, 1000, 1000), None);
        assert_eq!(problem(1000, 1000, 0o40775, 1000, 1000), None);
        assert_eq!(problem(0, 0, 0o41777, 1000, 1000), None);
    }

    #[test]
    fn a_parent_that_others_can_write_is_told() {
        assert!(problem(1001, 1001, 0o40755, 1000, 1000).is_some());
        assert!(problem(1000, 1000, 0o40777, 1000, 1000).is_some());
        assert!(problem(1000, 50, 0o40775, 1000, 1000).is_some());
    }
}
