//! A machine's part of the disk.

use hm_vm::ExecStatus;

use crate::harness::{Bench, host, passed, run};

#[tokio::test]
async fn a_machine_that_writes_too_much_is_ended_and_named() {
    let bench = Bench::new();
    let mut spec = host();
    spec.options.disk_mib = Some(50);
    let machine = bench.boot_spec(spec).await;
    let done = run(
        &*machine,
        "head -c 80M /dev/zero > /tmp/large; sleep 30; echo never",
    )
    .await;
    assert_eq!(
        (done.status, done.stdout.as_str()),
        (ExecStatus::OutOfDisk, "")
    );
    machine.destroy().await;
    assert_eq!(passed(bench.run("echo fine").await), "fine\n");
}

#[tokio::test]
async fn many_small_files_count_as_what_they_take() {
    let bench = Bench::new();
    let mut spec = host();
    spec.options.disk_mib = Some(20);
    let machine = bench.boot_spec(spec).await;
    let done = run(
        &*machine,
        "mkdir m; cd m; seq 1 6000 | xargs touch; sleep 30; echo never",
    )
    .await;
    assert_eq!(done.status, ExecStatus::OutOfDisk, "{done:?}");
    machine.destroy().await;
}

#[tokio::test]
async fn what_fits_is_left_alone() {
    let bench = Bench::new();
    let mut spec = host();
    spec.options.disk_mib = Some(50);
    let machine = bench.boot_spec(spec).await;
    let done = run(
        &*machine,
        "head -c 20M /dev/zero > /tmp/some; rm /tmp/some; head -c 20M /dev/zero > /tmp/more; sleep 2.5; echo done",
    )
    .await;
    assert_eq!(passed(done), "done\n");
    machine.destroy().await;
}
