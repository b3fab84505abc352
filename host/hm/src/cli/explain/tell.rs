//! The explanation, for people and for programs.

use hm_render::clean_line;
use serde_json::{Value, json};

use super::past::Past;
use super::{Answer, Change, Explained, Outcome};

/// Characters of a value that people see; all of it stands in the JSON.
const SHOWN: usize = 60;
/// Changes that people see of one step.
const MOST: usize = 20;

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::NotAsked => "not_asked",
        }
    }
}

/// Returns the explanation for people.
pub(super) fn human(pipeline: &str, past: &Past, steps: &[Explained]) -> String {
    let mut text = match past.newest() {
        Some(run) => format!(
            "pipeline {}, last run {} at {}\n",
            clean_line(pipeline),
            run.id,
            run.started_at.strftime("%Y-%m-%d %H:%M:%SZ")
        ),
        None => format!("pipeline {}, never run\n", clean_line(pipeline)),
    };
    for step in steps {
        text += &format!("\n{}\n", clean_line(&step.step));
        if let Some(last) = &step.last {
            let word = match last.outcome {
                Outcome::Hit => "hit",
                Outcome::Miss => "missed",
                Outcome::NotAsked => "not asked",
            };
            answer(&mut text, "last run", word, last);
        }
        let word = match step.now.outcome {
            Outcome::Hit => "would hit",
            Outcome::Miss => "would miss",
            Outcome::NotAsked => "not asked",
        };
        answer(&mut text, "now", word, &step.now);
    }
    text
}

fn answer(text: &mut String, when: &str, word: &str, answer: &Answer) {
    *text += &format!("  {when:<8}  {word}: {}\n", answer.reason);
    for change in answer.changes.iter().take(MOST) {
        *text += &format!("            {}\n", line(change));
    }
    if let Some(more @ 1..) = answer.changes.len().checked_sub(MOST) {
        *text += &format!("            and {more} more\n");
    }
}

fn line(change: &Change) -> String {
    let mut text = change.what.to_owned();
    if let Some(name) = &change.name {
        text += &format!(" {}", clean_line(name));
    }
    if let Some(step) = &change.step {
        text += &format!(" of {}", clean_line(step));
    }
    let value = |value: &Option<String>| match value {
        None => "none".to_owned(),
        Some(value) => {
            let clean = clean_line(value);
            match clean.char_indices().nth(SHOWN) {
                Some((end, _)) => format!("`{}…`", &clean[..end]),
                None => format!("`{clean}`"),
            }
        }
    };
    format!("{text}: {} → {}", value(&change.from), value(&change.to))
}

/// Returns the explanation as one JSON object on a line.
pub(super) fn json(pipeline: &str, past: &Past, steps: &[Explained]) -> String {
    let steps: Vec<_> = steps
        .iter()
        .map(|step| {
            json!({
                "step": step.step,
                "last": step.last.as_ref().map(value),
                "now": value(&step.now),
            })
        })
        .collect();
    let all = json!({
        "pipeline": pipeline,
        "run": past.newest().map(|run| &run.id),
        "started_at": past.newest().map(|run| run.started_at),
        "steps": steps,
    });
    format!("{all}\n")
}

fn value(answer: &Answer) -> Value {
    let changes: Vec<_> = answer
        .changes
        .iter()
        .map(|change| {
            json!({
                "what": change.what, "step": change.step, "name": change.name,
                "from": change.from, "to": change.to,
            })
        })
        .collect();
    json!({
        "outcome": answer.outcome.word(), "reason": answer.reason, "changes": changes,
    })
}
