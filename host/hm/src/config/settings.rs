//! All layers together, asked key by key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hm_vm::MachineOptions;
use hm_vm::image::{ImageLimits, RegistryOptions};

use super::keys;
use super::layer::{Layer, Origin, Setting, Value};
use super::{Folders, file, variables};
use crate::failure::Failure;

/// Pairs that a backend may be handed.
const PAIRS_MAX: usize = 256;
/// Bytes of all of them.
const BYTES_MAX: usize = 64 << 10;
/// Bytes of one value.
const VALUE_MAX: usize = 16 << 10;

/// The configuration of this process.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    flags: Layer,
    variables: Layer,
    repository: Layer,
    user: Layer,
}

/// Where no number of processes is to hold: as many as a 64-bit kernel can count.
const MOST_PROCESSES: u32 = 1 << 22;

/// A backend of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct NamedBackend {
    /// The component.
    pub(crate) file: PathBuf,
    /// What the backend is handed, as `a.b` and value, in the order of keys.
    pub(crate) settings: Vec<(String, String)>,
    /// Which of these the repository chose; consent covers them.
    pub(crate) from_repository: Vec<(String, String)>,
    /// Patterns of HTTP that it asks for, each with the file that says so.
    pub(crate) http: Vec<(String, Origin)>,
    /// True if the repository chose the component.
    pub(crate) is_repositorys: bool,
}

