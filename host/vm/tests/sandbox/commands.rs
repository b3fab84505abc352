//! What a command finds, how it ends, and what becomes of what it left.

use std::time::Duration;

use hm_vm::{ExecSpec, ExecStatus, VmError};

use crate::harness::{Bench, command, finish, passed, run, run_spec};

#[tokio::test]
async fn the_exit_code_is_the_commands() {
    let bench = Bench::new();
    for code in [0, 1, 42, 127, 255] {
        let done = bench.run(&format!("exit {code}")).await;
        assert_eq!(done.status, ExecStatus::Exited(code));
    }
}

#[tokio::test]
async fn a_signal_is_told_apart_from_an_exit_code() {
    let bench = Bench::new();
    assert_eq!(
        bench.run("kill -SEGV $$").await.status,
        ExecStatus::Signaled(11)
    );
    assert_eq!(
        bench.run("kill -KILL $$").await.status,
        ExecStatus::Signaled(9)
    );
    assert_eq!(bench.run("exit 137").await.status, ExecStatus::Exited(137));
}

#[tokio::test]
async fn outputs_are_apart_and_whole() {
    let bench = Bench::new();
    let done = bench
        .run("printf out; printf err >&2; printf 'no newline'")
        .await;
    assert_eq!(
        (done.stdout.as_str(), done.stderr.as_str()),
        ("outno newline", "err")
    );
    let done = bench.run("seq 200000").await;
    let expected: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
    assert!(
        done.stdout == expected,
        "{} bytes arrived",
        done.stdout.len()
    );
}

#[tokio::test]
async fn the_environment_is_clean_and_takes_additions() {
    let bench = Bench::new();
    let machine = bench.boot().await;
    let mut spec = command("env | grep -v '^\\(PWD\\|SHLVL\\|_\\|OLDPWD\\)=' | sort");
    spec.env
        .insert("GREETING".into(), "two words\nand 'quotes'".into());
    let done = run_spec(&*machine, spec).await.expect("it starts");
    assert_eq!(
        done.stdout,
        "GREETING=two words\nHOME=/root\nLANG=C.UTF-8\nLOGNAME=root\n\
         PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nSHELL=/bin/sh\n\
         USER=root\nand 'quotes'\n"
    );
    machine.destroy().await;
}

#[tokio::test]
async fn commands_start_in_the_workspace_unless_told_otherwise() {
    let bench = Bench::new();
    let machine = bench.boot().await;
    assert_eq!(
        passed(run(&*machine, "pwd; mkdir sub").await),
        "/workspace\n"
    );
    for (folder, expected) in [("sub", "/workspace/sub\n"), ("/etc", "/etc\n")] {
        let spec = ExecSpec {
            working_dir: Some(folder.into()),
            ..command("pwd")
        };
        assert_eq!(
            passed(run_spec(&*machine, spec).await.expect("it starts")),
            expected
        );
    }
    let spec = ExecSpec {
        working_dir: Some("/nowhere".into()),
        ..command("pwd")
    };
    let error = run_spec(&*machine, spec)
        .await
        .expect_err("there is no such folder");
    assert!(error.to_string().contains("/nowhere"), "{error}");
    assert_eq!(passed(run(&*machine, "echo alive").await), "alive\n");
    machine.destroy().await;
}

#[tokio::test]
async fn standard_input_is_empty_and_nothing_else_is_open() {
    let bench = Bench::new();
    let done = bench
        .run("cat; ls /proc/self/fd | wc -l; ls -l /proc/self/fd/0 | grep -c /dev/null")
        .await;
    // The three, and the one with which `ls` reads the folder.
    assert_eq!(done.stdout, "4\n1\n");
}

#[tokio::test]
async fn a_timeout_kills_the_whole_tree_and_the_machine_lives_on() {
    let bench = Bench::new();
    let machine = bench.boot().await;
    let spec = ExecSpec {
        timeout: Some(Duration::from_millis(200)),
        ..command(
            "trap 'echo asked' TERM; setsid sleep 1000 & (trap '' TERM; sleep 1000) & while :; do sleep 0.05; done",
        )
    };
    let done = run_spec(&*machine, spec).await.expect("it starts");
    assert_eq!(
        (done.status, done.stdout.as_str()),
        (ExecStatus::TimedOut, "asked\n")
    );
    assert_eq!(run(&*machine, "pgrep -c sleep").await.stdout, "0\n");
    machine.destroy().await;
}

