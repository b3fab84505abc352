//! `.hm/NAME.toml`: a pipeline without a programming language.
//!
//! ```toml
//! image = "host"                 # what root steps boot from
//! timeout = "30m"                # of the whole build
//! env = { RUST_BACKTRACE = "1" }
//! network = "none"               # none, public or host
//!
//! [steps.build]
//! run = "make"
//! cache = { on_change = ["src/**"] }   # or "forever", { ttl = "1d" }, { all = [...] }
//!
//! [steps.test]
//! from = "build"                 # boots from what `build` left behind
//! needs = ["lint"]               # waits only
//! run = "make test"
//! timeout = "10m"
//!
//! [steps.lint]
//! run = "make lint"
//! env = { STRICT = "1" }
//! ```
//!
//! Steps are in the document's order, their keys are the names of their tables.

mod assemble;
mod fields;
mod policy;
mod step;

use ::toml::de::DeTable;
use hm_plugin_protocol::Network;

use crate::cache_key::KeyInputs;
use crate::path::Path;
use crate::pipeline::{Checked, Pipeline};
use crate::problem::{self, Problem};
use crate::source::Source;
use crate::toml::fields::{Fields, OwnedText};
use crate::toml::step::{Settings, StepTable};

const FIELDS: &[&str] = &[
    "name", "image", "timeout", "env", "network", "runner", "steps",
];

/// Reads and checks a TOML pipeline. Root steps without an image get the document's
/// `image`, else `default_image`. What is wrong stands in [`Pipeline::checked`].
pub fn parse(source: &Source, slug: &str, default_image: &str, keys: &KeyInputs<'_>) -> Pipeline {
    let mut name = slug.to_owned();
    let checked = read(source, slug, default_image, keys, &mut name);
    let definition = checked
        .as_ref()
        .map(|c| c.plan.ir_json())
        .unwrap_or_default();
    let entry = crate::ir::entry(slug, &name, &definition);
    Pipeline {
        slug: slug.to_owned(),
        name,
        entry,
        definition,
        checked,
    }
}

/// What the top of the document says.
struct Head {
    settings: Settings,
    timeout: Option<std::time::Duration>,
}

fn read(
    source: &Source,
    slug: &str,
    default_image: &str,
    keys: &KeyInputs<'_>,
    name: &mut String,
) -> Result<Checked, Vec<Problem>> {
    let (document, errors) = DeTable::parse_recoverable(source.text());
    if !errors.is_empty() {
        return Err(errors.iter().map(|error| syntax(source, error)).collect());
    }
    let mut fields = Fields::new(source);
    let table = document.get_ref();
    let root = Path::Root;
    fields.check_known(table, &root, FIELDS);
    if let Some(shown) = fields.string(table, &root, "name") {
        *name = shown.text.to_owned();
    }
    let head = Head {
        timeout: fields.timeout(table, &root),
        settings: Settings {
            image: fields
                .image(table, &root)
                .unwrap_or_else(|| default_image.to_owned()),
            env: fields.env(table, &root),
            network: fields.network(table, &root),
            runner: runner(&mut fields, table),
        },
    };
    let steps = read_steps(&mut fields, table, document.span().start);
    let checked = assemble::assemble(&mut fields, slug, head, steps, keys);
    match checked {
        Some(checked) if fields.problems.is_empty() => Ok(checked),
        _ => {
            problem::sort(&mut fields.problems);
            Err(fields.problems)
        }
    }
}

fn runner(fields: &mut Fields<'_>, table: &DeTable<'_>) -> Option<OwnedText> {
    let runner = fields.string(table, &Path::Root, "runner")?;
    Some(fields.keep(runner, &Path::Root.member("runner")))
}

fn read_steps<'t>(
    fields: &mut Fields<'_>,
    table: &'t DeTable<'t>,
    start: usize,
) -> Vec<StepTable<'t>> {
    let path = Path::Root.member("steps");
    let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == "steps") else {
        let message = "missing, expected a table of steps";
        fields.problem(&path, start, message).hint =
            Some("add `[steps.NAME]` with `run`".to_owned());
        return Vec::new();
    };
    let Some(steps) = value.get_ref().as_table() else {
        fields.mismatch(&path, value, "a table of steps");
        return Vec::new();
    };
    if steps.is_empty() {
        let place = fields.place(&path, key.span().start);
        fields.warnings.push(Problem::at(
            place,
            "the pipeline has no steps: it passes at once",
        ));
    }
    let mut ordered: Vec<_> = steps.iter().collect();
    // The parser sorts tables by name; a person wrote them in another order.
    ordered.sort_by_key(|(key, _)| key.span().start);
    ordered
        .into_iter()
        .map(|(key, value)| step::read(fields, key, value, &path))
        .collect()
}

fn syntax(source: &Source, error: &::toml::de::Error) -> Problem {
    let offset = error.span().map_or(0, |span| span.start);
    Problem::at(
        source.place("", offset),
        format!("not TOML: {}", error.message()),
    )
}

/// Returns the network of that name.
fn network(word: &str) -> Option<Network> {
    match word {
        "none" => Some(Network::None),
        "public" => Some(Network::Public),
        "host" => Some(Network::Host),
        _ => None,
    }
}
