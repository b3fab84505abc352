//! `hm cloud logout`: forgets the token of the present origin.

use serde_json::json;

use super::Context;
use crate::credentials::Credentials;
use crate::failure::{Exit, Failure};

/// Forget the stored token
#[derive(clap::Args)]
pub(super) struct Args {}

pub(super) fn run(context: &Context<'_>) -> Result<Exit, Failure> {
    let origin = &context.account.api;
    let was_there = Credentials::forget(&context.folders, origin.as_str())?;
    if std::env::var_os("HM_API_TOKEN").is_some_and(|token| !token.is_empty()) {
        context
            .terminal
            .warn("HM_API_TOKEN is set, and still logs you in");
    }
    context.answer(
        &json!({"origin": origin.as_str(), "logged_out": was_there}),
        || {
            if was_there {
                format!("logged out of {origin}\n")
            } else {
                format!("there was no login at {origin}\n")
            }
        },
    )
}
