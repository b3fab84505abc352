//! `/workspace` of a machine, and the folders that its image declares as volumes: volumes
//! that the daemon mounts as overlays. None of them is part of a commit.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard::models::{Mount, MountType, MountVolumeOptions, VolumeCreateRequest};

use super::engine::Core;
use super::labels::fresh_name;
use super::layer::{self, Kind, Layer};
use super::source::Lowest;
use crate::error::VmError;

/// Where it is mounted.
pub(super) const FOLDER: &str = "/workspace";
/// What `mount(2)` takes of options: a page, with its terminator.
const MOST_OPTIONS: usize = 4095;

/// The volumes of one such folder of one machine.
#[derive(Debug)]
pub(super) struct Workspace {
    core: Arc<Core>,
    /// Where it is mounted.
    folder: String,
    /// What the machine writes; none once it is frozen.
    upper: Option<(String, PathBuf)>,
    /// What the kernel works in, and the overlay; none where there is nothing below the
    /// upper, which is then mounted as it is.
    overlay: Option<(String, String)>,
}

impl Workspace {
    /// Makes the volumes. Nothing is mounted before a container uses them.
    ///
    /// # Errors
    /// [`VmError::Limit`] where the kernel cannot stack that many.
    pub(super) async fn make(
        core: &Arc<Core>,
        folder: &str,
        uppers: &[Arc<Layer>],
        lowest: &Lowest,
    ) -> Result<Self, VmError> {
        let lowers: Vec<&Path> = uppers
            .iter()
            .map(|upper| upper.place.as_path())
            .chain(lowest.places.iter().map(PathBuf::as_path))
            .collect();
        if lowers.is_empty() {
            let upper = plain(core).await?;
            return Ok(Self {
                core: Arc::clone(core),
                folder: folder.to_owned(),
                upper: Some(upper),
                overlay: None,
            });
        }
        let (upper, work) = tokio::join!(plain(core), plain(core));
        // Dropped on an error below, and what was made with it.
        let mut workspace = Self {
            core: Arc::clone(core),
            folder: folder.to_owned(),
            upper: None,
            overlay: None,
        };
        if let Ok((name, _)) = &work {
            workspace.overlay = Some((name.clone(), String::new()));
        }
        workspace.upper = Some(upper?);
        let (work, work_place) = work?;
        let place = workspace.upper.iter().map(|(_, place)| place.as_path());
        let options = options(
            &lowers,
            place.collect(),
            &work_place,
            lowest.is_user_flavour,
        )?;
        let mount = fresh_name();
        create(
            core,
            &mount,
            HashMap::from([
                ("type".to_owned(), "overlay".to_owned()),
                ("device".to_owned(), "overlay".to_owned()),
                ("o".to_owned(), options),
            ]),
        )
        .await?;
        workspace.overlay = Some((work, mount));
        if let (Some(top), Some((_, upper))) = (lowers.first(), &workspace.upper) {
            adopt(top, upper);
        }
        Ok(workspace)
    }

    /// Returns the volume to mount.
    pub(super) fn volume(&self) -> &str {
        match (&self.overlay, &self.upper) {
            (Some((_, mount)), _) => mount,
            (None, Some((upper, _))) => upper,
            (None, None) => "",
        }
    }

    /// Returns how a container has it mounted. What the image holds in a declared volume
    /// is copied into its first upper; what it holds at the workspace is not the source.
    pub(super) fn mount(&self) -> Mount {
        Mount {
            target: Some(self.folder.clone()),
            source: Some(self.volume().to_owned()),
            typ: Some(MountType::VOLUME),
            volume_options: Some(MountVolumeOptions {
                no_copy: Some(self.folder == FOLDER || self.overlay.is_some()),
                ..MountVolumeOptions::default()
            }),
            ..Mount::default()
        }
    }

    /// Returns where it is mounted.
    pub(super) fn folder(&self) -> &str {
        &self.folder
    }

    /// Freezes what the machine wrote. Nothing may have it mounted any more.
    pub(super) fn freeze(&mut self) -> Option<Arc<Layer>> {
        let (name, place) = self.upper.take()?;
        let layer = Layer::live(&self.core, Kind::Volume, name, place);
        Some(Arc::new(layer.at(&self.folder)))
    }

