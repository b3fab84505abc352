//! The texts in which a secret is recognised.

use std::collections::BTreeSet;

/// Lines of a secret of several are hidden by themselves too, if they are this long: tools
/// print a key line by line, with something before each. Shorter ones, as a lone brace,
/// would hide half of every log.
const LINE_MIN: usize = 8;

/// Values shorter than this are not looked for in base64: two or three letters are found
/// everywhere.
const BASE64_MIN: usize = 4;

/// What is looked for.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    /// As they are, byte for byte.
    pub(super) plain: BTreeSet<Vec<u8>>,
    /// In base64: may be broken into lines anywhere.
    pub(super) base64: BTreeSet<Vec<u8>>,
}

impl Patterns {
    pub(super) fn of<'a>(secrets: impl Iterator<Item = &'a str>) -> Self {
        let mut patterns = Self::default();
        for secret in secrets {
            patterns.add(secret);
        }
        patterns
    }

    fn add(&mut self, secret: &str) {
        if secret.is_empty() {
            return;
        }
        self.plain.insert(secret.into());
        let lines = secret.lines().map(str::trim);
        let long = lines.filter(|line| line.len() >= LINE_MIN && *line != secret);
        self.plain.extend(long.map(|line| line.as_bytes().to_vec()));
        // A file's last line end is often not part of what is encoded.
        for value in [secret, secret.trim_end()] {
            if value.len() >= BASE64_MIN {
                self.add_base64(value.as_bytes());
            }
        }
    }

    /// The part of the encoding that depends on nothing but the value, with no, one or two
    /// bytes before it; in the usual alphabet and in that of URLs.
    fn add_base64(&mut self, value: &[u8]) {
        for before in 0..3 {
            let mut padded = vec![0; before];
            padded.extend_from_slice(value);
            // Characters that also hold bits of what comes before or after are left out.
            let first = (before * 8).div_ceil(6);
            let last = padded.len() * 8 / 6;
            for alphabet in [STANDARD, URL] {
                let text = encode(&padded, alphabet);
                self.base64.insert(text[first..last].to_vec());
            }
        }
    }
}

/// RFC 4648, sections 4 and 5.
const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Encodes without padding; the bits that are missing at the end are zeros.
fn encode(bytes: &[u8], alphabet: &[u8; 64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 4 / 3 + 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for shift in [18, 12, 6, 0] {
            out.push(alphabet[(bits >> shift & 63) as usize]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_found_with_anything_before_it() {
        let patterns = Patterns::of(["correct horse?>".to_owned()].iter().map(String::as_str));
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "\n", "xx", "@host"] {
                for alphabet in [STANDARD, URL] {
                    let text = encode(
                        format!("{before}correct horse?>{after}").as_bytes(),
                        alphabet,
                    );
                    let text = String::from_utf8(text).unwrap();
                    assert!(
                        patterns
                            .base64
                            .iter()
                            .any(|pattern| { text.contains(str::from_utf8(pattern).unwrap()) }),
                        "{before}…{after}: {text}"
                    );
                }
            }
        }
        assert_eq!(encode(b"Man", STANDARD), b"TWFu");
    }

    #[test]
    fn lines_of_a_long_secret_are_secrets() {
        let key = "-----BEGIN-----\nMIIEpAIBAAKCAQEA\n}\n-----END-----\n";
        let patterns = Patterns::of([key].into_iter());
        assert!(patterns.plain.contains(&b"MIIEpAIBAAKCAQEA"[..]));
        assert!(!patterns.plain.contains(&b"}"[..]));
        assert!(Patterns::of([""].into_iter()).plain.is_empty());
    }
}
