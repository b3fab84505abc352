//! Commands that are handed, one after the other, to a container's first process
//! (`serve.sh`), which costs a fork. The daemon's own way to run a further command takes as
//! long as a third of a container.
//!
//! All of them print to the connection that was attached before the container was started.
//! Where one ends is told by a mark that is new for each, on both channels.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::command::Request;
use super::output::{self, Frames};

/// In front of a mark, and of the greeting.
const SEPARATOR: u8 = 0x1e;
const GREETING: &[u8] = b"\x1eready\n";
/// Until the greeting comes; without one, commands are run from outside.
const PATIENCE: Duration = Duration::from_secs(20);

/// What requests are written to.
pub(super) type Input = Pin<Box<dyn AsyncWrite + Send>>;
/// The exit code of a command, once it has ended.
pub(super) type Code = Arc<OnceLock<i64>>;

/// A first process that waits for a command.
pub(super) struct Server {
    frames: Frames,
    input: Input,
}

impl Server {
    /// Waits for the greeting of a first process that was just started; none if it is not
    /// able to serve here.
    pub(super) async fn meet(frames: Frames, input: Input) -> Option<Self> {
        let mut server = Self { frames, input };
        let greeting = tokio::time::timeout(PATIENCE, server.greeting()).await;
        (greeting.ok()? == GREETING).then_some(server)
    }

    async fn greeting(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        while said.last() != Some(&b'\n') && said.len() < GREETING.len() {
            match self.frames.next().await {
                Some(Ok(LogOutput::StdOut { message })) => said.extend_from_slice(&message),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            }
        }
        said
    }

    /// Hands a command over; returns what it prints, to its end, and its exit code by then.
    /// The server is back in its slot before the output ends.
    ///
    /// # Errors
    /// What became of the connection.
    pub(super) async fn run(
        mut self,
        request: &Request,
        slot: &Slot,
    ) -> Result<(Frames, Code), Error> {
        self.input.write_all(&request.bytes).await?;
        self.input.flush().await?;
        let code = Code::default();
        let running = Running {
            server: self,
            slot: slot.clone(),
            stdout: Channel::new(&request.mark),
            stderr: Channel::new(&request.mark),
            code: Arc::clone(&code),
            is_over: false,
        };
        let frames = stream::unfold(running, Running::next);
        Ok((output::frames(frames), code))
    }
}

/// Where a machine's server is while it runs nothing.
#[derive(Clone, Default)]
pub(super) struct Slot(Arc<Mutex<Place>>);

#[derive(Default)]
struct Place {
    server: Option<Server>,
    is_closed: bool,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

impl Slot {
    pub(super) fn new(server: Option<Server>) -> Self {
        let slot = Self::default();
        slot.place().server = server;
        slot
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the server, if it runs nothing.
    pub(super) fn take(&self) -> Option<Server> {
        self.place().server.take()
    }

    /// Tells whether there is no server that waits: it runs something, or there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.place().server.is_none()
    }

    /// Lets the server run nothing more.
    pub(super) fn close(&self) {
        let mut place = self.place();
        place.is_closed = true;
        place.server = None;
    }

    fn put_back(&self, server: Server) {
        let mut place = self.place();
        if !place.is_closed {
            place.server = Some(server);
        }
    }
}

/// A command that was handed over.
struct Running {
    server: Server,
    slot: Slot,
    stdout: Channel,
    stderr: Channel,
    code: Code,
    is_over: bool,
}

impl Running {
    /// Returns the next piece that the command has printed.
    async fn next(mut self) -> Option<(Result<LogOutput, Error>, Self)> {
        loop {
            if let (Some(code), Some(_)) = (self.stdout.code, self.stderr.code) {
                let _ = self.code.set(code);
                self.slot.put_back(self.server);
                return None;
            }
            let piece = if self.is_over {
                self.rest()?
            } else {
                match self.server.frames.next().await {
                    Some(Ok(piece)) => self.own(piece),
                    Some(Err(error)) => {
                        self.is_over = true;
                        return Some((Err(error), self));
                    }
                    None => {
                        self.is_over = true;
                        continue;
                    }
                }
            };
            if !piece.as_ref().is_empty() {
                return Some((Ok(piece), self));
            }
        }
    }

    /// Takes marks out of a piece.
    fn own(&mut self, piece: LogOutput) -> LogOutput {
        match piece {
            LogOutput::StdErr { message } => LogOutput::StdErr {
                message: self.stderr.own(message),
            },
            LogOutput::StdOut { message } | LogOutput::Console { message } => LogOutput::StdOut {
                message: self.stdout.own(message),
            },
            LogOutput::StdIn { .. } => LogOutput::StdIn {
                message: Bytes::new(),
            },
        }
    }

