//! Commands: how they start, what they see and print, how they end.

use std::collections::BTreeMap;
use std::time::Duration;

use hm_vm::{ExecSpec, ExecStatus};
use tokio::io::AsyncReadExt;

use crate::lab::{Lab, command, finish, passed, run, run_spec};

pub async fn ends_are_told_apart(lab: &Lab) {
    for is_last in [false, true] {
        for (text, code) in [
            ("true", 0),
            ("exit 3", 3),
            ("exit 255", 255),
            ("no-such-program-anywhere 2>/dev/null", 127),
            ("kill -9 $$", 137),
            ("kill -TERM $$", 143),
            ("exit 137", 137),
            ("exit 130", 130),
        ] {
            let machine = lab.boot().await;
            let spec = ExecSpec {
                is_last,
                ..command(text)
            };
            let done = run_spec(&*machine, spec).await.expect("it starts");
            assert_eq!(done.code(), code, "{text}: {done:?}");
            assert_eq!(
                (done.stdout.as_str(), done.stderr.as_str()),
                ("", ""),
                "{text}"
            );
            machine.destroy().await;
        }
    }
}

pub async fn channels_are_apart_and_complete(lab: &Lab) {
    let text = "seq 1 100000; seq 1 50000 >&2; printf end; printf no-line-end >&2";
    let lines = |end: u32, last: &str| {
        let mut text: String = (1..=end).map(|number| format!("{number}\n")).collect();
        text += last;
        text
    };
    let machine = lab.boot().await;
    for is_last in [false, true] {
        let spec = ExecSpec {
            is_last,
            ..command(text)
        };
        let done = run_spec(&*machine, spec).await.expect("it starts");
        assert_eq!(done.status, ExecStatus::Exited(0));
        assert!(done.stdout == lines(100_000, "end"), "stdout is torn");
        assert!(
            done.stderr == lines(50_000, "no-line-end"),
            "stderr is torn"
        );
    }
    machine.destroy().await;
    let done = lab
        .run(lab.spec(), "head -c 3000000 /dev/zero | tr '\\0' x")
        .await;
    assert_eq!(passed(done).len(), 3_000_000, "one line without an end");
}

pub async fn environment_and_folder_are_as_asked_for(lab: &Lab) {
    let source = lab.source(&[("deep/er/file", "x")]);
    let env = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for is_last in [false, true] {
        let machine = lab.boot_spec(lab.over(source.clone())).await;
        let spec = ExecSpec {
            env: BTreeMap::from([
                env("A", "1"),
                env("EMPTY", ""),
                env("QUOTES", "it's \"quoted\" $HOME `x` \\ *"),
                env("LINES", "one\ntwo"),
                // Shells drop it; nothing else may come of it.
                env("odd.name", "yes"),
            ]),
            is_last,
            ..command(
                "echo \"$A|${EMPTY-unset}|$QUOTES|$LINES\"; pwd; umask; \
                 test -n \"$PATH\" && test -n \"$HOME\" && echo base",
            )
        };
        let done = run_spec(&*machine, spec).await.expect("it starts");
        assert_eq!(
            passed(done),
            "1||it's \"quoted\" $HOME `x` \\ *|one\ntwo\n/workspace\n0022\nbase\n",
            "is_last: {is_last}"
        );
        // Of one command, not of the machine.
        let spec = ExecSpec {
            working_dir: Some("deep/er".into()),
            ..command("pwd; echo ${A-unset}; cat file")
        };
        let done = run_spec(&*machine, spec).await.expect("it starts");
        assert_eq!(passed(done), "/workspace/deep/er\nunset\nx");
        let spec = ExecSpec {
            working_dir: Some("/tmp".into()),
            is_last,
            ..command("pwd")
        };
        let done = run_spec(&*machine, spec).await.expect("it starts");
        assert_eq!(passed(done), "/tmp\n");
        machine.destroy().await;
    }
}

pub async fn nothing_can_be_read_from_standard_input(lab: &Lab) {
    assert_eq!(passed(lab.run(lab.spec(), "cat; echo end").await), "end\n");
}

pub async fn what_cannot_start_is_an_error_and_the_machine_goes_on(lab: &Lab) {
    let machine = lab.boot().await;
    let spec = ExecSpec {
        working_dir: Some("no/such/folder".into()),
        ..command("true")
    };
    let outcome = run_spec(&*machine, spec).await;
    assert!(
        !matches!(&outcome, Ok(done) if done.status == ExecStatus::Exited(0)),
        "{outcome:?}"
    );
    let long = format!(": {}", "x".repeat(200_000));
    let error = run_spec(&*machine, command(&long))
        .await
        .expect_err("too long");
    assert!(error.to_string().contains("at most"), "{error}");
    let error = run_spec(&*machine, command("a\0b"))
        .await
        .expect_err("a NUL");
    assert!(error.to_string().contains("NUL"), "{error}");
    assert_eq!(passed(run(&*machine, "echo on").await), "on\n");
    machine.destroy().await;
}