#[tokio::test]
async fn a_command_that_heeds_its_timeout_is_timed_out_all_the_same() {
    let bench = Bench::new();
    let machine = bench.boot().await;
    let spec = ExecSpec {
        timeout: Some(Duration::from_millis(100)),
        ..command("trap 'exit 0' TERM; while :; do sleep 0.02; done")
    };
    assert_eq!(
        run_spec(&*machine, spec).await.expect("it starts").status,
        ExecStatus::TimedOut
    );
    machine.destroy().await;
}

#[tokio::test]
async fn what_a_command_leaves_running_ends_soon_after_it() {
    let bench = Bench::new();
    let machine = bench.boot().await;
    let done = run(
        &*machine,
        "(sleep 0.05; echo late) & setsid sh -c 'sleep 1000' & echo done",
    )
    .await;
    assert_eq!(
        (done.status, done.stdout.as_str()),
        (ExecStatus::Exited(0), "done\nlate\n")
    );
    assert_eq!(run(&*machine, "pgrep -c sleep").await.stdout, "0\n");
    machine.destroy().await;
}

#[tokio::test]
async fn dropping_a_command_kills_it() {
    let bench = Bench::new();
    let machine = bench.boot().await;
    let running = machine
        .exec(command("setsid sleep 1000 & sleep 1000"))
        .await
        .expect("it starts");
    drop(running);
    for _ in 0..1000 {
        if run(&*machine, "pgrep -c sleep").await.stdout == "0\n" {
            machine.destroy().await;
            return;
        }
    }
    panic!("the command still runs");
}

#[tokio::test]
async fn commands_overlap_and_end_apart() {
    let bench = Bench::new();
    let machine = bench.boot().await;
    let long = machine
        .exec(command("sleep 1000 & wait"))
        .await
        .expect("it starts");
    let done = run(
        &*machine,
        "(setsid sleep 1000 &) ; sleep 1000 & echo second",
    )
    .await;
    assert_eq!(
        (done.status, done.stdout.as_str()),
        (ExecStatus::Exited(0), "second\n")
    );
    // The first one and its sleep are alive still.
    assert_eq!(run(&*machine, "pgrep -xc sleep").await.stdout, "1\n");
    drop(long);
    machine.destroy().await;
}

#[tokio::test]
async fn run_and_shm_are_empty_for_the_next_command() {
    let bench = Bench::new();
    let machine = bench.boot().await;
    passed(
        run(
            &*machine,
            "touch /run/a /dev/shm/b /tmp/c && mkdir -p /run/d/e",
        )
        .await,
    );
    assert_eq!(
        passed(run(&*machine, "ls -A /run /dev/shm; ls /tmp").await),
        "/dev/shm:\n\n/run:\nc\n"
    );
    machine.destroy().await;
}

#[tokio::test]
async fn a_command_too_long_for_the_kernel_is_an_error_that_says_so() {
    let bench = Bench::new();
    let machine = bench.boot().await;
    let fits = format!("true {}; echo fits", "x".repeat(100_000));
    assert_eq!(passed(run(&*machine, &fits).await), "fits\n");
    let error = run_spec(&*machine, command(&"x".repeat(200_000)))
        .await
        .expect_err("too long");
    assert!(error.to_string().contains("200000 bytes"), "{error}");
    let error = run_spec(&*machine, command("echo \0"))
        .await
        .expect_err("a NUL");
    assert!(error.to_string().contains("NUL"), "{error}");
    machine.destroy().await;
}

#[tokio::test]
async fn a_machine_that_is_gone_says_so() {
    let bench = Bench::new();
    let machine = bench.boot().await;
    let running = machine
        .exec(command("sleep 1000"))
        .await
        .expect("it starts");
    machine.destroy().await;
    assert!(matches!(finish(running).await, Err(VmError::Gone(_))));
}
