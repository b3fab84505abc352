//! Finds what tests say of what they could not do: a line `skipped: TEST: WHY`.

const MARK: &str = "skipped: ";

/// Returns what a line of a test's output says was skipped.
pub(crate) fn in_line(line: &str) -> Option<String> {
    line.trim_end().strip_prefix(MARK).map(str::to_owned)
}

/// Returns what a JUnit report says was skipped, each once, in order of names.
pub(crate) fn in_report(report: &str) -> Vec<String> {
    let mut found: Vec<_> = report
        .lines()
        // The first line of an output follows its tag.
        .filter_map(|line| {
            in_line(
                line.rsplit_once("<system-err>")
                    .map_or(line, |(_, rest)| rest),
            )
        })
        .map(|line| {
            unescape(
                line.split_once("</system-err>")
                    .map_or(&line, |(text, _)| text),
            )
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn unescape(text: &str) -> String {
    let pairs = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ];
    pairs
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_each_skipped_test_once() {
        let report = "<testcase>\n<system-err>skipped: b: no &apos;docker&apos; &amp;c\n</system-err>\n\
                      <system-err>warning: skipped: x\nskipped: a: no user</system-err>\n\
                      <system-err>skipped: a: no user</system-err>";
        assert_eq!(in_report(report), ["a: no user", "b: no 'docker' &c"]);
    }
}
