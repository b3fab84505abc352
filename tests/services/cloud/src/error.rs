//! Errors in the shape of the service's envelope.

use std::borrow::Cow;

use hyper::StatusCode;

/// What a handler refuses with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    /// The envelope's `type`.
    pub(crate) kind: Cow<'static, str>,
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: String,
}

impl Refused {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: &str) -> Self {
        Self {
            status,
            kind: kind.into(),
            code: code.into(),
            message: message.to_owned(),
        }
    }

    pub(crate) fn unauthorized() -> Self {
        let message = "Missing or invalid bearer token.";
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "unauthorized",
            message,
        )
    }

    /// `what` is the code's beginning, as `pipeline`.
    pub(crate) fn not_found(what: &str) -> Self {
        let (code, message) = match what {
            "organization" => (
                "organization_not_found",
                "No such organization, or you are not a member of it.",
            ),
            "pipeline" => ("pipeline_not_found", "No such pipeline."),
            "build" => ("build_not_found", "No such build."),
            _ => ("job_not_found", "No such job."),
        };
        Self::new(StatusCode::NOT_FOUND, "not_found", code, message)
    }

    pub(crate) fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "validation_failed",
            code,
            &message.into(),
        )
    }

    pub(crate) fn cli_code_invalid() -> Self {
        let message = "This CLI code is invalid, expired, or already used.";
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "cli_code_invalid",
            message,
        )
    }

    pub(crate) fn balance() -> Self {
        let message = "The organization's balance does not cover a build.";
        Self::new(
            StatusCode::PAYMENT_REQUIRED,
            "billing",
            "billing_insufficient_balance",
            message,
        )
    }

    pub(crate) fn manual_disabled() -> Self {
        let message = "This pipeline does not allow builds by hand.";
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "pipeline_manual_disabled",
            message,
        )
    }

    /// What a script wants refused.
    pub(crate) fn scripted(status: StatusCode, code: &str) -> Self {
        Self {
            status,
            kind: "api_error".into(),
            code: code.to_owned().into(),
            message: format!("The script refuses this with {code}."),
        }
    }
}
