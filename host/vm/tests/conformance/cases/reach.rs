//! How far machines reach: network, limits, images.

use std::sync::Arc;

use hm_vm::{Base, BootSpec, ExecStatus, MachineOptions, Network, Progress, VmError};

use crate::lab::{Lab, command, passed, run, run_spec};

fn with(lab: &Lab, options: MachineOptions) -> BootSpec {
    BootSpec {
        options,
        ..lab.spec()
    }
}

fn on(lab: &Lab, network: Network) -> BootSpec {
    with(
        lab,
        MachineOptions {
            network,
            ..MachineOptions::default()
        },
    )
}

/// The machine's interfaces, by name.
const INTERFACES: &str = "sed -n 's/^ *\\([^ :]*\\):.*/\\1/p' /proc/net/dev | sort";

pub async fn the_network_none_has_loopback_only(lab: &Lab) {
    let networks = lab.engine.support().networks;
    assert!(networks.contains(&Network::None));
    let done = lab.run(on(lab, Network::None), INTERFACES).await;
    // Tunnels that the kernel makes for every namespace have no address.
    let names = passed(done);
    let real: Vec<&str> = names
        .lines()
        .filter(|name| {
            ![
                "tunl0", "sit0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0",
                "ip6gre0",
            ]
            .contains(name)
        })
        .collect();
    assert_eq!(real, ["lo"]);
}

pub async fn the_network_host_is_the_hosts(lab: &Lab) {
    let ours = std::fs::read_to_string("/proc/net/dev").expect("interfaces");
    let done = lab.run(on(lab, Network::Host), INTERFACES).await;
    for name in passed(done).lines() {
        assert!(
            ours.contains(&format!("{name}:")),
            "{name} is not the host's: {ours}"
        );
    }
    if lab.engine.support().networks.contains(&Network::Public) {
        let names = passed(lab.run(on(lab, Network::Public), INTERFACES).await);
        let all: Vec<&str> = names.lines().collect();
        assert!(all.contains(&"lo") && all.len() > 1, "{all:?}");
        let namespace = "readlink /proc/self/ns/net";
        let own = passed(lab.run(on(lab, Network::Public), namespace).await);
        let host = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
        assert_ne!(own.trim(), host.to_string_lossy(), "a stack of its own");
    }
}

pub async fn processes_are_limited(lab: &Lab) {
    // Where ids of processes are what is bounded, 300 more fit once: the kernel keeps the
    // first 300 for itself only when it comes round to them again.
    let options = MachineOptions {
        processes: 350,
        ..MachineOptions::default()
    };
    let machine = lab.boot_spec(with(lab, options)).await;
    let text = "i=0; while [ $i -lt 800 ]; do sleep 60 & i=$((i + 1)); done 2>/dev/null; echo all";
    let done = run(&*machine, text).await;
    assert!(
        !done.stdout.contains("all"),
        "800 processes where 350 may be: {done:?}"
    );
    assert_eq!(passed(run(&*machine, "echo on").await), "on\n");
    machine.destroy().await;
}

pub async fn memory_is_limited_and_running_out_is_told(lab: &Lab) {
    if !lab.engine.support().limits.starts_with("memory") {
        // Then it says so, and `hm doctor` with it.
        return;
    }
    let options = MachineOptions {
        memory_mib: Some(48),
        ..MachineOptions::default()
    };
    for is_last in [false, true] {
        let machine = lab.boot_spec(with(lab, options.clone())).await;
        let spec = hm_vm::ExecSpec {
            is_last,
            ..command("x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}")
        };
        let done = run_spec(&*machine, spec).await.expect("it starts");
        assert_eq!(done.status, ExecStatus::OutOfMemory, "{done:?}");
        machine.destroy().await;
        let machine = lab.boot_spec(with(lab, options.clone())).await;
        let done = run(&*machine, "exit 137").await;
        assert_eq!(done.status, ExecStatus::Exited(137), "a code is no proof");
        machine.destroy().await;
    }
}

pub async fn an_image_that_cannot_be_had_is_named_with_a_remedy(lab: &Lab) {
    let name = "127.0.0.1:1/no/such-image:v1";
    let error = lab
        .engine
        .image_id(name, &Progress::default())
        .await
        .expect_err("there is no such image");
    assert!(
        matches!(
            error,
            VmError::ImageNotFound { .. } | VmError::ImageFetch { .. }
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains(name), "{error}");
    assert!(error.remedy().is_some_and(|remedy| !remedy.is_empty()));
    let spec = BootSpec {
        base: Base::Image(name.into()),
        source: Arc::from([]),
        options: MachineOptions::default(),
    };
    assert!(lab.engine.boot(spec).await.is_err());
}

pub async fn an_image_has_one_identity(lab: &Lab) {
    let id = || async {
        let id = lab.engine.image_id(lab.image, &Progress::default()).await;
        id.expect("the image is here")
    };
    let (one, other) = (id().await, id().await);
    assert_eq!(one, other);
    let another = lab.another();
    let same = another.image_id(lab.image, &Progress::default()).await;
    assert_eq!(same.expect("the image is here"), one);
    another.close().await;
}
