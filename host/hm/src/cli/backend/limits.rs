//! `hm backend limits`: every limit on components, and how high it is.

use std::io::Write;

use hm_exec::{LimitKey, Limits, Unit};

use crate::config::{Folders, Layer, Settings};
use crate::failure::{Exit, Failure};
use crate::{project, run};

/// List the limits on backends, and how high they are
#[derive(clap::Args)]
pub(super) struct Args {}

/// Prints key, value and meaning of each.
pub(super) fn run(folders: &Folders) -> Result<Exit, Failure> {
    let root = project::find_root(None)?;
    let settings = Settings::load(folders, root.as_deref(), Layer::default())?;
    let limits = run::limits(&settings)?;
    let mut text = String::new();
    for key in LimitKey::all() {
        let (value, default) = (key.get(&limits), key.get(&Limits::default()));
        let mut meaning = key.meaning.to_owned();
        if value != default {
            meaning += &format!(" (by default {})", shown(key.unit, default));
        }
        text += &format!(
            "{:<16}{:>10}  {meaning}\n",
            key.name,
            shown(key.unit, value)
        );
    }
    text += "\nto change one for all backends, set it under [limits] in your own configuration;\n\
             for one component: hm backend grant FILE --limit KEY=VALUE\n";
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Success)
}

fn shown(unit: Unit, value: u64) -> String {
    match unit {
        Unit::Count => value.to_string(),
        Unit::Bytes => run::size(value),
        Unit::Time if value.is_multiple_of(1_000) => format!("{} s", value / 1_000),
        Unit::Time => format!("{value} ms"),
    }
}
