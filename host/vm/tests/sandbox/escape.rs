//! Ways out of a machine, as a step's command would try them. Each fails, and the host is
//! as it was.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Child, Command};

use hm_vm::{ExecStatus, VmBackend};

use crate::harness::{Bench, is_root, passed, run, without_network};

/// A process of the host that is to survive.
struct Bystander(Child);

impl Bystander {
    fn start() -> Self {
        let child = Command::new("sleep")
            .arg("1000")
            .env("HM_TEST_CANARY", "PROC-canary")
            .spawn()
            .expect("`sleep` runs");
        Self(child)
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Perl for one system call: prints the number of the error, or `done`.
fn call(number: libc::c_long, arguments: &str) -> String {
    format!(
        "perl -e '$!=0; $r=syscall({number}{arguments}); print $r<0 ? $!+0 : \"done\", \"\\n\"'"
    )
}

#[tokio::test]
async fn a_file_of_the_host_is_not_found_by_any_way() {
    let bench = Bench::new();
    let folder = bench.folder.path().display().to_string();
    std::fs::write(bench.folder.path().join("canary"), "FILE-canary").expect("a file");
    let done = bench
        .run(&format!(
            "for root in '' /proc/1/root /proc/self/root /proc/1/cwd /proc/self/cwd/../../../..; do \
             cat $root{folder}/canary $root/etc/shadow $root/etc/gshadow; ls $root{folder}; done 2>/dev/null; \
             cd /; i=0; while [ $i -lt 100 ]; do cd ..; i=$((i+1)); done; cat .{folder}/canary 2>/dev/null; \
             mkdir /tmp/jail; chroot /tmp/jail true 2>/dev/null; \
             find / -xdev -name canary 2>/dev/null | head; true"
        ))
        .await;
    assert_eq!(passed(done), "");
}

#[tokio::test]
async fn processes_of_the_host_are_neither_seen_nor_signalled() {
    let bench = Bench::new();
    let mut bystander = Bystander::start();
    let pid = bystander.0.id();
    let own = std::process::id();
    let done = bench
        .run(&format!(
            "for pid in {pid} {own} $(seq 2 400); do test $pid = $$ || kill -9 $pid 2>/dev/null; done; \
             grep -az 'PROC[-]canary' /proc/*/environ /proc/*/cmdline 2>/dev/null; \
             ls -d /proc/{pid} /proc/{own} 2>/dev/null; kill -9 -1; true"
        ))
        .await;
    assert!(!done.stdout.contains("PROC-canary"), "{done:?}");
    assert!(!done.stdout.contains(&format!("/proc/{pid}\n")), "{done:?}");
    assert!(
        bystander.0.try_wait().expect("it is asked").is_none(),
        "a process of the host was killed"
    );
    assert_eq!(passed(bench.run("echo fine").await), "fine\n");
}

#[tokio::test]
async fn the_first_process_gives_nothing_away() {
    let bench = Bench::new();
    let attach = call(libc::SYS_ptrace, ",16,1,0,0");
    let seize = call(libc::SYS_ptrace, ",0x4206,1,0,0");
    let read = format!(
        "perl -e '$b=\"x\"x8; $v=pack(\"PQ\",$b,8); $!=0; \
         $r=syscall({},1,$v,1,$v,1,0); print $r<0 ? $!+0 : \"done\", \"\\n\"'",
        libc::SYS_process_vm_readv
    );
    let machine = bench.boot().await;
    let done = run(
        &*machine,
        &format!(
            "{attach}; {seize}; {read}; \
             cat /proc/1/environ /proc/1/maps /proc/1/mem 2>/dev/null; \
             for fd in 0 1 2 3 4 5; do readlink /proc/1/fd/$fd; done; \
             readlink /proc/1/exe /proc/1/root /proc/1/cwd; \
             (: > /proc/1/exe) 2>/dev/null && echo exe; (: >> /proc/1/mem) 2>/dev/null && echo mem; \
             for fd in 0 1 2 3 4 5; do (cat < /proc/1/fd/$fd) 2>/dev/null; done; \
             nsenter -t 1 -m true 2>/dev/null && echo entered; true"
        ),
    )
    .await;
    assert_eq!(passed(done), "1\n1\n1\n");
    assert_eq!(passed(run(&*machine, "echo alive").await), "alive\n");
    machine.destroy().await;
}

#[tokio::test]
async fn no_descriptor_leads_out() {
    let bench = Bench::new();
    let done = bench
        .run("for fd in /proc/self/fd/*; do readlink $fd; done; ls /proc/self/fd | wc -l")
        .await;
    for line in passed(done).lines() {
        let known = line == "/dev/null" || line.starts_with("pipe:") || line.starts_with("/proc/");
        assert!(known || line == "4", "{line}");
    }
}

#[tokio::test]
async fn without_network_nothing_of_the_host_is_reached() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("it does not block");
    let port = listener.local_addr().expect("an address").port();
    let name = format!("hm-escape-{}", std::process::id());
    let abstract_name = SocketAddr::from_abstract_name(&name).expect("a name");
    let socket = UnixListener::bind_addr(&abstract_name).expect("a socket");
    socket.set_nonblocking(true).expect("it does not block");
    let machine = bench.boot_spec(without_network()).await;
    let done = run(
        &*machine,
        &format!(
            "perl -MSocket -e 'socket($s,AF_INET,SOCK_STREAM,0); print connect($s,pack_sockaddr_in({port},inet_aton(\"127.0.0.1\"))) ? \"tcp\" : \"\"; \
             socket($u,AF_UNIX,SOCK_STREAM,0); print connect($u,pack(\"Sa*\",AF_UNIX,\"\\0{name}\")) ? \"unix\" : \"\"; \
             socket($o,AF_INET,SOCK_STREAM,0); print connect($o,pack_sockaddr_in(53,inet_aton(\"192.0.2.1\"))) ? \"out\" : \"\"; \
             print socket($r,AF_INET,SOCK_RAW,1) ? \"raw\" : \"\"; print socket($p,17,3,0) ? \"packet\" : \"\";'"
        ),
    )
    .await;
    machine.destroy().await;
    assert_eq!(passed(done), "");
    assert!(listener.accept().is_err() && socket.accept().is_err());
}

/// Only opened, and for appending: what gives way here is not to be hurt.
#[tokio::test]
async fn no_setting_of_the_kernel_can_be_written() {
    let bench = Bench::new();
    let done = bench
        .run(
            "for file in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/vm/drop_caches /proc/sys/kernel/modprobe \
             /sys/kernel/uevent_helper /sys/power/state $(find /proc /sys -path '/proc/[0-9]*' -prune -o -type f -perm /222 -print 2>/dev/null); do \
             case $file in /proc/pressure/*) continue;; esac; \
             (: >> $file) 2>/dev/null && echo $file; done; true",
        )
        .await;
    assert_eq!(passed(done), "");
}

#[tokio::test]
async fn nothing_can_be_mounted_unmounted_or_made_a_device() {
    let bench = Bench::new();
    let done = bench
        .run(
            "for try in 'mount -t tmpfs x /mnt' 'mount --bind / /mnt' 'mount -o remount,rw /proc/sys' 'mount -t proc x /mnt' \
             'umount /proc/sys' 'umount /dev' 'mknod /tmp/d b 254 0' 'mknod /tmp/c c 1 1' 'unshare -m true' 'unshare -n true' \
             'unshare -r true' 'unshare -U true' 'nsenter -t 1 -n true' 'hostname other' 'losetup -f /tmp/x' 'swapon /tmp/x' 'date -s 2000-01-01' \
             'sysctl -w kernel.hostname=x'; do $try >/dev/null 2>&1 && echo \"$try\"; done; true",
        )
        .await;
    assert_eq!(passed(done), "");
}

#[tokio::test]
async fn calls_into_the_kernel_are_refused_as_programs_expect() {
    let bench = Bench::new();
    let denied = [
        (libc::SYS_mount, ",0,0,0,0,0"),
        (libc::SYS_fsopen, ",0,0"),
        (libc::SYS_open_tree, ",-100,0,1"),
        (libc::SYS_setns, ",0,0"),
        (libc::SYS_keyctl, ",0,-3,0"),
        (libc::SYS_add_key, ",0,0,0,0,-3"),
        (libc::SYS_request_key, ",0,0,0,0"),
        (libc::SYS_bpf, ",0,0,0"),
        (libc::SYS_kexec_load, ",0,0,0,0"),
        (libc::SYS_init_module, ",0,0,0"),
        (libc::SYS_finit_module, ",0,0,0"),
        (libc::SYS_delete_module, ",0,0"),
        // Without its magic numbers it does nothing, even where it is let through.
        (libc::SYS_reboot, ",0,0,0,0"),
        (libc::SYS_perf_event_open, ",0,0,0,0,0"),
        (libc::SYS_userfaultfd, ",0"),
        (libc::SYS_open_by_handle_at, ",-100,0,0"),
        (libc::SYS_io_uring_setup, ",1,0"),
        (libc::SYS_unshare, ",0x10000000"),
        (libc::SYS_unshare, ",0x10020000"),
        (libc::SYS_clone, ",0x10000011,0,0,0,0"),
        (libc::SYS_quotactl, ",0,0,0,0"),
        (libc::SYS_syslog, ",3,0,0"),
    ];
    let script: Vec<String> = denied
        .iter()
        .map(|(number, arguments)| call(*number, arguments))
        .chain([call(libc::SYS_clone3, ",0,0")])
        .collect();
    let expected = format!("{}{}\n", "1\n".repeat(denied.len()), libc::ENOSYS);
    assert_eq!(passed(bench.run(&script.join("; ")).await), expected);
}

#[tokio::test]
async fn privileges_cannot_be_raised() {
    let bench = Bench::new();
    let done = bench
        .run(&format!(
            "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'; \
             cp /usr/bin/id /tmp/id; chmod 6755 /tmp/id; \
             perl -e '$)=\"65534 65534\"; $>=$<=65534; exec \"/tmp/id\", \"-u\"' 2>&1; \
             perl -e '$h=pack(\"LL\",0x20080522,0); $d=pack(\"L6\",(0xffffffff)x6); print syscall({},$h,$d), \"\\n\"'",
            libc::SYS_capset
        ))
        .await;
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(&lines[..2], ["NoNewPrivs:1", "Seccomp:2"], "{done:?}");
    // As an ordinary user there is nobody else to be; root's file gives nothing back.
    assert_eq!(lines[2], if is_root() { "65534" } else { "0" }, "{done:?}");
    assert_eq!(lines[3], "-1", "{done:?}");
}

#[tokio::test]
async fn a_fork_bomb_ends_with_its_command() {
    let bench = Bench::new();
    let mut spec = crate::harness::host();
    spec.options.processes = 200;
    let machine = bench.boot_spec(spec).await;
    run(&*machine, "bomb() { bomb | bomb & }; bomb").await;
    assert_eq!(passed(run(&*machine, "echo alive").await), "alive\n");
    machine.destroy().await;
    assert_eq!(passed(bench.run("echo fine").await), "fine\n");
}

#[tokio::test]
async fn a_tree_too_deep_to_name_goes_like_any_other() {
    let bench = Bench::new();
    let machine = bench.boot().await;
    let dig = "perl -e 'chdir shift; for (1..6000) { mkdir \"d\" and chdir \"d\" or die $! } open F, \">f\"'";
    let done = run(
        &*machine,
        &format!("{dig} /tmp && {dig} /run && {dig} /dev/shm"),
    )
    .await;
    assert_eq!(done.status, ExecStatus::Exited(0), "{done:?}");
    assert_eq!(
        passed(run(&*machine, "ls -A /run /dev/shm").await),
        "/dev/shm:\n\n/run:\n"
    );
    machine.destroy().await;
    bench.engine.settle().await;
    let left = std::fs::read_dir(bench.state().join("trash")).expect("a folder");
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn what_builds_do_still_works_under_the_filter() {
    let bench = Bench::new();
    let script = format!(
        "set -e; cd /tmp; mkdir w; cd w; \
         printf 'all:\\n\\tgrep -c Seccomp: /proc/self/status > made\\n' > Makefile; \
         if command -v make >/dev/null; then make -s; cat made; else echo 1; fi; \
         if command -v git >/dev/null; then git init -q . 2>/dev/null; git add Makefile; \
         git -c user.name=a -c user.email=a@b commit -qm x; git log --oneline | wc -l; else echo 1; fi; \
         perl -e 'for (1..20) {{ my $p = fork; if (!$p) {{ exit 0 }} }} 1 while wait > 0; print \"forked\\n\"'; \
         perl -e '$p = fork; if (!$p) {{ kill STOP => $$; exit 0 }} waitpid $p, 2; print syscall({},16,$p,0,0), \"\\n\"; kill KILL => $p'",
        libc::SYS_ptrace
    );
    let done = bench.run(&script).await;
    assert_eq!(done.stdout, "1\n1\nforked\n0\n", "{done:?}");
}

#[tokio::test]
async fn where_memory_runs_out_commands_go_first() {
    let bench = Bench::new();
    let done = bench.run("cat /proc/self/oom_score_adj").await;
    assert_eq!(passed(done), "500\n");
}
