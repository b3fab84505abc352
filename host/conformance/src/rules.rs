//! Which check a build that broke belongs to.

use hm_exec::{BackendError, Broken};

use crate::check::{self, Check};

/// Phrases of the host's own sentences, first match wins.
const PHRASES: &[(&[&str], Check)] = &[
    (&["`describe` gives"], check::DESCRIBES),
    (&["accepted comes"], check::ACCEPTED),
    (&["watch-url"], check::ACCEPTED),
    (&[", and the plan has"], check::IN_PLAN),
    (&["step-queued comes twice"], check::QUEUES_ONCE),
    (
        &["machine.run for", "not been started"],
        check::RUNS_STARTED,
    ),
    (&["step-started for", "not queued"], check::STARTS_QUEUED),
    (&["step-started for", "which has ended"], check::ENDS_ONCE),
    (&["step-started comes twice"], check::STARTS_ONCE),
    (&["step-started for", "before"], check::WAITS),
    (&["another image than the plan's"], check::IMAGE),
    (
        &["step-output for", "comes from a machine"],
        check::OUTPUT_MACHINES,
    ),
    (&["step-output for"], check::OUTPUT_RUNNING),
    (&["step-output of"], check::CHUNKS),
    (&["bytes of step-output"], check::LIMITS),
    (&["step-ended for", "which has ended"], check::ENDS_ONCE),
    (&["step-ended for", "not queued"], check::STARTS_QUEUED),
    (&["but it was a cache hit"], check::ENDS_FITTING),
    (&["ended as", "but never started"], check::ENDS_FITTING),
    (&["ended as", "but it was running"], check::ENDS_FITTING),
    (&["neither exit code nor detail"], check::FAILS_WHY),
    (&["skipped without a reason"], check::SKIPS_WHY),
    (&["is a cache hit with an exit code"], check::ENDS_FITTING),
    (&["step-cache-hit for", "cache had none"], check::HITS),
    (&["step-cache-hit for"], check::ENDS_FITTING),
    (&[" claimed "], check::CLAIMS),
    (&["the events end, but"], check::ENDS_ALL),
    (&["the outcome came before"], check::AFTER),
    (&["the outcome is"], check::FOLLOWS),
    (&["custom"], check::TEXTS),
    (&["bytes, at most"], check::TEXTS),
    (&["notices and custom events"], check::LIMITS),
    (&["calls in flight"], check::LIMITS),
];

/// Whose fault a broken build is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This check's, wherever it comes.
    Rule(Check),
    /// This check's in the plainest build; what comes only where a scenario makes it come is
    /// the scenario's own.
    Anywhere(Check),
    /// The scenario's own.
    Scenario,
}

/// Returns whose fault it is that a build broke; none if the backend is not to blame.
pub(crate) fn of(error: &BackendError) -> Option<Owner> {
    let BackendError::Broken { broken, .. } = error else {
        return None;
    };
    Some(match broken {
        Broken::Protocol(text) => PHRASES
            .iter()
            .find(|(phrases, _)| phrases.iter().all(|phrase| text.contains(phrase)))
            .map_or(Owner::Scenario, |(_, check)| Owner::Rule(*check)),
        Broken::Limit(_) => Owner::Anywhere(check::LIMITS),
        Broken::Trap(_) => Owner::Anywhere(check::CRASHES),
        Broken::Slow { what, .. } if what.contains("`describe`") => Owner::Rule(check::DESCRIBES),
        Broken::Slow { .. } | Broken::Silent(_) => Owner::Anywhere(check::TELLS),
        Broken::Host(_) => Owner::Scenario,
    })
}

/// Scenarios that provoke what a plain build does not: much, odd, broken, or cut short.
pub(crate) const PROVOKING: &[Check] = &[
    check::LARGE,
    check::TEXT,
    check::LOST,
    check::ABSENT,
    check::CANCELS,
    check::TIME,
    check::GIVES_BACK,
];
