//! States of builds and jobs. Both sets are open: a state that nobody here knows is one
//! that something follows.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the service's own words")]
        pub enum $name {
            $($variant,)+
            /// Anything else.
            Unknown(String),
        }

        impl $name {
            /// Returns the word on the wire.
            pub fn word(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Unknown(word) => word,
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                match word.as_str() {
                    $($word => Self::$variant,)+
                    _ => Self::Unknown(word),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::from)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }
    };
}

states! {
    /// State of a build. The service computes it when a job has finished and at no other
    /// time: it is never a sign of progress.
    BuildState {
        Scheduled = "scheduled",
        Running = "running",
        Failing = "failing",
        Passed = "passed",
        Failed = "failed",
        Canceling = "canceling",
        Canceled = "canceled",
    }
}

states! {
    /// State of a job.
    JobState {
        Pending = "pending",
        Scheduled = "scheduled",
        Assigned = "assigned",
        Running = "running",
        Passed = "passed",
        Failed = "failed",
        Skipped = "skipped",
        Canceling = "canceling",
        Canceled = "canceled",
        TimingOut = "timing_out",
        TimedOut = "timed_out",
    }
}

impl BuildState {
    /// Returns true for a state that nothing follows.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Passed | Self::Failed | Self::Canceled)
    }
}

impl JobState {
    /// Returns true for a state that nothing follows.
    pub fn is_terminal(&self) -> bool {
        matches!(
            self,
            Self::Passed | Self::Failed | Self::Skipped | Self::Canceled | Self::TimedOut
        )
    }

    /// Returns true once the job's command may have printed something.
    pub fn has_started(&self) -> bool {
        matches!(
            self,
            Self::Running
                | Self::Passed
                | Self::Failed
                | Self::Canceling
                | Self::TimingOut
                | Self::TimedOut
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_states_are_kept_and_are_not_the_last() {
        let state: JobState = serde_json::from_str("\"warming_up\"").unwrap();
        assert_eq!(state, JobState::Unknown("warming_up".into()));
        assert!(!state.is_terminal() && !state.has_started());
        assert_eq!(serde_json::to_string(&state).unwrap(), "\"warming_up\"");
        let state: BuildState = serde_json::from_str("\"canceled\"").unwrap();
        assert!(state.is_terminal());
    }
}
