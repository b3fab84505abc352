//! The chosen pipeline.

use hm_plugin_protocol::Plan;

use crate::error::PipelineError;
use crate::pipeline::{Reference, Target};
use crate::problem::Problem;
use crate::source::Place;
use crate::text::{name, quote};

/// The chosen pipeline as a checked plan.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// What will run.
    pub plan: Plan,
    /// The name that `hm run` takes.
    pub slug: String,
    /// For display.
    pub name: String,
    /// The file as the user knows it.
    pub file: String,
    /// About this pipeline and about files that were left out.
    pub warnings: Vec<Problem>,
    /// Fields that this hm does not know, for `--verbose`.
    pub unknown_fields: Vec<Place>,
    /// What the plan takes from its surroundings by name.
    pub references: Vec<Reference>,
    /// The bare v0 document: as it stands in a JSON file, as the DSL made it, or made
    /// of the plan for TOML. What `hm render` prints.
    pub definition: String,
}

impl Rendered {
    /// Checks that every named runner is in `available`.
    ///
    /// # Errors
    /// `Invalid`, with every runner that is not. `hint` says what to do about it.
    pub fn check_runners(&self, available: &[&str], hint: &str) -> Result<(), PipelineError> {
        self.check(|reference| {
            let Target::Runner(runner) = &reference.target else {
                return None;
            };
            if available.contains(&runner.as_str()) {
                return None;
            }
            let step = name(&self.plan.steps.get(reference.step as usize)?.key);
            let available = available.join(", ");
            let message = format!(
                "step {step} wants runner {}; available: {available}",
                quote(runner)
            );
            Some(Problem::at(reference.place.clone(), message).hint(hint))
        })
    }

    /// Checks that every secret that an environment stands for is declared.
    ///
    /// # Errors
    /// `Invalid`, with every secret that is not.
    pub fn check_secrets(&self, is_declared: impl Fn(&str) -> bool) -> Result<(), PipelineError> {
        self.check(|reference| {
            let Target::Secret { variable, secret } = &reference.target else {
                return None;
            };
            if is_declared(secret) {
                return None;
            }
            let message = format!("{} wants the secret {}", name(variable), quote(secret));
            let hint = format!("give {} a value for this run with `-e`", name(variable));
            Some(Problem::at(reference.place.clone(), message).hint(hint))
        })
    }

    fn check(&self, fault: impl Fn(&Reference) -> Option<Problem>) -> Result<(), PipelineError> {
        let problems: Vec<Problem> = self.references.iter().filter_map(fault).collect();
        if problems.is_empty() {
            return Ok(());
        }
        Err(PipelineError::invalid(
            &self.file,
            Some(&self.slug),
            problems,
        ))
    }
}
