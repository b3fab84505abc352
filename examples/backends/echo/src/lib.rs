//! The smallest backend: reports every step as done, without running anything.

use hm_backend_sdk::{
    Backend, BackendError, BuildStatus, Cancellation, Capabilities, Description, EventSink,
    RunRequest, Turn, walk,
};

/// A type to hang the two functions on; a backend keeps nothing between builds.
#[derive(Debug)]
pub struct Echo;

impl Backend for Echo {
    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            // The work is done elsewhere: `hm` shows it as reported.
            capabilities: Capabilities::OBSERVER
                | Capabilities::HONORS_PARALLELISM
                | Capabilities::HONORS_KEEP_GOING,
        }
    }

    async fn run(
        request: RunRequest,
        events: EventSink,
        cancellation: Cancellation,
    ) -> Result<BuildStatus, BackendError> {
        walk(&request, &events, &cancellation, async |turn: Turn<()>| {
            let command = turn.step().command.clone();
            let step = turn.start("echo").await;
            step.stdout(format!("would run: {command}\n")).await;
            step.pass().await;
            Ok(())
        })
        .await
    }
}

hm_backend_sdk::export!(Echo);
