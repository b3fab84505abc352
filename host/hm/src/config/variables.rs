//! `HM_…` variables as a layer: `HM_VM__NETWORK` is `vm.network`.

use super::keys::{self, Kind};
use super::layer::{Layer, Origin, Setting, Value};
use crate::failure::Failure;

/// The predecessor's names for settings of its service; they win over the general names.
const ALIASES: &[(&str, [&str; 2])] = &[
    ("HM_ORG", ["cloud", "org"]),
    ("HM_API_URL", ["cloud", "api_url"]),
    ("HM_APP_URL", ["cloud", "app_url"]),
];

/// Variables that are no settings, but known: folders, and what belongs to logins.
const OTHERS: &[&str] = &[
    "HM_CONFIG_DIR",
    "HM_CACHE_DIR",
    "HM_STATE_DIR",
    "HM_API_TOKEN",
    "HM_LOGIN_CODE",
    "HM_PIPELINE_ORG",
];

/// Reads the settings among `variables`. Unknown ones are no error: see [`unknown`].
///
/// # Errors
/// Usage, with every variable whose value is wrong.
pub(crate) fn load(variables: impl Iterator<Item = (String, String)>) -> Result<Layer, Failure> {
    let mut layer = Layer::default();
    let mut problems = Vec::new();
    for (name, text) in variables {
        if name == "HM_IMAGES" {
            images(&name, &text, &mut layer, &mut problems);
            continue;
        }
        let alias = ALIASES.iter().find(|(known, _)| *known == name);
        if let Some((_, path)) = alias {
            let setting = Setting {
                path: path.iter().map(|part| (*part).to_owned()).collect(),
                value: Value::Text(text),
                origin: Origin::Variable(name),
            };
            // Before the general name: the first of a layer counts.
            layer.settings.insert(0, setting);
            continue;
        }
        let Some(path) = path(&name) else { continue };
        let Some(key) = keys::find(&path) else {
            continue;
        };
        match key.kind.read(&text) {
            Ok(value) => layer.settings.push(Setting {
                path,
                value,
                origin: Origin::Variable(name),
            }),
            Err(expected) => problems.push(format!("{name} is `{text}`; it takes {expected}")),
        }
    }
    // Stable: the images keep the order in which they were written.
    layer
        .settings
        .sort_by(|a, b| a.path.first().cmp(&b.path.first()));
    if problems.is_empty() {
        Ok(layer)
    } else {
        Err(Failure::usage(problems.join("\n")))
    }
}

/// Image names do not fit the names of variables, so that all of them are in one.
fn images(name: &str, text: &str, layer: &mut Layer, problems: &mut Vec<String>) {
    for rule in text.split(',').filter(|rule| !rule.trim().is_empty()) {
        match rule.split_once('=') {
            Some((from, to)) if !from.trim().is_empty() && !to.trim().is_empty() => {
                layer.settings.push(Setting {
                    path: vec!["images".into(), from.trim().into()],
                    value: Value::Text(to.trim().into()),
                    origin: Origin::Variable(name.into()),
                })
            }
            _ => problems.push(format!(
                "{name} has the entry `{rule}`; it takes FROM=TO, separated by commas"
            )),
        }
    }
}

/// Returns the `HM_…` variables that mean nothing to this version, for `hm doctor`.
pub(crate) fn unknown(names: impl Iterator<Item = String>) -> Vec<String> {
    let is_known = |name: &String| {
        OTHERS.contains(&name.as_str())
            || ALIASES.iter().any(|(known, _)| known == name)
            || name == "HM_IMAGES"
            || path(name).is_some_and(|path| keys::find(&path).is_some())
    };
    let mut names: Vec<_> = names
        .filter(|name| name.starts_with("HM_") && !is_known(name))
        .collect();
    names.sort();
    names
}

/// Returns the setting that a variable stands for by its name, if it may be set that way.
fn path(name: &str) -> Option<Vec<String>> {
    let rest = name.strip_prefix("HM_")?;
    let path: Vec<_> = rest.split("__").map(str::to_ascii_lowercase).collect();
    // Names that a person chose may have any letters, and a variable cannot tell them.
    let chosen = matches!(
        path.first().map(String::as_str),
        Some("images" | "backends" | "registries")
    );
    let settable =
        !chosen && keys::find(&path).is_some_and(|key| !matches!(key.kind, Kind::Anything));
    settable.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_underscores_nest_and_one_does_not() {
        let pairs = [
            ("HM_VM__NETWORK", "none"),
            ("HM_JOBS", "3"),
            ("HM_IMAGES", "a*=host, b=c"),
            ("HM_ODD", "x"),
        ];
        let layer = load(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
        )
        .unwrap();
        let shown: Vec<_> = layer
            .settings
            .iter()
            .map(|s| format!("{}={}", s.name(), s.value))
            .collect();
        assert_eq!(
            shown,
            [
                r#"images."a*"=host"#,
                "images.b=c",
                "jobs=3",
                "vm.network=none"
            ]
        );
        assert_eq!(
            unknown(pairs.iter().map(|(k, _)| (*k).to_owned())),
            ["HM_ODD"]
        );
    }

    #[test]
    fn every_wrong_value_is_told() {
        let pairs = [("HM_JOBS", "many"), ("HM_FORMAT", "xml")];
        let error = load(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
        )
        .unwrap_err();
        let text = error.error().to_string();
        assert!(
            text.contains("HM_JOBS is `many`") && text.contains("HM_FORMAT is `xml`"),
            "{text}"
        );
    }
}
