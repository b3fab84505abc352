//! Prints what a line of output costs in each format, beside the bare copy of its
//! bytes: `cargo run --release --example throughput [LINES]`.

#![allow(
    clippy::print_stdout,
    reason = "printing the table is what this program is for"
)]

use std::fs::File;
use std::io::{self, Write};
use std::time::Instant;

use hm_plugin_protocol::{BuildEvent, LogLines, LogStream, Plan, Step};
use hm_render::{Human, Json, Options, Plain, Renderer};
use jiff::Timestamp;
use uuid::Uuid;

/// As the session reads: 64 KiB at a time.
const BATCH_LINES: usize = 800;

fn main() -> io::Result<()> {
    let lines = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(1_000_000);
    let line = format!("{:079}\n", 7);
    let coloured = format!("\x1b[32m{:070}\x1b[0m\n", 7);
    let quoted = format!("{}\n", "\"a\\b\" ".repeat(13));
    println!("{lines} lines of 80 bytes, to /dev/null; ns a line");
    let started = Instant::now();
    let mut null = File::create("/dev/null")?;
    let mut copy = Vec::new();
    for _ in 0..lines / BATCH_LINES {
        copy.clear();
        copy.extend_from_slice(line.repeat(BATCH_LINES).as_bytes());
        null.write_all(&copy)?;
    }
    row("copy", started, lines);
    for (name, text) in [
        ("digits", &line),
        ("colours", &coloured),
        ("quotes", &quoted),
    ] {
        measure(
            &format!("plain, {name}"),
            Plain::new(File::create("/dev/null")?, &plan(), &Options::default()),
            text,
            lines,
        )?;
        measure(
            &format!("human, {name}"),
            Human::new(File::create("/dev/null")?, &plan(), &Options::default()),
            text,
            lines,
        )?;
        measure(
            &format!("json, {name}"),
            Json::new(File::create("/dev/null")?),
            text,
            lines,
        )?;
    }
    Ok(())
}

fn measure(name: &str, mut renderer: impl Renderer, line: &str, lines: usize) -> io::Result<()> {
    let batch = LogLines::new(
        Uuid::nil(),
        0,
        LogStream::Stdout,
        Timestamp::UNIX_EPOCH,
        line.repeat(BATCH_LINES),
    );
    let event = BuildEvent::StepLog(batch);
    let started = Instant::now();
    for _ in 0..lines / BATCH_LINES {
        renderer.event(&event)?;
    }
    renderer.finish(None)?;
    row(name, started, lines);
    Ok(())
}

fn row(name: &str, started: Instant, lines: usize) {
    println!(
        "{name:<16} {:>7.1}",
        started.elapsed().as_nanos() as f64 / lines as f64
    );
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
