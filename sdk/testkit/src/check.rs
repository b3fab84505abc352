//! The rules that `hm` holds a backend to: which event may come when, and which verdict
//! follows. The texts are `hm`'s own.

use std::collections::BTreeSet;

use hm_backend_sdk::vm::ExecStatus;
use hm_backend_sdk::{
    Accepted, BuildEvent, BuildStatus, MAX_OUTPUT_CHUNK, Plan, StepEnded, StepId, StepOutput,
    StepStarted, StepStatus,
};

/// Runs of one step, from its own base.
const ATTEMPTS: u32 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Unseen,
    Queued,
    Running,
    Hit,
    Done,
}

#[derive(Debug, Clone)]
struct StepState {
    phase: Phase,
    status: Option<StepStatus>,
    has_detail: bool,
    attempts: u32,
    observed: Option<ExecStatus>,
    is_cached: bool,
}

/// The state of a build, as the rules see it.
#[derive(Debug)]
pub(crate) struct Rules {
    plan: Plan,
    before: Vec<Vec<StepId>>,
    steps: Vec<StepState>,
    is_observer: bool,
    watch: bool,
    is_open: bool,
    is_accepted: bool,
}

/// Says what was broken, as `hm` would.
pub(crate) type Broken = String;

impl Rules {
    pub(crate) fn new(plan: &Plan, is_observer: bool, watch: bool) -> Self {
        let mut before = vec![Vec::new(); plan.steps.len()];
        for edge in &plan.edges {
            before[edge.after as usize].push(edge.before);
        }
        let fresh = StepState {
            phase: Phase::Unseen,
            status: None,
            has_detail: false,
            attempts: 0,
            observed: None,
            is_cached: false,
        };
        Self {
            steps: vec![fresh; plan.steps.len()],
            plan: plan.clone(),
            before,
            is_observer,
            watch,
            is_open: false,
            is_accepted: false,
        }
    }

    fn name(&self, step: StepId) -> String {
        format!("step {step} (`{}`)", self.plan.steps[step as usize].key)
    }

    fn get(&mut self, what: &str, step: StepId) -> Result<&mut StepState, Broken> {
        let count = self.steps.len();
        self.steps
            .get_mut(step as usize)
            .ok_or_else(|| format!("{what} for step {step}, and the plan has {count}"))
    }

    pub(crate) fn event(&mut self, event: &BuildEvent) -> Result<(), Broken> {
        match event {
            BuildEvent::Accepted(accepted) => self.accepted(accepted),
            BuildEvent::StepQueued(step) => self.queued(*step),
            BuildEvent::StepStarted(started) => self.started(started),
            BuildEvent::StepOutput(output) => self.output(output),
            BuildEvent::StepCacheHit(step) => self.cache_hit(*step),
            BuildEvent::StepEnded(ended) => self.ended(ended),
            BuildEvent::Notice(notice) => match notice.step {
                Some(step) => self.get("notice", step).map(drop),
                None => Ok(()),
            },
            BuildEvent::Custom(custom) => serde_json::from_str::<serde_json::Value>(&custom.json)
                .map_err(|error| {
                    let name = &custom.name;
                    format!("custom data of `{name}` is no JSON: {error}")
                })
                .map(drop),
        }
    }

    fn accepted(&mut self, accepted: &Accepted) -> Result<(), Broken> {
        if self.is_accepted {
            return Err("accepted comes twice".into());
        }
        if self.is_open {
            return Err("accepted comes after a step's event".into());
        }
        if let Some(url) = accepted.watch_url.as_ref()
            && !is_watchable(url)
        {
            return Err(format!(
                "the watch-url `{url}` is neither https nor http on loopback"
            ));
        }
        self.is_accepted = true;
        Ok(())
    }

    fn queued(&mut self, step: StepId) -> Result<(), Broken> {
        if self.get("step-queued", step)?.phase != Phase::Unseen {
            return Err(format!("step-queued comes twice for {}", self.name(step)));
        }
        self.is_open = true;
        self.steps[step as usize].phase = Phase::Queued;
        Ok(())
    }

    fn started(&mut self, started: &StepStarted) -> Result<(), Broken> {
        let step = started.step;
        let phase = self.get("step-started", step)?.phase;
        let name = self.name(step);
        match phase {
            Phase::Queued => {}
            Phase::Unseen => return Err(format!("step-started for {name}, which was not queued")),
            Phase::Done => return Err(format!("step-started for {name}, which has ended")),
            _ => return Err(format!("step-started comes twice for {name}")),
        }
        for &before in &self.before[step as usize] {
            if self.steps[before as usize].phase != Phase::Done {
                let before = self.name(before);
                return Err(format!("step-started for {name} before {before} has ended"));
            }
        }
        if started.image.is_some() && started.image.as_deref() != self.base_image(step) {
            return Err(format!("{name} started on another image than the plan's"));
        }
        self.steps[step as usize].phase = Phase::Running;
        Ok(())
    }

