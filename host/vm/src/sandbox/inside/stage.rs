//! What all machines of one spawner share, built once in the spawner's own mount
//! namespace. A machine's namespace starts as a copy of it.
//!
//! ```text
//! STAGE/            a tmpfs
//!   mask/           what hides (mask.rs)
//!   state/          the state folder, with the ids of machines (ids.rs)
//!   below/          the host's root, likewise
//!   caches/N        the host's caches, likewise
//!   outside/N       layers that lie elsewhere, likewise; each machine's own
//!   host/           lowest layer of machines on the host's file system
//!   image/          what machines of images find there besides (image.rs)
//!   bound/N         host folders that lie over it, read-only
//!   lent/N          `[host] expose`
//!   dev/            device nodes
//!   empty, void/    cover a file, a folder
//!   resolv.conf     for machines whose names are resolved by what carries their packets
//!   root/           where a machine assembles its root
//! ```

use std::ffi::CString;
use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags};
use rustix::mount::MountFlags;

use super::ids::{IdMap, root_outside};
use super::image;
use super::mask::{Mask, is_seen};
use super::mounts::{READ_ONLY, attach, bind, clone_tree, mount_new, mount_setattr};
use super::overlay::{Overlay, mount_overlay};
use super::routes;
use super::seccomp::Filter;
use crate::sandbox::caches;
use crate::sandbox::failure::{Failure, failed};
use crate::sandbox::wire::Setup;

/// Names of files that hold credentials wherever they lie; covered in lent folders.
const CREDENTIALS: [&str; 9] = [
    "credentials",
    "credentials.toml",
    "credentials.json",
    ".credentials",
    ".git-credentials",
    ".netrc",
    ".npmrc",
    ".pypirc",
    "auth.json",
];

/// Host folders that lie, read-only, over the lowest layer where the host's root cannot
/// be a layer itself.
const BOUND: [&str; 12] = [
    "usr", "etc", "opt", "srv", "nix", "var/lib", "bin", "sbin", "lib", "lib32", "lib64", "libx32",
];

/// The prepared stage.
pub(super) struct Stage {
    pub(super) path: PathBuf,
    pub(super) user_namespace: bool,
    /// Whether host folders are bound rather than a layer.
    pub(super) bound: bool,
    /// From where on the stage to where in a machine, in order.
    pub(super) lent: Vec<(PathBuf, PathBuf)>,
    pub(super) exposed: Vec<PathBuf>,
    /// Those that machines write to, in layers of their own: where the host's lies for
    /// mounts, and its path.
    pub(super) caches: Vec<(PathBuf, PathBuf)>,
    /// Others, which are part of the host's layer, so that machines need no more for them.
    shown: Vec<PathBuf>,
    /// The ids of machines, where they are not the host's.
    pub(super) ids: Option<IdMap>,
    /// The state folder, in which layers lie.
    state: PathBuf,
    /// The host's own addresses.
    pub(super) addresses: Vec<Ipv4Addr>,
    /// Whether a process id namespace has a bound of its own.
    pub(super) pid_limit: bool,
    /// Of machines of images.
    pub(super) network_files: image::NetworkFiles,
    pub(super) filter: Filter,
}

