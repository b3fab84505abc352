//! The same tests, as an ordinary user, and with root inside as root outside.

use std::process::Command;

use hm_tests::{again_as_ordinary_user, assert_ran};

use crate::harness::{is_root, maps_ids, spawner};

/// One of those that have to run.
const ONE: &str = "chains::a_chain_of_200_works";

#[test]
fn everything_holds_for_an_ordinary_user() {
    if !is_root() || !maps_ids() {
        // Then everything else here ran as one, or this is the other mode's turn.
        return;
    }
    let done = again_as_ordinary_user(spawner()[0].as_ref(), None, &[]);
    assert_ran(&done, ONE);
}

#[test]
fn everything_holds_without_a_user_namespace() {
    if !is_root() || !maps_ids() {
        return;
    }
    let done = Command::new(std::env::current_exe().expect("this program"))
        .args(["--skip", "user::"])
        .env("HM_TEST_PLAIN_IDS", "1")
        .output()
        .expect("it runs");
    assert_ran(&done, ONE);
}
