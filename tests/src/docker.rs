//! The Docker daemon that tests may use, and the images that they make for it from this
//! machine's own files.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
    ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker as Client};
use futures::StreamExt;
use rustix::fs::{FlockOperation, flock};

/// Where the daemon is looked for, unless `DOCKER_HOST` says.
const SOCKET: &str = "unix:///var/run/docker.sock";
/// What of an image tells what it was made from.
const LABEL: &str = "hm.test";
/// Seconds for any call.
const PATIENCE: u64 = 120;

/// A daemon that answers.
#[derive(Debug, Clone)]
pub struct Docker {
    host: String,
}

impl Docker {
    /// An image with the programs of busybox.
    pub const IMAGE: &str = "hm-test:busybox";
    /// The same, with an environment, a folder, a volume, and an entry point that would fail.
    pub const ODD_IMAGE: &str = "hm-test/odd_name.x:Tag-1";

    /// Finds the daemon, and makes the images if it does not have them.
    ///
    /// # Errors
    /// Why there is none, for [`cannot`](crate::cannot).
    pub fn find() -> Result<Self, String> {
        let host = std::env::var("DOCKER_HOST")
            .ok()
            .filter(|host| !host.is_empty())
            .unwrap_or_else(|| SOCKET.to_owned());
        let found = Self { host };
        // Tests run side by side, and one image is enough. Who cannot have the lock makes its own.
        let lock = File::options()
            .create(true)
            .append(true)
            .open(std::env::temp_dir().join("hm-test-docker.lock"));
        if let Ok(lock) = &lock {
            let _ = flock(lock, FlockOperation::LockExclusive);
        }
        found.call(|client| async move {
            client
                .ping()
                .await
                .map_err(|error| format!("no Docker daemon: {error}"))?;
            make(&client, Self::IMAGE, &[]).await?;
            let changes = [
                "ENV GREETING=\"from the image\"",
                "WORKDIR /srv",
                "ENTRYPOINT [\"/bin/false\"]",
                "HEALTHCHECK CMD /bin/false",
                "VOLUME /data",
            ];
            make(&client, Self::ODD_IMAGE, &changes).await
        })?;
        Ok(found)
    }

    /// Returns its address, for `DOCKER_HOST`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns everything at the daemon that belongs to a state folder.
    ///
    /// # Panics
    /// If the daemon does not answer.
    pub fn things_of(&self, state: &Path) -> BTreeSet<String> {
        let label = format!("hm.state={}", state.display());
        self.call(move |client| async move { things(&client, label).await })
            .expect("the daemon answers")
    }

    /// Calls the daemon from a thread of its own, as the caller may be in a runtime.
    fn call<T, F>(&self, work: impl FnOnce(Client) -> F + Send + 'static) -> Result<T, String>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, String>>,
    {
        let host = self.host.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| error.to_string())?;
            runtime.block_on(async {
                let client = if host.starts_with("unix://") {
                    Client::connect_with_unix(&host, PATIENCE, API_DEFAULT_VERSION)
                } else {
                    Client::connect_with_http(&host, PATIENCE, API_DEFAULT_VERSION)
                };
                let client = client.map_err(|error| format!("no Docker daemon: {error}"))?;
                let client = client
                    .negotiate_version()
                    .await
                    .map_err(|error| format!("no Docker daemon: {error}"))?;
                work(client).await
            })
        });
        thread.join().expect("the call does not panic")
    }
}