    /// Returns the names of its volumes, the mounted one first.
    fn take_names(&mut self) -> Vec<String> {
        let (work, mount) = self.overlay.take().unwrap_or_default();
        let upper = self.upper.take().map(|(upper, _)| upper);
        [mount, work]
            .into_iter()
            .chain(upper)
            .filter(|name| !name.is_empty())
            .collect()
    }

    /// Removes the volumes; the container must be gone.
    pub(super) async fn remove(mut self) {
        remove_all(&self.core.clone(), self.take_names()).await;
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let names = self.take_names();
        if !names.is_empty() {
            let core = Arc::clone(&self.core);
            self.core
                .chores
                .begin(async move { remove_all(&core, names).await });
        }
    }
}

async fn remove_all(core: &Core, names: Vec<String>) {
    for name in names {
        if let Err(error) = layer::remove(&core.daemon, Kind::Volume, &name).await {
            tracing::debug!(name, %error, "cannot remove a volume");
        }
    }
}

/// Gives an upper's own folder, which is the one that shows, the owner and mode of the one
/// below. Not possible for who may not reach into the daemon's folders; it is then root's,
/// and all may look into it.
fn adopt(below: &Path, upper: &Path) {
    if let Ok(found) = fs::metadata(below)
        && fs::symlink_metadata(upper).is_ok_and(|upper| upper.is_dir())
    {
        let _ = chown(upper, Some(found.uid()), Some(found.gid()));
        let _ = fs::set_permissions(upper, found.permissions());
    }
}

/// Makes an empty volume; returns its name and where the daemon has it.
pub(super) async fn plain(core: &Core) -> Result<(String, PathBuf), VmError> {
    let name = fresh_name();
    let place = create(core, &name, HashMap::new()).await?;
    Ok((name, place))
}

async fn create(
    core: &Core,
    name: &str,
    options: HashMap<String, String>,
) -> Result<PathBuf, VmError> {
    let request = VolumeCreateRequest {
        name: Some(name.to_owned()),
        driver: Some("local".to_owned()),
        driver_opts: Some(options),
        labels: Some(core.labels.to_map()),
        ..VolumeCreateRequest::default()
    };
    let made = core.daemon.docker.create_volume(request).await;
    made.map(|volume| PathBuf::from(volume.mountpoint))
        .map_err(core.daemon.failed("make a volume"))
}

/// The mount's options. `volatile`, as nothing here outlives a crash of the system and the
/// disk is not waited for when a machine ends.
fn options(
    lowers: &[&Path],
    upper: Vec<&Path>,
    work: &Path,
    is_user_flavour: bool,
) -> Result<String, VmError> {
    let mut text = "lowerdir=".to_owned();
    for (index, lower) in lowers.iter().enumerate() {
        if index > 0 {
            text.push(':');
        }
        text += &escaped(lower)?;
    }
    for upper in upper {
        text += &format!(",upperdir={}", escaped(upper)?);
    }
    text += &format!(",workdir={},volatile", escaped(work)?);
    if is_user_flavour {
        text += ",userxattr";
    }
    if text.len() > MOST_OPTIONS {
        return Err(VmError::Limit(format!(
            "this machine would stack {} folders in /workspace, more than the docker engine can name \
             in one mount: the chain of steps whose results are kept or shared is too long; the \
             sandbox engine takes longer ones (`--engine sandbox`)",
            lowers.len()
        )));
    }
    Ok(text)
}

/// A path as the kernel takes it among others: `\`, `:` and `,` stand for themselves only
/// behind a `\`.
fn escaped(path: &Path) -> Result<String, VmError> {
    let text = path.to_str().ok_or_else(|| {
        VmError::Other(format!(
            "docker cannot mount {}: its name is not UTF-8",
            path.display()
        ))
    })?;
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '\\' | ':' | ',') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    Ok(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_name_everything_and_their_length_is_bounded() {
        let (upper, work) = (Path::new("/u"), Path::new("/w"));
        let lowers = [Path::new("/a"), Path::new("/b:c,d")];
        assert_eq!(
            options(&lowers, vec![upper], work, true).unwrap(),
            "lowerdir=/a:/b\\:c\\,d,upperdir=/u,workdir=/w,volatile,userxattr"
        );
        let many = vec![Path::new("/var/lib/docker/volumes/hm-0123/_data"); 110];
        let error = options(&many, vec![upper], work, false).unwrap_err();
        assert!(matches!(error, VmError::Limit(_)), "{error}");
    }
}
