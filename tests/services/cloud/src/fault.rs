//! What breaks, by script: which request, and in which way.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::Operation;

/// A fault: the `nth` request that fits, and as many after it as `times` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Only requests for this, by its name in `openapi.json`; any without.
    #[serde(default, deserialize_with = "operation")]
    pub operation: Option<Operation>,
    /// Counted from 1, from when the script was set.
    #[serde(default = "one")]
    pub nth: u32,
    /// How many in a row.
    #[serde(default = "one")]
    pub times: u32,
    /// What happens to them.
    pub action: Action,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// The connection ends before anything is done.
    Drop,
    /// All is done, and the connection ends before the answer.
    LoseAnswer,
    /// Nothing ever comes.
    Hang,
    /// It takes so many milliseconds longer.
    Delay(u64),
    /// Another status, with an envelope (`code`), with `text`, or with the framework's body.
    Status {
        /// Of HTTP.
        status: u16,
        /// For an envelope.
        #[serde(default)]
        code: Option<String>,
        /// A body of plain text, as balancers send.
        #[serde(default)]
        text: Option<String>,
        /// The header, in seconds.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// The connection ends after so many bytes of the body.
    Truncate(usize),
    /// The answer is what the same request was answered the last time.
    Stale,
    /// The service goes down for so many milliseconds, with all connections.
    Restart(u64),
}

impl Fault {
    /// The `nth` request of all, counted from 1.
    pub fn at(nth: u32, action: Action) -> Self {
        Self {
            operation: None,
            nth,
            times: 1,
            action,
        }
    }

    /// The first request for `operation`.
    pub fn on(operation: Operation, action: Action) -> Self {
        Self {
            operation: Some(operation),
            ..Self::at(1, action)
        }
    }

    /// Makes it so many requests in a row.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Makes it start with the `nth` request that fits.
    #[must_use]
    pub fn nth(mut self, nth: u32) -> Self {
        self.nth = nth;
        self
    }
}

impl Action {
    /// A status with the envelope of an error code.
    pub fn refused(status: u16, code: &str) -> Self {
        Self::Status {
            status,
            code: Some(code.to_owned()),
            text: None,
            retry_after: None,
        }
    }

    /// A status with the framework's body.
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            code: None,
            text: None,
            retry_after: None,
        }
    }

    pub(crate) fn delay(&self) -> Option<Duration> {
        match self {
            Self::Delay(ms) => Some(Duration::from_millis(*ms)),
            _ => None,
        }
    }
}

fn one() -> u32 {
    1
}

fn operation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Operation>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    name.map(|name| {
        Operation::named(&name)
            .ok_or_else(|| serde::de::Error::custom(format!("there is no operation `{name}`")))
    })
    .transpose()
}

/// A script on its way.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    script: Vec<(Fault, u32)>,
}

impl Faults {
    pub(crate) fn new(script: Vec<Fault>) -> Self {
        Self {
            script: script.into_iter().map(|fault| (fault, 0)).collect(),
        }
    }

    /// Counts a request, and returns what happens to it.
    pub(crate) fn next(&mut self, operation: Option<Operation>) -> Option<Action> {
        let mut action = None;
        for (fault, seen) in &mut self.script {
            if fault.operation.is_some() && fault.operation != operation {
                continue;
            }
            *seen += 1;
            let due = *seen >= fault.nth && *seen - fault.nth < fault.times;
            if due && action.is_none() {
                action = Some(fault.action.clone());
            }
        }
        action
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_count_what_fits() {
        let script = r#"[
            {"operation": "getBuild", "nth": 2, "times": 2, "action": "drop"},
            {"nth": 4, "action": {"status": {"status": 503, "text": "draining", "retry_after": 1}}},
            {"nth": 5, "action": {"delay": 20}}
        ]"#;
        let mut faults = Faults::new(serde_json::from_str(script).unwrap());
        let build = Some(Operation::GetBuild);
        assert_eq!(faults.next(build), None);
        assert_eq!(faults.next(None), None);
        assert_eq!(faults.next(build), Some(Action::Drop));
        assert_eq!(faults.next(build), Some(Action::Drop));
        let last = faults.next(build);
        assert_eq!(
            last.and_then(|action| action.delay()),
            Some(Duration::from_millis(20))
        );
        assert!(serde_json::from_str::<Fault>(r#"{"operation": "x", "action": "drop"}"#).is_err());
    }
}
