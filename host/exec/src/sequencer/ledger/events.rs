//! The order table: which event may come when (reference `sandbox`, section 8).

use std::time::{Duration, Instant};

use hm_plugin_protocol::{BuildEvent, BuildRef, Level, LogStream, StepId, StepStatus};
use jiff::Timestamp;

use super::{Fault, Ledger, Phase, Violation};
use crate::component::LimitHit;
use crate::component::bindings::hm::backend::events as wit;
use crate::component::bindings::hm::backend::types::StepStatus as WitStatus;
use crate::sequencer::clean::{harmless, one_line};
use crate::sequencer::stream::Entry;

/// Bytes of an image, runner, pipeline or organisation.
const NAME_MAX: usize = 512;
/// Bytes of a message or detail.
const MESSAGE_MAX: usize = 4 << 10;
/// Bytes of a link.
const URL_MAX: usize = 2 << 10;
/// Bytes of a chunk of output (decisions, "Runtime limits").
const CHUNK_MAX: usize = 16 << 10;
/// What a chunk counts at least, so that empty ones are not free.
const CHUNK_MIN: u64 = 64;
/// No step takes longer than a year; a backend that says so would only make sums overflow.
const DURATION_MAX: Duration = Duration::from_secs(366 * 86_400);
/// Bytes of a notice or a custom event that count as one more.
const FREE_BYTES: usize = 512;
/// Bytes of a custom event.
const CUSTOM_MAX: usize = 16 << 10;
/// Arrays and objects within each other in a custom event.
const CUSTOM_DEPTH: usize = 32;

fn bounded(what: &str, text: &str, max: usize) -> Result<String, Violation> {
    if text.len() > max {
        return Err(Violation(format!(
            "{what} of {} bytes, at most {max}",
            text.len()
        )));
    }
    Ok(one_line(text))
}

impl Ledger {
    /// Checks one event of the guest and appends what it makes to tell.
    pub(crate) fn take(
        &mut self,
        event: wit::BuildEvent,
        out: &mut Vec<Entry>,
    ) -> Result<(), Fault> {
        use wit::BuildEvent as E;
        match event {
            E::StepOutput(output) => return self.output(output, out),
            E::Notice(notice) => return self.notice(notice, out),
            E::Custom(custom) => return self.custom(custom, out),
            E::Accepted(accepted) => self.accept(accepted, out)?,
            E::StepQueued(step) => self.queued(step, out)?,
            E::StepStarted(started) => self.started(started, out)?,
            E::StepCacheHit(step) => self.cache_hit(step, out)?,
            E::StepEnded(ended) => self.ended(ended, out)?,
        }
        Ok(())
    }

    /// The guest ended its stream of events.
    pub(crate) fn end_of_events(&mut self, is_cancelled: bool) -> Result<(), Violation> {
        self.is_closed = true;
        if is_cancelled || self.is_submitted() {
            return Ok(());
        }
        let open = |phase| !matches!(phase, Phase::Done | Phase::Unseen);
        match self.steps.iter().position(|state| open(state.phase)) {
            Some(step) => Err(Violation(format!(
                "the events end, but {} is open",
                self.name(step as StepId)
            ))),
            None => Ok(()),
        }
    }

    fn accept(&mut self, accepted: wit::Accepted, out: &mut Vec<Entry>) -> Result<(), Violation> {
        if self.accepted.is_some() {
            return Err(Violation::new("accepted comes twice"));
        }
        if self.is_open {
            return Err(Violation::new("accepted comes after a step's event"));
        }
        let watch_url = accepted
            .watch_url
            .map(|url| bounded("a watch-url", &url, URL_MAX))
            .transpose()?;
        if let Some(url) = watch_url.as_deref().filter(|url| !is_watchable(url)) {
            return Err(Violation(format!(
                "the watch-url `{url}` is neither https nor http on loopback"
            )));
        }
        let build = BuildRef {
            run_id: self.setting.run_id,
            number: accepted.number,
            org: accepted
                .organization
                .map(|o| bounded("an organization", &o, NAME_MAX))
                .transpose()?,
            pipeline: bounded("a pipeline", &accepted.pipeline, NAME_MAX)?,
        };
        self.accepted = Some(build.clone());
        self.watch_url.clone_from(&watch_url);
        out.push(Entry::Event(BuildEvent::BuildAccepted { build, watch_url }));
        Ok(())
    }

    fn queued(&mut self, step: StepId, out: &mut Vec<Entry>) -> Result<(), Violation> {
        if self.get("step-queued", step)?.phase != Phase::Unseen {
            return Err(Violation(format!(
                "step-queued comes twice for {}",
                self.name(step)
            )));
        }
        self.open(out);
        self.queue(step, out);
        Ok(())
    }

