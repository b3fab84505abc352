//! What an engine needs of this system, tried out.

/// One thing that was tried, for `hm doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What it is.
    pub name: &'static str,
    /// What was found, or cause and remedy.
    pub result: Result<String, (String, String)>,
    /// Without it there are no machines.
    pub needed: bool,
}
