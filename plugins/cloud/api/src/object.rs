//! Objects, with the fields of both versions. Times stay as the service writes them
//! (RFC 3339, UTC).

use serde::{Deserialize, Serialize};

use crate::state::{BuildState, JobState};

/// One page of a list. A cursor that the service does not like leads to the first page
/// again: who follows cursors must notice what repeats.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Page<T> {
    /// In the list's order.
    pub data: Vec<T>,
    /// Leads to the next page, if there is one.
    #[serde(default = "none")]
    pub next_cursor: Option<String>,
}

fn none() -> Option<String> {
    None
}

/// Who is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct User {
    /// The identifier in v1. A service of both versions has both names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The identifier in v0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Always there.
    pub email: String,
    /// As people call them.
    #[serde(default)]
    pub name: Option<String>,
    /// The organization of this user alone.
    #[serde(default)]
    pub personal_org_slug: Option<String>,
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Organization {
    /// Names it in paths.
    pub slug: String,
    /// For people.
    pub name: String,
    /// Its home page.
    #[serde(default)]
    pub url: Option<String>,
    /// When it was made.
    #[serde(default)]
    pub created_at: Option<String>,
}

/// A pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Pipeline {
    /// Names it in paths. Made by the service: never computed here.
    pub slug: String,
    /// For people.
    pub name: String,
    /// Free text, often an address.
    #[serde(default)]
    pub repository: Option<String>,
    /// `owner/repo`.
    #[serde(default)]
    pub repo_name: Option<String>,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// Of the repository.
    #[serde(default)]
    pub default_branch: Option<String>,
    /// `private` or `public`.
    #[serde(default)]
    pub visibility: Option<String>,
    /// Whether builds may be submitted by hand.
    #[serde(default = "yes")]
    pub allow_manual: bool,
    /// When it was made.
    #[serde(default)]
    pub created_at: Option<String>,
}

fn yes() -> bool {
    true
}

/// A build.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Build {
    /// Counted per pipeline.
    pub number: u64,
    /// As of the last job that finished.
    pub state: BuildState,
    /// The pipeline, by its slug.
    pub pipeline_slug: String,
    /// What started it: `api`, `ui`, …
    #[serde(default)]
    pub source: Option<String>,
    /// As submitted.
    #[serde(default)]
    pub branch: Option<String>,
    /// As submitted.
    #[serde(default)]
    pub commit: Option<String>,
    /// As submitted.
    #[serde(default)]
    pub message: Option<String>,
    /// Why it failed, for programs; an open set.
    #[serde(default)]
    pub error_code: Option<String>,
    /// Why it failed, for people.
    #[serde(default)]
    pub error_message: Option<String>,
    /// When it was submitted.
    #[serde(default)]
    pub created_at: Option<String>,
    /// When it ended. When it started is not told by the service.
    #[serde(default)]
    pub finished_at: Option<String>,
}

/// A job: one step of a build.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Job {
    /// A UUID.
    pub id: String,
    /// The step's key.
    #[serde(default)]
    pub step_key: Option<String>,
    /// The step's label.
    #[serde(default)]
    pub name: Option<String>,
    /// What it runs.
    #[serde(default)]
    pub command: Option<String>,
    /// How far it is.
    pub state: JobState,
    /// Null where a signal ended it, and often where it passed.
    #[serde(default)]
    pub exit_code: Option<i64>,
    /// It failed, and the build goes on as if it had not.
    #[serde(default)]
    pub soft_failed: bool,
    /// Why it failed, for programs; an open set.
    #[serde(default)]
    pub error_code: Option<String>,
    /// Why it failed, for people.
    #[serde(default)]
    pub error_message: Option<String>,
    /// Jobs that it waits for, of both kinds of edges.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// When it started to run.
    #[serde(default)]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(default)]
    pub finished_at: Option<String>,
}

/// All jobs of a build, in topological order. There are no pages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct JobList {
    /// The jobs.
    pub data: Vec<Job>,
}

/// Opens the log streams of one build.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct LogToken {
    /// Opaque.
    pub token: String,
    /// By the service's clock, which need not be ours.
    pub expires_at: String,
}

/// What a login gives.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Token {
    /// The bearer. Its shape means nothing.
    pub token: String,
}

/// What a pipeline is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CreatePipeline<'a> {
    /// The service makes the slug of it.
    pub name: &'a str,
    /// Free text.
    pub repository: &'a str,
    /// Of the repository.
    pub default_branch: &'a str,
    /// `owner/repo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo_name: Option<&'a str>,
}

/// What a build is made of. The environment is not part of it: the service ignores it
/// there, and reads it from the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CreateBuild<'a> {
    /// For submission by repository: `owner/repo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo_name: Option<&'a str>,
    /// For submission by repository: the pipeline's name in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_slug: Option<&'a str>,
    /// Recorded.
    pub branch: &'a str,
    /// Recorded.
    pub commit: &'a str,
    /// Recorded.
    pub message: Option<&'a str>,
    /// What started it: `api`.
    pub source: &'a str,
    /// A v0 IR document, as text.
    pub pipeline_ir: &'a str,
    /// A gzipped tar in padded base64. Always a real one: the service unpacks it.
    pub source_b64: &'a str,
}

/// What is left of an organization's credit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Balance {
    /// May be negative.
    pub balance_cents: i64,
}

/// A change of an organization's credit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Transaction {
    /// Negative for what was spent.
    pub amount_cents: i64,
    /// What made it: `stripe_topup`, `vm_lease_debit`, …
    pub source: String,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// When.
    pub created_at: String,
}

/// What an organization used within some days.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Usage {
    /// Processors times seconds.
    pub cpu_seconds: i64,
    /// Gigabytes times seconds.
    pub memory_gb_seconds: i64,
    /// Gigabytes times seconds.
    pub disk_gb_seconds: i64,
    /// What that costs.
    pub total_cents: i64,
}

/// Where to pay.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Checkout {
    /// A page of the payment provider.
    pub checkout_url: String,
}

/// What a coupon gave.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Credit {
    /// By it.
    pub credit_cents: i64,
    /// After it.
    pub balance_cents: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_version_is_read() {
        let v0: User = serde_json::from_str(r#"{"uuid":"u","email":"a@b"}"#).unwrap();
        let v1: User = serde_json::from_str(r#"{"id":"u","email":"a@b","name":null}"#).unwrap();
        assert_eq!((v0.uuid, v1.id), (Some("u".into()), Some("u".into())));
        let both: User = serde_json::from_str(r#"{"id":"u","uuid":"u","email":"a@b"}"#).unwrap();
        assert_eq!(both.id, both.uuid);
        let jobs = r#"{"data":[{"id":"j","state":"odd","new":1}],"next_cursor":null}"#;
        let jobs: JobList = serde_json::from_str(jobs).unwrap();
        assert!(!jobs.data[0].state.is_terminal());
        let page: Page<Pipeline> = serde_json::from_str(r#"{"data":[]}"#).unwrap();
        assert_eq!(page.next_cursor, None);
    }
}
