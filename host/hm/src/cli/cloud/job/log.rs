//! `hm cloud job log`: everything that a job printed, each chunk once, until it ends.

use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use hm_cloud_api::{
    Chunk, Job, LogItem, LogParser, LogToken, StreamKind, TooLong, Version, log_stream,
};
use hm_render::clean_line;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::super::build::Known;
use super::super::{Context, Format};
use crate::cloud::{Gone, refusal};
use crate::failure::{Exit, Failure};

/// The service is silent for 15 s at the most.
const SILENCE: Duration = Duration::from_secs(60);
/// Between two looks at the job's state, and two connections.
const POLL: Duration = Duration::from_millis(1500);
/// Connections in a row that bring nothing before the log is given up: some output breaks
/// the service's stream at every try.
const FRUITLESS: u32 = 6;

/// Why a connection was left.
enum Left {
    /// All that the job printed is here.
    Complete,
    /// The job has ended meanwhile: one more look at the history.
    Ended,
    /// It broke off.
    Broken(String),
}

struct Reader<'a> {
    known: &'a Known<'a>,
    job: &'a str,
    version: Version,
    last: u64,
    is_terminal: bool,
    format: Format,
    is_terminal_output: bool,
}

pub(super) async fn run(
    known: &Known<'_>,
    job: &str,
    context: &Context<'_>,
) -> Result<Exit, Failure> {
    let mut reader = Reader {
        known,
        job,
        version: known.client.version().await?,
        last: 0,
        is_terminal: false,
        format: context.format,
        is_terminal_output: std::io::stdout().is_terminal(),
    };
    let (mut fruitless, mut token) = (0, None);
    loop {
        reader.is_terminal |= reader.has_ended().await?;
        let minted: LogToken = match token.take() {
            Some(token) => token,
            None => known.client.get(&known.path(&["log-token"]).await?).await?,
        };
        let before = reader.last;
        let why = match reader.follow(&minted.token).await {
            Ok(Left::Complete) => return Ok(Exit::Success),
            Ok(Left::Ended) => {
                token = Some(minted);
                continue;
            }
            Ok(Left::Broken(why)) => why,
            // The token is not the login: another one is minted.
            Err(Gone::Refused(error)) if error.status == 401 => error.to_string(),
            Err(Gone::Refused(error)) => return Err(refusal(error)),
            Err(Gone::Lost(failure)) => failure.error().to_string(),
        };
        fruitless = if reader.last > before {
            0
        } else {
            fruitless + 1
        };
        if fruitless >= FRUITLESS {
            return Err(Failure::new(
                Exit::Code(5),
                format!("the log of the job cannot be read to its end: {why}"),
            )
            .hint("`hm cloud build open` shows the build in the browser"));
        }
        sleep(POLL).await;
    }
}

impl Reader<'_> {
    async fn has_ended(&self) -> Result<bool, Failure> {
        let path = self.known.path(&["jobs", self.job]).await?;
        let job: Job = self.known.client.get(&path).await?;
        Ok(job.state.is_terminal())
    }

    /// Reads one connection.
    async fn follow(&mut self, token: &str) -> Result<Left, Gone> {
        let path = log_stream(self.version, self.job);
        let mut answer = self.known.client.log(&path, token, self.last).await?;
        let mut parser = LogParser::default();
        let mut silent = Duration::ZERO;
        loop {
            let bytes = match timeout(POLL, answer.chunk()).await {
                Ok(Ok(Some(bytes))) => bytes,
                Ok(Ok(None)) => return Ok(Left::Broken("the stream ended too early".into())),
                Ok(Err(error)) => return Ok(Left::Broken(error.without_url().to_string())),
                Err(_) => {
                    silent += POLL;
                    // The stream's own end comes late: the job's state is asked for beside.
                    if !self.is_terminal && self.has_ended().await? {
                        self.is_terminal = true;
                        return Ok(Left::Ended);
                    }
                    if silent >= SILENCE {
                        return Ok(Left::Broken("nothing came for a minute".into()));
                    }
                    continue;
                }
            };
            silent = Duration::ZERO;
            let left = parser.take(&bytes, |item| self.take(item));
            std::io::stdout().lock().flush().map_err(Failure::from)?;
            match left {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(left)) => return left,
                Err(TooLong) => return Ok(Left::Broken("a line of 16 MiB is no log".into())),
            }
        }
    }

    /// Prints what a stream says, unless it was printed before.
    fn take(&mut self, item: LogItem<'_>) -> ControlFlow<Result<Left, Gone>> {
        match item {
            LogItem::Chunk(chunk) if chunk.seq > self.last => {
                self.last = chunk.seq;
                match self.print(&chunk) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(failure) => ControlFlow::Break(Err(failure.into())),
                }
            }
            LogItem::Chunk(_) => ControlFlow::Continue(()),
            LogItem::HistoryEnd if !self.is_terminal => ControlFlow::Continue(()),
            LogItem::HistoryEnd | LogItem::Done => ControlFlow::Break(Ok(Left::Complete)),
            LogItem::Unreadable(why) => ControlFlow::Break(Ok(Left::Broken(why))),
        }
    }

    fn print(&self, chunk: &Chunk<'_>) -> Result<(), Failure> {
        let content = String::from_utf8_lossy(chunk.content);
        let mut out = std::io::stdout().lock();
        let stream = match chunk.kind {
            StreamKind::Stdout => "stdout",
            StreamKind::Stderr => "stderr",
            StreamKind::Meta => "meta",
        };
        match self.format {
            // Not for the terminal to obey: the text came from anywhere.
            Format::Human if self.is_terminal_output => {
                let lines: Vec<_> = content.split('\n').map(clean_line).collect();
                out.write_all(lines.join("\n").as_bytes())?;
            }
            Format::Human => out.write_all(chunk.content)?,
            Format::Json => {
                let line = json!({"seq": chunk.seq, "stream": stream, "content": content});
                writeln!(out, "{line}")?;
            }
        }
        Ok(())
    }
}
