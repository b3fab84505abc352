//! Prints what a line of output costs in each format, beside the bare copy of its
//! bytes: `cargo run --release --example throughput [LINES]`. Of five rounds the best
//! counts, so that a busy machine does not.

#![allow(
    clippy::print_stdout,
    reason = "printing the table is what this program is for"
)]

use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use hm_plugin_protocol::{BuildEvent, LogLines, LogStream, Plan, Step};
use hm_render::{Human, Json, Options, Plain, Renderer};
use jiff::Timestamp;
use uuid::Uuid;

/// As the session reads: 64 KiB at a time.
const BATCH_LINES: usize = 800;

const ROUNDS: usize = 5;

fn main() -> io::Result<()> {
    let lines = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(1_000_000);
    let digits = format!("{:079}\n", 7);
    let colours = format!("\x1b[32m{:070}\x1b[0m\n", 7);
    let quotes = format!("{}\n", "\"a\\b\" ".repeat(13));
    println!("{lines} lines of 80 bytes to /dev/null, ns a line");
    let text = digits.repeat(BATCH_LINES);
    let copied = best(|| {
        let mut null = null()?;
        let mut copy = Vec::new();
        for _ in 0..lines / BATCH_LINES {
            copy.clear();
            copy.extend_from_slice(text.as_bytes());
            null.write_all(&copy)?;
        }
        Ok(())
    })?;
    row("copy", copied, lines);
    let (plan, options) = (plan(), Options::default());
    for (name, line) in [
        ("digits", &digits),
        ("colours", &colours),
        ("quotes", &quotes),
    ] {
        let batch = line.repeat(BATCH_LINES);
        let batch = LogLines::new(
            Uuid::nil(),
            0,
            LogStream::Stdout,
            Timestamp::UNIX_EPOCH,
            batch,
        );
        let event = BuildEvent::StepLog(batch);
        let plain = best(|| show(Plain::new(null()?, &plan, &options), &event, lines))?;
        row(&format!("plain, {name}"), plain, lines);
        let json = best(|| show(Json::new(null()?), &event, lines))?;
        row(&format!("json, {name}"), json, lines);
        let human = best(|| show(Human::new(null()?, &plan, &options), &event, lines))?;
        row(&format!("human, {name}"), human, lines);
    }
    Ok(())
}

fn null() -> io::Result<File> {
    File::create("/dev/null")
}

fn best(mut round: impl FnMut() -> io::Result<()>) -> io::Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        round()?;
        best = best.min(started.elapsed());
    }
    Ok(best)
}

fn show(mut renderer: impl Renderer, event: &BuildEvent, lines: usize) -> io::Result<()> {
    for _ in 0..lines / BATCH_LINES {
        renderer.event(event)?;
    }
    renderer.finish(None)
}

fn row(name: &str, time: Duration, lines: usize) {
    println!("{name:<16} {:>7.1}", time.as_nanos() as f64 / lines as f64);
}

fn plan() -> Plan {
    let step = Step {
        key: "build".into(),
        label: None,
        command: "make".into(),
        image: None,
        env: Default::default(),
        timeout: None,
        cache: None,
        runner: None,
        runner_args: None,
        network: None,
    };
    Plan {
        pipeline: "ci".into(),
        steps: vec![step],
        edges: Vec::new(),
        timeout: None,
    }
}
