//! The JSON Schema of the event lines, for readers in other languages.

use schemars::generate::SchemaSettings;

use crate::BuildEvent;

/// Returns the schema (draft 2020-12) of one line of `--format json` and of a run's
/// record. It describes what hm writes: a reader must bear further fields and kinds.
///
/// `events.schema.json` beside this crate's manifest is its text; a test holds the
/// two together.
pub fn event_lines() -> serde_json::Value {
    SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<BuildEvent>()
        .to_value()
}
