//! File systems: what steps wrote over today's source over the image.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;

use hm_vm::source::freeze;
use hm_vm::{BootSpec, FreezeOptions, StateDir};

use crate::lab::{Lab, passed, run};

pub async fn a_fork_sees_what_its_parent_wrote_and_its_siblings_do_not_see_it(lab: &Lab) {
    let text =
        "echo parent > f; mkdir d; echo t > /tmp/t; ln -s f l; chmod 600 f; echo r > /root/r";
    let parent = lab.after(lab.spec(), text).await;
    let one = lab
        .after(lab.from(&parent), "echo one >> f; rm /tmp/t")
        .await;
    let two = lab
        .after(lab.from(&parent), "cat f; ls /tmp; echo two > g; rm -r d")
        .await;
    for (snapshot, expected) in [
        (&parent, "parent\nd\nf\nl\nt\n600\nr\n"),
        (&one, "parent\none\nd\nf\nl\n600\nr\n"),
        (&two, "parent\nf\ng\nl\nt\n600\nr\n"),
    ] {
        let text = "cat l; ls; ls /tmp; stat -c %a f; cat /root/r";
        assert_eq!(passed(lab.run(lab.from(snapshot), text).await), expected);
    }
}

pub async fn todays_source_lies_below_what_steps_wrote(lab: &Lab) {
    let yesterday = lab.source(&[
        ("edited", "old"),
        ("removed", "old"),
        ("kept", "old"),
        ("dir/inner", "old"),
        ("dir/other", "old"),
    ]);
    let text = "cat kept dir/inner; echo step > edited; rm removed; echo made > made; \
                rm -r dir; mkdir dir; echo step > dir/new";
    let parent = lab.after(lab.over(yesterday), text).await;
    let today = lab.source(&[
        ("edited", "new"),
        ("removed", "new"),
        ("kept", "new"),
        ("dir/inner", "new"),
        ("added", "new"),
    ]);
    let child = BootSpec {
        source: today,
        ..lab.from(&parent)
    };
    let done = lab
        .run(child, "cat edited made; cat kept added; echo; ls . dir")
        .await;
    assert_eq!(
        passed(done),
        "step\nmade\nnewnew\n.:\nadded\ndir\nedited\nkept\nmade\n\ndir:\nnew\n"
    );
}

pub async fn several_source_layers_are_one_tree(lab: &Lab) {
    let base = lab.source(&[("a", "base"), ("d/b", "base")])[0].clone();
    let delta = lab.source(&[("a", "delta"), ("d/c", "delta")])[0].clone();
    let spec = lab.over(Arc::from([delta, base.clone()]));
    assert_eq!(
        passed(lab.run(spec, "cat a d/b d/c; echo x > a; rm d/b").await),
        "deltabasedelta"
    );
    let kept = std::fs::read_to_string(base.join("workspace/a"));
    assert_eq!(
        kept.expect("a file"),
        "base",
        "the source is never written to"
    );
    assert!(base.join("workspace/d/b").exists());
}

