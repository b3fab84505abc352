//! Imports that no grant can give (L5), told before anybody is asked for anything.

use std::fs;
use std::time::Duration;

use hm_tests::{Project, assemble, workspace};

use crate::stage::{by, digest, endures, grant, one_step, works, write};

const SOON: Duration = Duration::from_secs(10);

fn text(name: &str) -> String {
    let path = workspace().join(format!("tests/guests/imports/{name}.wat"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn importing(project: &Project, import: &str) -> std::path::PathBuf {
    let bytes = assemble(&text("instance").replace("IMPORT", import));
    write(project, "importing", &bytes)
}

#[test]
fn what_hm_does_not_offer_no_grant_can_add() {
    let project = one_step();
    for import in [
        "wasi:filesystem/preopens@0.3.0",
        "wasi:sockets/types@0.3.0",
        "wasi:http/handler@0.3.0",
        "wasi:http/outgoing-handler@0.2.0",
        "wasi:cli/environment@0.3.0",
        "wasi:random/random@0.3.0",
        "hm:backend/vm@0.2.0",
        "hm:backend/secrets@0.1.0",
        "acme:secrets/store@1.0.0",
    ] {
        let path = importing(&project, import);
        let refused = endures(by(&project, &path), &[8], SOON).says(&[
            import,
            "which hm does not offer; no grant can add it",
            "offered:",
        ]);
        assert!(!refused.errors().contains("hm backend grant"), "{import}");
        // Not even a grant by its digest changes that.
        let digest = digest(&path);
        project
            .hm(["backend", "grant", digest.as_str(), "--vm"])
            .run()
            .expect(0);
        endures(by(&project, &path), &[8], SOON).says(&["no grant can add it"]);
    }
    works(&project);
}

#[test]
fn core_modules_are_not_imported() {
    let project = one_step();
    let path = write(&project, "module", &assemble(&text("module")));
    endures(by(&project, &path), &[8], SOON).says(&["imports plugin", "no grant can add it"]);
    works(&project);
}

/// Names in an error are shown, and act on nothing.
#[test]
fn names_that_act_on_a_terminal_are_shown() {
    let project = one_step();
    let name = r"\1b[2J\1b]0;owned\07\0abuild passed\0a\e2\80\aeevil";
    for (kind, text) in [
        ("import", format!("(component (import \"{name}\" (func)))")),
        (
            "core",
            format!(
                "(component (core module $m (import \"{name}\" \"x\" (func))) (core instance (instantiate $m)))"
            ),
        ),
        (
            "export",
            format!("(component (instance $i) (export \"{name}\" (instance $i)))"),
        ),
        (
            "argument",
            format!(
                "(component (core module $m) (core instance $i (instantiate $m)) (core instance (instantiate $m (with \"{name}\" (instance $i)))) (alias core export $i \"{name}\" (core func)))"
            ),
        ),
    ] {
        let path = write(&project, kind, &assemble(&text));
        let finished = endures(by(&project, &path), &[8], SOON);
        let errors = finished.errors();
        assert!(!errors.contains('\u{202e}'), "{errors:?}");
        let forged = errors.lines().any(|line| line.starts_with("build passed"));
        assert!(!forged, "{errors}");
    }
    works(&project);
}

/// No flag stands in for a grant.
#[test]
fn there_is_no_flag_that_says_yes_to_everything() {
    let project = one_step();
    let path = importing(&project, "acme:secrets/store@1.0.0");
    for flag in ["--yes", "-y", "--force", "--allow-all", "--trust"] {
        let refused = by(&project, &path).arg(flag).run().expect(2);
        assert_eq!(refused.text(), "", "{flag}");
    }
}

/// The right name with a function of another type.
#[test]
fn a_type_that_does_not_fit_is_told_as_that() {
    let project = one_step();
    let path = importing(&project, "hm:backend/vm@0.1.0");
    endures(by(&project, &path), &[6], SOON);
    grant(&project, &path, crate::stage::VM);
    endures(by(&project, &path), &[8], SOON).says(&["does not fit the interface of this hm"]);
    works(&project);
}
