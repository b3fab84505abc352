//! Colours inside of a machine's output.

use memchr::memchr;

const ESC: u8 = 0x1b;

/// Appends `text` without its control sequences. The session lets only colours
/// through; any other sequence, and a bare escape, goes the same way.
pub(crate) fn strip(mut text: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr(ESC, text) {
        out.extend_from_slice(&text[..at]);
        text = &text[at + 1..];
        if let Some(sequence) = text.strip_prefix(b"[") {
            // Parameters and intermediates end with one final byte.
            let end = sequence
                .iter()
                .position(|byte| (0x40..=0x7e).contains(byte));
            text = end.map_or(&[][..], |end| &sequence[end + 1..]);
        }
    }
    out.extend_from_slice(text);
}

/// Returns `text` without its control sequences.
pub(crate) fn stripped(text: &str) -> std::borrow::Cow<'_, str> {
    if memchr(ESC, text.as_bytes()).is_none() {
        return text.into();
    }
    let mut out = Vec::with_capacity(text.len());
    strip(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_and_text_stays() {
        assert_eq!(stripped("plain"), "plain");
        assert_eq!(stripped("\x1b[1;31mré\x1b[0md\x1b[m"), "réd");
        assert_eq!(stripped("a\x1bb\x1b["), "ab");
    }
}
