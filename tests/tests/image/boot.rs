//! What steps find in an image.

use hm_tests::image::{Image, busybox, digest};
use hm_tests::{Archive, Project};
use serde_json::json;

use crate::{archive, import, pipeline};

/// Runs steps in an imported image, and returns the last one's output.
#[track_caller]
fn run(project: &Project, commands: &[&str]) -> Vec<String> {
    project.write(".hm/ci.toml", pipeline("base", commands));
    let build = project.run().run().expect(0).build();
    let last = format!("s{}", commands.len() - 1);
    let lines = build.step(&last).stdout();
    lines.into_iter().map(str::to_owned).collect()
}

#[test]
fn a_step_runs_in_an_imported_root_file_system() {
    let Some(root) = busybox("a step in an image") else {
        return;
    };
    let project = Project::new().file("source.txt", "the source\n");
    import(&project, &root.finish(), "base").expect(0);
    let seen = run(
        &project,
        &[
            "cat /etc/marker source.txt; pwd; id -u; echo $PATH; echo $HOME; ls /usr/bin | wc -l; hostname",
        ],
    );
    assert_eq!(
        seen,
        [
            "in the image",
            "the source",
            "/workspace",
            "0",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "/root",
            "0",
            "machine"
        ],
        "nothing of the host's is there"
    );
}

#[test]
fn what_steps_leave_is_seen_by_those_after_them_and_by_nobody_else() {
    let Some(root) = busybox("chains in an image") else {
        return;
    };
    let project = Project::new();
    import(&project, &root.finish(), "base").expect(0);
    let seen = run(
        &project,
        &[
            "echo new > /etc/new; rm /etc/marker; mkdir -p /opt/tool; echo x > /etc/hosts",
            "cat /etc/new; test -e /etc/marker || echo gone; ls -d /opt/tool; grep -c localhost /etc/hosts",
        ],
    );
    assert_eq!(seen, ["new", "gone", "/opt/tool", "2"]);
    let seen = run(
        &project,
        &["cat /etc/marker; ls /opt/tool 2>&1 | grep -c 'No such'"],
    );
    assert_eq!(seen, ["in the image", "1"], "the image is as it was");
}

/// As package managers do.
#[test]
fn files_can_be_given_to_other_users() {
    if !rustix::process::geteuid().is_root() {
        return hm_tests::cannot("ownership in images", "this user cannot give files away");
    }
    let Some(root) = busybox("ownership in an image") else {
        return;
    };
    let project = Project::new();
    import(&project, &root.finish(), "base").expect(0);
    let seen = run(
        &project,
        &[
            "stat -c %u:%g /home/app; touch /home/app/f; chown 33:2000 /home/app/f; mkdir /srv; chown app /srv",
            "stat -c %u:%g /home/app /home/app/f /srv",
        ],
    );
    assert_eq!(seen, ["1000:1001", "33:2000", "1000:0"]);
}

#[test]
fn the_images_configuration_counts() {
    let Some(root) = busybox("an image's configuration") else {
        return;
    };
    let project = Project::new();
    let config = json!({
        "Env": ["PATH=/bin:/opt/bin", "LANGUAGE=image", "BOTH=image"], "User": "app",
        "WorkingDir": "/home/app", "Entrypoint": ["/bin/false"], "Cmd": ["/bin/false"],
    });
    let image = Image::new(vec![root.finish()], &config);
    let path = archive(
        &project,
        "saved.tar",
        &image.docker_archive(&["team/base:v1"]),
    );
    let done = project.hm(["image", "import"]).arg(&path).run().expect(0);
    assert!(
        done.text().starts_with("imported team/base:v1: sha256:"),
        "{}",
        done.text()
    );
    project.write(
        ".hm/ci.toml",
        pipeline(
            "team/base:v1",
            &["echo $PATH $LANGUAGE $BOTH $HOME; pwd; id -u; id -g; id -G"],
        ) + "env = { BOTH = \"step\" }\n",
    );
    let build = project.run().run().expect(0).build();
    let root = rustix::process::geteuid().is_root();
    let (user, group, groups) = if root {
        ("1000", "1001", "1001 2000")
    } else {
        ("0", "0", "0")
    };
    assert_eq!(
        build.step("s0").stdout(),
        [
            "/bin:/opt/bin image step /home/app",
            "/workspace",
            user,
            group,
            groups
        ]
    );
}

