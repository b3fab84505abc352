//! Much output, slow readers, many steps at once: nothing lost, nothing broken, memory flat.

use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use hm_tests::Project;

use crate::build;

const LINES: usize = 1_000_000;

/// Most memory that `hm` may have resident, in KiB (issue: "memory of hm under 100 MB").
const PEAK_KIB: u64 = 100_000_000 / 1024;

/// A million numbered lines of 80 bytes.
fn million() -> Project {
    Project::toml("[steps.a]\nimage = \"host\"\nrun = \"seq -f %079.0f 1 1000000\"")
}

/// Reads slowly: not at all at first, then with a pause now and then.
struct Slow<R> {
    inner: R,
    reads: u32,
}

impl<R: Read> Read for Slow<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.reads == 0 {
            std::thread::sleep(Duration::from_secs(3));
        } else if self.reads.is_multiple_of(64) {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.reads += 1;
        self.inner.read(buffer)
    }
}

#[test]
fn a_million_lines_to_a_slow_reader() {
    let project = million();
    let mut running = project.hm(["run", "--format", "plain"]).start_unread();
    let stdout = running.unread_stdout();
    let mut lines = BufReader::with_capacity(
        32 << 10,
        Slow {
            inner: stdout,
            reads: 0,
        },
    );
    let (mut line, mut next) = (String::new(), 1);
    let mut peak = 0;
    while lines.read_line(&mut line).unwrap() > 0 {
        if let Some(text) = line
            .strip_prefix("[a] ")
            .and_then(|text| text.strip_suffix('\n'))
            && text.len() == 79
        {
            assert_eq!(text.parse(), Ok(next), "in order");
            if next % 50_000 == 0 {
                peak = peak.max(running.peak_kib());
            }
            next += 1;
        }
        line.clear();
    }
    assert_eq!(next, LINES + 1, "none lost");
    let finished = running.wait().expect(0);
    peak = peak.max(finished.peak_kib());
    assert!(peak > 0 && peak < PEAK_KIB, "{peak} KiB");
    let record = std::fs::File::open(project.records()[0].join("events.jsonl")).unwrap();
    let mut next = 1;
    for line in BufReader::with_capacity(1 << 20, record).split(b'\n') {
        let event: serde_json::Value = serde_json::from_slice(&line.unwrap()).unwrap();
        let many = event["lines"].as_array().into_iter().flatten();
        for text in many.chain(event.get("line")) {
            assert_eq!(text.as_str().unwrap().parse(), Ok(next), "in the record");
            next += 1;
        }
    }
    assert_eq!(next, LINES + 1, "the record has them too");
    let logs = project.hm(["logs", "last", "a"]).run().expect(0).text();
    let numbers = logs.lines().map(str::parse::<usize>);
    assert!(numbers.eq((1..=LINES).map(Ok)), "and `hm logs` prints them");
}

#[test]
fn a_million_lines_as_json() {
    let project = million();
    let mut running = project.run().start_unread();
    let stdout = running.unread_stdout();
    let (mut next, mut peak) = (1, 0);
    for line in BufReader::with_capacity(1 << 20, stdout).split(b'\n') {
        let line = line.unwrap();
        if !line.starts_with(b"{\"kind\":\"step_log\"") {
            continue;
        }
        let event: serde_json::Value = serde_json::from_slice(&line).unwrap();
        let text = event["line"].as_str().unwrap();
        assert_eq!((text.len(), text.parse()), (79, Ok(next)));
        if next % 50_000 == 0 {
            peak = peak.max(running.peak_kib());
        }
        next += 1;
    }
    assert_eq!(next, LINES + 1, "none lost");
    peak = peak.max(running.wait().expect(0).peak_kib());
    assert!(peak > 0 && peak < PEAK_KIB, "{peak} KiB");
}

/// A line without an end, of characters that are told in four each, and nobody who reads.
#[test]
fn what_waits_for_a_slow_reader_is_bounded_in_bytes() {
    let project = Project::toml(
        "[steps.a]\nimage = \"host\"\nrun = \"head -c 400000000 /dev/zero | tr '\\\\0' '\\\\1'\"",
    );
    let mut running = project.run().start_unread();
    let mut stdout = running.unread_stdout();
    let mut peak = 0;
    // As long as it takes to fill what would be filled.
    for _ in 0..40 {
        std::thread::sleep(Duration::from_millis(250));
        peak = peak.max(running.peak_kib());
    }
    let mut read = 0_usize;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match stdout.read(&mut buffer).unwrap() {
            0 => break,
            bytes => read += bytes,
        }
    }
    peak = peak.max(running.wait().expect(0).peak_kib());
    assert!(read > 1_600_000_000, "{read} bytes");
    assert!(peak < 900 << 10, "{peak} KiB");
}

#[test]
fn sixty_four_steps_printing_at_once() {
    const EACH: usize = 500;
    let mut text = String::from("image = \"host\"\n");
    for step in 0..64 {
        text += &format!(
            "[steps.s{step}]\nrun = \"i=0; while [ $i -lt {EACH} ]; do echo s{step} $i; echo e{step} $i >&2; i=$((i + 1)); done\"\n",
        );
    }
    let project = Project::toml(&text);
    let build = build(&project, &["-j", "64"], 0);
    build.assert_ends(&[]);
    assert_eq!(build.keys().len(), 64);
    for step in 0..64 {
        let run = build.step(&format!("s{step}"));
        let expected = |letter| {
            (0..EACH)
                .map(|i| format!("{letter}{step} {i}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(run.stdout(), expected('s'));
        assert_eq!(run.stderr(), expected('e'));
    }
}
