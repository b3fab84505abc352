//! `hm run` on docker killed at any moment: the next start finds and removes what is left.

use std::time::Duration;

use hm_tests::{Project, assert_nothing_left as nothing_here};
use rustix::process::Signal;

use crate::{assert_nothing_left, docker, with};

/// Kills where everything is required, and elsewhere: each takes two seconds.
const KILLS: (u64, u64) = (40, 6);
/// The build takes three seconds or so.
const LATEST: u64 = 3_000;

const BUILD: &str = r#"
image = "hm-test:busybox"
[steps.base]
run = "head -c 200000 /dev/urandom > base; echo base > /opt/base"
cache = "forever"
[steps.a]
from = "base"
run = "echo a > a; echo a > /opt/a; sleep 0.1"
cache = "forever"
[steps.b]
from = "base"
run = "setsid sleep 30 & cat base > copy; sleep 0.2"
network = "public"
[steps.c]
from = "a"
run = "rm base; sleep 0.1; echo c > c"
cache = "forever"
[steps.d]
from = "a"
run = "sleep 0.3; echo d"
[steps.e]
from = "c"
run = "sleep 0.2; test ! -e base"
"#;

const QUICK: &str = "[steps.q]\nimage = \"hm-test:busybox\"\nrun = \"echo quick\"";

#[test]
#[expect(
    clippy::print_stdout,
    reason = "shown with a failure, so that it can be tried again"
)]
fn killed_at_any_moment_it_leaves_nothing() {
    let Some(docker) = docker("hm killed while docker runs steps") else {
        return;
    };
    let variable = |name: &str| std::env::var(name).ok();
    let seed = variable("HM_TEST_SEED")
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    println!("HM_TEST_SEED={seed} tries the same moments again");
    let is_required = variable("HM_TEST_REQUIRE").as_deref() == Some("all");
    let kills = if is_required { KILLS.0 } else { KILLS.1 };
    let project = with(&docker, Project::toml(BUILD).file(".hm/quick.toml", QUICK));
    let run = |pipeline: &str| {
        project
            .run()
            .args([pipeline, "--engine", "docker", "-j", "4"])
    };
    // One in each part of the build, at a moment of it that chance chooses.
    for kill in 0..kills {
        let part = LATEST / kills;
        let offset = (seed.rotate_left(u32::try_from(kill % 64).unwrap()) ^ seed) % part.max(1);
        let moment = Duration::from_millis(kill * part + offset);
        let variable = format!("N={}", kill / 3);
        let running = run("ci").args(["-e", &variable]).beside_others().start();
        std::thread::sleep(moment);
        running.signal(Signal::KILL);
        running.wait();
        let next = run("quick").run().expect(0);
        assert_eq!(next.errors(), "", "nothing is said about it");
        assert_eq!(next.build().step("q").stdout(), ["quick"]);
        println!("kill {kill} after {moment:?}");
        assert_nothing_left(&docker, &project);
        nothing_here(project.state());
    }
    run("ci").run().expect(0);
    project.hm(["cache", "clear"]).run().expect(0);
    assert_eq!(docker.things_of(project.state()).len(), 0);
}
