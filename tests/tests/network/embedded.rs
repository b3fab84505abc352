//! A program that embeds the library: the way to script what a name leads to, and to set
//! limits that a test can reach.

use hm_exec::{
    BackendError, BuildEvent, CodeCache, ComponentBackend, ComponentSource, ExecutionBackend,
    Grants, HttpGrant, Limits, RunRequest, Runtime, RuntimeConfig, SourceGrant,
};
use hm_plugin_protocol::{Plan, Step};

use super::caller;

/// What came of a script.
pub struct Ran {
    /// What each line came to.
    pub said: Vec<String>,
    /// What the user was told beside.
    pub told: Vec<String>,
    /// Why the build has no verdict, if it has none.
    pub error: Option<BackendError>,
}

/// Runs a script in this process, with the usual limits.
pub fn run(lines: &[String], grant: HttpGrant) -> Ran {
    run_limited(lines, grant, Limits::default())
}

/// Runs a script in this process.
pub fn run_limited(lines: &[String], grant: HttpGrant, limits: Limits) -> Ran {
    let state = tempfile::tempdir().unwrap();
    let root = tempfile::tempdir().unwrap();
    let cache = hm_tests::shared_folder("embedded");
    let runtime = Runtime::new(RuntimeConfig {
        code_cache: Some(CodeCache::new(cache.join("code"), cache.join("key"))),
        // A test has a `main` of its own, and none that reads components.
        worker: vec![hm_tests::hm().into()],
        ..RuntimeConfig::default()
    });
    let runtime = runtime.unwrap();
    let loaded = runtime
        .load(&ComponentSource::File(caller().to_owned()))
        .unwrap();
    let grants = Grants {
        http: Some(grant),
        source: Some(SourceGrant {
            state: hm_vm::StateDir::open(state.path()).unwrap(),
        }),
        limits,
        ..Grants::default()
    };
    let backend = ComponentBackend::new(&runtime, "caller", &loaded, grants).unwrap();
    let request = RunRequest {
        run_id: uuid::Uuid::new_v4(),
        plan: plan(lines.join("\n")),
        repo_root: root.path().to_owned(),
        env: Default::default(),
        source: Default::default(),
        options: Default::default(),
        settings: Vec::new(),
        secrets: Default::default(),
    };
    let tokio = tokio::runtime::Runtime::new().unwrap();
    tokio.block_on(async {
        let (mut events, control) = backend.start(request).await.unwrap().into_parts();
        let mut ran = Ran {
            said: Vec::new(),
            told: Vec::new(),
            error: None,
        };
        while let Some(event) = events.next().await {
            match event {
                BuildEvent::StepLog(log) => ran.said.extend(log.lines().map(str::to_owned)),
                BuildEvent::Notice { message, .. } => ran.told.push(message),
                _ => {}
            }
        }
        ran.error = control.wait().await.err();
        ran
    })
}

fn plan(command: String) -> Plan {
    Plan {
        pipeline: "ci".into(),
        steps: vec![Step {
            key: "a".into(),
            label: None,
            command,
            image: Some("host".into()),
            env: Default::default(),
            timeout: None,
            cache: None,
            runner: None,
            runner_args: None,
            network: None,
        }],
        edges: Vec::new(),
        timeout: None,
    }
}
