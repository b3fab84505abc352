//! `KEY=VALUE` of a limit: in grants, in the configuration and behind `--limit`.

use std::fmt;

use hm_exec::{LimitKey, Limits, Unit};
use serde::{Deserialize, Serialize};

use crate::cli::duration;
use crate::config::bytes;
use crate::failure::nearest;

/// A limit's value as a person wrote it: `512MiB`, `90s`, `64`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum LimitValue {
    /// Without a unit.
    Number(u64),
    /// With one.
    Text(String),
}

impl fmt::Display for LimitValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<&str> for LimitValue {
    fn from(text: &str) -> Self {
        text.parse()
            .map_or_else(|_| Self::Text(text.into()), Self::Number)
    }
}

impl LimitValue {
    /// Sets the limit of this name.
    ///
    /// # Errors
    /// There is no such limit, or its value is no amount of what it counts; in words.
    pub(crate) fn apply(&self, name: &str, limits: &mut Limits) -> Result<(), String> {
        let key = LimitKey::find(name).ok_or_else(|| unknown(name))?;
        key.set(limits, self.read(key)?);
        Ok(())
    }

    fn read(&self, key: &LimitKey) -> Result<u64, String> {
        let text = self.to_string();
        let (value, expected) = match key.unit {
            Unit::Count => (text.parse().ok(), "a whole number"),
            Unit::Bytes => (
                bytes(&text).and_then(|bytes| u64::try_from(bytes).ok()),
                "a number of bytes, or a size as 512MiB",
            ),
            Unit::Time => (
                duration(&text)
                    .ok()
                    .and_then(|time| u64::try_from(time.as_millis()).ok()),
                "a time as 90s, 30m or 1h30m",
            ),
        };
        value.ok_or_else(|| {
            format!(
                "the limit `{}` is `{}`; it takes {expected}",
                key.name,
                hm_render::clean_line(&text)
            )
        })
    }
}

fn unknown(name: &str) -> String {
    let known = LimitKey::all().iter().map(|key| key.name);
    let shown = hm_render::clean_line(name);
    match nearest(name, known.clone()) {
        Some(near) => format!("there is no limit `{shown}`; did you mean `{near}`?"),
        None => format!(
            "there is no limit `{shown}`; there are {}",
            known.collect::<Vec<_>>().join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_what_the_limit_counts() {
        let mut limits = Limits::default();
        for (name, text) in [("memory", "512MiB"), ("cpu", "90s"), ("handles", "64")] {
            LimitValue::from(text).apply(name, &mut limits).unwrap();
        }
        assert_eq!(limits.memory_bytes, 512 << 20);
        assert_eq!(limits.cpu, std::time::Duration::from_secs(90));
        assert_eq!(limits.handles, 64);
        for (name, text, problem) in [
            ("memroy", "1", "did you mean `memory`"),
            ("memory", "much", "a number of bytes"),
            ("cpu", "-1", "a time"),
            ("handles", "64MiB", "a whole number"),
        ] {
            let error = LimitValue::from(text).apply(name, &mut limits).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }
}
