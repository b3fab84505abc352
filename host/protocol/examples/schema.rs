//! Prints the JSON Schema of the event lines, to be kept as `events.schema.json`.

#![allow(
    clippy::print_stdout,
    reason = "printing the schema is what this program is for"
)]

fn main() {
    println!("{:#}", hm_plugin_protocol::schema::event_lines());
}
