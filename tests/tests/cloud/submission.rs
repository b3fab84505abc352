//! One build, and not two or none, whatever happens to the request.

use hm_fake_cloud::{Action, Config, Fault, Oddities, Operation};

use super::run::{exchanges, submitted};
use super::{CHAIN, assert_well_behaved, each, echoing, project, run, start};

/// A repository with a remote.
fn git(project: &hm_tests::Project) {
    for words in [
        &["init", "-q", "-b", "main"][..],
        &[
            "remote",
            "add",
            "origin",
            "https://github.com/Acme/Widgets.git",
        ],
    ] {
        project.program("git").args(words).run().expect(0);
    }
}

#[test]
fn a_lost_answer_does_not_make_a_second_build() {
    let actions = [
        Action::LoseAnswer,
        Action::Drop,
        Action::status(500),
        Action::Truncate(10),
        Action::Restart(300),
    ];
    each(&actions, |action| {
        let cloud = start(echoing());
        cloud.script(vec![Fault::on(Operation::CreateBuild, action.clone())]);
        let build = run(&project(&cloud, CHAIN)).run().expect(0).build();
        build.assert_ends(&[]);
        assert_eq!(cloud.builds("ci"), 1, "{action:?}");
    });
}

#[test]
fn a_pipeline_that_was_discovered_is_found_by_its_repository() {
    let cloud = start(echoing());
    cloud.discover("acme/widgets", "ci");
    let project = project(&cloud, CHAIN);
    git(&project);
    let build = run(&project).run().expect(0).build();
    assert_eq!(build.events[0]["build"]["pipeline"], "acme-widgets-ci");
    assert_eq!(cloud.journal().count(Operation::CreatePipeline), 0);
    // Lost, it is found again by its repository.
    cloud.script(vec![Fault::on(
        Operation::CreateBuildBySource,
        Action::LoseAnswer,
    )]);
    run(&project).run().expect(0);
    assert_eq!(cloud.builds("acme-widgets-ci"), 2);
    assert_well_behaved(&cloud);
}

#[test]
fn a_pipeline_that_was_made_by_hand_is_found_by_its_name_and_one_of_others_is_left_alone() {
    let cloud = start(echoing());
    let project = project(&cloud, CHAIN);
    git(&project);
    for _ in 0..2 {
        let build = run(&project).run().expect(0).build();
        assert_eq!(build.events[0]["build"]["pipeline"], "ci");
    }
    assert_eq!(cloud.journal().count(Operation::CreatePipeline), 1);
    let remote = [
        "remote",
        "set-url",
        "origin",
        "git@github.com:other/tool.git",
    ];
    project.program("git").args(remote).run().expect(0);
    let build = run(&project).run().expect(0).build();
    assert_eq!(build.events[0]["build"]["pipeline"], "other-tool-ci");
    assert_eq!((cloud.builds("ci"), cloud.builds("other-tool-ci")), (2, 1));
    assert_well_behaved(&cloud);
}

#[test]
fn a_slug_that_only_the_service_knows_is_read_from_it() {
    // A cursor that leads to the first page again ends a list, and does not go on for ever.
    each(&[false, true], |&ignored_cursor| {
        let cloud = start(Config {
            oddities: Oddities {
                ignored_cursor,
                ..Oddities::default()
            },
            ..echoing()
        });
        let project = project(&cloud, CHAIN).file("x/My_Pipe.toml", CHAIN);
        for _ in 0..2 {
            let call = run(&project).args(["--file", "x/My_Pipe.toml"]);
            let build = call.run().expect(0).build();
            assert_eq!(build.events[0]["build"]["pipeline"], "my-pipe");
        }
        assert_eq!(cloud.builds("my-pipe"), 2);
        assert_well_behaved(&cloud);
    });
}

#[test]
fn a_configured_pipeline_is_submitted_to_by_its_slug() {
    let cloud = start(echoing());
    cloud.discover("acme/widgets", "ci");
    let project = project(&cloud, CHAIN).file(
        ".hm/config.toml",
        "[cloud]\npipeline = \"acme-widgets-ci\"\n",
    );
    let build = run(&project).run().expect(0).build();
    assert_eq!(build.events[0]["build"]["pipeline"], "acme-widgets-ci");
}

#[test]
fn a_source_over_the_limit_is_refused_before_it_is_sent_and_the_largest_are_named() {
    let cloud = start(echoing());
    let mut noise = 1_u64;
    let large: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (noise >> 33) as u8
    })
    .take(6_100_000)
    .collect();
    let project = project(&cloud, CHAIN).file("data/model.bin", large);
    let says = ["too large", "data/model.bin", ".hmignore"];
    run(&project).run().expect(2).says(&says);
    assert_eq!(cloud.journal().count(Operation::CreateBuild), 0);
    // What is left out does not count.
    project.write(".hmignore", "data/\n");
    run(&project).run().expect(0);
}

#[test]
fn an_empty_tree_goes_as_a_real_archive_and_an_empty_plan_not_at_all() {
    let cloud = start(echoing());
    let project = project(&cloud, CHAIN);
    run(&project).run().expect(0);
    let archive = submitted(&cloud)["source_b64"].as_str().unwrap().len();
    assert!(archive > 20, "{archive}");
    let empty = r#"{"version":"0","graph":{"nodes":[],"node_holes":[],"edge_property":"directed","edges":[]}}"#;
    project.write("empty.json", empty);
    run(&project).args(["--file", "empty.json"]).run().expect(7);
    assert_eq!(exchanges(&cloud, Operation::CreateBuild).len(), 1);
}
