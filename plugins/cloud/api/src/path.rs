//! Paths of requests. Every segment is encoded, whatever it holds.

use std::fmt::Write;

/// A version of the interface; the service may have either, and does not say which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// What the public source of the service has.
    V0,
    /// What its newest published client speaks.
    V1,
}

impl Version {
    /// Reads `v0` or `v1`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "v0" => Some(Self::V0),
            "v1" => Some(Self::V1),
            _ => None,
        }
    }

    /// Returns the version's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::V0 => "v0",
            Self::V1 => "v1",
        }
    }

    /// Returns the path of what lies below the version's prefix.
    pub fn path(self, segments: &[&str]) -> String {
        let mut path = format!("/api/{}", self.name());
        for segment in segments {
            path.push('/');
            path.push_str(&encode(segment));
        }
        path
    }

    /// Returns a path of an organization.
    pub fn organization(self, org: &str, rest: &[&str]) -> String {
        let mut segments = vec!["organizations", org];
        segments.extend(rest);
        self.path(&segments)
    }

    /// Returns a path of a build.
    pub fn build(self, org: &str, pipeline: &str, number: u64, rest: &[&str]) -> String {
        let number = number.to_string();
        let mut segments = vec!["pipelines", pipeline, "builds", &number];
        segments.extend(rest);
        self.organization(org, &segments)
    }

    /// Returns a path of an organization's billing, which the versions lay out differently.
    pub fn billing(self, org: &str, what: &[&str]) -> String {
        let mut segments = vec!["billing"];
        match self {
            Self::V0 => {
                segments.extend(what);
                segments.push(org);
                self.path(&segments)
            }
            Self::V1 => {
                segments.extend(what);
                self.organization(org, &segments)
            }
        }
    }
}

/// Returns the path of a job's log stream, without the token.
pub fn log_stream(version: Version, job: &str) -> String {
    format!("/{}/jobs/{}/logs", version.name(), encode(job))
}

/// Encodes a segment of a path, or a value of a query (RFC 3986, section 2.3: all but the
/// unreserved characters).
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    // A segment of dots alone would lead elsewhere.
    if matches!(out.as_str(), "." | "..") {
        out = out.replace('.', "%2E");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cannot_lead_elsewhere() {
        let path = Version::V0.build("a/b", "..", 7, &["jobs"]);
        assert_eq!(
            path,
            "/api/v0/organizations/a%2Fb/pipelines/%2E%2E/builds/7/jobs"
        );
        assert_eq!(log_stream(Version::V1, "x?y"), "/v1/jobs/x%3Fy/logs");
        assert_eq!(
            Version::V0.billing("acme", &["balance"]),
            "/api/v0/billing/balance/acme"
        );
        assert_eq!(
            Version::V1.billing("acme", &["coupon", "redeem"]),
            "/api/v1/organizations/acme/billing/coupon/redeem"
        );
    }
}
