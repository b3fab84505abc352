//! Hides secrets in everything that is shown, written or handed on.
//!
//! Output of machines is searched as raw bytes, before lines are put together and cleaned:
//! a secret may hold a line end, an escape or a tab, which cleaning would change, and a line
//! that is cut because it is too long would cut a secret with it. A piece at the end that
//! may be the beginning of a secret is held back until more comes. Texts that come whole
//! (notices, errors, details) are searched as they are.

mod events;
mod patterns;
mod stream;

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use self::patterns::Patterns;
pub(crate) use self::stream::Masker;

/// What stands in the place of a secret.
pub(crate) const HIDDEN: &str = "***";

/// What is hidden in a build.
pub(crate) struct Mask {
    /// Finds that there is something, fast.
    any: AhoCorasick,
    /// Finds everything, overlaps too.
    all: AhoCorasick,
    /// Of the same kind, for base64 whose line ends were taken out.
    base64: AhoCorasick,
    patterns: Patterns,
    /// All patterns by their first byte.
    by_first: Vec<Vec<Vec<u8>>>,
    /// Bytes of the longest pattern.
    longest: usize,
}

impl Mask {
    /// Returns what hides `secrets`; none if there is nothing to hide.
    pub(crate) fn new<'a>(secrets: impl Iterator<Item = &'a str>) -> Option<Self> {
        let patterns = Patterns::of(secrets);
        let longest = patterns
            .plain
            .iter()
            .chain(&patterns.base64)
            .map(Vec::len)
            .max()?;
        let every: Vec<_> = patterns.plain.union(&patterns.base64).collect();
        let build = |kind, patterns: &[&Vec<u8>]| {
            AhoCorasick::builder()
                .match_kind(kind)
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(patterns)
        };
        let mut by_first = vec![Vec::new(); 256];
        for pattern in &every {
            if let Some(&first) = pattern.first() {
                by_first[usize::from(first)].push((*pattern).clone());
            }
        }
        let base64: Vec<_> = patterns.base64.iter().collect();
        Some(Self {
            any: AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostFirst)
                .build(&every)
                .ok()?,
            all: build(MatchKind::Standard, &every).ok()?,
            base64: build(MatchKind::Standard, &base64).ok()?,
            by_first,
            patterns,
            longest,
        })
    }

    /// Hides secrets in a text that came whole.
    pub(crate) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let hidden = self.ranges(text.as_bytes());
        if hidden.is_empty() {
            return text.into();
        }
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for range in hidden {
            // Secrets are whole characters; base64 is ASCII.
            out.push_str(&text[at..range.start]);
            out.push_str(HIDDEN);
            at = range.end;
        }
        out.push_str(&text[at..]);
        out.into()
    }
}
