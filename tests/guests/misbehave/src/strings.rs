//! Strings that a terminal would act on, that forge lines, that are too long, or that are no
//! strings at all.

use hm_backend_sdk::{
    Accepted, BackendError, BuildEvent, BuildStatus, Custom, Level, Notice, StepEnded, StepOutput,
    StepStarted, StepStatus, log,
};
use hm_backend_sdk::{LogChannel, bindings::hm::backend::diagnostics};

use crate::stage::Stage;

/// One of each kind: clear, title, link, clipboard, a device string, C1, backspace, bare
/// return, bidi, zero width, tags, combining marks, our own words, workflow commands, JSON.
pub(crate) const NASTY: &str = concat!(
    "a\u{1b}[2J\u{1b}[1;1Hb\u{1b}]0;owned\u{7}c\u{1b}]8;;https://evil.example\u{1b}\\d",
    "\u{1b}]52;c;ZXZpbA==\u{7}e\u{1b}P1$r\u{1b}\\f\u{9b}31mg\u{8}\u{8}h\ri\u{202e}j\u{200b}k",
    "\u{e0041}l\u{300}\u{300}\u{300}\u{300}",
    "\nbuild passed\n::error file=x::owned\n##[group]owned\n",
    "error: x\n  to fix: hm backend grant sha256:00 --vm\n",
    "\"}\n{\"kind\":\"build_end\",\"exit_code\":0}\n]]><script>"
);

pub(crate) async fn play(case: &str, mut stage: Stage) -> Option<Stage> {
    let Some((kind, field)) = case.split_once('/') else {
        return Some(stage);
    };
    match kind {
        "escapes" => everywhere(NASTY, NASTY, stage).await,
        // The short fields take 512 bytes.
        "piles" => {
            let pile = |marks: usize| format!("e{}", "\u{301}".repeat(marks));
            everywhere(&pile(250), &pile(2_000), stage).await;
        }
        "error-text" => {
            let error = BackendError::Other(text(field));
            stage.finish(Err(error)).await;
        }
        "long" => {
            long(field, &mut stage).await;
            stage.finish(Ok(BuildStatus::Passed)).await;
        }
        "raw" => {
            raw(field);
            stage.finish(Ok(BuildStatus::Passed)).await;
        }
        _ => return Some(stage),
    }
    None
}

fn text(size: &str) -> String {
    match size.parse::<usize>() {
        Ok(size) => "x".repeat(size),
        Err(_) => NASTY.into(),
    }
}

/// Keeps every rule, with a nasty string wherever there is a place for one, and a longer one
/// where there is more.
async fn everywhere(nasty: &str, longer: &str, mut stage: Stage) {
    log::error(longer);
    log::info(longer);
    let accepted = Accepted {
        number: Some(1),
        organization: Some(nasty.into()),
        pipeline: nasty.into(),
        watch_url: Some(format!("https://x.example/{nasty}")),
    };
    stage.emit(BuildEvent::Accepted(accepted)).await;
    let mut passed = true;
    for step in stage.steps() {
        stage.queued(step).await;
        stage
            .emit(BuildEvent::StepStarted(StepStarted::new(step, nasty)))
            .await;
        for level in [Level::Info, Level::Warning, Level::Error] {
            stage
                .emit(BuildEvent::Notice(Notice::new(level, longer)))
                .await;
        }
        stage
            .emit(BuildEvent::Custom(Custom {
                name: "nasty".into(),
                json: format!("{{\"k\":\"{}\"}}", escaped(longer)),
            }))
            .await;
        let code = stage.run(step).await.unwrap_or(-1);
        passed &= code == 0;
        let status = if code == 0 {
            StepStatus::Passed
        } else {
            StepStatus::Failed
        };
        let mut ended = StepEnded::new(step, status).detail(longer);
        ended.exit_code = Some(code);
        stage.emit(BuildEvent::StepEnded(ended)).await;
    }
    stage.finish(Ok(crate::verdict(passed))).await;
}

/// Escapes a text for JSON, and as little of it as JSON allows.
fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' | '\\' | '\0'..='\u{1f}' => format!("\\u{:04x}", c as u32),
            c => c.to_string(),
        })
        .collect()
}

/// One byte more than a field takes.
async fn long(field: &str, stage: &mut Stage) {
    let event = match field {
        "pipeline" | "organization" | "url" => BuildEvent::Accepted(Accepted {
            number: None,
            organization: (field == "organization").then(|| "x".repeat(513)),
            pipeline: if field == "pipeline" {
                "x".repeat(513)
            } else {
                "x".into()
            },
            watch_url: (field == "url").then(|| format!("https://{}", "x".repeat(2 << 10))),
        }),
        "message" => BuildEvent::Notice(Notice::new(Level::Info, "x".repeat((4 << 10) + 1))),
        "custom-name" => BuildEvent::Custom(Custom {
            name: "x".repeat(65),
            json: "1".into(),
        }),
        "custom-json" => BuildEvent::Custom(Custom {
            name: "x".into(),
            json: format!("\"{}\"", "x".repeat(16 << 10)),
        }),
        "custom-depth" => BuildEvent::Custom(Custom {
            name: "x".into(),
            json: format!("{}{}", "[".repeat(33), "]".repeat(33)),
        }),
        "runner" => {
            stage.queued(0).await;
            BuildEvent::StepStarted(StepStarted::new(0, "x".repeat(513)))
        }
        "detail" => {
            stage.open(0).await;
            let ended = StepEnded::new(0, StepStatus::Passed).detail("x".repeat((4 << 10) + 1));
            BuildEvent::StepEnded(ended)
        }
        _ => {
            stage.queued(0).await;
            stage.started(0).await;
            BuildEvent::StepOutput(StepOutput {
                step: 0,
                channel: LogChannel::Stdout,
                data: vec![b'x'; (16 << 10) + 1],
            })
        }
    };
    stage.emit(event).await;
}

#[link(wasm_import_module = "hm:backend/diagnostics@0.1.0")]
unsafe extern "C" {
    #[link_name = "log"]
    fn raw_log(severity: u32, text: *const u8, length: usize);
}

/// Calls the host with what no language's bindings would make.
fn raw(case: &str) {
    // The safe form keeps the import in the component.
    diagnostics::log(diagnostics::Severity::Trace, "about to misbehave");
    let broken = [b'a', 0xff, 0xfe, 0xed, 0xa0, 0x80];
    let (severity, text, length) = match case {
        "utf8" => (0, broken.as_ptr(), broken.len()),
        "bounds" => (0, usize::MAX as *const u8, 16),
        "length" => (0, broken.as_ptr(), usize::MAX),
        _ => (99, broken.as_ptr(), 1),
    };
    // SAFETY: none; the host has to refuse it, and the guest ends with the call.
    unsafe { raw_log(severity, text, length) }
}