    /// Returns the image from which the step's lineage starts.
    pub(crate) fn base_image(&self, step: StepId) -> Option<&str> {
        let mut root = step;
        while let Some(parent) = self.parent(root) {
            root = parent;
        }
        self.plan.steps[root as usize].image.as_deref()
    }

    /// Returns the step from whose state this one starts.
    pub(crate) fn parent(&self, step: StepId) -> Option<StepId> {
        let mut edges = self.plan.edges.iter();
        let edge = edges
            .find(|edge| edge.after == step && edge.kind == hm_backend_sdk::EdgeKind::BuildsIn);
        edge.map(|edge| edge.before)
    }

    fn output(&mut self, output: &StepOutput) -> Result<(), Broken> {
        let state = self.get("step-output", output.step)?;
        let (phase, attempts) = (state.phase, state.attempts);
        let name = self.name(output.step);
        if phase != Phase::Running {
            return Err(format!("step-output for {name}, which is not running"));
        }
        if attempts > 0 {
            return Err(format!(
                "step-output for {name}, whose output comes from a machine"
            ));
        }
        let len = output.data.len();
        if len > MAX_OUTPUT_CHUNK {
            return Err(format!(
                "step-output of {len} bytes, at most {MAX_OUTPUT_CHUNK}"
            ));
        }
        Ok(())
    }

    fn cache_hit(&mut self, step: StepId) -> Result<(), Broken> {
        let is_observer = self.is_observer;
        let state = self.get("step-cache-hit", step)?;
        let (phase, is_cached) = (state.phase, state.is_cached);
        let name = self.name(step);
        if phase != Phase::Queued {
            return Err(format!("step-cache-hit for {name}, which is not queued"));
        }
        if !is_cached && !is_observer {
            return Err(format!("step-cache-hit for {name}, but the cache had none"));
        }
        self.steps[step as usize].phase = Phase::Hit;
        Ok(())
    }

    fn ended(&mut self, ended: &StepEnded) -> Result<(), Broken> {
        let step = ended.step;
        let phase = self.get("step-ended", step)?.phase;
        let status = ended.status;
        let fits = match status {
            StepStatus::Passed | StepStatus::Failed | StepStatus::TimedOut => {
                phase == Phase::Running
            }
            StepStatus::CacheHit => phase == Phase::Hit,
            StepStatus::Skipped => phase == Phase::Queued,
            StepStatus::Cancelled => matches!(phase, Phase::Queued | Phase::Running),
        };
        if !fits {
            let (name, word) = (self.name(step), word(status));
            return Err(match phase {
                Phase::Done => format!("step-ended for {name}, which has ended"),
                Phase::Unseen => format!("step-ended for {name}, which was not queued"),
                Phase::Queued => format!("{name} ended as {word}, but never started"),
                Phase::Running => format!("{name} ended as {word}, but it was running"),
                Phase::Hit => format!("{name} ended as {word}, but it was a cache hit"),
            });
        }
        self.claim(ended)?;
        let state = &mut self.steps[step as usize];
        state.phase = Phase::Done;
        state.status = Some(status);
        state.has_detail = ended.detail.is_some();
        Ok(())
    }

    /// Holds a claimed end against what was seen.
    fn claim(&self, ended: &StepEnded) -> Result<(), Broken> {
        let state = &self.steps[ended.step as usize];
        let seen = state.observed.map(ExecStatus::code);
        let (name, code) = (self.name(ended.step), ended.exit_code);
        match (ended.status, code, seen) {
            (StepStatus::Passed, Some(code), _) if code != 0 => {
                Err(format!("{name} claimed passed with exit code {code}"))
            }
            (StepStatus::Passed, _, Some(0)) => Ok(()),
            (StepStatus::Passed, _, Some(seen)) => {
                Err(format!("{name} claimed passed, the host saw exit {seen}"))
            }
            (StepStatus::Passed, _, None) if !self.is_observer => {
                Err(format!("{name} claimed passed, the host saw no run of it"))
            }
            (StepStatus::Failed, Some(0), _) => {
                Err(format!("{name} claimed failed with exit code 0"))
            }
            (StepStatus::Failed, None, _) if ended.detail.is_none() => Err(format!(
                "{name} claimed failed with neither exit code nor detail"
            )),
            (StepStatus::Failed, Some(code), Some(seen)) if code != seen => Err(format!(
                "{name} claimed exit code {code}, the host saw {seen}"
            )),
            (StepStatus::TimedOut, _, Some(seen))
                if state.observed != Some(ExecStatus::TimedOut) =>
            {
                Err(format!(
                    "{name} claimed timed out, the host saw exit {seen}"
                ))
            }
            (StepStatus::CacheHit, Some(_), _) => {
                Err(format!("{name} is a cache hit with an exit code"))
            }
            (StepStatus::Skipped, ..) if ended.detail.is_none() && !self.is_blocked(ended.step) => {
                Err(format!("{name} was skipped without a reason"))
            }
            _ => Ok(()),
        }
    }