    /// Returns what was held back for a mark that did not come.
    fn rest(&mut self) -> Option<LogOutput> {
        let held = |channel: &mut Channel| {
            let held = std::mem::take(&mut channel.held).freeze();
            (!held.is_empty()).then_some(held)
        };
        let stdout = held(&mut self.stdout).map(|message| LogOutput::StdOut { message });
        stdout.or_else(|| held(&mut self.stderr).map(|message| LogOutput::StdErr { message }))
    }
}

/// One channel of a command, searched for the mark.
struct Channel {
    /// What comes before the code: separator, mark, space.
    mark: Vec<u8>,
    /// The beginning of what may be the mark.
    held: BytesMut,
    code: Option<i64>,
}

/// Digits of an exit code, and the line's end.
const CODE: usize = 4;

impl Channel {
    fn new(mark: &str) -> Self {
        let mut bytes = vec![SEPARATOR];
        bytes.extend_from_slice(mark.as_bytes());
        bytes.push(b' ');
        Self {
            mark: bytes,
            held: BytesMut::new(),
            code: None,
        }
    }

    /// Returns what of a piece, and of what was held back, the command has printed.
    fn own(&mut self, piece: Bytes) -> Bytes {
        if self.code.is_some() {
            // Nothing of the command is left that could have printed it.
            return Bytes::new();
        }
        let mut all = piece;
        if !self.held.is_empty() {
            self.held.extend_from_slice(&all);
            all = std::mem::take(&mut self.held).freeze();
        }
        let mut from = 0;
        while let Some(at) = all[from..].iter().position(|byte| *byte == SEPARATOR) {
            let at = from + at;
            let rest = &all[at..];
            let whole = self.mark.len() + CODE;
            if rest.len() < whole {
                let known = rest.len().min(self.mark.len());
                if rest[..known] == self.mark[..known] {
                    self.held = BytesMut::from(rest);
                    return all.slice(..at);
                }
            } else if let Some(code) = self.code_in(&rest[..whole]) {
                self.code = Some(code);
                return all.slice(..at);
            }
            from = at + 1;
        }
        all
    }

    fn code_in(&self, text: &[u8]) -> Option<i64> {
        let code = text.strip_prefix(self.mark.as_slice())?;
        let digits = code.strip_suffix(b"\n")?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = "0123456789abcdef0123456789abcdef";

    fn channel(pieces: &[&[u8]]) -> (Vec<u8>, Option<i64>) {
        let mut channel = Channel::new(MARK);
        let mut own = Vec::new();
        for piece in pieces {
            own.extend_from_slice(&channel.own(Bytes::copy_from_slice(piece)));
        }
        (own, channel.code)
    }

    #[test]
    fn a_mark_ends_a_channel_wherever_it_is_torn() {
        let text = format!("no line end\x1e\x1e{MARK} 042\n");
        for at in 0..=text.len() {
            let (first, second) = text.as_bytes().split_at(at);
            let expected = (b"no line end\x1e".to_vec(), Some(42));
            assert_eq!(channel(&[first, second]), expected, "torn at {at}");
        }
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(channel(&bytes), (b"no line end\x1e".to_vec(), Some(42)));
    }

    #[test]
    fn what_only_looks_like_a_mark_is_the_commands() {
        for text in [
            format!("\x1e{MARK} 04x\n after"),
            format!("\x1e{} 042\n after", MARK.replace('f', "e")),
            format!("{MARK} 042\n after, and more than a mark takes"),
        ] {
            assert_eq!(channel(&[text.as_bytes()]), (text.clone().into(), None));
        }
    }

    #[tokio::test]
    async fn what_was_held_back_is_told_when_the_connection_ends() {
        let message = Bytes::from_static(b"printed\x1e0123");
        let frames = stream::iter([Ok(LogOutput::StdOut { message })]);
        let server = Server {
            frames: output::frames(frames),
            input: Box::pin(tokio::io::sink()),
        };
        let request = Request {
            bytes: Vec::new(),
            mark: MARK.to_owned(),
        };
        let slot = Slot::default();
        let (frames, code) = server
            .run(&request, &slot)
            .await
            .expect("it is handed over");
        let pieces: Vec<_> = frames.map(|piece| piece.expect("no error")).collect().await;
        let all: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| piece.as_ref().to_vec())
            .collect();
        assert_eq!(all, b"printed\x1e0123");
        assert!(code.get().is_none() && slot.is_empty());
    }
}
