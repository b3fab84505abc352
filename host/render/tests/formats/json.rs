use hm_plugin_protocol::BuildEvent;
use hm_render::{Json, Renderer};

use crate::script::*;

#[test]
fn every_event_is_a_line_and_reads_back() {
    let (_, events) = everything();
    let written = Written::default();
    let mut json = Json::new(written.clone());
    for event in &events {
        json.event(event).unwrap();
    }
    json.finish(None).unwrap();
    let text = written.text();
    let back: Vec<BuildEvent> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let output: Vec<&str> = back
        .iter()
        .filter_map(|event| match event {
            BuildEvent::StepLog(lines) => lines.lines().next(),
            _ => None,
        })
        .collect();
    let printed = [
        "cc a.c",
        "cc b.c",
        "warning: unused",
        "sleeping",
        "\x1b[31m1 of 2 failed\x1b[0m",
        "10%\r100%",
    ];
    assert_eq!(output, printed);
    let rest = |events: &[BuildEvent]| -> Vec<BuildEvent> {
        events
            .iter()
            .filter(|event| !matches!(event, BuildEvent::StepLog(_)))
            .cloned()
            .collect()
    };
    assert_eq!(rest(&back), rest(&events));
}

#[test]
fn a_closed_pipe_is_an_error_to_the_caller() {
    let (_, events) = everything();
    let mut json = Json::new(Closed);
    json.event(&events[0]).unwrap();
    assert_eq!(
        json.finish(None).unwrap_err().kind(),
        std::io::ErrorKind::BrokenPipe
    );
}
