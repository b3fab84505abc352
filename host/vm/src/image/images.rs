//! The way in: images by name.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use oci_client::Reference;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::assemble::assemble;
use super::failure;
use super::import::{self, ImportSource};
use super::layer::{Flavour, ImageLimits};
use super::making::Making;
use super::platform::Platform;
use super::pull::Pull;
use super::registries::Registries;
use super::store::{Collected, Image, Named, Origin, Record, Store};
use super::unpacker::{Unpacker, Working};
use crate::backend::Progress;
use crate::error::VmError;
use crate::state::StateDir;

/// How images are had.
#[derive(Debug, Clone, Default)]
pub struct ImagesConfig {
    /// How registries are reached.
    pub registries: Registries,
    /// How much an image may take.
    pub limits: ImageLimits,
}

/// Images of one state folder. Clones are handles on the same.
///
/// Calls may overlap, and dropping a call's future stops what it does.
#[derive(Clone)]
pub struct Images(Arc<Inner>);

struct Inner {
    store: Store,
    config: ImagesConfig,
    working: Working,
    /// What each name stood for when it was first asked for: one answer a process.
    resolved: Mutex<HashMap<(String, Flavour), Resolved>>,
    /// Keeps others from removing layers, once some are used.
    in_use: OnceCell<File>,
}

type Resolved = Arc<OnceCell<Arc<Image>>>;

/// An image as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedImage {
    /// `[HOST/]NAME:TAG`; none if only its digest is left.
    pub name: Option<String>,
    /// Digest of its manifest.
    pub id: String,
    /// What it was made for.
    pub platform: Platform,
    /// Number of layers.
    pub layers: u64,
    /// Disk space of its layers; shared ones count for each image.
    pub bytes: u64,
    /// How it came here; none without a name.
    pub origin: Option<Origin>,
    /// When it was last fetched or brought in, in Unix milliseconds.
    pub at: i64,
}

impl Images {
    /// Opens the images of a state folder.
    ///
    /// # Errors
    /// [`VmError::Unavailable`] where the folder cannot be written.
    pub fn open(state: &StateDir, config: ImagesConfig) -> Result<Self, VmError> {
        Ok(Self(Arc::new(Inner {
            store: Store::open(state)?,
            config,
            working: Working::default(),
            resolved: Mutex::new(HashMap::new()),
            in_use: OnceCell::new(),
        })))
    }

    /// Returns an image, fetched if it is not here. The same for the same name as long as
    /// this lives.
    ///
    /// # Errors
    /// [`VmError::ImageFetch`] with the registry's words and what to do.
    pub async fn get(
        &self,
        name: &str,
        flavour: Flavour,
        progress: &Progress,
    ) -> Result<Arc<Image>, VmError> {
        let cell = self
            .0
            .resolved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry((name.to_owned(), flavour))
            .or_default()
            .clone();
        cell.get_or_try_init(|| self.resolve(name, flavour, progress).boxed())
            .await
            .cloned()
    }

    async fn resolve(
        &self,
        name: &str,
        flavour: Flavour,
        progress: &Progress,
    ) -> Result<Arc<Image>, VmError> {
        let reference = parse(name)?;
        self.hold().await?;
        if let Some(image) = self.find(name, &reference, flavour)? {
            return Ok(Arc::new(image));
        }
        let _pulling = self.take(&reference, flavour).await?;
        if let Some(image) = self.find(name, &reference, flavour)? {
            // Another process has fetched it meanwhile.
            return Ok(Arc::new(image));
        }
        let record = self.fetch(name, &reference, flavour, progress).await?;
        self.load(&record.id, flavour)
    }

    /// Asks the registry for what a name stands for now, and fetches what is not here.
    /// Returns the image's digest, and whether the name stood for another before.
    ///
    /// # Errors
    /// As [`Images::get`].
    pub async fn pull(
        &self,
        name: &str,
        flavour: Flavour,
        progress: &Progress,
    ) -> Result<(String, bool), VmError> {
        let reference = parse(name)?;
        self.hold().await?;
        let _pulling = self.take(&reference, flavour).await?;
        let before = self.store().names()?.remove(&reference.whole());
        let record = self.fetch(name, &reference, flavour, progress).await?;
        let is_new = before.is_none_or(|named| named.id != record.id);
        Ok((record.id, is_new))
    }

