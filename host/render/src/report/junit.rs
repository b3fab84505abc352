//! JUnit's XML, as test reporters of other systems read it.

use std::time::Duration;

use hm_plugin_protocol::StepStatus;
use quick_junit::{
    NonSuccessKind, Property, Report as Document, TestCase, TestCaseStatus, TestSuite,
};

use super::{Report, ending};
use crate::state::StepState;

/// Returns the document. Characters that XML cannot hold are left out by its writer.
pub(super) fn write(report: &Report) -> String {
    let state = &report.state;
    let mut suite = TestSuite::new(state.pipeline.as_str());
    suite.add_property(Property::new("backend", report.backend.as_str()));
    for (id, step) in report.steps() {
        let mut case = TestCase::new(step.key.as_str(), status(step));
        case.set_classname(state.pipeline.as_str())
            .set_time(Duration::from_millis(step.duration_ms));
        if let Some((text, is_cut)) = report.output(id) {
            let cut = if is_cut {
                "[earlier output is left out]\n"
            } else {
                ""
            };
            // A carriage return is left out too, and would leave two lines as one.
            let text = text.replace('\r', "\n");
            case.set_system_out(format!("{cut}{text}"));
        }
        suite.add_test_case(case);
    }
    let mut document = Document::new(state.pipeline.as_str());
    if let Some(verdict) = &state.verdict {
        let time = Duration::from_millis(verdict.duration_ms);
        suite.set_time(time);
        document.set_time(time);
    }
    document.add_test_suite(suite);
    // It fails for what cannot be written, and a text can.
    document.to_string().unwrap_or_default()
}

fn status(step: &StepState) -> TestCaseStatus {
    let (mut status, kind) = match step.status() {
        Some(StepStatus::Passed | StepStatus::CacheHit) => return TestCaseStatus::success(),
        Some(StepStatus::Failed) => (
            TestCaseStatus::non_success(NonSuccessKind::Failure),
            "failed",
        ),
        Some(StepStatus::TimedOut) => (
            TestCaseStatus::non_success(NonSuccessKind::Error),
            "timed out",
        ),
        Some(StepStatus::Cancelled) => (TestCaseStatus::skipped(), "cancelled"),
        Some(StepStatus::Skipped) | None => (TestCaseStatus::skipped(), "skipped"),
    };
    status.set_message(ending(step)).set_type(kind);
    status
}
