//! A chain is a chain: merged into one machine, snapshotted between its steps, or taken from
//! the cache, its steps see the same.

use std::collections::BTreeMap;

use hm_tests::{Build, Docker, Project, cannot};

use crate::build;

/// What a step sees: variables, its folder, the files that were written with their kinds,
/// modes and contents, and what must be fresh or must have stayed.
const SEE: &str = "env | sort | grep -v ^_=; pwd; umask; id -u; \
    find /workspace /tmp /run /dev/shm /var/tmp/parity /opt/parity 2>/dev/null | sort | \
    while read -r path; do stat -c '%n %F %a %h %s' \\\"$path\\\" | \
    sed 's/^\\\\(.* directory [0-9]* \\\\)[0-9]* [0-9]*$/\\\\1/'; \
    test -h \\\"$path\\\" && readlink \\\"$path\\\"; test -f \\\"$path\\\" && md5sum < \\\"$path\\\"; done; true";

/// Two steps that leave all kinds of things, and a third that looks. Whether a machine is
/// merged, frozen or cached between them is decided by `first` and `extra`.
fn pipeline(first: &str, extra: &str) -> String {
    let write = "echo first > new; ln -s new link; ln new hard; mkdir -p deep/er && chmod 750 deep; \
        rm gone; rm -r folder && mkdir folder && echo again > folder/inner; echo changed >> changed; \
        chmod 4755 new; mkfifo pipe; truncate -s 1M sparse; : > empty; \
        echo t > /tmp/kept; mkdir -p /var/tmp/parity && echo v > /var/tmp/parity/file; \
        echo r > /run/fresh; echo s > /dev/shm/fresh; export LOST=1; cd /; umask 077; \
        (sleep 20; echo late > /tmp/late) & true";
    // Not by one name of a file that has two: a file of a lower layer is copied when it is
    // written, and overlayfs lets its other names keep the old one.
    let second =
        "echo second >> changed; rm -rf deep; echo m > /tmp/more; mv link moved; echo r > /run/too";
    format!(
        "image = \"host\"\nenv = {{ ALL = \"of them\" }}\n\
         [steps.one]\nrun = \"{write}\"\n{first}\n\
         [steps.two]\nfrom = \"one\"\nrun = \"{second}\"\n{first}\n\
         [steps.see]\nfrom = \"two\"\nrun = \"{SEE}\"\nenv = {{ MINE = \"mine\" }}\n{extra}"
    )
}

fn project(text: &str) -> Project {
    Project::toml(text)
        .file("gone", "source\n")
        .file("folder/old", "source\n")
        .file("changed", "source\n")
        .file("same", "source\n")
}

#[track_caller]
fn seen(build: &Build) -> Vec<String> {
    let lines: Vec<String> = build
        .step("see")
        .stdout()
        .into_iter()
        .map(Into::into)
        .collect();
    assert!(lines.len() > 30, "{lines:#?}");
    lines
}

#[test]
fn merged_snapshotted_and_cached_chains_see_the_same() {
    // Machines are handed on where a step has one heir, and frozen where it has two.
    let fork = "[steps.other]\nfrom = \"one\"\nrun = \"true\"\n\
                [steps.another]\nfrom = \"two\"\nrun = \"true\"";
    let cached = pipeline("cache = \"forever\"", "");
    for (engine, flags, host) in engines() {
        let project = |text: &str| project(text).env_for_all("DOCKER_HOST", &host);
        let mut views = BTreeMap::new();
        views.insert(
            "merged",
            seen(&build(&project(&pipeline("", "")), &flags, 0)),
        );
        views.insert(
            "snapshotted",
            seen(&build(&project(&pipeline("", fork)), &flags, 0)),
        );
        let project = project(&cached);
        views.insert("stored", seen(&build(&project, &flags, 0)));
        let again = build(&project, &flags, 0);
        assert!(again.step("one").is_cached && again.step("two").is_cached);
        views.insert("cached", seen(&again));
        let merged = &views["merged"];
        for fresh in [
            "/run/fresh",
            "/run/too",
            "/dev/shm/fresh",
            "LOST=",
            "/tmp/late",
        ] {
            assert!(
                !merged.iter().any(|line| line.starts_with(fresh)),
                "{fresh} on {engine}: {merged:#?}"
            );
        }
        for stays in [
            "ALL=of them",
            "MINE=mine",
            "/tmp/kept",
            "/tmp/more",
            "/workspace/moved",
        ] {
            assert!(
                merged.iter().any(|line| line.starts_with(stays)),
                "{stays} on {engine}: {merged:#?}"
            );
        }
        for (kind, view) in &views {
            let only = |here: &[String], there: &[String]| -> Vec<String> {
                let lines = here.iter().filter(|line| !there.contains(line));
                lines.cloned().collect()
            };
            let (more, less) = (only(view, merged), only(merged, view));
            assert!(
                view == merged,
                "{kind} on {engine} sees {more:#?} where merged sees {less:#?}"
            );
        }
    }
}

/// Engines, with what makes them run the image `host`, and their daemon's address.
fn engines() -> Vec<(&'static str, Vec<&'static str>, String)> {
    let mut engines = vec![("sandbox", vec!["--engine", "sandbox"], String::new())];
    match Docker::find() {
        Err(why) => cannot("chains on docker", &why),
        Ok(docker) => {
            let flags = vec!["--engine", "docker", "--image", "host=hm-test:busybox"];
            assert_eq!(Docker::IMAGE, "hm-test:busybox");
            engines.push(("docker", flags, docker.host().to_owned()));
        }
    }
    engines
}
