use hm_plugin_protocol::{BuildEvent, BuildStatus, Plan, StepStatus};
use hm_render::{Report, ReportFormat};
use serde_json::{Value, json};

use crate::script::*;

fn report(plan: &Plan, events: &[BuildEvent]) -> Report {
    let mut report = Report::new(plan, "acme");
    for event in events {
        report.event(event);
    }
    report
}

/// A build in which everything that can be said is said to break out of something.
fn hostile() -> Report {
    let mut plan = plan(&[("<b>&\"k'", "")]);
    plan.pipeline = "ci</title><script>".into();
    plan.steps[0].command = "echo '</code><script>alert(1)</script>'".into();
    let accepted = BuildEvent::BuildAccepted {
        build: submitted().1.build,
        watch_url: Some("javascript:alert(1)".into()),
    };
    let events = [
        start(&plan),
        accepted,
        queued(&plan, 0),
        started(0, 0),
        out(0, "]]><x/>\u{1}\u{b}</pre><script>\n\x1b[31mred\x1b[0m\n"),
        ended(0, StepStatus::Failed, 1, 5, "<reason> \"quoted\""),
        end(BuildStatus::Failed, 5, "why <not>"),
    ];
    report(&plan, &events)
}

#[test]
fn junit_has_a_case_a_step() {
    let (plan, events) = everything();
    let text = report(&plan, &events).write(ReportFormat::Junit);
    insta::assert_snapshot!(text, @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="ci" tests="5" skipped="2" failures="1" errors="0" time="2.700">
        <testsuite name="ci" tests="5" skipped="2" errors="0" failures="1" time="2.700">
            <properties>
                <property name="backend" value="acme"/>
            </properties>
            <testcase name="base" classname="ci" time="0.000"/>
            <testcase name="build" classname="ci" time="1.200"/>
            <testcase name="test" classname="ci" time="1.500">
                <failure message="exit 2" type="failed"/>
                <system-out>1 of 2 failed
    10%
    100%
    </system-out>
            </testcase>
            <testcase name="slow" classname="ci" time="1.500">
                <skipped message="cancelled: `test` failed" type="cancelled"/>
                <system-out>sleeping
    </system-out>
            </testcase>
            <testcase name="deploy" classname="ci" time="0.000">
                <skipped message="skipped: needs `test`, which failed" type="skipped"/>
            </testcase>
        </testsuite>
    </testsuites>
    "#);
}

#[test]
fn json_has_the_verdict_and_every_step() {
    let (plan, events) = everything();
    let text = report(&plan, &events).write(ReportFormat::Json);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["status"], "failed");
    assert_eq!(value["exit_code"], 1);
    assert_eq!(value["steps"].as_array().unwrap().len(), 5);
    assert_eq!(value["critical_path"], json!(["build", "test"]));
    assert_eq!(
        value["steps"][2],
        json!({
            "key": "test", "title": null, "parent": "build", "status": "failed", "exit_code": 2,
            "reason": null, "started_at": "1970-01-01T00:00:01.2Z", "duration_ms": 1500,
            "observed": true, "lines": 2, "output": "1 of 2 failed\n10%\r100%\n",
        })
    );
    assert_eq!(value["steps"][1]["output"], Value::Null, "it passed");
}

#[test]
fn html_is_one_page_that_fetches_nothing() {
    let (plan, events) = everything();
    let text = report(&plan, &events).write(ReportFormat::Html);
    assert!(text.starts_with("<!DOCTYPE html>"), "{text}");
    for part in [
        "failed after 2.7s",
        "make test",
        "1 of 2 failed",
        "default-src 'none'",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(
        !text.contains("<script") && !text.contains("src="),
        "{text}"
    );
}

#[test]
fn nobody_breaks_out_of_html() {
    let text = hostile().write(ReportFormat::Html);
    assert!(!text.contains("<script"), "{text}");
    assert!(!text.contains("href=\"javascript:"), "{text}");
    assert!(text.contains("&lt;/pre&gt;&lt;script&gt;"), "{text}");
}

#[test]
fn nobody_breaks_out_of_junit() {
    let text = hostile().write(ReportFormat::Junit);
    assert!(!text.contains('\u{1}') && !text.contains('\u{b}'), "{text}");
    assert!(
        !text.contains("<x/>") && !text.contains("<script"),
        "{text}"
    );
    assert!(text.contains("]]&gt;&lt;x/&gt;"), "{text}");
    assert_eq!(text.matches("<testcase").count(), 1);
}

#[test]
fn of_long_output_the_end_is_kept() {
    let plan = plan(&[("a", ""), ("b", "")]);
    let mut events = vec![start(&plan), queued(&plan, 0), started(0, 0)];
    let line = "x".repeat(999) + "\n";
    for _ in 0..1000 {
        events.push(out(0, &line));
    }
    events.push(out(0, "the last\n"));
    events.push(ended(0, StepStatus::Failed, 1, 5, ""));
    let report = report(&plan, &events);
    let value: Value = serde_json::from_str(&report.write(ReportFormat::Json)).unwrap();
    let output = value["steps"][0]["output"].as_str().unwrap();
    assert!(output.len() <= 64 << 10 && output.len() > 60 << 10);
    assert!(output.starts_with('x') && output.ends_with("\nthe last\n"));
    assert!(
        output
            .lines()
            .all(|line| line.len() == 999 || line == "the last")
    );
    assert!(
        report
            .write(ReportFormat::Junit)
            .contains("[earlier output is left out]")
    );
    assert_eq!(value["status"], Value::Null, "it has not ended");
}
