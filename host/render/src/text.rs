//! Text as it may stand on a screen.

pub(crate) mod clean;
pub(crate) mod line;
pub(crate) mod sgr;
pub(crate) mod words;
