//! A grant, and whether it covers what a run needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use hm_exec::{ImagePolicy, Limits};
use hm_plugin_protocol::Network;
use hm_vm::MachineOptions;
use serde::{Deserialize, Serialize};

use super::{HttpReach, LimitValue};

/// What a user allowed to a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    /// Shown only.
    #[serde(default)]
    pub(crate) name: String,
    /// Canonical roots of the repositories in which it holds; `*` alone for all. A hash says
    /// what may act, not on whose behalf: a hostile repository could aim a component that
    /// is trusted for work.
    #[serde(default)]
    pub(crate) repos: Vec<String>,
    /// Interfaces, by their names.
    #[serde(default)]
    pub(crate) allow: Vec<String>,
    /// Of the settings that the repository chose when this was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) settings: Option<String>,
    /// Names of secrets whose values the component is handed; of all others it sees the
    /// name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) secrets: Vec<String>,
    /// Which machines it may start, and how far they reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) vm: Option<VmReach>,
    /// Where the component may talk to; none is no HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<HttpReach>,
    /// Instead of the configuration's, up or down.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) limits: BTreeMap<String, LimitValue>,
}

/// Which machines a component may start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VmReach {
    /// The engine that makes them, by its name: one that shares the kernel is no stronger
    /// than the kernel.
    pub(crate) engine: String,
    /// What they boot from: `plan` for what the plan names, references, `PREFIX/*`; `host`
    /// by name only.
    pub(crate) images: Vec<String>,
    /// The widest network.
    pub(crate) network: Network,
}

/// What a run needs of a grant.
#[derive(Debug, Clone)]
pub(crate) struct Need<'a> {
    /// `sha256:` and 64 hex digits.
    pub(crate) digest: &'a str,
    /// Canonical root of the repository.
    pub(crate) root: &'a Path,
    /// Names of the interfaces that the component imports and that need a grant.
    pub(crate) interfaces: Vec<&'static str>,
    /// What the run's machines are, if the component starts any.
    pub(crate) vm: Option<VmNeed>,
    /// Of the settings that come from the repository.
    pub(crate) settings: Option<String>,
    /// Patterns that the configuration asks for; they grant nothing by themselves.
    pub(crate) http: Vec<String>,
}

/// What a run's machines are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VmNeed {
    /// Name of the engine that would make them.
    pub(crate) engine: String,
    /// What the plan boots from, after `--image` and `[images]`.
    pub(crate) images: BTreeSet<String>,
    /// The widest network that some machine of the run would have.
    pub(crate) network: Network,
}

impl VmNeed {
    /// Returns the rules that allow these images and as little else as can be said.
    pub(crate) fn image_rules(&self) -> Vec<String> {
        let host = ImagePolicy::HOST;
        let mut rules = Vec::new();
        if self.images.iter().any(|image| image != host) {
            rules.push(ImagePolicy::PLAN.to_owned());
        }
        if self.images.contains(host) {
            rules.push(host.to_owned());
        }
        rules
    }
}

/// Why a grant does not cover a need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no grant for these bytes.
    Unknown,
    /// There is one, for other repositories.
    OtherRepository,
    /// It lacks an interface.
    Interface,
    /// The repository's settings for the backend are not those that were agreed to.
    Settings,
    /// The machines would reach further.
    Network,
    /// Another engine would make the machines.
    Engine,
    /// The machines would boot from something else.
    Images,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "has no grant",
            Self::OtherRepository => "has no grant for this repository",
            Self::Interface => "asks for more than its grant allows",
            Self::Settings => "would get other settings from this repository than those that its grant was given for",
            Self::Network => "would run machines that reach further than its grant allows",
            Self::Engine => "would run machines on another engine than its grant allows",
            Self::Images => "would boot machines from images that its grant does not allow",
        })
    }
}

