//! What a person is told beside the build's own events: signals, and with `-v` what the
//! backend and the host log.
//!
//! While the view for people is drawn, such lines go through its thread, so that they do
//! not fall into a frame; else straight to standard error.

use std::io::{self, Write};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use hm_plugin_protocol::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

/// A line for the person.
pub(super) type Note = (Level, String);

/// Where lines go at the moment.
#[derive(Clone, Default)]
pub(super) struct Notes {
    view: Arc<Mutex<Option<Sender<Note>>>>,
}

impl Notes {
    /// From now on lines go to the view, until it has gone.
    pub(super) fn lead_to(&self, view: Option<Sender<Note>>) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }

    /// Tells a line.
    pub(super) fn tell(&self, level: Level, line: &str) {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*view
            && sender.send((level, line.to_owned())).is_ok()
        {
            return;
        }
        *view = None;
        // A standard error that is closed leaves nowhere to say so.
        let _ = writeln!(io::stderr().lock(), "{}", hm_render::clean_line(line));
    }

    /// Lets what the rooms log come here: with `-v` what backends say, with `-vv` everything.
    pub(super) fn listen(&self, verbose: u8) {
        let targets = match verbose {
            0 => return,
            1 => Targets::new()
                .with_target("hm::backend", LevelFilter::DEBUG)
                .with_default(LevelFilter::INFO),
            _ => Targets::new()
                .with_targets([
                    ("hm", LevelFilter::TRACE),
                    ("hm_vm", LevelFilter::TRACE),
                    ("hm_exec", LevelFilter::TRACE),
                ])
                .with_default(LevelFilter::INFO),
        };
        let layer = tracing_subscriber::fmt::layer()
            .without_time()
            .with_ansi(false)
            .with_target(false)
            .with_writer(self.clone())
            .with_filter(targets);
        // Only a second call could fail, and there is one run a process.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer));
    }
}

impl<'a> MakeWriter<'a> for Notes {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            notes: self,
            text: Vec::new(),
        }
    }
}

/// One logged event, told when it is complete.
pub(super) struct Line<'a> {
    notes: &'a Notes,
    text: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        for line in String::from_utf8_lossy(&self.text).lines() {
            self.notes.tell(Level::Info, line.trim_end());
        }
    }
}
