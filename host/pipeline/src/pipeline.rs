//! One pipeline of a document, checked.

use hm_plugin_protocol::{Plan, StepId};

use crate::error::PipelineError;
use crate::problem::Problem;
use crate::source::{Place, Source};

/// One pipeline of a document.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The name that `hm run` takes.
    pub slug: String,
    /// For display.
    pub name: String,
    /// The envelope's entry as JSON text; made up with default fields around a bare
    /// document.
    pub entry: String,
    /// The bare document, as it stands in the source.
    pub definition: String,
    /// The plan, or everything that is wrong with the definition.
    pub checked: Result<Checked, Vec<Problem>>,
}

/// A plan and what was noticed on the way to it.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The checked plan.
    pub plan: Plan,
    /// Odd, but no reason to stop.
    pub warnings: Vec<Problem>,
    /// Fields that this hm does not know, for `--verbose`.
    pub unknown_fields: Vec<Place>,
    /// What the plan takes from its surroundings by name.
    pub references: Vec<Reference>,
}

/// Something that the plan takes from its surroundings by name. The caller knows
/// whether it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Where the document asks for it.
    pub place: Place,
    /// The step.
    pub step: StepId,
    /// What it is.
    pub target: Target,
}

/// What a [`Reference`] names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A step runner.
    Runner(String),
    /// A secret that stands for the value of an environment variable.
    Secret {
        /// The variable.
        variable: String,
        /// The secret's name.
        secret: String,
    },
}

impl Pipeline {
    /// Returns the plan and its warnings.
    ///
    /// # Errors
    /// `Invalid`, with everything that is wrong with the definition.
    pub fn checked(&self, source: &Source) -> Result<&Checked, PipelineError> {
        self.checked.as_ref().map_err(|problems| {
            PipelineError::invalid(source.name(), Some(&self.slug), problems.clone())
        })
    }
}
