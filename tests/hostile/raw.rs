//! Files that are no components (L1), machine code (L2), strange files (L3), and files that
//! hurt who reads them (L6).

#[path = "../guests/raw/bytes.rs"]
mod bytes;

use std::fs;
use std::path::Path;
use std::time::Duration;

use hm_tests::Finished;
use rustix::fs::inotify;

use crate::stage::{by, echo, endures, one_step, works, write};

/// Far more than it takes, and far less than a person would wait.
const AT_ONCE: Duration = Duration::from_secs(10);
/// A reader that runs out of time has five seconds.
const READING: Duration = Duration::from_secs(20);

/// Names what it is, asks for no consent, and keeps nothing.
#[track_caller]
fn refused(finished: &Finished, what: &str) {
    assert_eq!(finished.text(), "");
    let errors = finished.errors();
    assert!(errors.contains(what), "no `{what}` in\n{errors}");
    assert!(!errors.contains("grant"), "{errors}");
}

#[test]
fn files_that_are_something_else_are_named() {
    let project = one_step();
    let whole = fs::read(echo()).unwrap();
    let cache = project.path().join("cache");
    for (name, bytes, what) in bytes::strangers(&whole) {
        let path = write(&project, name, &bytes);
        let call = by(&project, &path).env("HM_CACHE_DIR", &cache);
        let finished = endures(call, &[8], AT_ONCE);
        refused(&finished, what);
        assert!(finished.errors().contains(name), "{}", finished.errors());
    }
    for bytes in bytes::cuts(&whole) {
        let path = write(&project, "cut", &bytes);
        let call = by(&project, &path).env("HM_CACHE_DIR", &cache);
        let what = if bytes.len() < 8 || bytes.len() > 8 {
            format!("cut short at byte {}", bytes.len())
        } else {
            String::new()
        };
        refused(&endures(call, &[8], AT_ONCE), &what);
    }
    assert!(!cache.join("components").exists(), "something was kept");
    works(&project);
}

#[test]
fn strange_files_are_not_waited_for() {
    let project = one_step();
    let fifo = project.path().join("fifo.wasm");
    project.program("mkfifo").arg(&fifo).run().expect(0);
    let huge = project.path().join("huge.wasm");
    fs::write(&huge, hm_tests::COMPONENT).unwrap();
    let file = fs::File::options().write(true).open(&huge).unwrap();
    file.set_len(500 << 20).unwrap();
    // Within the limit, and nearly nothing in it.
    let hollow = project.path().join("hollow.wasm");
    fs::write(&hollow, hm_tests::COMPONENT).unwrap();
    let file = fs::File::options().write(true).open(&hollow).unwrap();
    file.set_len(32 << 20).unwrap();
    let socket = project.path().join("socket.wasm");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let circle = project.path().join("circle.wasm");
    std::os::unix::fs::symlink(&circle, &circle).unwrap();
    let folder = project.path().to_owned();
    for (path, code) in [
        (fifo.as_path(), 8),
        (huge.as_path(), 8),
        (hollow.as_path(), 8),
        (socket.as_path(), 2),
        (circle.as_path(), 2),
        (folder.as_path(), 2),
        ("/dev/zero".as_ref(), 8),
        ("/proc/self/stat".as_ref(), 8),
        ("./absent.wasm".as_ref(), 2),
    ] {
        let finished = endures(by(&project, path), &[code], AT_ONCE);
        assert!(
            finished.peak_kib() < 150 << 10,
            "{}: {} KiB",
            path.display(),
            finished.peak_kib()
        );
    }
    works(&project);
}

