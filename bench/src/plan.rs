//! Pipelines of a given shape.

use std::collections::BTreeMap;
use std::fmt::Write;

use hm_plugin_protocol::{Edge, EdgeKind, Plan, Step};

/// A TOML pipeline of `count` steps; in a chain each boots from the one before.
pub fn toml(count: usize, is_chain: bool, command: &str) -> String {
    let mut text = "image = \"host\"\n".to_owned();
    for index in 0..count {
        let _ = writeln!(text, "[steps.s{index}]\nrun = '''{command}'''");
        if is_chain && index > 0 {
            let _ = writeln!(text, "from = \"s{}\"", index - 1);
        }
    }
    text
}

/// The same as a plan.
pub fn plan(count: u32, is_chain: bool) -> Plan {
    let step = |index: u32| Step {
        key: format!("s{index}"),
        label: None,
        command: "true".into(),
        image: (index == 0 || !is_chain).then(|| "host".into()),
        env: BTreeMap::new(),
        timeout: None,
        cache: None,
        runner: None,
        runner_args: None,
        network: None,
    };
    let edge = |after: u32| Edge {
        before: after - 1,
        after,
        kind: EdgeKind::BuildsIn,
    };
    Plan {
        pipeline: "bench".into(),
        steps: (0..count).map(step).collect(),
        edges: if is_chain {
            (1..count).map(edge).collect()
        } else {
            Vec::new()
        },
        timeout: None,
    }
}
