//! Commands whose parts try to be something else.

use hm_backend_sdk::bindings::hm::backend::vm::{ExecSpec, ExecStatus, Machine};

type Change = fn(&mut ExecSpec);

fn env(spec: &mut ExecSpec, pairs: &[(&str, &str)]) {
    let pairs = pairs
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    spec.env.extend(pairs);
}

const CASES: &[(&str, Change)] = &[
    ("folder-up", |spec| {
        spec.working_dir = Some("../../etc".into())
    }),
    ("folder-by-link", |spec| {
        spec.working_dir = Some("out/../../etc".into())
    }),
    ("folder-of-link", |spec| {
        spec.working_dir = Some("out".into())
    }),
    ("folder-nul", |spec| spec.working_dir = Some("a\0b".into())),
    ("folder-long", |spec| {
        spec.working_dir = Some("a/".repeat(1 << 19))
    }),
    ("folder-absent", |spec| {
        spec.working_dir = Some("/nowhere/at/all".into())
    }),
    ("command-nul", |spec| spec.command = "true\0; false".into()),
    ("command-long", |spec| {
        spec.command = format!("true {}", "x".repeat(1 << 18))
    }),
    ("env-empty", |spec| env(spec, &[("", "x")])),
    ("env-equals", |spec| env(spec, &[("A=B", "x")])),
    ("env-nul", |spec| env(spec, &[("A\0", "x")])),
    ("env-newline", |spec| env(spec, &[("A\n", "x")])),
    ("env-value-nul", |spec| env(spec, &[("A", "x\0y")])),
    ("env-twice", |spec| env(spec, &[("A", "x"), ("A", "y")])),
    ("env-many", |spec| {
        let many = (0..600).map(|number| (format!("A{number}"), String::new()));
        spec.env.extend(many);
    }),
    // Allowed: they reach the command in the machine, and no helper of the host.
    ("env-loader", |spec| {
        env(
            spec,
            &[
                ("LD_PRELOAD", "/nowhere.so"),
                ("BASH_ENV", "/nowhere"),
                ("DOCKER_HOST", "x"),
            ],
        );
    }),
    ("env-path", |spec| env(spec, &[("PATH", "/nowhere")])),
];

/// Runs each on the machine and returns what it came to.
pub(crate) async fn all(machine: &Machine) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for (what, change) in CASES {
        let mut spec = ExecSpec {
            command: "echo ran in $(pwd) with $LD_PRELOAD".into(),
            env: Vec::new(),
            working_dir: None,
            timeout_ms: None,
        };
        change(&mut spec);
        let came_to = match machine.exec(spec).await {
            Err(error) => format!("{error:?}"),
            Ok(running) => {
                let output = running.output.collect().await;
                let status = running.status.await;
                let output = String::from_utf8_lossy(&output).replace('\n', " ");
                match status {
                    Ok(ExecStatus::Exited(code)) => format!("exit {code} {output}"),
                    other => format!("{other:?}"),
                }
            }
        };
        found.push((*what, came_to));
    }
    found
}
