//! Errors of the service, in one form whatever shape they came in.

use std::fmt;

use serde_json::Value;

/// Characters of a message that are kept of a body that is no JSON.
const QUOTED: usize = 200;

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// Of HTTP.
    pub status: u16,
    /// What to decide by; none where the answer came from something before the service.
    pub code: Option<String>,
    /// For people.
    pub message: String,
    /// For whoever operates the service.
    pub request_id: Option<String>,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The service wants a login, or another one.
    Unauthorized,
    /// The object is not there, or not for this user.
    NotFound,
    /// The path is not there: another service, or another version.
    NoSuchRoute,
    /// The service is overloaded, restarts, or fails: the same request may go well later.
    Unavailable,
    /// The body is over the service's limit.
    TooLarge,
    /// The request was understood and refused.
    Refused,
}

impl ApiError {
    /// Reads an answer: the envelope `{"error": {…}}`, the flat form of log streams, the
    /// framework's `{"errors": {"detail"}}`, or no JSON at all.
    pub fn read(status: u16, body: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let inner = if value["error"].is_object() {
            &value["error"]
        } else {
            &value
        };
        let text = |name: &str| inner[name].as_str().map(str::to_owned);
        let message = text("message")
            .or_else(|| value["errors"]["detail"].as_str().map(str::to_owned))
            .filter(|message| !message.trim().is_empty())
            .unwrap_or_else(|| quoted(status, body, &value));
        Self {
            status,
            code: text("code"),
            message,
            request_id: text("request_id"),
        }
    }

    /// Returns the kind.
    pub fn kind(&self) -> Kind {
        match (self.status, &self.code) {
            (401, _) => Kind::Unauthorized,
            // The envelope knows objects, the framework routes.
            (404, Some(_)) => Kind::NotFound,
            (404 | 405, None) => Kind::NoSuchRoute,
            (413, _) => Kind::TooLarge,
            (408 | 429, _) | (500.., _) => Kind::Unavailable,
            _ => Kind::Refused,
        }
    }

    /// Returns true if the code is this.
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Returns the next thing to type, if there is one.
    pub fn hint(&self) -> Option<&'static str> {
        let hint = match self.code.as_deref() {
            Some("billing_insufficient_balance") => {
                "`hm cloud billing balance` shows the credit, `hm cloud billing topup USD` adds some"
            }
            Some("pipeline_manual_disabled") => {
                "allow manual builds in the pipeline's settings on the dashboard, or submit to \
                 another one with `cloud.pipeline`"
            }
            Some("organization_not_found") => {
                "`hm cloud org list` shows yours; choose with `--org SLUG`, HM_ORG, or \
                 `hm cloud org switch SLUG`"
            }
            Some("pipeline_not_found") => "`hm cloud pipeline list` shows all",
            Some("build_not_found") => "`hm cloud build list -p SLUG` shows the newest",
            Some("job_not_found") => "`hm cloud job list -p SLUG -b NUMBER` shows all of a build",
            Some("cli_code_invalid") => {
                "codes are good for five minutes, once: run `hm cloud login` again"
            }
            _ => return self.general_hint(),
        };
        Some(hint)
    }

    fn general_hint(&self) -> Option<&'static str> {
        match self.kind() {
            Kind::Unauthorized => {
                Some("`hm cloud login` logs in; HM_API_TOKEN, where it is set, goes before that")
            }
            Kind::NoSuchRoute => {
                Some("this is not Harmont's interface: check HM_API_URL and `cloud.api_url`")
            }
            Kind::Unavailable => Some("try again in a while"),
            Kind::TooLarge => Some("keep large files out with .gitignore or .hmignore"),
            Kind::NotFound | Kind::Refused => None,
        }
    }
}

/// The beginning of a body that says nothing in a form that we know.
fn quoted(status: u16, body: &[u8], value: &Value) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.trim().lines().next().unwrap_or_default();
    // A page of a balancer says less than its status.
    if line.is_empty() || line.starts_with('<') || value.is_object() {
        return format!("the service answered with status {status}");
    }
    let kept: String = line.chars().take(QUOTED).collect();
    format!("the service answered with status {status}: {kept}")
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.trim_end_matches('.'))?;
        match (&self.code, &self.request_id) {
            (Some(code), Some(id)) if self.status >= 500 => {
                write!(f, " ({} {code}, request {id})", self.status)
            }
            (Some(code), _) => write!(f, " ({} {code})", self.status),
            (None, _) if self.message.contains(&self.status.to_string()) => Ok(()),
            (None, _) => write!(f, " ({})", self.status),
        }
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_says_the_same_things() {
        let envelope = br#"{"error":{"type":"not_found","code":"build_not_found","message":"No such build.","request_id":"r"}}"#;
        let error = ApiError::read(404, envelope);
        assert_eq!(error.kind(), Kind::NotFound);
        assert_eq!(error.to_string(), "No such build (404 build_not_found)");
        assert!(error.hint().unwrap().contains("build list"));
        let flat = br#"{"code":"log_stream_unauthorized","message":"expired"}"#;
        let error = ApiError::read(401, flat);
        assert_eq!(
            (error.kind(), error.code.as_deref()),
            (Kind::Unauthorized, Some("log_stream_unauthorized"))
        );
        let fallback = br#"{"errors":{"detail":"Not Found"}}"#;
        let error = ApiError::read(404, fallback);
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (Kind::NoSuchRoute, "Not Found (404)")
        );
    }

    #[test]
    fn what_is_no_json_is_told_by_its_status() {
        assert_eq!(
            ApiError::read(503, b"draining").to_string(),
            "the service answered with status 503: draining"
        );
        for body in [&b"<html>"[..], b"", b"{}", b"\xff\xfe"] {
            let error = ApiError::read(502, body);
            assert_eq!(error.kind(), Kind::Unavailable);
            assert!(
                error
                    .to_string()
                    .starts_with("the service answered with status 502"),
                "{error}"
            );
        }
    }
}
