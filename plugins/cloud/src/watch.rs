//! Watches a build: polls its jobs, follows their logs, and tells each thing once.
//!
//! Everything that waits is a future in one set. Nothing outside of the set waits for the
//! host to take an event: whoever does holds the line, and must go on being polled.

use std::pin::pin;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, FutureExt, LocalBoxFuture, pending, select};
use futures::stream::{FuturesUnordered, StreamExt};
use hm_backend_sdk::clock::{self, Instant};
use hm_backend_sdk::{
    BackendError, BuildEvent, BuildStatus, Cancellation, EventSink, Level, Notice, Plan, StepId,
    StepStarted,
};
use hm_cloud_api::{BuildState, Job};

use crate::cancel::cancel;
use crate::follow::{HasEnded, Logs, follow};
use crate::progress::{Next, Progress};
use crate::service::{Gone, Known, Service};
use crate::slots::{STREAMS, Slots};
use crate::tokens::Tokens;

/// Between two looks at the jobs: soon after something happened, and when nothing does.
const SOON: Duration = Duration::from_millis(300);
const CALM: Duration = Duration::from_millis(1500);

/// Jobs that are looked at as often as one is; a list of twice as many half as often.
const FEW: usize = 200;

/// How long the service may give no answer before the user is told, and before the watch
/// is given up. The build goes on in either case.
const UNEASY: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Between two looks at the build itself.
const SELDOM: Duration = Duration::from_secs(10);

/// How long a build may have no jobs: they are made together with it.
const JOBLESS: Duration = Duration::from_secs(8);

/// How long a build that has ended may show jobs that have not.
const UNSETTLED: Duration = Duration::from_secs(30);

/// How long the end of a cancelled build is waited for: running jobs get 10 s, and so does
/// this backend.
const LAST_WORDS: Duration = Duration::from_secs(8);

/// What runs steps, for display.
const RUNNER: &str = "cloud";

/// Whether a build is ours to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It was submitted here.
    Owner,
    /// It was there before.
    Spectator,
}

/// A build to watch.
pub(crate) struct Watched<'a> {
    pub(crate) service: &'a Service,
    pub(crate) known: &'a Known,
    /// For people.
    pub(crate) url: &'a str,
    pub(crate) plan: &'a Plan,
    pub(crate) events: &'a EventSink,
    pub(crate) role: Role,
}

/// Something that was waited for.
enum Done {
    Jobs(Result<Vec<Job>, Gone>),
    State(Option<BuildState>),
    Log(StepId, Result<(), String>),
    Cancelled,
    Flushed,
}

type Work<'a> = FuturesUnordered<LocalBoxFuture<'a, Done>>;

struct Watch<'a> {
    watched: &'a Watched<'a>,
    logs: &'a Logs<'a>,
    progress: Progress,
    /// Tells the log of each step that its job has ended.
    ends: Vec<Option<oneshot::Sender<()>>>,
    /// Steps whose log is told, and whose job has not been seen to end.
    complete: Vec<StepId>,
    pause: Duration,
    began: Instant,
    /// Since when the service does not answer.
    silent: Option<Instant>,
    is_silence_told: bool,
    /// Since when the build has ended and its jobs have not.
    unsettled: Option<Instant>,
    looked_at_build: Instant,
    is_cancelled: bool,
}

/// Watches the build to its end.
///
/// # Errors
/// The service refused, or did not answer for too long; the build may go on.
pub(crate) async fn watch(
    watched: &Watched<'_>,
    cancellation: &Cancellation,
) -> Result<BuildStatus, BackendError> {
    let logs = Logs {
        service: watched.service,
        tokens: Tokens::new(watched.service, watched.known),
        slots: Slots::new(STREAMS),
        events: watched.events,
    };
    for step in 0..watched.plan.steps.len() as StepId {
        watched.events.queue(BuildEvent::StepQueued(step));
    }
    let watch = Watch {
        watched,
        logs: &logs,
        progress: Progress::new(watched.plan),
        ends: watched.plan.steps.iter().map(|_| None).collect(),
        complete: Vec::new(),
        pause: SOON,
        began: Instant::now(),
        silent: None,
        is_silence_told: false,
        unsettled: None,
        looked_at_build: Instant::now(),
        is_cancelled: false,
    };
    watch.run(cancellation).await
}

