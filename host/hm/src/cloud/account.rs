//! Who asks, for which organization, at which origin: settings and credentials together.

use std::fmt;

use hm_render::clean_line;

use super::{Client, Origin};
use crate::config::{Folders, Settings};
use crate::credentials::Credentials;
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// Harmont's own.
const API: &str = "https://api.harmont.dev";

/// Exit code where the service wants a login.
const LOGIN_NEEDED: Exit = Exit::Code(3);

/// Everything that a request to the service depends on.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    /// Of the interface.
    pub(crate) api: Origin,
    /// Of the dashboard, for people.
    pub(crate) app: Origin,
    /// The organization that somebody chose.
    pub(crate) org: Option<String>,
    /// The pipeline that somebody chose, at the service.
    pub(crate) pipeline: Option<String>,
    /// The proxy that requests go by way of, and to whom they go directly.
    pub(crate) proxy: Option<(String, Vec<String>)>,
    /// Instead of asking the service.
    pub(crate) version: Option<String>,
    bearer: Option<Bearer>,
}

/// A token that opens the service.
#[derive(Clone)]
pub(crate) struct Bearer(String);

impl Bearer {
    /// Takes a token, without the blanks around it.
    ///
    /// # Errors
    /// Usage, if it is empty or cannot be a token.
    pub(crate) fn new(text: &str, name: &str) -> Result<Self, Failure> {
        let token = text.trim();
        if token.is_empty() {
            return Err(Failure::usage(format!("{name} holds no token")));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::usage(format!(
                "{name} holds more than a token, or characters that no token has"
            )));
        }
        Ok(Self(token.to_owned()))
    }

    /// Returns the token itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(…)")
    }
}

impl Account {
    /// Finds the account from the settings, `HM_API_TOKEN` and the stored credentials.
    ///
    /// # Errors
    /// Usage, for settings or credentials that cannot be used.
    pub(crate) fn find(
        folders: &Folders,
        settings: &Settings,
        terminal: &Terminal,
    ) -> Result<Self, Failure> {
        let api = match settings.cloud("api_url") {
            Some((text, origin)) => Origin::read(text, &named(origin, "cloud.api_url"))?,
            None => Origin::read(API, "the default")?,
        };
        let app = match settings.cloud("app_url") {
            Some((text, origin)) => Origin::read(text, &named(origin, "cloud.app_url"))?,
            None => api.dashboard(),
        };
        let text = |key: &str| settings.cloud(key).map(|(text, _)| text.to_owned());
        let bearer = match std::env::var("HM_API_TOKEN") {
            Ok(token) if !token.is_empty() => Some(Bearer::new(&token, "HM_API_TOKEN")?),
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(Failure::usage("HM_API_TOKEN holds no token"));
            }
            _ => {
                let credentials = Credentials::read(folders)?;
                let path = credentials.path().display().to_string();
                if credentials.is_exposed {
                    terminal.warn(&format!(
                        "other users can read the tokens in {path}: `chmod 600 {path}`"
                    ));
                }
                let token = credentials.token(api.as_str());
                token.map(|token| Bearer::new(token, &path)).transpose()?
            }
        };
        Ok(Self {
            org: text("org"),
            pipeline: text("pipeline"),
            version: text("api_version"),
            proxy: settings
                .proxy()
                .map(|(proxy, direct)| (proxy.to_owned(), direct)),
            api,
            app,
            bearer,
        })
    }

    /// Returns the token.
    ///
    /// # Errors
    /// Exit 3: there is none for this origin.
    pub(crate) fn bearer(&self) -> Result<&Bearer, Failure> {
        self.bearer.as_ref().ok_or_else(|| {
            Failure::new(LOGIN_NEEDED, format!("not logged in at {}", self.api))
                .hint("`hm cloud login` logs in; in CI, set HM_API_TOKEN")
        })
    }

    /// Returns true for Harmont's own service.
    pub(crate) fn is_default(&self) -> bool {
        self.api.as_str() == API
    }

    /// Returns the organization: the one that was chosen, or the user's only one.
    ///
    /// # Errors
    /// There is none, or more than one; or the service does not tell.
    pub(crate) async fn organization(&self, client: &Client) -> Result<String, Failure> {
        if let Some(org) = &self.org {
            return Ok(org.clone());
        }
        let all = client.organizations().await?;
        match all.as_slice() {
            [only] => Ok(only.slug.clone()),
            [] => Err(Failure::usage("you are in no organization yet")
                .hint(format!("make one at {}", self.app))),
            many => {
                let slugs: Vec<_> = many.iter().map(|org| clean_line(&org.slug)).collect();
                Err(Failure::usage(format!(
                    "no organization is chosen, and you are in several: {}",
                    slugs.join(", ")
                ))
                .hint("`hm cloud org switch SLUG` chooses one for good, `--org SLUG` for once"))
            }
        }
    }

    /// Returns the page on which a person can watch a build.
    pub(crate) fn watch_url(&self, org: &str, pipeline: &str, number: u64) -> String {
        let encode = hm_cloud_api::encode;
        format!(
            "{}/{}/pipelines/{}/builds/{number}",
            self.app,
            encode(org),
            encode(pipeline)
        )
    }
}

fn named(origin: &crate::config::Origin, key: &str) -> String {
    match origin {
        crate::config::Origin::Variable(name) => name.clone(),
        _ => format!("`{key}`"),
    }
}
