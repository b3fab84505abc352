//! What the records of earlier runs say.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use hm_plugin_protocol::{BuildEvent, Plan, StepStatus};
use jiff::Timestamp;

use super::{Answer, Outcome, View, changes};
use crate::cli::runs;
use crate::failure::Failure;
use crate::run::record::{Ingredients, list};
use crate::run::{self, Prepared};

/// Runs of this pipeline in this repository, newest first.
pub(super) struct Past {
    runs: Vec<Run>,
}

/// One of them.
pub(super) struct Run {
    pub(super) id: String,
    pub(super) started_at: Timestamp,
    pub(super) view: View,
    folder: PathBuf,
}

impl Past {
    /// Reads the records. One that is broken, or of a run that was killed, is passed over.
    pub(super) fn read(prepared: &Prepared) -> Result<Self, Failure> {
        let folder = run::state(&prepared.folders)?.runs();
        let names = list(&folder);
        let runs = names.into_iter().rev().filter_map(|name| {
            let meta = runs::read(&folder, &name)?;
            let is_ours = meta.root == prepared.root
                && meta.pipeline == prepared.rendered.plan.pipeline
                && meta.finished_at.is_some();
            if !is_ours {
                return None;
            }
            let folder = folder.join(&name);
            let plan: Plan = read(&folder.join("plan.json"))?;
            let keys: Ingredients = read(&folder.join("keys.json"))?;
            Some(Run {
                id: name,
                started_at: meta.started_at,
                view: View::new(plan, keys, &meta.backend, meta.digest.as_deref()),
                folder,
            })
        });
        Ok(Self {
            runs: runs.collect(),
        })
    }

    /// Returns the last run.
    pub(super) fn newest(&self) -> Option<&Run> {
        self.runs.first()
    }

    /// Returns the runs that looked the step up, newest first.
    pub(super) fn lookups<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Run> {
        let runs = self.runs.iter();
        runs.filter(move |run| run.view.lookup(key).is_some())
    }

    /// Explains what the cache did for a step in the last run.
    pub(super) fn last(&self, key: &str) -> Option<Answer> {
        let last = self.newest()?;
        let Some(step) = last.view.step(key) else {
            return Some(Answer::new(Outcome::NotAsked, "the step was not there"));
        };
        if !step.is_cacheable() {
            return Some(Answer::new(Outcome::NotAsked, "no cache policy"));
        }
        if last.view.keys.no_cache {
            return Some(Answer::new(Outcome::NotAsked, "`--no-cache` was given"));
        }
        let Some((_, is_hit)) = last.view.lookup(key) else {
            return Some(Answer::new(Outcome::NotAsked, "it was not reached"));
        };
        if *is_hit {
            return Some(Answer::new(
                Outcome::Hit,
                "nothing changed since it was kept",
            ));
        }
        let before = self.lookups(key).find(|run| run.id != last.id);
        Some(match before {
            None => Answer::new(Outcome::Miss, "it had not been run before"),
            Some(before) => self.miss(key, &last.view, before),
        })
    }

    /// Says why nothing was, or is, found for a view of the step, next to an earlier run.
    pub(super) fn miss(&self, key: &str, view: &View, before: &Run) -> Answer {
        let changes = changes(&before.view, view, key);
        if changes.is_empty() {
            return Answer::new(Outcome::Miss, before.what_became_of(key));
        }
        Answer {
            outcome: Outcome::Miss,
            reason: "changed since the run before".to_owned(),
            changes,
        }
    }
}

impl Run {
    /// Says why nothing is kept of a step although nothing changed since this run.
    pub(super) fn what_became_of(&self, key: &str) -> &'static str {
        match self.end(key) {
            Some((StepStatus::Passed | StepStatus::CacheHit, true)) => {
                "its result was removed from the cache (pruned, cleared, or its files were lost)"
            }
            Some((StepStatus::Passed | StepStatus::CacheHit, false)) => {
                "its result had not been kept"
            }
            _ => "it had not passed the last time, and only what passed is kept",
        }
    }

    /// Returns how the step ended, and whether what it left behind was kept.
    fn end(&self, key: &str) -> Option<(StepStatus, bool)> {
        let events = BufReader::new(File::open(self.folder.join("events.jsonl")).ok()?);
        let index = self.view.position(key)?;
        events.lines().map_while(Result::ok).find_map(|line| {
            // Before the costly look: a log may be long.
            if !line.contains("step_end") {
                return None;
            }
            match serde_json::from_str(&line).ok()? {
                BuildEvent::StepEnd {
                    step,
                    status,
                    snapshot,
                    ..
                } if step as usize == index => Some((status, snapshot.is_some())),
                _ => None,
            }
        })
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
