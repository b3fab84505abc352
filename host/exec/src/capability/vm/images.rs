//! Which images a component may boot from.

use std::collections::BTreeSet;

use super::CallError;
use crate::capability::{ImageMap, ImagePolicy};
use crate::sequencer::clean::one_line;
use crate::session::Session;

/// Bytes of an image's name.
const NAME_MAX: usize = 512;

/// Why an image is not booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ImageRefused {
    /// It is no name of an image, and why.
    NoName(&'static str),
    /// The user did not allow it; what it is after `--image` was applied.
    NotGranted(String),
}

impl ImageRefused {
    /// Tells the user, and returns what the guest is told.
    pub(super) async fn told(self, session: &Session) -> CallError {
        match self {
            Self::NoName(problem) => CallError::denied(format!("image: {problem}")),
            Self::NotGranted(image) => {
                let shown = one_line(&image);
                // What the plan calls so may hold anything; a flag is a text that people paste.
                let flag = check_name(&image).is_ok().then_some(image.as_str());
                session.refused_image(&shown, flag).await;
                CallError::denied(format!("the image `{shown}` is not granted"))
            }
        }
    }
}

/// What a build's component may boot from.
pub(super) struct Images {
    map: ImageMap,
    policy: ImagePolicy,
    /// As the plan names them.
    of_plan: BTreeSet<String>,
}

impl Images {
    pub(super) fn new(map: ImageMap, policy: ImagePolicy, plan: &hm_plugin_protocol::Plan) -> Self {
        let of_plan = plan
            .steps
            .iter()
            .filter_map(|step| step.image.clone())
            .collect();
        Self {
            map,
            policy,
            of_plan,
        }
    }

    /// Returns what to boot for an image that the guest names.
    ///
    /// # Errors
    /// It is no name of an image, or not granted.
    pub(super) fn bootable(&self, image: &str) -> Result<String, ImageRefused> {
        let is_planned = self.of_plan.contains(image);
        // What the plan calls an image is the author's business, and often mapped.
        if !is_planned {
            check_name(image).map_err(ImageRefused::NoName)?;
        }
        let mapped = self.map.apply(image);
        if self.policy.allows(mapped, is_planned) {
            return Ok(mapped.to_owned());
        }
        Err(ImageRefused::NotGranted(mapped.to_owned()))
    }
}

/// Checks the grammar `[registry[:port]/]name[:tag][@algorithm:digest]`: nothing that an
/// engine could take for a flag, a path or a URL.
fn check_name(image: &str) -> Result<(), &'static str> {
    if image.is_empty() {
        return Err("it is empty");
    }
    if image.len() > NAME_MAX {
        return Err("it has more than 512 bytes");
    }
    let is_word = |byte: u8| byte.is_ascii_alphanumeric();
    if !image
        .bytes()
        .all(|byte| is_word(byte) || b"._-:/@".contains(&byte))
    {
        return Err("it may hold letters, digits and . _ - : / @ only");
    }
    let ends = [image.bytes().next(), image.bytes().next_back()];
    if !ends.into_iter().flatten().all(is_word) {
        return Err("it begins and ends with a letter or a digit");
    }
    let is_odd = |part: &str| part.is_empty() || part.starts_with(['.', '-']);
    if image.split('/').any(is_odd) || image.contains("..") {
        return Err("it is no path and no URL");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_and_nothing_else() {
        for good in [
            "host",
            "ubuntu:24.04",
            "ghcr.io/acme/build-base:v1.2",
            "localhost:5000/x",
            "alpine@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let long = "x".repeat(10_000);
        for bad in [
            "",
            "-v=/:/host",
            "--privileged",
            "../x",
            "x/../y",
            "file:///etc",
            "https://a/b",
            "a b",
            "/abs",
            "a\0b",
            "a\nb",
            "x/",
            "x/-v",
            &long,
        ] {
            assert!(check_name(bad).is_err(), "{bad:.40}");
        }
    }
}
