//! How our things at the daemon are told from others', and the living's from the dead's. No
//! other user's or machine's hm ever looks at them.

use std::collections::HashMap;
use std::fs;

use sha2::{Digest, Sha256};

use crate::state::{StateDir, instance_is_over};

/// The state folder that something belongs to.
pub(super) const STATE: &str = "hm.state";
/// A digest of machine and user: a daemon may serve several, each with a folder of that name.
const HOST: &str = "hm.host";
/// The instance in that folder that made it.
pub(super) const INSTANCE: &str = "hm.instance";
/// The repository of committed images. In lower case, as the daemon wants it.
pub(super) const REPOSITORY: &str = "hm-snapshot";

/// A set of labels for what one instance makes.
#[derive(Debug, Clone)]
pub(super) struct Labels {
    state: String,
    host: String,
    instance: String,
}

impl Labels {
    pub(super) fn new(state: &StateDir, instance: &str) -> Self {
        Self {
            state: state.root().display().to_string(),
            host: host(),
            instance: instance.to_owned(),
        }
    }

    pub(super) fn to_map(&self) -> HashMap<String, String> {
        HashMap::from([
            (STATE.to_owned(), self.state.clone()),
            (HOST.to_owned(), self.host.clone()),
            (INSTANCE.to_owned(), self.instance.clone()),
        ])
    }
}

/// Returns the filter for everything of a state folder.
pub(super) fn filter(state: &StateDir) -> HashMap<String, Vec<String>> {
    let labels = vec![
        format!("{STATE}={}", state.root().display()),
        format!("{HOST}={}", host()),
    ];
    HashMap::from([("label".to_owned(), labels)])
}

/// Returns whether something belongs to a state folder, and the instance that made it has
/// ended. What names none is nobody's.
///
/// The [`filter`] alone is not enough: Podman's service lists what has one of several labels,
/// and so what other folders' living have made.
pub(super) fn is_orphan(state: &StateDir, labels: &HashMap<String, String>) -> bool {
    let is_here = labels.get(STATE) == Some(&state.root().display().to_string())
        && labels.get(HOST) == Some(&host());
    if !is_here {
        return false;
    }
    let name = labels.get(INSTANCE).map(String::as_str).unwrap_or_default();
    let is_word = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    !is_word || instance_is_over(&state.live_layers().join(name))
}

/// Returns the name of a committed image; none for a tag of another repository. Podman writes
/// a registry before it.
pub(super) fn name_in_tag(tag: &str) -> Option<&str> {
    let (repository, name) = tag.rsplit_once(':')?;
    let last = repository.rsplit('/').next();
    (last == Some(REPOSITORY)).then_some(name)
}

fn host() -> String {
    let mut hash = Sha256::new();
    match fs::read("/etc/machine-id") {
        Ok(id) if !id.is_empty() => hash.update(id),
        _ => hash.update(rustix::system::uname().nodename().to_bytes()),
    }
    hash.update(rustix::process::geteuid().as_raw().to_le_bytes());
    hex::encode(&hash.finalize()[..16])
}

/// Returns a name that is never used twice: short, as the kernel takes mounts of 4 KiB of
/// names.
pub(super) fn fresh_name() -> String {
    let name = uuid::Uuid::new_v4().simple().to_string();
    format!("hm-{}", &name[..20])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Instance;

    #[test]
    fn only_what_a_dead_instance_of_the_same_folder_has_made_is_an_orphan() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let open = |name: &str| StateDir::open(&folder.path().join(name)).expect("it opens");
        let (here, elsewhere) = (open("here"), open("elsewhere"));
        let dead = Labels::new(&here, "0123").to_map();
        assert!(is_orphan(&here, &dead));
        assert!(!is_orphan(&elsewhere, &dead), "another folder's");
        let mut strange = dead.clone();
        strange.insert(HOST.to_owned(), "another".to_owned());
        assert!(!is_orphan(&here, &strange), "another machine's");
        let alive = Instance::take(&here).expect("a share of the folder");
        assert!(!is_orphan(&here, &Labels::new(&here, &alive.name).to_map()));
        assert!(!is_orphan(&here, &HashMap::new()), "nothing of ours");
    }

    #[test]
    fn names_are_found_in_tags_with_and_without_a_registry() {
        assert_eq!(name_in_tag("hm-snapshot:hm-01"), Some("hm-01"));
        assert_eq!(name_in_tag("localhost/hm-snapshot:hm-01"), Some("hm-01"));
        assert_eq!(name_in_tag("docker.io/library/hm-snapshot:a"), Some("a"));
        for other in ["other:hm-01", "my-hm-snapshot:a", "hm-snapshot", "h:5/x:a"] {
            assert_eq!(name_in_tag(other), None, "{other}");
        }
    }
}
