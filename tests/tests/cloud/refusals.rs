//! What the service refuses, and what it never does: a message, a hint, an exit code.

use hm_fake_cloud::{Action, Config, Fault, Oddities, Operation, Versions};

use super::{CHAIN, TOKEN, each, echoing, project, run, start};

#[test]
fn no_login_and_a_wrong_one_exit_with_3_before_anything_is_sent() {
    let cloud = start(echoing());
    let project = project(&cloud, CHAIN);
    let says = ["not logged in", "hm cloud login"];
    run(&project)
        .env("HM_API_TOKEN", "")
        .run()
        .expect(3)
        .says(&says);
    assert!(cloud.journal().is_empty());
    project.assert_nothing_started();
    let call = run(&project)
        .env("HM_API_TOKEN", "wrong")
        .env("HM_ORG", "acme");
    call.run().expect(3).says(&["hm cloud login"]);
}

#[test]
fn refused_submissions_are_told_with_their_remedy() {
    let cases = [
        (402, "billing_insufficient_balance", 7, "hm cloud billing"),
        (403, "pipeline_manual_disabled", 7, "cloud.pipeline"),
        (422, "build_plan_rejected", 7, "build_plan_rejected"),
        (404, "organization_not_found", 5, "hm cloud org list"),
    ];
    each(&cases, |&(status, code, exit, hint)| {
        let cloud = start(echoing());
        cloud.script(vec![
            Fault::on(Operation::CreateBuild, Action::refused(status, code)).times(9),
        ]);
        run(&project(&cloud, CHAIN))
            .run()
            .expect(exit)
            .says(&[code, hint]);
        // What is refused is refused: no second try.
        assert_eq!(cloud.journal().count(Operation::CreateBuild), 1, "{code}");
    });
}

#[test]
fn the_service_can_lower_its_limit() {
    let cloud = start(echoing());
    cloud.script(vec![
        Fault::on(Operation::CreateBuild, Action::status(413)).times(9),
    ]);
    run(&project(&cloud, CHAIN))
        .run()
        .expect(2)
        .says(&["too large"]);
}

#[test]
fn a_build_without_jobs_is_given_up() {
    let cloud = start(Config {
        oddities: Oddities {
            no_jobs: true,
            ..Oddities::default()
        },
        ..echoing()
    });
    let says = ["made no jobs", "hm cloud build show -p ci 1"];
    run(&project(&cloud, CHAIN)).run().expect(4).says(&says);
}

#[test]
fn nobody_there_is_4_and_somebody_else_5() {
    let cloud = start(echoing());
    let gone = project(&cloud, CHAIN).env_for_all("HM_ORG", "acme");
    cloud.script(vec![
        Fault::on(Operation::Ping, Action::status(404)).times(10),
    ]);
    run(&gone)
        .run()
        .expect(5)
        .says(&["not Harmont's interface", "HM_API_URL"]);
    cloud.stop();
    run(&gone).run().expect(4).says(&["127.0.0.1"]);
}

#[test]
fn a_version_can_be_chosen_and_then_is_not_asked_for() {
    let cloud = start(Config {
        versions: Versions::V0,
        ..echoing()
    });
    let project = project(&cloud, CHAIN).env_for_all("HM_ORG", "acme");
    let file = project.config().join("config.toml");
    std::fs::write(&file, "[cloud]\napi_version = \"v0\"\n").unwrap();
    run(&project).run().expect(0);
    assert_eq!(cloud.journal().count(Operation::Ping), 0);
}

#[test]
fn the_token_is_the_hosts_and_in_no_record_and_no_event() {
    let cloud = start(echoing());
    let pipeline = format!("[steps.one]\nimage = \"host\"\nrun = \"echo {TOKEN}\"\n");
    let project = project(&cloud, &pipeline);
    let said = run(&project).arg("-vv").run().expect(0);
    let build = said.build();
    assert_eq!(build.step("one").stdout(), ["***"], "{}", said.said());
    assert!(!said.errors().contains(TOKEN), "{}", said.said());
    assert!(
        !std::fs::read_to_string(project.records()[0].join("events.jsonl"))
            .is_ok_and(|text| text.contains(TOKEN))
    );
}

#[test]
fn what_the_service_decides_by_itself_is_said() {
    let cloud = start(echoing());
    let project = project(&cloud, CHAIN);
    let call = run(&project).args(["-j", "3", "--no-cache"]);
    call.run().expect(0).says(&["-j", "--no-cache"]);
}
