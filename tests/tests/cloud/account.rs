//! Organizations, pipelines and credit; and what the service refuses.

use hm_fake_cloud::{Action, Config, FakeCloud, Fault, Operation};
use hm_tests::{Finished, Project};
use serde_json::Value;

use super::{CHAIN, VERSIONS, assert_well_behaved, echoing, start};

fn project(cloud: &FakeCloud) -> Project {
    super::project(cloud, CHAIN)
}

#[track_caller]
fn cloud(project: &Project, words: &[&str], code: i32) -> Finished {
    project.hm(["cloud"]).args(words).run().expect(code)
}

#[track_caller]
fn json(project: &Project, words: &[&str]) -> Value {
    let call = project.hm(["cloud", "--format", "json"]).args(words);
    let said = call.run().expect(0);
    serde_json::from_str(&said.text()).unwrap_or_else(|error| panic!("{error}\n{}", said.said()))
}

#[test]
fn organizations_pipelines_and_credit() {
    for versions in VERSIONS {
        let service = start(Config {
            versions,
            ..echoing()
        });
        service.discover("acme/widgets", "ci");
        let project = project(&service);
        assert_eq!(json(&project, &["org", "list"])[0]["slug"], "acme");
        let slug = "acme-widgets-ci";
        assert_eq!(json(&project, &["pipeline", "list"])[0]["slug"], slug);
        assert_eq!(json(&project, &["pipeline", "show", slug])["name"], "ci");
        let text = cloud(&project, &["pipeline", "show", slug], 0).text();
        assert!(text.contains("acme/widgets"), "{text}");
        let text = cloud(&project, &["billing", "balance"], 0).text();
        assert_eq!(text, "$25.00\n");
        let text = cloud(&project, &["billing", "redeem", "WELCOME"], 0).text();
        assert_eq!(text, "$5.00 credited; the balance is $30.00\n");
        cloud(&project, &["billing", "redeem", "WELCOME"], 5).says(&["already used"]);
        let entries = json(&project, &["billing", "transactions", "--limit", "1"]);
        let first = (&entries[0]["amount_cents"], &entries[1]);
        assert_eq!(first, (&500.into(), &Value::Null));
        assert!(json(&project, &["billing", "usage"])["usage"]["cpu_seconds"].is_u64());
        let window = ["--from", "2026-02-01", "--to", "2026-01-01"];
        let call = project.hm(["cloud", "billing", "usage"]).args(window);
        call.run().expect(2).says(&["is after"]);
        let page = json(&project, &["billing", "topup", "10", "--no-browser"]);
        assert!(
            page["checkout_url"]
                .as_str()
                .unwrap()
                .contains("/checkout/")
        );
        assert_well_behaved(&service);
    }
}

#[test]
fn an_organization_is_chosen_for_good_and_comments_stay() {
    let service = start(echoing());
    let project = project(&service);
    let file = project.config().join("config.toml");
    std::fs::write(&file, "# mine\njobs = 2\n").unwrap();
    let says = ["no organization `acem`", "did you mean `acme`?"];
    cloud(&project, &["org", "switch", "acem"], 5).says(&says);
    cloud(&project, &["org", "switch", "acme"], 0);
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text, "# mine\njobs = 2\n\n[cloud]\norg = \"acme\"\n");
    let text = cloud(&project, &["org", "list"], 0).text();
    assert!(text.starts_with("*  acme"), "{text}");
    let says = ["404 organization_not_found", "hm cloud org list"];
    cloud(&project, &["pipeline", "list", "--org", "nobodys"], 5).says(&says);
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let service = start(echoing());
    service.discover("acme/widgets", "ci");
    let project = project(&service);
    let says = ["404 pipeline_not_found", "hm cloud pipeline list"];
    cloud(&project, &["build", "show", "-p", "cj", "1"], 5).says(&says);
    let says = ["404 build_not_found", "hm cloud build list"];
    cloud(
        &project,
        &["build", "show", "-p", "acme-widgets-ci", "9"],
        5,
    )
    .says(&says);
    let says = ["has no builds yet"];
    cloud(&project, &["build", "show", "-p", "acme-widgets-ci"], 5).says(&says);
    cloud(&project, &["build", "list"], 2).says(&["no pipeline is named", "-p SLUG"]);
}

fn plain(status: u16, text: &str) -> Action {
    Action::Status {
        status,
        code: None,
        text: Some(text.to_owned()),
        retry_after: None,
    }
}

#[test]
fn every_shape_of_error_is_one_clear_message_with_its_exit_code() {
    let cases: [(Action, i32, &[&str]); 5] = [
        (
            Action::refused(401, "unauthorized"),
            3,
            &["401 unauthorized", "hm cloud login"],
        ),
        (Action::status(500), 5, &["Internal Server Error (500)"]),
        (Action::status(404), 5, &["Not Found (404)", "HM_API_URL"]),
        (
            plain(502, "<html>bad gateway</html>"),
            4,
            &["status 502", "try again"],
        ),
        (Action::Drop, 4, &["broke off"]),
    ];
    for (action, code, says) in cases {
        let service = start(echoing());
        service.script(vec![
            Fault::on(Operation::GetCurrentUser, action).times(100),
        ]);
        cloud(&project(&service), &["whoami"], code).says(says);
    }
}

#[test]
fn one_failure_is_nothing() {
    for action in [
        Action::Drop,
        Action::status(500),
        plain(503, "draining"),
        Action::Truncate(3),
    ] {
        let service = start(echoing());
        service.script(vec![Fault::on(Operation::GetCurrentUser, action)]);
        cloud(&project(&service), &["whoami"], 0);
    }
}

#[test]
fn nobody_there_and_somebody_else_are_told_apart() {
    let service = start(echoing());
    let gone = project(&service);
    let url = service.url();
    service.stop();
    cloud(&gone, &["whoami"], 4).says(&["cannot connect to", &url, "HM_API_URL"]);
    let service = start(echoing());
    service.script(vec![
        Fault::on(Operation::Ping, Action::status(404)).times(10),
    ]);
    cloud(&project(&service), &["whoami"], 5).says(&["not Harmont's interface"]);
}