    /// Brings images in from a file or folder, under a name or the names that they have
    /// there. Returns names and digests.
    ///
    /// # Errors
    /// [`VmError::ImageFetch`] with what is wrong with it.
    pub async fn import(
        &self,
        source: &ImportSource,
        name: Option<&str>,
        flavour: Flavour,
    ) -> Result<Vec<(String, String)>, VmError> {
        let name = name.map(parse).transpose()?;
        self.hold().await?;
        let imported = import::import(&self.unpacker(flavour), source, name).await?;
        let mut done = Vec::with_capacity(imported.len());
        for (name, record) in imported {
            self.store().put_record(&record)?;
            self.store()
                .set_name(&name.whole(), &record.id, Origin::Imported)
                .await?;
            done.push((familiar(&name.whole()), record.id));
        }
        Ok(done)
    }

    /// Returns an image that is here by its digest.
    ///
    /// # Errors
    /// [`VmError::Io`] if the state folder cannot be read.
    pub async fn by_id(&self, id: &str, flavour: Flavour) -> Result<Option<Arc<Image>>, VmError> {
        self.hold().await?;
        Ok(self.store().image(id, flavour)?.map(Arc::new))
    }

    /// Lists what is here, by name.
    ///
    /// # Errors
    /// [`VmError::Io`] if the state folder cannot be read.
    pub fn list(&self) -> Result<Vec<ListedImage>, VmError> {
        let records: BTreeMap<String, Record> = self
            .store()
            .records()?
            .into_iter()
            .map(|record| (record.id.clone(), record))
            .collect();
        let names = self.store().names()?;
        let listed = |name: Option<String>, record: &Record, named: Option<&Named>| ListedImage {
            name,
            id: record.id.clone(),
            platform: record.platform.clone(),
            layers: record.layers.len() as u64,
            bytes: self.store().bytes(record),
            origin: named.map(|named| named.origin),
            at: named.map_or(record.made, |named| named.at),
        };
        let mut list: Vec<ListedImage> = names
            .iter()
            .filter_map(|(name, named)| {
                let record = records.get(&named.id)?;
                Some(listed(Some(familiar(name)), record, Some(named)))
            })
            .collect();
        let is_named = |id: &String| names.values().any(|named| named.id == *id);
        let unnamed = records.values().filter(|record| !is_named(&record.id));
        list.extend(unnamed.map(|record| listed(None, record, None)));
        Ok(list)
    }

    /// Takes a name away, or every name of a digest. Returns false if there is no such.
    /// The layers go with [`Images::collect`].
    ///
    /// # Errors
    /// [`VmError::ImageFetch`] for what is no name.
    pub async fn remove(&self, name: &str) -> Result<bool, VmError> {
        let id = name.starts_with("sha256:").then(|| name.to_owned());
        let whole = match id {
            Some(_) => String::new(),
            None => parse(name)?.whole(),
        };
        let count = self
            .store()
            .change_names(|names| {
                let before = names.len();
                names.retain(|known, named| {
                    *known != whole && id.as_ref().is_none_or(|id| !named.id.starts_with(id))
                });
                before - names.len()
            })
            .await?;
        let is_unnamed = id.is_some_and(|id| {
            let records = self.store().records().unwrap_or_default();
            records.iter().any(|record| record.id.starts_with(&id))
        });
        Ok(count > 0 || is_unnamed)
    }

    /// Takes every name away whose image is not in `keep`. Returns how many went.
    ///
    /// # Errors
    /// [`VmError::Io`] if the state folder cannot be written.
    pub async fn remove_unused(&self, keep: &HashSet<String>) -> Result<u64, VmError> {
        self.store()
            .change_names(|names| {
                let before = names.len();
                names.retain(|_, named| keep.contains(&named.id));
                (before - names.len()) as u64
            })
            .await
    }

    /// Removes images without a name that are not in `keep`, and layers of no image. None
    /// while another process, or this one, uses images. Blocks.
    ///
    /// # Errors
    /// [`VmError::Io`] if the state folder cannot be written.
    pub fn collect(&self, keep: &HashSet<String>) -> Result<Option<Collected>, VmError> {
        self.store().collect(keep)
    }

