//! The report as text: sections, and lines that begin with how well it is.

use hm_render::clean_line;

/// A report that grows.
pub(super) struct Report {
    text: String,
    color: bool,
}

/// How well something is.
#[derive(Debug, Clone, Copy)]
enum Mark {
    Fine,
    Limited,
    Missing,
}

impl Mark {
    /// The word, of the same width each, and its colour as an SGR number.
    fn word(self) -> (&'static str, u8) {
        match self {
            Self::Fine => ("ok  ", 32),
            Self::Limited => ("note", 33),
            Self::Missing => ("FAIL", 31),
        }
    }
}

impl Report {
    pub(super) fn new(color: bool) -> Self {
        Self {
            text: format!("hm {}\n", env!("CARGO_PKG_VERSION")),
            color,
        }
    }

    /// Begins a section.
    pub(super) fn section(&mut self, title: &str) {
        self.text += &format!("\n{title}\n");
    }

    /// Tells of something that is as it should be.
    pub(super) fn fine(&mut self, name: &str, found: &str) {
        self.line(Mark::Fine, name, found);
    }

    /// Tells of something without which builds run all the same.
    pub(super) fn limited(&mut self, name: &str, cause: &str, remedy: Option<&str>) {
        self.line(Mark::Limited, name, cause);
        self.remedy(remedy);
    }

    /// Tells of something without which no build runs.
    pub(super) fn missing(&mut self, name: &str, cause: &str, remedy: Option<&str>) {
        self.line(Mark::Missing, name, cause);
        self.remedy(remedy);
    }

    fn line(&mut self, mark: Mark, name: &str, text: &str) {
        let (word, color) = mark.word();
        let word = if self.color {
            format!("\x1b[{color}m{word}\x1b[0m")
        } else {
            word.to_owned()
        };
        let mut lines = text.trim_end().lines();
        let first = clean_line(lines.next().unwrap_or_default()).into_owned();
        self.text += format!("  {word}  {:<16} {first}", clean_line(name)).trim_end();
        self.text.push('\n');
        for line in lines {
            self.text += &format!("        {:<16} {}\n", "", clean_line(line));
        }
    }

    fn remedy(&mut self, remedy: Option<&str>) {
        if let Some(remedy) = remedy {
            self.text += &format!("        {:<16} to fix: {}\n", "", clean_line(remedy));
        }
    }

    /// Returns the report with the verdict at its end.
    pub(super) fn text(self, can_run: bool) -> String {
        self.text
            + if can_run {
                "\nbuilds can run here\n"
            } else {
                "\nno build can run here until what says FAIL is fixed\n"
            }
    }
}
