//! Cancels a build at the service: never one that has ended, which that would spoil.

use std::time::Duration;

use hm_backend_sdk::{clock, log};
use hm_cloud_api::BuildState;

use crate::service::{Known, Service, pauses};

/// Within the time that the host leaves: 10 s.
const PATIENCE: Duration = Duration::from_secs(6);

/// Cancels the build as well as it goes.
pub(crate) async fn cancel(service: &Service, known: &Known) {
    if clock::timeout(PATIENCE, until_cancelled(service, known))
        .await
        .is_err()
    {
        log::warn("the service did not confirm that the build is cancelled");
    }
}

async fn until_cancelled(service: &Service, known: &Known) {
    let mut pauses = pauses();
    loop {
        match service.build(known, PATIENCE).await {
            // Asked before each try: a try whose answer was lost may have done it.
            Ok(build) if build.state.is_terminal() || build.state == BuildState::Canceling => {
                return;
            }
            Ok(_) => {}
            Err(gone) => {
                log::warn(format!(
                    "cannot look at the build before its cancel: {gone}"
                ));
                clock::sleep(pauses.next_pause()).await;
                continue;
            }
        }
        let path = service.of_build(known, &["cancel"]);
        let request = service.request(|client| client.put(path));
        match service.once::<serde_json::Value>(request).await {
            Ok(_) => return,
            Err(gone) if !gone.is_passing() => {
                log::warn(format!("the build cannot be cancelled: {gone}"));
                return;
            }
            Err(_) => clock::sleep(pauses.next_pause()).await,
        }
    }
}
