//! Where the `tracing` crate's events go: to the host's diagnostics, as [`log`](crate::log)
//! does. The adapter installs it before the author's code runs, so that
//! `tracing::info!(step, "submitted")` just works.

mod number;

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::bindings::hm::backend::diagnostics::Severity;
use crate::platform;

/// Sends events to the host, each with the spans around it.
#[derive(Debug, Default)]
pub(crate) struct ToHost {
    made: AtomicU64,
}

thread_local! {
    /// Spans that are open; a component has one thread.
    static SPANS: RefCell<Vec<Span>> = const { RefCell::new(Vec::new()) };
    /// The ids of those that are entered.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

struct Span {
    number: u64,
    handles: usize,
    /// Name and fields.
    shown: String,
}

/// Calls `act` with the span of this id, if it is open.
fn with_span(span: &Id, act: impl FnOnce(&mut Span)) {
    SPANS.with_borrow_mut(|spans| {
        let number = span.into_u64();
        if let Some(span) = spans.iter_mut().find(|span| span.number == number) {
            act(span);
        }
    });
}

/// Installs it, unless the author's code has installed another.
#[cfg(target_family = "wasm")]
pub(crate) fn install() {
    let _ = tracing::subscriber::set_global_default(ToHost::default());
}

impl Subscriber for ToHost {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let name = attributes.metadata().name();
        let shown = format!("{name}{{{}}}", fields.others.trim_start());
        let handles = 1;
        SPANS.with_borrow_mut(|spans| {
            spans.push(Span {
                number,
                handles,
                shown,
            })
        });
        Id::from_u64(number)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        with_span(span, |span| {
            span.shown.pop();
            let _ = write!(span.shown, "{}}}", fields.others);
        });
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut line = String::new();
        ENTERED.with_borrow(|entered| {
            SPANS.with_borrow(|spans| {
                for number in entered {
                    if let Some(span) = spans.iter().find(|span| span.number == *number) {
                        let _ = write!(line, "{}: ", span.shown);
                    }
                }
            });
        });
        line.push_str(&fields.message);
        line.push_str(&fields.others);
        platform::log(severity(*event.metadata().level()), &line);
    }

    fn enter(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| {
            let number = span.into_u64();
            if let Some(at) = entered.iter().rposition(|other| *other == number) {
                entered.remove(at);
            }
        });
    }

    fn clone_span(&self, span: &Id) -> Id {
        with_span(span, |span| span.handles += 1);
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let mut is_last = false;
        with_span(&span, |span| {
            span.handles -= 1;
            is_last = span.handles == 0;
        });
        if is_last {
            let number = span.into_u64();
            SPANS.with_borrow_mut(|spans| spans.retain(|span| span.number != number));
        }
        is_last
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::ERROR => Severity::Error,
        Level::WARN => Severity::Warn,
        Level::INFO => Severity::Info,
        Level::DEBUG => Severity::Debug,
        Level::TRACE => Severity::Trace,
    }
}

/// An event's message, and its other fields as ` name=value`.
#[derive(Default)]
struct Fields {
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.others, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            name => write!(self.others, " {name}={value}"),
        };
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.record_str(field, &number::shown(value));
    }
}
