//! What a machine cannot see or do.

use std::os::unix::fs::PermissionsExt;

use hm_vm::sandbox::{SandboxConfig, SandboxEngine, probes};
use hm_vm::{ExecStatus, Progress, VmBackend, VmError};

use crate::harness::{Bench, host, is_root, passed, run, without_network};

#[tokio::test]
async fn credentials_homes_and_sockets_of_the_host_are_not_there() {
    let bench = Bench::new();
    let done = bench
        .run(
            "for f in /etc/shadow /etc/gshadow /etc/ssh/ssh_host_rsa_key /run/docker.sock /var/run/docker.sock; do \
             test -s $f && echo sees $f; done; ls -A /home /root /run /mnt /media /boot /srv/nothing 2>/dev/null | grep -v ':$' | grep .; \
             ls /",
        )
        .await;
    for line in done.stdout.lines() {
        let known = [
            "bin",
            "boot",
            "dev",
            "etc",
            "home",
            "lib",
            "lib32",
            "lib64",
            "libx32",
            "libo32",
            "media",
            "mnt",
            "nix",
            "opt",
            "proc",
            "root",
            "run",
            "sbin",
            "srv",
            "sys",
            "tmp",
            "usr",
            "var",
            "workspace",
        ];
        assert!(known.contains(&line), "{line}");
    }
}

#[tokio::test]
async fn the_state_folder_and_hidden_folders_are_not_there() {
    let outside = tempfile::tempdir_in("/var").ok();
    let Some(outside) = outside else {
        // An ordinary user has no folder of its own below what machines see.
        assert!(!is_root());
        return;
    };
    std::fs::set_permissions(outside.path(), std::fs::Permissions::from_mode(0o755)).expect("open");
    std::fs::write(outside.path().join("secret"), "x").expect("a file");
    let bench = Bench::with(|config, _| config.hidden.push(outside.path().to_owned()));
    let done = bench
        .run(&format!("ls -A {}", outside.path().display()))
        .await;
    assert_eq!(passed(done), "");
}

#[tokio::test]
async fn writes_do_not_reach_the_host() {
    let bench = Bench::new();
    bench.run("echo x > /etc/hm-was-here; echo x > /usr/hm-was-here; echo x > /root/hm-was-here; rm -rf /usr/share/doc; echo x > /tmp/hm-was-here").await;
    for path in [
        "/etc/hm-was-here",
        "/usr/hm-was-here",
        "/root/hm-was-here",
        "/tmp/hm-was-here",
    ] {
        assert!(!std::path::Path::new(path).exists(), "{path}");
    }
    if is_root() {
        let done = bench.run("echo 127.0.0.9 x >> /etc/hosts && rm -rf /usr/share/doc && test ! -e /usr/share/doc").await;
        assert_eq!(done.status, ExecStatus::Exited(0), "{done:?}");
    }
}

#[tokio::test]
async fn the_hosts_processes_and_settings_are_out_of_reach() {
    let bench = Bench::new();
    let done = bench
        .run(
            "echo x > /proc/sys/kernel/core_pattern; echo x > /proc/sysrq-trigger; cat /proc/1/environ; \
             mount -t tmpfs x /mnt; mknod /tmp/d b 254 0 && cat /tmp/d; kill -9 1; chroot / true || echo nochroot; \
             ls /proc | grep -c '^[0-9]*$'; grep NoNewPrivs /proc/self/status; grep CapBnd /proc/self/status; ulimit -c",
        )
        .await;
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{done:?}");
    assert!(
        lines[0].parse::<u32>().is_ok_and(|count| count < 8),
        "{done:?}"
    );
    assert_eq!(lines[1], "NoNewPrivs:\t1");
    assert!(
        u64::from_str_radix(lines[2].trim_start_matches("CapBnd:\t"), 16)
            .is_ok_and(|set| set & (1 << 21) == 0),
        "{done:?}"
    );
    assert_eq!(lines[3], "0");
}