impl Stage {
    /// Builds the stage. The calling process must have a mount namespace of its own.
    pub(super) fn build(
        setup: &Setup,
        user_namespace: bool,
        ids: Option<IdMap>,
    ) -> Result<Self, Failure> {
        let path = setup.stage.clone();
        mount_new("tmpfs", &path, MountFlags::NOSUID, c"mode=755")?;
        for folder in [
            "mask", "host", "bound", "lent", "caches", "outside", "dev", "void", "root",
        ] {
            make(&path.join(folder))?;
        }
        fs::write(path.join("empty"), b"").map_err(failed("cannot write", &path))?;
        let resolver = format!("nameserver {}\n", routes::RESOLVER);
        fs::write(path.join("resolv.conf"), resolver).map_err(failed("cannot write", &path))?;
        let exposed: Vec<PathBuf> = setup
            .exposed
            .iter()
            .filter(|folder| folder.is_dir())
            .cloned()
            .collect();
        let mut stage = Self {
            path,
            user_namespace,
            bound: false,
            lent: Vec::new(),
            exposed,
            caches: Vec::new(),
            shown: Vec::new(),
            ids,
            state: setup.state.clone(),
            addresses: routes::own_addresses(),
            pid_limit: has_pid_limit(),
            network_files: Vec::new(),
            filter: Filter::compile(),
        };
        let is_layered = !user_namespace && !is_overlay()?;
        if is_layered {
            let shown = stage.exposed.iter().filter(|folder| can_show(folder));
            stage.shown = shown.cloned().collect();
        }
        let mask = stage.path.join("mask");
        Mask {
            root: &mask,
            user_attributes: user_namespace,
            ids: stage.ids.as_ref(),
            shown: &stage.shown,
        }
        .build(&stage.exposed, &setup.hidden)?;
        stage.map_ids()?;
        if is_layered {
            stage.layer_host()?;
            stage.lend_other_mounts(&setup.hidden)?;
        } else if stage.ids.is_some() {
            return Err(Failure {
                cause: "the root file system is an overlay, which takes no id-mapped mounts"
                    .to_owned(),
                errno: None,
                remedy: None,
            });
        } else {
            stage.bound = true;
            stage.bind_host(&mask)?;
        }
        stage.build_dev()?;
        stage.network_files = image::build(&stage.path, stage.ids.as_ref())?;
        stage.lend_exposed()?;
        Ok(stage)
    }

    /// Lays the mask over the host's root.
    fn layer_host(&self) -> Result<(), Failure> {
        let below = self.path.join("below");
        let root = match &self.ids {
            Some(ids) => {
                ids.show(Path::new("/"), &below)?;
                below
            }
            None => PathBuf::from("/"),
        };
        let overlay = mount_overlay(&Overlay {
            lower: &[self.path.join("mask"), root],
            upper: None,
            user_attributes: false,
            redirects: true,
        })?;
        attach(&overlay, &self.path.join("host"))
    }

    /// Shows the state folder with the ids of machines, and finds out whether overlays
    /// take layers from there.
    fn map_ids(&self) -> Result<(), Failure> {
        let Some(ids) = &self.ids else {
            return Ok(());
        };
        ids.show(&self.state, &self.path.join("state"))?;
        let void = self.path.join("void");
        ids.give(&void, 0, 0)
            .map_err(failed("cannot give away", &void))?;
        let trial = self.path.with_file_name("trial");
        let (upper, work) = (trial.join("upper"), trial.join("work"));
        let tried = make(&upper)
            .and_then(|()| make(&work))
            .and_then(|()| self.overlay(&[void], &upper, &work))
            .and_then(|_overlay| {
                let kernels = work.join("work");
                let made = fs::metadata(&kernels).map_err(failed("cannot examine", &kernels))?;
                match made.uid() {
                    0 => Ok(()),
                    uid => Err(Failure {
                        cause: format!("overlays give what they make to user {uid}"),
                        errno: None,
                        remedy: None,
                    }),
                }
            });
        // Only what this function has made, the kernel's own folder in it included.
        let _ = fs::remove_dir_all(&trial);
        tried
    }

    /// Makes an overlay for a machine, over layers by their paths on the host.
    pub(super) fn overlay(
        &self,
        lower: &[PathBuf],
        upper: &Path,
        work: &Path,
    ) -> Result<OwnedFd, Failure> {
        let lower: Vec<PathBuf> = lower.iter().map(|layer| self.place(layer)).collect();
        let _owner = self.ids.as_ref().map(IdMap::as_owner);
        mount_overlay(&Overlay {
            lower: &lower,
            upper: Some((&self.place(upper), &self.place(work))),
            user_attributes: self.user_namespace,
            redirects: false,
        })
    }

    /// Returns where a layer is to be mounted from.
    pub(super) fn place(&self, layer: &Path) -> PathBuf {
        match (&self.ids, layer.strip_prefix(&self.state)) {
            // The stage itself lies below the state folder, and is not part of that mount.
            (Some(_), Ok(relative)) if !layer.starts_with(&self.path) => {
                self.path.join("state").join(relative)
            }
            _ => layer.to_owned(),
        }
    }

