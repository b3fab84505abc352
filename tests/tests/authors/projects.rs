//! `hm backend new`, `build` and `dev`.

use std::fs;
use std::path::Path;

use hm_tests::{Project, workspace};

use crate::desk::{lend_components, shell};

#[test]
fn a_backend_over_http_builds_tests_and_runs() {
    let project = Project::new();
    shell(&project, "hm backend new courier --kind http")
        .run()
        .expect(0);
    let folder = project.path().join("courier");
    lend_components(&folder);
    let script = "cd courier
        cargo test
        hm backend build
        cargo build --example agent
        \"$CARGO_TARGET_DIR/debug/examples/agent\" 0 > agent.out &
        agent=$!
        trap 'kill $agent' EXIT
        for _ in $(seq 100); do grep -q listening agent.out && break; sleep 0.1; done
        url=$(sed -n 's/^listening on //p' agent.out)
        hm backend grant courier.wasm --http \"$url\"
        printf '[backends.courier]\\nfile = \"../courier.wasm\"\\n[backends.courier.settings]\\nurl = \"%s\"\\n' \"$url\" > .hm/config.toml
        hm backend grant courier --http \"$url\"
        hm run hello --backend courier
        hm backend test courier.wasm --http \"$url\" --setting url=\"$url\"";
    let finished = shell(&project, script).run();
    let said = finished.errors() + &finished.text();
    assert!(said.contains("the greeting is there"), "{said}");
    assert!(
        said.contains("(reported by courier)") || said.contains("reported"),
        "{said}"
    );
    assert!(said.contains("passes-output-on"), "{said}");
    assert!(!said.contains("FAIL  "), "{said}");
    finished.expect(0);
    // Else its digest, and so every grant, would depend on who built it.
    let component = fs::read(folder.join("courier.wasm")).unwrap();
    let places = [project.path().to_str().unwrap(), "/registry/src/"];
    for place in places {
        let mut parts = component.windows(place.len());
        assert!(
            !parts.any(|part| part == place.as_bytes()),
            "the component tells of {place}"
        );
    }
}

#[test]
fn the_lock_file_is_complete() {
    // Else cargo would choose versions that this hm was never tried with.
    let ours = fs::read_to_string(workspace().join("Cargo.lock")).unwrap();
    for kind in ["vm", "http"] {
        let project = Project::new();
        shell(&project, &format!("hm backend new mine --kind {kind}"))
            .run()
            .expect(0);
        let lock = fs::read_to_string(project.path().join("mine/Cargo.lock")).unwrap();
        for package in lock
            .split("\n\n")
            .filter(|part| part.contains("\nsource = "))
        {
            let named: Vec<_> = package.lines().take(3).collect();
            assert!(ours.contains(&named.join("\n")), "{package}");
        }
        shell(
            &project,
            "cd mine; cargo metadata --locked --format-version 1 >/dev/null",
        )
        .run()
        .expect(0);
    }
}

#[test]
fn a_name_or_a_folder_that_cannot_be_is_refused() {
    let project = Project::new().file("taken/file", "mine");
    for name in ["Mine", "1st", "a_b", "", "local", "match", "ü"] {
        let finished = project.hm(["backend", "new", name]).run().expect(2);
        assert!(
            finished.errors().contains("cannot be a backend's name"),
            "{name}"
        );
    }
    project
        .hm(["backend", "new", "taken"])
        .run()
        .expect(2)
        .says(&["`taken` is there already", "-d DIR"]);
    assert_eq!(
        fs::read(project.path().join("taken/file")).unwrap(),
        b"mine"
    );
    project
        .hm(["backend", "new", "mine", "--sdk", "nowhere"])
        .run()
        .expect(2)
        .says(&["there is no SDK at"]);
    assert!(
        !project.path().join("mine").exists(),
        "nothing is left of it"
    );
}

#[test]
fn the_sdk_may_be_a_folder_or_a_version() {
    let project = Project::new();
    let sdk = workspace().join("sdk");
    let sdk = sdk.to_str().unwrap();
    project
        .hm(["backend", "new", "mine", "--sdk", sdk])
        .run()
        .expect(0);
    let manifest = |name: &str| fs::read_to_string(project.path().join(name)).unwrap();
    let mine = manifest("mine/Cargo.toml");
    assert!(
        mine.contains(&format!(
            "hm-backend-testkit = {{ path = \"{sdk}/testkit\" }}"
        )),
        "{mine}"
    );
    assert!(!project.path().join("mine/vendor").exists());
    project
        .hm(["backend", "new", "other", "--sdk", "0.1"])
        .run()
        .expect(0);
    assert!(manifest("other/Cargo.toml").contains("hm-backend-sdk = \"0.1\""));
}

#[test]
fn what_cannot_be_built_says_why() {
    let project = Project::new();
    project
        .hm(["backend", "build"])
        .run()
        .expect(2)
        .says(&["there is no backend's project", "hm backend new NAME"]);
    shell(&project, "hm backend new faulty").run().expect(0);
    lend_components(&project.path().join("faulty"));
    project.write("faulty/src/lib.rs", "fn broken( {}");
    let finished = shell(&project, "cd faulty; hm backend build")
        .run()
        .expect(1);
    assert!(
        finished.errors().contains("src/lib.rs:1"),
        "{}",
        finished.errors()
    );
    assert!(!project.path().join("faulty/faulty.wasm").exists());
}

#[test]
fn dev_builds_grants_and_runs_again_at_a_change() {
    let project = Project::new();
    shell(&project, "hm backend new eager").run().expect(0);
    let folder = project.path().join("eager");
    lend_components(&folder);
    let script = "cd eager
        hm backend dev --allow='--vm --vm-image host' -- hello > dev.out 2>&1 &
        dev=$!
        trap 'kill $dev' EXIT
        for _ in $(seq 6000); do grep -q 'waiting for a change' dev.out && break; sleep 0.1; done
        sed -i 's/start(\"machine\")/start(\"changed\")/' src/lib.rs
        for _ in $(seq 6000); do [ $(grep -c 'waiting for a change' dev.out) = 2 ] && break; sleep 0.1; done
        cat dev.out";
    let finished = shell(&project, script).run();
    let said = finished.errors() + &finished.text();
    finished.expect(0);
    assert_eq!(said.matches("the greeting is there").count(), 2, "{said}");
    assert!(changed(&folder), "{said}");
}

fn changed(folder: &Path) -> bool {
    let code = fs::read_to_string(folder.join("src/lib.rs")).expect("it was written");
    code.contains("start(\"changed\")")
}
