//! Field paths.

use std::fmt;

use crate::text::quote;

/// A field path, made on the stack and written out only when it is needed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path<'p> {
    /// The document.
    Root,
    /// A member of an object.
    Member(&'p Path<'p>, &'p str),
    /// An element of an array.
    Index(&'p Path<'p>, usize),
}

impl<'p> Path<'p> {
    /// Returns the path of a member.
    pub(crate) fn member(&'p self, member: &'p str) -> Path<'p> {
        Path::Member(self, member)
    }

    /// Returns the path of an element.
    pub(crate) fn index(&'p self, index: usize) -> Path<'p> {
        Path::Index(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let simple = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        match self {
            Path::Root => Ok(()),
            Path::Member(Path::Root, member) if simple(member) => f.write_str(member),
            Path::Member(parent, member) if simple(member) => write!(f, "{parent}.{member}"),
            Path::Member(parent, member) => write!(f, "{parent}[{}]", quote(member)),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}