    /// Shows layers that do not lie in the state folder with the ids of machines; in the
    /// calling process's own mount namespace.
    pub(super) fn show_outside(&self, layers: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
        let Some(ids) = &self.ids else {
            return Ok(layers.to_vec());
        };
        let shown = layers.iter().enumerate().map(|(index, layer)| {
            if layer.starts_with(&self.state) {
                return Ok(layer.clone());
            }
            let at = self.path.join("outside").join(index.to_string());
            ids.show(layer, &at)?;
            Ok(at)
        });
        shown.collect()
    }

    /// Returns mount options that give a folder of the kernel's to root inside.
    pub(super) fn owned(&self, options: &str) -> CString {
        let root = root_outside(self.ids.is_some());
        let text = match root {
            0 => options.to_owned(),
            root => format!("{options},uid={root},gid={root}"),
        };
        // No option holds a NUL.
        CString::new(text).unwrap_or_default()
    }

    /// Lends a host folder, read-only, with the ids of machines where its file system
    /// takes that; elsewhere its owners are nobody inside, and modes decide.
    fn lend(&self, from: &Path, slot: &Path, attributes: u64) -> Result<(), Failure> {
        if let Some(ids) = &self.ids {
            let mapped = ids
                .clone_tree_mapped(from, attributes)
                .or_else(|_| ids.clone_mapped(from, attributes));
            if let Ok(tree) = mapped {
                return attach(tree, slot);
            }
        }
        bind(from, slot, attributes)
    }

    /// Makes the lowest layer of folders and links alone, and lends the host's folders
    /// over it.
    fn bind_host(&mut self, mask: &Path) -> Result<(), Failure> {
        let host = self.path.join("host");
        for (name, mode) in [
            ("boot", 0o755),
            ("dev", 0o755),
            ("home", 0o755),
            ("media", 0o755),
            ("mnt", 0o755),
            ("proc", 0o555),
            ("root", 0o700),
            ("run", 0o755),
            ("sys", 0o555),
            ("tmp", 0o1777),
            ("workspace", 0o755),
            ("var", 0o755),
            ("var/cache", 0o755),
            ("var/log", 0o755),
            ("var/spool", 0o755),
            ("var/tmp", 0o1777),
        ] {
            make(&host.join(name))?;
            fs::set_permissions(host.join(name), fs::Permissions::from_mode(mode))
                .map_err(failed("cannot set the mode of", host.join(name)))?;
        }
        for (name, target) in [("var/run", "/run"), ("var/lock", "/run/lock")] {
            symlink(target, host.join(name)).map_err(failed("cannot link", name))?;
        }
        for name in BOUND {
            self.bind_host_folder(name, mask, &host)?;
        }
        for folder in self.exposed.clone() {
            let relative = folder.strip_prefix("/").unwrap_or(&folder);
            if !is_seen(relative) {
                fs::create_dir_all(host.join(relative)).map_err(failed("cannot make", &folder))?;
            }
        }
        Ok(())
    }

    fn bind_host_folder(&mut self, name: &str, mask: &Path, host: &Path) -> Result<(), Failure> {
        let source = Path::new("/").join(name);
        let Ok(found) = fs::symlink_metadata(&source) else {
            return Ok(());
        };
        if found.is_symlink() {
            let target = fs::read_link(&source).map_err(failed("cannot read the link", &source))?;
            return symlink(target, host.join(name)).map_err(failed("cannot link", &source));
        }
        make(&host.join(name))?;
        let slot = self.path.join("bound").join(name.replace('/', "-"));
        make(&slot)?;
        let masked = mask.join(name);
        let lower = [masked.clone(), source.clone()];
        let overlay = Overlay {
            lower: &lower,
            upper: None,
            user_attributes: self.user_namespace,
            redirects: false,
        };
        match masked.is_dir().then(|| mount_overlay(&overlay)) {
            Some(Ok(overlay)) => attach(&overlay, &slot)?,
            // Nothing to hide, or mounts below that cannot be parted from it.
            _ => bind(&source, &slot, READ_ONLY)?,
        }
        self.lent.push((slot, source));
        Ok(())
    }

