//! Which of an image's variants this machine runs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An operating system and a processor, by the names that registries use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    #[serde(default)]
    pub os: String,
    /// `amd64`, `arm64`, …
    #[serde(default)]
    pub architecture: String,
    /// `v7`, for processors that come in several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Returns this machine's.
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "x86" => ("386", None),
            "aarch64" => ("arm64", None),
            "arm" => ("arm", Some("v7")),
            "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", None),
            "loongarch64" => ("loong64", None),
            other => (other, None),
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    /// Tells how well an image's platform fits this one; none where it does not run.
    fn fit(&self, image: &Self) -> Option<u8> {
        if self.os != image.os || self.architecture != image.architecture {
            return None;
        }
        let number = |variant: &Option<String>| -> Option<u8> {
            variant.as_deref()?.strip_prefix('v')?.parse().ok()
        };
        match (number(&self.variant), number(&image.variant)) {
            // Processors run what was made for older ones.
            (Some(own), Some(asked)) if asked > own => None,
            (_, Some(asked)) if self.architecture == "arm" => Some(asked),
            // `arm64` and `arm64/v8` are the same, as are `amd64` and `amd64/v1`.
            (None, Some(asked))
                if !matches!(
                    (self.architecture.as_str(), asked),
                    ("arm64", 8) | ("amd64", 1)
                ) =>
            {
                None
            }
            _ => Some(u8::MAX),
        }
    }

    /// Tells whether what was made for a platform runs on this one.
    pub(super) fn runs(&self, image: &Self) -> bool {
        self.fit(image).is_some()
    }

    /// Returns the place of the best among platforms, each of which may be unknown.
    pub(super) fn choose<'a>(
        &self,
        platforms: impl IntoIterator<Item = Option<&'a Self>>,
    ) -> Option<usize> {
        platforms
            .into_iter()
            .enumerate()
            .filter_map(|(index, platform)| Some((self.fit(platform?)?, index)))
            // The first of the best.
            .max_by_key(|&(fit, index)| (fit, usize::MAX - index))
            .map(|(_, index)| index)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_owned);
        Platform {
            os: parts.next().unwrap(),
            architecture: parts.next().unwrap(),
            variant: parts.next(),
        }
    }

    #[test]
    fn the_best_that_runs_is_chosen() {
        let of = |own: &str, there: &[&str]| {
            let there: Vec<_> = there.iter().map(|text| platform(text)).collect();
            platform(own).choose(there.iter().map(Some))
        };
        let many = [
            "windows/amd64",
            "unknown/unknown",
            "linux/arm/v5",
            "linux/arm/v6",
            "linux/arm/v7",
            "linux/arm64/v8",
            "linux/amd64",
        ];
        assert_eq!(of("linux/amd64", &many), Some(6));
        assert_eq!(of("linux/arm64", &many), Some(5));
        assert_eq!(of("linux/arm/v7", &many), Some(4));
        assert_eq!(of("linux/arm/v6", &many), Some(3));
        assert_eq!(of("linux/riscv64", &many), None);
        assert_eq!(
            of("linux/amd64", &["linux/amd64/v3", "linux/amd64/v1"]),
            Some(1)
        );
    }
}