impl<'a> Watch<'a> {
    async fn run(mut self, cancellation: &Cancellation) -> Result<BuildStatus, BackendError> {
        let mut work = Work::new();
        work.push(self.flush());
        work.push(self.look(Duration::ZERO));
        let mut wish = cancellation.requested().map(drop).boxed_local();
        let mut last = pending().boxed_local();
        while !self.progress.is_over() {
            let done = {
                let stop = pin!(select(&mut wish, &mut last));
                match select(work.next(), stop).await {
                    Either::Left((done, _)) => Either::Left(done),
                    Either::Right((Either::Left(_), _)) => Either::Right(true),
                    Either::Right((Either::Right(_), _)) => Either::Right(false),
                }
            };
            match done {
                Either::Left(Some(done)) => {
                    if let Err(error) = self.take(done, &mut work) {
                        drop(work);
                        self.give_up().await;
                        return Err(error);
                    }
                }
                Either::Left(None) => break,
                Either::Right(true) => {
                    wish = pending().boxed_local();
                    if self.watched.role == Role::Spectator {
                        return Err(BackendError::Cancelled);
                    }
                    self.is_cancelled = true;
                    last = clock::sleep(LAST_WORDS).boxed_local();
                    work.push(self.cancel());
                }
                Either::Right(false) => break,
            }
        }
        // What is dropped half-way must not hold the line.
        drop(work);
        self.watched.events.flush().await;
        if self.is_cancelled {
            return Ok(BuildStatus::Cancelled);
        }
        if self.progress.ran_out_of_time() {
            return Ok(BuildStatus::TimedOut);
        }
        Ok(self.watched.events.verdict())
    }

    /// Closes what is open: nobody watches it any more.
    async fn give_up(&mut self) {
        for ended in self.progress.abandon("nobody watches it any more") {
            self.watched.events.queue(BuildEvent::StepEnded(ended));
        }
        self.watched.events.flush().await;
    }

