//! Layers: what steps wrote over today's source over the host.

use std::sync::Arc;

use hm_vm::{BootSpec, ExecStatus, VmBackend, VmError};

use crate::harness::{Bench, from, host, passed, run};

#[tokio::test]
async fn a_fork_sees_what_its_parent_wrote_and_its_siblings_do_not_see_it() {
    let bench = Bench::new();
    let parent = bench
        .after(
            host(),
            "echo parent > f; mkdir /home/x; echo t > /tmp/t; ln -s f l; chmod 600 f",
        )
        .await;
    let one = bench.after(from(&parent), "echo one >> f; rm /tmp/t").await;
    let two = bench
        .after(from(&parent), "cat f; ls /tmp; echo two > g")
        .await;
    for (snapshot, expected) in [
        (&parent, "parent\nf\nl\nt\n600\n"),
        (&one, "parent\none\nf\nl\n600\n"),
        (&two, "parent\nf\ng\nl\nt\n600\n"),
    ] {
        let machine = bench.boot_spec(from(snapshot)).await;
        let done = run(&*machine, "cat l; ls; ls /tmp; stat -c %a f").await;
        assert_eq!(passed(done), expected);
        machine.destroy().await;
    }
}

#[tokio::test]
async fn a_chain_of_200_works() {
    let bench = Bench::new();
    let mut snapshot = bench.after(host(), "echo 0 > log").await;
    for number in 1..200 {
        snapshot = bench
            .after(
                from(&snapshot),
                &format!(
                    "echo {number} >> log; touch f{number}; rm -f f{}",
                    number - 1
                ),
            )
            .await;
    }
    let machine = bench.boot_spec(from(&snapshot)).await;
    assert_eq!(
        passed(run(&*machine, "wc -l < log; tail -1 log; ls").await),
        "200\n199\nf199\nlog\n"
    );
    machine.destroy().await;
}

#[tokio::test]
async fn a_chain_that_the_kernel_cannot_stack_is_refused_in_words() {
    let bench = Bench::new();
    let layer = bench.source(&[("f", "")])[0].clone();
    let spec = BootSpec {
        source: Arc::from(vec![layer; 500]),
        ..host()
    };
    let error = bench
        .engine
        .boot(spec)
        .await
        .err()
        .expect("too many layers");
    assert!(matches!(error, VmError::Limit(_)), "{error}");
}

#[tokio::test]
async fn todays_source_lies_below_what_steps_wrote() {
    let bench = Bench::new();
    let spec = |files: &[(&str, &str)]| BootSpec {
        source: bench.source(files),
        ..host()
    };
    let parent = bench
        .after(
            spec(&[("edited", "old"), ("removed", "old"), ("kept", "old"), ("dir/inner", "old"), ("dir/other", "old")]),
            "cat kept dir/inner; echo step > edited; rm removed; echo made > made; rm -r dir; mkdir dir; echo step > dir/new",
        )
        .await;
    let today = bench.source(&[
        ("edited", "new"),
        ("removed", "new"),
        ("kept", "new"),
        ("dir/inner", "new"),
        ("added", "new"),
    ]);
    let child = BootSpec {
        source: today,
        ..from(&parent)
    };
    let machine = bench.boot_spec(child).await;
    let done = run(&*machine, "cat edited made; cat kept added; echo; ls . dir").await;
    assert_eq!(
        passed(done),
        "step\nmade\nnewnew\n.:\nadded\ndir\nedited\nkept\nmade\n\ndir:\nnew\n"
    );
    machine.destroy().await;
}

#[tokio::test]
async fn several_source_layers_are_one_tree() {
    let bench = Bench::new();
    let base = bench.source(&[("a", "base"), ("d/b", "base")])[0].clone();
    let delta = bench.source(&[("a", "delta"), ("d/c", "delta")])[0].clone();
    let machine = bench
        .boot_spec(BootSpec {
            source: Arc::from([delta, base.clone()]),
            ..host()
        })
        .await;
    assert_eq!(
        passed(run(&*machine, "cat a d/b d/c; echo x > a; rm d/b").await),
        "deltabasedelta"
    );
    machine.destroy().await;
    assert_eq!(
        std::fs::read_to_string(base.join("workspace/a")).expect("a file"),
        "base"
    );
    assert!(base.join("workspace/d/b").exists());
}

