//! Environment: pipeline < step < `--env-file` < `-e`, and nothing of the caller's.

use hm_tests::Project;

use crate::build;

#[test]
fn later_levels_win() {
    let project = Project::toml(
        r#"
image = "host"
env = { A = "pipeline", B = "pipeline", C = "pipeline", D = "pipeline" }
[steps.s]
env = { B = "step", C = "step", D = "step" }
run = "echo $A $B $C $D"
"#,
    )
    .file("first.env", "# comment\nC=first\nD=first\n")
    .file("second.env", "C='second file'\n");
    let lines = |flags: &[&str]| build(&project, flags, 0).step("s").stdout()[0].to_owned();
    assert_eq!(lines(&[]), "pipeline step step step");
    assert_eq!(
        lines(&["--env-file", "first.env"]),
        "pipeline step first first"
    );
    assert_eq!(
        lines(&[
            "--env-file",
            "first.env",
            "--env-file",
            "second.env",
            "-e",
            "D=flag"
        ]),
        "pipeline step second file flag"
    );
    assert_eq!(
        lines(&["-e", "A=x=y", "-e", "B=", "-e", "D=1", "-e", "D=2"]),
        "x=y step 2"
    );
}

#[test]
fn values_are_literal() {
    let project = Project::toml(
        "[steps.s]\nimage = \"host\"\nrun = 'printf \"%s\\n\" \"$A\" \"${B+set}\" \"$C\"'",
    );
    let build = build(
        &project,
        &[
            "-e",
            "A=$HOME `tick` a  b",
            "-e",
            "B=",
            "-e",
            "C=é \"q\" 'q'",
        ],
        0,
    );
    assert_eq!(
        build.step("s").stdout(),
        ["$HOME `tick` a  b", "set", "é \"q\" 'q'"]
    );
}

#[test]
fn the_callers_environment_stays_outside() {
    let project = Project::toml("[steps.s]\nimage = \"host\"\nrun = \"env\"");
    let finished = project
        .run()
        .env("HM_TEST_CANARY", "CANARY")
        .env("AWS_SECRET_ACCESS_KEY", "CANARY")
        .run();
    let build = finished.expect(0).build();
    let env = build.step("s").stdout();
    assert!(!env.iter().any(|line| line.contains("CANARY")), "{env:?}");
    assert!(
        env.contains(&"HOME=/root") && env.iter().any(|line| line.starts_with("PATH=/")),
        "{env:?}"
    );
}

#[test]
fn a_bad_entry_is_an_error() {
    let project = Project::toml("[steps.s]\nimage = \"host\"\nrun = \"true\"")
        .file("bad.env", "OK=1\nnonsense\n");
    project
        .run()
        .args(["-e", "NOVALUE"])
        .run()
        .expect(2)
        .says(&["NOVALUE", "KEY=VALUE"]);
    project
        .run()
        .args(["-e", "=x"])
        .run()
        .expect(2)
        .says(&["=x"]);
    project
        .run()
        .args(["--env-file", "bad.env"])
        .run()
        .expect(2)
        .says(&["bad.env:2", "nonsense"]);
    project
        .run()
        .args(["--env-file", "absent.env"])
        .run()
        .expect(2)
        .says(&["absent.env"]);
    project.assert_nothing_started();
}

/// What would act on a program of the host acts on the step's command, and on nothing else.
#[test]
fn variables_reach_the_command_and_no_helper() {
    let marker = crate::marker();
    let project = Project::toml(&format!(
        r#"
[steps.s]
image = "host"
run = "echo had $LD_PRELOAD $DOCKER_HOST 2>/dev/null; exec sleep 600"
[steps.s.env]
LD_PRELOAD = "/nowhere/{marker}.so"
LD_LIBRARY_PATH = "/nowhere/{marker}"
BASH_ENV = "/nowhere/{marker}"
DOCKER_HOST = "unix:///nowhere/{marker}"
PYTHONSTARTUP = "/nowhere/{marker}"
TMPDIR = "/nowhere/{marker}"
HM_CONFIG_DIR = "/nowhere/{marker}"
HM_LOG = "{marker}"
"#
    ));
    let running = project.run().start();
    running.wait_for("had /nowhere");
    let own = std::fs::read_link("/proc/self/ns/pid").unwrap();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    // The command itself is in the machine, whose processes have ids of their own.
    let outside = entries.filter(|entry| {
        std::fs::read_link(entry.path().join("ns/pid")).is_ok_and(|namespace| namespace == own)
    });
    let told: Vec<_> = outside
        .filter(|entry| {
            let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            String::from_utf8_lossy(&environ).contains(&marker)
        })
        .map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default())
        .collect();
    assert_eq!(told, [""; 0]);
    running.signal(rustix::process::Signal::INT);
    running.wait().expect(130);
}
