//! Archives that mean harm: each is refused by name, or unpacked without what is harmful,
//! and nothing of it is anywhere else.

use std::fs;
use std::path::Path;

use hm_tests::image::busybox;
use hm_tests::{Archive, Project};

use crate::{import, pipeline};

/// Imports a hostile archive, which must be refused with these words and leave nothing.
#[track_caller]
fn refused(archive: &[u8], words: &[&str]) {
    let project = Project::new();
    let done = import(&project, archive, "evil").expect(4).says(words);
    assert!(done.errors().contains("to fix:"), "{}", done.said());
    assert_clean(&project);
}

/// Checks that no image, no layer and nothing half-made is there.
#[track_caller]
fn assert_clean(project: &Project) {
    let images = project.state().join("images");
    for folder in ["known", "layers/trusted", "layers/user", "making"] {
        let left: Vec<_> = fs::read_dir(images.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
    let trash: Vec<_> = fs::read_dir(project.state().join("trash"))
        .unwrap()
        .collect();
    assert!(trash.is_empty(), "left in the trash: {trash:?}");
}

/// Imports an archive over a small root file system, and returns what a step prints.
#[track_caller]
fn seen(test: &str, hostile: impl Fn(Archive) -> Archive, command: &str) -> Option<Vec<String>> {
    let project = Project::new();
    let archive = hostile(busybox(test)?).finish();
    import(&project, &archive, "base").expect(0);
    project.write(".hm/ci.toml", pipeline("base", &[command]));
    let build = project.run().run().expect(0).build();
    Some(
        build
            .step("s0")
            .stdout()
            .into_iter()
            .map(str::to_owned)
            .collect(),
    )
}

#[test]
fn parents_lead_out() {
    refused(
        &Archive::new().file("../evil", "x").finish(),
        &["`../evil` leads out of the layer"],
    );
    refused(
        &Archive::new()
            .folder("a/")
            .file("a/b/../../../evil", "x")
            .finish(),
        &["leads out of the layer"],
    );
}

#[test]
fn absolute_names_stay_inside() {
    let marker = format!("/hm-absolute-{}", std::process::id());
    let inside = seen(
        "absolute names",
        |root| root.file(&marker, "inside"),
        &format!("cat {marker}"),
    );
    assert!(!Path::new(&marker).exists(), "it is on the host");
    if let Some(inside) = inside {
        assert_eq!(inside, ["inside"]);
    }
}

#[test]
fn a_link_out_of_the_layer_leads_nowhere() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap().to_owned();
    let up = format!("{}{target}", "../".repeat(30));
    for link in [&target, &up] {
        // The folder exists on the host and not in the layer: the link leads nowhere.
        refused(
            &Archive::new()
                .symlink("out", link)
                .file("out/evil", "x")
                .finish(),
            &["`out/evil` lies behind a link that leads nowhere"],
        );
        let left = fs::read_dir(outside.path()).unwrap().count();
        assert_eq!(left, 0, "it was written on the host");
    }
}

/// A link to a folder that the layer has, too, leads to that and not to the host's.
#[test]
fn a_link_to_the_root_is_the_layers_root() {
    let marker = format!("hm-link-{}", std::process::id());
    let inside = seen(
        "links to the root",
        |root| {
            root.symlink("top", "/")
                .file(format!("top/tmp/{marker}"), "inside")
        },
        &format!("cat /tmp/{marker}"),
    );
    assert!(
        !Path::new("/tmp").join(&marker).exists(),
        "it is on the host"
    );
    if let Some(inside) = inside {
        assert_eq!(inside, ["inside"]);
    }
}

#[test]
fn hard_links_do_not_reach_the_host() {
    refused(
        &Archive::new().hard_link("shadow", "/etc/shadow").finish(),
        &["`shadow` is a hard link to what this layer does not have"],
    );
    refused(
        &Archive::new()
            .hard_link("shadow", "../../../../etc/shadow")
            .finish(),
        &["leads out of the layer"],
    );
    refused(
        &Archive::new()
            .symlink("etc", "/etc")
            .hard_link("shadow", "etc/shadow")
            .finish(),
        &["is a hard link to what this layer does not have"],
    );
    refused(
        &Archive::new().folder("a/").hard_link("b", "a").finish(),
        &["is a hard link to a folder"],
    );
}

/// A link to a link is the link, not what it leads to.
#[test]
fn a_hard_link_to_a_link_is_not_followed() {
    let inside = seen(
        "hard links to links",
        |root| root.symlink("a", "/etc/marker").hard_link("b", "a"),
        "readlink /b",
    );
    if let Some(inside) = inside {
        assert_eq!(inside, ["/etc/marker"]);
    }
}

#[test]
fn devices_are_left_out() {
    let inside = seen(
        "devices",
        |root| {
            root.device(b'3', "etc/mem", 1, 1)
                .device(b'4', "etc/disk", 8, 0)
                .device(b'3', "etc/marker", 0, 0)
        },
        "ls /etc",
    );
    if let Some(inside) = inside {
        for name in ["mem", "disk"] {
            assert!(!inside.iter().any(|seen| seen == name), "{name} is there");
        }
        assert!(
            inside.iter().any(|seen| seen == "marker"),
            "a device 0/0 is no whiteout in an image"
        );
    }
}

#[test]
fn whiteouts_stay_in_their_folder() {
    for name in [".wh...", "a/.wh...", ".wh..", ".wh."] {
        refused(
            &Archive::new().folder("a/").file(name, "").finish(),
            &["is a whiteout that leads out of its folder"],
        );
    }
}

#[test]
fn overlayfs_is_told_nothing() {
    let inside = seen(
        "attributes of overlayfs",
        |root| {
            root.records(&[
                ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
                ("SCHILY.xattr.user.overlay.opaque", b"y"),
                ("SCHILY.xattr.trusted.overlay.redirect", b"/../../etc"),
                ("SCHILY.xattr.user.kept", b"yes"),
                ("HM.opaque", b"y"),
            ])
            .folder("etc/")
        },
        "cat /etc/marker",
    );
    if let Some(inside) = inside {
        assert_eq!(inside, ["in the image"]);
    }
}

#[test]
fn too_large_is_named() {
    let project = Project::new();
    std::fs::write(
        project.config().join("config.toml"),
        "[image]\nbytes = \"1MiB\"\nentries = 100\n",
    )
    .unwrap();
    let large = Archive::new().file("large", vec![7; 2 << 20]).finish();
    import(&project, &large, "evil").expect(4).says(&[
        "more than 1048576 bytes when unpacked",
        "`image.bytes`",
        "raise",
    ]);
    let mut many = Archive::new();
    for number in 0..200 {
        many = many.file(format!("f{number}"), "");
    }
    import(&project, &many.finish(), "evil")
        .expect(4)
        .says(&["more than 100 entries", "`image.entries`"]);
    assert_clean(&project);
}

/// Half a gibibyte of zeros in half a mebibyte.
#[test]
fn what_grows_beyond_reason_is_named() {
    use std::io::Write;
    let size: u64 = 1 << 29;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let start = Archive::new().torn("zeros", size, b"");
    encoder.write_all(&start).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..size >> 20 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 2 << 20, "it is small");
    refused(
        &bomb,
        &["more than 200 times its compressed size", "`image.ratio`"],
    );
}

