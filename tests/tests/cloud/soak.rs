//! Builds with a fault at every request in turn: each ends with the right verdict, and with
//! every line once and in order.

use hm_fake_cloud::{Action, Fault};

use super::{each, echoing, project, run, start};

/// Builds in a usual run; `HM_TEST_SOAK=200` is a long one.
const BUILDS: usize = 24;

/// Requests of a build, about: faults at later ones fall on nothing.
const REQUESTS: u32 = 22;

const PIPELINE: &str = "image = \"host\"\n\
    [steps.a]\nrun = \"\"\"\npause 0.02\necho a0\necho a1\nerr ae\necho a2\necho a3\n\"\"\"\n\
    [steps.b]\nfrom = \"a\"\nrun = \"\"\"echo b0\necho b1\nsleep 0.4\n\"\"\"\n\
    [steps.c]\nfrom = \"a\"\nrun = \"\"\"echo c0\nexit 9\"\"\"\n\
    [steps.d]\nfrom = \"c\"\nrun = \"echo never\"\n";

fn action(build: usize) -> Action {
    match build / REQUESTS as usize % 8 {
        _ if build % 3 == 1 => Action::Drop,
        0 => Action::LoseAnswer,
        1 => Action::status(500),
        2 => Action::Truncate(7),
        3 => Action::Delay(400),
        4 => Action::Stale,
        5 => Action::Restart(200),
        6 => Action::Status {
            status: 503,
            code: None,
            text: Some("draining".into()),
            retry_after: Some(1),
        },
        _ => Action::LoseAnswer,
    }
}

/// Parts of the soak, beside each other, each with a service of its own.
const PARTS: usize = 4;

#[test]
fn no_single_failure_changes_a_verdict_or_a_line() {
    let builds = std::env::var("HM_TEST_SOAK").ok();
    let builds = builds.and_then(|text| text.parse().ok()).unwrap_or(BUILDS);
    let parts: Vec<usize> = (0..PARTS).collect();
    each(&parts, |&part| {
        soak((0..builds).filter(|number| number % PARTS == part));
    });
}

fn soak(numbers: impl Iterator<Item = usize>) {
    let cloud = start(echoing());
    let project = project(&cloud, PIPELINE).env_for_all("HM_ORG", "acme");
    let mut builds = 0;
    for number in numbers {
        builds += 1;
        let nth = number as u32 % REQUESTS + 1;
        let fault = Fault::at(nth, action(number));
        cloud.script(vec![fault.clone()]);
        let said = run(&project).run();
        assert_eq!(said.code(), Some(1), "{fault:?}\n{}", said.said());
        let build = said.build();
        build.assert_ends(&[("c", "failed", Some(9)), ("d", "skipped", None)]);
        let lines = |key: &str| build.step(key).stdout().join(" ");
        assert_eq!(
            [lines("a"), lines("b"), lines("c")],
            ["a0 a1 a2 a3", "b0 b1", "c0"],
            "{fault:?}"
        );
        assert_eq!(build.step("a").stderr(), ["ae"], "{fault:?}");
    }
    assert_eq!(
        cloud.builds("ci"),
        builds,
        "a submission that was lost is made up for, once"
    );
}
