//! One freeze, from the walk to the layers.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::changes::{self, Changes};
use super::copy::same_content;
use super::frozen::FrozenSource;
use super::layer::{self, Places, Plan, WORKSPACE, Written};
use super::manifest::{Kind, Layer, Manifest};
use super::options::FreezeOptions;
use super::stats::LeftOut;
use super::store::Store;
use super::walk::{Tree, open_root, walk};
use crate::error::VmError;
use crate::state::{StateDir, io_error};

/// Deltas on a base before they are put together into a new one.
const MAX_DELTAS: usize = 16;

/// A new base is due when deltas hold more than one part in this many of the tree's
/// bytes.
const MAX_DELTA_SHARE: u64 = 4;

/// Walks before a tree is said to change all the time.
const WALKS: usize = 3;

/// Threads that walk and copy: beyond four the disk is what is waited for.
const MAX_THREADS: usize = 4;

/// Freezes the source tree under `root` as it is now. Blocks: milliseconds if little has
/// changed since the last time, as long as a copy takes if this is the first.
///
/// In it are all files, links and folders, with permissions and times, but `.hm`, `.git`
/// unless asked for, what ignore files leave out (`.gitignore`, also without a
/// repository, `.ignore`, `.hmignore`), and what is neither file, folder nor link.
/// Two processes may freeze one tree at a time; the second waits, then finds it done.
///
/// # Errors
/// [`VmError::Io`] with the path that could not be read or written; [`VmError::Other`] if
/// a file changes all the time; [`VmError::Unavailable`] if the state folder's disk is
/// full.
pub fn freeze(
    state: &StateDir,
    root: &Path,
    options: &FreezeOptions,
) -> Result<FrozenSource, VmError> {
    let root = root
        .canonicalize()
        .map_err(io_error("cannot find the source tree", root))?;
    let root_fd = open_root(&root).map_err(io_error("cannot read the source tree", &root))?;
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads.min(MAX_THREADS))
        .thread_name(|index| format!("hm-source-{index}"))
        .build()
        .map_err(|error| VmError::Other(format!("cannot start threads: {error}")))?;
    let freeze = Freeze {
        store: Store::open(state, &root, options)?,
        root,
        root_fd,
        options: *options,
        boot: boot(),
        state,
    };
    pool.install(|| freeze.run())
}

struct Freeze<'a> {
    store: Store,
    root: PathBuf,
    root_fd: OwnedFd,
    options: FreezeOptions,
    boot: Uuid,
    state: &'a StateDir,
}

/// What came of one walk.
enum Outcome {
    Frozen(Manifest),
    /// This became something else under way.
    Moved(PathBuf),
}

