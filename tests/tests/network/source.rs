//! The source tree in the hands of a component.

use std::io::Read;

use hm_tests::{Peer, Project};

use super::{call, flags, grant, script, to};

/// A tree with everything that a tree can have.
fn tree(lines: &[String]) -> Project {
    let project = script(lines)
        .file("src/main.c", "int main() {}\n")
        .file("run.sh", "#!/bin/sh\n")
        .file("ignored/x", "not for anybody\n")
        .file(".gitignore", "ignored/\n")
        .file("deep/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z/and-a-name-that-alone-is-longer-than-the-hundred-characters-of-an-old-tar-header", "deep\n");
    use std::os::unix::fs::{PermissionsExt, symlink};
    let path = |name: &str| project.path().join(name);
    std::fs::create_dir(path("empty")).unwrap();
    symlink("src/main.c", path("link")).unwrap();
    symlink("nowhere", path("dangling")).unwrap();
    std::fs::set_permissions(path("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(path("src/main.c"), std::fs::Permissions::from_mode(0o644)).unwrap();
    project
}

fn unpacked(bytes: &[u8]) -> Vec<(String, u32, String, String)> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
    let mut entries = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        assert_eq!(header.mtime().unwrap(), 315_532_800);
        let mode = header.mode().unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let link = entry.link_name().unwrap();
        let link = link
            .map(|link| link.display().to_string())
            .unwrap_or_default();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        entries.push((path, mode, link, text));
    }
    entries
}

#[test]
fn an_archive_holds_the_tree_and_nothing_else() {
    let peer = Peer::fixed("200 OK", "", "taken");
    let upload = format!(
        "PUT http://127.0.0.1:{}/source | body: @archive",
        peer.port()
    );
    let project = tree(&["measure".into(), "archive".into(), upload]);
    grant(&project, &flags(&to(&peer)));
    let build = call(&project).expect(0).build();
    let said = build.step("a").stdout();
    assert_eq!(said[2], "200 5 bytes taken");
    let requests = peer.requests();
    let entries = unpacked(&requests[0].body);
    let names: Vec<_> = entries.iter().map(|(name, ..)| name.as_str()).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    // A folder's slash sorts it behind a name that goes on with something smaller.
    sorted.sort_by_key(|name| name.trim_end_matches('/').to_owned());
    assert_eq!(names, sorted);
    let find = |name: &str| entries.iter().find(|(own, ..)| own == name);
    assert_eq!(find("src/main.c").unwrap().3, "int main() {}\n");
    assert_eq!(find("src/main.c").unwrap().1, 0o644);
    assert_eq!(find("run.sh").unwrap().1, 0o755);
    assert_eq!(find("link").unwrap().2, "src/main.c");
    assert_eq!(find("dangling").unwrap().2, "nowhere");
    assert!(find("empty/").is_some());
    assert!(names.iter().any(|name| name.ends_with("old-tar-header")));
    assert!(
        !names
            .iter()
            .any(|name| name.starts_with("ignored") || name.starts_with(".git/"))
    );
    // Both see the same tree, and count it alike.
    assert!(said[1].starts_with(said[0]), "{said:?}");
    assert!(
        said[1].contains(&format!("{} packed", requests[0].body.len())),
        "{said:?}"
    );
}

/// Whoever sends a tree twice can tell that it is the same.
#[test]
fn the_same_tree_makes_the_same_bytes() {
    let archive = || {
        let project = tree(&["archive".into()]);
        grant(&project, &["--http", "none"]);
        let build = call(&project).expect(0).build();
        build.step("a").stdout()[0].to_owned()
    };
    assert_eq!(archive(), archive());
}

#[test]
fn a_tree_that_is_too_large_is_told_with_what_takes_the_room() {
    let project = script(&["too-large"])
        .file("data/huge.bin", vec![7; 300_000])
        .file("small", "x");
    grant(&project, &["--http", "none"]);
    call(&project).expect(2).says(&[
        "too large",
        "9000000",
        "data/huge.bin",
        "300000",
        ".hmignore",
    ]);
}
