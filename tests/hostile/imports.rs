//! Imports that no grant can give (L5), told before anybody is asked for anything.

use std::fs;
use std::time::Duration;

use hm_tests::{Project, assemble, workspace};

use crate::stage::{by, digest, endures, one_step, works, write};

/// What makes a component a backend by its name; nothing of it could be called.
const BACKEND: &str =
    r#"(instance $nothing) (export "hm:backend/execution-backend@0.1.0" (instance $nothing))"#;

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

/// The right name, and something else behind it: a function that there is not, one of another
/// type, one that is no function. Told as that, without a question and without code.
#[test]
fn a_type_that_does_not_fit_is_told_as_that() {
    let project = one_step();
    let cache = project.path().join("cache");
    let loop_forever = "(core module (func (loop br 0)))";
    let log = r#"(export "log" (func (param "severity" u32) (param "message" string)))"#;
    let log_text = |before: &str| {
        format!(
            "(component {before} (import \"hm:backend/diagnostics@0.1.0\" (instance {log})) {BACKEND})"
        )
    };
    let of = |import: &str, items: &str| {
        format!("(component (import \"{import}\" (instance {items})) {BACKEND})")
    };
    for (name, text, says) in [
        (
            "no-such-function",
            of("hm:backend/vm@0.1.0", r#"(export "f" (func))"#),
            "hm:backend/vm@0.1.0",
        ),
        ("other-parameters", log_text(""), "`log` has the wrong type"),
        // As nobody's tools write it: code before the import.
        (
            "behind-code",
            log_text(loop_forever),
            "`log` has the wrong type",
        ),
        (
            "behind-a-component",
            log_text(&format!("(component {loop_forever})")),
            "`log` has the wrong type",
        ),
        (
            "no-result",
            of(
                "hm:backend/control@0.1.0",
                r#"(export "cancelled" (func async))"#,
            ),
            "`cancelled` has the wrong type",
        ),
        (
            "a-method",
            of(
                "hm:backend/vm@0.1.0",
                r#"(export "machine" (type $machine (sub resource)))
                   (export "[method]machine.id" (func (param "self" (borrow $machine)) (result u32)))"#,
            ),
            "`[method]machine.id` has the wrong type",
        ),
        (
            "a-resource",
            of(
                "hm:backend/source@0.1.0",
                r#"(export "measure" (type (sub resource)))"#,
            ),
            "`measure` has the wrong type",
        ),
        (
            "another-clock",
            of(
                "wasi:clocks/monotonic-clock@0.3.0",
                r#"(export "now" (func (result string)))"#,
            ),
            "`now` has the wrong type",
        ),
        (
            "inert",
            of(
                "wasi:cli/environment@0.2.0",
                r#"(export "get-environment" (func (result u8)))"#,
            ),
            "`get-environment` has the wrong type",
        ),
        (
            "inert-and-unknown",
            of("wasi:cli/secrets@0.2.0", r#"(export "f" (func))"#),
            "wasi:cli/secrets@0.2.0",
        ),
    ] {
        let path = write(&project, name, &assemble(&text));
        let call = by(&project, &path).env("HM_CACHE_DIR", &cache);
        let refused =
            endures(call, &[8], SOON).says(&["does not fit the interface of this hm", says]);
        assert!(!refused.errors().contains("grant"), "{}", refused.errors());
        // Not to be granted either, and told by who asks.
        for command in ["grant", "inspect"] {
            let call = project.hm(["backend", command]).arg(&path);
            let call = call.env("HM_CACHE_DIR", &cache);
            call.run().expect(8).says(&["does not fit", says]);
        }
    }
    assert!(!cache.join("components").exists(), "code was made");
    works(&project);
}

/// What fits is not refused for where its code lies.
#[test]
fn an_import_behind_code_is_an_import() {
    let project = one_step();
    let clock = "wasi:clocks/monotonic-clock@0.3.0";
    let text = format!(
        "(component (core module (func (loop br 0)) (func (result i64) i64.const 7) (func) (start 0)) \
         (component (core module (func (loop br 0)) (start 0))) \
         (import \"{clock}\" (instance (export \"now\" (func (result u64))))) {BACKEND})"
    );
    let path = write(&project, "behind", &assemble(&text));
    let call = project.hm(["backend", "inspect", "--json"]).arg(&path);
    let told = call.run().expect(0).text();
    assert!(told.contains(clock), "{told}");
}
