//! The task of a build: from the request to the outcome, and nothing left behind.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hm_plugin_protocol::{BuildEvent, BuildOutcome, BuildStatus, Plan, PlanGraph};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Lent, Session, conversion};
use crate::api::{
    BackendError, BackendHandle, CancelReason, Refused, Result, RunRequest, Wish, raise,
};
use crate::capability::http::HttpSession;
use crate::capability::source::SourceTree;
use crate::capability::vm::{VmRequest, VmSession};
use crate::component::{ComponentBackend, Interface, Limits, Ready, Runtime};
use crate::sequencer::{Entry, Ledger, Setting, Verdict, sequence};
use crate::session::instance::{self, Ended};

/// Batches between the guest or a machine and the sequencer, and events between the
/// sequencer and the reader: enough to keep both busy, little enough to hold memory flat
/// (a batch of output is 128 KiB at most).
const QUEUE: usize = 32;
/// How long output that was already printed may take to be read after the end.
const DRAIN: Duration = Duration::from_secs(10);

/// Everything that the task of a build owns.
struct Build {
    session: Arc<Session>,
    runtime: Arc<Runtime>,
    ready: Ready,
    request: RunRequest,
    wish: Arc<watch::Sender<Wish>>,
    queue: mpsc::Receiver<Vec<Entry>>,
    events: mpsc::Sender<BuildEvent>,
    timeout: Duration,
    asks_vm: bool,
    /// Names of those whose values the backend is handed.
    secrets: BTreeSet<String>,
}

/// Starts a build and returns once the backend has taken it.
pub(crate) async fn start(
    backend: &ComponentBackend,
    mut request: RunRequest,
) -> Result<BackendHandle> {
    let limits = backend.limits().clone();
    request.plan.apply_env(&request.env);
    if let Some(name) = request.secrets.missing(&request.plan) {
        return Err(BackendError::Rejected {
            code: "no-secret".into(),
            message: format!("a step wants the secret `{name}`, and there is none of that name"),
        });
    }
    request.options.parallelism = request.options.parallelism.max(1);
    let (wish, wishes) = watch::channel(Wish::Run);
    let wish = Arc::new(wish);
    let (queue_sender, queue) = mpsc::channel(QUEUE);
    let (events, event_stream) = mpsc::channel(QUEUE);
    let session = session(backend, &request, &limits, queue_sender, wishes);
    let timeout = request
        .options
        .timeout
        .or(request.plan.timeout)
        .unwrap_or(limits.build);
    let build = Build {
        session,
        runtime: backend.runtime().clone(),
        ready: backend.ready().clone(),
        request,
        wish: wish.clone(),
        queue,
        events,
        timeout,
        asks_vm: backend.asks_vm(),
        secrets: backend.grants().secrets.clone(),
    };
    let (started_sender, started) = oneshot::channel();
    let task = tokio::spawn(build.run(started_sender));
    let handle = BackendHandle::new(event_stream, wish, task);
    match started.await {
        Ok(()) => Ok(handle),
        // The task ended without a build: its result says why.
        Err(_) => {
            let (_, control) = handle.into_parts();
            match control.wait().await {
                Err(error) => Err(error),
                Ok(_) => Err(BackendError::Other(
                    "the build ended before it began".into(),
                )),
            }
        }
    }
}

fn session(
    backend: &ComponentBackend,
    request: &RunRequest,
    limits: &Limits,
    queue: mpsc::Sender<Vec<Entry>>,
    wishes: watch::Receiver<Wish>,
) -> Arc<Session> {
    use crate::api::ExecutionBackend;
    let plan = Arc::new(request.plan.clone());
    let graph = Arc::new(PlanGraph::new(&plan));
    let lent = lend(backend, request, &plan, &graph);
    let ledger = Ledger::new(Setting {
        run_id: request.run_id,
        plan,
        graph,
        is_observer: false,
        watch: request.options.watch,
        limits: limits.clone(),
    });
    let session = Session::new(
        backend.name().to_owned(),
        ledger,
        queue,
        wishes,
        lent,
        request.options.parallelism,
        limits.clone(),
    );
    Arc::new(session.describing(backend.described()))
}

