//! What stays and what goes.

use std::time::Duration;

use hm_vm::{LayerRecord, Progress};

use crate::lab::{Lab, command, passed, run};

pub async fn a_kept_snapshot_is_found_by_another_engine(lab: &Lab) {
    let parent = lab
        .after(lab.spec(), "echo parent > f; echo parent > /tmp/f")
        .await;
    let text = "echo child >> f; head -c 3000000 /dev/zero > big; echo child >> /tmp/f";
    let child = lab.after(lab.from(&parent), text).await;
    let record = lab.engine.keep(&child).await.expect("it is kept");
    let bytes: u64 = record.layers.iter().map(|layer| layer.bytes).sum();
    assert!((3_000_000..30_000_000).contains(&bytes), "{record:?}");
    // Still usable where it was, and by those that share its layers.
    assert_eq!(
        passed(lab.run(lab.from(&child), "cat f").await),
        "parent\nchild\n"
    );
    drop((parent, child));
    lab.engine.settle().await;

    let other = lab.another();
    assert_eq!(
        other.reap().await.expect("it reaps"),
        0,
        "what is kept is nobody's leaving"
    );
    let found = other
        .open(&record)
        .await
        .expect("it opens")
        .expect("it is there");
    assert_eq!(found.id(), record.id);
    let machine = other.boot(lab.from(&found)).await.expect("it boots");
    let done = run(&*machine, "cat f /tmp/f; wc -c < big").await;
    assert_eq!(passed(done), "parent\nchild\nparent\nchild\n3000000\n");
    machine.destroy().await;
    drop(found);
    other.settle().await;

    let mut strange = record.clone();
    strange.flavour = "of another engine".into();
    assert!(other.open(&strange).await.expect("it opens").is_none());
    let layers: Vec<String> = record.layers.iter().map(|layer| layer.id.clone()).collect();
    other.remove_layers(&layers).await.expect("they go");
    other.settle().await;
    assert!(other.open(&record).await.expect("it opens").is_none());
    // A name that leads elsewhere is nobody's layer.
    let odd = ["../../etc", "", "image-../x"].map(str::to_owned);
    other.remove_layers(&odd).await.expect("nothing to remove");
    let mut broken = record;
    broken.layers = vec![LayerRecord {
        id: "../../etc".into(),
        bytes: 1,
    }];
    assert!(other.open(&broken).await.expect("it opens").is_none());
    other.close().await;
}

pub async fn what_is_not_kept_goes_with_its_last_handle(lab: &Lab) {
    let image = lab.engine.image_id(lab.image, &Progress::default()).await;
    image.expect("the image is here");
    let parent = lab.after(lab.spec(), "echo x > f; echo x > /tmp/f").await;
    let child = lab
        .after(lab.from(&parent), "echo y > g; echo y > /tmp/g")
        .await;
    drop(parent);
    lab.engine.settle().await;
    assert_eq!(passed(lab.run(lab.from(&child), "cat f g").await), "x\ny\n");
    drop(child);
    lab.engine.settle().await;
    let things = lab.things();
    // The engine's own share of the state folder.
    assert!(things.len() <= 1, "{things:#?}");
}

pub async fn what_is_dropped_at_any_moment_leaves_nothing(lab: &Lab) {
    // What the engine itself needs is there.
    passed(lab.run(lab.spec(), "true").await);
    for milliseconds in [0, 1, 3, 10, 30, 60, 100, 200, 400] {
        let work = async {
            let machine = lab.boot().await;
            let done = run(&*machine, "echo x > f; echo x > /tmp/f; sleep 0.05").await;
            passed(done);
            let snapshot = machine.snapshot().await.expect("a snapshot");
            lab.run(lab.from(&snapshot), "cat f").await;
        };
        let _ = tokio::time::timeout(Duration::from_millis(milliseconds), work).await;
    }
    lab.engine.settle().await;
    let things = lab.things();
    assert!(things.len() <= 1, "{things:#?}");
}

pub async fn the_living_are_not_reaped(lab: &Lab) {
    let machine = lab.boot().await;
    passed(run(&*machine, "echo x > f; echo x > /tmp/f").await);
    let snapshot = lab.after(lab.spec(), "echo y > g; echo y > /tmp/g").await;
    let running = machine
        .exec(command("sleep 0.5; cat f /tmp/f"))
        .await
        .expect("it starts");
    let other = lab.another();
    assert_eq!(other.reap().await.expect("it reaps"), 0);
    other.close().await;
    let done = crate::lab::finish(running).await.expect("it ends");
    assert_eq!(passed(done), "x\nx\n");
    machine.destroy().await;
    assert_eq!(
        passed(lab.run(lab.from(&snapshot), "cat g /tmp/g").await),
        "y\ny\n"
    );
}
