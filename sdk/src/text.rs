//! What the host takes in one piece. Beyond it, a build ends as a broken protocol.

/// Bytes of a step's output in one event; [`EventSink`](crate::EventSink) cuts longer ones up.
pub const MAX_OUTPUT_CHUNK: usize = 16 * 1024;

/// Bytes of a notice, a detail or an error text; longer ones are cut short.
pub const MAX_TEXT: usize = 4 * 1024;

const CUT: &str = "…";

/// Returns `text`, cut to [`MAX_TEXT`] bytes.
pub(crate) fn fit(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT - CUT.len()));
        text.push_str(CUT);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_between_characters_and_says_so() {
        let text = fit("é".repeat(MAX_TEXT));
        assert!(text.len() <= MAX_TEXT);
        assert!(text.ends_with("é…"));
        assert_eq!(fit("short".into()), "short");
    }
}
