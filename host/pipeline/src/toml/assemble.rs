//! Tables to a plan: references, cycles, cache keys.

use std::collections::HashMap;

use hm_plugin_protocol::{Cache, Edge, EdgeKind, Plan, PlanGraph, Step, StepId};

use super::Head;
use super::fields::{Fields, Text};
use super::step::{Settings, StepTable};
use crate::cache_key::{KeyInputs, Keyed, Policy, cache_key};
use crate::cycle;
use crate::ir::unique_edges;
use crate::path::Path;
use crate::pipeline::{Checked, Reference, Target};
use crate::problem::Problem;
use crate::text::{name, nearest, quote};
use crate::watch::Watch;

/// Most problems of a document that get a hint with the nearest step.
const MOST_HINTED: usize = 100;

/// Makes a plan of tables in which nothing is wrong, or complains.
pub(super) fn assemble(
    fields: &mut Fields<'_>,
    slug: &str,
    head: Head,
    tables: Vec<StepTable<'_>>,
    keys: &KeyInputs<'_>,
) -> Option<Checked> {
    let links = resolve(fields, &tables);
    check_cycles(fields, &tables, &links);
    check_caches(fields, &tables, &links);
    if !fields.problems.is_empty() {
        return None;
    }
    let mut plan = Plan {
        pipeline: slug.to_owned(),
        steps: Vec::with_capacity(tables.len()),
        edges: unique_edges(links.iter().map(|link| link.edge)),
        timeout: head.timeout,
    };
    let mut references = Vec::new();
    let mut policies = Vec::with_capacity(tables.len());
    for (id, mut table) in (0..).zip(tables) {
        policies.push(table.cache.take());
        plan.steps
            .push(step(id, table, &head.settings, &mut references));
    }
    add_keys(fields, &mut plan, &policies, keys)?;
    let warnings = std::mem::take(&mut fields.warnings);
    Some(Checked {
        plan,
        warnings,
        unknown_fields: Vec::new(),
        references,
    })
}

/// An edge and the word that made it.
struct Link {
    edge: Edge,
    offset: usize,
    /// In `needs`; none for `from`.
    index: Option<usize>,
}

impl Link {
    fn report<'f>(
        &self,
        fields: &'f mut Fields<'_>,
        step: &str,
        message: String,
    ) -> &'f mut Problem {
        report(fields, step, self.index, self.offset, message)
    }
}

fn report<'f>(
    fields: &'f mut Fields<'_>,
    step: &str,
    index: Option<usize>,
    offset: usize,
    message: String,
) -> &'f mut Problem {
    let steps = Path::Root.member("steps");
    let step = steps.member(step);
    match index {
        None => fields.problem(&step.member("from"), offset, message),
        Some(index) => fields.problem(&step.member("needs").index(index), offset, message),
    }
}

fn resolve(fields: &mut Fields<'_>, tables: &[StepTable<'_>]) -> Vec<Link> {
    let ids: HashMap<&str, StepId> = (0..).zip(tables).map(|(id, t)| (t.key, id)).collect();
    let mut links = Vec::new();
    for (after, table) in (0..).zip(tables) {
        let mut link = |word: Text<'_>, index: Option<usize>| match ids.get(word.text) {
            Some(&before) => {
                let kind = if index.is_none() {
                    EdgeKind::BuildsIn
                } else {
                    EdgeKind::DependsOn
                };
                links.push(Link {
                    edge: Edge {
                        before,
                        after,
                        kind,
                    },
                    offset: word.offset,
                    index,
                });
            }
            None => {
                // Each search looks at every step; a document full of faults needs no more.
                let near = (fields.problems.len() < MOST_HINTED)
                    .then(|| nearest(word.text, tables.iter().map(|table| table.key)))
                    .flatten();
                let message = format!("there is no step {}", quote(word.text));
                let problem = report(fields, table.key, index, word.offset, message);
                problem.hint = near.map(|near| format!("did you mean {}?", quote(near)));
            }
        };
        if let Some(from) = table.from {
            link(from, None);
        }
        for (index, &word) in table.needs.iter().enumerate() {
            link(word, Some(index));
        }
    }
    links
}

