//! Stacks of layers that are put together mean what they meant.

use std::sync::Arc;

use hm_vm::{ExecStatus, Snapshot, VmBackend};

use crate::harness::{Bench, Done, from, host, passed, run};

/// Everything that a step can see of a tree: kinds, modes, owners, sizes, times, links,
/// content and attributes.
const TELL: &str = "cd /workspace/t && find . -printf '%p %y %m %U:%G %s %l %T@\\n' | grep -v ' d ' | sort; \
     find . -type d -printf '%p %m %U:%G %T@\\n' | sort; \
     find . -type f -print0 | sort -z | xargs -0 sha256sum; \
     find . -print0 | sort -z | xargs -0 python3 -c 'import os,sys\nfor p in sys.argv[1:]:\n for n in os.listxattr(p, follow_symlinks=False): print(p, n, os.getxattr(p, n, follow_symlinks=False))'; \
     ls -la /usr/local/share | tail -n +2 | wc -l; ls /opt /srv";

/// One step a layer; together all that a layer can do to those below it.
const STEPS: &[&str] = &[
    "mkdir t; cd t; mkdir -p gone/deep kept/deep swap file-then-folder.d again empty; echo 1 > gone/deep/f; echo 1 > kept/a; echo 1 > kept/b; \
     echo 1 > swap/inner; echo file > becomes-folder; mkdir becomes-file; echo x > becomes-file/x; ln -s kept link; echo h > hard1; ln hard1 hard2; \
     mkfifo pipe; echo 1 > again/one; mkdir -m 500 closed; mkdir -m 1777 sticky; touch -d @1000000000 old",
    "cd t; rm -r gone; rm kept/a; echo 2 > kept/c; rm becomes-folder; mkdir becomes-folder; echo y > becomes-folder/y; rm -r becomes-file; echo file > becomes-file",
    "cd t; mkdir gone; echo new > gone/only; rm -r swap; mkdir swap; echo 3 > swap/other; rm link; ln -s nowhere link; chmod 700 kept; touch -d @1100000000 kept",
    "cd t; rm -r again; ln -s kept again; mv hard1 moved; echo more >> hard2; rm becomes-file; mkdir becomes-file; echo z > becomes-file/z",
    "cd t; rm again; mkdir again; echo two > again/two; rm -r empty; python3 -c 'import os; os.setxattr(\"kept\", \"user.note\", b\"v\"); os.setxattr(\"old\", \"user.note\", b\"w\")'",
    "cd t; mkdir empty; rm -rf becomes-folder; rm -rf gone; echo file > gone; chmod 4755 old; touch -d @1200000000 old",
    "cd t; rm gone; mkdir -p gone/deep; echo last > gone/deep/f; mv kept renamed; mkdir kept; python3 -c 'import os; os.removexattr(\"renamed\", \"user.note\")'",
    "cd t; echo hidden > .hidden; printf 'odd' > \"$(printf 'n\\377\\nw')\"; rm pipe; mkdir pipe; rm -rf /usr/local/share/*; mkdir -p /opt/made; rmdir /opt/made; true",
];

/// How many layers the root of a machine has.
async fn depth(bench: &Bench, snapshot: &Arc<dyn Snapshot>) -> usize {
    let machine = bench.boot_spec(from(snapshot)).await;
    let done = run(
        &*machine,
        "grep ' / overlay ' /proc/mounts | tr ',:' '\\n\\n' | grep -c '^lowerdir\\|layers/\\|^/'",
    )
    .await;
    machine.destroy().await;
    done.stdout.trim().parse().expect("a number")
}

async fn told(bench: &Bench, snapshot: &Arc<dyn Snapshot>) -> Done {
    let machine = bench.boot_spec(from(snapshot)).await;
    let done = run(&*machine, TELL).await;
    machine.destroy().await;
    done
}

/// Boots until the stack has been put together.
async fn until_short(bench: &Bench, snapshot: &Arc<dyn Snapshot>, deep: usize) -> usize {
    let mut now = 0;
    for _ in 0..500 {
        now = depth(bench, snapshot).await;
        if now < deep {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    now
}

#[tokio::test]
async fn a_stack_that_was_put_together_is_the_same_tree() {
    let mut bench = Bench::with(|config, _| config.deep = usize::MAX);
    let mut snapshot = bench.after(host(), "true").await;
    for step in STEPS {
        snapshot = bench.after(from(&snapshot), step).await;
    }
    let deep = depth(&bench, &snapshot).await;
    assert!(deep > STEPS.len(), "{deep}");
    let before = told(&bench, &snapshot).await;
    assert_eq!(before.status, ExecStatus::Exited(0), "{before:?}");
    let record = bench.engine.keep(&snapshot).await.expect("it is kept");
    bench.reopen_with(|config| config.deep = 3);
    let snapshot = bench
        .engine
        .open(&record)
        .await
        .expect("it opens")
        .expect("it is there");
    let short = until_short(&bench, &snapshot, deep).await;
    assert!(short < deep, "{short} of {deep}");
    let after = told(&bench, &snapshot).await;
    assert_eq!(before, after);
    // What lies below is still hidden, and what comes on top still counts.
    let child = bench
        .after(
            from(&snapshot),
            "cd t; ls gone kept again; rm -r gone renamed; echo x > swap/x",
        )
        .await;
    let machine = bench.boot_spec(from(&child)).await;
    let done = run(
        &*machine,
        "cd t; ls swap again becomes-folder 2>/dev/null; ls -d gone renamed",
    )
    .await;
    assert_eq!(done.stdout, "again:\ntwo\n\nswap:\nother\nx\n", "{done:?}");
    machine.destroy().await;
    let kept = bench.engine.keep(&snapshot).await.expect("it is kept");
    assert!(
        kept.layers.len() <= 2,
        "the short stack is what is remembered"
    );
}

#[tokio::test]
async fn a_chain_may_be_longer_than_what_the_kernel_stacks() {
    let bench = Bench::with(|config, _| config.deep = 20);
    let mut snapshot = bench.after(host(), "echo 0 > log").await;
    for number in 1..600 {
        let step = format!(
            "echo {number} >> log; touch f{number}; rm -f f{}",
            number - 1
        );
        snapshot = bench.after(from(&snapshot), &step).await;
    }
    let machine = bench.boot_spec(from(&snapshot)).await;
    let done = run(&*machine, "wc -l < log; tail -1 log; ls").await;
    assert_eq!(passed(done), "600\n599\nf599\nlog\n");
    machine.destroy().await;
    drop(snapshot);
    bench.engine.close().await;
    let left = std::fs::read_dir(bench.state().join("layers/live")).expect("a folder");
    assert_eq!(left.count(), 0);
}
