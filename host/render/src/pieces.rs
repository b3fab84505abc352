//! Lines that come in pieces, because they were too long to be held whole.

/// Follows which lines are unfinished, so that a piece is continued where nothing
/// came between and is marked where something did.
#[derive(Debug)]
pub(crate) struct Pieces<C> {
    /// The channel whose unfinished line stands at the end of what was written.
    open: Option<C>,
    /// Channels whose unfinished line was broken by another's text.
    broken: Vec<C>,
}

/// How the text of a batch follows on what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lead {
    /// A new line begins.
    Fresh,
    /// It goes on at the very place where the last write stopped.
    Continues,
    /// It goes on with a line that was broken; say so.
    Resumes,
}

/// What stands at the break of a line, and at the start of its next piece.
pub(crate) const BREAK: &str = "…";

impl<C: Copy + PartialEq> Pieces<C> {
    pub(crate) fn new() -> Self {
        Self {
            open: None,
            broken: Vec::new(),
        }
    }

    /// Ends the open line, if text of another channel follows, and returns true if the
    /// caller must write the break.
    pub(crate) fn interrupt(&mut self, by: Option<C>) -> bool {
        match self.open {
            Some(open) if by != Some(open) => {
                self.broken.push(open);
                self.open = None;
                true
            }
            _ => false,
        }
    }

    /// Notes a batch of `channel`, after [`Self::interrupt`], and returns how it begins.
    pub(crate) fn follow(&mut self, channel: C, partial: bool) -> Lead {
        let lead = if self.open == Some(channel) {
            Lead::Continues
        } else if let Some(at) = self.broken.iter().position(|&c| c == channel) {
            self.broken.swap_remove(at);
            Lead::Resumes
        } else {
            Lead::Fresh
        };
        self.open = partial.then_some(channel);
        lead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_on_until_another_channel_breaks_it() {
        let mut pieces = Pieces::new();
        assert_eq!(pieces.follow('a', true), Lead::Fresh);
        assert!(!pieces.interrupt(Some('a')));
        assert_eq!(pieces.follow('a', true), Lead::Continues);
        assert!(pieces.interrupt(Some('b')));
        assert_eq!(pieces.follow('b', false), Lead::Fresh);
        assert!(!pieces.interrupt(Some('a')));
        assert_eq!(pieces.follow('a', false), Lead::Resumes);
        assert_eq!(pieces.follow('a', false), Lead::Fresh);
    }
}
