//! The kept schema is that of the types, and what hm writes holds to it.

use hm_plugin_protocol::{
    BuildEvent, BuildRef, BuildStatus, Level, LogLines, LogStream, PlanSummary, StepStatus, schema,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn the_kept_schema_is_up_to_date() {
    let kept: Value = serde_json::from_str(include_str!("../events.schema.json")).unwrap();
    assert!(
        kept == schema::event_lines(),
        "events.schema.json is old; make it anew:\n  cargo run -p hm-plugin-protocol --example schema > host/protocol/events.schema.json"
    );
}

#[test]
fn every_kind_of_event_holds_to_the_schema() {
    let schema = schema::event_lines();
    let mut out = Vec::new();
    for event in events() {
        event.write_json_lines(&mut out);
    }
    let text = String::from_utf8(out).unwrap();
    let mut kinds = Vec::new();
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        assert!(holds(&value, &schema, &schema), "{line}");
        kinds.push(value["kind"].as_str().unwrap().to_owned());
    }
    kinds.dedup();
    assert_eq!(
        kinds.len(),
        schema["oneOf"].as_array().unwrap().len(),
        "{kinds:?}"
    );
}

#[test]
fn lines_that_hm_never_writes_do_not_hold() {
    let schema = schema::event_lines();
    let good = json!({"kind": "build_end", "exit_code": 0, "duration_ms": 1, "status": "passed"});
    assert!(holds(&good, &schema, &schema));
    for (field, value) in [
        ("kind", json!("other")),
        ("exit_code", json!("0")),
        ("status", json!("fine")),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(!holds(&bad, &schema, &schema), "{bad}");
    }
    assert!(!holds(
        &json!({"kind": "build_end", "exit_code": 0}),
        &schema,
        &schema
    ));
}

fn events() -> Vec<BuildEvent> {
    let mut events = build_events();
    events.splice(2..2, step_events());
    events
}

fn build_events() -> Vec<BuildEvent> {
    let (run_id, step_id, ts) = (Uuid::nil(), Uuid::nil(), Timestamp::UNIX_EPOCH);
    let plan = PlanSummary {
        step_count: 1,
        chain_count: 1,
        default_runner: "vm".into(),
    };
    let build = BuildRef {
        run_id,
        number: Some(3),
        org: None,
        pipeline: "ci".into(),
    };
    vec![
        BuildEvent::BuildAccepted {
            build,
            watch_url: None,
        },
        BuildEvent::BuildStart {
            run_id,
            plan,
            started_at: ts,
        },
        BuildEvent::ChainFailed {
            chain_idx: 0,
            failed_step_id: step_id,
            failed_step_key: "a".into(),
            exit_code: 2,
            message: "step 'a' exited with code 2".into(),
            ts,
        },
        BuildEvent::Notice {
            step_id: None,
            step: None,
            level: Level::Warning,
            message: "careful".into(),
            ts,
        },
        BuildEvent::Custom {
            name: "cost".into(),
            data: json!({"cents": [1, 2.5, null]}),
        },
        BuildEvent::BuildEnd {
            exit_code: 1,
            duration_ms: 5,
            status: BuildStatus::Failed,
            reason: None,
        },
    ]
}

fn step_events() -> Vec<BuildEvent> {
    let (step_id, ts) = (Uuid::nil(), Timestamp::UNIX_EPOCH);
    vec![
        BuildEvent::StepQueued {
            step_id,
            step: 0,
            key: "a".into(),
            chain_idx: 0,
            parent_key: None,
            display_name: "A".into(),
        },
        BuildEvent::StepStart {
            step_id,
            step: 0,
            runner: "sandbox".into(),
            image: Some("host".into()),
            ts,
        },
        BuildEvent::StepLog(LogLines::new(
            step_id,
            0,
            LogStream::Stdout,
            ts,
            "one\ntwo\n",
        )),
        BuildEvent::StepLog(LogLines::new(step_id, 0, LogStream::Stderr, ts, "pie").partial()),
        BuildEvent::StepCacheHit {
            step_id,
            step: 0,
            key: "9f".into(),
            tag: "snap".into(),
        },
        BuildEvent::StepEnd {
            step_id,
            step: 0,
            exit_code: None,
            duration_ms: 0,
            snapshot: None,
            status: StepStatus::Skipped,
            reason: Some("`b` failed".into()),
            observed: false,
            ts,
        },
    ]
}

/// Says whether `value` holds to `part` of the schema `whole`. Knows the words that our
/// schema uses, and fails at another: an unknown word must not count as a check.
fn holds(value: &Value, part: &Value, whole: &Value) -> bool {
    let Some(words) = part.as_object() else {
        return part.as_bool().unwrap();
    };
    words.iter().all(|(word, rule)| match word.as_str() {
        "$schema" | "$defs" | "title" | "description" | "default" | "format" => true,
        "$ref" => {
            let place = rule.as_str().unwrap().trim_start_matches('#');
            holds(value, whole.pointer(place).unwrap(), whole)
        }
        "oneOf" => {
            rule.as_array()
                .unwrap()
                .iter()
                .filter(|part| holds(value, part, whole))
                .count()
                == 1
        }
        "anyOf" => rule
            .as_array()
            .unwrap()
            .iter()
            .any(|part| holds(value, part, whole)),
        "const" => value == rule,
        "enum" => rule.as_array().unwrap().contains(value),
        "minimum" => value
            .as_f64()
            .is_none_or(|number| number >= rule.as_f64().unwrap()),
        "required" => rule
            .as_array()
            .unwrap()
            .iter()
            .all(|name| value.get(name.as_str().unwrap()).is_some()),
        "properties" => rule.as_object().unwrap().iter().all(|(name, part)| {
            value
                .get(name)
                .is_none_or(|value| holds(value, part, whole))
        }),
        "type" => match rule {
            Value::Array(types) => types.iter().any(|rule| is_type(value, rule)),
            rule => is_type(value, rule),
        },
        other => panic!("the schema uses `{other}`, which this test does not know"),
    })
}

fn is_type(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the schema uses the type `{other}`, which this test does not know"),
    }
}
