//! Pieces of text grafted on a backend that behaves: what runs before anything of it is called
//! (L4, R1, R2, R3, R5, T1).

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use hm_tests::{Finished, Project, assemble, graft, graft_with, workspace};

use crate::stage::{by, caller, echo, endures, grant, one_step, works, write};

/// Nothing here may take longer than the limits below and a start on a busy machine.
const SOON: Duration = Duration::from_secs(30);

fn piece(name: &str) -> Vec<u8> {
    let path = workspace().join(format!("tests/guests/grafted/{name}.wat"));
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assemble(&text)
}

fn grafted(project: &Project, name: &str) -> PathBuf {
    let whole = fs::read(echo()).unwrap();
    write(project, name, &graft(&whole, &piece(name)))
}

/// Resident memory of a run in which a guest took all that it may, in KiB.
const WITH_ALL_KIB: u64 = 400 << 10;

/// Runs a grafted backend that was allowed to run, with a second for what has ten.
#[track_caller]
fn run(name: &str, says: &str) -> Finished {
    let project = one_step();
    let path = grafted(&project, name);
    grant(&project, &path, &["--limit", "instantiate=2s"]);
    let finished = endures(by(&project, &path), &[8], SOON).says(&[says]);
    let held = finished.peak_kib();
    assert!(held < WITH_ALL_KIB, "{held} KiB\n{}", finished.said());
    works(&project);
    finished
}

macro_rules! cases {
    ($($name:ident: $says:expr;)*) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name), $says);
            }
        )*
    };
}

cases! {
    start_loop: "its instantiation took longer than the limit instantiate 2 s";
    nested_loop: "its instantiation took longer than the limit instantiate 2 s";
    fill: "its instantiation took longer than the limit instantiate 2 s";
    growing_memories: "went over a limit: memory 256 MiB";
    twenty_memories: "memories 16";
    sixtyfive_instances: "instances 64";
    nested_memories: "memories 16";
    first_memories: "memory 256 MiB";
    memories_in_turn: "memory 256 MiB";
    seventy_tables: "tables 64";
    largest_memory: "memory 256 MiB";
    largest_table: "table-elements 200000";
    recursion: "stack 512 KiB";
    called_back: "stack 512 KiB";
    resources: "handles 32768";
    waitable_sets: "handles to tasks, streams and sets 32768";
    inner_calls: "stack 512 KiB";
    futures: "32768";
    half_futures: "32768";
    dropped_writer: "crashed";
    names: "crashed";
}

/// As many locals as a function may have, all of them needed after it has called itself.
#[test]
fn frames_are_as_large_as_they_get() {
    const LOCALS: usize = 50_000;
    let mut text =
        String::from("(component (core module $m (func $deeper (param i64) (result i64)");
    text += &format!(" (local {})", "i64 ".repeat(LOCALS - 1));
    for local in 1..LOCALS {
        text += &format!(" (local.set {local} (i64.mul (local.get 0) (i64.const {local})))");
    }
    text += " (call $deeper (i64.add (local.get 0) (i64.const 1)))";
    for local in 0..LOCALS {
        text += &format!(" (i64.xor (local.get {local}))");
    }
    text += ") (func $start (drop (call $deeper (i64.const 1)))) (start $start))";
    text += " (core instance (instantiate $m)))";
    let project = one_step();
    let whole = fs::read(echo()).unwrap();
    let path = write(&project, "frames", &graft(&whole, &assemble(&text)));
    grant(&project, &path, &[]);
    endures(by(&project, &path), &[8], SOON).says(&["stack 512 KiB"]);
    works(&project);
}

/// Pieces that call the host by hand: with texts that are none, and with room for its answer
/// that is none.
#[test]
fn what_comes_and_goes_by_hand_is_checked() {
    let project = one_step();
    let whole = fs::read(caller()).unwrap();
    for (name, import, of, says) in [
        ("odd_text", "log", "hm:backend/diagnostics@", "crashed"),
        (
            "lone_surrogate",
            "log",
            "hm:backend/diagnostics@",
            "crashed",
        ),
        ("text_too_long", "log", "hm:backend/diagnostics@", "crashed"),
        (
            "realloc_recursion",
            "random",
            "wasi:random/random@",
            "stack 512 KiB",
        ),
        // Whoever gives the host room may not call it meanwhile.
        ("realloc_import", "random", "wasi:random/random@", "crashed"),
        (
            "realloc_outside",
            "random",
            "wasi:random/random@",
            "crashed",
        ),
        (
            "realloc_loop",
            "random",
            "wasi:random/random@",
            "instantiate 2 s",
        ),
    ] {
        let bytes = graft_with(&whole, &piece(name), &[(import, of)]);
        let path = write(&project, name, &bytes);
        let flags = ["--source", "--http", "none", "--limit", "instantiate=2s"];
        grant(&project, &path, &flags);
        endures(by(&project, &path), &[8], SOON).says(&[says]);
    }
    works(&project);
}

/// Whoever has not allowed it sees it refused at once: not an instruction of it has run, and
/// no code was made of it.
#[test]
fn nothing_of_a_stranger_runs_before_it_is_allowed() {
    let project = one_step();
    let cache = project.path().join("cache");
    for name in ["start_loop", "nested_loop", "fill"] {
        let path = grafted(&project, name);
        let call = by(&project, &path).env("HM_CACHE_DIR", &cache);
        endures(call, &[6], SOON).says(&["has no grant"]);
    }
    assert!(!cache.join("components").exists(), "code was made");
    works(&project);
}

/// The line that is printed is the line that raises the limit.
#[test]
fn a_limit_names_the_line_that_raises_it() {
    let project = one_step();
    let path = grafted(&project, "twenty_memories");
    grant(&project, &path, &[]);
    let refused = endures(by(&project, &path), &[8], SOON);
    let command = crate::stage::printed_command(&refused);
    assert!(command.contains(&"memories=32".to_owned()), "{command:?}");
    project.hm(command).run().expect(0);
    by(&project, &path).run().expect(0);
}

/// The default of ten seconds, once, as a user meets it.
#[test]
fn ten_seconds_are_enough_to_begin() {
    let project = one_step();
    let path = grafted(&project, "start_loop");
    grant(&project, &path, &[]);
    endures(by(&project, &path), &[8], SOON).says(&["instantiate 10 s"]);
    works(&project);
}
