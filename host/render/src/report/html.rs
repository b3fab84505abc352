//! One page of HTML, for whoever opens the artifacts of a build.
//!
//! Every text goes through the template's escaping. The page holds no script, and its policy
//! lets it fetch nothing; a link is made of a `http` address only.

use std::collections::HashSet;

use hm_plugin_protocol::{StepId, StepStatus};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Report, ending};
use crate::clean_line;
use crate::state::StepState;
use crate::text::words;

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

const STYLE: &str = "\
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
h1 { font-size: 1.3rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884; vertical-align: top }
td.time { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
code, pre { font: 13px/1.4 ui-monospace, monospace }
pre { overflow: auto; max-height: 40rem; padding: .8rem; background: #8881; border-radius: 4px }
.good { color: #1a7f37 } .bad { color: #cf222e } .dim { opacity: .7 }
";

/// Returns the page.
pub(super) fn write(report: &Report) -> String {
    let state = &report.state;
    let (class, verdict) = verdict(report);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width";
                title { (state.pipeline) " " (verdict) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (state.pipeline) " " span class=(class) { (verdict) } }
                p.dim {
                    @if let Some(started) = state.started_at { (started.to_string()) " " }
                    "on " (report.backend) ": " (state.counts_by_status().to_string())
                }
                @if let Some(url) = &state.watch_url { p { (link(url)) } }
                (steps(report))
                (outputs(report))
            }
        }
    };
    page.into_string()
}

fn verdict(report: &Report) -> (&'static str, String) {
    let Some(verdict) = &report.state.verdict else {
        return ("bad", "ended without a verdict".to_owned());
    };
    let class = if verdict.exit_code == 0 {
        "good"
    } else {
        "bad"
    };
    let mut text = verdict.status.as_str().replace('_', " ");
    text += &format!(" after {}", words::duration(verdict.duration_ms));
    if let Some(reason) = &verdict.reason {
        text += &format!(": {}", clean_line(reason));
    }
    (class, text)
}

fn link(url: &str) -> Markup {
    let shown = clean_line(url);
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    html! {
        @if is_web { a href=(url) rel="noreferrer" { (shown) } } @else { (shown) }
    }
}

fn steps(report: &Report) -> Markup {
    let path: HashSet<StepId> = report.critical_path().into_iter().collect();
    html! {
        table {
            thead { tr { th { "step" } th { "command" } th { "ended" } th { "time" } } }
            tbody {
                @for (id, step) in report.steps() {
                    tr {
                        td {
                            @if report.output(id).is_some() { a href=(format!("#{id}")) { (step.key) } }
                            @else { (step.key) }
                        }
                        td { code { (command(report, id)) } }
                        td class=(class(step)) {
                            (ending(step))
                            @if !step.observed && step.status() == Some(StepStatus::Passed) {
                                " (reported by " (report.backend) ")"
                            }
                        }
                        td.time {
                            @if path.contains(&id) { b { (words::duration(step.duration_ms)) } }
                            @else if step.duration_ms > 0 { (words::duration(step.duration_ms)) }
                        }
                    }
                }
            }
        }
    }
}

/// The command's first line is what a table has room for.
fn command(report: &Report, step: StepId) -> String {
    let command = report
        .commands
        .get(step as usize)
        .map_or("", String::as_str);
    let mut lines = command.trim().lines();
    let first = clean_line(lines.next().unwrap_or_default()).into_owned();
    match lines.next() {
        Some(_) => first + " …",
        None => first,
    }
}

fn class(step: &StepState) -> &'static str {
    match step.status() {
        Some(status) if status.is_success() => "good",
        Some(StepStatus::Failed | StepStatus::TimedOut) => "bad",
        _ => "dim",
    }
}

fn outputs(report: &Report) -> Markup {
    html! {
        @for (id, step) in report.steps() {
            @if let Some((text, is_cut)) = report.output(id) {
                h2 id=(id) { (step.key) }
                @if is_cut { p.dim { "earlier output is left out" } }
                pre { (text) }
            }
        }
    }
}
