//! The seal of an entry: who wrote it, of what, and that it is whole.
//!
//! ```text
//! magic 8 · digest 32 · engine 32 · length of the report, u32 · report · code · HMAC-SHA256 of all before
//! ```

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Name, place};
use crate::component::worker::Report;

/// First bytes of an entry; the digit is the layout of what follows.
const MAGIC: &[u8; 8] = b"hm-code3";
const TAG: usize = 32;
/// Before the report: magic, digest, engine, length.
const HEAD: usize = 8 + 32 + 32 + 4;
/// Bytes of an entry: the most that a compiler may produce, and a report.
pub(super) const ENTRY_MAX: usize = (256 << 20) + (1 << 20) + HEAD + TAG;

/// The secret that seals this user's entries: 32 random bytes.
pub(super) struct Key([u8; 32]);

impl Key {
    /// Reads the key.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        place::check_parents(file)?;
        let bytes = place::read(file, 33)?;
        let key = bytes.try_into().map(Self);
        key.map_err(|_| format!("{}: is no key of 32 bytes", file.display()))
    }

    /// Reads the key; makes another where there is none, or none that only this user knows.
    pub(super) fn read_or_make(file: &Path) -> Result<Self, String> {
        Self::read(file).or_else(|_| Self::make(file))
    }

    fn make(file: &Path) -> Result<Self, String> {
        let folder = file.parent().unwrap_or(file);
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| format!("there is no randomness: {error}"))?;
        let write = || -> std::io::Result<()> {
            use std::os::unix::fs::DirBuilderExt;
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
            // Made with mode 0600. Two that begin at once: the last key counts, and what the
            // other sealed is compiled again.
            let mut new = tempfile::NamedTempFile::new_in(folder)?;
            new.write_all(&key)?;
            new.persist(file)?;
            Ok(())
        };
        write().map_err(|error| format!("cannot write the key {}: {error}", file.display()))?;
        // Not what was written but what is there: another process may have been later.
        Self::read(file)
    }

    fn mac(&self) -> Hmac<Sha256> {
        // Any length is a key to HMAC.
        Hmac::new_from_slice(&self.0).unwrap_or_else(|_| unreachable!("HMAC takes any key"))
    }

    /// Returns what comes before the code and what comes after it.
    pub(super) fn seal(
        &self,
        name: Name<'_>,
        report: &Report,
        code: &[u8],
    ) -> Result<(Vec<u8>, [u8; TAG]), String> {
        let report = serde_json::to_vec(report).map_err(|error| error.to_string())?;
        let length = u32::try_from(report.len()).map_err(|error| error.to_string())?;
        let mut head = Vec::with_capacity(HEAD + report.len());
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(name.digest);
        head.extend_from_slice(name.engine);
        head.extend_from_slice(&length.to_le_bytes());
        head.extend_from_slice(&report);
        let mut mac = self.mac();
        mac.update(&head);
        mac.update(code);
        Ok((head, mac.finalize().into_bytes().into()))
    }

    /// Checks an entry, and returns its report and where its code is.
    pub(super) fn open(
        &self,
        entry: &[u8],
        name: Name<'_>,
    ) -> Result<(Report, Range<usize>), String> {
        let wrong = |what: &str| what.to_owned();
        if entry.len() < HEAD + TAG {
            return Err(wrong("it is cut short"));
        }
        let (sealed, tag) = entry.split_at(entry.len() - TAG);
        let mut mac = self.mac();
        mac.update(sealed);
        // Before a byte of it is looked at.
        mac.verify_slice(tag)
            .map_err(|_| wrong("its seal is broken, or was made with another key"))?;
        let expected = [MAGIC.as_slice(), name.digest, name.engine].concat();
        let rest = sealed
            .strip_prefix(expected.as_slice())
            .ok_or_else(|| wrong("it is another component's, or another engine's"))?;
        let (length, rest) = rest.split_at_checked(4).unwrap_or_default();
        let length = length.try_into().map_or(0, u32::from_le_bytes) as usize;
        let report = rest
            .get(..length)
            .and_then(|report| serde_json::from_slice(report).ok())
            .ok_or_else(|| wrong("what it says of the component is not understood"))?;
        Ok((report, HEAD + length..sealed.len()))
    }
}
