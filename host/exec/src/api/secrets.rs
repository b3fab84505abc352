//! Values that steps get, and that nobody is shown.

use std::collections::BTreeMap;
use std::fmt;

use hm_plugin_protocol::{Plan, SECRET_PREFIX};

/// Secrets by name. The values show up in no debug output.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, String>);

impl Secrets {
    /// Adds a secret, in place of one of the same name.
    ///
    /// # Errors
    /// The value holds a zero byte, which no variable can.
    pub fn insert(
        &mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<(), String> {
        let (name, value) = (name.into(), value.into());
        if value.contains('\0') {
            return Err(format!(
                "the secret `{name}` holds a zero byte, which no variable can"
            ));
        }
        self.0.insert(name, value);
        Ok(())
    }

    /// Returns whether there is a secret of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns the names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns the values, to hide them.
    pub(crate) fn values(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(String::as_str)
    }

    /// Returns what a variable's value stands for.
    ///
    /// # Errors
    /// The name of a secret that there is not.
    pub(crate) fn reveal<'a>(&'a self, value: &'a str) -> Result<&'a str, &'a str> {
        match secret_of(value) {
            None => Ok(value),
            Some(name) => self.0.get(name).map(String::as_str).ok_or(name),
        }
    }

    /// Returns the first secret that a plan wants and that there is not.
    pub(crate) fn missing<'a>(&self, plan: &'a Plan) -> Option<&'a str> {
        let values = plan.steps.iter().flat_map(|step| step.env.values());
        values
            .filter_map(|value| secret_of(value))
            .find(|name| !self.contains(name))
    }

    /// Puts the values of those that `may` names into a plan, for a backend that has to hand
    /// them on.
    pub(crate) fn put_into(&self, plan: &mut Plan, may: impl Fn(&str) -> bool) {
        for step in &mut plan.steps {
            for value in step.env.values_mut() {
                let known = secret_of(value).filter(|name| may(name));
                if let Some(revealed) = known.and_then(|name| self.0.get(name)) {
                    value.clone_from(revealed);
                }
            }
        }
    }
}

/// Returns the secret that a variable's value stands for.
pub(crate) fn secret_of(value: &str) -> Option<&str> {
    value.strip_prefix(SECRET_PREFIX)
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