    /// Marks a step as queued and tells it.
    pub(super) fn queue(&mut self, step: StepId, out: &mut Vec<Entry>) {
        self.steps[step as usize].phase = Phase::Queued;
        let plan = &self.setting.plan;
        let planned = &plan.steps[step as usize];
        let parent = self.setting.graph.parent(step);
        out.push(Entry::Event(BuildEvent::StepQueued {
            step_id: self.step_id(step),
            step,
            key: one_line(&planned.key),
            chain_idx: self.chains.position[step as usize],
            parent_key: parent.map(|p| one_line(&plan.steps[p as usize].key)),
            display_name: one_line(&planned.display_name()),
        }));
    }

    fn started(
        &mut self,
        started: wit::StepStarted,
        out: &mut Vec<Entry>,
    ) -> Result<(), Violation> {
        let step = started.step;
        if self.get("step-started", step)?.phase != Phase::Queued {
            let name = self.name(step);
            return Err(Violation(match self.steps[step as usize].phase {
                Phase::Unseen => format!("step-started for {name}, which was not queued"),
                Phase::Done => format!("step-started for {name}, which has ended"),
                _ => format!("step-started comes twice for {name}"),
            }));
        }
        let graph = self.setting.graph.clone();
        for &before in graph.predecessors(step) {
            if self.steps[before as usize].phase != Phase::Done {
                let (name, before) = (self.name(step), self.name(before));
                return Err(Violation(format!(
                    "step-started for {name} before {before} has ended"
                )));
            }
        }
        let image = started
            .image
            .map(|image| bounded("an image", &image, NAME_MAX))
            .transpose()?;
        let planned = self.base_image(step).map(one_line);
        if image.is_some() && image != planned {
            return Err(Violation(format!(
                "{} started on another image than the plan's",
                self.name(step)
            )));
        }
        let runner = bounded("a runner", &started.runner, NAME_MAX)?;
        let state = &mut self.steps[step as usize];
        state.phase = Phase::Running;
        state.started = Some(Instant::now());
        let ts = Timestamp::now();
        out.push(Entry::Event(BuildEvent::StepStart {
            step_id: self.step_id(step),
            step,
            runner,
            image,
            ts,
        }));
        Ok(())
    }

    /// Returns the image from which the step's lineage starts.
    pub(crate) fn base_image(&self, step: StepId) -> Option<&str> {
        let root = self.roots[step as usize];
        self.setting.plan.steps[root as usize].image.as_deref()
    }

    fn output(&mut self, output: wit::StepOutput, out: &mut Vec<Entry>) -> Result<(), Fault> {
        let step = output.step;
        let state = self.get("step-output", step)?;
        let (phase, attempts) = (state.phase, state.attempts);
        if phase != Phase::Running {
            return Err(Violation(format!(
                "step-output for {}, which is not running",
                self.name(step)
            ))
            .into());
        }
        if attempts > 0 {
            let name = self.name(step);
            return Err(Violation(format!(
                "step-output for {name}, whose output comes from a machine"
            ))
            .into());
        }
        if output.data.len() > CHUNK_MAX {
            return Err(Violation(format!(
                "step-output of {} bytes, at most {CHUNK_MAX}",
                output.data.len()
            ))
            .into());
        }
        self.output_bytes += (output.data.len() as u64).max(CHUNK_MIN);
        if self.output_bytes > self.setting.limits.output_bytes {
            return Err(Fault::Limit(LimitHit::of("output", &self.setting.limits)));
        }
        let stream = match output.channel {
            wit::LogChannel::Stdout => LogStream::Stdout,
            wit::LogChannel::Stderr => LogStream::Stderr,
        };
        out.push(Entry::Output {
            step,
            stream,
            data: output.data.into(),
        });
        Ok(())
    }

    fn cache_hit(&mut self, step: StepId, out: &mut Vec<Entry>) -> Result<(), Violation> {
        let is_observer = self.setting.is_observer;
        let state = self.get("step-cache-hit", step)?;
        let (phase, hit) = (state.phase, state.hit.clone());
        if phase != Phase::Queued {
            return Err(Violation(format!(
                "step-cache-hit for {}, which is not queued",
                self.name(step)
            )));
        }
        let (key, tag) = match hit {
            Some(hit) => hit,
            None if is_observer => (String::new(), String::new()),
            None => {
                return Err(Violation(format!(
                    "step-cache-hit for {}, but the cache had none",
                    self.name(step)
                )));
            }
        };
        self.steps[step as usize].phase = Phase::Hit;
        out.push(Entry::Event(BuildEvent::StepCacheHit {
            step_id: self.step_id(step),
            step,
            key,
            tag,
        }));
        Ok(())
    }

