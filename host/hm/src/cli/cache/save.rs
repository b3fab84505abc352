//! `hm cache save`: to files that another machine can take over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use hm_vm::SaveTo;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::{Cache, count, repository};
use crate::cli::runs;
use crate::failure::{Exit, Failure};
use crate::run::record::{Ingredients, list};
use crate::run::{size, vm_failure};

/// Save what the last runs of this repository's pipelines found or kept, to carry it elsewhere
#[derive(clap::Args)]
pub(super) struct Args {
    /// A folder, a file `NAME.tar`, or `-` for a tar on standard output
    #[arg(value_name = "PATH")]
    to: PathBuf,
    /// Only of this pipeline; may be given more than once
    #[arg(long = "pipeline", value_name = "SLUG")]
    pipelines: Vec<String>,
    /// What any recorded run found or kept, not the last ones alone
    #[arg(long)]
    all: bool,
}

/// Saves, and tells what.
pub(super) async fn run(
    args: &Args,
    cache: &Cache,
    root: Option<&Path>,
) -> Result<String, Failure> {
    let (root, repository) = repository(cache, root).await?;
    let keys = keys_of_runs(cache, &root, args)?;
    let target = Target::open(&args.to)?;
    let keys: Vec<String> = keys.into_iter().collect();
    let saved = cache
        .subsystem
        .cache_save(&keys, &repository, target.save_to()?)
        .await
        .map_err(vm_failure)?;
    target.finish()?;
    let text = format!(
        "saved {} in {}, {}\n",
        count(saved.snapshots, "snapshot"),
        count(saved.layers, "layer"),
        size(saved.bytes)
    );
    if args.to == Path::new("-") {
        let _ = io::stderr().lock().write_all(text.as_bytes());
        return Ok(String::new());
    }
    Ok(text)
}

/// Returns the keys that the last run of each pipeline looked up, and the last that passed:
/// one that failed early has not come to all of them.
fn keys_of_runs(cache: &Cache, root: &Path, args: &Args) -> Result<BTreeSet<String>, Failure> {
    let pipelines = &args.pipelines;
    let folder = cache.subsystem.state().runs();
    let mut keys = BTreeSet::new();
    // By pipeline: whether the last run, and one that passed, have been seen.
    let mut seen: BTreeMap<String, bool> = BTreeMap::new();
    for name in list(&folder).into_iter().rev() {
        let Some(meta) = runs::read(&folder, &name) else {
            continue;
        };
        let is_wanted = pipelines.is_empty() || pipelines.contains(&meta.pipeline);
        if meta.root != root || meta.finished_at.is_none() || !is_wanted {
            continue;
        }
        let passed = meta.exit_code == Some(0);
        match seen.get_mut(&meta.pipeline) {
            Some(_) if args.all => {}
            Some(true) => continue,
            Some(_) if !passed => continue,
            Some(done) => *done = true,
            None => {
                seen.insert(meta.pipeline.clone(), passed);
            }
        }
        let text = std::fs::read(folder.join(&name).join("keys.json")).unwrap_or_default();
        if let Ok(found) = serde_json::from_slice::<Ingredients>(&text) {
            keys.extend(found.lookups.into_values().map(|(key, _)| key));
        }
    }
    if let Some(missing) = pipelines.iter().find(|name| !seen.contains_key(*name)) {
        return Err(Failure::usage(format!(
            "no run of the pipeline `{missing}` is recorded here"
        ))
        .hint("`hm runs` lists the runs there are"));
    }
    Ok(keys)
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Gives a file that has no name one, in the place of what had it before.
///
/// A file cannot be put in another's place without a name between the two, which is left if hm
/// is killed just there: it is always the same, so that the next save takes it away.
fn name(file: &File, to: &Path) -> io::Result<()> {
    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    let link = |to: &Path| rustix::fs::linkat(CWD, &open, CWD, to, AtFlags::SYMLINK_FOLLOW);
    let mut between = std::ffi::OsString::from(".");
    between.push(to.file_name().unwrap_or_default());
    between.push(".hm-new");
    let between = folder_of(to).join(between);
    let _ = std::fs::remove_file(&between);
    match link(to) {
        Err(Errno::EXIST) => {}
        done => return Ok(done?),
    }
    // Other saves at the same moment take turns with this one.
    for _ in 0..100 {
        let linked = link(&between);
        if linked != Err(Errno::EXIST) {
            linked?;
            match std::fs::rename(&between, to) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => return done,
            }
        }
        let _ = std::fs::remove_file(&between);
    }
    Err(Errno::EXIST.into())
}

/// Where it goes, and how that ends.
enum Target {
    Folder(PathBuf),
    /// A file that gets its name when it is whole: until then it has none, so that nothing
    /// is left of it however this ends.
    File(File, PathBuf),
    Stdout,
}

impl Target {
    fn open(to: &Path) -> Result<Self, Failure> {
        if to == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let is_archive = to.extension().is_some_and(|end| end == "tar");
        if !is_archive || to.is_dir() {
            return Ok(Self::Folder(to.to_owned()));
        }
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let file = rustix::fs::open(folder_of(to), flags, mode)
            .map_err(|error| Self::unwritable(to, error.into()))?;
        Ok(Self::File(File::from(file), to.to_owned()))
    }

    fn save_to(&self) -> Result<SaveTo, Failure> {
        let archive =
            |file: File| SaveTo::Archive(Box::new(BufWriter::with_capacity(256 << 10, file)));
        Ok(match self {
            Self::Folder(folder) => SaveTo::Folder(folder.clone()),
            Self::File(file, to) => archive(
                file.try_clone()
                    .map_err(|error| Self::unwritable(to, error))?,
            ),
            Self::Stdout => archive(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
        })
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Self::File(file, to) => name(&file, &to).map_err(|error| Self::unwritable(&to, error)),
            Self::Folder(_) | Self::Stdout => Ok(()),
        }
    }

    fn unwritable(to: &Path, error: io::Error) -> Failure {
        Failure::caused(
            Exit::Unavailable,
            format!("cannot write {}", to.display()),
            error,
        )
        .hint("save to a folder that can be written and has room")
    }
}