async fn things(client: &Client, label: String) -> Result<BTreeSet<String>, String> {
    let filter = HashMap::from([("label".to_owned(), vec![label])]);
    let told = |error: bollard::errors::Error| error.to_string();
    let mut all = BTreeSet::new();
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filter);
    let found = client.list_containers(Some(options.build())).await;
    all.extend(
        found
            .map_err(told)?
            .into_iter()
            .map(|found| format!("container {:?}", found.names)),
    );
    let options = ListVolumesOptionsBuilder::new().filters(&filter).build();
    let found = client.list_volumes(Some(options)).await.map_err(told)?;
    all.extend(
        found
            .volumes
            .into_iter()
            .flatten()
            .map(|found| format!("volume {}", found.name)),
    );
    let options = ListNetworksOptionsBuilder::new().filters(&filter).build();
    let found = client.list_networks(Some(options)).await.map_err(told)?;
    all.extend(
        found
            .into_iter()
            .map(|found| format!("network {:?}", found.name)),
    );
    let options = ListImagesOptionsBuilder::new().filters(&filter).build();
    let found = client.list_images(Some(options)).await.map_err(told)?;
    all.extend(
        found
            .into_iter()
            .map(|found| format!("image {:?}", found.repo_tags)),
    );
    Ok(all)
}

/// Tells an image from one of the same name that an older version of the tests made.
fn digest(files: &[u8], changes: &[&str]) -> u64 {
    let mut hash = DefaultHasher::new();
    (files, changes).hash(&mut hash);
    hash.finish()
}

/// Imports an image, unless the daemon has it.
async fn make(client: &Client, name: &str, changes: &[&str]) -> Result<(), String> {
    let files = files()?;
    let label = format!("LABEL {LABEL}={}", digest(&files, changes));
    if let Ok(found) = client.inspect_image(name).await {
        let labels = found
            .config
            .and_then(|config| config.labels)
            .unwrap_or_default();
        if labels
            .get(LABEL)
            .is_some_and(|found| label.ends_with(found.as_str()))
        {
            return Ok(());
        }
    }
    let (repository, tag) = name.rsplit_once(':').expect("a name with a tag");
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        .repo(repository)
        .tag(tag)
        .changes(
            changes
                .iter()
                .map(|change| (*change).to_owned())
                .chain([label])
                .collect(),
        )
        .build();
    let body = bollard::body_full(files.into());
    let mut news = client.create_image(Some(options), Some(body), None);
    while let Some(piece) = news.next().await {
        piece.map_err(|error| format!("the image {name} cannot be imported: {error}"))?;
    }
    Ok(())
}

/// A root file system of busybox, as an archive.
fn files() -> Result<Vec<u8>, String> {
    let program = ["/bin/busybox", "/usr/bin/busybox"]
        .iter()
        .find_map(|path| fs::read(path).ok())
        .ok_or("no busybox to make an image of: install busybox-static")?;
    let mut archive = tar::Builder::new(Vec::new());
    let told = |error: std::io::Error| error.to_string();
    let mut add = |name: &str, kind: tar::EntryType, mode: u32, data: &[u8], link: Option<&str>| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(data.len() as u64);
        match link {
            Some(link) => archive.append_link(&mut header, name, link),
            None => archive.append_data(&mut header, name, data),
        }
    };
    use tar::EntryType::{Directory, Regular, Symlink};
    for folder in [
        "bin", "dev", "etc", "home", "opt", "proc", "root", "srv", "sys", "var",
    ] {
        add(folder, Directory, 0o755, b"", None).map_err(told)?;
    }
    add("tmp", Directory, 0o1777, b"", None).map_err(told)?;
    add("var/tmp", Directory, 0o1777, b"", None).map_err(told)?;
    add(
        "etc/passwd",
        Regular,
        0o644,
        b"root:x:0:0:root:/root:/bin/sh\n",
        None,
    )
    .map_err(told)?;
    add("etc/group", Regular, 0o644, b"root:x:0:\n", None).map_err(told)?;
    add("data/image", Regular, 0o644, b"of the image\n", None).map_err(told)?;
    add("bin/busybox", Regular, 0o755, &program, None).map_err(told)?;
    let list = std::process::Command::new("busybox")
        .arg("--list")
        .output()
        .map_err(told)?;
    for applet in String::from_utf8_lossy(&list.stdout).lines() {
        if applet != "busybox" {
            add(
                &format!("bin/{applet}"),
                Symlink,
                0o777,
                b"",
                Some("busybox"),
            )
            .map_err(told)?;
        }
    }
    archive.into_inner().map_err(told)
}