    fn ended(&mut self, ended: wit::StepEnded, out: &mut Vec<Entry>) -> Result<(), Violation> {
        let step = ended.step;
        let phase = self.get("step-ended", step)?.phase;
        let detail = ended
            .detail
            .map(|detail| bounded("a detail", &detail, MESSAGE_MAX))
            .transpose()?;
        let status = match ended.status {
            WitStatus::Passed => StepStatus::Passed,
            WitStatus::Failed => StepStatus::Failed,
            WitStatus::Skipped => StepStatus::Skipped,
            WitStatus::Cancelled => StepStatus::Cancelled,
            WitStatus::CacheHit => StepStatus::CacheHit,
            WitStatus::TimedOut => StepStatus::TimedOut,
        };
        let fits = match status {
            StepStatus::Passed | StepStatus::Failed | StepStatus::TimedOut => {
                phase == Phase::Running
            }
            StepStatus::CacheHit => phase == Phase::Hit,
            StepStatus::Skipped => phase == Phase::Queued,
            StepStatus::Cancelled => matches!(phase, Phase::Queued | Phase::Running),
        };
        if !fits {
            let name = self.name(step);
            return Err(Violation(match phase {
                Phase::Done => format!("step-ended for {name}, which has ended"),
                Phase::Unseen => format!("step-ended for {name}, which was not queued"),
                Phase::Queued => format!("{name} ended as {}, but never started", status.as_str()),
                Phase::Running => {
                    format!("{name} ended as {}, but it was running", status.as_str())
                }
                Phase::Hit => format!(
                    "{name} ended as {}, but it was a cache hit",
                    status.as_str()
                ),
            }));
        }
        self.check_claim(step, status, ended.exit_code, detail.as_deref())?;
        let state = &mut self.steps[step as usize];
        if let Some(running) = state.running.take() {
            running.notify_one();
        }
        state.reason = match state.cause.take() {
            Some(cause) if status == StepStatus::Failed => Some(cause),
            Some(cause) if status == StepStatus::TimedOut => {
                Some(detail.map_or(cause.clone(), |detail| format!("{detail}: {cause}")))
            }
            _ => detail,
        };
        let duration = ended.duration_ms.map(Duration::from_millis);
        let duration = duration.map(|duration| duration.min(DURATION_MAX));
        self.end(step, status, ended.exit_code, duration, out);
        Ok(())
    }

