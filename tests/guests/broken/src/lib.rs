//! A good backend, but for one fault. Its name is written into the compiled component, over
//! the marker below, and is that of the check which is to find it.

mod events;
mod step;

use hm_backend_sdk::{
    Backend, BackendError, BuildStatus, Cancellation, Capabilities, Description, EdgeKind,
    EventSink, Rejection, RunRequest, clock, walk,
};

/// Begins with the mark that is looked for, and has room for the longest name.
#[used]
static FAULT: [u8; 48] = *b"HM-FAULT:none                                   ";

/// Returns true if this is the backend's fault.
pub(crate) fn has_fault(name: &str) -> bool {
    // The compiler must not know what will be written there.
    let marker = std::hint::black_box(&FAULT);
    let text = std::str::from_utf8(&marker[9..]).unwrap_or_default();
    text.trim_end() == name
}

struct Broken;

impl Backend for Broken {
    fn describe() -> Description {
        let name = match has_fault("describes-itself") {
            true => "Not a Name!",
            false => "broken",
        };
        Description {
            name: name.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            capabilities: Capabilities::HONORS_PARALLELISM
                | Capabilities::HONORS_KEEP_GOING
                | Capabilities::REPORTS_CACHE_HITS,
        }
    }

    async fn check(_: &RunRequest) -> Result<(), BackendError> {
        if has_fault("takes-the-build") {
            let (code, message) = ("no".into(), "not today".into());
            return Err(BackendError::Rejected(Rejection { code, message }));
        }
        Ok(())
    }

    async fn run(
        mut request: RunRequest,
        events: EventSink,
        cancellation: Cancellation,
    ) -> Result<BuildStatus, BackendError> {
        if has_fault("does-not-crash") {
            panic!("as asked");
        }
        if has_fault("stays-within-limits") {
            std::hint::black_box(vec![1_u8; 600 << 20]);
        }
        if has_fault("takes-large-plans") && request.plan.steps.len() > 1000 {
            panic!("so many");
        }
        match () {
            () if has_fault("runs-steps-at-once") => request.options.parallelism = 1,
            () if has_fault("keeps-to-parallelism") => request.options.parallelism = 50,
            () if has_fault("keeps-going") => request.options.keep_going = false,
            () if has_fault("stops-at-a-failure") => request.options.keep_going = true,
            () if has_fault("waits-for-predecessors")
                && request.plan.steps.iter().any(|step| step.key == "join") =>
            {
                request
                    .plan
                    .edges
                    .retain(|edge| edge.kind == EdgeKind::BuildsIn);
            }
            () => {}
        }
        let needs: Vec<_> = request
            .plan
            .edges
            .iter()
            .map(|edge| (edge.before, edge.after))
            .collect();
        if has_fault("skips-dependents") {
            request
                .plan
                .edges
                .retain(|edge| edge.kind == EdgeKind::BuildsIn);
        }
        events::before_all(&events).await;
        let sink = events.clone();
        let status = walk(&request, &events, &cancellation, async |turn| {
            let id = turn.id();
            let before = needs.iter().filter(|(_, after)| *after == id);
            step::run(turn, &sink, before.map(|(before, _)| *before)).await
        })
        .await?;
        match status {
            BuildStatus::Cancelled if has_fault("stops-when-cancelled") => {
                clock::sleep(std::time::Duration::from_secs(3600)).await;
            }
            BuildStatus::TimedOut if has_fault("stops-when-time-is-over") => {
                clock::sleep(std::time::Duration::from_secs(3600)).await;
            }
            _ => {}
        }
        events::after_all(&request.plan, &events).await;
        Ok(match status {
            BuildStatus::Failed if has_fault("verdict-follows-from-steps") => BuildStatus::Passed,
            status => status,
        })
    }
}

hm_backend_sdk::export!(Broken);
