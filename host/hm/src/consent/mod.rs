//! What a stranger's component may do: grants that the user gave to exact bytes, and how
//! the user is asked.
//!
//! Deny by default. The repository can declare a backend and settings for it, and nothing
//! that it says grants anything.

mod ask;
mod credentials;
mod file;
mod grant;
mod http;
mod limit;

pub(crate) use ask::{Answer, ask};
pub(crate) use credentials::Credentials;
pub(crate) use file::GrantFile;
pub(crate) use grant::{Grant, Need, Refusal, VmNeed, VmReach, command, reach, word};
pub(crate) use http::{HttpReach, told};
pub(crate) use limit::LimitValue;

use sha2::{Digest, Sha256};

/// Returns whether `text` is a digest as hm writes it: `sha256:` and 64 small hex digits.
pub(crate) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64
            && hex
                .bytes()
                .all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
    })
}

/// Returns what stands for settings in a grant; none where there are none.
pub(crate) fn settings_digest(settings: &[(String, String)]) -> Option<String> {
    if settings.is_empty() {
        return None;
    }
    let mut hash = Sha256::new();
    for part in settings.iter().flat_map(|(key, value)| [key, value]) {
        // The length first, so that no two lists look the same.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    Some(format!("sha256:{}", hex::encode(hash.finalize())))
}
