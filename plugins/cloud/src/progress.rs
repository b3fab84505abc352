//! What may be told of each step, and when: the service's jobs in the order of the plan.
//!
//! Answers may be old, and the list of jobs says nothing of logs. So a step starts only
//! after what it waits for has been told to have ended, and a job's state only goes forward.

use std::collections::{HashMap, VecDeque};

use hm_backend_sdk::{Plan, StepEnded, StepId, StepStatus};
use hm_cloud_api::{Job, JobState, milliseconds};

/// How far a step has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Queued,
    Started,
    Ended(StepStatus),
}

#[derive(Debug)]
struct Step {
    told: Told,
    /// The newest that is known.
    job: Option<Job>,
    /// Steps that it waits for.
    before: Vec<StepId>,
    /// Steps that wait for it.
    after: Vec<StepId>,
}

/// What is to be told next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// The step's command has begun to run; its log is to be followed.
    Start { step: StepId, job: String },
    /// The step's command has ended without having printed anything.
    StartAndEnd { step: StepId },
    /// The step has ended without having run.
    End { step: StepId },
}

/// All steps of a build.
#[derive(Debug)]
pub(crate) struct Progress {
    steps: Vec<Step>,
    by_key: HashMap<String, StepId>,
    /// Steps of which something new may be told.
    touched: VecDeque<StepId>,
    open: usize,
}

impl Progress {
    pub(crate) fn new(plan: &Plan) -> Self {
        let step = |_: &_| Step {
            told: Told::Queued,
            job: None,
            before: Vec::new(),
            after: Vec::new(),
        };
        let mut steps: Vec<_> = plan.steps.iter().map(step).collect();
        for edge in &plan.edges {
            steps[edge.after as usize].before.push(edge.before);
            steps[edge.before as usize].after.push(edge.after);
        }
        let keys = plan.steps.iter().map(|step| step.key.clone());
        Self {
            open: steps.len(),
            steps,
            by_key: keys.zip(0..).collect(),
            touched: VecDeque::new(),
        }
    }

    /// Takes an answer of the service; true if anything is new.
    pub(crate) fn take(&mut self, jobs: Vec<Job>) -> bool {
        let mut is_new = false;
        for job in jobs {
            let key = job.step_key.as_deref().unwrap_or_default();
            let Some(&step) = self.by_key.get(key) else {
                continue;
            };
            let known = &mut self.steps[step as usize].job;
            let old = known.as_ref().map(|known| rank(&known.state));
            if old.is_none_or(|old| rank(&job.state) > old) {
                *known = Some(job);
                self.touched.push_back(step);
                is_new = true;
            }
        }
        is_new
    }

    /// Returns true if the service has shown at least one job.
    pub(crate) fn has_jobs(&self) -> bool {
        self.steps.iter().any(|step| step.job.is_some())
    }

    /// Returns true once all steps have been told to have ended.
    pub(crate) fn is_over(&self) -> bool {
        self.open == 0
    }

    /// Returns true once all jobs have ended at the service.
    pub(crate) fn has_ended(&self) -> bool {
        self.steps.iter().all(Step::has_ended)
    }

    /// Returns true once the job of a step has ended at the service.
    pub(crate) fn has_job_ended(&self, step: StepId) -> bool {
        self.steps[step as usize].has_ended()
    }

    /// Returns true if the service ended jobs because the whole build's time was over.
    pub(crate) fn ran_out_of_time(&self) -> bool {
        let mut jobs = self.steps.iter().filter_map(|step| step.job.as_ref());
        jobs.any(is_cut_off)
    }

    /// Returns what can be told now, and counts it as told: a start, or an end without one.
    pub(crate) fn next(&mut self) -> Option<Next> {
        while let Some(step) = self.touched.pop_front() {
            if let Some(next) = self.judge(step) {
                match &next {
                    Next::Start { .. } => self.steps[step as usize].told = Told::Started,
                    Next::StartAndEnd { .. } | Next::End { .. } => {}
                }
                return Some(next);
            }
        }
        None
    }