/// What the engine's parser does with these differs by build; that it is another process
/// that does it does not.
#[test]
fn files_that_hurt_their_reader_hurt_nobody_else() {
    let project = one_step();
    for (name, bytes) in [
        ("component-types", bytes::deep_types(0x41, 4_000)),
        ("more-component-types", bytes::deep_types(0x41, 20_000)),
        ("most-component-types", bytes::deep_types(0x41, 1_000_000)),
        ("instance-types", bytes::deep_types(0x42, 20_000)),
        ("lists", bytes::deep_lists(100_000)),
        ("components", bytes::deep_components(5_000)),
        ("more-components", bytes::deep_components(100_000)),
        ("more-instance-types", bytes::deep_types(0x42, 1_000_000)),
        ("subtypes", bytes::deep_subtypes(70)),
        ("many-types", bytes::many_types(u32::MAX)),
        ("many-imports", bytes::many_imports(200_000)),
        ("a-long-name", bytes::long_name(20 << 20)),
    ] {
        let path = write(&project, name, &bytes);
        let finished = endures(by(&project, &path), &[8], READING);
        assert_eq!(finished.text(), "", "{name}");
        let errors = finished.errors();
        let is_told = ["could not be read", "no valid component", "no backend"]
            .iter()
            .any(|words| errors.contains(words));
        assert!(is_told, "{name}: {errors}");
        let cores = fs::read_dir(project.path()).unwrap().flatten();
        let cores: Vec<_> = cores
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("core"))
            .collect();
        assert!(cores.is_empty(), "{name}: {cores:?}");
    }
    works(&project);
}

/// Machine code of this very engine, as the cache keeps it, is not taken from a file: not by
/// itself, not behind a component, not beside one.
#[test]
fn machine_code_is_never_loaded_from_a_file() {
    let project = one_step();
    let engine = crate::stage::machine_code();
    let finished = endures(
        by(&project, &write(&project, "code", &engine)),
        &[8],
        AT_ONCE,
    );
    refused(&finished, "compiled machine code");
    let whole = fs::read(echo()).unwrap();
    let appended = [whole.clone(), engine.clone()].concat();
    let path = write(&project, "appended", &appended);
    refused(
        &endures(by(&project, &path), &[8], AT_ONCE),
        "no valid component",
    );
    works(&project);
}

/// The kernel tells what is opened: the component, once, and nothing that lies beside it.
#[test]
fn what_lies_beside_a_component_is_never_opened() {
    let project = one_step();
    let engine = crate::stage::machine_code();
    // Not in the project, all of which is read for its machines.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("good.wasm");
    fs::write(&path, fs::read(echo()).unwrap()).unwrap();
    // What a debugger or another loader would look for.
    for ending in ["wasm.dwp", "dwp", "cwasm", "wasm.map", "toml"] {
        fs::write(path.with_extension(ending), &engine).unwrap();
    }
    crate::stage::grant(&project, &path, &[]);
    let fresh = project.path().join("cache");
    // Compiled anew, and from the cache.
    for _ in 0..2 {
        let watched = Watched::new(folder.path());
        let call = by(&project, &path).env("HM_CACHE_DIR", &fresh);
        let build = call.run().expect(0).build();
        assert_eq!(build.step("a").stdout(), ["echo one"]);
        assert_eq!(watched.opened(), ["good.wasm"]);
    }
}

/// A folder of which the kernel notes what is opened in it.
struct Watched(std::os::fd::OwnedFd);

impl Watched {
    fn new(folder: &Path) -> Self {
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let queue = inotify::init(flags).unwrap();
        inotify::add_watch(&queue, folder, inotify::WatchFlags::OPEN).unwrap();
        Self(queue)
    }

    /// Returns the names of what was opened, in order.
    fn opened(&self) -> Vec<String> {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.0, &mut buffer);
        let mut names = Vec::new();
        while let Ok(event) = events.next() {
            let name = event
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            names.push(name.unwrap_or_else(|| "the folder".into()));
        }
        names
    }
}

