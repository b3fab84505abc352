//! What a component prints by way of WASI 0.2: lines of diagnostics, under their limits.
//!
//! Nothing else of WASI does anything; but a toolchain that has a standard output prints its
//! panics there, and who debugs a backend needs them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use super::diagnostics::{LINE_MAX, tell};
use crate::component::bindings::hm::backend::diagnostics::Severity;
use crate::session::Session;

/// Standard output or standard error of a component.
#[derive(Clone)]
pub(super) struct Printed {
    pub(super) session: Arc<Session>,
    pub(super) severity: Severity,
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Lines {
            to: self.clone(),
            open: Vec::new(),
        })
    }
}

/// Puts lines together; one that is too long goes on in the next.
struct Lines {
    to: Printed,
    open: Vec<u8>,
}

impl Lines {
    fn tell(&mut self) {
        if !self.open.is_empty() {
            let text = String::from_utf8_lossy(&self.open);
            tell(&self.to.session, self.to.severity, &text);
            self.open.clear();
        }
    }
}

impl AsyncWrite for Lines {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            for piece in part.chunks(LINE_MAX) {
                self.open.extend_from_slice(piece);
                if self.open.len() >= LINE_MAX || self.open.ends_with(b"\n") {
                    self.tell();
                }
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tell();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.tell();
    }
}
