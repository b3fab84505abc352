//! What a machine cannot do, said aloud.

/// Says that a test cannot run here. `cargo xtask test` counts these lines.
///
/// # Panics
/// If `HM_TEST_REQUIRE` is `all`: there, each of them is a failure.
#[expect(
    clippy::print_stderr,
    reason = "a skipped test has to be named where people look"
)]
pub fn cannot(test: &str, why: &str) {
    if std::env::var("HM_TEST_REQUIRE").is_ok_and(|value| value == "all") {
        panic!("{test} cannot run here: {why}");
    }
    eprintln!("skipped: {test}: {why}");
}
