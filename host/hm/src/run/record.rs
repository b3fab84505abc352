//! The record of a run on disk: `runs/ID/{meta.json,plan.json,keys.json,events.jsonl}`.
//!
//! A run holds a lock on its folder for as long as it lives, so that no other process
//! takes the folder away when old records are pruned.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use hm_plugin_protocol::{BuildEvent, Plan};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Records that stay.
const KEPT: usize = 100;

/// Bytes that are written at once at the least, while events keep coming.
const SPILL: usize = 256 << 10;

/// Bytes of output, read at one moment, above which their lines are kept as one object:
/// 1,000,000 lines of 80 bytes then take 85 MB and not 213 MB. What is read slower than
/// that stands in the record as `--format json` shows it.
const FLOOD: usize = 4 << 10;

/// Ends the name of a file that is being written, after the name of its record.
const UNFINISHED: &str = ".new";

/// What a run was and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// The run.
    pub(crate) run_id: Uuid,
    /// Slug of the pipeline.
    pub(crate) pipeline: String,
    /// The repository.
    pub(crate) root: PathBuf,
    /// Name of the backend.
    pub(crate) backend: String,
    /// Digest of a backend that is not built in.
    #[serde(default)]
    pub(crate) digest: Option<String>,
    /// Branch at the time.
    pub(crate) branch: String,
    /// Commit at the time.
    pub(crate) commit: String,
    /// The user's words.
    pub(crate) message: Option<String>,
    /// When it began.
    pub(crate) started_at: Timestamp,
    /// When it ended; none while it runs, or if it was killed.
    pub(crate) finished_at: Option<Timestamp>,
    /// Of the process; none while it runs, or if it was killed.
    pub(crate) exit_code: Option<i32>,
    /// Of hm.
    pub(crate) version: String,
}

/// What went into the keys of cached steps, besides the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ingredients {
    /// `--no-cache` was given.
    pub(crate) no_cache: bool,
    /// Name of the engine, if a key was made.
    pub(crate) engine: Option<String>,
    /// By the keys of root steps: image after `--image`, and its identity.
    pub(crate) images: BTreeMap<String, (String, String)>,
    /// By the keys of steps that were looked up: cache key, and whether it was found.
    pub(crate) lookups: BTreeMap<String, (String, bool)>,
    /// By the keys of steps that watch files: their hashes when the run began.
    pub(crate) watched: BTreeMap<String, BTreeMap<String, String>>,
}

impl Ingredients {
    /// Puts together what the host found out.
    pub(crate) fn of(plan: &Plan, keys: hm_exec::Keys, no_cache: bool) -> Self {
        let name = |step: u32| plan.steps.get(step as usize).map(|step| step.key.clone());
        Self {
            no_cache,
            engine: keys.engine,
            images: keys
                .images
                .into_iter()
                .filter_map(|(step, image)| Some((name(step)?, image)))
                .collect(),
            lookups: keys
                .lookups
                .into_iter()
                .filter_map(|(step, lookup)| Some((name(step)?, lookup)))
                .collect(),
            watched: BTreeMap::new(),
        }
    }
}

/// The record of the run that this process makes.
pub(crate) struct Record {
    folder: PathBuf,
    events: File,
    buffer: Vec<u8>,
    meta: Meta,
    /// Held as long as the run lives.
    _lock: File,
}

impl Record {
    /// Begins a record below `runs`, which exists.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn begin(runs: &Path, meta: Meta, plan: &Plan) -> io::Result<Self> {
        let folder = runs.join(meta.run_id.to_string());
        fs::create_dir(&folder)?;
        let lock = File::create(folder.join("lock"))?;
        lock.try_lock()?;
        write_json(&folder, "plan.json", plan)?;
        write_json(&folder, "meta.json", &meta)?;
        let events = File::create(folder.join("events.jsonl"))?;
        Ok(Self {
            folder,
            events,
            buffer: Vec::with_capacity(2 * SPILL),
            meta,
            _lock: lock,
        })
    }

    /// Writes what made the keys of cached steps, for `hm explain`.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn keys(&self, keys: &Ingredients) -> io::Result<()> {
        write_json(&self.folder, "keys.json", keys)
    }

    /// Takes an event.
    ///
    /// # Errors
    /// The file system's, a full disk for one.
    pub(crate) fn event(&mut self, event: &BuildEvent) -> io::Result<()> {
        match event {
            BuildEvent::StepLog(lines) if lines.text().len() > FLOOD => {
                lines.write_json_batch(&mut self.buffer);
            }
            event => event.write_json_lines(&mut self.buffer),
        }
        if self.buffer.len() >= SPILL {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Writes what was taken.
    ///
    /// # Errors
    /// The file system's. What could not be written is let go.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let written = self.events.write_all(&self.buffer);
        self.buffer.clear();
        written
    }

    /// Ends the record.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn finish(mut self, exit_code: i32) -> io::Result<()> {
        self.flush()?;
        self.meta.finished_at = Some(Timestamp::now());
        self.meta.exit_code = Some(exit_code);
        write_json(&self.folder, "meta.json", &self.meta)
    }
}

/// Writes a file whole or not at all. It grows beside the record's folder, where the next
/// start looks for what a killed process left.
fn write_json(folder: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    let mut unfinished = folder.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    let written =
        fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, folder.join(name)));
    if written.is_err() {
        // The error that is told is the first one.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

/// Removes the oldest records and what was being written by runs that were killed, never
/// anything of a run that lives.
pub(crate) fn prune(runs: &Path) {
    let mut names = list(runs);
    names.truncate(names.len().saturating_sub(KEPT));
    for name in names {
        let folder = runs.join(&name);
        if !lives(&folder) {
            // Another process may prune at the same time; what is left is left for later.
            let _ = fs::remove_dir_all(&folder);
        }
    }
    for entry in fs::read_dir(runs).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(run) = name.to_str().and_then(|name| name.strip_suffix(UNFINISHED)) else {
            continue;
        };
        if !lives(&runs.join(run)) {
            // As above.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Returns whether the process that makes a record still runs.
fn lives(folder: &Path) -> bool {
    File::open(folder.join("lock")).is_ok_and(|lock| lock.try_lock().is_err())
}

/// Returns the names of all records, oldest first: ids carry their time.
pub(crate) fn list(runs: &Path) -> Vec<String> {
    let entries = fs::read_dir(runs).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| Uuid::parse_str(name).is_ok())
        .collect();
    names.sort();
    names
}
