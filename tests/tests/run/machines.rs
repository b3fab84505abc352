//! What a machine reaches and may use up: the words and numbers of flags, files and
//! pipelines, as they arrive in the machine.

use hm_tests::{Project, cannot};

use crate::build;

/// Prints `none`, `public` or `host`.
const ASK: &str = "if ls /sys/class/net | grep -qx tap0; then echo public; \
                   elif [ \\\"$(ls /sys/class/net)\\\" = lo ]; then echo none; else echo host; fi";

fn step(name: &str, network: &str) -> String {
    format!("[steps.{name}]\nimage = \"host\"\nrun = \"{ASK}\"\n{network}\n")
}

fn seen(project: &Project, flags: &[&str], step: &str) -> String {
    build(project, flags, 0).step(step).stdout().concat()
}

fn configure(project: &Project, text: &str) {
    std::fs::write(project.config().join("config.toml"), text).unwrap();
}

#[test]
fn the_network_comes_from_the_step_the_pipeline_the_flag_and_the_configuration() {
    let bare = Project::toml(&step("a", ""));
    assert_eq!(seen(&bare, &["--network", "none"], "a"), "none");
    configure(&bare, "[vm]\nnetwork = \"none\"\n");
    assert_eq!(seen(&bare, &[], "a"), "none");
    assert_eq!(seen(&bare, &["--network", "host"], "a"), "host");
    let pipeline = Project::toml(&format!(
        "network = \"none\"\n{}{}",
        step("a", ""),
        step("b", "network = \"host\"")
    ));
    assert_eq!(seen(&pipeline, &[], "a"), "none");
    assert_eq!(seen(&pipeline, &[], "b"), "host");
}

#[test]
fn public_is_a_network_of_its_own_or_exit_4_with_the_remedy() {
    for project in [
        Project::toml(&step("a", "network = \"public\"")),
        Project::toml(&format!("network = \"public\"\n{}", step("a", ""))),
    ] {
        let finished = project.run().run();
        if finished.code() == Some(4) {
            let why = finished.errors();
            finished.says(&["public", "slirp4netns", "--network"]);
            cannot("the network `public`", &why);
            return;
        }
        assert_eq!(finished.expect(0).build().step("a").stdout(), ["public"]);
    }
}

#[test]
fn memory_that_runs_out_is_named_with_its_limit() {
    let project = Project::toml(
        "[steps.a]\nimage = \"host\"\nrun = \"head -c 300M /dev/zero | tail -c 300M > /dev/null || exit 3\"",
    );
    configure(&project, "[vm]\nmemory = \"64MiB\"\ncpus = 1\n");
    let build = build(&project, &[], 1);
    let step = build.step("a");
    match step.exit_code {
        // Where there are no control groups each process is held to it.
        Some(3) if step.reason.is_none() => {
            cannot("a limit on memory", "control groups cannot be made here");
        }
        _ => assert_eq!(
            (step.exit_code, step.reason.as_deref()),
            (Some(137), Some("out of memory (limit 64 MiB)"))
        ),
    }
}

#[test]
fn disk_that_runs_out_is_named_with_its_limit() {
    let project = Project::toml(
        "[steps.a]\nimage = \"host\"\nrun = \"head -c 60M /dev/zero > f; sleep 30\"\n[steps.b]\nfrom = \"a\"\nrun = \"true\"",
    );
    configure(&project, "[vm]\ndisk = \"32MiB\"\n");
    let build = build(&project, &[], 1);
    let step = build.step("a");
    assert_eq!(
        (step.exit_code, step.reason.as_deref()),
        (Some(137), Some("out of disk (limit 32 MiB)"))
    );
    assert_eq!(build.step("b").status, "skipped");
}

#[test]
fn processes_that_run_out_are_named_with_their_limit() {
    let project = Project::toml(
        "[steps.a]\nimage = \"host\"\nrun = \"for i in $(seq 500); do sleep 60 & done; echo all\"",
    );
    configure(&project, "[vm]\nprocesses = 64\n");
    let bomb = build(&project, &[], 1);
    let step = bomb.step("a");
    assert_eq!(step.status, "failed", "{step:?}");
    assert_eq!(step.reason.as_deref(), Some("out of processes (limit 64)"));
    // One that goes on until its time is over, as bombs do whose shells try again.
    project.write(
        ".hm/ci.toml",
        "[steps.a]\nimage = \"host\"\ntimeout = \"3s\"\nrun = '''bash -c 'for i in $(seq 500); do sleep 60 & done''''",
    );
    let bomb = build(&project, &[], 1);
    let step = bomb.step("a");
    assert_eq!(step.status, "timed_out", "{step:?}");
    let reason = "over its timeout of 3 s: out of processes (limit 64)";
    assert_eq!(step.reason.as_deref(), Some(reason));
    // What fails for a reason of its own is not said to have failed for that.
    project.write(
        ".hm/ci.toml",
        "[steps.a]\nimage = \"host\"\nrun = \"exit 3\"",
    );
    assert_eq!(build(&project, &[], 1).step("a").reason, None);
}

#[test]
fn a_repository_sets_no_limits() {
    let project = Project::toml("[steps.a]\nimage = \"host\"\nrun = \"true\"")
        .file(".hm/config.toml", "[vm]\ndisk = \"1MiB\"\n");
    project.run().run().expect(2).says(&["vm.disk"]);
}

#[test]
fn what_the_source_leaves_out_is_said_with_v() {
    let project = Project::toml("[steps.a]\nimage = \"host\"\nrun = \"true\"")
        .file(".gitignore", "/built\n")
        .file("built/x", "x")
        .file("kept", "k");
    let finished = project.run().arg("-v").run().expect(0);
    let said = finished.errors();
    assert!(said.contains("left out 1 .hm, 1 ignored (built)"), "{said}");
    assert!(said.contains("root inside machines is"), "{said}");
}