#[tokio::test]
async fn the_root_inside_is_as_it_should_be() {
    let bench = Bench::new();
    let done = bench
        .run(
            "id -u; stat -c '%n %a' / /tmp /var/tmp /root /dev/shm /workspace; echo x > /dev/null; head -c 4 /dev/urandom | wc -c; \
             test -c /dev/tty; ls -l /dev/fd | grep -c proc; hostname; getent hosts localhost | grep -c localhost; \
             test -s /etc/resolv.conf || test ! -s /etc/resolv.conf; cat /proc/mounts | grep -c ' / overlay'; \
             echo a > /var/tmp/a; echo b > /root/b; cat /var/tmp/a /root/b",
        )
        .await;
    assert_eq!(
        passed(done),
        "0\n/ 755\n/tmp 1777\n/var/tmp 1777\n/root 700\n/dev/shm 1777\n/workspace 755\n4\n1\nmachine\n1\n1\na\nb\n"
    );
}

#[tokio::test]
async fn without_network_there_is_only_loopback() {
    let bench = Bench::new();
    let machine = bench.boot_spec(without_network()).await;
    let done = run(
        &*machine,
        "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '; ls /sys/class/net 2>/dev/null",
    )
    .await;
    assert!(matches!(passed(done).as_str(), "lo\n" | "lo\nlo\n"));
    let done = run(&*machine, "cat /proc/net/route | tail -n +2; python3 -c \"import socket as s; l = s.create_server(('127.0.0.1', 0)); s.create_connection(l.getsockname()); print('up')\" 2>&1 || true").await;
    assert!(
        done.stdout == "up\n" || !done.stdout.contains("Network is unreachable"),
        "{done:?}"
    );
    machine.destroy().await;
}

#[tokio::test]
async fn an_image_that_is_not_there_is_named() {
    let bench = Bench::new();
    let mut spec = host();
    spec.base = hm_vm::Base::Image("127.0.0.1:1/x:1".into());
    for error in [
        bench.engine.boot(spec).await.err(),
        bench
            .engine
            .image_id("127.0.0.1:1/x:1", &Progress::default())
            .await
            .err(),
    ] {
        assert!(
            matches!(error, Some(VmError::ImageFetch { image, .. }) if image == "127.0.0.1:1/x:1")
        );
    }
    let id = bench
        .engine
        .image_id("host", &Progress::default())
        .await
        .expect("an id");
    assert_eq!(
        id,
        bench
            .engine
            .image_id("host", &Progress::default())
            .await
            .expect("the same id")
    );
}

#[tokio::test]
async fn lent_folders_are_read_only_at_their_own_path_and_lead_the_path() {
    let bench = Bench::with(|config, folder| {
        let tools = folder.join("tools");
        std::fs::create_dir_all(tools.join("bin")).expect("folders");
        std::fs::write(tools.join("bin/greet"), "#!/bin/sh\necho hello\n").expect("a file");
        std::fs::set_permissions(
            tools.join("bin/greet"),
            std::fs::Permissions::from_mode(0o755),
        )
        .expect("a mode");
        std::fs::write(tools.join("credentials.toml"), "token").expect("a file");
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        config.exposed = vec![tools, folder.join("absent")];
    });
    let tools = bench.folder.path().join("tools");
    let machine = bench.boot().await;
    let done = run(
        &*machine,
        &format!(
            "greet; command -v greet; cat {0}/credentials.toml; ls {0}/..",
            tools.display()
        ),
    )
    .await;
    assert_eq!(
        passed(done),
        format!("hello\n{}/bin/greet\ntools\n", tools.display())
    );
    let done = run(
        &*machine,
        &format!("rm {0}/bin/greet; echo x > {0}/new", tools.display()),
    )
    .await;
    assert!(done.stderr.contains("Read-only"), "{done:?}");
    machine.destroy().await;
    assert!(tools.join("bin/greet").exists() && !tools.join("new").exists());
}

#[tokio::test]
async fn folders_of_credentials_are_not_lent() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = SandboxConfig::new(folder.path().join("state"));
    config.exposed = vec!["/root/.ssh".into()];
    let error = SandboxEngine::open(config).expect_err("refused");
    assert!(
        error.to_string().contains("/root/.ssh") && error.remedy().is_some(),
        "{error}"
    );
}

#[tokio::test]
async fn too_many_processes_are_refused_inside_and_the_machine_lives_on() {
    let bench = Bench::new();
    let mut spec = host();
    spec.options.processes = 50;
    let machine = bench.boot_spec(spec).await;
    let done = run(
        &*machine,
        "for i in $(seq 500); do sleep 1000 & done; echo made all",
    )
    .await;
    assert!(
        matches!(done.status, ExecStatus::OutOfProcesses(Some(1..))),
        "{:?}",
        done.status
    );
    // What fails for another reason is not said to have failed for that.
    let failed = run(&*machine, "exit 3").await;
    assert_eq!(failed.status, ExecStatus::Exited(3));
    assert_eq!(passed(run(&*machine, "echo alive").await), "alive\n");
    machine.destroy().await;
}