fn check_cycles(fields: &mut Fields<'_>, tables: &[StepTable<'_>], links: &[Link]) {
    let edges: Vec<Edge> = links.iter().map(|link| link.edge).collect();
    for cycle in cycle::cycles(tables.len(), &edges) {
        let message = cycle::describe(&cycle, &edges, |step| Some(tables[step].key));
        let last = &links[cycle[cycle.len() - 1]];
        last.report(fields, tables[last.edge.after as usize].key, message);
    }
}

fn check_caches(fields: &mut Fields<'_>, tables: &[StepTable<'_>], links: &[Link]) {
    let cached = |table: &StepTable<'_>| {
        table
            .cache
            .as_ref()
            .is_some_and(|(policy, _)| *policy != Policy::None)
    };
    for link in links
        .iter()
        .filter(|link| link.edge.kind == EdgeKind::BuildsIn)
    {
        let (parent, child) = (
            &tables[link.edge.before as usize],
            &tables[link.edge.after as usize],
        );
        let Some((_, offset)) = child.cache.as_ref().filter(|_| cached(child)) else {
            continue;
        };
        if !cached(parent) {
            let steps = Path::Root.member("steps");
            let step = steps.member(child.key);
            let message = format!(
                "cannot be cached: it builds on {}, which has no cache",
                name(parent.key)
            );
            fields.problem(&step.member("cache"), *offset, message).hint =
                Some(format!("give {} a `cache` too", name(parent.key)));
        }
    }
}

fn step(
    id: StepId,
    table: StepTable<'_>,
    settings: &Settings,
    references: &mut Vec<Reference>,
) -> Step {
    let env = settings.env.merged(table.env);
    let runner = table.runner.or_else(|| settings.runner.clone());
    let secrets = env.secrets.into_values();
    references.extend(secrets.map(|(place, target)| Reference {
        place,
        step: id,
        target,
    }));
    references.extend(runner.iter().map(|runner| Reference {
        place: runner.place.clone(),
        step: id,
        target: Target::Runner(runner.text.clone()),
    }));
    let image = table.image.unwrap_or_else(|| settings.image.clone());
    Step {
        key: table.key.to_owned(),
        label: table.label.map(str::to_owned),
        command: table.run.unwrap_or_default().to_owned(),
        image: table.from.is_none().then_some(image),
        env: env.values,
        timeout: table.timeout,
        cache: None,
        runner: runner.map(|runner| runner.text),
        runner_args: None,
        network: table.network.or(settings.network),
    }
}

/// Fills in the cache keys, parents first.
fn add_keys(
    fields: &mut Fields<'_>,
    plan: &mut Plan,
    policies: &[Option<(Policy, usize)>],
    keys: &KeyInputs<'_>,
) -> Option<()> {
    let graph = PlanGraph::new(plan);
    let mut watch = Watch::new(keys.root);
    for id in graph.order() {
        let Some((policy, offset)) = &policies[id as usize] else {
            continue;
        };
        if *policy == Policy::None {
            continue;
        }
        let parent = graph
            .parent(id)
            .and_then(|parent| plan.steps[parent as usize].cache.as_ref());
        let step = &plan.steps[id as usize];
        let keyed = Keyed {
            pipeline: &plan.pipeline,
            step: &step.key,
            command: &step.command,
            parent: parent.and_then(|cache| cache.key.as_deref()),
            policy,
        };
        let key = cache_key(&keyed, keys, &mut watch);
        let steps = Path::Root.member("steps");
        let path = steps.member(&step.key);
        let path = path.member("cache");
        let key = match key {
            Ok(key) => key,
            Err(error) => {
                fields.problem(&path, *offset, error);
                continue;
            }
        };
        for pattern in std::mem::take(&mut watch.unmatched) {
            let place = fields.place(&path, *offset);
            let message = format!("{} matches no file", quote(&pattern));
            fields.warnings.push(Problem::at(place, message));
        }
        let mut document = policy.document();
        document["key"] = key.clone().into();
        plan.steps[id as usize].cache = Some(Cache {
            policy: policy.name().to_owned(),
            key: Some(key),
            document,
        });
    }
    fields.problems.is_empty().then_some(())
}
