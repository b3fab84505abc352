//! More than its share: of time, of calls, of commands, of numbers (R1, R3, R4).

use std::time::Duration;

use rustix::process::Signal;

use super::{SOON, broken_in, is_broken, project, wait_for_record};
use crate::stage::{VM, by, endures, grant, misbehave, works};

#[test]
fn calls_that_want_too_much_are_named() {
    let project = project("", "true");
    broken_in(
        &project,
        "many-pairs",
        &["went over a limit: one call's data 2 MiB"],
    );
    // Each is answered, or refused, and the backend says so.
    for (case, says) in [
        ("lookups", "100000 answered"),
        ("many-commands", "commands at one time 128\") after 128"),
        ("unread-commands", "commands at one time 128\") after 128"),
    ] {
        let call = by(&project, misbehave()).args(["-e", &format!("MISBEHAVE={case}")]);
        endures(call, &[8], SOON).says(&[says]);
    }
    works(&project);
}

/// Time that is slept is not worked: who wakes up often has done nothing wrong.
#[test]
fn naps_are_no_processor_time() {
    let project = project("naps", "true");
    grant(&project, misbehave(), &["--limit", "cpu=1s"]);
    by(&project, misbehave()).run().expect(0);
}

/// No number that the interface takes breaks anything.
#[test]
fn the_largest_and_the_smallest_numbers_are_numbers() {
    let project = project("extremes", "true");
    let finished = by(&project, misbehave()).run().expect(0);
    assert_eq!(finished.build().status, "passed");
    for format in ["plain", "human"] {
        project
            .hm(["run", "--format", format, "--backend"])
            .arg(misbehave())
            .run()
            .expect(0);
    }
    works(&project);
}

/// Its loop takes a processor, and nothing else: a person still sees the clock go on, and can
/// end it.
#[test]
fn a_loop_holds_up_neither_the_view_nor_control_c() {
    let project = project("loop-beside-a-step", "true");
    grant(
        &project,
        misbehave(),
        &["--limit", "cpu=3s", "--limit", "cancel=1s"],
    );
    let seen = project
        .hm(["run", "--backend"])
        .arg(misbehave())
        .on_terminal(100, 30)
        .wait();
    assert_eq!(seen.code, Some(8), "{}", seen.text());
    assert!(seen.text().contains("CPU time 3 s"), "{}", seen.text());
    let drawn = String::from_utf8_lossy(&seen.bytes).into_owned();
    let frames = drawn.matches("1 running").count();
    assert!(frames >= 15, "{frames} frames in three seconds");
    let running = by(&project, misbehave()).start();
    wait_for_record(&project);
    running.signal(Signal::INT);
    assert_eq!(running.wait().expect(130).build().status, "cancelled");
    works(&project);
}

/// A reader that takes a little now and then slows the backend, and fills no memory.
#[test]
fn a_slow_reader_of_a_flood_fills_no_memory() {
    use std::io::Read;
    let project = project("flood-of-notices", "true");
    let flags = ["--limit", "notices=20000", "--limit", "notice-burst=20000"];
    grant(&project, misbehave(), &flags);
    let mut running = by(&project, misbehave()).start_unread();
    let mut stdout = running.unread_stdout();
    let mut text = Vec::new();
    let mut piece = vec![0; 1024];
    for _ in 0..100 {
        let length = stdout.read(&mut piece).unwrap();
        text.extend_from_slice(&piece[..length]);
        std::thread::sleep(Duration::from_millis(5));
    }
    let held = running.peak_kib();
    stdout.read_to_end(&mut text).unwrap();
    running
        .wait()
        .expect(8)
        .says(&["notices and custom events 20000"]);
    assert!(held < 400 << 10, "{held} KiB");
    let notices = text.split(|byte| *byte == b'\n');
    let notices = notices.filter(|line| line.windows(8).any(|part| part == b"\"notice\""));
    assert_eq!(notices.count(), 20_000, "none was lost before the limit");
}

#[test]
fn output_by_single_bytes_ends_at_its_limit() {
    let project = project("bytes-of-output", "true");
    let flags: Vec<_> = VM
        .iter()
        .chain(&["--limit", "output=1MiB"])
        .copied()
        .collect();
    grant(&project, misbehave(), &flags);
    let finished = endures(by(&project, misbehave()), &[8], SOON);
    finished.says(&["went over a limit: step-output 1 MiB"]);
    is_broken("huge-output", "true", &["one call's data 2 MiB"]);
}