#[test]
fn a_header_does_not_fill_memory() {
    let name = vec![b'a'; 3 << 20];
    refused(
        &Archive::new().file(&name, "x").finish(),
        &["names and attributes of more than 1 MiB"],
    );
}

#[test]
fn names_beyond_the_file_systems_are_told() {
    refused(
        &Archive::new().file([b'a'; 300], "x").finish(),
        &["cannot be written", "name too long"],
    );
}

#[test]
fn odd_names_are_names() {
    let inside = seen(
        "odd names",
        |root| {
            root.folder("odd/")
                .file(b"odd/\xff\xfe", "x")
                .file("odd/ a b\n", "x")
                .file("odd/-rf", "x")
                .file("odd/wh.x", "x")
        },
        "set -- /odd/*; echo $#; rm -- /odd/-rf; ls /odd/wh.x",
    );
    if let Some(inside) = inside {
        assert_eq!(inside, ["4", "/odd/wh.x"]);
    }
}

/// The last entry of a name is what is there, whatever came before.
#[test]
fn what_comes_twice_is_replaced() {
    let inside = seen(
        "duplicate entries",
        |root| {
            root.file("d", "first")
                .symlink("d", "/etc/passwd")
                .file("d", "last")
                .folder("e/")
                .file("e/f", "f")
                .file("e", "now a file")
                .file("g", "was a file")
                .folder("g/")
                .file("g/h", "h")
        },
        "cat /d; echo; cat /e; echo; cat /g/h; echo; head -1 /etc/passwd",
    );
    if let Some(inside) = inside {
        assert_eq!(
            inside,
            ["last", "now a file", "h", "root:x:0:0:root:/root:/bin/sh"],
            "and nothing was written through the link"
        );
    }
}

#[test]
fn set_user_id_programs_give_nothing() {
    let inside = seen(
        "set-user-id",
        |root| {
            root.mode(0o4755)
                .file("bin/su-like", b"#!/bin/sh\nid -u\n")
                .mode(0o755)
        },
        "stat -c %a /bin/su-like; grep -c NoNewPrivs:.1 /proc/self/status",
    );
    if let Some(inside) = inside {
        assert_eq!(inside, ["4755", "1"]);
    }
}

#[test]
fn torn_and_foreign_archives_are_told() {
    refused(
        &Archive::new().torn("half", 4096, b"only this"),
        &["archive cannot be read"],
    );
    refused(&[7; 2048], &["archive cannot be read"]);
    refused(b"\xfd7zXZ\0rest", &["compressed with xz"]);
    refused(b"BZh91AY&SY", &["compressed with bzip2"]);
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    gzip.extend([0xff; 64]);
    refused(&gzip, &["archive cannot be read"]);
}

#[test]
fn the_root_cannot_be_replaced() {
    refused(
        &Archive::new().symlink("./", "/etc").finish(),
        &["would replace the layer's root"],
    );
}

#[test]
fn what_is_below_a_file_is_refused() {
    refused(
        &Archive::new().file("a", "x").file("a/b", "x").finish(),
        &["`a/b` lies below what is no folder"],
    );
    refused(
        &Archive::new().symlink("l", "l").file("l/b", "x").finish(),
        &["links that go in a circle"],
    );
}
