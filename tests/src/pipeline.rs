//! The sample documents, read without `hm`'s help, to compare it against them.

use std::path::PathBuf;

use serde_json::Value;

use crate::Build;
use crate::program::workspace;

/// Returns the folder of samples.
pub fn samples() -> PathBuf {
    workspace().join("tests/pipelines")
}

/// A document: an envelope's pipelines, or the only one.
#[derive(Debug)]
pub struct Document {
    /// In the document's order.
    pub pipelines: Vec<Pipeline>,
}

/// A pipeline of a document.
#[derive(Debug)]
pub struct Pipeline {
    /// None in a bare document.
    pub slug: Option<String>,
    /// Keys of the steps, in the document's order.
    pub keys: Vec<String>,
    /// Pairs of keys: the first comes before the second.
    pub edges: Vec<(String, String)>,
}

/// Reads a sample by its name.
///
/// # Panics
/// If it is not as the samples are.
pub fn document(name: &str) -> Document {
    let path = samples().join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let value: Value = serde_json::from_str(&text).expect("samples are JSON");
    let pipelines = match value["pipelines"].as_array() {
        Some(all) => all
            .iter()
            .map(|one| pipeline(one["slug"].as_str(), &one["definition"]))
            .collect(),
        None => vec![pipeline(None, &value)],
    };
    Document { pipelines }
}

fn pipeline(slug: Option<&str>, definition: &Value) -> Pipeline {
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let graph = &definition["graph"];
    let nodes = list(&graph["nodes"]);
    let keys: Vec<_> = nodes
        .iter()
        .map(|node| {
            node["step"]["key"]
                .as_str()
                .expect("steps have keys")
                .to_owned()
        })
        .collect();
    let key = |index: &Value| {
        let index =
            usize::try_from(index.as_u64().expect("edges are numbers")).expect("they are small");
        keys[index].clone()
    };
    let edges = list(&graph["edges"])
        .iter()
        .map(|edge| (key(&edge[0]), key(&edge[1])))
        .collect();
    Pipeline {
        slug: slug.map(str::to_owned),
        keys,
        edges,
    }
}

impl Pipeline {
    /// Checks that a build had these steps and no others, and that each that ran came after those
    /// that it waits for.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn assert_ran(&self, build: &Build) {
        let mut keys = self.keys.clone();
        keys.sort();
        assert_eq!(build.keys(), keys);
        for (before, after) in &self.edges {
            // What never starts may be told as soon as that is clear.
            if build.step(after).started.is_some() {
                build.assert_order(before, after);
            }
        }
    }
}
