//! What a backend says of itself, and how (L4, T1).

use std::path::PathBuf;

use hm_tests::Project;

use super::SOON;
use crate::stage::{VM, by, endures, grant, misbehave, one_step, works, write};

/// The guest, told by a mark in its bytes to describe itself in another way.
fn describing(project: &Project, how: &str) -> PathBuf {
    let mark = b"misbehave-describes:";
    let mut bytes = std::fs::read(misbehave()).unwrap();
    let at = bytes.windows(mark.len()).position(|part| part == mark);
    let at = at.expect("the mark is in the data of the guest") + mark.len();
    bytes[at..at + 12].copy_from_slice(format!("{how:.<12}").as_bytes());
    let path = write(project, how, &bytes);
    grant(project, &path, VM);
    path
}

#[test]
fn a_description_is_a_name_and_a_version_in_time() {
    let project = one_step();
    for (how, says) in [
        ("panics", "crashed: "),
        (
            "escapes",
            "broke the protocol: `describe` gives a name that is not",
        ),
        (
            "capitals",
            "broke the protocol: `describe` gives a name that is not",
        ),
        (
            "nothing",
            "broke the protocol: `describe` gives a name that is not",
        ),
        (
            "length",
            "broke the protocol: `describe` gives a name that is not",
        ),
        (
            "version",
            "broke the protocol: `describe` gives a version of more than 64 bytes",
        ),
        ("size", "went over a limit: one call's data 2 MiB"),
    ] {
        let path = describing(&project, how);
        let finished = endures(by(&project, &path), &[8], SOON).says(&[says]);
        assert_eq!(finished.text(), "", "{how}");
    }
    let path = describing(&project, "loops");
    grant(
        &project,
        &path,
        &["--limit", "describe=1s"]
            .iter()
            .chain(VM)
            .copied()
            .collect::<Vec<_>>(),
    );
    let says = "`describe` took longer than the limit describe 1 s";
    endures(by(&project, &path), &[8], SOON).says(&[says]);
    works(&project);
}

/// While it describes itself everything is denied, whatever was granted.
#[test]
fn nothing_is_granted_to_a_backend_that_describes_itself() {
    let project = one_step();
    let path = describing(&project, "calls");
    let finished = by(&project, &path).arg("-v").run();
    let errors = finished.errors();
    assert!(
        errors.contains("while describing: Err(VmError::Denied"),
        "{errors}"
    );
    assert_eq!(finished.expect(0).build().status, "passed");
}
