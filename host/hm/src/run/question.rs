//! What the user is told about a component before it may run.

use hm_exec::{Inspection, Interface};
use hm_render::clean_line;

use super::backend::Stranger;
use crate::config::Origin;
use crate::consent::{self, Need, Refusal};

/// Returns which bytes ask for what, in plain words, and why their grant does not do.
pub(super) fn story(
    stranger: &Stranger,
    inspection: &Inspection,
    need: &Need<'_>,
    refusal: Refusal,
) -> String {
    let file = stranger.file.display().to_string();
    let mut text = format!("backend `{}` {refusal}\n", clean_line(&file));
    text += &describe(inspection, &stranger.http);
    if need.interfaces.contains(&"vm") {
        text += &format!(
            "network   of its machines: {}\n",
            consent::word(need.network)
        );
    }
    for (key, value) in &stranger.from_repository {
        text += &format!(
            "setting   {} = {}  (from this repository)\n",
            clean_line(key),
            clean_line(value)
        );
    }
    text.trim_end().to_owned()
}

/// Returns what a component is and asks for, with the places that the configuration names
/// for it.
pub(crate) fn describe(inspection: &Inspection, http: &[(String, Origin)]) -> String {
    let mut text = format!(
        "digest    {}\nsize      {}\n",
        inspection.digest,
        size(inspection.size)
    );
    if let Some(author) = &inspection.author {
        let words = format!(
            "{} {} (made with {})",
            author.name, author.version, author.sdk
        );
        text += &format!(
            "says      it is {}; nobody checked that\n",
            clean_line(&words)
        );
    }
    if inspection.asks.is_empty() {
        text += "asks for  nothing but to run: no machines, files or network\n";
    }
    for (number, interface) in inspection.asks.iter().enumerate() {
        let head = if number == 0 { "asks for" } else { "" };
        text += &format!("{head:<8}  {}: {}\n", interface.name(), interface.meaning());
        if *interface == Interface::Http {
            text += &places(http);
        }
    }
    text
}

fn places(http: &[(String, Origin)]) -> String {
    if http.is_empty() {
        return "            none is named yet: each that it wants is refused, and told\n".into();
    }
    let line = |(pattern, origin): &(String, Origin)| {
        format!(
            "            {}  (asked for in {origin})\n",
            clean_line(&consent::told(pattern))
        )
    };
    http.iter().map(line).collect()
}

/// Returns a number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    let number = bytes as f64;
    match bytes {
        0..=1_023 => format!("{bytes} bytes"),
        1_024..=1_048_575 => format!("{:.1} KiB", number / 1024.0),
        1_048_576..=1_073_741_823 => format!("{:.1} MiB", number / 1_048_576.0),
        _ => format!("{:.1} GiB", number / 1_073_741_824.0),
    }
}
