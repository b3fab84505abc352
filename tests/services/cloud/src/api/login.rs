//! Logins: a token that a browser parks under a nonce, or a code to be typed.

use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION};
use serde_json::json;

use crate::answer::{self, Answer, value};
use crate::error::Refused;
use crate::incoming::Incoming;
use crate::service::Service;
use crate::token;

pub(crate) fn claim(service: &Service, incoming: &Incoming) -> Result<Answer, Refused> {
    take(service, incoming.text("nonce"))
}

pub(crate) fn redeem(service: &Service, incoming: &Incoming) -> Result<Answer, Refused> {
    take(service, incoming.text("code"))
}

fn take(service: &Service, key: Option<&str>) -> Result<Answer, Refused> {
    let mut world = service.world();
    let token = key.and_then(|key| world.parked.remove(key));
    let token = token.ok_or_else(Refused::cli_code_invalid)?;
    Ok(value(StatusCode::OK, &json!({"token": token})))
}

/// For the dashboard: makes a code to be typed.
pub(crate) fn code(service: &Service) -> Answer {
    let code = token::session()[..16].to_owned();
    park(service, &code);
    value(StatusCode::OK, &json!({"code": code}))
}

/// For the dashboard: parks a token under the nonce of a program.
pub(crate) fn transfer(service: &Service, incoming: &Incoming) -> Answer {
    park(service, incoming.text("nonce").unwrap_or_default());
    value(StatusCode::OK, &json!({"status": "ok"}))
}

fn park(service: &Service, key: &str) {
    let token = token::session();
    let mut world = service.world();
    world.tokens.push(token.clone());
    world.parked.insert(key.to_owned(), token);
}

/// The page that a login opens, with somebody who is logged in and agrees at once.
pub(crate) fn dashboard(service: &Service, incoming: &Incoming) -> Answer {
    let port = incoming
        .query("port")
        .and_then(|port| port.parse::<u16>().ok());
    match (port, incoming.query("nonce")) {
        (Some(port), Some(nonce)) => {
            park(service, nonce);
            let mut answer = answer::text(StatusCode::FOUND, "going back to your terminal");
            let place = format!("http://127.0.0.1:{port}/callback?nonce={nonce}");
            if let Ok(place) = HeaderValue::from_str(&place) {
                answer.headers_mut().insert(LOCATION, place);
            }
            answer
        }
        _ => {
            let code = token::session()[..16].to_owned();
            park(service, &code);
            answer::text(StatusCode::OK, &format!("your code: {code}\n"))
        }
    }
}
