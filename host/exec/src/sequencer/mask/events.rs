//! Secrets in texts that come whole: those of the guest, and those that the host makes of
//! them. Keys stay as they are, as they are what events are matched by.

use hm_plugin_protocol::BuildEvent;
use serde_json::Value;

use super::Mask;

impl Mask {
    /// Hides secrets in every text of an event for people.
    pub(crate) fn event(&self, event: &mut BuildEvent) {
        match event {
            BuildEvent::BuildAccepted { build, watch_url } => {
                self.optional(watch_url);
                self.optional(&mut build.org);
            }
            BuildEvent::StepQueued { display_name, .. } => self.string(display_name),
            BuildEvent::StepStart { runner, image, .. } => {
                self.string(runner);
                self.optional(image);
            }
            BuildEvent::StepEnd { reason, .. } | BuildEvent::BuildEnd { reason, .. } => {
                self.optional(reason);
            }
            BuildEvent::ChainFailed { message, .. } | BuildEvent::Notice { message, .. } => {
                self.string(message);
            }
            BuildEvent::Custom { data, .. } => self.json(data),
            // Searched when it came, byte for byte.
            BuildEvent::StepLog(_)
            | BuildEvent::BuildStart { .. }
            | BuildEvent::StepCacheHit { .. } => {}
        }
    }

    /// Hides secrets in a text.
    pub(crate) fn string(&self, text: &mut String) {
        if let std::borrow::Cow::Owned(hidden) = self.text(text) {
            *text = hidden;
        }
    }

    fn optional(&self, text: &mut Option<String>) {
        if let Some(text) = text {
            self.string(text);
        }
    }

    /// No recursion: the depth of what a guest sends is bounded, but not by this.
    fn json(&self, data: &mut Value) {
        let mut open = vec![data];
        while let Some(value) = open.pop() {
            match value {
                Value::String(text) => self.string(text),
                Value::Array(items) => open.extend(items),
                Value::Object(members) => {
                    *members = std::mem::take(members)
                        .into_iter()
                        .map(|(name, value)| (self.text(&name).into_owned(), value))
                        .collect();
                    open.extend(members.values_mut());
                }
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
    }
}
