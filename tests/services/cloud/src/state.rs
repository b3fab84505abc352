//! States of builds and jobs, and how a build's follows from its jobs'.

/// State of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the service's own words")]
pub enum BuildState {
    Scheduled,
    Running,
    Failing,
    Passed,
    Failed,
    Canceling,
    Canceled,
}

/// State of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the service's own words")]
pub enum JobState {
    Pending,
    Scheduled,
    Assigned,
    Running,
    Passed,
    Failed,
    Skipped,
    Canceling,
    Canceled,
    TimingOut,
    TimedOut,
}

impl BuildState {
    /// Returns the word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Failing => "failing",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Canceling => "canceling",
            Self::Canceled => "canceled",
        }
    }

    /// Returns true for a state that nothing follows.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Passed | Self::Failed | Self::Canceled)
    }

    /// Returns the state that the server computes when a job has finished.
    pub(crate) fn roll_up(
        is_cancelled: bool,
        jobs: impl Iterator<Item = JobState> + Clone,
    ) -> Self {
        let all_terminal = jobs.clone().all(JobState::is_terminal);
        let broken = |state| matches!(state, JobState::Failed | JobState::TimedOut);
        let has_left = |state| !matches!(state, JobState::Pending | JobState::Scheduled);
        if is_cancelled {
            return if all_terminal {
                Self::Canceled
            } else {
                Self::Canceling
            };
        }
        match (all_terminal, jobs.clone().any(broken)) {
            (true, true) => Self::Failed,
            (true, false) => Self::Passed,
            (false, true) => Self::Failing,
            (false, false) if jobs.clone().any(has_left) => Self::Running,
            (false, false) => Self::Scheduled,
        }
    }
}

impl JobState {
    /// Returns the word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Scheduled => "scheduled",
            Self::Assigned => "assigned",
            Self::Running => "running",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Canceling => "canceling",
            Self::Canceled => "canceled",
            Self::TimingOut => "timing_out",
            Self::TimedOut => "timed_out",
        }
    }

    /// Returns true for a state that nothing follows.
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Passed | Self::Failed | Self::Skipped | Self::Canceled | Self::TimedOut
        )
    }

    /// Returns true while a machine works on the job.
    pub(crate) fn is_live(self) -> bool {
        matches!(
            self,
            Self::Assigned | Self::Running | Self::Canceling | Self::TimingOut
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_follows_from_its_jobs() {
        use JobState as J;
        let of = |cancelled, jobs: &[J]| BuildState::roll_up(cancelled, jobs.iter().copied());
        assert_eq!(of(false, &[J::Passed, J::Skipped]), BuildState::Passed);
        assert_eq!(of(false, &[J::Passed, J::TimedOut]), BuildState::Failed);
        assert_eq!(of(false, &[J::Failed, J::Running]), BuildState::Failing);
        assert_eq!(of(false, &[J::Pending, J::Running]), BuildState::Running);
        assert_eq!(
            of(false, &[J::Pending, J::Scheduled]),
            BuildState::Scheduled
        );
        assert_eq!(of(true, &[J::Failed, J::Canceled]), BuildState::Canceled);
        assert_eq!(of(true, &[J::Passed, J::Canceling]), BuildState::Canceling);
    }
}
