//! Which files a step sees: its parent's, or the source alone.

use hm_tests::Project;

use crate::build;

#[test]
fn builds_in_hands_files_on_and_depends_on_only_waits() {
    let project = Project::toml(
        r#"
image = "host"
[steps.base]
run = "echo made > made; mkdir -p /opt/tool; echo t > /opt/tool/t"
[steps.child]
from = "base"
run = "cat made /opt/tool/t"
[steps.sibling]
from = "base"
run = "cat made; rm made; echo mine > mine"
[steps.waits]
needs = ["base", "child"]
run = "test ! -e made && test ! -e /opt/tool"
[steps.both]
from = "child"
needs = ["sibling"]
run = "cat made; test ! -e mine"
"#,
    );
    let build = build(&project, &[], 0);
    build.assert_ends(&[]);
    assert_eq!(build.step("child").stdout(), ["made", "t"]);
}

#[test]
fn changes_to_the_source_survive_into_children() {
    let project = Project::toml(
        r#"
image = "host"
[steps.edit]
run = "echo new > kept; rm gone; mv moved elsewhere; chmod 755 tool; rm -r folder"
[steps.chain]
from = "edit"
run = "test \"$(cat kept)\" = new && test ! -e gone && test -e elsewhere && test ! -e moved && test -x tool && test ! -e folder"
[steps.fork]
from = "edit"
run = "test \"$(cat kept)\" = new && test ! -e gone && test -e elsewhere && test ! -e moved && test -x tool && test ! -e folder"
[steps.fresh]
run = "test \"$(cat kept)\" = old && test -e gone && test -e folder/a"
"#,
    )
    .file("kept", "old\n")
    .file("gone", "")
    .file("moved", "")
    .file("tool", "")
    .file("folder/a", "");
    build(&project, &[], 0).assert_ends(&[]);
    assert_eq!(
        std::fs::read_to_string(project.path().join("kept")).unwrap(),
        "old\n",
        "the tree itself is untouched"
    );
    assert!(project.path().join("gone").exists());
}

#[test]
fn the_source_is_as_it_is() {
    let project = Project::toml(
        r#"
[steps.a]
image = "host"
run = "pwd; ls -A; test -L link && readlink link dangling; test -d empty && test -x run.sh && test -e .hidden && test ! -e ignored.log && test ! -e .git"
"#,
    )
    .file("file", "x")
    .file(".hidden", "x")
    .file(".gitignore", "*.log\n")
    .file("ignored.log", "x")
    .file(".git/HEAD", "ref: refs/heads/main\n")
    .file("run.sh", "#!/bin/sh\n");
    let path = project.path();
    std::os::unix::fs::symlink("file", path.join("link")).unwrap();
    std::os::unix::fs::symlink("nowhere/at/all", path.join("dangling")).unwrap();
    std::fs::create_dir(path.join("empty")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(path.join("run.sh"), mode).unwrap();
    let build = build(&project, &[], 0);
    let lines = build.step("a").stdout();
    assert_eq!(lines[0], "/workspace");
    assert_eq!(lines[lines.len() - 2..], ["file", "nowhere/at/all"]);
}

#[test]
fn the_source_is_todays() {
    let project =
        Project::toml("[steps.a]\nimage = \"host\"\nrun = \"cat file; test ! -e deleted\"")
            .file("file", "first");
    assert_eq!(build(&project, &[], 0).step("a").stdout(), ["first"]);
    project.write("file", "second");
    project.write("deleted", "");
    build(&project, &[], 1);
    std::fs::remove_file(project.path().join("deleted")).unwrap();
    assert_eq!(build(&project, &[], 0).step("a").stdout(), ["second"]);
}

/// What a step changes in a lent file system must not reach this machine.
#[test]
fn the_machines_own_files_are_out_of_reach() {
    let marker = crate::marker();
    let project = Project::toml(&format!(
        "[steps.a]\nimage = \"host\"\nrun = \"echo x > /usr/hm-{marker}; echo x > /tmp/hm-{marker}; echo x > /etc/hm-{marker}; ls /usr/hm-{marker}\"",
    ));
    project.run().run().build();
    for folder in ["/usr", "/tmp", "/etc"] {
        assert!(
            !std::path::Path::new(folder)
                .join(format!("hm-{marker}"))
                .exists(),
            "{folder}"
        );
    }
}

#[test]
fn from_a_subdirectory() {
    let project = Project::toml("[steps.a]\nimage = \"host\"\nrun = \"cat top deep/er/file\"")
        .file("top", "t\n");
    project.write("deep/er/file", "f\n");
    let build = project.run().folder("deep/er").run().expect(0).build();
    assert_eq!(build.step("a").stdout(), ["t", "f"]);
    let outside = project
        .run()
        .folder("..")
        .args(["-d", "project/deep"])
        .run()
        .expect(0)
        .build();
    assert_eq!(outside.step("a").stdout(), ["t", "f"]);
}