    fn is_blocked(&self, step: StepId) -> bool {
        self.before[step as usize].iter().any(|&before| {
            let status = self.steps[before as usize].status;
            status
                .is_some_and(|status| !matches!(status, StepStatus::Passed | StepStatus::CacheHit))
        })
    }

    /// Checks that a step may be run now, and counts the attempt.
    pub(crate) fn begin_run(&mut self, step: StepId) -> Result<Result<(), String>, Broken> {
        let state = self.get("machine.run", step)?;
        if state.phase != Phase::Running {
            let name = self.name(step);
            return Err(format!(
                "machine.run for {name}, which has not been started"
            ));
        }
        if state.attempts >= ATTEMPTS {
            return Ok(Err(format!("{} was run {ATTEMPTS} times", self.name(step))));
        }
        state.attempts += 1;
        state.observed = None;
        Ok(Ok(()))
    }

    pub(crate) fn end_run(&mut self, step: StepId, status: ExecStatus) {
        let state = &mut self.steps[step as usize];
        if state.phase == Phase::Running {
            state.observed = Some(status);
        }
    }

    /// Returns how often the step was run.
    pub(crate) fn attempts(&self, step: StepId) -> u32 {
        self.steps[step as usize].attempts
    }

    pub(crate) fn hit(&mut self, step: StepId) {
        self.steps[step as usize].is_cached = true;
    }

    /// Checks that a step which a call names is in the plan.
    pub(crate) fn in_plan(&mut self, what: &str, step: StepId) -> Result<(), Broken> {
        self.get(what, step).map(drop)
    }

    fn is_submitted(&self) -> bool {
        self.is_accepted && !self.watch
    }

    /// The backend has ended its events.
    pub(crate) fn closed(&self, is_cancelled: bool) -> Result<(), Broken> {
        if is_cancelled || self.is_submitted() {
            return Ok(());
        }
        let is_open = |state: &StepState| !matches!(state.phase, Phase::Done | Phase::Unseen);
        match self.steps.iter().position(is_open) {
            Some(step) => Err(format!(
                "the events end, but {} is open",
                self.name(step as StepId)
            )),
            None => Ok(()),
        }
    }

    /// Holds the verdict against the steps.
    pub(crate) fn judge(&self, claimed: BuildStatus) -> Result<(), Broken> {
        let statuses: BTreeSet<_> = self
            .steps
            .iter()
            .filter_map(|state| state.status.map(|status| status as u8))
            .collect();
        let any = |wanted: &[StepStatus]| wanted.iter().any(|&s| statuses.contains(&(s as u8)));
        let unfinished = self.steps.iter().position(|state| match state.status {
            Some(StepStatus::Passed | StepStatus::CacheHit) => false,
            Some(StepStatus::Skipped) => !(self.is_observer && state.has_detail),
            _ => true,
        });
        let is_right = match claimed {
            BuildStatus::Passed => self.is_submitted() || unfinished.is_none(),
            BuildStatus::Failed => any(&[StepStatus::Failed, StepStatus::TimedOut]),
            BuildStatus::Cancelled => any(&[StepStatus::Cancelled]),
            BuildStatus::TimedOut => any(&[StepStatus::TimedOut, StepStatus::Cancelled]),
        };
        if is_right {
            return Ok(());
        }
        Err(match (claimed, unfinished) {
            (BuildStatus::Passed, Some(step)) => {
                let how = match self.steps[step].status {
                    Some(status) => format!("ended as {}", word(status)),
                    None => "never ended".into(),
                };
                format!(
                    "the outcome is passed, but {} {how}",
                    self.name(step as StepId)
                )
            }
            _ => format!(
                "the outcome is {}, but no step ended so",
                build_word(claimed)
            ),
        })
    }
}

/// Returns the word for a status, as `hm` has it in its events.
pub(crate) fn word(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Passed => "passed",
        StepStatus::Failed => "failed",
        StepStatus::Skipped => "skipped",
        StepStatus::Cancelled => "cancelled",
        StepStatus::CacheHit => "cache_hit",
        StepStatus::TimedOut => "timed_out",
    }
}

/// Returns the word for a build's status.
pub(crate) fn build_word(status: BuildStatus) -> &'static str {
    match status {
        BuildStatus::Passed => "passed",
        BuildStatus::Failed => "failed",
        BuildStatus::Cancelled => "cancelled",
        BuildStatus::TimedOut => "timed_out",
    }
}

/// https, or http on this machine; without a user, behind whose name the host can hide.
fn is_watchable(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = match authority.split_once(']') {
        Some((address, _)) => address,
        None => authority.split(':').next().unwrap_or_default(),
    };
    let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1");
    !host.is_empty()
        && !authority.contains('@')
        && (scheme == "https" || scheme == "http" && is_here)
}
