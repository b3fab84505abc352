//! What a command prints, taken apart into its two channels.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bollard::container::LogOutput;
use bollard::errors::Error;
use bytes::{Buf, Bytes};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;

use crate::backend::Output;

/// Pieces held for a reader; the daemon sends them with at most 32 KiB.
const PIECES: usize = 8;

/// Both channels, as the daemon sends them: one after the other on one connection.
pub(super) type Frames = BoxStream<'static, Result<LogOutput, Error>>;

/// Where the pieces of a command's channels go.
pub(super) struct Sinks {
    stdout: mpsc::Sender<Bytes>,
    stderr: mpsc::Sender<Bytes>,
}

/// Makes both channels of a command.
pub(super) fn channels() -> (Sinks, Output, Output) {
    let (stdout, out) = mpsc::channel(PIECES);
    let (stderr, err) = mpsc::channel(PIECES);
    (
        Sinks { stdout, stderr },
        Box::new(Reader::new(out)),
        Box::new(Reader::new(err)),
    )
}

/// Boxes what the client hands out.
pub(super) fn frames(
    output: impl Stream<Item = Result<LogOutput, Error>> + Send + 'static,
) -> Frames {
    output.boxed()
}

/// Hands all pieces on, until the command has closed both channels. What has no reader any
/// more is read and dropped, so that the command goes on.
///
/// The channels share a connection: a reader that leaves one of them unread holds the other
/// one back too.
pub(super) async fn pump(mut frames: Frames, sinks: Sinks) -> Result<(), Error> {
    while let Some(frame) = frames.next().await {
        match frame? {
            LogOutput::StdErr { message } => drop(sinks.stderr.send(message).await),
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                drop(sinks.stdout.send(message).await);
            }
            LogOutput::StdIn { .. } => {}
        }
    }
    Ok(())
}

/// A channel's pieces as bytes, as many at once as are there.
struct Reader {
    pieces: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Reader {
    fn new(pieces: mpsc::Receiver<Bytes>) -> Self {
        Self {
            pieces,
            current: Bytes::new(),
        }
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        while buffer.remaining() > 0 {
            if self.current.is_empty() {
                match self.pieces.poll_recv(cx) {
                    Poll::Ready(Some(piece)) => self.current = piece,
                    Poll::Pending if buffer.filled().len() == before => return Poll::Pending,
                    Poll::Ready(None) | Poll::Pending => break,
                }
            }
            let taken = self.current.len().min(buffer.remaining());
            buffer.put_slice(&self.current[..taken]);
            self.current.advance(taken);
        }
        Poll::Ready(Ok(()))
    }
}
