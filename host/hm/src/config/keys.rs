//! Every key of the configuration, declared once: name, kind, and who may set it.

use super::layer::Value;

/// What a key holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A whole number from 0 up.
    Count,
    /// A number of bytes, or a text as `20GiB`.
    Bytes,
    /// Yes or no.
    Switch,
    /// A list of texts; in a variable separated by `:`.
    Paths,
    /// A list of texts; in a variable separated by `,`.
    Texts,
    /// A text, a number or a switch, at any depth below.
    Anything,
}

/// Who may set a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// Everybody.
    All,
    /// Not the repository: it would reach beyond itself.
    User,
}

/// A key.
#[derive(Debug)]
pub(crate) struct Key {
    /// Dotted path; `*` stands for one part of any name, a final `**` for any depth.
    pub(crate) path: &'static str,
    /// What it holds.
    pub(crate) kind: Kind,
    /// Who may set it.
    pub(crate) right: Right,
    /// True for a key of the predecessor that nothing in this version reads.
    pub(crate) dormant: bool,
}

const fn key(path: &'static str, kind: Kind, right: Right) -> Key {
    Key {
        path,
        kind,
        right,
        dormant: false,
    }
}

const fn dormant(path: &'static str, kind: Kind, right: Right) -> Key {
    Key {
        path,
        kind,
        right,
        dormant: true,
    }
}

/// Names of `--format` and `format`.
pub(crate) const FORMATS: &[&str] = &["auto", "human", "plain", "json", "github"];

/// Names of `--engine` and `engine`.
pub(crate) const ENGINES: &[&str] = &["auto", "sandbox", "docker"];

/// Every key there is.
pub(crate) static KEYS: &[Key] = &[
    key("backend", Kind::Text, Right::All),
    key("engine", Kind::Words(ENGINES), Right::All),
    key("format", Kind::Words(FORMATS), Right::All),
    key("jobs", Kind::Count, Right::All),
    key("images.*", Kind::Text, Right::All),
    key(
        "vm.network",
        Kind::Words(&["none", "public", "host"]),
        Right::All,
    ),
    key("vm.cpus", Kind::Count, Right::User),
    key("vm.memory", Kind::Bytes, Right::User),
    key("vm.processes", Kind::Count, Right::User),
    key("vm.disk", Kind::Bytes, Right::User),
    key("host.expose", Kind::Paths, Right::User),
    key("cache.bytes", Kind::Bytes, Right::User),
    // Names and values are checked by what each limit counts.
    key("limits.*", Kind::Anything, Right::User),
    key("image.bytes", Kind::Bytes, Right::User),
    key("image.entries", Kind::Count, Right::User),
    key("image.ratio", Kind::Count, Right::User),
    key("registries.*.ca", Kind::Text, Right::User),
    key("registries.*.insecure", Kind::Switch, Right::User),
    key("backends.*.file", Kind::Text, Right::All),
    key("backends.*.settings.**", Kind::Anything, Right::All),
    // Feeds the question, and grants nothing.
    key("backends.*.request.allow", Kind::Texts, Right::All),
    key("backends.*.request.http", Kind::Texts, Right::All),
    key("http.proxy", Kind::Text, Right::User),
    key("http.no_proxy", Kind::Texts, Right::User),
    // The predecessor's name for `format`.
    key("preferences.format", Kind::Words(FORMATS), Right::All),
    dormant("preferences.auto_watch", Kind::Switch, Right::All),
    key("cloud.org", Kind::Text, Right::All),
    key("cloud.pipeline", Kind::Text, Right::All),
    key("cloud.api_url", Kind::Text, Right::User),
    key("cloud.app_url", Kind::Text, Right::User),
    // Instead of asking the service which it has.
    key("cloud.api_version", Kind::Words(&["v0", "v1"]), Right::User),
    key("cloud.secrets", Kind::Texts, Right::User),
];

/// What a repository's file must not even hold, whatever is below it (decisions,
/// "Environment, secrets, configuration"): it may ask, and never grant.
pub(crate) const FORBIDDEN_TO_REPOSITORIES: &[&str] = &[
    "grant",
    "grants",
    "trust",
    "credentials",
    "limits",
    "folders",
    "host",
    "cache",
    "image",
    "registries",
    "state",
];

/// Backends that a `[backends.NAME]` cannot replace.
pub(crate) const BUILT_IN: &[&str] = &["local", "docker", "cloud"];

/// Returns the key at a path.
pub(crate) fn find(path: &[String]) -> Option<&'static Key> {
    KEYS.iter().find(|key| matches(key.path, path))
}

/// Returns true if keys lie below a path, so that a table may stand there.
pub(crate) fn is_table(path: &[String]) -> bool {
    KEYS.iter().any(|key| {
        let parts: Vec<_> = key.path.split('.').collect();
        let fits = |(part, name): (&&str, &String)| *part == "*" || *part == "**" || part == name;
        match parts.iter().position(|part| *part == "**") {
            Some(deep) if path.len() > deep => parts[..deep].iter().zip(path).all(fits),
            _ => parts.len() > path.len() && parts.iter().zip(path).all(fits),
        }
    })
}