pub async fn a_frozen_tree_arrives_as_it_is(lab: &Lab) {
    let tree = tempfile::tempdir().expect("a folder");
    let at = |name: &str| tree.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(at(name), text).expect("a file");
    for folder in ["empty", "gone", "full/deep"] {
        std::fs::create_dir_all(at(folder)).expect("a folder");
    }
    for (name, text) in [
        ("plain", "p"),
        ("run.sh", "#!/bin/sh\n"),
        ("gone/x", "x"),
        ("full/deep/f", "f"),
        ("a:b,c\\d", "odd"),
    ] {
        write(name, text);
    }
    let mode = |name: &str, mode| {
        std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    mode("run.sh", 0o755);
    mode("full", 0o750);
    symlink("plain", at("link")).expect("a link");
    symlink("nowhere", at("dangling")).expect("a link");
    let bytes = std::ffi::OsStr::from_bytes(b"not-\xff-utf8");
    std::fs::write(tree.path().join(bytes), "bytes").expect("a file");
    let state = StateDir::open(&lab.state()).expect("the state folder");
    let frozen = freeze(&state, tree.path(), &FreezeOptions::default()).expect("it freezes");
    let look = "find . | LC_ALL=C sort | tr '\\377' '?'; stat -c '%n %a' run.sh full; \
                readlink link; readlink dangling; cat not-*; cat 'a:b,c\\d'";
    let first = passed(lab.run(lab.over(frozen.layers().clone()), look).await);
    assert!(first.contains("./not-?-utf8"), "{first}");
    assert!(
        first.contains("run.sh 755\nfull 750\nplain\nnowhere\nbytesodd"),
        "{first}"
    );
    assert!(
        first.contains("./empty\n") && first.contains("./gone/x\n"),
        "{first}"
    );
    // A delta with whiteouts and a folder that hides what was there.
    std::fs::remove_dir_all(at("gone")).expect("it was there");
    std::fs::remove_dir_all(at("full")).expect("it was there");
    std::fs::create_dir(at("full")).expect("a folder");
    write("full/new", "n");
    std::fs::remove_file(at("plain")).expect("it was there");
    drop(frozen);
    let frozen = freeze(&state, tree.path(), &FreezeOptions::default()).expect("it freezes");
    let look = "ls . full; cat full/new";
    let second = passed(lab.run(lab.over(frozen.layers().clone()), look).await);
    for gone in ["gone", "plain", "deep"] {
        assert!(
            !second.lines().any(|line| line == gone),
            "{gone} shows: {second}"
        );
    }
    assert!(second.ends_with("full:\nnew\nn"), "{second}");
}

pub async fn a_chain_of_snapshots_keeps_everything(lab: &Lab) {
    const LONG: usize = 12;
    let mut snapshot = lab
        .after(lab.spec(), "echo 0 > log; echo 0 > /tmp/log")
        .await;
    for number in 1..LONG {
        let text = format!(
            "echo {number} >> log; echo {number} >> /tmp/log; touch f{number}; rm -f f{}",
            number - 1
        );
        snapshot = lab.after(lab.from(&snapshot), &text).await;
    }
    let done = lab
        .run(lab.from(&snapshot), "wc -l < log; wc -l < /tmp/log; ls")
        .await;
    let seen: Vec<String> = passed(done).split_whitespace().map(str::to_owned).collect();
    let last = format!("f{}", LONG - 1);
    assert_eq!(
        seen,
        [LONG.to_string(), LONG.to_string(), last, "log".to_owned()]
    );
}

pub async fn what_must_be_fresh_is_fresh(lab: &Lab) {
    let machine = lab.boot().await;
    let text = "touch /run/a /run/.b /dev/shm/c; mkdir /run/d; echo t > /tmp/t; export LOST=1; \
                umask 077; cd /tmp";
    passed(run(&*machine, text).await);
    let text = "ls -A /run /dev/shm; echo ${LOST-unset}; umask; pwd; cat /tmp/t";
    assert_eq!(
        passed(run(&*machine, text).await),
        "/dev/shm:\n\n/run:\nunset\n0022\n/workspace\nt\n"
    );
    machine.destroy().await;
}

pub async fn a_merged_chain_and_a_snapshotted_one_see_the_same(lab: &Lab) {
    let source = lab.source(&[("from", "source"), ("gone", "source")]);
    let first = "touch /run/a /dev/shm/a; echo x > f; rm gone; export LOST=1; umask 077; cd /tmp; \
                 mkdir -m 750 /tmp/d; ln -s f l; (sleep 9881 &)";
    let second = "ls -A /run /dev/shm /workspace /tmp; echo ${LOST-unset}; umask; pwd; hostname; \
                  stat -c '%n %a %F' /workspace /workspace/* /tmp /tmp/* /root; env | sort | grep -v ^_=";
    let machine = lab.boot_spec(lab.over(source.clone())).await;
    passed(run(&*machine, first).await);
    let merged = passed(run(&*machine, second).await);
    machine.destroy().await;
    let snapshot = lab.after(lab.over(source.clone()), first).await;
    let spec = BootSpec {
        source,
        ..lab.from(&snapshot)
    };
    let machine = lab.boot_spec(spec).await;
    let snapshotted = passed(run(&*machine, second).await);
    machine.destroy().await;
    assert_eq!(merged, snapshotted);
    assert!(
        merged.contains("unset\n0022\n/workspace\nmachine\n"),
        "{merged}"
    );
}

pub async fn an_unused_machine_can_be_frozen(lab: &Lab) {
    let parent = lab.after(lab.spec(), "echo x > f").await;
    let machine = lab.boot_spec(lab.from(&parent)).await;
    let again = machine.snapshot().await.expect("a snapshot");
    assert_ne!(parent.id(), again.id());
    drop(parent);
    assert_eq!(passed(lab.run(lab.from(&again), "cat f").await), "x\n");
}