impl Freeze<'_> {
    fn run(&self) -> Result<FrozenSource, VmError> {
        let mut old = None;
        let mut moved = PathBuf::new();
        for attempt in 0..WALKS {
            let (tree, manifest) = rayon::join(
                || walk(&self.root, &self.root_fd, &self.options),
                || (attempt == 0).then(|| self.store.manifest(self.boot)),
            );
            if let Some(manifest) = manifest {
                old = manifest;
            }
            let mut tree = tree?;
            match self.layers(old.as_ref(), &mut tree)? {
                Outcome::Frozen(manifest) => return self.commit(old.as_ref(), tree, manifest),
                Outcome::Moved(path) => moved = path,
            }
        }
        Err(VmError::Other(format!(
            "{} changed during the snapshot of the source, three times in a row; stop what \
             writes to it, or list it in .hmignore",
            moved.display()
        )))
    }

    /// Writes the layer that is needed, if one is.
    fn layers(&self, old: Option<&Manifest>, tree: &mut Tree) -> Result<Outcome, VmError> {
        let Some(old) = old else {
            let changes = Changes::all(&tree.entries);
            return self.write_base(None, tree, &changes);
        };
        let changes = self.compare(old, tree);
        tree.stats.removed = changes.removed;
        if changes.is_empty() {
            return Ok(Outcome::Frozen(Manifest {
                layers: old.layers.clone(),
                entries: std::mem::take(&mut tree.entries),
            }));
        }
        if !is_full(old, tree, &changes)
            && let Some(outcome) = self.write_delta(old, tree, &changes)?
        {
            return Ok(outcome);
        }
        self.write_base(Some(old), tree, &changes)
    }

    fn compare(&self, old: &Manifest, tree: &mut Tree) -> Changes {
        let open: Vec<(u32, OwnedFd)> = old
            .layers
            .iter()
            .filter_map(|layer| {
                let folder = open_root(&self.store.layer(layer).join(WORKSPACE)).ok()?;
                Some((layer.number, folder))
            })
            .collect();
        changes::compare(old, &mut tree.entries, |before, now| {
            open.iter()
                .find(|(number, _)| *number == before.layer)
                .is_some_and(|(_, folder)| same_content(&self.root_fd, now, folder))
        })
    }

    /// Writes what has changed. None if the file system cannot hold such a layer.
    fn write_delta(
        &self,
        old: &Manifest,
        tree: &mut Tree,
        changes: &Changes,
    ) -> Result<Option<Outcome>, VmError> {
        let touched = changes.copies.iter().chain(&changes.folders);
        let paths = touched.map(|index| tree.entries[*index].path.as_slice());
        let hidden = changes.whiteouts.iter().map(Vec::as_slice);
        let mut folders = layer::folders_around(&tree.entries, paths.chain(hidden));
        folders.extend(&changes.folders);
        folders.sort_unstable();
        folders.dedup();
        let plan = Plan {
            folders,
            opaque: changes.opaque.clone(),
            copies: changes.copies.clone(),
            links: Vec::new(),
            whiteouts: changes.whiteouts.clone(),
            old: Some(old),
            number: next_number(Some(old)),
            flavour: self.options.flavour,
        };
        self.write(&plan, Some(old), tree)
    }

    /// Writes a layer that needs no other: what has not changed is taken from the layers
    /// that hold it.
    fn write_base(
        &self,
        old: Option<&Manifest>,
        tree: &mut Tree,
        changes: &Changes,
    ) -> Result<Outcome, VmError> {
        let mut changed = vec![false; tree.entries.len()];
        for index in &changes.copies {
            changed[*index] = true;
        }
        let is_folder = |index: &usize| tree.entries[*index].kind == Kind::Directory;
        let (folders, files): (Vec<usize>, Vec<usize>) =
            (0..tree.entries.len()).partition(is_folder);
        let plan = Plan {
            // The root hides what an image has at the same place.
            opaque: vec![0],
            links: files.into_iter().filter(|index| !changed[*index]).collect(),
            folders,
            copies: changes.copies.clone(),
            whiteouts: Vec::new(),
            old: None,
            number: next_number(old),
            flavour: self.options.flavour,
        };
        let written = self.write(&plan, old, tree)?;
        written.ok_or_else(|| VmError::Other("a base layer needs no whiteouts".to_owned()))
    }

    fn write(
        &self,
        plan: &Plan<'_>,
        old: Option<&Manifest>,
        tree: &mut Tree,
    ) -> Result<Option<Outcome>, VmError> {
        let (name, target) = self.store.new_layer();
        let by_number = |number| Some(self.store.layer(old?.layer(number)?));
        let places = Places {
            root: &self.root,
            root_fd: &self.root_fd,
            target: &target,
            layer: &by_number,
        };
        let written = layer::write(plan, &places, &mut tree.entries);
        let dropped = match written {
            Ok(Written::Done(dropped)) => dropped,
            other => {
                self.state.discard(&target)?;
                return match other? {
                    Written::Moved(path) => Ok(Some(Outcome::Moved(path))),
                    Written::Done(_) | Written::NoWhiteouts => Ok(None),
                };
            }
        };
        self.store.add_layer(&target, &name)?;
        let mut bytes = 0;
        for index in &plan.copies {
            bytes += tree.entries[*index].size;
        }
        tree.stats.copied_files = plan.copies.len() as u64;
        tree.stats.copied_bytes = bytes;
        drop_entries(tree, dropped);
        let mut layers = vec![Layer {
            number: plan.number,
            name,
            bytes,
        }];
        layers.extend(plan.old.iter().flat_map(|old| old.layers.iter().cloned()));
        Ok(Some(Outcome::Frozen(Manifest {
            layers,
            entries: std::mem::take(&mut tree.entries),
        })))
    }

    /// Makes the result last, and pins it before anyone else can have the store.
    fn commit(
        &self,
        old: Option<&Manifest>,
        tree: Tree,
        manifest: Manifest,
    ) -> Result<FrozenSource, VmError> {
        if old != Some(&manifest) {
            self.store.write_manifest(self.boot, &manifest)?;
        }
        let leases = self.store.lease(&manifest)?;
        if old.is_none_or(|old| old.layers != manifest.layers) {
            self.store.discard_unused(Some(&manifest))?;
        }
        let layers = manifest
            .layers
            .iter()
            .map(|layer| self.store.layer(layer))
            .collect();
        let mut stats = tree.stats;
        stats.count(&manifest.entries);
        Ok(FrozenSource::new(layers, stats, manifest, leases))
    }
}

/// Takes entries out that could not be copied after all.
fn drop_entries(tree: &mut Tree, mut dropped: Vec<(usize, bool)>) {
    dropped.sort_unstable();
    for (index, unreadable) in dropped.into_iter().rev() {
        let entry = tree.entries.remove(index);
        if unreadable {
            tree.stats.leave_out(LeftOut::Unreadable, &entry.path);
        }
    }
}

/// Whether the deltas have become too many or too large for another one.
fn is_full(old: &Manifest, tree: &Tree, changes: &Changes) -> bool {
    let deltas = old
        .layers
        .split_last()
        .map_or(&[][..], |(_base, deltas)| deltas);
    let delta_bytes: u64 = deltas.iter().map(|layer| layer.bytes).sum();
    let total: u64 = tree
        .entries
        .iter()
        .filter(|entry| entry.kind == Kind::File)
        .map(|entry| entry.size)
        .sum();
    deltas.len() >= MAX_DELTAS || (delta_bytes + changes.bytes) * MAX_DELTA_SHARE > total
}

fn next_number(old: Option<&Manifest>) -> u32 {
    old.and_then(|old| old.layers.iter().map(|layer| layer.number).max())
        .map_or(0, |number| number.wrapping_add(1))
}

/// Returns the identity of this boot; nil if the system does not tell.
fn boot() -> Uuid {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .and_then(|id| Uuid::parse_str(id.trim()).ok())
        .unwrap_or_default()
}