    fn judge(&self, step: StepId) -> Option<Next> {
        let this = &self.steps[step as usize];
        let job = this.job.as_ref().filter(|_| this.told == Told::Queued)?;
        let is_told = |before: &StepId| matches!(self.steps[*before as usize].told, Told::Ended(_));
        let is_free = this.before.iter().all(is_told);
        let has_run = has_run(job);
        match job.state {
            JobState::Skipped => {
                let is_blocked = this.before.iter().any(|before| {
                    matches!(self.steps[*before as usize].told, Told::Ended(status)
                        if !matches!(status, StepStatus::Passed | StepStatus::CacheHit))
                });
                (is_free || is_blocked).then_some(Next::End { step })
            }
            JobState::Canceled if !has_run => Some(Next::End { step }),
            JobState::TimedOut if !has_run && is_cut_off(job) => Some(Next::End { step }),
            _ if !is_free => None,
            // No machine, or the build's time was over before.
            JobState::Failed | JobState::TimedOut if job.started_at.is_none() => {
                Some(Next::StartAndEnd { step })
            }
            _ if has_run => Some(Next::Start {
                step,
                job: job.id.clone(),
            }),
            _ => None,
        }
    }

    /// Gives up: returns the ends of all steps that are open.
    pub(crate) fn abandon(&mut self, why: &str) -> Vec<StepEnded> {
        let mut ends = Vec::new();
        for (index, step) in (0..).zip(&mut self.steps) {
            if !matches!(step.told, Told::Ended(_)) {
                step.told = Told::Ended(StepStatus::Cancelled);
                ends.push(StepEnded::new(index, StepStatus::Cancelled).detail(why));
            }
        }
        self.open = 0;
        ends
    }

    /// Returns the end of a step whose job has ended, and counts it as told.
    pub(crate) fn end(&mut self, step: StepId) -> Option<StepEnded> {
        let this = &mut self.steps[step as usize];
        let job = this.job.as_ref().filter(|job| job.state.is_terminal())?;
        if matches!(this.told, Told::Ended(_)) {
            return None;
        }
        let ended = ended(step, job);
        this.told = Told::Ended(ended.status);
        self.open -= 1;
        self.touched.extend(&this.after);
        Some(ended)
    }
}

impl Step {
    fn has_ended(&self) -> bool {
        let job = self.job.as_ref();
        job.is_some_and(|job| job.state.is_terminal())
    }
}

/// Orders the states of a job; none follows the last. What nobody knows changes nothing.
fn rank(state: &JobState) -> u8 {
    match state {
        JobState::Unknown(_) => 0,
        JobState::Pending => 1,
        JobState::Scheduled => 2,
        JobState::Assigned => 3,
        JobState::Running => 4,
        JobState::Canceling | JobState::TimingOut => 5,
        JobState::Passed
        | JobState::Failed
        | JobState::Skipped
        | JobState::Canceled
        | JobState::TimedOut => 6,
    }
}

fn has_run(job: &Job) -> bool {
    // Whatever became of it, a job whose build was cut off has run only if it had a start.
    (job.state.has_started() && !is_cut_off(job)) || job.started_at.is_some()
}

/// Whether it was not the job's own time that was over, but the build's.
fn is_cut_off(job: &Job) -> bool {
    job.state == JobState::TimedOut && job.error_code.as_deref() == Some("pipeline_timeout")
}

fn ended(step: StepId, job: &Job) -> StepEnded {
    let code = job.exit_code.and_then(|code| i32::try_from(code).ok());
    let why = why(job);
    let ended = match job.state {
        // What the service forgives is told with what it forgives.
        JobState::Failed if job.soft_failed => {
            let exit = code.map_or_else(String::new, |code| format!(" with exit code {code}"));
            StepEnded::new(step, StepStatus::Passed)
                .detail(format!("failed{exit}, which its policy forgives"))
        }
        // The service's runner tells no exit code of what passed.
        JobState::Passed => StepEnded::new(step, StepStatus::Passed).exit_code(0),
        JobState::Skipped => StepEnded::new(step, StepStatus::Skipped)
            .detail(why.unwrap_or_else(|| "a step that it waits for did not pass".into())),
        JobState::Canceled => with(StepEnded::new(step, StepStatus::Cancelled), why),
        JobState::TimedOut if is_cut_off(job) => {
            with(StepEnded::new(step, StepStatus::Cancelled), why)
        }
        JobState::TimedOut => with(StepEnded::new(step, StepStatus::TimedOut), why),
        _ => match code.filter(|code| *code != 0) {
            Some(code) => with(
                StepEnded::new(step, StepStatus::Failed).exit_code(code),
                why,
            ),
            None => StepEnded::new(step, StepStatus::Failed)
                .detail(why.unwrap_or_else(|| "ended without an exit code: by a signal?".into())),
        },
    };
    match duration(job) {
        Some(duration) => ended.duration_ms(duration),
        None => ended,
    }
}

fn with(ended: StepEnded, why: Option<String>) -> StepEnded {
    match why {
        Some(why) => ended.detail(why),
        None => ended,
    }
}

