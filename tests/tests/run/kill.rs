//! `hm run` killed at any moment: the next start finds and removes what is left.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hm_tests::{Project, assert_nothing_left};
use rustix::process::Signal;

/// Kills where everything is required; a tenth elsewhere, as each takes half a second.
/// `HM_TEST_KILLS` is another number.
const KILLS: (u32, u32) = (200, 20);

/// The build takes a second or so, the latest kill falls into its last third.
const LATEST: u64 = 700;

const BUILD: &str = r#"
image = "host"
[steps.base]
run = "head -c 200000 /dev/urandom > base; mkdir -p deep/er; sleep 0.05"
cache = "forever"
[steps.a]
from = "base"
run = "echo a > a; rm -r deep; sleep 0.1"
cache = "forever"
[steps.b]
from = "base"
run = "setsid sleep 30 & cat base > copy; sleep 0.2"
[steps.c]
from = "a"
run = "rm base; sleep 0.1; head -c 200000 /dev/urandom > c"
cache = "forever"
[steps.d]
from = "a"
run = "sleep 0.3; echo d"
[steps.e]
from = "c"
run = "sleep 0.2; test -s c && test ! -e deep"
"#;

const QUICK: &str = "[steps.q]\nimage = \"host\"\nrun = \"echo quick\"";

/// SplitMix64, so that a seed that was printed can be tried again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "shown with a failure, so that it can be tried again"
)]
fn killed_at_any_moment_it_leaves_nothing() {
    let seed = variable("HM_TEST_SEED")
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    println!("HM_TEST_SEED={seed} tries the same moments again");
    let usual = match variable("HM_TEST_REQUIRE").as_deref() {
        Some("all") => KILLS.0,
        _ => KILLS.1,
    };
    let kills = variable("HM_TEST_KILLS")
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual);
    let project = Project::toml(BUILD)
        .file(".hm/quick.toml", QUICK)
        .file("tree/file", "of the source\n");
    let temporary = project.config().with_file_name("tmp");
    let before = entries(project.path());
    let mut random = Random(seed);
    for kill in 0..kills {
        let format = ["json", "human", "plain"][random.below(3) as usize];
        // Some find the cache as the last one left it, some find nothing.
        let variable = format!("N={}", kill / 3);
        let running = project
            .hm(["run", "ci", "-j", "4", "--format", format, "-e", &variable])
            .beside_others()
            .start();
        let moment = Duration::from_millis(random.below(LATEST));
        // Changes the tree under every build, so that each freezes something.
        project.write("tree/file", format!("{kill}\n"));
        std::thread::sleep(moment);
        let machines = entries(&project.state().join("machines"));
        running.signal(Signal::KILL);
        running.wait();
        let next = project.run().arg("quick").run().expect(0);
        assert_eq!(next.errors(), "", "the registry opens without a word");
        assert_eq!(next.build().step("q").stdout(), ["quick"]);
        let left = left(&project, &temporary, &machines);
        assert!(
            left.is_empty(),
            "HM_TEST_SEED={seed}, kill {kill} after {moment:?}, left behind: {left:#?}"
        );
    }
    assert_eq!(entries(project.path()), before, "the source is untouched");
    project.run().arg("ci").run().expect(0);
    project.hm(["cache", "clear"]).run().expect(0);
    let kept = entries(&project.state().join("layers/kept"));
    assert!(kept.is_empty(), "unknown to the registry: {kept:?}");
    assert_nothing_left(project.state());
}

/// What `assert_nothing_left` does not look for: it is asked for after each call.
fn left(project: &Project, temporary: &Path, machines: &BTreeSet<String>) -> Vec<PathBuf> {
    let state = project.state();
    let mut left = Vec::new();
    for folder in [&state.join("trash"), &state.join("owners"), temporary] {
        left.extend(entries(folder).iter().map(|name| folder.join(name)));
    }
    let unfinished = entries(&state.join("runs"))
        .into_iter()
        .filter(|name| name.ends_with(".new"));
    left.extend(unfinished.map(|name| state.join("runs").join(name)));
    let known = [
        "meta.json",
        "plan.json",
        "keys.json",
        "events.jsonl",
        "lock",
    ];
    left.extend(strange(&state.join("runs"), &known));
    let known = ["lock", "root", "manifest", "synced", "layers"];
    left.extend(strange(&state.join("source"), &known));
    // A machine's group has the name of its folder, in each hierarchy.
    left.extend(
        groups(Path::new("/sys/fs/cgroup"), 3)
            .into_iter()
            .filter(|path| {
                path.file_name()
                    .is_some_and(|name| machines.contains(&*name.to_string_lossy()))
            }),
    );
    left
}

/// Returns what lies in the folders of a folder and is not expected there.
fn strange(folder: &Path, known: &[&str]) -> Vec<PathBuf> {
    let inner = entries(folder)
        .into_iter()
        .map(|name| folder.join(name))
        .flat_map(|path| {
            entries(&path)
                .into_iter()
                .map(move |name| (path.join(&name), name))
        });
    inner
        .filter(|(_, name)| !known.contains(&name.as_str()))
        .map(|(path, _)| path)
        .collect()
}

fn groups(folder: &Path, depth: u32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in entries(folder) {
        let path = folder.join(name);
        if path.is_dir() && !path.is_symlink() {
            if depth > 1 {
                found.extend(groups(&path, depth - 1));
            }
            found.push(path);
        }
    }
    found
}

fn entries(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
