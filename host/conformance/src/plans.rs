//! The pipelines that a backend is tried on.

use std::collections::BTreeMap;
use std::time::Duration;

use hm_plugin_protocol::{Cache, Edge, EdgeKind, Plan, Step, StepId};

/// A plan being written; each call changes the step before it.
#[derive(Debug, Clone)]
pub(crate) struct Draft(Plan);

impl Draft {
    pub(crate) fn new() -> Self {
        Self(Plan {
            pipeline: "conformance".into(),
            steps: Vec::new(),
            edges: Vec::new(),
            timeout: None,
        })
    }

    /// Adds a step.
    pub(crate) fn step(mut self, key: impl Into<String>, command: impl Into<String>) -> Self {
        self.0.steps.push(Step {
            key: key.into(),
            label: None,
            command: command.into(),
            image: Some("host".into()),
            env: BTreeMap::new(),
            timeout: None,
            cache: None,
            runner: None,
            runner_args: None,
            network: None,
        });
        self
    }

    /// The last step starts from what an earlier one left behind.
    pub(crate) fn from(mut self, before: StepId) -> Self {
        self.last().image = None;
        self.edge(before, EdgeKind::BuildsIn)
    }

    /// The last step waits for an earlier one.
    pub(crate) fn needs(self, before: StepId) -> Self {
        self.edge(before, EdgeKind::DependsOn)
    }

    fn edge(mut self, before: StepId, kind: EdgeKind) -> Self {
        let after = self.0.steps.len() as StepId - 1;
        self.0.edges.push(Edge {
            before,
            after,
            kind,
        });
        self
    }

    pub(crate) fn image(mut self, image: &str) -> Self {
        self.last().image = Some(image.into());
        self
    }

    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.last().timeout = Some(timeout);
        self
    }

    pub(crate) fn label(mut self, label: &str) -> Self {
        self.last().label = Some(label.into());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.last().env.insert(name.into(), value.into());
        self
    }

    /// The last step's result is to be reused.
    pub(crate) fn cached(mut self) -> Self {
        self.last().cache = Some(Cache {
            policy: "forever".into(),
            key: Some("conformance".into()),
            document: serde_json::json!({"policy": "forever", "key": "conformance"}),
        });
        self
    }

    fn last(&mut self) -> &mut Step {
        let last = self.0.steps.len() - 1;
        &mut self.0.steps[last]
    }

    pub(crate) fn plan(self) -> Plan {
        self.0
    }
}

/// Independent steps with the same command.
pub(crate) fn wide(count: usize, command: &str) -> Plan {
    let steps = 0..count;
    let draft = steps.fold(Draft::new(), |draft, index| {
        draft.step(format!("step-{index}"), command)
    });
    draft.plan()
}

/// Chains and waits of all kinds, over that many steps.
pub(crate) fn large(count: StepId) -> Plan {
    let mut draft = Draft::new().step("step-0", "true");
    for index in 1..count {
        draft = draft.step(format!("step-{index}"), "true");
        draft = match index % 4 {
            // Chains of three, each of which waits for one before.
            1 | 2 => draft.from(index - 1),
            3 => draft.needs(index / 2),
            _ => draft,
        };
    }
    draft.plan()
}

/// Keys and commands as nobody should write them, and somebody will.
pub(crate) fn hostile() -> Plan {
    let long = "x".repeat(3000);
    Draft::new()
        .step("schlüssel→日本語 🦀", "printf 'ä\\n'")
        .label("\u{202e}evil\u{1b}[31m")
        .step(" spaces and\ttabs ", "true")
        .from(0)
        .step("new\nline", "# a comment; exit 1\ntrue")
        .step("'; exit 1; '", "printf 'a;b\\n'")
        .step("../../etc/passwd", "true")
        .env("EMPTY", "")
        .env("LINES", "a\nb")
        .step("%s%n{}${HOME}`id`", "true")
        .step(long.clone(), format!("true; # {long}"))
        .step("\u{1b}]0;title\u{7}", "true")
        .plan()
}
