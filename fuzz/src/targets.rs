//! The targets: what is read, and what must hold whatever it is.

use std::collections::BTreeMap;
use std::path::Path;

use hm_pipeline::{KeyInputs, Source, ir, toml};
use hm_plugin_protocol::{BuildEvent, Edge, EdgeKind, Plan, Step};

use crate::Target;

/// Every target, by the name of its corpus.
pub const ALL: &[(&str, Target)] = &[
    ("components", component),
    ("events", events),
    ("documents", document),
    ("policy", policy),
];

/// A component's bytes, as the reading process takes them: read or refused, no third way.
fn component(bytes: &[u8]) {
    // It may take any of both; that it comes back is what counts.
    let _ = hm_exec::internals::read_component(bytes);
}

/// Events in any order: whatever comes, one build is told, from its start to its end, with
/// each step queued once and ended once.
fn events(bytes: &[u8]) {
    let plan = plan();
    for is_observer in [false, true] {
        let told = hm_exec::internals::play(&plan, is_observer, bytes);
        let count = |wanted: fn(&BuildEvent) -> bool| told.iter().filter(|e| wanted(e)).count();
        assert_eq!(count(|e| matches!(e, BuildEvent::BuildStart { .. })), 1);
        assert_eq!(count(|e| matches!(e, BuildEvent::BuildEnd { .. })), 1);
        assert!(matches!(told.last(), Some(BuildEvent::BuildEnd { .. })));
        let mut phases = vec![0; plan.steps.len()];
        for event in &told {
            let (step, from, to) = match event {
                BuildEvent::StepQueued { step, .. } => (*step, 0, 1),
                BuildEvent::StepStart { step, .. } => (*step, 1, 2),
                BuildEvent::StepEnd { step, .. } => {
                    let phase = &mut phases[*step as usize];
                    assert!((1..3).contains(phase), "step {step} ended in phase {phase}");
                    *phase = 3;
                    continue;
                }
                _ => continue,
            };
            let phase = &mut phases[step as usize];
            assert_eq!(*phase, from, "step {step}");
            *phase = to;
        }
        assert!(phases.iter().all(|phase| *phase == 3), "{phases:?}");
        // Nothing ran, so nobody but an observer can have passed.
        let passed = told
            .iter()
            .any(|e| matches!(e, BuildEvent::BuildEnd { exit_code: 0, .. }));
        assert!(!passed || is_observer, "a pass that nobody saw");
    }
}

/// A document, as TOML and as JSON: a plan that is a plan, or problems with their places.
fn document(bytes: &[u8]) {
    let Ok(source) = Source::from_bytes("fuzzed", bytes.to_vec()) else {
        return;
    };
    let keys = KeyInputs {
        org: "default",
        now: 0,
        root: Path::new("/nonexistent"),
    };
    if let Ok(checked) = toml::parse(&source, "ci", "host", &keys).checked(&source) {
        sound(&checked.plan);
    }
    if let Ok(document) = ir::parse(&source, "ci", "host") {
        for pipeline in &document.pipelines {
            if let Ok(checked) = pipeline.checked(&source) {
                sound(&checked.plan);
            }
        }
    }
}

/// A pattern of the HTTP policy, and on the next line the address of a request: a pattern is
/// shown in one spelling, and what is sent goes where that says.
fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (pattern, uri) = text.split_once('\n').unwrap_or((text, ""));
    let Some((pattern, sent)) = hm_exec::internals::judge(pattern, uri) else {
        return;
    };
    let again = hm_exec::internals::judge(&pattern, uri);
    assert_eq!(
        again,
        Some((pattern.clone(), sent.clone())),
        "a second spelling"
    );
    let Some(sent) = sent else {
        return;
    };
    // Read again by other means than the policy's own.
    let (scheme, authority, path) = parts(&pattern);
    let (sent_scheme, sent_authority, sent_path) = parts(&sent);
    assert_eq!(scheme, sent_scheme, "{sent}");
    match authority.strip_prefix('*') {
        Some(below) => {
            let label = sent_authority.strip_suffix(below);
            assert!(label.is_some_and(|label| !label.is_empty()), "{sent}");
        }
        None => assert_eq!(authority, sent_authority, "{sent}"),
    }
    let sent_path = sent_path.split('?').next().unwrap_or_default();
    assert!(
        path.is_empty()
            || path == sent_path
            || (path.ends_with('/') && sent_path.starts_with(path)),
        "{sent}"
    );
    assert!(
        !sent_path.contains("/../") && !sent_path.contains('\\'),
        "{sent}"
    );
}

/// Returns scheme, authority, and path with query.
fn parts(url: &str) -> (&str, &str, &str) {
    let (scheme, rest) = url.split_once("://").expect("a scheme");
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    (scheme, authority, path)
}

/// What a plan promises to whoever runs it.
fn sound(plan: &Plan) {
    let count = plan.steps.len() as u32;
    let mut parents = vec![0; plan.steps.len()];
    for edge in &plan.edges {
        assert!(edge.before < count && edge.after < count && edge.before != edge.after);
        if edge.kind == EdgeKind::BuildsIn {
            parents[edge.after as usize] += 1;
        }
    }
    assert!(parents.iter().all(|parents| *parents <= 1));
    let graph = hm_plugin_protocol::PlanGraph::new(plan);
    assert_eq!(graph.order().len(), plan.steps.len(), "a cycle");
    assert!(serde_json::from_str::<serde_json::Value>(&plan.ir_json()).is_ok());
}

/// `a` → `b` (builds in) → `c` (waits).
fn plan() -> Plan {
    let step = |key: &str, image: Option<&str>| Step {
        key: key.into(),
        label: None,
        command: "true".into(),
        image: image.map(Into::into),
        env: BTreeMap::new(),
        timeout: None,
        cache: None,
        runner: None,
        runner_args: None,
        network: None,
    };
    let edge = |before, after, kind| Edge {
        before,
        after,
        kind,
    };
    Plan {
        pipeline: "ci".into(),
        steps: vec![
            step("a", Some("host")),
            step("b", None),
            step("c", Some("host")),
        ],
        edges: vec![
            edge(0, 1, EdgeKind::BuildsIn),
            edge(1, 2, EdgeKind::DependsOn),
        ],
        timeout: None,
    }
}
