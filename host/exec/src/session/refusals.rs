//! What the component was refused: told to the user when it happens, and in the error if the
//! build does not pass. The component learns only that it was refused.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hm_plugin_protocol::Level;

use super::Session;
use crate::api::Refused;
use crate::capability::http::Denial;

/// Refusals that are told while a build runs; what follows is one subject repeated.
const TOLD_MAX: usize = 20;

/// Refusals of one build.
#[derive(Default)]
pub(super) struct Refusals(Mutex<Told>);

#[derive(Default)]
struct Told {
    subjects: BTreeSet<String>,
    refused: Vec<Refused>,
}

impl Refusals {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.told().refused.is_empty()
    }

    /// Returns all that was refused, each subject once.
    pub(super) fn all(&self) -> Vec<Refused> {
        self.told().refused.clone()
    }
}

impl Session {
    /// Notes that a request was refused, and tells the user, each subject once.
    pub(crate) async fn refused(&self, denial: Denial) {
        let refused = Refused {
            what: denial.to_string(),
            remedy: denial.remedy(&self.lent.digest),
        };
        self.refuse(denial.subject(), refused).await;
    }

    /// Notes that an image was refused, and tells the user, each once. `flag` allows it.
    pub(crate) async fn refused_image(&self, image: &str, flag: Option<&str>) {
        let grant = |flag| {
            format!(
                "hm backend grant {} --vm --vm-image {flag}",
                self.lent.digest
            )
        };
        let refused = Refused {
            what: format!("the image `{image}`: not granted"),
            remedy: flag.map(grant),
        };
        self.refuse(format!("image {image}"), refused).await;
    }

    async fn refuse(&self, subject: String, refused: Refused) {
        let is_news = {
            let mut told = self.refusals.told();
            let is_news = told.refused.len() < TOLD_MAX && told.subjects.insert(subject);
            if is_news {
                told.refused.push(refused.clone());
            }
            is_news
        };
        if !is_news {
            return;
        }
        let mut message = format!("backend `{}` was refused {}", self.backend(), refused.what);
        if let Some(remedy) = refused.remedy {
            message += &format!("; {remedy}");
        }
        self.warn(message).await;
    }

    /// Tells the user something beside the guest's events.
    pub(crate) async fn warn(&self, message: String) {
        let note = self.ledger().note(None, Level::Warning, message);
        self.tell(vec![note]).await;
    }
}
