//! Images: found at the daemon, pulled where they are not, and what they say of themselves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bollard::errors::Error;
use bollard::models::{CreateImageInfo, ImageInspect};
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::StreamExt;
use tokio::sync::OnceCell;

use super::daemon::Daemon;
use super::failure::{is_absent, status, words};
use crate::backend::{Fetching, Progress};
use crate::error::VmError;

/// This machine's own file system, which no daemon has.
const HOST: &str = "host";

/// An image at the daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Image {
    /// `sha256:…`, of its configuration.
    pub(super) id: String,
    /// Of its configuration, as `KEY=VALUE`.
    pub(super) env: Vec<String>,
    /// Folders that it declares as volumes, without those that machines have of their own.
    pub(super) volumes: Vec<String>,
    /// Layers that the daemon stacks for it.
    pub(super) depth: usize,
    /// Disk space of all of them, in bytes.
    pub(super) bytes: u64,
}

impl Image {
    /// Returns what the daemon has under a name, tag or digest.
    pub(super) async fn inspect(daemon: &Daemon, name: &str) -> Result<Option<Self>, Error> {
        match daemon.docker.inspect_image(name).await {
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
            Ok(found) => Ok(Some(Self::of(name, found))),
        }
    }

    fn of(name: &str, found: ImageInspect) -> Self {
        let config = found.config.unwrap_or_default();
        let is_other = |folder: &String| {
            folder.starts_with('/')
                && !["/workspace", "/run", "/dev/shm"].contains(&folder.as_str())
        };
        Self {
            id: found.id.unwrap_or_else(|| name.to_owned()),
            env: config.env.unwrap_or_default(),
            volumes: config
                .volumes
                .unwrap_or_default()
                .into_iter()
                .filter(is_other)
                .collect(),
            depth: found
                .root_fs
                .and_then(|root| root.layers)
                .map_or(0, |layers| layers.len()),
            bytes: u64::try_from(found.size.unwrap_or(0)).unwrap_or(0),
        }
    }

    /// Returns whether the image itself sets a variable.
    pub(super) fn sets(&self, name: &str) -> bool {
        self.env
            .iter()
            .any(|entry| entry.split('=').next() == Some(name))
    }
}

/// Images that were asked for, each resolved once: a tag that moves meanwhile does not make
/// two steps of a build differ.
#[derive(Debug, Default)]
pub(super) struct Images {
    known: Mutex<HashMap<String, Arc<OnceCell<Arc<Image>>>>>,
}

impl Images {
    /// Returns the image of a name, pulled if the daemon does not have it.
    ///
    /// # Errors
    /// As [`crate::VmBackend::image_id`].
    pub(super) async fn get(
        &self,
        daemon: &Daemon,
        name: &str,
        progress: &Progress,
    ) -> Result<Arc<Image>, VmError> {
        if name == HOST {
            return Err(VmError::ImageNotFound {
                image: name.to_owned(),
                engine: super::engine::NAME,
            });
        }
        let cell = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(name.to_owned()).or_default())
        };
        cell.get_or_try_init(|| find(daemon, name, progress))
            .await
            .cloned()
    }
}

async fn find(daemon: &Daemon, name: &str, progress: &Progress) -> Result<Arc<Image>, VmError> {
    let inspect = || async {
        Image::inspect(daemon, name)
            .await
            .map_err(|error| match status(&error) {
                Some(400) => fetch_error(name, &error),
                _ => daemon.failed(&format!("look for the image `{name}`"))(error),
            })
    };
    if let Some(found) = inspect().await? {
        return Ok(Arc::new(found));
    }
    pull(daemon, name, progress).await?;
    match inspect().await? {
        Some(found) => Ok(Arc::new(found)),
        None => Err(VmError::ImageFetch {
            image: name.to_owned(),
            cause: "the daemon says that it has pulled it, and does not have it".to_owned(),
            remedy: format!("try `docker pull {name}`"),
        }),
    }
}

async fn pull(daemon: &Daemon, name: &str, progress: &Progress) -> Result<(), VmError> {
    let (repository, tag) = reference(name);
    let options = CreateImageOptionsBuilder::new()
        .from_image(repository)
        .tag(tag)
        .build();
    let mut parts = Parts::default();
    progress.report(parts.fetching(name));
    let mut news = daemon.patient.create_image(Some(options), None, None);
    while let Some(piece) = news.next().await {
        let piece = piece.map_err(|error| match &error {
            Error::DockerResponseServerError { .. } | Error::DockerStreamError { .. } => {
                fetch_error(name, &error)
            }
            _ => daemon.failed(&format!("pull the image `{name}`"))(error),
        })?;
        if parts.take(&piece) {
            progress.report(parts.fetching(name));
        }
    }
    Ok(())
}

/// Splits a name into what is pulled and its tag: without one it is `latest`, where the
/// daemon would pull all.
fn reference(name: &str) -> (&str, &str) {
    if name.contains('@') {
        return (name, "");
    }
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[start..].find(':') {
        Some(colon) => (&name[..start + colon], &name[start + colon + 1..]),
        None => (name, "latest"),
    }
}

/// Tells why a pull failed, in the registry's words, and what to do about it.
fn fetch_error(name: &str, error: &Error) -> VmError {
    let cause = words(error);
    let said = cause.to_lowercase();
    let has = |texts: &[&str]| texts.iter().any(|text| said.contains(text));
    let remedy = if has(&["invalid reference", "must be lowercase"]) {
        "write it as NAME:TAG, NAME in lower case".to_owned()
    } else if has(&["denied", "unauthorized", "authentication", "no basic auth"]) {
        format!("check the name; if it is private, `docker login` and `docker pull {name}`")
    } else if has(&["manifest unknown", "not found", "no such image"]) {
        "check name and tag".to_owned()
    } else if has(&[
        "dial tcp",
        "no such host",
        "timeout",
        "lookup",
        "refused",
        "tls",
    ]) {
        format!("see whether the daemon reaches the registry: `docker pull {name}`")
    } else {
        format!("`docker pull {name}` should say the same")
    };
    VmError::ImageFetch {
        image: name.to_owned(),
        cause,
        remedy,
    }
}

/// How far each part of an image is.
#[derive(Debug, Default)]
struct Parts(HashMap<String, (u64, u64)>);

impl Parts {
    /// Notes news; returns whether there are any.
    fn take(&mut self, news: &CreateImageInfo) -> bool {
        let (Some(part), Some("Downloading"), Some(detail)) =
            (&news.id, news.status.as_deref(), &news.progress_detail)
        else {
            return false;
        };
        let number = |value: Option<i64>| u64::try_from(value.unwrap_or(0)).unwrap_or(0);
        let found = (number(detail.current), number(detail.total));
        self.0.insert(part.clone(), found) != Some(found)
    }

    fn fetching(&self, image: &str) -> Fetching {
        let total = self.0.values().map(|(_, total)| total).sum();
        Fetching {
            image: image.to_owned(),
            done: self.0.values().map(|(done, _)| done).sum(),
            // Of the parts that have begun; more may come.
            total: (total > 0).then_some(total),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::reference;

    #[test]
    fn names_are_taken_apart() {
        for (name, parts) in [
            ("alpine", ("alpine", "latest")),
            ("alpine:3.20", ("alpine", "3.20")),
            ("r.example:5000/a/b", ("r.example:5000/a/b", "latest")),
            ("r.example:5000/a/b:v1", ("r.example:5000/a/b", "v1")),
            ("a@sha256:00", ("a@sha256:00", "")),
        ] {
            assert_eq!(reference(name), parts, "{name}");
        }
    }
}