impl Grant {
    /// Returns the grant that covers exactly a need.
    pub(crate) fn of(need: &Need<'_>, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            repos: vec![need.root.to_string_lossy().into_owned()],
            allow: need
                .interfaces
                .iter()
                .filter(|name| **name != "http")
                .map(|name| (*name).to_owned())
                .collect(),
            settings: need.settings.clone(),
            secrets: Vec::new(),
            http: need.interfaces.contains(&"http").then(|| HttpReach {
                hosts: need.http.clone(),
                ..HttpReach::default()
            }),
            vm: need.vm.as_ref().map(|vm| VmReach {
                engine: vm.engine.clone(),
                images: vm.image_rules(),
                network: vm.network,
            }),
            limits: BTreeMap::new(),
        }
    }

    /// Returns the limits, with those of the grant over the others.
    ///
    /// # Errors
    /// A limit that is none; in words.
    pub(crate) fn limited(&self, mut limits: Limits) -> Result<Limits, String> {
        for (name, value) in &self.limits {
            value.apply(name, &mut limits)?;
        }
        Ok(limits)
    }

    /// Returns the size of machines, where the grant says another than the configuration.
    pub(crate) fn sized(&self, mut machine: MachineOptions, limits: &Limits) -> MachineOptions {
        let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let mib = |bytes: u64| (bytes >> 20).max(1);
        for name in self.limits.keys() {
            match name.as_str() {
                "machine-cpus" => machine.cpus = Some(number(limits.machine_cpus)),
                "machine-memory" => machine.memory_mib = Some(number(mib(limits.machine_memory))),
                "machine-processes" => machine.processes = number(limits.machine_processes),
                "machine-disk" => machine.disk_mib = Some(mib(limits.machine_disk)),
                _ => {}
            }
        }
        machine
    }

    /// Adds what another grant for the same bytes allows.
    pub(crate) fn extend(&mut self, other: Self) {
        fn add(list: &mut Vec<String>, more: Vec<String>) {
            for one in more {
                if !list.contains(&one) {
                    list.push(one);
                }
            }
        }
        self.name = other.name;
        add(&mut self.allow, other.allow);
        if other.settings.is_some() {
            self.settings = other.settings;
        }
        match (&mut self.vm, other.vm) {
            (Some(vm), Some(more)) => {
                vm.engine = more.engine;
                add(&mut vm.images, more.images);
                if reach(more.network) > reach(vm.network) {
                    vm.network = more.network;
                }
            }
            (vm @ None, more) => *vm = more,
            (Some(_), None) => {}
        }
        match (&mut self.http, other.http) {
            (Some(own), Some(more)) => own.add(more),
            (own @ None, more) => *own = more,
            (Some(_), None) => {}
        }
        add(&mut self.secrets, other.secrets);
        self.limits.extend(other.limits);
    }

    /// Returns whether the grant holds in a repository.
    pub(crate) fn is_for(&self, root: &Path) -> bool {
        let root = root.to_string_lossy();
        self.repos.iter().any(|repo| repo == "*" || *repo == root)
    }

    /// Returns whether an interface is allowed, by its name.
    pub(crate) fn has(&self, interface: &str) -> bool {
        match interface {
            "http" => self.http.is_some(),
            other => self.allow.iter().any(|allowed| allowed == other),
        }
    }

    /// Checks a need.
    ///
    /// # Errors
    /// The first thing that is not covered.
    pub(crate) fn covers(&self, need: &Need<'_>) -> Result<(), Refusal> {
        if !self.is_for(need.root) {
            return Err(Refusal::OtherRepository);
        }
        if need.interfaces.iter().any(|wanted| !self.has(wanted)) {
            return Err(Refusal::Interface);
        }
        if need.settings.is_some() && self.settings != need.settings {
            return Err(Refusal::Settings);
        }
        match &need.vm {
            Some(need) => self.covers_machines(need),
            None => Ok(()),
        }
    }

    fn covers_machines(&self, need: &VmNeed) -> Result<(), Refusal> {
        // The interface without the table allows no machine.
        let vm = self.vm.as_ref().ok_or(Refusal::Interface)?;
        if vm.engine != need.engine {
            return Err(Refusal::Engine);
        }
        let policy = ImagePolicy::new(vm.images.iter().cloned());
        if !need.images.iter().all(|image| policy.allows(image, true)) {
            return Err(Refusal::Images);
        }
        if reach(need.network) > reach(vm.network) {
            return Err(Refusal::Network);
        }
        Ok(())
    }
}

