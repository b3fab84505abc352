//! The plan that a backend is handed.

use hm_backend_sdk::{CommitInfo, Edge, EdgeKind, Plan, RunOptions, RunRequest, Step, StepId};

/// A plan being written: steps in their order, each changed by the calls after it.
///
/// ```
/// # use hm_backend_testkit::Pipeline;
/// Pipeline::new()
///     .step("build").command("make").timeout_ms(60_000)
///     .step("test").from("build")
///     .step("lint").needs("build").env("STRICT", "1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    plan: Plan,
}

impl Pipeline {
    /// A plan without steps.
    pub fn new() -> Self {
        Self {
            plan: Plan {
                pipeline: "test".into(),
                steps: Vec::new(),
                edges: Vec::new(),
                timeout_ms: None,
                ir_json: "{}".into(),
            },
        }
    }

    /// Takes a plan as it is.
    pub fn of(plan: Plan) -> Self {
        Self { plan }
    }

    /// Adds a step, which boots from the image `host`; its command is its key.
    #[must_use]
    pub fn step(mut self, key: impl Into<String>) -> Self {
        let key = key.into();
        self.plan.steps.push(Step {
            command: key.clone(),
            key,
            label: None,
            image: Some("host".into()),
            env: Vec::new(),
            timeout_ms: None,
            cacheable: false,
            runner: None,
            runner_args: None,
        });
        self
    }

    /// Adds that many steps, `step-0` and so on.
    #[must_use]
    pub fn steps(self, count: usize) -> Self {
        (0..count).fold(self, |pipeline, index| {
            pipeline.step(format!("step-{index}"))
        })
    }

    /// The last step starts from what the step `parent` leaves behind.
    ///
    /// # Panics
    /// If there is no such step before.
    #[must_use]
    pub fn from(mut self, parent: &str) -> Self {
        self.last().image = None;
        self.edge(parent, EdgeKind::BuildsIn)
    }

    /// The last step waits for the step `before`, and inherits nothing.
    ///
    /// # Panics
    /// If there is no such step before.
    #[must_use]
    pub fn needs(self, before: &str) -> Self {
        self.edge(before, EdgeKind::DependsOn)
    }

    fn edge(mut self, before: &str, kind: EdgeKind) -> Self {
        let edge = Edge {
            before: self.index(before),
            after: self.plan.steps.len() as StepId - 1,
            kind,
        };
        self.plan.edges.push(edge);
        self
    }

    /// The last step's command.
    #[must_use]
    pub fn command(mut self, command: impl Into<String>) -> Self {
        self.last().command = command.into();
        self
    }

    /// The image that the last step boots from.
    #[must_use]
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.last().image = Some(image.into());
        self
    }

    /// A variable of the last step.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let pair = (name.into(), value.into());
        self.last().env.push(pair);
        self
    }

    /// The last step's timeout.
    #[must_use]
    pub fn timeout_ms(mut self, timeout: u64) -> Self {
        self.last().timeout_ms = Some(timeout);
        self
    }

    /// The last step's result is to be reused.
    #[must_use]
    pub fn cacheable(mut self) -> Self {
        self.last().cacheable = true;
        self
    }

    /// The last step's runner and its arguments, as JSON.
    #[must_use]
    pub fn runner(mut self, name: impl Into<String>, args: Option<&str>) -> Self {
        let args = args.map(Into::into);
        let last = self.last();
        last.runner = Some(name.into());
        last.runner_args = args;
        self
    }

    fn last(&mut self) -> &mut Step {
        self.plan.steps.last_mut().expect("a step to change")
    }

    /// Returns the index of a step.
    ///
    /// # Panics
    /// If there is none of that key.
    pub(crate) fn index(&self, key: &str) -> StepId {
        let mut steps = self.plan.steps.iter();
        let index = steps.position(|step| step.key == key);
        index.unwrap_or_else(|| panic!("the pipeline has no step `{key}`")) as StepId
    }

    /// Returns the plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns a request to run it: two steps at once, watched, with the cache.
    pub(crate) fn into_request(self) -> RunRequest {
        RunRequest {
            run_id: "00000000-0000-4000-8000-000000000000".into(),
            plan: self.plan,
            commit: CommitInfo {
                branch: "main".into(),
                commit: "0123456789abcdef0123456789abcdef01234567".into(),
                message: None,
                repository: Some("acme/widgets".into()),
            },
            options: RunOptions {
                no_cache: false,
                watch: true,
                keep_going: false,
                parallelism: 2,
            },
            settings: Vec::new(),
        }
    }
}

impl Default for Pipeline {
    fn default() -> Self {
        Self::new()
    }
}
