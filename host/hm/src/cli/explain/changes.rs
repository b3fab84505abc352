//! What is different between two looks at a step's cache key.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use hm_plugin_protocol::{Cache, EdgeKind, Plan, SECRET_PREFIX, Step};

use crate::run::record::Ingredients;

/// Everything that went into the keys of a pipeline's steps at one time.
pub(super) struct View {
    plan: Plan,
    /// Index of a step by its key, and of what it builds in.
    index: HashMap<String, usize>,
    parents: HashMap<usize, usize>,
    pub(super) keys: Ingredients,
    /// Backend's name, with the digest of one that is not built in.
    pub(super) backend: String,
}

/// One ingredient that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// Which: `command`, `environment`, `image`, `file`, …
    pub(super) what: &'static str,
    /// Of which step; none if it concerns them all.
    pub(super) step: Option<String>,
    /// The variable's name, the file's path.
    pub(super) name: Option<String>,
    /// None if it was not there.
    pub(super) from: Option<String>,
    /// None if it is not there any more.
    pub(super) to: Option<String>,
}

impl View {
    pub(super) fn new(plan: Plan, keys: Ingredients, backend: &str, digest: Option<&str>) -> Self {
        let index = plan.steps.iter().enumerate();
        let index = index.map(|(at, step)| (step.key.clone(), at)).collect();
        let inherits = plan.edges.iter();
        let parents = inherits
            .filter(|edge| edge.kind == EdgeKind::BuildsIn)
            .map(|edge| (edge.after as usize, edge.before as usize))
            .collect();
        let backend = match digest {
            Some(digest) => format!("{backend} {digest}"),
            None => backend.to_owned(),
        };
        Self {
            plan,
            index,
            parents,
            keys,
            backend,
        }
    }

    /// Returns a step by its key.
    pub(super) fn step(&self, key: &str) -> Option<&Step> {
        self.index.get(key).map(|at| &self.plan.steps[*at])
    }

    /// Returns a step's position in the plan.
    pub(super) fn position(&self, key: &str) -> Option<usize> {
        self.index.get(key).copied()
    }

    /// Returns the step's key in the plan of the one that it builds in.
    fn parent(&self, key: &str) -> Option<&str> {
        let parent = self.parents.get(self.index.get(key)?)?;
        Some(&self.plan.steps[*parent].key)
    }

    /// Returns the cache key under which the step was looked up, and whether it was found.
    pub(super) fn lookup(&self, key: &str) -> Option<&(String, bool)> {
        self.keys.lookups.get(key)
    }
}

/// Returns what is different for a step, from its root down to itself.
pub(super) fn changes(before: &View, after: &View, key: &str) -> Vec<Change> {
    let mut found = Vec::new();
    if before.backend != after.backend {
        found.push(whole("backend", &before.backend, &after.backend));
    }
    if let (Some(from), Some(to)) = (&before.keys.engine, &after.keys.engine)
        && from != to
    {
        found.push(whole("engine", from, to));
    }
    let mut line = vec![key];
    while let Some(parent) = after.parent(line.last().unwrap_or(&key)) {
        line.push(parent);
    }
    for key in line.into_iter().rev() {
        made_of(before, after, key, &mut found);
    }
    author(before, after, key, &mut found);
    found
}

fn whole(what: &'static str, from: &str, to: &str) -> Change {
    Change {
        what,
        step: None,
        name: None,
        from: Some(from.to_owned()),
        to: Some(to.to_owned()),
    }
}

/// What the step's own part of the lineage is made of.
fn made_of(before: &View, after: &View, key: &str, found: &mut Vec<Change>) {
    let mut push = |what, name: Option<&str>, from: Option<String>, to: Option<String>| {
        if from != to {
            found.push(Change {
                what,
                step: Some(key.to_owned()),
                name: name.map(str::to_owned),
                from,
                to,
            });
        }
    };
    let (Some(old), Some(new)) = (before.step(key), after.step(key)) else {
        push("step", None, None, Some(key.to_owned()));
        return;
    };
    let owned = |text: &str| Some(text.to_owned());
    push("command", None, owned(&old.command), owned(&new.command));
    let names: BTreeSet<_> = old.env.keys().chain(new.env.keys()).collect();
    for name in names {
        let value = |env: &BTreeMap<String, String>| env.get(name).map(|value| shown(value));
        push("environment", Some(name), value(&old.env), value(&new.env));
    }
    let parent = |view: &View| view.parent(key).map(str::to_owned);
    push("parent", None, parent(before), parent(after));
    // The identity alone is in the key: another name for the same changes nothing.
    if let (Some(from), Some(to)) = (before.keys.images.get(key), after.keys.images.get(key))
        && from.1 != to.1
    {
        if from.0 == to.0 {
            push(
                "image contents",
                Some(&from.0),
                owned(&from.1),
                owned(&to.1),
            );
        } else {
            push("image", None, owned(&from.0), owned(&to.0));
        }
    }
}

/// What the step's author said about its reuse.
fn author(before: &View, after: &View, key: &str, found: &mut Vec<Change>) {
    let cache = |view: &View| view.step(key).and_then(|step| step.cache.clone());
    let (Some(old), Some(new)) = (cache(before), cache(after)) else {
        return;
    };
    if old.key == new.key {
        return;
    }
    let is_explained = !found.is_empty();
    let change = |what, name: Option<&str>, from, to| Change {
        what,
        step: Some(key.to_owned()),
        name: name.map(str::to_owned),
        from,
        to,
    };
    let count = found.len();
    if old.document_without_key() != new.document_without_key() {
        let text = |cache: &Cache| Some(cache.document_without_key().to_string());
        found.push(change("policy", None, text(&old), text(&new)));
    }
    if count < found.len() {
        // Another policy watches something else; comparing that tells nothing.
        return;
    }
    let none = BTreeMap::new();
    let files = |view: &View| view.keys.watched.get(key).cloned();
    let (from, to) = (files(before), files(after));
    if from.is_some() || to.is_some() {
        let (from, to) = (from.unwrap_or(none.clone()), to.unwrap_or(none));
        let paths: BTreeSet<_> = from.keys().chain(to.keys()).collect();
        for path in paths {
            let (old, new) = (from.get(path).cloned(), to.get(path).cloned());
            if old != new {
                found.push(change("file", Some(path), old, new));
            }
        }
    }
    if count < found.len() || is_explained {
        return;
    }
    // Nothing that is seen from here: the window of a `ttl`, or a key that the document gives.
    let what = if new.document.to_string().contains("\"ttl\"") {
        "time window"
    } else {
        "key"
    };
    found.push(change(what, None, old.key, new.key));
}

trait Document {
    fn document_without_key(&self) -> serde_json::Value;
}

impl Document for Cache {
    fn document_without_key(&self) -> serde_json::Value {
        let mut document = self.document.clone();
        if let Some(object) = document.as_object_mut() {
            object.remove("key");
        }
        document
    }
}

/// A variable's value, but for a secret's.
fn shown(value: &str) -> String {
    match value.strip_prefix(SECRET_PREFIX) {
        Some(name) => format!("the secret {name}"),
        None => value.to_owned(),
    }
}
