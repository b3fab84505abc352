//! Runs a component through all scenarios.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use hm_exec::{
    BackendError, Capabilities, ComponentBackend, ComponentSource, ExecutionBackend, Grants,
    ImagePolicy, Interface, LoadError, RunOptions, RunRequest, Runtime, Secrets, SourceGrant,
    SourceMeta, VmGrant,
};
use hm_vm::{MachineOptions, Subsystem, VmBackend, VmError};
use uuid::Uuid;

use crate::check::{self, Check, Finding, Verdict};
use crate::engine::Scripted;
use crate::observe::{self, Observation};
use crate::report::Report;
use crate::rules::{self, Owner};
use crate::scenarios::{self, Found, Judge, Scenario};

/// What to try, and with what.
pub struct Kit {
    /// The engine of the process.
    pub runtime: Arc<Runtime>,
    /// The component.
    pub source: ComponentSource,
    /// What the user's configuration would say.
    pub settings: Vec<(String, String)>,
    /// What is granted besides machines and the source, which are the kit's own here.
    pub grants: Grants,
    /// Told before each build, for a user who waits.
    pub progress: Box<dyn Fn(&str) + Send + Sync>,
}

/// The kit could not be run.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    /// The file is no backend.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There is no room for what the kit keeps while it runs.
    #[error("the kit cannot keep its state")]
    State(#[source] VmError),
    /// There is no folder for the source tree of the builds.
    #[error("no temporary folder")]
    Folder(#[source] std::io::Error),
}

/// What a backend is, as far as checks depend on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits {
    pub(crate) asks_vm: bool,
    pub(crate) honors_parallelism: bool,
    pub(crate) honors_keep_going: bool,
    pub(crate) reports_cache_hits: bool,
    pub(crate) supports_no_watch: bool,
}

impl Kit {
    /// Runs all scenarios, one after the other.
    ///
    /// # Errors
    /// The file is no backend, or the kit itself cannot run; what is wrong with the backend
    /// stands in the report.
    pub async fn run(self) -> Result<Report, KitError> {
        let began = Instant::now();
        let loaded = self.runtime.load(&self.source)?;
        let inspection = loaded.inspection().clone();
        let engine = Arc::new(Scripted::default());
        let subsystem = Subsystem::ephemeral(engine.clone() as Arc<dyn VmBackend>);
        let subsystem = Arc::new(subsystem.map_err(KitError::State)?);
        let mut grants = self.grants.clone();
        grants.vm = inspection.asks.contains(&Interface::Vm).then(|| VmGrant {
            subsystem: subsystem.clone(),
            images: Default::default(),
            allowed: ImagePolicy::of_plan(),
            exec: true,
            machine: MachineOptions::for_strangers(),
        });
        grants.source = inspection
            .asks
            .contains(&Interface::Source)
            .then(|| SourceGrant {
                state: subsystem.state().clone(),
            });
        let backend = ComponentBackend::new(&self.runtime, loaded.name(), &loaded, grants)?;
        let folder = tempfile::tempdir().map_err(KitError::Folder)?;
        std::fs::write(folder.path().join("README"), "conformance\n").map_err(KitError::Folder)?;
        let mut book = Book::new();
        if !inspection.asks.contains(&Interface::Vm) {
            for check in check::OF_MACHINES {
                book.passed_over(*check, scenarios::NO_MACHINES);
            }
        }
        let mut traits = None;
        for scenario in scenarios::all() {
            let known = traits.get_or_insert_with(|| {
                // What the first build has told; until then it says nothing of itself.
                told(&inspection.asks, Capabilities::default())
            });
            if let Err(why) = (scenario.applies)(known) {
                book.passed_over(scenario.own, why);
                continue;
            }
            (self.progress)(scenario.name);
            let request = self.request(&scenario, folder.path());
            let counts = engine.begin(scenario.fault);
            let seen = observe::build(&backend, request, scenario.cancel, counts).await;
            traits = Some(told(&inspection.asks, backend.capabilities()));
            book.enter(&scenario, &seen, traits.as_ref());
        }
        Ok(Report {
            name: loaded.name().to_owned(),
            inspection,
            checks: book.close(),
            took: began.elapsed(),
        })
    }

