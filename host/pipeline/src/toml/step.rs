//! One `[steps.NAME]` table.

use std::time::Duration;

use ::toml::Spanned;
use ::toml::de::{DeString, DeTable, DeValue};
use hm_plugin_protocol::Network;

use super::fields::{Fields, OwnedText, Text, Variables, entry};
use super::policy;
use crate::cache_key::Policy;
use crate::path::Path;

const FIELDS: &[&str] = &[
    "run", "from", "needs", "timeout", "env", "image", "label", "cache", "network", "runner",
];

/// What holds for steps that say nothing else.
pub(super) struct Settings {
    pub(super) image: String,
    pub(super) env: Variables,
    pub(super) network: Option<Network>,
    pub(super) runner: Option<OwnedText>,
}

/// What could be read of a step's table; complete if there was no problem.
pub(super) struct StepTable<'t> {
    pub(super) key: &'t str,
    pub(super) run: Option<&'t str>,
    pub(super) from: Option<Text<'t>>,
    pub(super) needs: Vec<Text<'t>>,
    pub(super) label: Option<&'t str>,
    pub(super) image: Option<String>,
    pub(super) env: Variables,
    pub(super) timeout: Option<Duration>,
    pub(super) cache: Option<(Policy, usize)>,
    pub(super) network: Option<Network>,
    pub(super) runner: Option<OwnedText>,
}

/// Reads the table under `key`.
pub(super) fn read<'t>(
    fields: &mut Fields<'_>,
    key: &'t Spanned<DeString<'t>>,
    value: &'t Spanned<DeValue<'t>>,
    steps: &Path<'_>,
) -> StepTable<'t> {
    let name = key.get_ref().as_ref();
    let path = steps.member(name);
    let mut step = StepTable {
        key: name,
        run: None,
        from: None,
        needs: Vec::new(),
        label: None,
        image: None,
        env: Variables::default(),
        timeout: None,
        cache: None,
        network: None,
        runner: None,
    };
    let Some(table) = value.get_ref().as_table() else {
        fields.mismatch(&path, value, "a table with `run`");
        return step;
    };
    fields.check_known(table, &path, FIELDS);
    if entry(table, "run").is_none() {
        fields.problem(
            &path.member("run"),
            key.span().start,
            "missing, expected a command",
        );
    }
    step.run = fields.string(table, &path, "run").map(|run| run.text);
    step.from = fields.string(table, &path, "from");
    step.needs = needs(fields, table, &path);
    step.label = fields.string(table, &path, "label").map(|label| label.text);
    step.env = fields.env(table, &path);
    step.timeout = fields.timeout(table, &path);
    step.network = fields.network(table, &path);
    let runner = fields.string(table, &path, "runner");
    step.runner = runner.map(|runner| fields.keep(runner, &path.member("runner")));
    if let Some((_, value)) = entry(table, "cache") {
        let policy = policy::read(fields, value, &path.member("cache"));
        step.cache = policy.map(|policy| (policy, value.span().start));
    }
    step.image = image(fields, table, &path);
    step
}

fn image(fields: &mut Fields<'_>, table: &DeTable<'_>, path: &Path<'_>) -> Option<String> {
    let image = fields.image(table, path);
    if let (Some((key, _)), Some((_, from))) = (entry(table, "image"), entry(table, "from")) {
        let parent = from.get_ref().as_str().unwrap_or("its parent");
        let message = format!(
            "a step with `from` has no image: it boots from what {} left behind",
            crate::text::name(parent)
        );
        fields
            .problem(&path.member("image"), key.span().start, message)
            .hint = Some("remove `image`, or wait with `needs` instead of `from`".to_owned());
    }
    image
}

fn needs<'t>(fields: &mut Fields<'_>, table: &'t DeTable<'t>, path: &Path<'_>) -> Vec<Text<'t>> {
    let Some((_, value)) = entry(table, "needs") else {
        return Vec::new();
    };
    let path = path.member("needs");
    let Some(array) = value.get_ref().as_array() else {
        fields.mismatch(&path, value, "an array of step names");
        return Vec::new();
    };
    let items = array.iter().enumerate();
    items
        .filter_map(|(index, item)| fields.text(item, &path.index(index)))
        .collect()
}
