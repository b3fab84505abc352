//! Jobs that are played: output and end by a script, for loads and faults.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Ended, JobRun, LogWriter, Workload};

/// What a played job does.
pub struct Script {
    /// Before the first line.
    pub before: Duration,
    /// Channel and text of each chunk.
    pub chunks: Box<dyn Iterator<Item = (u8, Bytes)> + Send>,
    /// Between two chunks.
    pub pause: Duration,
    /// After the last line.
    pub after: Duration,
    /// How it ends.
    pub ended: Ended,
}

impl Default for Script {
    /// Passes at once, and prints nothing.
    fn default() -> Self {
        Self {
            before: Duration::ZERO,
            chunks: Box::new(std::iter::empty()),
            pause: Duration::ZERO,
            after: Duration::ZERO,
            ended: Ended::Exited(0),
        }
    }
}

impl Script {
    /// Prints lines on standard output, and exits with a code.
    pub fn lines(lines: impl IntoIterator<Item = String>, code: i32) -> Self {
        let lines: Vec<_> = lines.into_iter().collect();
        Self {
            chunks: Box::new(lines.into_iter().map(|line| (0, Bytes::from(line + "\n")))),
            ended: Ended::Exited(code),
            ..Self::default()
        }
    }
}

type Author = dyn Fn(&JobRun) -> Script + Send + Sync;

/// Plays jobs.
pub struct Played(Box<Author>);

impl Played {
    /// Asks for the script of each job.
    pub fn new(author: impl Fn(&JobRun) -> Script + Send + Sync + 'static) -> Self {
        Self(Box::new(author))
    }
}

#[async_trait]
impl Workload for Played {
    async fn run(&self, job: JobRun, log: LogWriter) -> Ended {
        let (stop, timeout) = (job.stop.clone(), job.timeout);
        let script = (self.0)(&job);
        let play = async {
            tokio::time::sleep(script.before).await;
            for (kind, content) in script.chunks {
                log.write(kind, content);
                if !script.pause.is_zero() {
                    tokio::time::sleep(script.pause).await;
                }
            }
            tokio::time::sleep(script.after).await;
            script.ended
        };
        tokio::select! {
            () = stop.cancelled() => Ended::Stopped,
            played = tokio::time::timeout(timeout, play) => played.unwrap_or(Ended::TimedOut),
        }
    }
}