    fn request(&self, scenario: &Scenario, root: &std::path::Path) -> RunRequest {
        RunRequest {
            run_id: Uuid::new_v4(),
            plan: scenario.plan.clone(),
            repo_root: root.to_owned(),
            env: BTreeMap::new(),
            source: SourceMeta::default(),
            options: RunOptions {
                no_cache: scenario.no_cache,
                timeout: scenario.timeout,
                watch: scenario.watch,
                keep_going: scenario.keep_going,
                parallelism: scenario.parallelism,
                ..RunOptions::default()
            },
            settings: self.settings.clone(),
            secrets: Secrets::default(),
        }
    }
}

fn told(asks: &std::collections::BTreeSet<Interface>, says: Capabilities) -> Traits {
    Traits {
        asks_vm: asks.contains(&Interface::Vm),
        honors_parallelism: says.honors_parallelism,
        honors_keep_going: says.honors_keep_going,
        reports_cache_hits: says.reports_cache_hits,
        supports_no_watch: says.supports_no_watch,
    }
}

/// What is known of each check.
struct Book {
    held: Vec<&'static str>,
    findings: BTreeMap<&'static str, Vec<Finding>>,
    reasons: BTreeMap<&'static str, &'static str>,
    /// Builds that ended without a fault of the backend.
    whole: usize,
}

impl Book {
    fn new() -> Self {
        Self {
            held: Vec::new(),
            findings: BTreeMap::new(),
            reasons: BTreeMap::new(),
            whole: 0,
        }
    }

    fn passed_over(&mut self, check: Check, why: &'static str) {
        self.reasons.entry(check.name).or_insert(why);
    }

    fn enter(&mut self, scenario: &Scenario, seen: &Observation, traits: Option<&Traits>) {
        let Some(traits) = traits else {
            return;
        };
        if let Err(error) = &seen.result
            && let Some(check) = self.fault(error, scenario)
        {
            let what = format!("the host ended the build: {error}");
            self.fail(check, scenario.name, what);
            return;
        }
        self.whole += 1;
        let mut judge = Judge {
            traits,
            findings: Vec::new(),
        };
        (scenario.judge)(seen, &mut judge);
        for (check, found) in judge.findings {
            match found {
                Found::Holds => self.held.push(check.name),
                Found::Fails(what) => self.fail(check, scenario.name, what),
                Found::Outside(why) => self.passed_over(check, why),
            }
        }
    }

    /// Returns the check that a build's error belongs to, if the backend is at fault.
    fn fault(&self, error: &BackendError, scenario: &Scenario) -> Option<Check> {
        match error {
            // A plan that is refused is a fault where the plan can be run.
            BackendError::Rejected { .. } => return Some(check::REFUSES_NOTHING),
            // The host's word for a build that holds too many.
            BackendError::Unavailable(text) if text.starts_with("machines ") => {
                return Some(check::GIVES_BACK);
            }
            _ => {}
        }
        let own = scenario.own;
        Some(match rules::of(error)? {
            Owner::Rule(check) => check,
            Owner::Scenario => own,
            // Seen in a plain build before, it is no more than that.
            Owner::Anywhere(check) if self.findings.contains_key(check.name) => check,
            Owner::Anywhere(_) if rules::PROVOKING.contains(&own) => own,
            Owner::Anywhere(check) => check,
        })
    }

    fn fail(&mut self, check: Check, scenario: &'static str, what: String) {
        let findings = self.findings.entry(check.name).or_default();
        findings.push(Finding { scenario, what });
    }

    fn close(mut self) -> Vec<(Check, Verdict)> {
        let rule = |check: &Check| {
            // Those of the order table are held by every build that ended without a fault.
            !scenarios::all()
                .iter()
                .any(|scenario| scenario.own == *check)
        };
        check::ALL
            .iter()
            .map(|check| {
                let verdict = if let Some(findings) = self.findings.remove(check.name) {
                    Verdict::Failed(findings)
                } else if self.held.contains(&check.name) {
                    Verdict::Passed
                } else if let Some(why) = self.reasons.get(check.name) {
                    Verdict::NotApplicable((*why).into())
                } else if rule(check) && self.whole > 0 {
                    Verdict::Passed
                } else {
                    Verdict::Unjudged("the builds that would tell ended by another fault".into())
                };
                (*check, verdict)
            })
            .collect()
    }
}