fn matches(pattern: &str, path: &[String]) -> bool {
    let mut names = path.iter();
    for part in pattern.split('.') {
        if part == "**" {
            return names.next().is_some();
        }
        match names.next() {
            Some(name) if part == "*" || part == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

/// Returns the known name closest to the last part of an unknown path.
pub(crate) fn nearest(path: &[String]) -> Option<String> {
    let (last, parent) = path.split_last()?;
    let beside = KEYS.iter().filter_map(|key| {
        let parts: Vec<_> = key.path.split('.').collect();
        let fits = parts
            .iter()
            .zip(parent)
            .all(|(part, name)| *part == "*" || part == name);
        (fits && parts.len() > parent.len())
            .then(|| parts[parent.len()])
            .filter(|name| !name.starts_with('*'))
    });
    let near = crate::failure::nearest(last, beside)?;
    Some(
        parent
            .iter()
            .map(String::as_str)
            .chain([near])
            .collect::<Vec<_>>()
            .join("."),
    )
}

impl Kind {
    /// Reads a value that was written as text, in a variable.
    ///
    /// # Errors
    /// What was expected, in words.
    pub(crate) fn read(self, text: &str) -> Result<Value, String> {
        match self {
            Self::Count => match text.trim().parse() {
                Ok(number) => self.check(Value::Number(number)),
                Err(_) => Err(self.expected()),
            },
            Self::Bytes => self.check(match text.trim().parse() {
                Ok(number) => Value::Number(number),
                Err(_) => Value::Text(text.into()),
            }),
            Self::Switch => match text {
                "true" | "1" => Ok(Value::Switch(true)),
                "false" | "0" => Ok(Value::Switch(false)),
                _ => Err(self.expected()),
            },
            Self::Paths | Self::Texts => {
                let separator = if matches!(self, Self::Paths) {
                    ':'
                } else {
                    ','
                };
                let parts = text.split(separator).filter(|part| !part.is_empty());
                Ok(Value::Texts(parts.map(str::to_owned).collect()))
            }
            Self::Text | Self::Words(_) | Self::Anything => self.check(Value::Text(text.into())),
        }
    }

    /// Checks a value, and brings it to its plain form (bytes as a number).
    ///
    /// # Errors
    /// What was expected, in words.
    pub(crate) fn check(self, value: Value) -> Result<Value, String> {
        let fits = match (self, &value) {
            (Self::Bytes, Value::Text(text)) => {
                return bytes(text)
                    .map(Value::Number)
                    .ok_or_else(|| self.expected());
            }
            (Self::Text, Value::Text(text)) => !text.is_empty(),
            (Self::Words(words), Value::Text(text)) => words.contains(&text.as_str()),
            (Self::Count | Self::Bytes, Value::Number(number)) => *number >= 0,
            (Self::Switch, Value::Switch(_)) | (Self::Paths | Self::Texts, Value::Texts(_)) => true,
            (Self::Anything, value) => !matches!(value, Value::Texts(_)),
            _ => false,
        };
        if fits {
            Ok(value)
        } else {
            Err(self.expected())
        }
    }

    /// Returns what the key takes, in words.
    pub(crate) fn expected(self) -> String {
        match self {
            Self::Text => "a text that is not empty".into(),
            Self::Words(words) => format!("one of {}", words.join(", ")),
            Self::Count => "a whole number, 0 or more".into(),
            Self::Bytes => "a number of bytes, or a text as \"20GiB\"".into(),
            Self::Switch => "true or false".into(),
            Self::Paths | Self::Texts => "a list of texts".into(),
            Self::Anything => "a text, a whole number, or true or false".into(),
        }
    }
}

/// Reads a size as `512MiB`, `20 GB` or `4096`.
pub(crate) fn bytes(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        "tib" | "t" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    text[..digits].parse::<i64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn keys_are_found_by_their_pattern() {
        for known in [
            "backend",
            "images.ubuntu:24",
            "vm.network",
            "backends.acme.file",
            "backends.a.settings.b.c",
        ] {
            assert!(find(&path(known)).is_some(), "{known}");
        }
        for unknown in [
            "bakend",
            "images",
            "backends.acme",
            "backends.acme.settings",
            "vm.network.x",
        ] {
            assert!(find(&path(unknown)).is_none(), "{unknown}");
        }
        for table in [
            "images",
            "vm",
            "backends.acme",
            "backends.acme.settings",
            "backends.acme.settings.b",
        ] {
            assert!(is_table(&path(table)), "{table}");
        }
        assert!(!is_table(&path("backend")) && !is_table(&path("backends.acme.file")));
    }

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        assert_eq!(nearest(&path("bakend")).as_deref(), Some("backend"));
        assert_eq!(nearest(&path("vm.netwrok")).as_deref(), Some("vm.network"));
        assert_eq!(
            nearest(&path("backends.acme.flie")).as_deref(),
            Some("backends.acme.file")
        );
        assert_eq!(nearest(&path("wholly_else")), None);
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(bytes("20GiB"), Some(20 << 30));
        assert_eq!(bytes("5 MB"), Some(5_000_000));
        assert_eq!(bytes("7"), Some(7));
        assert_eq!(bytes("x"), None);
        assert_eq!(bytes("9999999999999TiB"), None);
    }
}
