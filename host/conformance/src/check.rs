//! What is checked, and what was found.

/// One thing that the contract wants of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// Short, for `--only` and reports; says what a backend does that passes.
    pub name: &'static str,
    /// What must hold, as a sentence.
    pub about: &'static str,
    /// File of the interface, and a line of it whose comment says so.
    pub(crate) source: (&'static str, &'static str),
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It held wherever it could be judged.
    Passed,
    /// It did not hold.
    Failed(Vec<Finding>),
    /// It is no matter of such a backend; why.
    NotApplicable(String),
    /// Nothing could be said about it; why.
    Unjudged(String),
}

impl Verdict {
    /// Returns why nothing is said about the check, if nothing is.
    pub(crate) fn passed_over(&self) -> Option<String> {
        match self {
            Self::NotApplicable(why) => Some(format!("not applicable: {why}")),
            Self::Unjudged(why) => Some(format!("not judged: {why}")),
            Self::Passed | Self::Failed(_) => None,
        }
    }
}

/// Where a check did not hold, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The build in which it was seen.
    pub scenario: &'static str,
    /// What was seen, and what was expected.
    pub what: String,
}

const EVENTS: &str = "interface events {";
const RUN: &str = "run: async func(step: step-id) -> result<exec-status, vm-error>;";
const OUTCOME: &str = "outcome: future<result<build-status, backend-error>>,";

macro_rules! checks {
    ($($ident:ident $name:literal $about:literal $file:literal $line:expr;)*) => {
        $(pub(crate) const $ident: Check = Check {
            name: $name,
            about: $about,
            source: ($file, $line),
        };)*

        /// All checks, in the order of a report.
        pub(crate) const ALL: &[Check] = &[$($ident),*];
    };
}

checks! {
    DESCRIBES "describes-itself" "`describe` gives a name of a-z, 0-9 and -, and a short version"
        "backend.wit" "describe: func() -> description;";
    REFUSES_NOTHING "takes-the-build" "`start` takes a plan that can be run"
        "backend.wit" "start: async func(request: run-request) -> result<running-build, backend-error>;";
    IN_PLAN "names-steps-of-the-plan" "a step is an index into the plan"
        "types.wit" "type step-id = u32;";
    QUEUES_ONCE "queues-once" "each step is queued once" "events.wit" EVENTS;
    STARTS_QUEUED "starts-after-queueing" "a step is queued before it starts" "events.wit" EVENTS;
    STARTS_ONCE "starts-once" "a step starts once" "events.wit" EVENTS;
    WAITS "waits-for-predecessors" "a step starts when all that it waits for has ended"
        "types.wit" "depends-on,";
    IMAGE "starts-on-the-planned-image" "a step starts on the image that the plan names"
        "types.wit" "image: option<string>,";
    RUNS_STARTED "starts-before-running" "a step is told to start before its command runs"
        "backend.wit" "events: stream<build-event>,";
    OUTPUT_RUNNING "sends-output-while-running" "output comes between a step's start and its end"
        "events.wit" EVENTS;
    OUTPUT_MACHINES "leaves-output-to-machines" "a step that a machine runs has its output from there"
        "events.wit" "record step-output { step: step-id, channel: log-channel, data: list<u8> }";
    CHUNKS "sends-small-chunks" "a chunk of output has 16 KiB at most"
        "events.wit" "record step-output { step: step-id, channel: log-channel, data: list<u8> }";
    TEXTS "sends-sound-texts" "notices, details and custom events are short and well formed"
        "events.wit" "record custom { name: string, json: string }";
    ENDS_ONCE "ends-once" "a step ends once, and nothing comes after" "events.wit" EVENTS;
    ENDS_ALL "ends-every-step" "a step that was begun is ended" "events.wit" EVENTS;
    ENDS_FITTING "ends-as-it-went"
        "a step that ran passes, fails or times out; one that did not is skipped" "events.wit" EVENTS;
    CLAIMS "claims-what-was-seen" "a step ends as its command was seen to end" "vm.wit" RUN;
    FAILS_WHY "fails-with-a-reason" "a step that fails has an exit code or says why"
        "events.wit" "detail: option<string>,";
    SKIPS_WHY "skips-with-a-reason" "a step that is skipped waits for one that did not pass, or says why"
        "events.wit" "detail: option<string>,";
    HITS "hits-what-the-cache-has" "a cache hit is one that the host's cache gave"
        "vm.wit" "cache-lookup: async func(step: step-id, parent: option<borrow<snapshot>>) -> result<option<snapshot>, vm-error>;";
    ACCEPTED "accepts-first" "`accepted` comes once, before all else, with a link that can be opened"
        "events.wit" "record accepted {";
    FOLLOWS "verdict-follows-from-steps" "the verdict follows from the steps" "backend.wit" OUTCOME;
    AFTER "outcome-after-events" "the outcome comes after the end of the events" "backend.wit" OUTCOME;
    TELLS "tells-an-outcome" "the backend ends its events and tells an outcome" "backend.wit" OUTCOME;
    CRASHES "does-not-crash" "the backend's code neither panics nor traps" "backend.wit" OUTCOME;
    LIMITS "stays-within-limits" "memory, processor time and calls stay within the host's limits"
        "vm.wit" "limit(string),";
    PASSES "passes-what-passes" "steps that pass make a build that passes" "backend.wit" OUTCOME;
    CODES "tells-exit-codes" "a step that fails is told with its exit code, and fails the build"
        "events.wit" "record step-ended {";
    SIGNALS "tells-signals" "a command that is killed fails its step, with 128 and the signal"
        "vm.wit" "signaled(u32),";
    TIMEOUTS "tells-step-timeouts" "a step over its own time is told as timed out, and fails the build"
        "types.wit" "timeout-ms: option<u64>,";
    SKIPS "skips-dependents" "what waits for a step that did not pass is never started"
        "types.wit" "depends-on,";
    STOPS "stops-at-a-failure" "without --keep-going a failure starts no further step"
        "types.wit" "keep-going: bool,";
    KEEPS "keeps-going" "with --keep-going what does not depend on a failure runs on"
        "types.wit" "keep-going: bool,";
    AT_ONCE "runs-steps-at-once" "independent steps run beside each other, up to -j"
        "types.wit" "parallelism: u32,";
    NOT_MORE "keeps-to-parallelism" "no more steps run at one time than -j"
        "types.wit" "parallelism: u32,";
    CANCELS "stops-when-cancelled" "a build that is to stop ends within seconds, wherever it stands"
        "control.wit" "cancelled: async func() -> cancel-reason;";
    TIME "stops-when-time-is-over" "a build whose time is over ends within seconds"
        "control.wit" "cancelled: async func() -> cancel-reason;";
    CACHE "uses-the-cache" "a step that passed is a cache hit in the next build"
        "vm.wit" "cache-lookup: async func(step: step-id, parent: option<borrow<snapshot>>) -> result<option<snapshot>, vm-error>;";
    FRESH "runs-anew-without-cache" "with --no-cache every step runs"
        "types.wit" "no-cache: bool,";
    GIVES_BACK "gives-machines-back" "a machine is let go when nothing runs in it any more"
        "vm.wit" "resource machine {";
    LARGE "takes-large-plans" "a plan of 2,000 steps is carried out" "types.wit" "record plan {";
    TEXT "takes-any-text" "keys, labels, commands and variables may be any text" "types.wit" "record step {";
    LOST "survives-lost-machines" "a machine that is lost ends in a verdict or an error, not in a crash"
        "vm.wit" "gone(string),";
    ABSENT "tells-missing-images" "an image that nobody has ends in an error or a failed step"
        "vm.wit" "image-not-found(string),";
    OUTPUT "passes-output-on" "what a step prints arrives whole, in order, on its own channel"
        "events.wit" "record step-output { step: step-id, channel: log-channel, data: list<u8> }";
    SUBMITS "returns-without-watching" "with --no-watch the build is handed over, and nobody waits"
        "types.wit" "watch: bool,";
}

