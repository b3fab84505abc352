//! The commands of a machine, from start to the end of all that they left running.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, wait,
};

use super::{command, processes};
use crate::sandbox::failure::Failure;
use crate::sandbox::wire::{End, Exec};

/// How long what a command left running may go on (decisions, "A chain is a chain").
const LEAVINGS: Duration = Duration::from_millis(250);
/// Between asking a command to end, after its timeout, and making it.
const GRACE: Duration = Duration::from_secs(2);
/// Between looks at processes that take their time to die.
const AGAIN: Duration = Duration::from_millis(5);

struct Job {
    id: u64,
    leader: i32,
    /// Device and inode of both outputs, to find whose a process is.
    outputs: Vec<(u64, u64)>,
    phase: Phase,
    timed_out: bool,
    /// No further process could be started when its time was over.
    was_crowded: bool,
}

enum Phase {
    Running {
        until: Option<Instant>,
    },
    /// Asked to end.
    Ending {
        until: Instant,
    },
    /// The command has ended, something that it started may not have.
    Left {
        end: End,
        until: Instant,
    },
    /// Being killed. None as long as the leader itself has not been waited for.
    Dying {
        end: Option<End>,
        again: Instant,
    },
}

/// All commands that run.
#[derive(Default)]
pub(super) struct Jobs {
    running: Vec<Job>,
}

impl Jobs {
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Starts a command.
    pub(super) fn start(
        &mut self,
        exec: &Exec,
        outputs: &[OwnedFd; 2],
        null: &OwnedFd,
    ) -> Result<(), Failure> {
        let leader = command::start(exec, outputs, null)?;
        let identities = outputs
            .iter()
            .filter_map(|output| rustix::fs::fstat(output).ok())
            .map(|found| (found.st_dev, found.st_ino))
            .collect();
        let until = exec
            .timeout_ms
            .and_then(|timeout| Instant::now().checked_add(Duration::from_millis(timeout)));
        self.running.push(Job {
            id: exec.job,
            leader,
            outputs: identities,
            phase: Phase::Running { until },
            timed_out: false,
            was_crowded: false,
        });
        Ok(())
    }

    /// Kills a command and all that stems from it, at once.
    pub(super) fn kill(&mut self, id: u64) {
        if let Some(index) = self.running.iter().position(|job| job.id == id) {
            let end = match self.running[index].phase {
                Phase::Left { end, .. } => Some(end),
                Phase::Dying { end, .. } => end,
                _ => None,
            };
            self.running[index].phase = Phase::Dying {
                end,
                again: Instant::now(),
            };
        }
    }

    /// Waits for everything that has ended. Returns whether nothing at all is left.
    pub(super) fn reap(&mut self) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.ended(pid.as_raw_nonzero().get(), status),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::CHILD) => return true,
                _ => return false,
            }
        }
    }

    fn ended(&mut self, pid: i32, status: WaitStatus) {
        let Some(job) = self.running.iter_mut().find(|job| job.leader == pid) else {
            return;
        };
        let end = match (status.exit_status(), status.terminating_signal()) {
            _ if job.timed_out && job.was_crowded => End::Crowded(None),
            _ if job.timed_out => End::TimedOut,
            // What failed may have failed for that; it is seen only now.
            (Some(code @ 1..), _) if processes::none_can_start() => End::Crowded(Some(code)),
            (Some(code), _) => End::Exited(code),
            (None, Some(signal)) => End::Signaled(signal.unsigned_abs()),
            (None, None) => return,
        };
        job.phase = match job.phase {
            Phase::Dying { again, .. } => Phase::Dying {
                end: Some(end),
                again,
            },
            _ => Phase::Left {
                end,
                until: Instant::now() + LEAVINGS,
            },
        };
    }

    /// Does what is due. `alone` says that no process but this one is left. Returns the
    /// commands that are over, all that they started included.
    pub(super) fn advance(&mut self, alone: bool) -> Vec<(u64, End)> {
        let now = Instant::now();
        for index in 0..self.running.len() {
            self.advance_one(index, now);
        }
        let mut over = Vec::new();
        let several = self.running.len() > 1;
        let running = std::mem::take(&mut self.running);
        let leaders: Vec<i32> = running.iter().map(|job| job.leader).collect();
        for job in running {
            let end = match job.phase {
                Phase::Left { end, .. } | Phase::Dying { end: Some(end), .. } => Some(end),
                _ => None,
            };
            match end {
                Some(end) if alone || (several && job.stems(&leaders).is_empty()) => {
                    over.push((job.id, end));
                }
                _ => self.running.push(job),
            }
        }
        over
    }

    fn advance_one(&mut self, index: usize, now: Instant) {
        let job = &mut self.running[index];
        match job.phase {
            Phase::Running { until: Some(until) } if now >= until => {
                job.timed_out = true;
                job.was_crowded = processes::none_can_start();
                job.phase = Phase::Ending { until: now + GRACE };
                if let Some(group) = Pid::from_raw(job.leader) {
                    let _ = kill_process_group(group, Signal::TERM);
                }
            }
            Phase::Ending { until } if now >= until => {
                job.phase = Phase::Dying {
                    end: None,
                    again: now,
                };
            }
            Phase::Left { end, until } if now >= until => {
                job.phase = Phase::Dying {
                    end: Some(end),
                    again: now,
                };
            }
            _ => {}
        }
        if let Phase::Dying { ref mut again, .. } = self.running[index].phase
            && now >= *again
        {
            *again = now + AGAIN;
            self.kill_tree(index);
        }
    }

    /// Where one command runs all but this process is its; the kernel then kills without
    /// a gap through which a process could fork.
    fn kill_tree(&self, index: usize) {
        if self.running.len() == 1 {
            // SAFETY: no memory is involved; -1 is all but this process, in its namespace.
            unsafe { libc::kill(-1, libc::SIGKILL) };
            return;
        }
        let leaders: Vec<i32> = self.running.iter().map(|job| job.leader).collect();
        for pid in self.running[index].stems(&leaders) {
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }

    /// When something is due next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.running
            .iter()
            .filter_map(|job| match job.phase {
                Phase::Running { until } => until,
                Phase::Ending { until } | Phase::Left { until, .. } => Some(until),
                Phase::Dying { again, .. } => Some(again),
            })
            .min()
    }
}

impl Job {
    fn stems(&self, leaders: &[i32]) -> Vec<i32> {
        let others: Vec<i32> = leaders
            .iter()
            .copied()
            .filter(|leader| *leader != self.leader)
            .collect();
        processes::stemming_from(self.leader, &self.outputs, &others)
    }
}