impl Settings {
    /// Reads all layers. `root` is the repository, where there is one.
    ///
    /// # Errors
    /// Usage, with what is wrong in the first layer that is.
    pub(crate) fn load(
        folders: &Folders,
        root: Option<&Path>,
        flags: Layer,
    ) -> Result<Self, Failure> {
        let path = folders.config_file();
        let user = file::load(&path, Origin::User(path.clone()))?;
        let repository = match root.map(|root| root.join(".hm").join(file::NAME)) {
            Some(path) => file::load(&path, Origin::Repository(path.clone()))?,
            None => Layer::default(),
        };
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| {
                Some((
                    name.into_string().ok()?,
                    value.to_string_lossy().into_owned(),
                ))
            })
            .filter(|(_, value)| !value.is_empty());
        Ok(Self {
            flags,
            variables: variables::load(variables)?,
            repository,
            user,
        })
    }

    /// Returns the layers, the one that wins first.
    fn layers(&self) -> [&Layer; 4] {
        [&self.flags, &self.variables, &self.repository, &self.user]
    }

    fn find(&self, path: &[&str]) -> Option<&Setting> {
        self.layers().into_iter().find_map(|layer| layer.get(path))
    }

    fn text(&self, path: &[&str]) -> Option<(&str, &Origin)> {
        match self.find(path)? {
            Setting {
                value: Value::Text(text),
                origin,
                ..
            } => Some((text, origin)),
            _ => None,
        }
    }

    fn number(&self, path: &[&str]) -> Option<u64> {
        match self.find(path)?.value {
            Value::Number(number) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    /// Returns the backend's name or file, and who chose it.
    pub(crate) fn backend(&self) -> (&str, Origin) {
        self.text(&["backend"])
            .map_or(("local", Origin::Default), |(name, origin)| {
                (name, origin.clone())
            })
    }

    /// Returns the engine's name, `auto` where nobody chose. The backend `docker` chooses too:
    /// it is `local` with that engine.
    pub(crate) fn engine(&self) -> &str {
        for layer in self.layers() {
            let text = |key: &str| match layer.get(&[key]) {
                Some(Setting {
                    value: Value::Text(text),
                    ..
                }) => Some(text.as_str()),
                _ => None,
            };
            match (text("backend"), text("engine")) {
                (Some("docker"), _) => return "docker",
                (_, Some(engine)) => return engine,
                _ => {}
            }
        }
        "auto"
    }

    /// Returns the engine that the flags name beside the backend `docker`, if it is another.
    pub(crate) fn contradicting_engine(&self) -> Option<&str> {
        let flag = |key: &str| match self.flags.get(&[key]) {
            Some(Setting {
                value: Value::Text(text),
                ..
            }) => Some(text.as_str()),
            _ => None,
        };
        let engine = flag("engine")?;
        (flag("backend") == Some("docker") && !["docker", "auto"].contains(&engine))
            .then_some(engine)
    }

    /// Returns the format's name, `auto` where nobody chose.
    pub(crate) fn format(&self) -> &str {
        self.text(&["format"])
            .or_else(|| self.text(&["preferences", "format"]))
            .map_or("auto", |(name, _)| name)
    }

    /// Returns how many steps run at once, if somebody chose; at least 1.
    pub(crate) fn jobs(&self) -> Option<u32> {
        self.number(&["jobs"])
            .map(|jobs| u32::try_from(jobs).unwrap_or(u32::MAX).max(1))
    }

    /// Returns what the registry may keep, in bytes, if somebody chose.
    pub(crate) fn cache_bytes(&self) -> Option<u64> {
        self.number(&["cache", "bytes"])
    }

    /// Returns a text of `[cloud]`, and who chose it.
    pub(crate) fn cloud(&self, key: &str) -> Option<(&str, &Origin)> {
        self.text(&["cloud", key])
    }

    /// Returns the names of secrets whose values may go to the cloud.
    pub(crate) fn cloud_secrets(&self) -> &[String] {
        match self
            .find(&["cloud", "secrets"])
            .map(|setting| &setting.value)
        {
            Some(Value::Texts(names)) => names,
            _ => &[],
        }
    }

    /// Returns the network's name, if somebody chose, and who. A repository can narrow what
    /// the user's file says, and not widen it.
    pub(crate) fn network(&self) -> Option<(&str, &Origin)> {
        let path = ["vm", "network"];
        let chosen = self.text(&path)?;
        let reach = |name: &str| {
            ["none", "public", "host"]
                .iter()
                .position(|known| *known == name)
        };
        match self.user.get(&path) {
            Some(Setting {
                value: Value::Text(own),
                origin,
                ..
            }) if chosen.1.is_repository() && reach(own) < reach(chosen.0) => Some((own, origin)),
            _ => Some(chosen),
        }
    }

    /// Returns the most that a machine gets: what somebody chose, else what `default` says.
    /// 0 is no limit.
    pub(crate) fn machine(&self, default: MachineOptions) -> MachineOptions {
        let count = |key: &str, default: Option<u32>| match self.number(&["vm", key]) {
            Some(0) => None,
            Some(number) => Some(u32::try_from(number).unwrap_or(u32::MAX)),
            None => default,
        };
        let mib = |key: &str, default: Option<u64>| match self.number(&["vm", key]) {
            Some(0) => None,
            Some(bytes) => Some((bytes >> 20).max(1)),
            None => default,
        };
        MachineOptions {
            cpus: count("cpus", default.cpus),
            memory_mib: mib("memory", default.memory_mib.map(u64::from))
                .map(|mib| u32::try_from(mib).unwrap_or(u32::MAX)),
            processes: count("processes", Some(default.processes)).unwrap_or(MOST_PROCESSES),
            disk_mib: mib("disk", default.disk_mib),
            network: default.network,
        }
    }

    /// Returns the folders lent to machines, if somebody chose; a leading `~` is the home.
    pub(crate) fn expose(&self) -> Option<Vec<PathBuf>> {
        let setting = self.find(&["host", "expose"])?;
        let Value::Texts(texts) = &setting.value else {
            return None;
        };
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let path = |text: &String| match (
            text.strip_prefix('~')
                .map(|rest| rest.trim_start_matches('/')),
            &home,
        ) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(text),
        };
        Some(texts.iter().map(path).collect())
    }

    /// Returns the proxy for components' requests, and the hosts that are reached without,
    /// if the user configured one.
    pub(crate) fn proxy(&self) -> Option<(&str, Vec<String>)> {
        let (proxy, _) = self.text(&["http", "proxy"])?;
        let direct = match self
            .find(&["http", "no_proxy"])
            .map(|setting| &setting.value)
        {
            Some(Value::Texts(hosts)) => hosts.clone(),
            _ => Vec::new(),
        };
        Some((proxy, direct))
    }

    /// Returns all image rules as `(FROM, TO)`, the one that wins first.
    pub(crate) fn images(&self) -> Vec<(String, String)> {
        let settings = self.layers().into_iter().flat_map(|layer| &layer.settings);
        settings
            .filter_map(|setting| match (setting.path.as_slice(), &setting.value) {
                ([table, from], Value::Text(to)) if table == "images" => {
                    Some((from.clone(), to.clone()))
                }
                _ => None,
            })
            .collect()
    }

    /// Returns the limits that the user set for components: name, value and where.
    pub(crate) fn limits(&self) -> Vec<(String, String, Origin)> {
        let settings = self.user.settings.iter();
        settings
            .filter_map(|setting| match setting.path.as_slice() {
                [table, name] if table == "limits" => Some((
                    name.clone(),
                    setting.value.to_string(),
                    setting.origin.clone(),
                )),
                _ => None,
            })
            .collect()
    }

    /// Returns what the user says of registries, by host. A certificate's relative path
    /// counts from the configuration's folder; a leading `~/` is the home.
    pub(crate) fn registries(&self) -> BTreeMap<String, RegistryOptions> {
        let mut registries: BTreeMap<String, RegistryOptions> = BTreeMap::new();
        for setting in &self.user.settings {
            let [table, host, key] = setting.path.as_slice() else {
                continue;
            };
            if table != "registries" {
                continue;
            }
            let options = registries.entry(host.clone()).or_default();
            match (key.as_str(), &setting.value) {
                ("ca", Value::Text(file)) => {
                    let home = std::env::var_os("HOME").map(PathBuf::from);
                    options.ca = Some(match (file.strip_prefix("~/"), home) {
                        (Some(rest), Some(home)) => home.join(rest),
                        _ => setting
                            .origin
                            .folder()
                            .map_or_else(|| PathBuf::from(file), |folder| folder.join(file)),
                    });
                }
                ("insecure", Value::Switch(on)) => options.insecure = *on,
                _ => {}
            }
        }
        registries
    }

    /// Returns how much an image may take.
    pub(crate) fn image_limits(&self) -> ImageLimits {
        let mut limits = ImageLimits::default();
        for (key, limit) in [
            ("bytes", &mut limits.bytes),
            ("entries", &mut limits.entries),
            ("ratio", &mut limits.ratio),
        ] {
            if let Some(own) = self.number(&["image", key]) {
                *limit = own;
            }
        }
        limits
    }

    /// Returns the names of all backends that the configuration declares.
    pub(crate) fn backend_names(&self) -> BTreeSet<String> {
        let settings = [&self.user, &self.repository]
            .into_iter()
            .flat_map(|layer| &layer.settings);
        settings
            .filter(|setting| {
                setting
                    .path
                    .first()
                    .is_some_and(|table| table == "backends")
            })
            .filter_map(|setting| setting.path.get(1).cloned())
            .collect()
    }

    /// Returns a declared backend. What the user wrote wins over what the repository wrote,
    /// key by key: here it is the repository that could aim a backend elsewhere.
    ///
    /// # Errors
    /// Usage, if it is declared without a file.
    pub(crate) fn named_backend(&self, name: &str) -> Result<Option<NamedBackend>, Failure> {
        if !self.backend_names().contains(name) {
            return Ok(None);
        }
        let file = [&self.user, &self.repository]
            .into_iter()
            .find_map(|layer| layer.get(&["backends", name, "file"]));
        let Some(Setting {
            value: Value::Text(file),
            origin,
            ..
        }) = file
        else {
            return Err(Failure::usage(format!(
                "the backend `{name}` has no `file` in the configuration"
            ))
            .hint(format!("add `file = \"PATH.wasm\"` to [backends.{name}]")));
        };
        let is_repositorys = origin.is_repository();
        let file = origin
            .folder()
            .map_or_else(|| PathBuf::from(file), |folder| folder.join(file));
        let mut settings: BTreeMap<String, String> = BTreeMap::new();
        let mut from_repository = Vec::new();
        for layer in [&self.user, &self.repository] {
            for setting in &layer.settings {
                let [table, owner, kind, rest @ ..] = setting.path.as_slice() else {
                    continue;
                };
                if table != "backends" || owner != name || kind != "settings" {
                    continue;
                }
                let key = rest.join(".");
                if settings.contains_key(&key) {
                    continue;
                }
                if setting.origin.is_repository() {
                    from_repository.push((key.clone(), setting.value.to_string()));
                }
                settings.insert(key, setting.value.to_string());
            }
        }
        let settings: Vec<_> = settings.into_iter().collect();
        from_repository.sort();
        check_settings(name, &settings)?;
        let mut http: Vec<(String, Origin)> = Vec::new();
        for layer in [&self.user, &self.repository] {
            if let Some(Setting {
                value: Value::Texts(patterns),
                origin,
                ..
            }) = layer.get(&["backends", name, "request", "http"])
            {
                let known = patterns
                    .iter()
                    .map(|pattern| (pattern.clone(), origin.clone()));
                http.extend(known);
            }
        }
        Ok(Some(NamedBackend {
            http,
            file,
            settings,
            from_repository,
            is_repositorys,
        }))
    }

    /// Returns every setting that somebody made and that counts, for `hm doctor`; the flag
    /// tells those that nothing in this version reads.
    pub(crate) fn listing(&self) -> Vec<(&Setting, bool)> {
        let mut seen = BTreeSet::new();
        let mut listing: Vec<_> = self
            .layers()
            .into_iter()
            .flat_map(|layer| &layer.settings)
            .filter(|setting| seen.insert(setting.path.clone()))
            .map(|setting| {
                (
                    setting,
                    keys::find(&setting.path).is_some_and(|key| key.dormant),
                )
            })
            .collect();
        listing.sort_by(|a, b| a.0.path.first().cmp(&b.0.path.first()));
        listing
    }
}

/// Holds what a backend is handed to the limits (reference `sandbox`, section 6), before
/// anything of it runs.
fn check_settings(name: &str, settings: &[(String, String)]) -> Result<(), Failure> {
    let shown = hm_render::clean_line(name);
    let refused = |problem: String| {
        Err(Failure::usage(format!(
            "[backends.{shown}.settings] {problem}"
        )))
    };
    if settings.len() > PAIRS_MAX {
        let count = settings.len();
        return refused(format!("has {count} keys; a backend takes {PAIRS_MAX}"));
    }
    let bytes: usize = settings.iter().map(|(k, v)| k.len() + v.len()).sum();
    if bytes > BYTES_MAX {
        return refused(format!("has {bytes} bytes; a backend takes {BYTES_MAX}"));
    }
    for (key, value) in settings {
        let key_shown = hm_render::clean_line(key);
        if key.chars().any(char::is_control) || value.contains('\0') {
            return refused(format!(
                "has the key `{key_shown}`, with a character that is none of a text's"
            ));
        }
        if value.len() > VALUE_MAX {
            let length = value.len();
            return refused(format!(
                "gives `{key_shown}` a value of {length} bytes; a backend takes {VALUE_MAX}"
            ));
        }
    }
    Ok(())
}