/// Gives the component what it imports of what was granted.
fn lend(
    backend: &ComponentBackend,
    request: &RunRequest,
    plan: &Arc<Plan>,
    graph: &Arc<PlanGraph>,
) -> Lent {
    let grants = backend.grants();
    let vm = grants.vm.clone().filter(|_| backend.asks_vm());
    let source = grants
        .source
        .as_ref()
        .filter(|_| backend.asks(Interface::Source));
    let state = vm.as_ref().map(|vm| vm.subsystem.state());
    let state = state.or(source.map(|source| &source.state));
    let tree = state.map(|state| {
        let root = request.repo_root.clone();
        let machines = vm.as_ref().map(|vm| vm.subsystem.clone());
        Arc::new(SourceTree::new(
            state.clone(),
            root,
            source.is_some(),
            machines,
        ))
    });
    let vm = vm.zip(tree.clone()).map(|(grant, source)| {
        VmSession::new(VmRequest {
            grant,
            plan: plan.clone(),
            graph: graph.clone(),
            repo_root: request.repo_root.clone(),
            class: backend.class().to_owned(),
            no_cache: request.options.no_cache,
            parallelism: request.options.parallelism,
            keys: request.options.keys.clone(),
            source,
            readable: grants.secrets.clone(),
            limits: grants.limits.clone(),
        })
    });
    let http = grants
        .http
        .clone()
        .filter(|_| backend.asks(Interface::Http));
    Lent {
        digest: backend.digest().to_owned(),
        vm,
        source: tree,
        secrets: request.secrets.clone(),
        http: http.map(|grant| Arc::new(HttpSession::new(grant, &grants.limits))),
    }
}

impl Build {
    /// Runs the build to its end. `started` is told when the backend has taken it; else the
    /// result is why it has not, and no event was sent.
    async fn run(self, started: oneshot::Sender<()>) -> Result<BuildOutcome> {
        let Self {
            session,
            runtime,
            ready,
            request,
            wish,
            queue,
            events,
            timeout,
            asks_vm,
            secrets,
        } = self;
        let mask = session.mask().cloned();
        let sequencer = tokio::spawn(sequence(request.run_id, queue, events, mask));
        let clock = tokio::spawn({
            let wish = wish.clone();
            async move {
                tokio::time::sleep(timeout).await;
                raise(&wish, Wish::Cancel(CancelReason::TimedOut));
            }
        });
        let guest = conversion::request(&request, &secrets);
        let (taken_sender, taken) = oneshot::channel();
        let running = instance::run(&runtime, &ready, &session, guest, asks_vm, taken_sender);
        let (ended, has_begun) = forward(running, taken, started).await;
        clock.abort();
        // The store is gone: every machine with it, and soon every command's output.
        session.pumps.close();
        if tokio::time::timeout(DRAIN, session.pumps.wait())
            .await
            .is_err()
        {
            tracing::warn!("the output of a command did not end; what is left of it is not shown");
        }
        let ended = session.add_largest(ended).await;
        session.tell_dropped(session.diagnostics.dropped());
        let result = session.conclude(ended, timeout, has_begun);
        if has_begun {
            let verdict = match &result {
                Ok(verdict) => verdict,
                Err(error) => &Verdict::error(error),
            };
            let last = session.ledger().close(verdict);
            session.tell(last).await;
            // Ends with the last event; a slow reader is waited for.
            let _ = sequencer.await;
        } else {
            sequencer.abort();
        }
        if let Some(vm) = session.vm() {
            vm.settle().await;
        }
        result.map(|verdict| session.outcome(&verdict))
    }
}