#[test]
fn an_image_without_a_shell_says_so() {
    let project = Project::new();
    let root = Archive::new().folder("etc/").file("etc/x", "x").finish();
    import(&project, &root, "base").expect(0);
    project.write(".hm/ci.toml", pipeline("base", &["true"]));
    project
        .run()
        .run()
        .expect(4)
        .says(&["the image has no `sh`", "use an image with a shell"]);
}

#[test]
fn a_shell_is_found_on_the_images_own_path() {
    let Some(root) = busybox("a shell elsewhere") else {
        return;
    };
    let project = Project::new();
    // As distroless images have it.
    let moved = root
        .symlink("bin/sh", "/nowhere")
        .symlink("usr/bin/sh", "/bin/busybox")
        .finish();
    import(&project, &moved, "base").expect(0);
    assert_eq!(run(&project, &["echo here"]), ["here"]);
}

/// Nothing is mounted, and nothing written, through a link that an image has in the place
/// of a folder of the system.
#[test]
fn links_in_the_place_of_system_folders_lead_nowhere() {
    let Some(root) = busybox("links for system folders") else {
        return;
    };
    let project = Project::new();
    let mut root = root;
    for name in ["proc", "dev", "sys", "run"] {
        root = root.symlink(name, "/etc");
    }
    let root = root.symlink("etc/resolv.conf", "/etc/passwd").finish();
    import(&project, &root, "base").expect(0);
    let seen = run(
        &project,
        &["cat /proc/self/comm; ls /dev/null; head -1 /etc/passwd; cat /etc/marker"],
    );
    assert_eq!(
        seen,
        [
            "cat",
            "/dev/null",
            "root:x:0:0:root:/root:/bin/sh",
            "in the image"
        ]
    );
}

#[test]
fn a_cached_step_in_an_image_is_served_until_the_image_changes() {
    let Some(root) = busybox("the cache with images") else {
        return;
    };
    let project = Project::new();
    import(&project, &root.clone().finish(), "base").expect(0);
    let text = "image = \"base\"\n[steps.tool]\nrun = \"cat /etc/marker > /tool\"\n\
                cache = \"forever\"\n[steps.use]\nfrom = \"tool\"\nrun = \"cat /tool /etc/marker\"\n";
    project.write(".hm/ci.toml", text);
    let hit = |code| {
        let build = project.run().run().expect(code).build();
        (
            build.step("tool").is_cached,
            build.step("use").stdout().join("+"),
        )
    };
    assert_eq!(hit(0), (false, "in the image+in the image".to_owned()));
    assert_eq!(hit(0), (true, "in the image+in the image".to_owned()));
    let other = root.mode(0o644).file("etc/marker", "another\n").finish();
    import(&project, &other, "base").expect(0);
    assert_eq!(hit(0), (false, "another+another".to_owned()));
    assert_eq!(hit(0), (true, "another+another".to_owned()));
}

#[test]
fn layers_hide_what_lies_below_them() {
    let Some(root) = busybox("whiteouts") else {
        return;
    };
    let project = Project::new();
    let lower = root
        .folder("data/")
        .file("data/a", "a")
        .file("data/b", "b")
        .folder("data/deep/")
        .file("data/deep/c", "c")
        .file("data/kind", "was a file");
    let upper = Archive::new()
        .file("data/.wh.a", "")
        .folder("data/deep/")
        .file("data/deep/.wh..wh..opq", "")
        .file("data/deep/d", "d")
        .file("data/.wh.kind", "")
        .folder("data/kind/")
        .file("data/kind/now", "a folder");
    let image = Image::new(vec![lower.finish(), upper.finish()], &json!({}));
    let path = archive(&project, "saved.tar", &image.docker_archive(&["base"]));
    project.hm(["image", "import"]).arg(&path).run().expect(0);
    let seen = run(&project, &["cd /data; find . | sort; cat kind/now"]);
    assert_eq!(
        seen,
        [
            ".",
            "./b",
            "./deep",
            "./deep/d",
            "./kind",
            "./kind/now",
            "a folder"
        ]
    );
    assert!(
        digest(b"").starts_with("sha256:e3b0c442"),
        "digests are digests"
    );
}
