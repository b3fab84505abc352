//! `hm cloud login`: a token by way of the browser, a code, or standard input.

mod loopback;

use std::io::{Read, Write};

use hm_cloud_api::Token;
use serde_json::json;

use super::{Context, whoami};
use crate::cloud::{Bearer, Client, open_browser};
use crate::credentials::Credentials;
use crate::failure::{Exit, Failure};

/// Log in, through the browser unless told otherwise
#[derive(clap::Args)]
pub(super) struct Args {
    /// Type a code that the browser shows, here or on another machine
    #[arg(long, conflicts_with = "with_token")]
    paste: bool,
    /// Read a token from standard input
    #[arg(long)]
    with_token: bool,
}

pub(super) async fn run(args: &Args, context: &Context<'_>) -> Result<Exit, Failure> {
    let client = Client::anonymous(&context.account)?;
    let bearer = if args.with_token {
        from_input()?
    } else if args.paste {
        paste(context, &client).await?
    } else {
        loopback::login(context, &client).await?
    };
    // Asked before it is stored: a token that opens nothing would only be in the way.
    let user = whoami::user(&client.as_bearer(bearer.clone())).await?;
    let origin = &context.account.api;
    Credentials::store(&context.folders, origin.as_str(), bearer.expose())?;
    if std::env::var_os("HM_API_TOKEN").is_some_and(|token| !token.is_empty()) {
        context
            .terminal
            .warn("HM_API_TOKEN is set, and goes before what you have just stored");
    }
    context.answer(&json!({"origin": origin.as_str(), "user": user}), || {
        format!("logged in at {origin} as {}\n", whoami::described(&user))
    })
}

fn from_input() -> Result<Bearer, Failure> {
    /// More than any token has.
    const MOST: u64 = 64 << 10;
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(MOST)
        .read_to_string(&mut text)
        .map_err(|error| Failure::caused(Exit::Usage, "cannot read standard input", error))?;
    Bearer::new(&text, "standard input")
}

/// Exchanges a code that the browser shows, and that is good once, for five minutes.
async fn paste(context: &Context<'_>, client: &Client) -> Result<Bearer, Failure> {
    let url = format!("{}/cli-login?paste=true", context.account.app);
    let code = match std::env::var("HM_LOGIN_CODE") {
        Ok(code) if !code.trim().is_empty() => code,
        _ => ask(&url)?,
    };
    let version = client.version().await?;
    let path = version.path(&["auth", "cli", "redeem"]);
    let token: Token = client.post(&path, &json!({"code": code.trim()})).await?;
    Bearer::new(&token.token, "the service's answer")
}

fn ask(url: &str) -> Result<String, Failure> {
    tell(&format!(
        "open this page, and type the code that it shows:\n  {url}\ncode: "
    ));
    open_browser(url);
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    read.map_err(|error| Failure::caused(Exit::Usage, "cannot read the code", error))?;
    if line.trim().is_empty() {
        return Err(Failure::usage("no code was typed").hint(
            "without a terminal: HM_LOGIN_CODE=CODE `hm cloud login --paste`, or `--with-token`",
        ));
    }
    Ok(line)
}

/// Writes to standard error as it is, so that a question can stand at the end of its line.
fn tell(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // Nobody reads it where that fails.
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}
