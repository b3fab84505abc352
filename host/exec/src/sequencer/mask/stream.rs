//! Secrets in bytes that come in pieces, cut anywhere.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{HIDDEN, Mask};

/// Base64 that goes on in the next line fills its line: this many characters of it stand
/// before the line end.
const WRAPPED_MIN: usize = 16;

/// A piece that ends a line is held back only if this much of a secret stands at its end:
/// a line must not wait for the next one because of its last letter.
const HELD_MIN: usize = 4;

/// One channel of output, on its way through the mask.
pub(crate) struct Masker {
    mask: Arc<Mask>,
    /// What was handed on last, for secrets that began in it, then what is held back.
    tail: Vec<u8>,
    /// How much of the tail was handed on.
    released: usize,
    /// How far what was handed on is hidden already.
    hidden: usize,
}

impl Masker {
    pub(crate) fn new(mask: Arc<Mask>) -> Self {
        Self {
            mask,
            tail: Vec::new(),
            released: 0,
            hidden: 0,
        }
    }

    /// Takes a piece and returns what can be handed on.
    pub(crate) fn push(&mut self, piece: &Bytes) -> Bytes {
        let is_fresh = self.tail.len() == self.released;
        self.tail.extend_from_slice(piece);
        let ranges = self.mask.ranges(&self.tail);
        let held = self.mask.held(&self.tail).max(self.released);
        // The common case: nothing is hidden, nothing is held back, nothing is copied.
        if is_fresh && ranges.is_empty() && held == self.tail.len() {
            self.forget(held);
            return piece.clone();
        }
        self.release(&ranges, held)
    }

    /// Returns what was held back: nothing more comes.
    pub(crate) fn finish(&mut self) -> Bytes {
        let ranges = self.mask.ranges(&self.tail);
        self.release(&ranges, self.tail.len())
    }

    fn release(&mut self, ranges: &[Range<usize>], end: usize) -> Bytes {
        let mut out = Vec::with_capacity(end - self.released);
        let mut at = self.released;
        for range in ranges {
            if range.end <= at || range.start >= end {
                continue;
            }
            out.extend_from_slice(&self.tail[at..range.start.max(at)]);
            // One that goes on is marked once.
            if range.start >= self.hidden || at > self.hidden {
                out.extend_from_slice(HIDDEN.as_bytes());
            }
            at = range.end.min(end);
            self.hidden = range.end;
        }
        out.extend_from_slice(&self.tail[at..end]);
        self.forget(end);
        out.into()
    }

    /// Marks as handed on, and keeps what a secret could have begun in.
    fn forget(&mut self, released: usize) {
        let kept = released.saturating_sub(self.mask.context());
        self.tail.drain(..kept);
        self.released = released - kept;
        self.hidden = self.hidden.saturating_sub(kept);
    }
}

impl Mask {
    /// Returns what is to be hidden, in order, without overlaps.
    pub(super) fn ranges(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        if self.any.is_match(bytes) {
            found.extend(self.all.find_overlapping_iter(bytes).map(|hit| hit.range()));
        }
        self.wrapped(bytes, |text, places| {
            for hit in self.base64.find_overlapping_iter(text) {
                found.push(places[hit.start()]..places[hit.end() - 1] + 1);
            }
        });
        merged(found)
    }

    /// How much of what was handed on is kept. Of base64 in lines, its line ends too.
    fn context(&self) -> usize {
        self.longest + self.longest / WRAPPED_MIN + 2
    }

    /// Returns where the end begins that may be the start of a secret.
    fn held(&self, bytes: &[u8]) -> usize {
        let from = bytes.len().saturating_sub(self.longest.saturating_sub(1));
        let mut held = (from..bytes.len())
            .find(|&at| self.is_start(&bytes[at..]) && is_worth(&bytes[at..]))
            .unwrap_or(bytes.len());
        self.wrapped(bytes, |text, places| {
            // Only the last stretch can go on.
            if places.last().is_none_or(|&last| last + 3 < bytes.len()) {
                return;
            }
            let from = text.len().saturating_sub(self.longest.saturating_sub(1));
            let start = (from..text.len())
                .find(|&at| text.len() - at >= HELD_MIN && self.is_start(&text[at..]));
            if let Some(start) = start {
                held = held.min(places[start]);
            }
        });
        held
    }

