//! What the build script has embedded.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// Returns the embedded files below a folder, with their names from there.
pub(super) fn below(folder: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().filter_map(move |(name, text)| {
        let rest = name.strip_prefix(folder)?.strip_prefix('/')?;
        Some((rest, *text))
    })
}
