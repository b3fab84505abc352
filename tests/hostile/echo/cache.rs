//! Compiled code that somebody tampered with (L8): made again, never run, never a crash.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use hm_tests::{Finished, Project};

use crate::stage::{by, digest, echo, grant, misbehave, one_step, works};

/// A project whose cache of compiled code is its own.
fn project() -> (Project, PathBuf) {
    let project = one_step();
    let cache = project.path().parent().unwrap().join("cache");
    let project = project.env_for_all("HM_CACHE_DIR", &cache);
    grant(&project, echo(), &[]);
    (project, cache.join("components"))
}

/// Returns the entry of a component.
fn entry(cache: &Path, component: &Path) -> PathBuf {
    let digest = digest(component);
    let entries = fs::read_dir(cache).unwrap().flatten();
    entries
        .map(|entry| entry.path())
        .find(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(&digest["sha256:".len()..])
        })
        .unwrap_or_else(|| panic!("nothing of {digest} in {}", cache.display()))
}

#[track_caller]
fn runs(project: &Project) -> Finished {
    let finished = by(project, echo()).arg("-v").run().expect(0);
    assert_eq!(finished.build().step("a").stdout(), ["echo one"]);
    finished
}

/// Runs with whatever `tamper` makes of the entry: the result is the same, a line tells,
/// and the entry is whole again.
#[track_caller]
fn survives(what: &str, tamper: impl Fn(&Path)) {
    let (project, cache) = project();
    assert!(!runs(&project).errors().contains("compiled code"), "{what}");
    let entry = entry(&cache, echo());
    assert!(!runs(&project).errors().contains("compiled code"), "{what}");
    tamper(&entry);
    let told = runs(&project);
    let lines = told.errors();
    let lines: Vec<_> = lines
        .lines()
        .filter(|line| line.contains("is not used and is made again"))
        .collect();
    assert_eq!(lines.len(), 1, "{what}: {}", told.errors());
    let meta = fs::symlink_metadata(&entry).unwrap();
    assert!(
        meta.is_file() && meta.permissions().mode() & 0o777 == 0o600,
        "{what}"
    );
    assert!(!runs(&project).errors().contains("compiled code"), "{what}");
    works(&project);
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_flipped_bit() {
    survives("in the code", |entry| {
        change(entry, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        })
    });
    survives("in the header", |entry| {
        change(entry, |bytes| bytes[9] ^= 1)
    });
    survives("in the magic", |entry| change(entry, |bytes| bytes[0] ^= 1));
    survives("in the seal", |entry| {
        change(entry, |bytes| {
            *bytes.last_mut().unwrap() ^= 1;
        })
    });
    survives("in the imports", |entry| {
        change(entry, |bytes| bytes[90] ^= 1)
    });
}

#[test]
fn an_entry_of_another_length() {
    survives("cut", |entry| {
        change(entry, |bytes| bytes.truncate(bytes.len() / 2))
    });
    survives("empty", |entry| fs::write(entry, b"").unwrap());
    survives("longer", |entry| change(entry, |bytes| bytes.push(0)));
    survives("ten gigabytes", |entry| {
        File::options()
            .write(true)
            .open(entry)
            .unwrap()
            .set_len(10 << 30)
            .unwrap();
    });
}

#[test]
fn an_entry_that_is_no_file_of_our_own() {
    survives("a link", |entry| {
        let elsewhere = entry.with_extension("elsewhere");
        fs::rename(entry, &elsewhere).unwrap();
        symlink(&elsewhere, entry).unwrap();
    });
    survives("a second name", |entry| {
        fs::hard_link(entry, entry.with_extension("second")).unwrap();
    });
    survives("a pipe", |entry| {
        fs::remove_file(entry).unwrap();
        let made = std::process::Command::new("mkfifo").arg(entry).status();
        assert!(made.unwrap().success());
    });
    survives("a folder", |entry| {
        fs::remove_file(entry).unwrap();
        fs::create_dir(entry).unwrap();
        fs::write(entry.join("file"), b"x").unwrap();
    });
    survives("open to others", |entry| {
        fs::set_permissions(entry, PermissionsExt::from_mode(0o644)).unwrap();
    });
}

/// Two components' entries swapped: each still does its own, and neither the other's.
#[test]
fn the_entry_of_another_component() {
    survives("swapped", |entry| {
        let (project, cache) = project();
        grant(&project, misbehave(), crate::stage::VM);
        by(&project, misbehave()).run().expect(0);
        let other = self::entry(&cache, misbehave());
        fs::copy(other, entry).unwrap();
    });
}

/// A cache that a CI system restored from another's job: sealed rightly, with another key.
#[test]
fn an_entry_sealed_with_another_key() {
    survives("another's", |entry| {
        let (project, cache) = project();
        fs::write(project.config().join("seal.key"), [9; 32]).unwrap();
        by(&project, echo()).run().expect(0);
        fs::copy(self::entry(&cache, echo()), entry).unwrap();
    });
}

/// Seals an entry anew, with the key of every test.
fn seal(bytes: &mut [u8]) {
    use sha2::{Digest, Sha256};
    let length = bytes.len() - 32;
    // HMAC (RFC 2104), whose key is shorter than a block.
    let pad = |with: u8| {
        let mut block = [with; 64];
        block[..32].iter_mut().for_each(|byte| *byte ^= 7);
        block
    };
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(&bytes[..length]);
    let tag = Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner.finalize());
    bytes[length..].copy_from_slice(&tag.finalize());
}

/// Sealed rightly, and still not what this engine made of this component.
#[test]
fn an_entry_of_another_engine() {
    survives("by its name", |entry| {
        change(entry, |bytes| {
            bytes[40] ^= 1;
            seal(bytes);
        })
    });
    survives("by its code", |entry| {
        change(entry, |bytes| {
            let at = bytes
                .windows(4)
                .position(|part| part == b"\x7fELF")
                .unwrap();
            let end = bytes.len() - 32;
            bytes[at + 16..end].fill(0);
            seal(bytes);
        })
    });
    survives("of another layout", |entry| {
        change(entry, |bytes| {
            bytes[7] = b'1';
            seal(bytes);
        })
    });
}

/// A key that others could have read seals nothing any more.
#[test]
fn a_key_that_others_could_read_is_replaced() {
    let (project, _) = project();
    runs(&project);
    let key = project.config().join("seal.key");
    let before = fs::read(&key).unwrap();
    fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(runs(&project).errors().contains("is made again"));
    assert_ne!(fs::read(&key).unwrap(), before);
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(!runs(&project).errors().contains("compiled code"));
}

/// A folder in which somebody else could put things is not used at all.
#[test]
fn a_cache_folder_that_others_can_write_is_not_used() {
    let (project, cache) = project();
    runs(&project);
    fs::set_permissions(&cache, PermissionsExt::from_mode(0o777)).unwrap();
    assert!(runs(&project).errors().contains("is open to others"));
    let parent = cache.parent().unwrap();
    fs::set_permissions(&cache, PermissionsExt::from_mode(0o700)).unwrap();
    fs::set_permissions(parent, PermissionsExt::from_mode(0o777)).unwrap();
    assert!(runs(&project).errors().contains("can be written by others"));
}
