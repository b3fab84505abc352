//! Graphviz DOT.

use std::fmt::Write as _;

use hm_plugin_protocol::{EdgeKind, Plan, PlanGraph};

/// Returns the plan as a DOT digraph: solid edges for `builds_in`, dashed ones for
/// `depends_on`, the image below the label of a root step.
pub fn dot(plan: &Plan) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "digraph {} {{", quoted(&plan.pipeline));
    out.push_str("  rankdir=LR;\n  node [shape=box, style=rounded];\n");
    for (id, step) in plan.steps.iter().enumerate() {
        let mut label = step.display_name();
        if label != step.key {
            label = format!("{label}\n({})", step.key);
        }
        if let Some(image) = &step.image {
            label.push('\n');
            label.push_str(image);
        }
        let _ = writeln!(out, "  s{id} [label={}];", quoted(&label));
    }
    let graph = PlanGraph::new(plan);
    for edge in &plan.edges {
        let (before, after) = (edge.before, edge.after);
        match edge.kind {
            EdgeKind::BuildsIn => {
                let _ = writeln!(out, "  s{before} -> s{after};");
            }
            // Already drawn, and the stronger of the two.
            EdgeKind::DependsOn if graph.parent(after) == Some(before) => {}
            EdgeKind::DependsOn => {
                let _ = writeln!(out, "  s{before} -> s{after} [style=dashed];");
            }
        }
    }
    out.push_str("}\n");
    out
}

/// Returns a DOT string. Only quotes, backslashes and line ends mean something in one.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            other if other.is_control() => quoted.push(' '),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