/// Drives the instance and passes on that the backend has taken the build.
async fn forward(
    running: impl Future<Output = Ended>,
    mut taken: oneshot::Receiver<()>,
    started: oneshot::Sender<()>,
) -> (Ended, bool) {
    let mut running = std::pin::pin!(running);
    let (has_begun, ended) = tokio::select! {
        biased;
        has_begun = &mut taken => (has_begun.is_ok(), None),
        // A build can begin and end before anybody else has had a turn.
        ended = &mut running => (taken.try_recv().is_ok(), Some(ended)),
    };
    if has_begun {
        let _ = started.send(());
    }
    match ended {
        Some(ended) => (ended, has_begun),
        None => (running.await, has_begun),
    }
}

impl Session {
    /// Turns the end of the instance into a verdict that holds against what the host saw.
    fn conclude(&self, ended: Ended, timeout: Duration, has_begun: bool) -> Result<Verdict> {
        match self.wish() {
            Some(reason) if has_begun => return Ok(Verdict::cancelled(reason, timeout)),
            Some(CancelReason::Interrupted) => return Err(BackendError::Cancelled),
            Some(CancelReason::TimedOut) => return Err(BackendError::TimedOut(timeout)),
            None => {}
        }
        match ended {
            Ended::Outcome(status) => {
                let ledger = self.ledger();
                ledger
                    .judge(status)
                    .map_err(|violation| self.broke_protocol(violation))?;
                // What the host saw fail did so by itself; else the refusal is the news.
                let is_explained = status == BuildStatus::Passed || ledger.has_seen_a_failure();
                match self.refusals.all() {
                    refused if !is_explained && !refused.is_empty() => {
                        Err(self.refused_instead(refused, None))
                    }
                    _ => Ok(Verdict::claimed(status, ledger.is_submitted())),
                }
            }
            Ended::Error(error) if error.is_the_backends_word() && !self.refusals.is_empty() => {
                Err(self.refused_instead(self.refusals.all(), Some(error.to_string())))
            }
            // The subsystem's own error says more than what the guest made of it.
            Ended::Error(error) => Err(match self.vm().and_then(VmSession::take_failure) {
                Some(failure)
                    if !matches!(
                        error,
                        BackendError::Broken { .. } | BackendError::Rejected { .. }
                    ) =>
                {
                    BackendError::Vm(failure)
                }
                _ => error,
            }),
        }
    }

    /// Adds what takes the room to an error about a source tree that is too large: the
    /// component knows only a number.
    async fn add_largest(&self, ended: Ended) -> Ended {
        match (ended, self.source()) {
            (
                Ended::Error(BackendError::SourceTooLarge {
                    observed_bytes,
                    cap_bytes,
                    ..
                }),
                Some(tree),
            ) => Ended::Error(BackendError::SourceTooLarge {
                observed_bytes,
                cap_bytes,
                largest_paths: tree.largest().await,
            }),
            (ended, _) => ended,
        }
    }

    fn refused_instead(&self, refused: Vec<Refused>, said: Option<String>) -> BackendError {
        BackendError::Refused {
            name: self.backend().to_owned(),
            refused,
            said,
        }
    }

    fn outcome(&self, verdict: &Verdict) -> BuildOutcome {
        let ledger = self.ledger();
        BuildOutcome {
            build: ledger.build(),
            status: verdict.status,
            reason: verdict.reason.clone(),
            steps: ledger.results(),
            started_at: ledger.started_at(),
            finished_at: Timestamp::now(),
            watch_url: ledger.watch_url().map(|url| self.hide(url)),
            submitted: verdict.is_submitted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_build_that_ends_at_once_has_begun() {
        let (taken_sender, taken) = oneshot::channel();
        let (started_sender, mut started) = oneshot::channel();
        let running = async {
            let _ = taken_sender.send(());
            Ended::Outcome(BuildStatus::Passed)
        };
        let (_, has_begun) = forward(running, taken, started_sender).await;
        assert!(has_begun);
        assert!(started.try_recv().is_ok());
    }
}
