//! Who root inside is: nobody outside, as root where the kernel has what it takes.

use std::fs;
use std::os::unix::fs::MetadataExt;

use hm_vm::sandbox::probes;

use crate::harness::{
    Bench, command, finish, from, host, is_root, maps_ids, passed, run, without_network,
};

#[tokio::test]
async fn root_inside_is_told_for_what_it_is() {
    let bench = Bench::new();
    let map = passed(bench.run("cat /proc/self/uid_map").await);
    let first = map.split_whitespace().nth(1).map(str::to_owned);
    let own = rustix::process::geteuid().as_raw().to_string();
    let probe = probes(&bench.config())
        .await
        .into_iter()
        .find(|probe| probe.name == "root inside")
        .expect("it is told");
    match (is_root(), maps_ids()) {
        (true, true) => {
            assert!(
                first.is_some_and(|id| id.parse().is_ok_and(|id: u32| id >= 65536)),
                "{map}"
            );
            assert!(probe.result.is_ok_and(|text| text.contains("nobody")));
        }
        (true, false) => {
            assert_eq!(first.as_deref(), Some("0"));
            let (cause, remedy) = probe.result.expect_err("it is no boundary");
            assert!(
                cause.contains("root outside") && !remedy.is_empty(),
                "{cause}"
            );
        }
        (false, _) => assert_eq!(first, Some(own)),
    }
}

/// A command's process as the host sees it.
#[tokio::test]
async fn a_command_has_no_rights_outside() {
    if !(is_root() && maps_ids()) {
        return;
    }
    let bench = Bench::new();
    let machine = bench.boot().await;
    let mark = format!("hm-ids-{}", uuid::Uuid::new_v4());
    let running = machine
        .exec(command(&format!("sh -c 'read x' {mark} < /dev/zero")))
        .await
        .expect("it starts");
    let status = (0..5000)
        .find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
                let line = fs::read(entry.path().join("cmdline")).ok()?;
                let line = String::from_utf8_lossy(&line).into_owned();
                let is_it = line.starts_with("sh\0-c\0read x\0") && line.contains(&mark);
                is_it.then(|| fs::read_to_string(entry.path().join("status")).ok())?
            })
        })
        .expect("it is seen from outside");
    machine.destroy().await;
    let _ = finish(running).await;
    for field in ["Uid:", "Gid:"] {
        let ids = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .expect("ids");
        assert!(
            ids.split_whitespace()
                .all(|id| id.parse().is_ok_and(|id: u32| id >= 65536)),
            "{status}"
        );
    }
}

#[tokio::test]
async fn owners_are_kept_from_step_to_step_and_plain_on_the_disk() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let parent = bench
        .after(
            host(),
            "mkdir d; echo a > d/mine; echo b > d/theirs; chown 1000:1001 d/theirs; chown -R 33:33 d; \
             chown 1000:1001 d/theirs; chmod 640 d/theirs; echo x > /usr/local/made; \
             chown 8 /etc/hostname; chmod u+s d/mine",
        )
        .await;
    let machine = bench.boot_spec(from(&parent)).await;
    let done = run(
        &*machine,
        "stat -c '%u:%g %a %n' d d/* /usr/local/made /etc/hostname; cat d/theirs; \
         perl -e '$)=\"33 33\"; $>=33; open F, \">>d/mine\" or die; open G, \"<d/theirs\" and die; print \"as told\\n\"'",
    )
    .await;
    machine.destroy().await;
    assert_eq!(
        passed(done),
        "33:33 755 d\n33:33 4644 d/mine\n1000:1001 640 d/theirs\n0:0 644 /usr/local/made\n\
         8:0 644 /etc/hostname\nb\nas told\n"
    );
    let live = fs::read_dir(bench.state().join("layers/live"))
        .expect("a folder")
        .flatten()
        .flat_map(|instance| fs::read_dir(instance.path()).expect("a folder").flatten());
    let owners: Vec<(u32, u32)> = live
        .filter_map(|layer| fs::metadata(layer.path().join("workspace/d/theirs")).ok())
        .map(|found| (found.uid(), found.gid()))
        .collect();
    assert_eq!(owners, [(1000, 1001)], "as seen inside");
}

#[tokio::test]
async fn system_folders_are_read_and_changed_as_before() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let done = bench
        .run(
            "set -e; id -un; ls /usr/bin | grep -qx sh; test -r /etc/passwd; \
             echo 'extra:x:4242:4242::/nonexistent:/bin/false' >> /etc/passwd; getent passwd extra; \
             cp -a /etc/passwd /etc/copy; chown extra:4242 /etc/copy; stat -c %U /etc/copy; \
             for f in $(find /usr/bin /usr/sbin -perm /6000 2>/dev/null | head -5); do chmod u-s $f; done; \
             f=$(find /usr/bin -type f -name '[a-c]*' | head -1); touch $f; rm $f; test ! -e $f; \
             mkdir -p /var/lib/hm-test; mv /usr/share/doc /usr/share/doc.moved; ls -d /usr/share/doc.moved; \
             chgrp mail /var/lib/hm-test; stat -c %G /var/lib/hm-test",
        )
        .await;
    assert_eq!(
        passed(done),
        "root\nextra:x:4242:4242::/nonexistent:/bin/false\nextra\n/usr/share/doc.moved\nmail\n"
    );
}

/// Also a file that is there for the package manager alone, and one that carries
/// capabilities.
#[tokio::test]
async fn what_has_capabilities_can_be_changed() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let done = bench
        .run(
            "cp /bin/true /tmp/t; if command -v setcap >/dev/null; then setcap cap_net_bind_service=ep /tmp/t || true; fi; \
             chmod 700 /tmp/t; for f in $(getcap -r /usr/bin 2>/dev/null | cut -d' ' -f1); do touch $f || echo $f; done; echo done",
        )
        .await;
    assert_eq!(done.stdout, "done\n", "{done:?}");
}

#[tokio::test]
async fn in_a_network_of_its_own_every_port_is_free() {
    let bench = Bench::new();
    let machine = bench.boot_spec(without_network()).await;
    let done = run(
        &*machine,
        "perl -MSocket -e 'socket($s,AF_INET,SOCK_STREAM,0); bind($s,pack_sockaddr_in(80,INADDR_LOOPBACK)) or die $!; print \"bound\\n\"'",
    )
    .await;
    machine.destroy().await;
    assert_eq!(passed(done), "bound\n");
}

#[tokio::test]
async fn layers_of_one_mode_are_of_use_in_the_other() {
    if !is_root() {
        return;
    }
    let mut bench = Bench::new();
    let parent = bench
        .after(host(), "echo a > f; chown 1000 f; rm /etc/hostname")
        .await;
    let record = hm_vm::VmBackend::keep(&bench.engine, &parent)
        .await
        .expect("it is kept");
    bench.reopen_with(|config| config.map_ids = !config.map_ids);
    let again = hm_vm::VmBackend::open(&bench.engine, &record)
        .await
        .expect("it opens")
        .expect("it is usable");
    let machine = bench.boot_spec(from(&again)).await;
    let done = run(
        &*machine,
        "stat -c '%u %n' f; test ! -e /etc/hostname && echo gone",
    )
    .await;
    machine.destroy().await;
    assert_eq!(passed(done), "1000 f\ngone\n");
}