#[tokio::test]
async fn memory_that_is_used_up_is_named() {
    let bench = Bench::new();
    let mut spec = host();
    spec.options.memory_mib = Some(50);
    let groups = probes(&bench.config())
        .await
        .iter()
        .any(|probe| probe.name == "limit on memory" && probe.result.is_ok());
    let machine = bench.boot_spec(spec).await;
    let done = run(
        &*machine,
        "head -c 200M /dev/zero | tail -c 200M | wc -c; exit 3",
    )
    .await;
    if !groups {
        // Each process is held to it, and told so by the allocation that fails.
        assert_eq!(
            (done.status, done.stdout.as_str()),
            (ExecStatus::Exited(3), "0\n"),
            "{done:?}"
        );
        assert!(done.stderr.contains("memory"), "{done:?}");
        machine.destroy().await;
        return;
    }
    assert_eq!(done.status, ExecStatus::OutOfMemory, "{done:?}");
    assert_eq!(run(&*machine, "exit 4").await.status, ExecStatus::Exited(4));
    machine.destroy().await;
    bench.engine.settle().await;
    let names = |folder: &std::path::Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    };
    let instance = &names(&bench.state().join("layers/live"))[0];
    for groups in ["/sys/fs/cgroup/memory/hm", "/sys/fs/cgroup/hm"] {
        let left = names(groups.as_ref());
        assert!(
            !left.iter().any(|name| name.starts_with(instance)),
            "{left:?}"
        );
    }
}

#[tokio::test]
async fn what_machines_need_is_found_here() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = SandboxConfig::new(folder.path().join("state"));
    config.spawner = crate::harness::spawner();
    config.map_ids = crate::harness::maps_ids();
    for probe in probes(&config).await {
        let optional = ["limit on memory", "limit on processors", "network `public`"];
        let less = optional.contains(&probe.name) && !is_root()
            || probe.name == "root inside" && !crate::harness::maps_ids();
        assert!(probe.result.is_ok() || less, "{probe:?}");
    }
}

#[tokio::test]
async fn what_is_missing_is_named_with_a_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = SandboxConfig::new(folder.path().join("state"));
    config.spawner = vec!["/nonexistent/program".into()];
    let found = probes(&config).await;
    let failed: Vec<_> = found
        .iter()
        .filter(|probe| probe.needed && probe.result.is_err())
        .collect();
    assert!(
        format!("{failed:?}").contains("/nonexistent/program"),
        "{found:?}"
    );
    std::fs::write(folder.path().join("file"), "").expect("a file");
    config.state_dir = folder.path().join("file");
    let found = probes(&config).await;
    assert!(
        found.len() == 1 && found[0].needed && found[0].result.is_err(),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_lent_package_cache_takes_additions_that_only_the_chain_sees() {
    let bench = Bench::with(|config, folder| {
        let cache = folder.join("home/.cargo/registry");
        std::fs::create_dir_all(cache.join("index")).expect("folders");
        std::fs::write(cache.join("index/old"), "old").expect("a file");
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        config.exposed = vec![cache];
    });
    let cache = bench.folder.path().join("home/.cargo/registry");
    let shown = cache.display();
    let first = bench
        .after(
            host(),
            &format!("cd {shown}; echo one > one; rm index/old; echo $CARGO_HOME"),
        )
        .await;
    let second = bench
        .after(
            crate::harness::from(&first),
            &format!("cd {shown}; echo two > two; cat one; mkdir index/sub"),
        )
        .await;
    let untouched = bench.after(crate::harness::from(&second), "true").await;
    let machine = bench.boot_spec(crate::harness::from(&untouched)).await;
    assert_eq!(
        passed(run(&*machine, &format!("cd {shown}; cat one two; ls . index")).await),
        "one\ntwo\n.:\nindex\none\ntwo\n\nindex:\nsub\n"
    );
    machine.destroy().await;
    assert_eq!(
        passed(
            bench
                .run(&format!("ls -R {shown}; cat {shown}/index/old"))
                .await
        )
        .lines()
        .last(),
        Some("old")
    );
    assert!(cache.join("index/old").exists() && !cache.join("one").exists());
}
