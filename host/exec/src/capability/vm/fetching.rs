//! Images before machines boot from them: fetched once, and the user sees how far it is.

use std::time::{Duration, Instant};

use hm_plugin_protocol::Level;
use hm_vm::{Base, Fetching, Progress, VmError};
use tokio::sync::watch;

use super::{CallError, VmSession};
use crate::session::Session;

/// Between two notes on how far an image is.
const TELL: Duration = Duration::from_secs(5);

impl VmSession {
    /// Returns what to boot an image from, after `--image` was applied. It is here then.
    ///
    /// # Errors
    /// It is no name of an image, not granted, or not to be had.
    pub(super) async fn image_base(
        &self,
        session: &Session,
        image: &str,
    ) -> Result<Base, CallError> {
        let image = self.granted_image(session, image).await?;
        // The host's own file system is here anyhow, and its identity takes reading.
        if image != "host" {
            self.image_id(session, &image)
                .await
                .map_err(|error| self.guest_error(error))?;
        }
        Ok(Base::Image(image))
    }

    /// Returns what an image is called after `--image` was applied; the user is told if it
    /// may not be had.
    ///
    /// # Errors
    /// It is no name of an image, or not granted.
    pub(super) async fn granted_image(
        &self,
        session: &Session,
        image: &str,
    ) -> Result<String, CallError> {
        match self.images.bootable(image) {
            Ok(image) => Ok(image),
            Err(refused) => Err(refused.told(session).await),
        }
    }

    /// Makes an image available and returns its identity. If it has to be fetched, the
    /// build's events tell how far that is.
    pub(super) async fn image_id(&self, session: &Session, image: &str) -> Result<String, VmError> {
        let (sender, mut reports) = watch::channel(None);
        let progress = Progress::new(move |fetching| {
            sender.send_replace(Some(fetching));
        });
        let engine = self.engine().clone();
        let fetching = engine.image_id(image, &progress);
        tokio::pin!(fetching);
        let mut told = Told::default();
        loop {
            tokio::select! {
                biased;
                done = &mut fetching => {
                    let last = reports.borrow_and_update().clone();
                    if let (Ok(_), Some(last)) = (&done, last) {
                        told.note(session, told.end(&last)).await;
                    }
                    return done;
                }
                Ok(()) = reports.changed() => {
                    let now = reports.borrow_and_update().clone();
                    if let Some(text) = now.and_then(|now| told.progress(&now)) {
                        told.note(session, text).await;
                    }
                }
            }
        }
    }
}

/// What the user has been told of one image.
#[derive(Debug, Default)]
struct Told {
    began: Option<Instant>,
    last: Option<Instant>,
}

impl Told {
    /// Returns what to say now, if anything.
    fn progress(&mut self, fetching: &Fetching) -> Option<String> {
        let now = Instant::now();
        let is_first = self.began.is_none();
        self.began.get_or_insert(now);
        if self.last.is_some_and(|last| now - last < TELL) {
            return None;
        }
        self.last = Some(now);
        let image = &fetching.image;
        Some(match fetching.total {
            _ if is_first => format!("pulling the image `{image}`"),
            None => format!("pulling the image `{image}`: {}", size(fetching.done)),
            Some(total) => format!(
                "pulling the image `{image}`: {} of {}",
                size(fetching.done),
                size(total)
            ),
        })
    }

    /// Returns what to say when it is here.
    fn end(&self, fetching: &Fetching) -> String {
        let took = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        format!(
            "pulled the image `{}`: {} in {:.1} s",
            fetching.image,
            size(fetching.done),
            took.as_secs_f64()
        )
    }

    async fn note(&self, session: &Session, text: String) {
        let note = session.ledger().note(None, Level::Info, text);
        session.tell(vec![note]).await;
    }
}

/// Returns a number of bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_hears_of_it_now_and_then() {
        let mut told = Told::default();
        let at = |done| Fetching {
            image: "a:1".to_owned(),
            done,
            total: Some(4 << 20),
        };
        assert_eq!(
            told.progress(&at(0)).as_deref(),
            Some("pulling the image `a:1`")
        );
        assert_eq!(told.progress(&at(1 << 20)), None, "it was told just now");
        told.last = Instant::now().checked_sub(TELL * 2);
        assert_eq!(
            told.progress(&at(3 << 19)).as_deref(),
            Some("pulling the image `a:1`: 1.5 MiB of 4.0 MiB")
        );
    }
}
