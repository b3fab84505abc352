//! What the cache would do if the pipeline ran now.

use std::collections::{BTreeMap, HashSet};

use hm_exec::{ComponentSource, ImageMap};
use hm_vm::Progress;

use super::past::Past;
use super::{Answer, Outcome, View, changes};
use crate::failure::{Exit, Failure};
use crate::run::record::Ingredients;
use crate::run::{self, Choice, Prepared, vm_failure};
use crate::terminal::Terminal;

/// Looks at everything that a run would put into its keys, and at the keys that are kept.
pub(super) fn look(
    prepared: &Prepared,
    terminal: &Terminal,
) -> Result<(View, HashSet<String>), Failure> {
    let plan = prepared.rendered.plan.clone();
    let digest = match &prepared.choice {
        Choice::Local | Choice::Cloud(_) => None,
        Choice::Stranger(stranger) => {
            let runtime = run::runtime(&prepared.folders, &prepared.settings)?;
            let file = runtime
                .read(&ComponentSource::File(stranger.file.clone()))
                .map_err(run::load_failure)?;
            Some(file.digest())
        }
    };
    let map = ImageMap::new(prepared.settings.images());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::caused(Exit::Unavailable, "cannot start threads", error))?;
    let (engine, images, kept) = runtime.block_on(async {
        let subsystem = run::cache(
            &prepared.folders,
            &prepared.settings,
            run::EngineName::chosen(&prepared.folders, &prepared.settings),
        )?;
        let engine = subsystem.engine().clone();
        let mut images = BTreeMap::new();
        for step in &plan.steps {
            if let Some(image) = &step.image {
                let image = map.apply(image);
                // None that could be had is none that was: a change, and not an error.
                let id = engine.image_id(image, &Progress::default()).await;
                images.insert(step.key.clone(), (image.to_owned(), id.unwrap_or_default()));
            }
        }
        let kept = subsystem.cache_list().await.map_err(vm_failure);
        for warning in subsystem.warnings() {
            terminal.warn(&warning);
        }
        subsystem.settle().await;
        engine.close().await;
        let name = engine.name();
        let kept: HashSet<_> = kept?
            .into_iter()
            .filter(|entry| entry.engine == name)
            .map(|entry| entry.key)
            .collect();
        Ok::<_, Failure>((name.to_owned(), images, kept))
    })?;
    let keys = Ingredients {
        no_cache: false,
        engine: Some(engine),
        images,
        lookups: BTreeMap::new(),
        watched: hm_pipeline::watched(&plan, &prepared.root),
    };
    let view = View::new(plan, keys, prepared.choice.name(), digest.as_deref());
    Ok((view, kept))
}

/// Explains what the cache would do for a step.
pub(super) fn answer(key: &str, view: &View, past: &Past, kept: &HashSet<String>) -> Answer {
    if !view.step(key).is_some_and(|step| step.is_cacheable()) {
        return Answer::new(Outcome::NotAsked, "no cache policy");
    }
    // The key is that of a run in which all was the same.
    let same = past
        .lookups(key)
        .find(|run| changes(&run.view, view, key).is_empty());
    if let Some(run) = same
        && let Some((found, _)) = run.view.lookup(key)
    {
        return if kept.contains(found) {
            Answer::new(Outcome::Hit, "its result is kept")
        } else {
            Answer::new(Outcome::Miss, run.what_became_of(key))
        };
    }
    match past.lookups(key).next() {
        None => Answer::new(Outcome::Miss, "it has not been run before"),
        Some(before) => past.miss(key, view, before),
    }
}
