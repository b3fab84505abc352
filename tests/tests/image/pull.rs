//! Images from a real registry server.

use std::fs;
use std::path::Path;

use hm_tests::image::{Image, architecture, busybox, digest};
use hm_tests::{Project, RegistryOptions, RegistryServer};
use serde_json::{Value, json};

use crate::pipeline;

/// `hm` with the password `s3cret`.
const HTPASSWD: &str = "hm:$2y$05$uW9gKHLFlzb/Cyy86ucqRuriW87ow5UAUX7JnVDWZkXlILbd9LFjm\n";
/// The same, as Docker's configuration has it.
const AUTH: &str = "aG06czNjcmV0";

fn image(test: &str) -> Option<Image> {
    let root = busybox(test)?.finish();
    let upper = hm_tests::Archive::new()
        .mode(0o644)
        .file("etc/upper", "upper\n")
        .finish();
    let packed = zstd::encode_all(&upper[..], 1).unwrap();
    let diff_ids = vec![digest(&root), digest(&upper)];
    Some(Image::packed(
        vec![gzip(&root), packed],
        diff_ids,
        &json!({ "Env": ["FROM=registry"] }),
    ))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A server with one image, `x:tag`.
fn server(test: &str, options: &RegistryOptions) -> Option<(RegistryServer, Image)> {
    let image = image(test)?;
    let server = RegistryServer::start(test, options)?;
    server.put("x", "tag", &image);
    Some((server, image))
}

#[track_caller]
fn run(project: &Project, image: &str) -> Vec<String> {
    project.write(
        ".hm/ci.toml",
        pipeline(image, &["cat /etc/marker /etc/upper; echo $FROM"]),
    );
    let build = project.run().run().expect(0).build();
    build
        .step("s0")
        .stdout()
        .into_iter()
        .map(str::to_owned)
        .collect()
}

fn notices(events: &[Value]) -> Vec<String> {
    let notices = events.iter().filter(|event| event["kind"] == "notice");
    notices
        .map(|event| event["message"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn a_run_pulls_what_it_needs_once_and_says_so() {
    let Some((server, _)) = server("pulling", &RegistryOptions::default()) else {
        return;
    };
    let project = Project::new();
    let name = format!("{}/x:tag", server.host);
    project.write(
        ".hm/ci.toml",
        pipeline(&name, &["cat /etc/marker /etc/upper; echo $FROM"]),
    );
    let build = project.run().run().expect(0).build();
    assert_eq!(
        build.step("s0").stdout(),
        ["in the image", "upper", "registry"]
    );
    let told = notices(&build.events);
    assert!(
        told[0].contains(&format!("pulling the image `{name}`")),
        "{told:?}"
    );
    assert!(
        told.last().unwrap().contains("pulled the image"),
        "{told:?}"
    );
    drop(server);
    let again = project.run().run().expect(0).build();
    assert_eq!(
        again.step("s0").stdout(),
        ["in the image", "upper", "registry"]
    );
    assert_eq!(
        notices(&again.events),
        [""; 0],
        "it is here, without a registry"
    );
}

#[test]
fn a_tag_that_moved_is_followed_when_asked_for() {
    let Some((server, image)) = server("moved tags", &RegistryOptions::default()) else {
        return;
    };
    let project = Project::new();
    let name = format!("{}/x:tag", server.host);
    let pull = || {
        project
            .hm(["image", "pull"])
            .arg(&name)
            .run()
            .expect(0)
            .text()
    };
    let first = pull();
    assert_eq!(
        first,
        format!("{name} pulled: {}\n", digest(&image.manifest()))
    );
    assert!(pull().contains("is up to date"));
    let moved = hm_tests::Archive::new()
        .mode(0o644)
        .file("etc/marker", "moved\n")
        .finish();
    let mut layers = image.layers.clone();
    let mut diff_ids = image.diff_ids.clone();
    diff_ids.push(digest(&moved));
    layers.push(moved);
    server.put("x", "tag", &Image::packed(layers, diff_ids, &json!({})));
    assert_eq!(
        run(&project, &name)[0],
        "in the image",
        "a run does not move by itself"
    );
    assert!(pull().contains("pulled: sha256:"));
    assert_eq!(run(&project, &name)[0], "moved");
    let layers = fs::read_dir(project.state().join("images/known"))
        .unwrap()
        .count();
    assert_eq!(layers, 1, "what no name stands for is gone");
}

#[test]
fn the_platform_of_this_machine_is_chosen() {
    let Some(mine) = image("platforms") else {
        return;
    };
    let Some(server) = RegistryServer::start("platforms", &RegistryOptions::default()) else {
        return;
    };
    let entry = |image: &Image, architecture: &str| {
        let manifest = image.manifest();
        server.put("x", "of-one", image);
        json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest(&manifest), "size": manifest.len(),
            "platform": { "os": "linux", "architecture": architecture },
        })
    };
    let other = Image::new(
        vec![hm_tests::Archive::new().file("x", "x").finish()],
        &json!({}),
    );
    let index = |entries: Vec<Value>| {
        json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                "manifests": entries })
        .to_string()
    };
    let both = index(vec![entry(&other, "s390x"), entry(&mine, architecture())]);
    server.put_manifest("x", "both", both.as_bytes());
    let strange = index(vec![entry(&other, "s390x")]);
    server.put_manifest("x", "strange", strange.as_bytes());
    let project = Project::new();
    assert_eq!(
        run(&project, &format!("{}/x:both", server.host))[0],
        "in the image"
    );
    let strange = format!("{}/x:strange", server.host);
    project.write(".hm/ci.toml", pipeline(&strange, &["true"]));
    project
        .run()
        .run()
        .expect(4)
        .says(&["it is not made for linux/", "there is linux/s390x"]);
}

