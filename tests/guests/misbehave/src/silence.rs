//! Builds that never answer.

use crate::stage::{Stage, for_ever};

pub(crate) async fn play(case: &str, mut stage: Stage) -> Option<Stage> {
    match case {
        // The stream ends, the outcome never comes.
        "outcome-never" => {
            stage.honest().await;
            let Stage {
                events, outcome, ..
            } = stage;
            drop(events);
            let _kept = outcome;
            for_ever().await
        }
        // All steps have ended, the stream has not, and no outcome comes.
        "stream-never-closed" => {
            stage.honest().await;
            let _kept = stage;
            for_ever().await
        }
        // Neither end is ever written to, and nobody is left who could.
        "exits" => {
            std::mem::forget(stage);
            None
        }
        // Both ends are dropped before a step was told; the outcome is then the default.
        "both-dropped" => {
            drop(stage);
            None
        }
        // Does nothing at all and does not listen to the host.
        "sleeps" => for_ever().await,
        _ => Some(stage),
    }
}