    /// Lends other file systems that are mounted below what machines see: a layer does
    /// not reach into them.
    fn lend_other_mounts(&mut self, hidden: &[PathBuf]) -> Result<(), Failure> {
        let table = fs::read_to_string("/proc/self/mountinfo")
            .map_err(failed("cannot read", "/proc/self/mountinfo"))?;
        let mut found: Vec<PathBuf> = table
            .lines()
            .filter_map(|line| line.split(' ').nth(4))
            .filter(|path| !path.contains('\\'))
            .map(PathBuf::from)
            .filter(|path| path.strip_prefix("/").is_ok_and(is_seen) && path.is_dir())
            .filter(|path| !hidden.iter().any(|folder| path.starts_with(folder)))
            .filter(|path| {
                self.path
                    .join("host")
                    .join(path.strip_prefix("/").unwrap_or(path))
                    .is_dir()
            })
            .collect();
        found.sort();
        found.dedup();
        let mut last: Option<PathBuf> = None;
        for path in found {
            if last.as_ref().is_some_and(|above| path.starts_with(above)) {
                continue;
            }
            let slot = self.path.join("bound").join(self.lent.len().to_string());
            make(&slot)?;
            self.lend(&path, &slot, READ_ONLY)?;
            self.lent.push((slot, path.clone()));
            last = Some(path);
        }
        Ok(())
    }

    fn lend_exposed(&mut self) -> Result<(), Failure> {
        for (index, folder) in self.exposed.clone().into_iter().enumerate() {
            if self.shown.contains(&folder) {
                continue;
            }
            if caches::is_cache(&folder) {
                let at = self.path.join("caches").join(index.to_string());
                let shown = self.ids.as_ref().map(|ids| ids.show(&folder, &at));
                let lowest = match shown {
                    Some(Ok(())) => at,
                    _ => folder.clone(),
                };
                self.caches.push((lowest, folder));
                continue;
            }
            let slot = self.path.join("lent").join(index.to_string());
            make(&slot)?;
            self.lend(&folder, &slot, READ_ONLY | libc::MOUNT_ATTR_NODEV)?;
            for name in CREDENTIALS {
                let file = slot.join(name);
                if file.exists() {
                    let cover = if file.is_dir() { "void" } else { "empty" };
                    bind(&self.path.join(cover), &file, READ_ONLY)?;
                }
            }
            self.lent.push((slot, folder));
        }
        Ok(())
    }

    fn build_dev(&self) -> Result<(), Failure> {
        let dev = self.path.join("dev");
        mount_new(
            "tmpfs",
            &dev,
            MountFlags::NOSUID | MountFlags::NOEXEC,
            &self.owned("mode=755,size=64k"),
        )?;
        for name in ["null", "zero", "full", "random", "urandom", "tty"] {
            let node = dev.join(name);
            fs::write(&node, b"").map_err(failed("cannot make", &node))?;
            let tree = clone_tree(&Path::new("/dev").join(name))?;
            attach(&tree, &node)?;
        }
        for (name, target) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("ptmx", "pts/ptmx"),
        ] {
            symlink(target, dev.join(name)).map_err(failed("cannot link", dev.join(name)))?;
        }
        for name in ["shm", "pts", "mqueue"] {
            make(&dev.join(name))?;
        }
        let tree = clone_tree(&dev)?;
        // Only the folder itself: a device on a read-only mount can still be written to.
        mount_setattr(tree.as_fd(), READ_ONLY | libc::MOUNT_ATTR_NOEXEC, None)
            .map_err(failed("cannot protect", &dev))?;
        attach(&tree, &dev)
    }
}

/// Whether the root is itself an overlay, so that machines would stack too deep.
fn is_overlay() -> Result<bool, Failure> {
    const OVERLAYFS: u64 = 0x794c_7630;
    let kind = rustix::fs::statfs("/").map_err(failed("cannot examine", "/"))?;
    Ok(kind.f_type as u64 == OVERLAYFS)
}

/// Whether a lent folder can be part of the host's layer: a cache, as that may be written
/// to, on the root's own mount, and under its own name.
fn can_show(folder: &Path) -> bool {
    let mount = |path: &Path| {
        rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MNT_ID)
            .map(|found| found.stx_mnt_id)
    };
    caches::is_cache(folder)
        && matches!((mount(folder), mount(Path::new("/"))), (Ok(one), Ok(other)) if one == other)
        && folder.canonicalize().is_ok_and(|real| real == folder)
}

fn make(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(failed("cannot make", path))
}

/// Since kernel 6.14 `pid_max` belongs to the namespace.
fn has_pid_limit() -> bool {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release
        .split(|letter: char| !letter.is_ascii_digit())
        .map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(14))
}
