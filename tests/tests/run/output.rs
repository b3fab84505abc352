//! Lines are lines, whatever a step prints.

use hm_tests::{Project, Stream};

use crate::build;

/// Runs one command and returns what it printed to standard output, line by line.
#[track_caller]
fn printed(command: &str) -> Vec<String> {
    let project = Project::new().file("script", command).file(
        ".hm/ci.toml",
        "[steps.a]\nimage = \"host\"\nrun = \"sh script\"",
    );
    let build = build(&project, &[], 0);
    build
        .step("a")
        .stdout()
        .into_iter()
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_last_line_without_an_end() {
    assert_eq!(printed("printf 'one\\ntwo'"), ["one", "two"]);
    assert_eq!(printed("printf 'alone'"), ["alone"]);
}

#[test]
fn nothing_and_empty_lines() {
    assert_eq!(printed("true"), [""; 0]);
    assert_eq!(printed("printf '\\n\\nx\\n\\n'"), ["", "", "x", ""]);
}

#[test]
fn bytes_that_are_no_text() {
    assert_eq!(printed("printf 'a\\377b\\n\\300\\257\\n'")[0], "a\u{fffd}b");
}

#[test]
fn a_character_in_two_writes_is_one_character() {
    assert_eq!(
        printed(
            "printf '\\303'; sleep 0.2; printf '\\251\\342'; sleep 0.2; printf '\\202\\254\\n'"
        ),
        ["é€"]
    );
}

#[test]
fn a_line_in_many_writes_is_one_line() {
    assert_eq!(
        printed("for i in 1 2 3 4 5; do printf $i; sleep 0.1; done; echo"),
        ["12345"]
    );
}

#[test]
fn carriage_returns() {
    let lines = printed("printf 'dos\\r\\nspin 1\\rspin 2\\rspin 3\\nend\\r\\n'");
    assert_eq!(lines, ["dos", "spin 1\rspin 2\rspin 3", "end"]);
}

#[test]
fn escapes_but_colours_are_made_visible() {
    let lines = printed("printf '\\033[31mred\\033[0m \\033[2Jgone \\033]0;title\\007\\n'");
    assert!(lines[0].contains("\u{1b}[31mred"), "{lines:?}");
    assert!(
        !lines[0].contains("\u{1b}[2J")
            && !lines[0].contains("\u{1b}]")
            && !lines[0].contains('\u{7}'),
        "{lines:?}"
    );
    assert!(lines[0].contains("\\x1b"), "{lines:?}");
}

#[test]
fn quotes_and_json_survive() {
    assert_eq!(
        printed("printf '%s\\n' '{\"kind\":\"build_end\"}' 'a\\b\"c'"),
        ["{\"kind\":\"build_end\"}", "a\\b\"c"]
    );
}

#[test]
fn both_channels_are_told_apart() {
    let project = Project::toml(
        "[steps.a]\nimage = \"host\"\nrun = \"for i in 1 2 3; do echo out $i; echo err $i >&2; done\"",
    );
    let build = build(&project, &[], 0);
    assert_eq!(build.step("a").stdout(), ["out 1", "out 2", "out 3"]);
    assert_eq!(build.step("a").stderr(), ["err 1", "err 2", "err 3"]);
    assert!(
        build
            .step("a")
            .lines
            .iter()
            .any(|line| line.stream == Stream::Stderr)
    );
}

#[test]
fn a_line_of_ten_megabytes_is_whole() {
    let project = Project::toml(
        "[steps.a]\nimage = \"host\"\nrun = \"head -c 10485760 /dev/zero | tr '\\\\000' x; echo; echo next\"",
    );
    let finished = project.run().run().expect(0);
    let peak = finished.peak_kib();
    let build = finished.build();
    let lines = build.step("a").stdout();
    assert_eq!(lines.len(), 2);
    assert_eq!((lines[0].len(), lines[1]), (10_485_760, "next"));
    assert!(lines[0].bytes().all(|byte| byte == b'x'));
    assert!(!build.step("a").lines[0].is_partial);
    assert!(peak < 200 << 10, "{peak} KiB for a line of 10 MiB");
}

/// A line over 16 MiB goes on in pieces, each but the last marked so.
#[test]
fn a_longer_line_comes_in_pieces() {
    const LENGTH: usize = 40 << 20;
    let project = Project::toml(&format!(
        "[steps.a]\nimage = \"host\"\nrun = \"head -c {LENGTH} /dev/zero | tr '\\\\000' x; echo end\"",
    ));
    let finished = project.run().run().expect(0);
    let peak = finished.peak_kib();
    let build = finished.build();
    let lines = &build.step("a").lines;
    let (last, pieces) = lines.split_last().unwrap();
    assert!(!pieces.is_empty() && pieces.iter().all(|piece| piece.is_partial) && !last.is_partial);
    assert!(last.text.ends_with("xend"));
    assert_eq!(
        lines.iter().map(|line| line.text.len()).sum::<usize>(),
        LENGTH + 3
    );
    assert!(peak < 300 << 10, "{peak} KiB");
}