    /// Holds a claimed end against the observed one.
    fn check_claim(
        &self,
        step: StepId,
        status: StepStatus,
        code: Option<i32>,
        detail: Option<&str>,
    ) -> Result<(), Violation> {
        let state = &self.steps[step as usize];
        let observed = state.observed.map(|observed| observed.code());
        let name = || self.name(step);
        let wrong = |text: String| Err(Violation(text));
        if state.running.is_some() && matches!(status, StepStatus::Failed | StepStatus::TimedOut) {
            return wrong(format!(
                "{} ended as {}, but its command was running",
                name(),
                status.as_str()
            ));
        }
        match status {
            StepStatus::Passed => {
                if code.is_some_and(|code| code != 0) {
                    return wrong(format!(
                        "{} claimed passed with exit code {}",
                        name(),
                        code.unwrap_or_default()
                    ));
                }
                match observed {
                    Some(0) => {}
                    Some(seen) => {
                        return wrong(format!(
                            "{} claimed passed, the host saw exit {seen}",
                            name()
                        ));
                    }
                    None if self.setting.is_observer => {}
                    None => {
                        return wrong(format!(
                            "{} claimed passed, the host saw no run of it",
                            name()
                        ));
                    }
                }
            }
            StepStatus::Failed => match (code, observed) {
                (Some(0), _) => {
                    return wrong(format!("{} claimed failed with exit code 0", name()));
                }
                (None, _) if detail.is_none() => {
                    return wrong(format!(
                        "{} claimed failed with neither exit code nor detail",
                        name()
                    ));
                }
                (Some(code), Some(seen)) if code != seen => {
                    return wrong(format!(
                        "{} claimed exit code {code}, the host saw {seen}",
                        name()
                    ));
                }
                _ => {}
            },
            StepStatus::TimedOut => {
                if let Some(seen) =
                    observed.filter(|_| !state.observed.is_some_and(|o| o.is_timeout()))
                {
                    return wrong(format!(
                        "{} claimed timed out, the host saw exit {seen}",
                        name()
                    ));
                }
            }
            StepStatus::CacheHit if code.is_some() => {
                return wrong(format!("{} is a cache hit with an exit code", name()));
            }
            StepStatus::Skipped if detail.is_none() => {
                let graph = &self.setting.graph;
                let blocked = |&p: &StepId| {
                    self.steps[p as usize]
                        .status
                        .is_some_and(|status| !status.is_success())
                };
                if !graph.predecessors(step).iter().any(blocked) {
                    return wrong(format!("{} was skipped without a reason", name()));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends a step and tells it, or holds the end until the step's output is drained.
    pub(super) fn end(
        &mut self,
        step: StepId,
        status: StepStatus,
        code: Option<i32>,
        duration: Option<Duration>,
        out: &mut Vec<Entry>,
    ) {
        let state = &mut self.steps[step as usize];
        state.phase = Phase::Done;
        state.status = Some(status);
        state.exit_code = match status {
            StepStatus::Passed | StepStatus::CacheHit => Some(0),
            StepStatus::TimedOut => Some(124),
            StepStatus::Failed => code.or(state.observed.map(|observed| observed.code())),
            StepStatus::Skipped | StepStatus::Cancelled => None,
        };
        state.duration = duration
            .or(state.started.map(|at| at.elapsed()))
            .unwrap_or_default();
        if status == StepStatus::Passed && state.attempts > 1 {
            state
                .reason
                .get_or_insert_with(|| format!("passed on attempt {}", state.attempts));
        }
        let state = &self.steps[step as usize];
        let mut events = vec![BuildEvent::StepEnd {
            step_id: self.step_id(step),
            step,
            exit_code: state.exit_code,
            duration_ms: state.duration.as_millis() as u64,
            snapshot: state.snapshot.clone(),
            status,
            reason: state.reason.clone(),
            observed: state.observed.is_some(),
            ts: Timestamp::now(),
        }];
        events.extend(self.chain_failed(step));
        let state = &mut self.steps[step as usize];
        if state.draining > 0 {
            state.held_end = Some(events);
        } else {
            out.push(Entry::End { step, events });
        }
    }

    fn chain_failed(&self, step: StepId) -> Option<BuildEvent> {
        let state = &self.steps[step as usize];
        let key = one_line(&self.setting.plan.steps[step as usize].key);
        let code = state.exit_code;
        let message = match (state.status?, code) {
            (StepStatus::TimedOut, _) => format!("step '{key}' timed out"),
            (StepStatus::Failed, Some(code)) => format!("step '{key}' exited with code {code}"),
            (StepStatus::Failed, None) => format!("step '{key}' failed"),
            _ => return None,
        };
        Some(BuildEvent::ChainFailed {
            chain_idx: self.chains.chain[step as usize],
            failed_step_id: self.step_id(step),
            failed_step_key: key,
            exit_code: code.unwrap_or(1),
            message,
            ts: Timestamp::now(),
        })
    }

    fn notice(&mut self, notice: wit::Notice, out: &mut Vec<Entry>) -> Result<(), Fault> {
        if let Some(step) = notice.step {
            self.get("notice", step)?;
        }
        let level = match notice.level {
            wit::Level::Info => Level::Info,
            wit::Level::Warning => Level::Warning,
            wit::Level::Error => Level::Error,
        };
        let message = bounded("a message", &notice.message, MESSAGE_MAX)?;
        self.count_free_event(message.len())?;
        out.push(self.note(notice.step, level, message));
        Ok(())
    }

    /// Makes a notice of the host or the guest.
    pub(crate) fn note(&self, step: Option<StepId>, level: Level, message: String) -> Entry {
        let step_id = step.map(|step| self.step_id(step));
        Entry::Event(BuildEvent::Notice {
            step_id,
            step,
            level,
            message,
            ts: Timestamp::now(),
        })
    }

    fn custom(&mut self, custom: wit::Custom, out: &mut Vec<Entry>) -> Result<(), Fault> {
        let name = bounded("a custom name", &custom.name, 64)?;
        if custom.json.len() > CUSTOM_MAX {
            return Err(Violation(format!(
                "custom data of {} bytes, at most {CUSTOM_MAX}",
                custom.json.len()
            ))
            .into());
        }
        if depth(&custom.json) > CUSTOM_DEPTH {
            return Err(Violation(format!(
                "custom data of `{name}` is nested deeper than {CUSTOM_DEPTH}"
            ))
            .into());
        }
        self.count_free_event(custom.json.len())?;
        // What the parser makes is written again, so nothing passes unread.
        let data: serde_json::Value = serde_json::from_str(&custom.json)
            .map_err(|error| Violation(format!("custom data of `{name}` is no JSON: {error}")))?;
        let data = harmless(data);
        out.push(Entry::Event(BuildEvent::Custom { name, data }));
        Ok(())
    }

    fn count_free_event(&mut self, bytes: usize) -> Result<(), Fault> {
        self.free_events += 1 + (bytes / FREE_BYTES) as u64;
        if self.free_events > self.setting.limits.free_events {
            return Err(Fault::Limit(LimitHit::of("notices", &self.setting.limits)));
        }
        Ok(())
    }
}

/// Returns how deep arrays and objects lie in each other. Text in strings does not count.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut is_escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
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
