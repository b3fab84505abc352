//! The login in a browser on this machine, or on any other: the browser parks a token at
//! the service under a name that only we know, and tells us so on loopback if it can.

use std::time::Duration;

use hm_cloud_api::Token;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::super::Context;
use crate::cloud::{Bearer, Client, Gone, open_browser};
use crate::failure::{Exit, Failure};

/// Time to log in to the dashboard, second factor and all; and to the token once the browser
/// has come back.
const PATIENCE: Duration = Duration::from_secs(180);
const PARKED: Duration = Duration::from_secs(60);

/// Between two questions to the service, before the browser has come back and after.
const SELDOM: Duration = Duration::from_secs(3);
const OFTEN: Duration = Duration::from_millis(750);

pub(super) async fn login(context: &Context<'_>, client: &Client) -> Result<Bearer, Failure> {
    // Asked first: whether there is a service at all.
    let version = client.version().await?;
    let nonce = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .map_err(|error| Failure::caused(Exit::Unavailable, "cannot listen on loopback", error))?;
    let port = listener
        .local_addr()
        .map_err(|error| Failure::caused(Exit::Unavailable, "cannot listen on loopback", error))?
        .port();
    let url = format!(
        "{}/cli-login?port={port}&nonce={nonce}",
        context.account.app
    );
    super::tell(&format!("log in on this page:\n  {url}\n"));
    open_browser(&url);
    let path = version.path(&["auth", "cli", "claim"]);
    let mut deadline = Instant::now() + PATIENCE;
    let mut pause = SELDOM;
    let back = callback(&listener);
    tokio::pin!(back);
    let mut is_back = false;
    loop {
        tokio::select! {
            () = &mut back, if !is_back => {
                is_back = true;
                pause = OFTEN;
                deadline = Instant::now() + PARKED;
            }
            () = sleep(pause) => {}
        }
        match client.post::<Token>(&path, &json!({"nonce": nonce})).await {
            Ok(token) => {
                if !is_back {
                    // The browser may be about to come: it gets its page.
                    let _ = timeout_at(Instant::now() + OFTEN, &mut back).await;
                }
                return Bearer::new(&token.token, "the service's answer");
            }
            Err(Gone::Refused(error)) if error.is("cli_code_invalid") => {}
            Err(gone) => return Err(gone.into()),
        }
        if Instant::now() >= deadline {
            return Err(Failure::new(Exit::Code(3), "nobody logged in in time")
                .hint("`hm cloud login` tries again; `--paste` takes a code from any browser"));
        }
    }
}

/// Waits until the browser is sent back to us. What it says is not believed: the service is
/// asked for the token.
async fn callback(listener: &TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let answered = timeout_at(Instant::now() + Duration::from_secs(5), answer(stream));
                if let Ok(Ok(true)) = answered.await {
                    return;
                }
            }
            Err(_) => sleep(OFTEN).await,
        }
    }
}

/// Answers one request; true if it was the browser's return.
async fn answer(mut stream: TcpStream) -> std::io::Result<bool> {
    /// More than any browser's first line and headers.
    const MOST: u64 = 64 << 10;
    let mut line = String::new();
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader.take(MOST));
    reader.read_line(&mut line).await?;
    // The rest of the head, so that the browser is not cut off while it talks.
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).await? <= 2 {
            break;
        }
    }
    let is_back = line.starts_with("GET /callback") || line.starts_with("GET /?");
    let (status, text) = if is_back {
        (
            "200 OK",
            "You are logged in. Close this page, and go back to your terminal.",
        )
    } else {
        ("404 Not Found", "There is nothing here.")
    };
    let page = format!("<!doctype html><meta charset=utf-8><title>hm</title><p>{text}");
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        page.len()
    );
    writer.write_all(head.as_bytes()).await?;
    writer.write_all(page.as_bytes()).await?;
    writer.shutdown().await?;
    Ok(is_back)
}