fn why(job: &Job) -> Option<String> {
    match (&job.error_message, &job.error_code) {
        (Some(message), Some(code)) => Some(format!("{message} ({code})")),
        (message, code) => message.clone().or_else(|| code.clone()),
    }
}

/// Both ends by the service's clock, which need not be ours.
fn duration(job: &Job) -> Option<u64> {
    let started = milliseconds(job.started_at.as_deref()?)?;
    let finished = milliseconds(job.finished_at.as_deref()?)?;
    u64::try_from(finished - started).ok()
}

#[cfg(test)]
mod tests {
    use hm_backend_sdk::{Edge, EdgeKind};

    use super::*;

    fn plan(edges: &[(StepId, StepId)]) -> Plan {
        let step = |key: &str| hm_backend_sdk::Step {
            key: key.into(),
            label: None,
            command: "true".into(),
            image: None,
            env: Vec::new(),
            timeout_ms: None,
            cacheable: false,
            runner: None,
            runner_args: None,
        };
        Plan {
            pipeline: "ci".into(),
            steps: vec![step("a"), step("b")],
            edges: edges
                .iter()
                .map(|&(before, after)| Edge {
                    before,
                    after,
                    kind: EdgeKind::DependsOn,
                })
                .collect(),
            timeout_ms: None,
            ir_json: "{}".into(),
        }
    }

    fn job(key: &str, state: &str) -> Job {
        let has_run = matches!(state, "running" | "passed" | "failed");
        let job = serde_json::json!({
            "id": key, "step_key": key, "state": state,
            "started_at": has_run.then_some("2026-01-01T00:00:00Z"),
            "finished_at": (state == "passed").then_some("2026-01-01T00:00:01.5Z"),
        });
        serde_json::from_value(job).unwrap()
    }

    fn start(step: StepId, job: &str) -> Option<Next> {
        let job = job.into();
        Some(Next::Start { step, job })
    }

    #[test]
    fn a_step_starts_after_what_it_waits_for_was_told() {
        let mut progress = Progress::new(&plan(&[(0, 1)]));
        progress.take(vec![job("a", "passed"), job("b", "running")]);
        assert_eq!(progress.next(), start(0, "a"));
        assert_eq!(progress.next(), None, "b waits until a is told");
        let ended = progress.end(0).unwrap();
        assert_eq!((ended.exit_code, ended.duration_ms), (Some(0), Some(1_500)));
        assert_eq!(progress.next(), start(1, "b"));
        assert!(progress.end(1).is_none(), "it runs");
    }

    #[test]
    fn states_go_forward_only() {
        let mut progress = Progress::new(&plan(&[]));
        assert!(progress.take(vec![job("a", "passed"), job("b", "warming_up")]));
        assert!(!progress.take(vec![job("a", "running"), job("b", "warming_up")]));
        assert!(progress.has_job_ended(0) && !progress.has_ended());
        assert!(progress.take(vec![job("b", "failed")]));
        assert!(progress.has_ended());
    }

    #[test]
    fn a_build_whose_time_is_over_ends_its_steps_as_cancelled() {
        let mut progress = Progress::new(&plan(&[(0, 1)]));
        let (mut runs, mut waits) = (job("a", "timed_out"), job("b", "timed_out"));
        runs.started_at = Some("2026-01-01T00:00:00Z".into());
        for job in [&mut runs, &mut waits] {
            job.error_code = Some("pipeline_timeout".into());
        }
        assert!(!progress.ran_out_of_time());
        progress.take(vec![runs, waits]);
        assert!(progress.ran_out_of_time());
        assert_eq!(progress.next(), start(0, "a"));
        assert_eq!(progress.next(), Some(Next::End { step: 1 }));
        for step in [0, 1] {
            assert_eq!(progress.end(step).unwrap().status, StepStatus::Cancelled);
        }
    }

    #[test]
    fn an_end_without_a_run_needs_none() {
        let mut progress = Progress::new(&plan(&[(0, 1)]));
        let mut lost = job("a", "failed");
        (lost.started_at, lost.error_code) = (None, Some("provision_failed".into()));
        progress.take(vec![lost, job("b", "skipped")]);
        assert_eq!(progress.next(), Some(Next::StartAndEnd { step: 0 }));
        let ended = progress.end(0).unwrap();
        assert_eq!(ended.detail.as_deref(), Some("provision_failed"));
        assert_eq!(progress.next(), Some(Next::End { step: 1 }));
        assert_eq!(progress.end(1).unwrap().status, StepStatus::Skipped);
        assert!(progress.is_over());
    }
}
