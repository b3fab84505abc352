//! `hm completions` and `hm man`.

mod common;

use common::World;

#[test]
fn every_shell_gets_a_script() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = world.hm(&["completions", shell]).ended(0);
        assert!(
            ran.out.contains("doctor") && ran.out.contains("keep-going"),
            "{shell}"
        );
    }
    world.hm(&["completions", "tcsh"]).ended(2);
}

#[test]
fn the_manual_has_a_page_a_command() {
    let world = World::new();
    let ran = world.hm(&["man"]).ended(0);
    assert!(ran.out.contains(".TH hm 1"), "{}", ran.out);
    world.hm(&["man", "pages"]).ended(0);
    for page in ["hm.1", "hm-run.1", "hm-backend.1", "hm-backend-grant.1"] {
        assert!(world.project().join("pages").join(page).is_file(), "{page}");
    }
    assert!(world.read("pages/hm-run.1").contains("keep\\-going"));
}
