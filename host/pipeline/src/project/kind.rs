//! Which kind of pipeline a file is.

use std::path::Path;

use ::toml::de::DeTable;

/// The kinds of pipeline files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Python,
    Toml,
    Json,
    TypeScript,
}

impl Kind {
    /// Returns the kind that a file's extension tells.
    pub(super) fn of_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "py" => Some(Self::Python),
            "toml" => Some(Self::Toml),
            "json" => Some(Self::Json),
            "ts" => Some(Self::TypeScript),
            _ => None,
        }
    }

    /// Returns the kind that a text looks like.
    pub(super) fn of_text(text: &str) -> Self {
        let start = text.trim_start_matches('\u{feff}').trim_start();
        if start.starts_with('{') {
            return Self::Json;
        }
        let imports =
            |line: &str| line.starts_with("import harmont") || line.starts_with("from harmont ");
        if text.lines().any(imports) {
            return Self::Python;
        }
        // Something that was printed before a document does not make it TOML.
        let has_object = text.lines().any(|line| line.starts_with('{'));
        if has_object && DeTable::parse(text).is_err() {
            Self::Json
        } else {
            Self::Toml
        }
    }
}