#[tokio::test]
async fn a_kept_snapshot_is_found_again_by_another_engine() {
    let mut bench = Bench::new();
    let parent = bench.after(host(), "echo parent > f").await;
    let child = bench
        .after(
            from(&parent),
            "echo child >> f; dd if=/dev/zero of=big bs=1M count=3 2>/dev/null",
        )
        .await;
    let record = bench.engine.keep(&child).await.expect("it is kept");
    assert_eq!(record.layers.len(), 2);
    assert!(
        record.layers[0].bytes >= 3 << 20 && record.layers[1].bytes < 1 << 20,
        "{record:?}"
    );
    // Still usable where it was, and by those that share its layers.
    assert_eq!(
        bench
            .after(from(&child), "grep -q child f")
            .await
            .id()
            .len(),
        32
    );
    drop((parent, child));
    bench.engine.settle().await;

    bench.reopen();
    bench.engine.reap().await.expect("it reaps");
    let found = bench
        .engine
        .open(&record)
        .await
        .expect("it opens")
        .expect("it is there");
    assert_eq!(found.id(), record.id);
    let machine = bench.boot_spec(from(&found)).await;
    assert_eq!(passed(run(&*machine, "cat f").await), "parent\nchild\n");
    machine.destroy().await;
    drop(found);

    let layers: Vec<String> = record.layers.iter().map(|layer| layer.id.clone()).collect();
    bench.engine.remove_layers(&layers).await.expect("they go");
    bench.engine.settle().await;
    assert!(
        bench
            .engine
            .open(&record)
            .await
            .expect("it opens")
            .is_none()
    );
    let mut other = record.clone();
    other.flavour = "docker".into();
    assert!(bench.engine.open(&other).await.expect("it opens").is_none());
}

#[tokio::test]
async fn a_merged_chain_and_a_snapshotted_one_see_the_same() {
    let bench = Bench::new();
    let first =
        "touch /run/a /dev/shm/a; echo x > f; export LOST=1; umask 077; cd /tmp; (sleep 1000 &)";
    let second = "ls -A /run /dev/shm /workspace /tmp; echo ${LOST-unset}; umask; pwd; pgrep -c sleep; hostname; stat -c %a . /tmp /var/tmp /root; ls -A /root";
    let machine = bench.boot().await;
    assert_eq!(run(&*machine, first).await.status, ExecStatus::Exited(0));
    let merged = run(&*machine, second).await;
    machine.destroy().await;
    let snapshot = bench.after(host(), first).await;
    let machine = bench.boot_spec(from(&snapshot)).await;
    let snapshotted = run(&*machine, second).await;
    machine.destroy().await;
    assert_eq!(merged, snapshotted);
    assert!(
        merged
            .stdout
            .contains("unset\n0022\n/workspace\n0\nmachine\n"),
        "{merged:?}"
    );
}

/// What a cached step deleted from is gone from today's source.
#[tokio::test]
async fn what_is_hidden_is_not_listed_when_there_is_nothing_left_to_hide() {
    let mut bench = Bench::new();
    let spec = BootSpec {
        source: bench.source(&[
            ("dir/removed", "old"),
            ("dir/deep/removed", "old"),
            ("f", ""),
        ]),
        ..host()
    };
    let parent = bench
        .after(
            spec,
            "rm dir/removed dir/deep/removed; echo made > dir/made",
        )
        .await;
    let record = bench.engine.keep(&parent).await.expect("it is kept");
    bench.reopen();
    let again = bench.engine.open(&record).await.expect("it opens");
    let child = BootSpec {
        source: bench.source(&[("f", "")]),
        ..from(&again.expect("it is there"))
    };
    let machine = bench.boot_spec(child).await;
    let done = run(&*machine, "find dir; stat -c %a dir dir/deep").await;
    machine.destroy().await;
    assert_eq!(passed(done), "dir\ndir/deep\ndir/made\n755\n755\n");
}
