//! `hm cloud whoami`: who is logged in.

use hm_cloud_api::User;

use super::{Context, shown};
use crate::cloud::Client;
use crate::failure::{Exit, Failure};

/// Show who is logged in
#[derive(clap::Args)]
pub(super) struct Args {}

pub(super) async fn run(context: &Context<'_>) -> Result<Exit, Failure> {
    let user = user(&context.client()?).await?;
    context.answer(&user, || {
        format!("{} at {}\n", described(&user), context.account.api)
    })
}

/// Asks the service who the token belongs to.
pub(super) async fn user(client: &Client) -> Result<User, Failure> {
    let version = client.version().await?;
    Ok(client.get(&version.path(&["user"])).await?)
}

/// Returns a user for people.
pub(super) fn described(user: &User) -> String {
    match &user.name {
        Some(name) if !name.is_empty() => format!("{} <{}>", shown(name), shown(&user.email)),
        _ => shown(&user.email),
    }
}
