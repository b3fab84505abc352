//! The interface's versions: the published one does not change, and what was built against
//! it keeps running.

use std::fs;

use hm_tests::{Project, workspace};
use sha2::{Digest, Sha256};

/// Of `wit/v0.1`, each file by its name and its text. It is published: what is to change
/// goes into a folder beside it, and the host gets an adapter (`ARCHITECTURE.md`).
const FROZEN: &str = "e93d45c4620e80354f0f7518eb997c6aebfad787ce80491671ee90129bfe81c1";

#[test]
fn the_published_interface_is_frozen() {
    let folder = workspace().join("wit/v0.1");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("it is there")
        .map(|entry| entry.expect("it is being read").path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let mut digest = Sha256::new();
    for path in files {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("UTF-8");
        let text = fs::read(&path).expect("it can be read");
        digest.update(format!("{name} {}\n", text.len()));
        digest.update(text);
    }
    let digest: String = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        digest, FROZEN,
        "wit/v0.1 is published and must not change: put the new version into a folder beside it"
    );
}

/// A backend's component that was compiled when the interface was frozen: `examples/backends/machines`,
/// with the SDK of that time. It is never built again.
#[test]
fn a_component_from_the_time_of_the_freeze_keeps_running() {
    let component = workspace().join("tests/fixtures/machines-v0.1.wasm");
    let project = Project::toml(
        "image = \"host\"\n[steps.a]\nrun = \"echo kept > kept\"\n[steps.b]\nfrom = \"a\"\nrun = \"cat kept\"\n\
         [steps.c]\nneeds = [\"b\"]\nrun = \"exit 4\"\n",
    );
    project
        .hm(["backend", "grant"])
        .arg(&component)
        .args(["--vm", "--vm-image", "host"])
        .run()
        .expect(0);
    let build = project
        .run()
        .arg("--backend")
        .arg(&component)
        .run()
        .expect(1)
        .build();
    assert_eq!(build.step("b").lines[0].text, "kept");
    assert_eq!(build.step("c").exit_code, Some(4));
    let finished = project.hm(["backend", "test"]).arg(&component).run();
    let text = finished.text();
    assert!(!text.contains("FAIL"), "{text}");
    finished.expect(0);
}