#[test]
fn an_image_that_is_not_there_ends_the_run() {
    let Some((server, _)) = server("missing images", &RegistryOptions::default()) else {
        return;
    };
    let project = Project::new();
    let name = format!("{}/x:none", server.host);
    project.write(".hm/ci.toml", pipeline(&name, &["true"]));
    project.run().run().expect(4).says(&[
        &format!("the image `{name}` cannot be had"),
        "manifest unknown",
        "check the name and the tag",
    ]);
    let name = format!("{}/y/z:1", server.host);
    project
        .hm(["image", "pull"])
        .arg(&name)
        .run()
        .expect(4)
        .says(&[&name, "unknown"]);
    let host = server.host.clone();
    drop(server);
    project
        .hm(["image", "pull"])
        .arg(format!("{host}/x:tag"))
        .run()
        .expect(4)
        .says(&[
            &format!("http://{host} cannot be reached"),
            "hm image import FILE",
        ]);
}

#[test]
fn a_login_is_taken_from_dockers_configuration_and_helpers() {
    let folder = tempfile::tempdir().unwrap();
    let htpasswd = folder.path().join("htpasswd");
    fs::write(&htpasswd, HTPASSWD).unwrap();
    let options = RegistryOptions {
        htpasswd: Some(htpasswd),
        tls: None,
    };
    let Some((server, _)) = server("logins", &options) else {
        return;
    };
    let project = Project::new();
    let name = format!("{}/x:tag", server.host);
    let pull = || project.hm(["image", "pull"]).arg(&name);
    pull().run().expect(4).says(&[
        "authentication required",
        &format!("log in first: `docker login {}`", server.host),
    ]);
    let docker = folder.path().join("docker");
    fs::create_dir(&docker).unwrap();
    let write = |config: &Value| fs::write(docker.join("config.json"), config.to_string()).unwrap();
    let mut auths = serde_json::Map::new();
    auths.insert(server.host.clone(), json!({ "auth": "aG06d3Jvbmc=" }));
    write(&json!({ "auths": auths }));
    let with_docker = || pull().env("DOCKER_CONFIG", &docker);
    with_docker()
        .run()
        .expect(4)
        .says(&["the login in your Docker configuration is not good"]);
    auths.insert(server.host.clone(), json!({ "auth": AUTH }));
    write(&json!({ "auths": auths }));
    let done = with_docker().run().expect(0);
    assert!(done.text().contains("pulled: sha256:"));
    assert!(!done.said().contains("s3cret") && !done.said().contains(AUTH));

    // The same from a helper.
    helper(
        folder.path(),
        "echo '{\"Username\":\"hm\",\"Secret\":\"s3cret\"}'",
    );
    let mut helpers = serde_json::Map::new();
    helpers.insert(server.host.clone(), "test".into());
    write(&json!({ "credHelpers": helpers }));
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let with_helper = || with_docker().env("PATH", &path);
    assert!(
        with_helper()
            .run()
            .expect(0)
            .text()
            .contains("is up to date")
    );
    helper(folder.path(), "echo the keychain is locked; exit 1");
    with_helper()
        .run()
        .expect(4)
        .says(&["`docker-credential-test` failed: the keychain is locked"]);
    helper(
        folder.path(),
        "echo credentials not found in native keychain; exit 1",
    );
    with_helper().run().expect(4).says(&["log in first"]);
}

