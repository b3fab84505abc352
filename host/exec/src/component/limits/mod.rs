//! What a component may use up: one table of every limit, with its key, unit and default.

mod hit;
mod limiter;

use std::time::Duration;

pub use hit::LimitHit;
pub(crate) use limiter::Limiter;

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Time,
}

/// A limit that a user may change, down or up.
pub struct LimitKey {
    /// In `[limits]` of the configuration, in a grant, and for `--limit`.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// What it bounds, in one line.
    pub meaning: &'static str,
    get: fn(&Limits) -> u64,
    set: fn(&mut Limits, u64),
}

impl LimitKey {
    /// Returns the key of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// Returns every key there is.
    pub fn all() -> &'static [Self] {
        KEYS
    }

    /// Returns the limit's value: a count, bytes or milliseconds.
    pub fn get(&self, limits: &Limits) -> u64 {
        (self.get)(limits)
    }

    /// Sets the limit: a count, bytes or milliseconds.
    pub fn set(&self, limits: &mut Limits, value: u64) {
        (self.set)(limits, value);
    }
}

/// How a limit is held, as a plain number outside.
trait Amount {
    fn raw(self) -> u64;
    fn of(raw: u64) -> Self;
}

impl Amount for u64 {
    fn raw(self) -> u64 {
        self
    }
    fn of(raw: u64) -> Self {
        raw
    }
}

impl Amount for usize {
    fn raw(self) -> u64 {
        self as u64
    }
    fn of(raw: u64) -> Self {
        Self::try_from(raw).unwrap_or(Self::MAX)
    }
}

impl Amount for Duration {
    fn raw(self) -> u64 {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX)
    }
    fn of(raw: u64) -> Self {
        Self::from_millis(raw)
    }
}

macro_rules! limits {
    ($($key:literal $unit:ident, $field:ident: $ty:ty = $default:expr, $meaning:literal;)*) => {
        /// Ceilings for one build's component (reference `sandbox`, section 6, and the
        /// decisions on runtime limits). They hold for built-in backends and strangers alike.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Limits {
            $(#[doc = concat!("`", $key, "`: ", $meaning, ".")] pub $field: $ty,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        static KEYS: &[LimitKey] = &[
            $(LimitKey {
                name: $key,
                unit: Unit::$unit,
                meaning: $meaning,
                get: |limits| limits.$field.raw(),
                set: |limits, value| limits.$field = Amount::of(value),
            },)*
        ];
    };
}

