//! One line of text that never gets wider than it may.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What a piece of text says, for its colour. Colour never says it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Warn,
    Note,
}

impl Style {
    /// The parameters of the SGR sequence.
    fn sgr(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Bold => Some("1"),
            Self::Dim => Some("2"),
            Self::Good => Some("32"),
            Self::Bad => Some("1;31"),
            Self::Warn => Some("33"),
            Self::Note => Some("36"),
        }
    }
}

/// What the writer of a line may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) color: bool,
    pub(crate) unicode: bool,
}

impl Look {
    /// Returns the sign for "there was more".
    pub(crate) fn ellipsis(self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }

    /// Returns the first where more than ASCII may be written.
    pub(crate) fn either(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.unicode { unicode } else { ascii }
    }

    /// Returns `text` in `style`.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        match style.sgr() {
            Some(sgr) if self.color && !text.is_empty() => format!("\x1b[{sgr}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

/// A line under construction. What does not fit is cut, and the cut is marked.
#[derive(Debug)]
pub(crate) struct Line {
    text: String,
    width: usize,
    limit: usize,
    full: bool,
    look: Look,
}

impl Line {
    /// Makes an empty line of at most `limit` columns.
    pub(crate) fn new(look: Look, limit: usize) -> Self {
        Self {
            text: String::new(),
            width: 0,
            limit,
            full: false,
            look,
        }
    }

    /// Makes a line without a limit.
    pub(crate) fn endless(look: Look) -> Self {
        Self::new(look, usize::MAX)
    }

    /// Returns the columns used so far.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Appends clean text without escapes, as much as fits.
    pub(crate) fn push(&mut self, style: Style, text: &str) -> &mut Self {
        if self.full || text.is_empty() {
            return self;
        }
        let cut = fit(text, self.limit - self.width, self.look.ellipsis());
        self.full = cut.len() != text.len() || *cut != *text;
        self.width += cut.width();
        self.text += &self.look.paint(style, &cut);
        self
    }

    /// Appends spaces up to `column`.
    pub(crate) fn pad(&mut self, column: usize) -> &mut Self {
        let missing = column.min(self.limit).saturating_sub(self.width);
        self.text.extend(std::iter::repeat_n(' ', missing));
        self.width += missing;
        self
    }

    /// Appends another line, which was made to fit.
    pub(crate) fn append(&mut self, other: Line) -> &mut Self {
        if !self.full && other.width <= self.limit - self.width {
            self.width += other.width;
            self.text += &other.text;
        }
        self
    }

    /// Returns the line, without trailing spaces.
    pub(crate) fn finish(mut self) -> String {
        self.text.truncate(self.text.trim_end_matches(' ').len());
        self.text
    }
}

/// Returns as much of `text` as fits `columns`, its cut marked by `mark` if that fits.
pub(crate) fn fit<'a>(text: &'a str, columns: usize, mark: &str) -> std::borrow::Cow<'a, str> {
    // Most texts are short, and no text is wider than it has bytes.
    if text.len() <= columns || text.width() <= columns {
        return text.into();
    }
    let mark = if mark.len() <= columns || mark.width() <= columns {
        mark
    } else {
        ""
    };
    let room = columns - mark.width();
    let mut used = 0;
    let end = text
        .char_indices()
        .find(|&(_, c)| {
            used += c.width().unwrap_or(0);
            used > room
        })
        .map_or(text.len(), |(at, _)| at);
    format!("{}{mark}", &text[..end]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_marked_and_wide_characters_count_twice() {
        assert_eq!(fit("compile", 7, "…"), "compile");
        assert_eq!(fit("compile", 6, "…"), "compi…");
        assert_eq!(fit("日本語", 5, "…"), "日本…");
        assert_eq!(fit("日本語", 4, "…"), "日…");
        assert_eq!(fit("compile", 2, "..."), "co");
        assert_eq!(fit("compile", 0, "…"), "");
    }

    #[test]
    fn a_full_line_takes_no_more() {
        let look = Look {
            color: false,
            unicode: true,
        };
        let mut line = Line::new(look, 8);
        line.push(Style::Bold, "compiling")
            .push(Style::Dim, "more")
            .pad(20);
        assert_eq!(line.finish(), "compili…");
    }
}
