//! Nothing stays behind, whatever ends first.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use hm_vm::VmBackend;

use crate::harness::{Bench, command, finish, host, passed, run};

/// Set for the process that is to be killed: the state folder it takes. It also is in the
/// command lines of what it starts, to find them by.
const VICTIM: &str = "HM_TEST_VICTIM";

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_settled_engine_has_no_machines_and_no_trash() {
    let bench = Bench::new();
    let machine = bench.boot().await;
    run(
        &*machine,
        "mkdir -m 000 locked; touch f; mkdir -p $(seq -s/ 300)",
    )
    .await;
    machine.destroy().await;
    drop(bench.boot().await);
    let booting = bench.engine.boot(host());
    drop(booting);
    let snapshot = bench.after(host(), "echo x > f; mkdir -m 500 d").await;
    drop(snapshot);
    bench.engine.settle().await;
    for folder in ["machines", "trash"] {
        assert_eq!(
            entries(&bench.state().join(folder)),
            Vec::<String>::new(),
            "{folder}"
        );
    }
    let live = bench.state().join("layers/live");
    let instance = live.join(&entries(&live)[0]);
    assert_eq!(entries(&instance), ["lock", "stage"]);
}

#[tokio::test]
async fn a_closed_engine_leaves_nothing() {
    let bench = Bench::new();
    drop(bench.boot().await);
    bench.engine.close().await;
    for folder in ["machines", "trash", "layers/live"] {
        assert_eq!(
            entries(&bench.state().join(folder)),
            Vec::<String>::new(),
            "{folder}"
        );
    }
    assert!(bench.engine.boot(host()).await.is_err());
}

#[tokio::test]
async fn boots_that_are_given_up_leave_nothing() {
    let bench = Bench::new();
    drop(bench.boot().await);
    for microseconds in (0..3000).step_by(60) {
        let limit = std::time::Duration::from_micros(microseconds);
        let _ = tokio::time::timeout(limit, bench.engine.boot(host())).await;
    }
    bench.engine.settle().await;
    bench.engine.settle().await;
    assert_eq!(
        entries(&bench.state().join("machines")),
        Vec::<String>::new()
    );
    assert_eq!(passed(bench.run("echo fine").await), "fine\n");
}

#[tokio::test]
async fn reaping_spares_the_living() {
    let bench = Bench::new();
    let machine = bench.boot().await;
    let snapshot = bench.after(host(), "echo x > f").await;
    assert_eq!(bench.engine.reap().await.expect("it reaps"), 0);
    assert_eq!(passed(run(&*machine, "echo alive").await), "alive\n");
    let child = bench.boot_spec(crate::harness::from(&snapshot)).await;
    assert_eq!(passed(run(&*child, "cat f").await), "x\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_machines_at_once() {
    let bench = Arc::new(Bench::new());
    let tasks: Vec<_> = (0..64)
        .map(|number| {
            let bench = Arc::clone(&bench);
            tokio::spawn(
                async move { passed(bench.run(&format!("echo {number}; hostname")).await) },
            )
        })
        .collect();
    for (number, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.expect("a task"), format!("{number}\nmachine\n"));
    }
    bench.engine.settle().await;
    assert_eq!(
        entries(&bench.state().join("machines")),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn five_hundred_commands_leak_no_descriptor() {
    let open = || fs::read_dir("/proc/self/fd").expect("a folder").count();
    let bench = Bench::new();
    let machine = bench.boot().await;
    run(&*machine, "true").await;
    let before = open();
    for _ in 0..500 {
        run(&*machine, "true").await;
    }
    let inside = passed(run(&*machine, "ls /proc/self/fd | wc -l").await);
    assert_eq!(inside, "4\n");
    // Other tests of this process come and go.
    assert!(open() < before + 200, "{before} before, {} after", open());
    machine.destroy().await;
}

/// Not a test of its own: what the next one kills.
#[tokio::test]
async fn victim() {
    let Some(state) = std::env::var_os(VICTIM) else {
        return;
    };
    let bench = Bench::with(|config, _| config.state_dir = state.into());
    let machine = bench.boot().await;
    let _snapshot = bench.after(host(), "echo x > f").await;
    // The loops carry this process's number, to be found by.
    let mark = std::process::id();
    let endless = format!("sh -c 'while :; do sleep 1; done' victim-{mark}");
    let text = format!("setsid {endless} & {endless}");
    let running = machine.exec(command(&text)).await.expect("it starts");
    let mut told = std::io::stdout();
    std::io::Write::write_all(&mut told, b"ready\n").expect("it is told");
    let _ = finish(running).await;
}

/// Processes of this system by what they were started with.
fn processes(word: &str) -> BTreeSet<String> {
    fs::read_dir("/proc")
        .expect("a folder")
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .bytes()
                .all(|letter| letter.is_ascii_digit())
        })
        .filter(|entry| {
            fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(word))
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Looks again and again, for some seconds.
fn until(holds: impl Fn() -> bool) -> bool {
    (0..5000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(1));
        holds()
    })
}

#[tokio::test]
async fn sigkill_leaves_no_process_and_the_next_start_removes_the_files() {
    let bench = Bench::new();
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["lifetime::victim", "--exact", "--nocapture"])
        .env(VICTIM, bench.state())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut output = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("ready") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut output, &mut line).expect("a line") > 0);
    }
    let mark = format!("victim-{}", child.id());
    assert!(
        until(|| processes(&mark).len() >= 2),
        "{:?}",
        processes(&mark)
    );
    assert_eq!(
        bench.engine.reap().await.expect("it reaps"),
        0,
        "the living are spared"
    );
    child.kill().expect("it is killed");
    child.wait().expect("it is gone");
    assert!(
        until(|| processes(&mark).is_empty()),
        "{:?}",
        processes(&mark)
    );
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    assert!(!mounts.contains(&*bench.state().to_string_lossy()));
    // Its machine and its share of the layers, and what it had not yet deleted itself.
    assert!(bench.engine.reap().await.expect("it reaps") >= 2);
    for folder in ["machines", "layers/live", "trash"] {
        assert_eq!(
            entries(&bench.state().join(folder)),
            Vec::<String>::new(),
            "{folder}"
        );
    }
}