    fn flush(&self) -> LocalBoxFuture<'a, Done> {
        let events = self.watched.events;
        async move {
            events.flush().await;
            Done::Flushed
        }
        .boxed_local()
    }

    fn look(&self, after: Duration) -> LocalBoxFuture<'a, Done> {
        let Watched { service, known, .. } = *self.watched;
        async move {
            clock::sleep(after).await;
            Done::Jobs(service.jobs(known).await)
        }
        .boxed_local()
    }

    /// Asks for the build's own state, which is good only for telling that it has ended.
    fn look_at_build(&self) -> LocalBoxFuture<'a, Done> {
        let Watched { service, known, .. } = *self.watched;
        async move {
            let build = service.build(known, Duration::ZERO).await;
            Done::State(build.ok().map(|build| build.state))
        }
        .boxed_local()
    }

    fn cancel(&self) -> LocalBoxFuture<'a, Done> {
        let Watched { service, known, .. } = *self.watched;
        async move {
            cancel(service, known).await;
            Done::Cancelled
        }
        .boxed_local()
    }

    fn follow(&mut self, step: StepId, job: String) -> LocalBoxFuture<'a, Done> {
        let (sender, ended) = oneshot::channel::<()>();
        let has_ended: HasEnded = ended.map(drop).boxed_local().shared();
        self.ends[step as usize] = Some(sender);
        let logs = self.logs;
        async move { Done::Log(step, follow(logs, step, &job, has_ended).await) }.boxed_local()
    }

    fn notice(&self, step: Option<StepId>, level: Level, message: String) {
        let notice = Notice::new(level, message);
        let notice = match step {
            Some(step) => notice.about(step),
            None => notice,
        };
        self.watched.events.queue(BuildEvent::Notice(notice));
    }

    fn take(&mut self, done: Done, work: &mut Work<'a>) -> Result<(), BackendError> {
        match done {
            Done::Jobs(jobs) => self.jobs(jobs, work)?,
            Done::State(state) => self.state(state)?,
            Done::Log(step, told) => {
                if let Err(why) = told {
                    let message = format!(
                        "the log cannot be read to its end, and the step goes on being watched: \
                         {why}; {} shows it",
                        self.watched.url
                    );
                    self.notice(Some(step), Level::Warning, message);
                }
                self.complete.push(step);
                // Its job has ended, or is about to be seen to have.
                self.pause = SOON;
            }
            Done::Cancelled => self.pause = SOON,
            Done::Flushed => return Ok(()),
        }
        self.tell(work);
        Ok(())
    }

    fn jobs(
        &mut self,
        jobs: Result<Vec<Job>, Gone>,
        work: &mut Work<'a>,
    ) -> Result<(), BackendError> {
        match jobs {
            Ok(jobs) => {
                if std::mem::take(&mut self.is_silence_told) {
                    self.notice(None, Level::Info, "the service answers again".into());
                }
                self.silent = None;
                let count = jobs.len();
                self.pause = if self.progress.take(jobs) {
                    SOON
                } else {
                    (self.pause + self.pause / 2).min(CALM)
                };
                self.pause = self.pause.max(SOON * (count / FEW) as u32);
                self.hear_of_ends();
                if !self.progress.has_jobs() && self.began.elapsed() > JOBLESS {
                    return Err(self.jobless());
                }
            }
            Err(gone) => self.no_answer(gone)?,
        }
        // All is known, and only logs are waited for.
        if !self.progress.has_ended() {
            work.push(self.look(self.pause));
            if self.looked_at_build.elapsed() > SELDOM {
                self.looked_at_build = Instant::now();
                work.push(self.look_at_build());
            }
        }
        Ok(())
    }

    /// Lets every log know whose job has ended.
    fn hear_of_ends(&mut self) {
        for step in 0..self.ends.len() as StepId {
            self.hear_of_end(step);
        }
    }

    fn hear_of_end(&mut self, step: StepId) {
        if self.progress.has_job_ended(step) {
            drop(self.ends[step as usize].take());
        }
    }

    /// Decides how long to go on without an answer.
    fn no_answer(&mut self, gone: Gone) -> Result<(), BackendError> {
        let since = *self.silent.get_or_insert_with(Instant::now);
        let goes_on = |text: String| {
            format!(
                "{text}; the build may go on: {}, or `hm cloud build watch -p {} {}`",
                self.watched.url, self.watched.known.pipeline, self.watched.known.number
            )
        };
        if !gone.is_passing() || since.elapsed() > PATIENCE {
            return Err(match BackendError::from(gone) {
                BackendError::Transport(text) => BackendError::Transport(goes_on(text)),
                BackendError::Unavailable(text) => BackendError::Unavailable(goes_on(text)),
                BackendError::Unauthorized(text) => BackendError::Unauthorized(goes_on(text)),
                other => other,
            });
        }
        if since.elapsed() > UNEASY && !self.is_silence_told {
            self.is_silence_told = true;
            let message = format!("the service does not answer, hm goes on trying: {gone}");
            self.notice(None, Level::Warning, message);
        }
        self.pause = (self.pause * 2).clamp(SOON, 4 * CALM);
        Ok(())
    }

    /// Says that a build has no jobs and gets none.
    fn jobless(&self) -> BackendError {
        let Known { pipeline, number } = self.watched.known;
        BackendError::Unavailable(format!(
            "the service took build #{number} and made no jobs for it; \
             `hm cloud build show -p {pipeline} {number}` tells its state"
        ))
    }

    /// A build that has ended while its jobs have not is one that the service gave up.
    fn state(&mut self, state: Option<BuildState>) -> Result<(), BackendError> {
        let Some(state) = state else { return Ok(()) };
        if !state.is_terminal() || self.progress.has_ended() {
            self.unsettled = None;
            return Ok(());
        }
        let since = *self.unsettled.get_or_insert_with(Instant::now);
        if since.elapsed() < UNSETTLED || self.is_cancelled {
            return Ok(());
        }
        Err(BackendError::Unavailable(format!(
            "the service ended the build as {state} before its steps; {} tells more",
            self.watched.url
        )))
    }

    /// Tells all that can be told now.
    fn tell(&mut self, work: &mut Work<'a>) {
        let events = self.watched.events;
        loop {
            for step in std::mem::take(&mut self.complete) {
                match self.progress.end(step) {
                    Some(ended) => events.queue(BuildEvent::StepEnded(ended)),
                    None => self.complete.push(step),
                }
            }
            let Some(next) = self.progress.next() else {
                break;
            };
            match next {
                Next::Start { step, job } => {
                    events.queue(BuildEvent::StepStarted(self.started(step)));
                    let log = self.follow(step, job);
                    work.push(log);
                    self.hear_of_end(step);
                }
                Next::StartAndEnd { step } => {
                    events.queue(BuildEvent::StepStarted(self.started(step)));
                    self.complete.push(step);
                }
                Next::End { step } => self.complete.push(step),
            }
        }
        work.push(self.flush());
    }

    fn started(&self, step: StepId) -> StepStarted {
        let planned = &self.watched.plan.steps[step as usize];
        StepStarted::new(step, RUNNER).image(planned.image.clone())
    }
}
