//! What the user is told about a component before it may run.

use hm_exec::{Inspection, Interface};
use hm_render::clean_line;

use super::backend::Stranger;
use crate::config::Origin;
use crate::consent::{self, Need, Refusal};

/// Characters of a text that somebody else chose. What is longer could fill the screen, or
/// wrap so that its end looks like a line of ours.
const SHOWN: usize = 60;

/// Returns which bytes ask for what, in plain words, and why their grant does not do.
///
/// Nothing that the component says of itself is in it: no instruction of it has run, and a
/// name of its own choice would be one more thing to believe.
pub(super) fn story(
    stranger: &Stranger,
    inspection: &Inspection,
    need: &Need<'_>,
    refusal: Refusal,
) -> String {
    let file = stranger.file.display().to_string();
    let mut text = format!("backend {} {refusal}\n", quoted(&file));
    text += &describe(inspection, &stranger.http);
    if let Some(vm) = &need.vm {
        let images: Vec<_> = vm.images.iter().map(|image| quoted(image)).collect();
        text += &format!(
            "machines  of the engine {}, which {}\n",
            vm.engine,
            match vm.engine.as_str() {
                "sandbox" => "shares this machine's kernel",
                "docker" => "shares the kernel of its daemon",
                _ => "the configuration chose",
            }
        );
        text += &format!("images    {}\n", images.join(", "));
        text += &format!("network   of its machines: {}\n", consent::word(vm.network));
    }
    for (key, value) in &stranger.from_repository {
        text += &format!(
            "setting   from this repository: {} = {}\n",
            quoted(key),
            quoted(value)
        );
    }
    text.trim_end().to_owned()
}

/// Returns a text of somebody else's choice in quotes, on one line, with nothing hidden.
fn quoted(text: &str) -> String {
    let mut shown = String::new();
    for c in clean_line(text).chars().take(SHOWN) {
        match c {
            '`' => shown.push('\''),
            c => shown.push(c),
        }
    }
    // Blanks in a row push what follows out of sight.
    while shown.contains("  ") {
        shown = shown.replace("  ", " ");
    }
    let length = text.chars().count();
    if length > SHOWN {
        format!("`{shown}…` ({length} characters)")
    } else {
        format!("`{shown}`")
    }
}

/// Returns what a component is and asks for, with the places that the configuration names
/// for it.
pub(crate) fn describe(inspection: &Inspection, http: &[(String, Origin)]) -> String {
    bytes(inspection) + &asks(inspection, http)
}

fn bytes(inspection: &Inspection) -> String {
    format!(
        "digest    {}\nsize      {}\n",
        inspection.digest,
        size(inspection.size)
    )
}

fn asks(inspection: &Inspection, http: &[(String, Origin)]) -> String {
    if inspection.asks.is_empty() {
        return "asks for  nothing but to run: no machines, files or network\n".into();
    }
    let mut text = String::new();
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
