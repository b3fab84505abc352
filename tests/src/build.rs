//! A build as its JSON lines tell it.

use std::collections::BTreeMap;

use serde_json::Value;

/// A build, read from JSON lines. Reading checks what holds for every build: it has one
/// start and one end; a step is queued once, starts at most once and ends once; its output
/// lies between its start and its end; its id never changes.
#[derive(Debug)]
pub struct Build {
    /// Every line, in order.
    pub events: Vec<Value>,
    /// The verdict.
    pub status: String,
    /// Of the process, as the last event tells.
    pub exit_code: i32,
    /// Why, where the build says so.
    pub reason: Option<String>,
    steps: BTreeMap<String, StepRun>,
}

/// A step of a build.
#[derive(Debug, Default)]
pub struct StepRun {
    /// How it ended.
    pub status: String,
    /// Null where nothing ran.
    pub exit_code: Option<i64>,
    /// Why, where the status alone does not say it.
    pub reason: Option<String>,
    /// What it printed.
    pub lines: Vec<Line>,
    /// What it booted from, if it started.
    pub image: Option<String>,
    /// Key of the step that it builds in.
    pub parent: Option<String>,
    /// True if an earlier build's result stood in.
    pub is_cached: bool,
    /// What it was shown as.
    pub display_name: String,
    /// Position of its events among all.
    pub queued: usize,
    /// As above; none if it never started.
    pub started: Option<usize>,
    /// As above.
    pub ended: usize,
}

/// A line of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it was printed.
    pub stream: Stream,
    /// Without its end.
    pub text: String,
    /// True if it goes on in the next line of the channel.
    pub is_partial: bool,
}

/// A channel of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Build {
    /// Reads the lines.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let text = str::from_utf8(text).map_err(|error| format!("not UTF-8: {error}"))?;
        let mut reader = Reader::default();
        let mut events = Vec::new();
        for line in text.split_inclusive('\n') {
            let event: Value =
                serde_json::from_str(line).map_err(|error| format!("{error} in {line:.200}"))?;
            reader
                .event(events.len(), &event)
                .map_err(|problem| format!("{problem}: {line:.500}"))?;
            events.push(event);
        }
        if !reader.has_started {
            return Err("has no build_start".into());
        }
        let (status, exit_code, reason) = reader.end.ok_or("has no build_end")?;
        if let Some((key, _)) = reader.steps.iter().find(|(_, step)| step.ended == 0) {
            return Err(format!("step {key} has no end"));
        }
        Ok(Self {
            events,
            status,
            exit_code,
            reason,
            steps: reader.steps,
        })
    }

    /// Returns a step.
    ///
    /// # Panics
    /// If there is no such step.
    #[track_caller]
    pub fn step(&self, key: &str) -> &StepRun {
        self.steps
            .get(key)
            .unwrap_or_else(|| panic!("no step {key} among {:?}", self.keys()))
    }

    /// Returns the keys of all steps.
    pub fn keys(&self) -> Vec<&str> {
        self.steps.keys().map(String::as_str).collect()
    }

    /// Returns each step with its key, in the order of keys.
    pub fn steps(&self) -> impl Iterator<Item = (&str, &StepRun)> {
        self.steps.iter().map(|(key, step)| (key.as_str(), step))
    }

    /// Checks that these steps ended like this, and that all others passed.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn assert_ends(&self, others: &[(&str, &str, Option<i64>)]) {
        for (key, _, _) in others {
            self.step(key);
        }
        for (key, step) in self.steps() {
            let other = others.iter().find(|(other, _, _)| *other == key);
            let (status, code) =
                other.map_or(("passed", Some(0)), |&(_, status, code)| (status, code));
            assert_eq!(
                (step.status.as_str(), step.exit_code),
                (status, code),
                "step {key}: {step:#?}"
            );
        }
    }

    /// Checks that a step started only after another had ended.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn assert_order(&self, before: &str, after: &str) {
        let (first, second) = (self.step(before), self.step(after));
        let begin = second.started.unwrap_or(second.ended);
        assert!(
            first.ended < begin,
            "{after} started before {before} had ended"
        );
    }
}