/// Rules of the order table that only a backend can break which runs steps in machines.
pub(crate) const OF_MACHINES: &[Check] = &[RUNS_STARTED, OUTPUT_MACHINES, CLAIMS, HITS];

/// The interface, as the contract has it.
const FILES: &[(&str, &str)] = &[
    ("backend.wit", include_str!("../../../wit/v0.1/backend.wit")),
    ("control.wit", include_str!("../../../wit/v0.1/control.wit")),
    ("events.wit", include_str!("../../../wit/v0.1/events.wit")),
    ("types.wit", include_str!("../../../wit/v0.1/types.wit")),
    ("vm.wit", include_str!("../../../wit/v0.1/vm.wit")),
];

impl Check {
    /// Returns where the interface says so, and its words, if it has a comment there.
    pub(crate) fn quote(&self) -> (String, Option<String>) {
        let (file, wanted) = self.source;
        let text = FILES
            .iter()
            .find(|(name, _)| *name == file)
            .map_or("", |(_, text)| text);
        let lines: Vec<_> = text.lines().collect();
        let Some(at) = lines.iter().position(|line| line.trim() == wanted) else {
            return (file.to_owned(), None);
        };
        let comment: Vec<_> = lines[..at]
            .iter()
            .rev()
            .map_while(|line| line.trim().strip_prefix("///"))
            .map(str::trim)
            .collect();
        let words: Vec<_> = comment.into_iter().rev().collect();
        let place = format!("{file}:{}", at + 1);
        (place, (!words.is_empty()).then(|| words.join(" ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_stands_in_the_interface() {
        for check in ALL {
            let (place, _) = check.quote();
            assert!(place.contains(':'), "{}: {:?}", check.name, check.source);
        }
        let (_, words) = RUNS_STARTED.quote();
        assert!(words.unwrap().starts_with("A write returns when"));
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
