//! Log tokens: of one build, for an hour, opaque to clients.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use uuid::Uuid;

/// Tokens that were minted. The real ones are signed; ours are remembered.
#[derive(Debug, Default)]
pub(crate) struct LogTokens {
    minted: HashMap<String, (Uuid, Timestamp)>,
}

impl LogTokens {
    /// Mints a token for a build.
    pub(crate) fn mint(&mut self, build: Uuid, expires_at: Timestamp) -> String {
        let payload = URL_SAFE_NO_PAD.encode(format!("{build}|{}", expires_at.as_second()));
        let signature = URL_SAFE_NO_PAD
            .encode([*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat());
        let token = format!("{payload}.{signature}");
        self.minted.insert(token.clone(), (build, expires_at));
        token
    }

    /// Returns the build that a token is good for.
    pub(crate) fn build(&self, token: &str, now: Timestamp) -> Option<Uuid> {
        let (build, expires_at) = self.minted.get(token)?;
        (now < *expires_at).then_some(*build)
    }
}

/// Returns a token as sessions have it: 43 characters that are safe in a URL.
pub(crate) fn session() -> String {
    URL_SAFE_NO_PAD.encode([*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat())
}
