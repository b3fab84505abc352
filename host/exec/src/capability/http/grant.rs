//! What a component may reach over HTTP, as values.

use http::Method;

use super::{Credential, HttpNetwork, Pattern, PrivateRange};

/// HTTP to named places.
#[derive(Debug, Clone, Default)]
pub struct HttpGrant {
    /// Requests that are covered; all others are refused.
    pub patterns: Vec<Pattern>,
    /// Addresses that names may lead to though they are not public. A pattern whose host is
    /// an address opens that address itself.
    pub private: Vec<PrivateRange>,
    /// Methods, in capitals; none for all that can be granted.
    pub methods: Option<Vec<String>>,
    /// What the host adds to requests. The component never has it.
    pub credentials: Vec<Credential>,
    /// How requests leave this machine.
    pub network: HttpNetwork,
}

impl HttpGrant {
    /// Returns whether a method is granted.
    pub(super) fn has_method(&self, method: &Method) -> bool {
        super::headers::is_method_possible(method)
            && self
                .methods
                .as_ref()
                .is_none_or(|methods| methods.iter().any(|own| own == method.as_str()))
    }
}
