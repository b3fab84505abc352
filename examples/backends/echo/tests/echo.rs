use echo::Echo;
use hm_backend_testkit::{Pipeline, Simulation};

#[test]
fn every_step_is_reported() {
    let pipeline = Pipeline::new()
        .step("build")
        .command("make")
        .step("test")
        .from("build");
    let played = Simulation::of(pipeline).run::<Echo>();
    assert_eq!(
        played.timeline(),
        "    0s  build  queued
    0s  test   queued
    0s  build  started on echo (host)
    0s  build  | would run: make\\n
    0s  build  passed (0)
    0s  test   started on echo
    0s  test   | would run: test\\n
    0s  test   passed (0)
    0s  build passed
"
    );
}