/// Orders networks by how far they reach.
pub(crate) fn reach(network: Network) -> u8 {
    match network {
        Network::None => 0,
        Network::Public => 1,
        Network::Host => 2,
    }
}

/// Returns the word for a network in flags.
pub(crate) fn word(network: Network) -> &'static str {
    match network {
        Network::None => "none",
        Network::Public => "public",
        Network::Host => "host",
    }
}

/// Returns the command that grants what is needed, and suffices for it. It holds nothing but
/// the digest and words of hm's own, as a suggestion is the one text that people paste.
pub(crate) fn command(need: &Need<'_>) -> String {
    let mut command = format!("hm backend grant {}", need.digest);
    for interface in &need.interfaces {
        match *interface {
            "http" => command += &http_flags(&need.http),
            other => command += &format!(" --{other}"),
        }
    }
    if let Some(vm) = &need.vm {
        command += &format!(" --vm-engine {}", vm.engine);
        for rule in vm.image_rules() {
            command += &format!(" --vm-image {rule}");
        }
        if vm.network != Network::None {
            command += &format!(" --vm-network {}", word(vm.network));
        }
    }
    command
}

/// Returns the flags that grant these patterns. One that a shell would read as something
/// else is left to be written into the file.
fn http_flags(patterns: &[String]) -> String {
    let is_safe = |text: &&String| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._:/@*+=-".contains(&b))
    };
    let flag = |pattern: &String| match pattern.contains('*') {
        true => format!(" --http '{pattern}'"),
        false => format!(" --http {pattern}"),
    };
    let flags: String = patterns.iter().filter(is_safe).map(flag).collect();
    if flags.is_empty() {
        " --http none".into()
    } else {
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(images: &[&str], network: Network) -> VmNeed {
        VmNeed {
            engine: "sandbox".into(),
            images: images.iter().map(|image| (*image).to_owned()).collect(),
            network,
        }
    }

    fn need(vm: Option<VmNeed>) -> Need<'static> {
        Need {
            digest: "sha256:0",
            root: Path::new("/repo"),
            interfaces: if vm.is_some() { vec!["vm"] } else { Vec::new() },
            vm,
            settings: Some("sha256:1".into()),
            http: Vec::new(),
        }
    }

    fn grant() -> Grant {
        Grant {
            name: "acme".into(),
            repos: vec!["/repo".into()],
            allow: vec!["vm".into()],
            settings: Some("sha256:1".into()),
            secrets: Vec::new(),
            vm: Some(VmReach {
                engine: "sandbox".into(),
                images: vec!["plan".into()],
                network: Network::Public,
            }),
            http: None,
            limits: BTreeMap::new(),
        }
    }

    #[test]
    fn a_grant_covers_its_repository_interfaces_settings_and_machines_only() {
        let good = need(Some(vm(&["ubuntu:24.04"], Network::Public)));
        assert_eq!(grant().covers(&good), Ok(()));
        let refused = |need: Need<'_>| grant().covers(&need).unwrap_err();
        assert_eq!(
            refused(Need {
                root: Path::new("/rep"),
                ..good.clone()
            }),
            Refusal::OtherRepository
        );
        assert_eq!(
            refused(Need {
                settings: Some("sha256:2".into()),
                ..good.clone()
            }),
            Refusal::Settings
        );
        for (vm, refusal) in [
            (vm(&["ubuntu:24.04"], Network::Host), Refusal::Network),
            (
                vm(&["ubuntu:24.04", "host"], Network::None),
                Refusal::Images,
            ),
            (
                VmNeed {
                    engine: "docker".into(),
                    ..vm(&[], Network::None)
                },
                Refusal::Engine,
            ),
        ] {
            assert_eq!(refused(need(Some(vm))), refusal);
        }
        let bare = Grant {
            allow: Vec::new(),
            repos: vec!["*".into()],
            ..grant()
        };
        assert_eq!(bare.covers(&good), Err(Refusal::Interface));
        let without_table = Grant {
            vm: None,
            ..grant()
        };
        assert_eq!(without_table.covers(&good), Err(Refusal::Interface));
    }

    #[test]
    fn what_is_granted_later_is_added() {
        let mut first = grant();
        first.extend(Grant {
            vm: Some(VmReach {
                engine: "sandbox".into(),
                images: vec!["host".into()],
                network: Network::None,
            }),
            limits: BTreeMap::from([("memory".into(), "512MiB".into())]),
            ..Grant::of(&need(None), "acme")
        });
        let vm = first.vm.clone().unwrap();
        assert_eq!(vm.images, ["plan", "host"]);
        assert_eq!(vm.network, Network::Public);
        assert_eq!(first.allow, ["vm"]);
        let limits = first.limited(Limits::default()).unwrap();
        assert_eq!(limits.memory_bytes, 512 << 20);
    }

    #[test]
    fn adding_takes_nothing_away() {
        let grant = |allow: &[&str], network: Option<Network>, secrets: &[&str]| Grant {
            name: "acme".into(),
            repos: vec!["/repo".into()],
            allow: allow.iter().map(|name| (*name).to_owned()).collect(),
            settings: None,
            secrets: secrets.iter().map(|name| (*name).to_owned()).collect(),
            vm: network.map(|network| VmReach {
                engine: "sandbox".into(),
                images: vec!["plan".into()],
                network,
            }),
            http: None,
            limits: BTreeMap::new(),
        };
        let mut own = grant(&["vm"], Some(Network::Host), &["A"]);
        own.extend(grant(&["source"], None, &["A", "B"]));
        assert_eq!(
            own,
            grant(&["vm", "source"], Some(Network::Host), &["A", "B"])
        );
        own.extend(grant(&["vm"], Some(Network::None), &[]));
        assert_eq!(own.vm.as_ref().unwrap().network, Network::Host);
        let mut more = grant(&[], None, &[]);
        more.http = Some(HttpReach::default());
        assert!(!own.has("http"));
        own.extend(more);
        assert!(own.has("http") && own.has("vm") && own.has("source"));
    }

    #[test]
    fn the_command_says_exactly_what_is_needed() {
        for (vm, flags) in [
            (None, ""),
            (
                Some(vm(&["ubuntu:24.04"], Network::None)),
                " --vm --vm-engine sandbox --vm-image plan",
            ),
            (
                Some(vm(&["host"], Network::Host)),
                " --vm --vm-engine sandbox --vm-image host --vm-network host",
            ),
            (
                Some(vm(&["host", "a"], Network::None)),
                " --vm --vm-engine sandbox --vm-image plan --vm-image host",
            ),
        ] {
            assert_eq!(
                command(&need(vm)),
                format!("hm backend grant sha256:0{flags}")
            );
        }
        let mut http = need(None);
        http.interfaces = vec!["http"];
        assert_eq!(command(&http), "hm backend grant sha256:0 --http none");
        http.http = vec![
            "https://api.acme.example/v1/".into(),
            "https://*.acme.example".into(),
            "https://[::1]/".into(),
        ];
        assert_eq!(
            command(&http),
            "hm backend grant sha256:0 --http https://api.acme.example/v1/ --http 'https://*.acme.example'"
        );
    }
}
