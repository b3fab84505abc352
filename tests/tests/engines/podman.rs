//! Podman's service, which speaks the daemon's interface in its own way.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use hm_tests::{Project, cannot};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Time that the service gets to begin.
const BEGIN: Duration = Duration::from_secs(30);
const IMAGE: &str = "localhost/hm-test:podman";

/// A service with storage of its own, which ends with this.
struct Podman {
    service: Option<Child>,
    folder: TempDir,
}

impl Podman {
    /// Starts the service and gives it an image, or says that a test cannot run here.
    fn start(test: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            cannot(test, "Podman's service is started by root alone");
            return None;
        }
        if Command::new("podman").arg("--version").output().is_err() {
            cannot(test, "there is no Podman (package podman)");
            return None;
        }
        let files = hm_tests::image::busybox(test)?.finish();
        let folder = tempfile::tempdir().expect("a temporary folder");
        // What containers may open is more than this process may give away, unless told; and who
        // watched a command would stay for five minutes.
        let config = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
             [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nexit_command_delay = 1\n";
        fs::write(folder.path().join("containers.conf"), config).expect("a folder of our own");
        fs::write(folder.path().join("files.tar"), files).expect("a folder of our own");
        let mut podman = Self {
            service: None,
            folder,
        };
        let archive = podman.path("files.tar").display().to_string();
        podman.told(&["import", &archive, IMAGE]);
        let mut service = podman.command(&["system", "service", "--time", "0", &podman.host()]);
        service.stdout(Stdio::null()).stderr(Stdio::null());
        podman.service = Some(service.spawn().expect("it was there a moment ago"));
        let begun = Instant::now();
        while UnixStream::connect(podman.path("podman.sock")).is_err() {
            assert!(begun.elapsed() < BEGIN, "Podman's service does not begin");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(podman)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn host(&self) -> String {
        format!("unix://{}", self.path("podman.sock").display())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command
            .env("CONTAINERS_CONF", self.path("containers.conf"))
            .arg("--root")
            .arg(self.path("root"))
            .arg("--runroot")
            .arg(self.path("run"))
            .args(["--storage-driver", "vfs"]);
        // The other one refuses to run where control groups are of both versions.
        if Command::new("runc").arg("--version").output().is_ok() {
            command.args(["--runtime", "runc"]);
        }
        command.args(args).stdin(Stdio::null());
        command
    }

    /// Returns what Podman itself says.
    #[track_caller]
    fn told(&self, args: &[&str]) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(args).output().expect("it starts");
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "podman {args:?}: {stderr}");
        String::from_utf8_lossy(&stdout).into_owned()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        if let Some(service) = &mut self.service {
            if let Some(pid) = Pid::from_raw(service.id().cast_signed()) {
                let _ = kill_process(pid, Signal::TERM);
            }
            let _ = service.wait();
        }
        // Its storage stays mounted where it lies.
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mounts = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for mount in
            mounts.filter(|mount| mount.starts_with(&*self.folder.path().to_string_lossy()))
        {
            let _ = rustix::mount::unmount(mount, rustix::mount::UnmountFlags::DETACH);
        }
    }
}

#[test]
fn chains_forks_and_the_cache_work_on_podmans_service_and_nothing_is_left() {
    let Some(podman) = Podman::start("Podman's service") else {
        return;
    };
    let text = format!(
        "image = \"{IMAGE}\"\n[env]\nGREETING = \"hello\"\n\
         [steps.a]\nrun = \"echo one > one; echo t > /tmp/t; echo $GREETING; cat file\"\ncache = \"forever\"\n\
         [steps.b]\nfrom = \"a\"\nrun = \"cat one /tmp/t; echo two > two; echo apart >&2; (sleep 60 &)\"\n\
         [steps.c]\nfrom = \"b\"\nrun = \"ls; hostname; id -u\"\n\
         [steps.d]\nfrom = \"a\"\nrun = \"ls; sleep 60\"\ntimeout = \"1s\""
    );
    let project = Project::toml(&text)
        .file("file", "source\n")
        .env_for_all("DOCKER_HOST", podman.host());
    for is_cached in [false, true] {
        let finished = project.run().args(["--engine", "docker"]).run().expect(1);
        let build = finished.build();
        assert_eq!(build.step("a").is_cached, is_cached);
        if !is_cached {
            assert_eq!(build.step("a").stdout(), ["hello", "source"]);
        }
        assert_eq!(build.step("b").stdout(), ["one", "t"]);
        assert_eq!(
            build.step("c").stdout(),
            ["file", "one", "two", "machine", "0"]
        );
        let late = build.step("d");
        assert_eq!(
            (late.status.as_str(), late.exit_code),
            ("timed_out", Some(124))
        );
        assert_eq!(late.stdout(), ["file", "one"]);
        assert_eq!(podman.told(&["ps", "--all", "--quiet"]), "");
    }
    project.hm(["cache", "clear"]).run().expect(0);
    assert_eq!(podman.told(&["volume", "ls", "--quiet"]), "");
    let images = podman.told(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert_eq!(images.trim(), IMAGE);
}