limits! {
    "file" Bytes, file_bytes: u64 = 32 << 20, "size of the component's file";
    "compile" Time, compile: Duration = Duration::from_secs(60), "wall time of compiling the component, and half of the processor time";
    "compile-memory" Bytes, compile_bytes: u64 = 768 << 20, "memory of the process that compiles the component";
    "memory" Bytes, memory_bytes: usize = 256 << 20, "all linear memories together";
    "memories" Count, memories: usize = 16, "linear memories";
    "instances" Count, instances: usize = 64, "core instances";
    "tables" Count, tables: usize = 64, "tables";
    "table-elements" Count, table_elements: usize = 200_000, "elements of all tables together";
    "handles" Count, handles: usize = 32_768, "guest handles at one time: a plan of ten thousand cached steps holds a snapshot each";
    "tasks" Count, concurrent: usize = 32_768, "tasks, calls, streams and sets at one time";
    "resources" Count, resources: usize = 32_768, "machines, snapshots and other things of the host at one time";
    "call-data" Bytes, call_bytes: usize = 2 << 20, "what one call may hand to the host";
    "calls" Count, calls: usize = 128, "calls to the host in flight, besides two for each step that may run at once";
    "cpu" Time, cpu: Duration = Duration::from_secs(300), "processor time of the component's own code, and of the host's in its calls";
    "instantiate" Time, instantiate: Duration = Duration::from_secs(10), "wall time of instantiation, start functions included";
    "describe" Time, describe: Duration = Duration::from_secs(5), "wall time of `describe`";
    "start" Time, start: Duration = Duration::from_secs(60), "wall time of `start`, up to its return";
    "cancel" Time, grace: Duration = Duration::from_secs(10), "from the wish to cancel until the component is gone";
    "outcome" Time, outcome: Duration = Duration::from_secs(30), "from the end of the events to the outcome; also of silence after the end of the last step";
    "build" Time, build: Duration = Duration::from_secs(6 * 3600), "wall time of a build whose plan has no timeout";
    "notices" Count, free_events: u64 = 500_000, "notices and custom events in a build; each counts once more for every 512 bytes of it";
    "notice-rate" Count, free_events_rate: u64 = 2_000, "notices and custom events a second; more wait";
    "notice-burst" Count, free_events_burst: u64 = 10_000, "notices and custom events that need not wait";
    "output" Bytes, output_bytes: u64 = 1 << 30, "output of steps that comes as events, in a build";
    "log" Bytes, diagnostics_bytes: u64 = 8 << 20, "diagnostics in a build; more is counted and dropped";
    "log-rate" Count, diagnostics_rate: u64 = 100, "lines of diagnostics a second; more are counted and dropped";
    "log-burst" Count, diagnostics_burst: u64 = 1_000, "lines of diagnostics at once";
    "machines" Count, machines: usize = 64, "machines at one time; 64 stands for twice `-j`, where that is more";
    "machine-cpus" Count, machine_cpus: u64 = 4, "processors of a machine; the configuration's `vm.cpus`, unless a grant says another number";
    "machine-memory" Bytes, machine_memory: u64 = 8 << 30, "memory of a machine; as `vm.memory`";
    "machine-processes" Count, machine_processes: u64 = 4_096, "processes of a machine; as `vm.processes`";
    "machine-disk" Bytes, machine_disk: u64 = 20 << 30, "what a machine may write; as `vm.disk`";
    "http-handles" Count, http_handles: usize = 512, "tables of headers, requests and responses at one time";
    "http-held" Count, http_held: usize = 16, "HTTP requests whose response is not at its end, at one time; more wait";
    "http-requests" Count, http_requests: u64 = 10_000, "HTTP requests in a build";
    "http-request-body" Bytes, http_request_bytes: u64 = 1 << 30, "body of one HTTP request";
    "http-response-body" Bytes, http_response_bytes: u64 = 256 << 20, "body of one HTTP response";
    "http-bodies" Bytes, http_bytes: u64 = 4 << 30, "all HTTP bodies of a build, both ways";
    "http-headers" Bytes, http_header_bytes: usize = 64 << 10, "headers of one HTTP response; of a longer one the component is told";
    "http-header-lines" Count, http_header_lines: usize = 128, "header lines of one HTTP response, as above";
    "http-resolve" Time, http_resolve: Duration = Duration::from_secs(5), "looking up a host's name";
    "http-connect" Time, http_connect: Duration = Duration::from_secs(10), "connecting, with the look-up and TLS";
    "http-first-byte" Time, http_first_byte: Duration = Duration::from_secs(60), "from the last byte of an HTTP request to the head of its response";
    "http-gap" Time, http_gap: Duration = Duration::from_secs(120), "between two pieces of an HTTP response";
    "http-whole" Time, http_whole: Duration = Duration::from_secs(30 * 60), "one HTTP request with its response";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_sets_its_own_limit_and_no_other() {
        for key in LimitKey::all() {
            let mut limits = Limits::default();
            key.set(&mut limits, 7_000);
            assert_eq!(key.get(&limits), 7_000, "{}", key.name);
            let other = |other: &&LimitKey| other.name != key.name;
            for other in LimitKey::all().iter().filter(other) {
                assert_eq!(other.get(&limits), other.get(&Limits::default()));
            }
            assert!(LimitKey::find(key.name).is_some_and(|found| found.unit == key.unit));
        }
    }
}