impl StepRun {
    /// Returns what it printed to standard output, line by line.
    pub fn stdout(&self) -> Vec<&str> {
        self.on(Stream::Stdout)
    }

    /// Returns what it printed to standard error, line by line.
    pub fn stderr(&self) -> Vec<&str> {
        self.on(Stream::Stderr)
    }

    fn on(&self, stream: Stream) -> Vec<&str> {
        self.lines
            .iter()
            .filter(|line| line.stream == stream)
            .map(|line| line.text.as_str())
            .collect()
    }
}

#[derive(Default)]
struct Reader {
    has_started: bool,
    steps: BTreeMap<String, StepRun>,
    keys: BTreeMap<String, String>,
    end: Option<(String, i32, Option<String>)>,
}

impl Reader {
    fn event(&mut self, at: usize, event: &Value) -> Result<(), String> {
        if self.end.is_some() {
            return Err("an event after build_end".into());
        }
        match event["kind"].as_str().unwrap_or_default() {
            "notice" | "custom" => Ok(()),
            // A service says that it took the build before it starts.
            "build_accepted" if !self.has_started => Ok(()),
            "build_start" if !self.has_started => {
                self.has_started = true;
                Ok(())
            }
            "build_start" => Err("a second build_start".into()),
            _ if !self.has_started => Err("an event before build_start".into()),
            "step_queued" => self.queued(at, event),
            "build_end" => {
                let code = event["exit_code"]
                    .as_i64()
                    .and_then(|code| i32::try_from(code).ok());
                self.end = Some((
                    text(event, "status")?,
                    code.ok_or("no exit code")?,
                    optional(event, "reason"),
                ));
                Ok(())
            }
            kind @ ("step_start" | "step_log" | "step_cache_hit" | "step_end") => {
                self.of_step(kind, at, event)
            }
            "chain_failed" => Ok(()),
            other => Err(format!("unknown kind {other}")),
        }
    }

    fn queued(&mut self, at: usize, event: &Value) -> Result<(), String> {
        let (id, key) = (text(event, "step_id")?, text(event, "key")?);
        let step = StepRun {
            queued: at,
            parent: optional(event, "parent_key"),
            display_name: text(event, "display_name")?,
            ..StepRun::default()
        };
        if self.keys.insert(id, key.clone()).is_some() || self.steps.insert(key, step).is_some() {
            return Err("a step is queued twice".into());
        }
        Ok(())
    }

    fn of_step(&mut self, kind: &str, at: usize, event: &Value) -> Result<(), String> {
        let id = text(event, "step_id")?;
        let key = self.keys.get(&id).ok_or("a step that was not queued")?;
        let step = self
            .steps
            .get_mut(key)
            .ok_or("a step that was not queued")?;
        if step.ended != 0 {
            return Err("something of a step that has ended".into());
        }
        match kind {
            "step_start" if step.started.is_none() => {
                step.started = Some(at);
                step.image = optional(event, "image");
            }
            "step_start" => return Err("a second start".into()),
            "step_cache_hit" => step.is_cached = true,
            "step_log" if step.started.is_none() => return Err("output before the start".into()),
            "step_log" => {
                let stream = match event["stream"].as_str() {
                    Some("stdout") => Stream::Stdout,
                    Some("stderr") => Stream::Stderr,
                    _ => return Err("an unknown stream".into()),
                };
                let is_partial = event["partial"].as_bool().unwrap_or(false);
                step.lines.push(Line {
                    stream,
                    text: text(event, "line")?,
                    is_partial,
                });
            }
            _ => {
                step.ended = at;
                step.status = text(event, "status")?;
                step.exit_code = event["exit_code"].as_i64();
                step.reason = optional(event, "reason");
            }
        }
        Ok(())
    }
}

fn text(event: &Value, field: &str) -> Result<String, String> {
    optional(event, field).ok_or_else(|| format!("no `{field}`"))
}

fn optional(event: &Value, field: &str) -> Option<String> {
    event[field].as_str().map(str::to_owned)
}
