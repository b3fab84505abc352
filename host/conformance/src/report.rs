//! What came of it, for people and for machines that collect test results.

use std::fmt::Write;
use std::time::Duration;

use hm_exec::Inspection;

use crate::check::{Check, Verdict};

/// What came of all checks.
#[derive(Debug)]
pub struct Report {
    /// Of the component, as it was named.
    pub name: String,
    /// What it is.
    pub inspection: Inspection,
    /// In the order of the contract.
    pub checks: Vec<(Check, Verdict)>,
    /// How long it took.
    pub took: Duration,
}

/// Findings of one check that are shown; more of them say the same.
const SHOWN: usize = 3;

impl Report {
    /// Returns true if no check failed.
    pub fn is_passed(&self) -> bool {
        self.failed().next().is_none()
    }

    /// Returns the checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        let failed = self
            .checks
            .iter()
            .filter(|(_, verdict)| matches!(verdict, Verdict::Failed(_)));
        failed.map(|(check, _)| check)
    }

    /// Returns the report for people: a line a check, and for each that failed what was
    /// seen and where the interface says what was expected.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (check, verdict) in &self.checks {
            let mark = match verdict {
                Verdict::Passed => "ok  ",
                Verdict::Failed(_) => "FAIL",
                Verdict::NotApplicable(_) | Verdict::Unjudged(_) => "-   ",
            };
            let _ = writeln!(text, "{mark}  {:<28}  {}", check.name, check.about);
            match verdict {
                Verdict::Passed => {}
                Verdict::NotApplicable(_) | Verdict::Unjudged(_) => {
                    let why = verdict.passed_over().unwrap_or_default();
                    let _ = writeln!(text, "{:34}{why}", "");
                }
                Verdict::Failed(findings) => {
                    for finding in findings.iter().take(SHOWN) {
                        let (scenario, what) = (finding.scenario, &finding.what);
                        let _ = writeln!(text, "      in \"{scenario}\": {what}");
                    }
                    if findings.len() > SHOWN {
                        let more = findings.len() - SHOWN;
                        let _ = writeln!(text, "      and in {more} more builds");
                    }
                    let (place, words) = check.quote();
                    let words = words.map_or(String::new(), |words| format!(": \"{words}\""));
                    let _ = writeln!(text, "      hm:backend {place}{words}");
                }
            }
        }
        let _ = writeln!(text, "\n{}", self.summary());
        text
    }

    /// Returns how many passed, in one line.
    pub fn summary(&self) -> String {
        let count = |is: fn(&Verdict) -> bool| {
            let verdicts = self.checks.iter().map(|(_, verdict)| verdict);
            verdicts.filter(|&verdict| is(verdict)).count()
        };
        let passed = count(|verdict| *verdict == Verdict::Passed);
        let outside = count(|verdict| matches!(verdict, Verdict::NotApplicable(_)));
        let unjudged = count(|verdict| matches!(verdict, Verdict::Unjudged(_)));
        let failed = self.failed().count();
        let mut text = format!("{passed} of {} checks passed", self.checks.len());
        if failed > 0 {
            let _ = write!(text, ", {failed} failed");
        }
        if outside > 0 {
            let _ = write!(text, ", {outside} not applicable");
        }
        if unjudged > 0 {
            let _ = write!(text, ", {unjudged} not judged");
        }
        let _ = write!(text, " in {:.1} s", self.took.as_secs_f64());
        text
    }

    /// Returns the report as JUnit XML: a test case a check.
    pub fn junit(&self) -> String {
        let failures = self.failed().count();
        let skipped = self
            .checks
            .iter()
            .filter(|(_, verdict)| verdict.passed_over().is_some())
            .count();
        let seconds = self.took.as_secs_f64();
        let tests = self.checks.len();
        let name = escaped(&self.name);
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  \
             <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" \
             errors=\"0\" skipped=\"{skipped}\" time=\"{seconds:.3}\">\n"
        );
        for (check, verdict) in &self.checks {
            let _ = write!(
                xml,
                "    <testcase classname=\"{name}\" name=\"{}\" time=\"0\"",
                escaped(check.name)
            );
            let _ = match verdict {
                Verdict::Passed => writeln!(xml, "/>"),
                Verdict::NotApplicable(_) | Verdict::Unjudged(_) => {
                    let why = escaped(&verdict.passed_over().unwrap_or_default());
                    writeln!(
                        xml,
                        ">\n      <skipped message=\"{why}\"/>\n    </testcase>"
                    )
                }
                Verdict::Failed(findings) => {
                    let mut lines = String::new();
                    for finding in findings {
                        let _ = writeln!(lines, "in \"{}\": {}", finding.scenario, finding.what);
                    }
                    let (about, lines) = (escaped(check.about), escaped(&lines));
                    writeln!(
                        xml,
                        ">\n      <failure message=\"{about}\">{lines}</failure>\n    </testcase>"
                    )
                }
            };
        }
        xml.push_str("  </testsuite>\n</testsuites>\n");
        xml
    }
}

/// Escapes text for XML; what no XML may hold becomes a question mark.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(char),
            char if char.is_control() => escaped.push('?'),
            char => escaped.push(char),
        }
    }
    escaped
}
