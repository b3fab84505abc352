//! Commands that take all that a machine has, and leave behind what they can.

use hm_backend_sdk::bindings::hm::backend::vm::{ExecSpec, Machine};

/// Each with the milliseconds after which it has to end.
const CASES: &[(&str, &str, u64)] = &[
    ("forks", "f() { f | f & }; f; sleep 600", 2_000),
    (
        "memory",
        "head -c 300M /dev/zero | tail -c 300M > /dev/null; exit 3",
        60_000,
    ),
    ("disk", "head -c 60M /dev/zero > f; sleep 600", 60_000),
    (
        "files",
        "i=0; while :; do : > f$i; i=$((i + 1)); done",
        60_000,
    ),
    ("sparse", "truncate -s 900G f && echo made", 60_000),
    (
        "survivor",
        "(trap '' TERM HUP; exec setsid sleep 600) > /dev/null 2>&1 & echo begun",
        60_000,
    ),
    ("flood", "head -c 50M /dev/zero", 60_000),
    (
        "deaf",
        "trap '' TERM INT HUP; while :; do sleep 1; done",
        500,
    ),
    ("after", "echo alive", 60_000),
];

/// Runs each on a machine of its own and returns what it came to.
pub(crate) async fn all(boot: impl AsyncFn() -> Option<Machine>) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for (what, command, timeout_ms) in CASES {
        let Some(machine) = boot().await else {
            found.push((*what, "no machine".into()));
            continue;
        };
        let spec = ExecSpec {
            command: (*command).into(),
            env: Vec::new(),
            working_dir: None,
            timeout_ms: Some(*timeout_ms),
        };
        let came_to = match machine.exec(spec).await {
            Err(error) => format!("{error:?}"),
            Ok(running) => {
                let output = running.output.collect().await;
                let shown = String::from_utf8_lossy(&output[..output.len().min(40)])
                    .replace(['\n', '\0'], " ");
                format!("{:?} {} bytes {shown}", running.status.await, output.len())
            }
        };
        found.push((*what, came_to));
    }
    found
}
