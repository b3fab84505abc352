//! What the service knows: one organization, its pipelines, their builds and jobs.

use std::collections::HashMap;

use bytes::Bytes;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::Oddities;
use crate::log::Log;
use crate::plan::{Plan, Planned};
use crate::state::{BuildState, JobState};

/// Everything, behind one lock.
pub(crate) struct World {
    pub(crate) user: Uuid,
    pub(crate) email: String,
    pub(crate) organization: Organization,
    /// Bearers that are let in.
    pub(crate) tokens: Vec<String>,
    /// Tokens parked by a browser, and codes to be pasted, each taken once.
    pub(crate) parked: HashMap<String, String>,
}

pub(crate) struct Organization {
    pub(crate) id: Uuid,
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    pub(crate) pipelines: Vec<Pipeline>,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) balance_cents: i64,
}

pub(crate) struct Transaction {
    pub(crate) id: Uuid,
    pub(crate) amount_cents: i64,
    pub(crate) source: &'static str,
    pub(crate) description: Option<String>,
    pub(crate) created_at: Timestamp,
}

#[derive(Clone)]
pub(crate) struct Pipeline {
    pub(crate) id: Uuid,
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) repository: String,
    pub(crate) repo_name: Option<String>,
    /// Only of those that the service discovered in a repository.
    pub(crate) source_slug: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) default_branch: String,
    pub(crate) allow_manual: bool,
    pub(crate) created_at: Timestamp,
    pub(crate) builds: Vec<Build>,
}

/// Names a build for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BuildAt {
    pub(crate) pipeline: usize,
    pub(crate) build: usize,
}

#[derive(Clone)]
pub(crate) struct Build {
    pub(crate) id: Uuid,
    pub(crate) number: u64,
    pub(crate) state: BuildState,
    /// Set by a cancel, and never taken back.
    pub(crate) is_cancelled: bool,
    pub(crate) source: String,
    pub(crate) branch: Option<String>,
    pub(crate) commit: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) error_code: Option<&'static str>,
    pub(crate) error_message: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) plan: Plan,
    /// As it came: a gzipped tar, one hopes.
    pub(crate) archive: Bytes,
    /// Ends every machine of the build.
    pub(crate) stop: CancellationToken,
}

#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) id: Uuid,
    pub(crate) state: JobState,
    pub(crate) exit_code: Option<i64>,
    pub(crate) error_code: Option<&'static str>,
    pub(crate) error_message: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) plan: Planned,
    pub(crate) log: Log,
}

impl Pipeline {
    /// One that was found in a repository, and is known by its name there.
    pub(crate) fn discovered(repo_name: &str, source_slug: &str) -> Self {
        Self {
            id: Uuid::new_v4(),
            slug: slug(&format!("{repo_name} {source_slug}")),
            name: source_slug.to_owned(),
            repository: format!("https://github.com/{repo_name}"),
            repo_name: Some(repo_name.to_owned()),
            source_slug: Some(source_slug.to_owned()),
            description: None,
            default_branch: "main".into(),
            allow_manual: true,
            created_at: Timestamp::now(),
            builds: Vec::new(),
        }
    }
}

impl Job {
    fn new(plan: Planned, now: Timestamp) -> Self {
        Self {
            id: Uuid::new_v4(),
            state: JobState::Pending,
            exit_code: None,
            error_code: None,
            error_message: None,
            created_at: now,
            started_at: None,
            finished_at: None,
            plan,
            log: Log::default(),
        }
    }
}

impl Build {
    /// A build without jobs, as it is before anybody has looked at its plan.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            id: Uuid::new_v4(),
            number: 0,
            state: BuildState::Scheduled,
            is_cancelled: false,
            source: "api".into(),
            branch: None,
            commit: None,
            message: None,
            error_code: None,
            error_message: None,
            created_at: now,
            finished_at: None,
            jobs: Vec::new(),
            plan: Plan::default(),
            archive: Bytes::new(),
            stop: CancellationToken::new(),
        }
    }

    pub(crate) fn plan(&mut self, plan: Plan, now: Timestamp) {
        let jobs = plan.jobs.iter().cloned();
        self.jobs = jobs.map(|planned| Job::new(planned, now)).collect();
        self.plan = plan;
    }

    /// Computes the state as the server does: when a job has finished, and at no other time.
    pub(crate) fn roll_up(&mut self, now: Timestamp, oddities: &Oddities) {
        let jobs = self.jobs.iter().map(|job| job.state);
        self.state = BuildState::roll_up(self.is_cancelled, jobs);
        if oddities.endless_canceling && self.state == BuildState::Canceled {
            self.state = BuildState::Canceling;
        }
        if self.state.is_terminal() && self.finished_at.is_none() {
            self.finished_at = Some(now);
        }
    }
}

impl World {
    pub(crate) fn new(organization: &str, token: &str, balance_cents: i64, now: Timestamp) -> Self {
        Self {
            user: Uuid::new_v4(),
            email: "ada@example.com".into(),
            organization: Organization {
                id: Uuid::new_v4(),
                slug: organization.to_owned(),
                name: "Acme".into(),
                created_at: now,
                pipelines: Vec::new(),
                transactions: vec![Transaction {
                    id: Uuid::new_v4(),
                    amount_cents: balance_cents,
                    source: "admin_grant",
                    description: Some("Welcome".into()),
                    created_at: now,
                }],
                balance_cents,
            },
            tokens: vec![token.to_owned()],
            parked: HashMap::new(),
        }
    }

    pub(crate) fn build(&self, at: BuildAt) -> &Build {
        &self.organization.pipelines[at.pipeline].builds[at.build]
    }

    pub(crate) fn build_mut(&mut self, at: BuildAt) -> &mut Build {
        &mut self.organization.pipelines[at.pipeline].builds[at.build]
    }

    /// Finds a job by its id, wherever it is.
    pub(crate) fn job(&self, id: Uuid) -> Option<(&Build, &Job)> {
        let builds = self
            .organization
            .pipelines
            .iter()
            .flat_map(|pipeline| &pipeline.builds);
        // Tests have few builds, and look at the latest.
        builds.rev().find_map(|build| {
            let job = build.jobs.iter().find(|job| job.id == id)?;
            Some((build, job))
        })
    }
}

/// Makes a slug of a name; empty if nothing of the name can stand in one.
pub(crate) fn slug(name: &str) -> String {
    let lower = name.to_lowercase();
    let words =
        lower.split(|letter: char| !letter.is_ascii_lowercase() && !letter.is_ascii_digit());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_made_as_on_the_server() {
        assert_eq!(slug("  My (first) Pipeline!"), "my-first-pipeline");
        assert_eq!(slug("ci"), "ci");
        assert_eq!(slug("§ ñ"), "");
    }
}