fn helper(folder: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("docker-credential-test");
    fs::write(&path, format!("#!/bin/sh\ncat > /dev/null\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_private_authority_is_trusted_where_the_user_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("ca.pem"), folder.path().join("key.pem"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let options = RegistryOptions {
        htpasswd: None,
        tls: Some((certificate.clone(), key)),
    };
    let Some((server, _)) = server("TLS", &options) else {
        return;
    };
    let project = Project::new();
    let name = format!("{}/x:tag", server.host);
    let config = |text: &str| {
        let text = format!("[registries.\"{}\"]\n{text}\n", server.host);
        fs::write(project.config().join("config.toml"), text).unwrap();
    };
    config(&format!("ca = \"{}\"", certificate.display()));
    assert_eq!(run(&project, &name)[0], "in the image");
    let other = rcgen::generate_simple_self_signed(vec!["other".to_owned()]).unwrap();
    fs::write(project.config().join("other.pem"), other.cert.pem()).unwrap();
    config("ca = \"other.pem\"");
    let pull = || project.hm(["image", "pull"]).arg(&name).run().expect(4);
    pull().says(&["cannot be reached", "certificate", "`ca = \"FILE.pem\"`"]);
    config("ca = \"nowhere.pem\"");
    pull().says(&["nowhere.pem cannot be used", "correct `ca`"]);
}

/// A repository must not open what the user has closed.
#[test]
fn a_repository_says_nothing_of_registries() {
    let project = Project::toml("[steps.s]\nrun = \"true\"\nimage = \"host\"\n").file(
        ".hm/config.toml",
        "[registries.\"r.example\"]\ninsecure = true\n",
    );
    project
        .run()
        .run()
        .expect(2)
        .says(&["a repository may not set `registries`"]);
}

#[test]
fn what_a_registry_sends_is_checked() {
    let Some((server, image)) = server("damaged blobs", &RegistryOptions::default()) else {
        return;
    };
    let project = Project::new();
    let name = format!("{}/x:tag", server.host);
    let path = server.blob(&digest(&image.layers[1]));
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    fs::write(&path, damaged).unwrap();
    let pull = || project.hm(["image", "pull"]).arg(&name).run();
    pull()
        .expect(4)
        .says(&[&name, "sends as the layer", "has the digest sha256:"]);
    let listed = project.hm(["image", "list", "--json"]).run().expect(0);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["images"], json!([]), "nothing half is there");
    fs::write(&path, whole).unwrap();
    pull().expect(0);
}

#[test]
fn two_at_once_fetch_it_once() {
    let Some((server, _)) = server("pulling twice", &RegistryOptions::default()) else {
        return;
    };
    let project = Project::new();
    let name = format!("{}/x:tag", server.host);
    project.write(".hm/ci.toml", pipeline(&name, &["cat /etc/marker"]));
    let running: Vec<_> = (0..4)
        .map(|_| project.run().beside_others().start())
        .collect();
    let mut pulls = 0;
    for running in running {
        let build = running.wait().expect(0).build();
        assert_eq!(build.step("s0").stdout(), ["in the image"]);
        let told = notices(&build.events);
        pulls += told
            .iter()
            .filter(|note| note.starts_with("pulled"))
            .count();
    }
    assert_eq!(pulls, 1, "the others waited");
}

/// Whatever moment it is killed at, the next start finds all of it, and the image can be
/// pulled.
#[test]
fn a_killed_pull_leaves_nothing_and_starts_again() {
    let Some(server) = RegistryServer::start("killed pulls", &RegistryOptions::default()) else {
        return;
    };
    let mut layers = Vec::new();
    for layer in 0..4_u8 {
        let mut archive = hm_tests::Archive::new();
        for number in 0..100 {
            archive = archive.file(format!("{layer}/{number}"), vec![layer; 40_000]);
        }
        layers.push(archive.finish());
    }
    server.put("x", "large", &Image::new(layers, &json!({})));
    let project = Project::new();
    let pull = || {
        project
            .hm(["image", "pull"])
            .arg(format!("{}/x:large", server.host))
    };
    for pause in [10, 30, 50, 80, 120, 200] {
        let running = pull().beside_others().start();
        std::thread::sleep(std::time::Duration::from_millis(pause));
        running.signal(rustix::process::Signal::KILL);
        let _ = running.wait();
    }
    project.hm(["image", "prune", "--all"]).run().expect(0);
    let images = project.state().join("images");
    for folder in ["known", "layers/trusted", "layers/user", "making"] {
        let left: Vec<_> = fs::read_dir(images.join(folder))
            .unwrap()
            .flatten()
            .collect();
        assert!(left.is_empty(), "{folder}: {left:?}");
    }
    assert_eq!(
        fs::read_dir(project.state().join("trash")).unwrap().count(),
        0
    );
    pull().run().expect(0);
}