    /// Returns whether something that is looked for begins like this and goes on.
    fn is_start(&self, tail: &[u8]) -> bool {
        let Some(first) = tail.first() else {
            return false;
        };
        self.by_first[usize::from(*first)]
            .iter()
            .any(|pattern| tail.len() < pattern.len() && pattern.starts_with(tail))
    }

    /// Finds stretches of base64 that go over line ends, and shows each without them, with
    /// the place of every byte.
    fn wrapped(&self, bytes: &[u8], mut show: impl FnMut(&[u8], &[usize])) {
        if self.patterns.base64.is_empty() {
            return;
        }
        let (mut text, mut places) = (Vec::new(), Vec::new());
        let reach = self.context();
        let mut shown_to = 0;
        // The half of a line end too, where the other half is yet to come.
        let half = (bytes.last() == Some(&b'\r')).then(|| bytes.len() - 1);
        for end in memchr::memchr_iter(b'\n', bytes).chain(half) {
            if end < shown_to || !fills_line(&bytes[..end]) {
                continue;
            }
            let start = end - stretch(bytes[..end].iter().rev().take(reach));
            let stop = end + stretch(bytes[end..].iter().take(16 * reach));
            text.clear();
            places.clear();
            for (place, byte) in (start..).zip(&bytes[start..stop]) {
                if is_base64(*byte) {
                    text.push(*byte);
                    places.push(place);
                }
            }
            show(&text, &places);
            // What begins before this has been shown to its end.
            shown_to = stop.saturating_sub(reach).max(end + 1);
        }
    }
}

/// A start that ends a line, or is one, must be longer to be waited for.
fn is_worth(tail: &[u8]) -> bool {
    tail.len() >= HELD_MIN || !tail.contains(&b'\n')
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// True if the text ends like a line of base64 that goes on.
fn fills_line(before: &[u8]) -> bool {
    let before = before.strip_suffix(b"\r").unwrap_or(before);
    before.len() >= WRAPPED_MIN
        && before[before.len() - WRAPPED_MIN..]
            .iter()
            .copied()
            .all(is_base64)
}

/// Returns how many bytes are base64 and line ends.
fn stretch<'a>(bytes: impl Iterator<Item = &'a u8>) -> usize {
    bytes
        .take_while(|byte| is_base64(**byte) || matches!(**byte, b'\n' | b'\r'))
        .count()
}

fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cr3t-Tok3n/with+more?";

    fn mask(secrets: &[&str]) -> Arc<Mask> {
        Arc::new(Mask::new(secrets.iter().copied()).unwrap())
    }

    /// Feeds a text in pieces of one size and returns what comes out.
    fn pieces(mask: &Arc<Mask>, text: &[u8], size: usize) -> String {
        let mut masker = Masker::new(mask.clone());
        let mut out = Vec::new();
        for piece in text.chunks(size) {
            out.extend_from_slice(&masker.push(&Bytes::copy_from_slice(piece)));
        }
        out.extend_from_slice(&masker.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_secret_is_hidden_wherever_it_is_cut() {
        let mask = mask(&[SECRET]);
        let text = format!("a{SECRET}b\n{SECRET}{SECRET}\ns3cr3t-Tok3n, not it\n{SECRET}");
        let expected = "a***b\n******\ns3cr3t-Tok3n, not it\n***";
        for size in 1..=text.len() {
            assert_eq!(pieces(&mask, text.as_bytes(), size), expected, "{size}");
        }
    }

    #[test]
    fn overlapping_secrets_leave_nothing() {
        let mask = mask(&["abcd", "cdxyz", "aaa"]);
        for (text, expected) in [
            ("-abcdxyz-", "-***-"),
            ("abcd xyz", "*** xyz"),
            ("aaaaaaaaaa", "***"),
            ("aa-aa", "aa-aa"),
            ("cdxy", "cdxy"),
        ] {
            for size in 1..=text.len() {
                assert_eq!(
                    pieces(&mask, text.as_bytes(), size),
                    expected,
                    "{text} by {size}"
                );
            }
        }
    }

    #[test]
    fn a_secret_of_several_lines_is_hidden_whole_and_by_lines() {
        let key = "-----BEGIN KEY-----\nAAAABBBBCCCC\n-----END KEY-----";
        let mask = mask(&[key]);
        let text = format!("x\n{key}\ny\n  | AAAABBBBCCCC\n");
        for size in 1..=text.len() {
            assert_eq!(
                pieces(&mask, text.as_bytes(), size),
                "x\n***\ny\n  | ***\n",
                "{size}"
            );
        }
    }

    fn base64(text: &str) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut out = String::new();
        for group in text.as_bytes().chunks(3) {
            let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
                out.push(if at > group.len() {
                    '='
                } else {
                    char::from(ALPHABET[(bits >> shift & 63) as usize])
                });
            }
        }
        out
    }

    /// No five letters in a row of the secret's own encoding are left.
    #[track_caller]
    fn assert_hidden(shown: &str, encoded: &str) {
        let shown: String = shown.split_whitespace().collect();
        let tells =
            (2..encoded.len().saturating_sub(8)).find(|&at| shown.contains(&encoded[at..at + 6]));
        assert_eq!(tells.map(|at| &encoded[at..]), None, "{shown}");
    }

    #[test]
    fn base64_is_hidden_in_lines_of_any_width() {
        let mask = mask(&[SECRET]);
        for before in [
            "",
            "a",
            "ab",
            "password=",
            &"x".repeat(70),
            &"y".repeat(500),
        ] {
            let encoded = base64(&format!("{before}{SECRET} and what comes after it"));
            let own = &base64(&format!("{}{SECRET}", &"zzz"[..before.len() % 3]))[4..];
            for width in [17, 64, 76, 1000] {
                let lines: Vec<_> = encoded
                    .as_bytes()
                    .chunks(width)
                    .map(|line| str::from_utf8(line).unwrap())
                    .collect();
                for end in ["\n", "\r\n"] {
                    let text = format!("before\n{}{end}after\n", lines.join(end));
                    for size in [1, 3, 16, 50, 4096] {
                        let shown = pieces(&mask, text.as_bytes(), size);
                        assert!(shown.contains("***"), "{before} {width} {size}: {shown}");
                        assert!(shown.starts_with("before\n") && shown.ends_with("after\n"));
                        assert_hidden(&shown, own);
                    }
                }
            }
        }
    }

    #[test]
    fn a_line_is_not_held_back_for_its_last_letter() {
        let mask = mask(&["e\nx secret"]);
        let mut masker = Masker::new(mask);
        assert_eq!(&masker.push(&Bytes::from_static(b"one\n"))[..], b"one\n");
        // What begins one in earnest is.
        assert_eq!(&masker.push(&Bytes::from_static(b"one\nx se"))[..], b"on");
        assert_eq!(&masker.push(&Bytes::from_static(b"cret!\n"))[..], b"***!\n");
    }

    #[test]
    fn memory_is_bounded_by_the_longest_secret() {
        let mask = mask(&[SECRET]);
        let mut masker = Masker::new(mask);
        let piece = Bytes::from("s3cr3t-".repeat(1000));
        for _ in 0..100 {
            masker.push(&piece);
            assert!(masker.tail.len() < 200, "{}", masker.tail.len());
        }
    }
}
