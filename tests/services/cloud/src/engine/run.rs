//! A build from its first job to its last.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Ended, JobRun, LogWriter};
use crate::service::Service;
use crate::state::JobState;
use crate::world::{Build, BuildAt};

/// Time that an assigned job takes to start, and one that runs out of time to be gone: short,
/// but long enough to be seen in between.
const MOMENT: Duration = Duration::from_millis(5);

/// Starts the jobs of a build.
pub(crate) fn start(service: &Arc<Service>, at: BuildAt) {
    tokio::spawn(run(service.clone(), at));
}

async fn run(service: Arc<Service>, at: BuildAt) {
    let (id, timeout) = {
        let world = service.world();
        let build = world.build(at);
        (build.id, build.plan.timeout)
    };
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut running = JoinSet::new();
    loop {
        for index in ready(&service, at) {
            running.spawn(one(service.clone(), at, index));
        }
        let over = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            done = running.join_next() => match done {
                Some(Ok(Some((index, ended)))) => finish(&service, at, index, ended),
                Some(_) => {}
                None => break,
            },
            () = over => {
                time_out(&service, at);
                // What runs is ended by the build's wish, and changes nothing any more.
                while running.join_next().await.is_some() {}
                break;
            }
        }
    }
    service.workload.build_ended(id).await;
}

/// Marks the jobs whose prerequisites have passed as scheduled, and returns them.
fn ready(service: &Service, at: BuildAt) -> Vec<usize> {
    let mut world = service.world();
    let build = world.build_mut(at);
    let is_ready = |build: &Build, job: usize| {
        let job = &build.jobs[job];
        let mut after = job.plan.after.iter();
        job.state == JobState::Pending
            && after.all(|before| build.jobs[*before].state == JobState::Passed)
    };
    let ready: Vec<usize> = (0..build.jobs.len())
        .filter(|job| is_ready(build, *job))
        .collect();
    for job in &ready {
        build.jobs[*job].state = JobState::Scheduled;
    }
    ready
}

/// Runs one job; none if it was cancelled before it had a machine.
async fn one(service: Arc<Service>, at: BuildAt, index: usize) -> Option<(usize, Ended)> {
    let permit = service.jobs.clone().acquire_owned().await.ok()?;
    let (job, log) = {
        let mut world = service.world();
        let build = world.build_mut(at);
        if build.jobs[index].state != JobState::Scheduled {
            return None;
        }
        build.jobs[index].state = JobState::Assigned;
        let plan = &build.jobs[index].plan;
        let job = JobRun {
            build: build.id,
            index,
            key: plan.key.clone(),
            command: plan.command.clone(),
            image: plan.image.clone(),
            env: plan.env.clone(),
            timeout: plan.timeout,
            parent: plan.parent,
            has_heirs: build.jobs.iter().any(|job| job.plan.parent == Some(index)),
            archive: build.archive.clone(),
            stop: build.stop.clone(),
        };
        (job, LogWriter(build.jobs[index].log.clone()))
    };
    if service.oddities.unknown_states {
        tokio::time::sleep(100 * MOMENT).await;
    }
    {
        let mut world = service.world();
        let job = &mut world.build_mut(at).jobs[index];
        if job.state == JobState::Assigned {
            job.state = JobState::Running;
        }
        job.started_at = Some(Timestamp::now());
    }
    let ended = service.workload.run(job, log).await;
    if ended == Ended::TimedOut {
        timing_out(&service, at, index);
        tokio::time::sleep(MOMENT).await;
    }
    drop(permit);
    Some((index, ended))
}

/// The job's time is over, and it is about to be gone.
fn timing_out(service: &Service, at: BuildAt, index: usize) {
    let mut world = service.world();
    let job = &mut world.build_mut(at).jobs[index];
    if job.state == JobState::Running {
        job.state = JobState::TimingOut;
    }
}

/// Writes a job's end, skips what waited for it, and rolls up.
fn finish(service: &Service, at: BuildAt, index: usize, ended: Ended) {
    let now = Timestamp::now();
    let mut world = service.world();
    let build = world.build_mut(at);
    let job = &mut build.jobs[index];
    if job.state.is_live() {
        job.finished_at = Some(now);
        job.state = match (job.state, &ended) {
            (JobState::Canceling, _) => JobState::Canceled,
            (JobState::TimingOut, _) => JobState::TimedOut,
            (_, Ended::Exited(0)) => JobState::Passed,
            (_, Ended::Stopped) => JobState::Canceled,
            _ => JobState::Failed,
        };
        match ended {
            Ended::Exited(code) => job.exit_code = Some(code.into()),
            Ended::Lost(code, message) => {
                job.error_code = Some(code);
                job.error_message = Some(message);
            }
            Ended::Signaled | Ended::TimedOut | Ended::Stopped => {}
        }
    }
    skip(build, now);
    build.roll_up(now, &service.oddities);
}

/// Skips every job that waits for one that will not pass. Jobs come after those that they
/// wait for, so that one pass will do.
fn skip(build: &mut Build, now: Timestamp) {
    for index in 0..build.jobs.len() {
        let broken = |before: &usize| {
            matches!(
                build.jobs[*before].state,
                JobState::Failed | JobState::TimedOut | JobState::Skipped
            )
        };
        if build.jobs[index].state == JobState::Pending
            && build.jobs[index].plan.after.iter().any(broken)
        {
            let job = &mut build.jobs[index];
            job.state = JobState::Skipped;
            job.finished_at = Some(now);
        }
    }
}

/// The time of the whole build is over.
fn time_out(service: &Service, at: BuildAt) {
    let now = Timestamp::now();
    let mut world = service.world();
    let build = world.build_mut(at);
    for job in &mut build.jobs {
        if !job.state.is_terminal() {
            job.state = JobState::TimedOut;
            job.error_code = Some("pipeline_timeout");
            job.finished_at = Some(now);
        }
    }
    build.error_code = Some("pipeline_timeout");
    build.error_message = Some("The build ran over its time.".into());
    build.stop.cancel();
    build.roll_up(now, &service.oddities);
}
