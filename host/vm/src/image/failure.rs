//! Why an image cannot be had, told so that a person can act on it.

use super::layer::Refusal;
use crate::error::VmError;

/// What to do about an image that is not as it should be.
const OTHER_IMAGE: &str = "use another image, or have whoever made it make it again";

/// The image is there, and refused.
pub(super) fn refused(image: &str, cause: impl Into<String>) -> VmError {
    fetch(image, cause, OTHER_IMAGE)
}

/// The image cannot be had.
pub(super) fn fetch(image: &str, cause: impl Into<String>, remedy: impl Into<String>) -> VmError {
    VmError::ImageFetch {
        image: image.to_owned(),
        cause: cause.into(),
        remedy: remedy.into(),
    }
}

/// A layer is refused, or cannot be written.
pub(super) fn layer(image: &str, layer: &str, refusal: &Refusal) -> VmError {
    if refusal.is_full() {
        return VmError::Unavailable {
            cause: format!(
                "there is no room for the layer {layer} of the image `{image}`: {refusal}"
            ),
            remedy: "free some space on the state folder's disk, for example with `hm image prune \
                     --all` or `hm cache prune`, or set HM_STATE_DIR to a folder on another disk"
                .to_owned(),
        };
    }
    let cause = format!("the layer {layer} is refused: {refusal}");
    match refusal {
        Refusal::Limit { key, .. } => fetch(
            image,
            cause,
            format!("if you trust the image, raise `{key}` in your own configuration"),
        ),
        _ => refused(image, cause),
    }
}

/// A digest as people see it.
pub(super) fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}
