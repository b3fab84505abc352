//! Depth and width are no limit.

use hm_tests::Project;

use crate::build;

const STEPS: usize = 1_000;

#[test]
fn a_chain_of_a_thousand_steps() {
    let mut text = String::from("[steps.s0]\nimage = \"host\"\nrun = \"echo 0 > n\"\n");
    for step in 1..STEPS {
        let before = step - 1;
        text += &format!(
            "[steps.s{step}]\nfrom = \"s{before}\"\nrun = 'test \"$(cat n)\" = {before} && echo {step} > n'\n"
        );
    }
    let project = Project::toml(&text);
    let build = build(&project, &[], 0);
    build.assert_ends(&[]);
    assert_eq!(build.keys().len(), STEPS);
    for step in 1..STEPS {
        build.assert_order(&format!("s{}", step - 1), &format!("s{step}"));
    }
}

#[test]
fn a_thousand_independent_steps() {
    let mut text = String::from("image = \"host\"\n");
    for step in 0..STEPS {
        text += &format!("[steps.s{step}]\nrun = \"echo {step}\"\n");
    }
    let project = Project::toml(&text);
    let build = build(&project, &["-j", "8"], 0);
    build.assert_ends(&[]);
    for step in 0..STEPS {
        assert_eq!(build.step(&format!("s{step}")).stdout(), [step.to_string()]);
    }
}
