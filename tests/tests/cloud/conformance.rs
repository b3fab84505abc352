//! The conformance kit, on the backend `cloud` and a service whose jobs run in machines.

use std::time::Duration;

use hm_tests::Project;

use super::parity::Service;

/// Names of the checks whose line begins with `mark`.
fn marked<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(mark));
    lines
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

#[test]
fn the_built_in_backend_passes() {
    let service = Service::start();
    let project = service.lent(Project::new());
    let call = project.hm(["backend", "test", "cloud", "--junit", "kit.xml"]);
    let finished = call.within(Duration::from_secs(200)).run();
    let text = finished.text();
    assert_eq!(marked(&text, "FAIL"), [""; 0], "{}", finished.said());
    let passed = marked(&text, "ok  ");
    for check in [
        "passes-what-passes",
        "tells-exit-codes",
        "tells-signals",
        "tells-step-timeouts",
        "skips-dependents",
        "stops-when-cancelled",
        "stops-when-time-is-over",
        "takes-large-plans",
        "takes-any-text",
        "passes-output-on",
        "returns-without-watching",
    ] {
        assert!(passed.contains(&check), "{check}\n{}", finished.said());
    }
    // Each with the reason.
    let outside = [
        "starts-before-running",
        "leaves-output-to-machines",
        "claims-what-was-seen",
        "hits-what-the-cache-has",
        "stops-at-a-failure",
        "keeps-to-parallelism",
        "uses-the-cache",
        "gives-machines-back",
        "survives-lost-machines",
        "tells-missing-images",
    ];
    assert_eq!(marked(&text, "-   "), outside, "{text}");
    let reasons = text
        .matches(" not applicable: the backend does not ")
        .count();
    assert_eq!(reasons, outside.len(), "{text}");
    let xml = std::fs::read_to_string(project.path().join("kit.xml")).expect("it was asked for");
    assert!(xml.contains("failures=\"0\""), "{xml}");
    finished.expect(0);
    service.stop();
}

#[test]
fn harmonts_own_service_is_not_tried_by_mistake() {
    let project = Project::new().env_for_all("HM_API_TOKEN", "x");
    let call = project.hm(["backend", "test", "cloud"]);
    call.run()
        .expect(2)
        .says(&["no service is named", "HM_API_URL="]);
}