    /// Removes what dead processes left half-made. Blocks.
    ///
    /// # Errors
    /// [`VmError::Io`] if the state folder cannot be written.
    pub fn reap(&self) -> Result<usize, VmError> {
        self.store().reap()
    }

    /// Waits until nothing is unpacked any more.
    pub async fn settle(&self) {
        self.0.working.settle().await;
    }

    fn store(&self) -> &Store {
        &self.0.store
    }

    fn unpacker(&self, flavour: Flavour) -> Unpacker {
        Unpacker {
            store: self.0.store.clone(),
            flavour,
            limits: self.0.config.limits,
            working: self.0.working.clone(),
        }
    }

    /// Keeps layers from being removed, until the last handle goes.
    async fn hold(&self) -> Result<(), VmError> {
        let lock = self.0.in_use.get_or_try_init(|| self.store().use_lock());
        lock.await.map(drop)
    }

    /// Waits for the right to fetch a name.
    async fn take(&self, reference: &Reference, flavour: Flavour) -> Result<Making, VmError> {
        let name = Sha256::digest(reference.whole());
        let key = format!("name-{}-{}", hex::encode(&name[..16]), flavour.name());
        Making::take(self.store(), &key).await
    }

    /// Looks for an image that is here.
    fn find(
        &self,
        asked: &str,
        reference: &Reference,
        flavour: Flavour,
    ) -> Result<Option<Image>, VmError> {
        let Some(named) = self.store().names()?.remove(&reference.whole()) else {
            return Ok(None);
        };
        let image = self.store().image(&named.id, flavour)?;
        if image.is_none() && named.origin == Origin::Imported {
            // Whoever has that name in a registry is somebody else.
            return Err(failure::fetch(
                asked,
                "it was imported, and its layers are not here any more, or were unpacked by \
                 another kind of user",
                format!("import it again: `hm image import FILE {asked}`"),
            ));
        }
        Ok(image)
    }

    async fn fetch(
        &self,
        asked: &str,
        reference: &Reference,
        flavour: Flavour,
        progress: &Progress,
    ) -> Result<Record, VmError> {
        let pull = Pull::start(asked, reference, &self.0.config.registries, progress).await?;
        let root = pull.root().await?;
        let record = assemble(&self.unpacker(flavour), &pull, root).await?;
        self.store().put_record(&record)?;
        self.store()
            .set_name(&reference.whole(), &record.id, Origin::Pulled)
            .await?;
        Ok(record)
    }

    fn load(&self, id: &str, flavour: Flavour) -> Result<Arc<Image>, VmError> {
        let image = self.store().image(id, flavour)?;
        image.map(Arc::new).ok_or_else(|| {
            VmError::Other(format!("the image {id} vanished as soon as it was here"))
        })
    }
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Images")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

/// Reads a name as Docker does: `alpine` is `docker.io/library/alpine:latest`.
pub(super) fn parse(name: &str) -> Result<Reference, VmError> {
    name.parse().map_err(|error| {
        failure::fetch(
            name,
            format!("that is no name of an image: {error}"),
            "write it as `[HOST[:PORT]/]NAME[:TAG]` or with `@sha256:…`, in small letters; \
             `host` is this machine's own file system",
        )
    })
}

/// Returns a name as people write it.
pub(super) fn familiar(whole: &str) -> String {
    let short = whole
        .strip_prefix("docker.io/library/")
        .or_else(|| whole.strip_prefix("docker.io/"));
    short.unwrap_or(whole).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_docker_reads_them() {
        for (name, whole) in [
            ("alpine", "docker.io/library/alpine:latest"),
            ("team/tool:v1", "docker.io/team/tool:v1"),
            ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"),
            ("localhost/x:2", "localhost/x:2"),
        ] {
            assert_eq!(parse(name).unwrap().whole(), whole);
        }
        assert_eq!(familiar("docker.io/library/alpine:latest"), "alpine:latest");
        assert_eq!(familiar("docker.io/team/tool:v1"), "team/tool:v1");
        assert_eq!(familiar("r.example/x:1"), "r.example/x:1");
        for name in ["", "Upper", "a b", "x:/y", "../x"] {
            let error = parse(name).unwrap_err();
            assert!(error.remedy().is_some(), "{name}");
        }
    }
}
