//! What the user granted, as values: policy is decided elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use hm_vm::{MachineOptions, StateDir, Subsystem};

use super::http::HttpGrant;
use crate::component::Limits;

/// What a component is given. Absent is denied.
#[derive(Clone, Default)]
pub struct Grants {
    /// The VM subsystem.
    pub vm: Option<VmGrant>,
    /// The source tree, to read.
    pub source: Option<SourceGrant>,
    /// HTTP to named places.
    pub http: Option<HttpGrant>,
    /// Names of secrets whose values the component is handed in the plan; of all others it
    /// sees the name.
    pub secrets: BTreeSet<String>,
    /// What it may use up.
    pub limits: Limits,
}

/// The source tree, to read.
#[derive(Clone)]
pub struct SourceGrant {
    /// Where the tree is frozen: the same folder that the VM subsystem has, if that is
    /// granted too, so that both see the same layers.
    pub state: StateDir,
}

/// The VM subsystem, and how far its machines reach.
#[derive(Clone)]
pub struct VmGrant {
    /// Where machines come from.
    pub subsystem: Arc<Subsystem>,
    /// `--image` and `[images]`.
    pub images: ImageMap,
    /// What may be booted, after that map.
    pub allowed: ImagePolicy,
    /// Whether commands that are no steps may run, with their output to the component.
    pub exec: bool,
    /// The most that a machine gets, and its network where its step does not say.
    pub machine: MachineOptions,
}

/// Which images a component's machines may boot from, by their names after the map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImagePolicy {
    rules: Vec<String>,
}

impl ImagePolicy {
    /// Stands for every image that the plan names.
    pub const PLAN: &str = "plan";
    /// This machine's own file system: allowed by its name alone, by no other rule.
    pub const HOST: &str = "host";

    /// Makes a policy of rules: [`PLAN`](Self::PLAN), [`HOST`](Self::HOST), names, and
    /// `PREFIX/*`. None allows nothing.
    pub fn new(rules: impl IntoIterator<Item = String>) -> Self {
        Self {
            rules: rules.into_iter().collect(),
        }
    }

    /// What the plan names, the host included: of a backend that is built in.
    pub fn of_plan() -> Self {
        Self::new([Self::PLAN.to_owned(), Self::HOST.to_owned()])
    }

    /// Tells whether an image may be booted. `is_planned` says that the plan names it.
    pub fn allows(&self, image: &str, is_planned: bool) -> bool {
        let has = |name: &str| self.rules.iter().any(|rule| rule == name);
        if image == Self::HOST {
            return has(Self::HOST);
        }
        // An image that is called so would be allowed by the rule for all others.
        let is_named = image != Self::PLAN && has(image);
        let has_prefix = self
            .rules
            .iter()
            .filter_map(|rule| rule.strip_suffix('*'))
            .any(|prefix| prefix.ends_with('/') && image.starts_with(prefix));
        is_named || has_prefix || is_planned && has(Self::PLAN)
    }
}

/// Maps image names where machines boot; the plan keeps its own names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageMap {
    rules: Vec<(String, String)>,
}

impl ImageMap {
    /// Makes a map of `(FROM, TO)`; the first rule that matches wins. In `FROM`, `*` stands
    /// for any text, also none, `/` and `:` included.
    pub fn new(rules: Vec<(String, String)>) -> Self {
        Self { rules }
    }

    /// Returns what to boot where the plan says `image`.
    pub fn apply<'a>(&'a self, image: &'a str) -> &'a str {
        self.rules
            .iter()
            .find(|(from, _)| matches(from, image))
            .map_or(image, |(_, to)| to)
    }
}

/// Matches `*` greedily from both ends; linear in the text for each star.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_allowed_by_name_only() {
        let policy = |rules: &[&str]| ImagePolicy::new(rules.iter().map(|r| (*r).to_owned()));
        assert!(policy(&["plan"]).allows("ubuntu:24.04", true));
        assert!(!policy(&["plan"]).allows("ubuntu:24.04", false));
        assert!(!policy(&["plan"]).allows("plan", false));
        for rules in [&["plan"][..], &["*"], &["h*"], &[], &["hos/*"]] {
            assert!(!policy(rules).allows("host", true), "{rules:?}");
        }
        assert!(policy(&["host"]).allows("host", false));
        assert!(policy(&["ghcr.io/acme/*"]).allows("ghcr.io/acme/base:1", false));
        assert!(!policy(&["ghcr.io/acme/*"]).allows("ghcr.io/acme-evil/base:1", false));
        assert!(!policy(&["ghcr.io/acme*"]).allows("ghcr.io/acme-evil/base:1", false));
    }

    #[test]
    fn the_first_matching_rule_wins() {
        let rules = [
            ("ubuntu:*", "a"),
            ("*/team/*:v1", "b"),
            ("exact", "c"),
            ("*", "host"),
        ];
        let map = ImageMap::new(rules.map(|(from, to)| (from.into(), to.into())).into());
        for (image, to) in [
            ("ubuntu:24.04", "a"),
            ("ubuntu", "host"),
            ("r.example/team/x:v1", "b"),
            ("exact", "c"),
            ("exactly", "host"),
        ] {
            assert_eq!(map.apply(image), to, "{image}");
        }
        assert_eq!(ImageMap::default().apply("alpine"), "alpine");
    }
}
