//! A limit that a component ran into, as its user is told.

use std::fmt;

use super::{LimitKey, Limits, Unit};

/// Which limit, and how high it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitHit {
    /// Key of the limit; none for those that are part of the sandbox and cannot be changed.
    pub key: Option<&'static str>,
    /// "memory 256 MiB".
    text: String,
    /// Twice as much, as it is written in configuration and flags.
    twice: String,
}

impl LimitHit {
    /// A limit of the table, with its value.
    ///
    /// # Panics
    /// If there is no such key; every caller names one, and a test walks all of them.
    pub(crate) fn of(name: &'static str, limits: &Limits) -> Self {
        let Some(key) = LimitKey::find(name) else {
            unreachable!("`{name}` is no limit");
        };
        let value = key.get(limits);
        Self {
            key: Some(key.name),
            text: format!("{} {}", phrase(name), shown(key.unit, value, " ")),
            twice: shown(key.unit, value.saturating_mul(2), ""),
        }
    }

    /// A limit that nobody can raise.
    pub(crate) fn fixed(text: impl Into<String>) -> Self {
        Self {
            key: None,
            text: text.into(),
            twice: String::new(),
        }
    }

    /// Returns `KEY=VALUE` for `--limit`, of a value that is worth a try.
    pub fn raised(&self) -> Option<String> {
        self.key.map(|key| format!("{key}={}", self.twice))
    }
}

impl fmt::Display for LimitHit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for LimitHit {}

/// Returns what a limit is called in a sentence, where its key alone says too little.
fn phrase(name: &str) -> &str {
    match name {
        "calls" => "calls in flight",
        "call-data" => "one call's data",
        "cpu" => "CPU time",
        "tasks" => "handles to tasks, streams and sets",
        "notices" => "notices and custom events",
        "output" => "step-output",
        "http-handles" => "handles to HTTP headers, requests and responses",
        "http-requests" => "HTTP requests",
        "http-request-body" => "body of an HTTP request",
        "http-response-body" => "body of an HTTP response",
        "http-bodies" => "bodies of all HTTP requests and responses",
        name => name,
    }
}

/// Returns a value in the largest unit that divides it.
fn shown(unit: Unit, value: u64, blank: &str) -> String {
    let steps: &[(u64, &str)] = match unit {
        Unit::Count => &[],
        Unit::Bytes => &[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")],
        Unit::Time => &[(3_600_000, "h"), (1_000, "s")],
    };
    match steps
        .iter()
        .find(|(size, _)| value >= *size && value.is_multiple_of(*size))
    {
        Some((size, word)) => format!("{}{blank}{word}", value / size),
        None if unit == Unit::Time => format!("{value}{blank}ms"),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_names_limit_value_and_a_way_up() {
        let limits = Limits::default();
        for (key, text, raised) in [
            ("memory", "memory 256 MiB", "memory=512MiB"),
            ("cpu", "CPU time 300 s", "cpu=600s"),
            ("handles", "handles 32768", "handles=65536"),
            ("build", "build 6 h", "build=12h"),
        ] {
            let hit = LimitHit::of(key, &limits);
            assert_eq!(hit.to_string(), text);
            assert_eq!(hit.raised().as_deref(), Some(raised));
        }
        assert_eq!(LimitHit::fixed("stack 512 KiB").raised(), None);
    }
}