/// Counts processes that were started with such an argument, by what the kernel tells.
const COUNT: &str = "n=0; for p in /proc/[0-9]*/cmdline; do \
    line=$({ tr '\\0' ' ' < $p; } 2>/dev/null); \
    case $line in 'sleep 98'*) n=$((n + 1)) ;; esac; done; echo $n";

pub async fn what_is_left_running_gets_a_moment_and_no_more(lab: &Lab) {
    for is_last in [false, true] {
        let machine = lab.boot().await;
        let text = "(sleep 0.1; echo late; echo late >&2) & (sleep 9871 &) ; \
                    setsid sleep 9872 & sleep 9873 & echo early; exit 4";
        let spec = ExecSpec {
            is_last,
            ..command(text)
        };
        let done = run_spec(&*machine, spec).await.expect("it starts");
        assert_eq!(done.code(), 4);
        assert_eq!(
            (done.stdout.as_str(), done.stderr.as_str()),
            ("early\nlate\n", "late\n")
        );
        assert_eq!(passed(run(&*machine, COUNT).await), "0\n");
        machine.destroy().await;
    }
}

pub async fn commands_overlap(lab: &Lab) {
    let machine = lab.boot().await;
    let first = machine
        .exec(command(
            "echo one; while ! test -e go; do sleep 0.05; done; echo saw",
        ))
        .await
        .expect("it starts");
    let done = run(&*machine, "(sleep 9874 &) ; touch go; exit 2").await;
    assert_eq!(done.code(), 2);
    let done = finish(first).await.expect("it ends");
    assert_eq!(
        passed(done),
        "one\nsaw\n",
        "the end of another did not end it"
    );
    assert_eq!(passed(run(&*machine, COUNT).await), "0\n");
    machine.destroy().await;
}

pub async fn a_timeout_asks_first_and_the_machine_goes_on(lab: &Lab) {
    let limited = |text: &str, is_last| ExecSpec {
        timeout: Some(Duration::from_millis(700)),
        is_last,
        ..command(text)
    };
    for is_last in [false, true] {
        let machine = lab.boot().await;
        let polite = "trap 'echo asked; exit 5' TERM; echo begun; sleep 9875 & wait";
        let done = run_spec(&*machine, limited(polite, is_last))
            .await
            .expect("it starts");
        assert_eq!(done.status, ExecStatus::TimedOut);
        assert_eq!(done.stdout, "begun\nasked\n");
        let deaf = "trap '' TERM; echo > kept; echo begun; sleep 9876 & sleep 9877; sleep 9878";
        let done = run_spec(&*machine, limited(deaf, false))
            .await
            .expect("it starts");
        assert_eq!(
            (done.status, done.stdout.as_str()),
            (ExecStatus::TimedOut, "begun\n")
        );
        assert_eq!(passed(run(&*machine, COUNT).await), "0\n");
        assert_eq!(passed(run(&*machine, "ls").await), "kept\n");
        let quick = ExecSpec {
            timeout: Some(Duration::from_secs(50)),
            ..command("echo quick")
        };
        let quick = run_spec(&*machine, quick).await;
        assert_eq!(passed(quick.expect("it starts")), "quick\n");
        machine.destroy().await;
    }
}

pub async fn a_dropped_command_ends_with_all_that_it_started(lab: &Lab) {
    let machine = lab.boot().await;
    let mut execution = machine
        .exec(command(
            "setsid sleep 9879 & trap '' TERM; echo begun; sleep 9880; echo never",
        ))
        .await
        .expect("it starts");
    let mut begun = [0; 6];
    execution
        .stdout
        .read_exact(&mut begun)
        .await
        .expect("it prints");
    assert_eq!(&begun, b"begun\n");
    drop(execution);
    // It is killed in the background.
    for _ in 0..100 {
        if passed(run(&*machine, COUNT).await) == "0\n" {
            machine.destroy().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a dropped command goes on");
}

pub async fn a_last_command_may_be_followed_by_others(lab: &Lab) {
    let machine = lab
        .boot_spec(lab.over(lab.source(&[("file", "source")])))
        .await;
    for (text, expected) in [
        (
            "echo one > one; echo step > file; echo t > /tmp/t; echo r > /run/r; ls",
            "file\none\n",
        ),
        (
            "cat one file /tmp/t; ls -A /run; rm file; echo two > two",
            "one\nstep\nt\n",
        ),
        ("ls", "one\ntwo\n"),
    ] {
        let spec = ExecSpec {
            is_last: true,
            ..command(text)
        };
        let done = run_spec(&*machine, spec).await.expect("it starts");
        assert_eq!(passed(done), expected, "{text}");
    }
    let snapshot = machine.snapshot().await.expect("a snapshot");
    let spec = hm_vm::BootSpec {
        source: lab.source(&[("file", "today"), ("new", "")]),
        ..lab.from(&snapshot)
    };
    assert_eq!(
        passed(lab.run(spec, "ls; cat /tmp/t").await),
        "new\none\ntwo\nt\n"
    );
}