/// What takes a compiler longer, or more memory, than the limits allow ends with the limit's
/// name, and the line that raises it.
#[test]
fn a_compiler_has_its_limits() {
    let project = one_step();
    let whole = fs::read(echo()).unwrap();
    let bomb = hm_tests::graft(&whole, &bytes::many_functions(2_000, 500));
    let path = write(&project, "bomb", &bomb);
    // Nothing of it is compiled before it is allowed.
    endures(by(&project, &path), &[6], AT_ONCE);
    for (limit, says) in [
        ("compile=300ms", "ran out of time (300 ms)"),
        ("compile-memory=24MiB", "needs more than 24 MiB"),
    ] {
        crate::stage::grant(&project, &path, &["--limit", limit]);
        let finished =
            endures(by(&project, &path), &[8], AT_ONCE).says(&["could not be compiled", says]);
        let command = crate::stage::printed_command(&finished);
        let (key, _) = limit.split_once('=').unwrap();
        assert!(
            command
                .iter()
                .any(|word| word.starts_with(&format!("{key}="))),
            "{command:?}"
        );
        let back = if key == "compile" { "60s" } else { "768MiB" };
        crate::stage::grant(&project, &path, &["--limit", &format!("{key}={back}")]);
    }
    // In the user's own configuration too.
    let other = write(&project, "another", &[bomb, bytes::producers("x")].concat());
    fs::write(
        project.config().join("config.toml"),
        "[limits]\ncompile = \"300ms\"\n",
    )
    .unwrap();
    crate::stage::grant(&project, &other, &[]);
    endures(by(&project, &other), &[8], AT_ONCE).says(&["ran out of time (300 ms)"]);
    fs::remove_file(project.config().join("config.toml")).unwrap();
    works(&project);
}

/// What this engine leaves out is refused by name, before anybody is asked.
#[test]
fn what_the_engine_does_not_take_is_refused_unasked() {
    let project = one_step();
    for (name, module) in [
        ("memory64", "(memory i64 1)"),
        ("shared-memory", "(memory 1 1 shared)"),
        ("pages-of-a-byte", "(memory 1 (pagesize 1))"),
        ("collected", "(type (struct (field i32)))"),
        ("exceptions", "(tag)"),
        (
            "relaxed",
            "(func (param v128) (result v128) (i32x4.relaxed_trunc_f32x4_s (local.get 0)))",
        ),
    ] {
        let text = format!("(component (core module {module}))");
        let path = write(&project, name, &hm_tests::assemble(&text));
        refused(
            &endures(by(&project, &path), &[8], AT_ONCE),
            "no valid component",
        );
    }
    works(&project);
}

/// Code that takes a compiler long, or deep: it is compiled, or told; the process that does
/// it is not this one.
#[test]
fn code_that_hurts_its_compiler_hurts_nobody_else() {
    let project = one_step();
    let whole = fs::read(echo()).unwrap();
    let blocks = "block ".repeat(20_000) + &"end ".repeat(20_000);
    let targets = "0 ".repeat(60_000);
    for (name, function) in [
        ("deep", blocks),
        (
            "wide",
            format!("(block (br_table {targets} (i32.const 0)))"),
        ),
        (
            "long",
            "(drop (i32.div_u (i32.const 1) (i32.const 3))) ".repeat(20_000),
        ),
    ] {
        let text = format!(
            "(component (core module $m (func {function})) (core instance (instantiate $m)))"
        );
        let bytes = hm_tests::graft(&whole, &hm_tests::assemble(&text));
        let path = write(&project, name, &bytes);
        crate::stage::grant(&project, &path, &[]);
        let finished = by(&project, &path).run();
        match finished.code() {
            Some(0) => assert_eq!(finished.build().step("a").stdout(), ["echo one"]),
            Some(8) => drop(finished.says(&["could not be compiled"])),
            _ => panic!("{name}: {}", finished.said()),
        }
    }
    works(&project);
}

/// What tools and authors wrote into a file is shown by who asks for it, and only shown.
#[test]
fn words_in_a_file_act_on_no_terminal() {
    let project = one_step();
    let mut bytes = fs::read(echo()).unwrap();
    bytes.extend(bytes::producers(
        "\u{1b}[2J\u{1b}]0;owned\u{7}\nasks for  everything\u{202e}",
    ));
    let path = write(&project, "words", &bytes);
    for flags in [&["inspect"][..], &["inspect", "--json"]] {
        let call = project
            .hm(["backend"])
            .args(flags)
            .arg(&path)
            .run()
            .expect(0);
        let text = call.text() + &call.errors();
        for never in ["\u{1b}", "\u{7}", "\u{202e}", "\nasks for  everything"] {
            assert!(!text.contains(never), "{text:?}");
        }
    }
    let seen = project
        .hm(["backend", "inspect"])
        .arg(&path)
        .on_terminal(100, 30)
        .wait();
    let text = String::from_utf8_lossy(&seen.bytes).into_owned();
    assert!(!text.contains("\u{1b}[2J"), "{text:?}");
}
