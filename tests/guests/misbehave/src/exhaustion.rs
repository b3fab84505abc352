//! Takes more than its share.

use std::hint::black_box;

use hm_backend_sdk::bindings::hm::backend::control;
use hm_backend_sdk::bindings::wit_stream;
use hm_backend_sdk::{BackendError, BuildEvent, Custom, Level, Notice, clock, log};

use hm_backend_sdk::bindings::hm::backend::vm::{self, ExecSpec};
use hm_backend_sdk::vm::{Machine, VmError};

use crate::stage::{OPTIONS, Stage};

/// Cases that never come to a build.
pub(crate) fn in_start(case: &str) {
    match case {
        "loop-in-start" => spin(),
        "panic-in-start" => panic!("misbehaving in start"),
        _ => {}
    }
}

pub(crate) async fn play(case: &str, mut stage: Stage) -> Option<Stage> {
    match case {
        "loop" => spin(),
        "panic" => panic!("misbehaving in a task"),
        "panic-after-a-step" => {
            stage.one(0).await;
            panic!("misbehaving after a step");
        }
        "loop-with-log" => loop {
            log::info("again");
        },
        "loop-with-yield" => loop {
            clock::sleep(std::time::Duration::ZERO).await;
        },
        "loop-with-task-yield" => loop {
            wit_bindgen::yield_async().await;
        },
        // Wakes up often, and works little: no fault.
        "naps" => {
            for _ in 0..1500 {
                clock::sleep(std::time::Duration::from_millis(1)).await;
            }
            let status = stage.honest().await;
            stage.finish(Ok(status)).await;
        }
        // Few instructions, much work.
        "fill-memory" => {
            let mut block = vec![0u8; 190 << 20];
            for value in 0u8.. {
                black_box(&mut block).fill(black_box(value));
                if value == u8::MAX {
                    spin();
                }
            }
        }
        "grow-memory" => {
            let mut blocks = Vec::new();
            loop {
                blocks.push(black_box(vec![1u8; 1 << 20]));
            }
        }
        // Boots what is no name of an image, or was not granted; tells which could be had.
        "images" => {
            let long = "x".repeat(10_000);
            let names = [
                "-v=/:/host",
                "--privileged",
                "../x",
                "/etc",
                "file:///etc",
                "a b",
                "a\0b",
                "",
                "UPPER/Case:Tag",
                "another:1",
                "alpine@sha256:00",
                "host:latest",
                "Host",
                &long,
            ];
            let mut had = Vec::new();
            for name in names {
                let booted = Machine::boot_image(0, name, OPTIONS).await;
                if !matches!(booted, Err(VmError::Denied(_))) {
                    had.push(name.to_owned());
                }
            }
            stage
                .finish(Err(BackendError::Other(format!("had {had:?}"))))
                .await;
        }
        // Holds every machine that it can get.
        "machines" => {
            let mut held = Vec::new();
            let error = loop {
                match stage.boot(0).await {
                    Ok(machine) => held.push(machine),
                    Err(error) => break error,
                }
            };
            let error = BackendError::Other(format!("{error:?}"));
            stage.finish(Err(error)).await;
        }
        "recursion" => drop(black_box(deeper(black_box(1)))),
        "streams" => loop {
            std::mem::forget(wit_stream::new::<BuildEvent>());
        },
        "calls" => {
            let mut calls = Vec::new();
            loop {
                let mut call = Box::pin(control::cancelled());
                let _ = futures::poll!(call.as_mut());
                calls.push(call);
            }
        }
        // Of one snapshot, which all of them borrow.
        "lookups" => {
            let Ok(machine) = stage.boot(0).await else {
                return None;
            };
            let Ok(snapshot) = machine.snapshot().await else {
                return None;
            };
            let lookups = (0..100_000).map(|_| vm::cache_lookup(0, Some(&snapshot)));
            let answered = futures::future::join_all(lookups).await;
            let error = BackendError::Other(format!("{} answered", answered.len()));
            stage.finish(Err(error)).await;
        }
        // More of an environment than one call may hand over.
        "many-pairs" => {
            let Ok(machine) = stage.boot(0).await else {
                return None;
            };
            let mut spec = command("true");
            spec.env = vec![(String::new(), String::new()); 2_000_000];
            drop(machine.exec(spec).await);
        }
        // Commands that last, as many as there may be.
        "many-commands" => {
            let Ok(machine) = stage.boot(0).await else {
                return None;
            };
            let mut held = Vec::new();
            let error = loop {
                match machine.exec(command("sleep 600")).await {
                    Ok(running) => held.push(running),
                    Err(error) => break error,
                }
            };
            let error = BackendError::Other(format!("{error:?} after {}", held.len()));
            stage.finish(Err(error)).await;
        }
        // Commands that have ended, each with output that nobody reads.
        "unread-commands" => {
            let Ok(machine) = stage.boot(0).await else {
                return None;
            };
            let mut held = Vec::new();
            let error = loop {
                match machine.exec(command("head -c 200000 /dev/zero")).await {
                    Ok(running) => {
                        let _ = running.status.await;
                        held.push(running.output);
                    }
                    Err(error) => break error,
                }
            };
            let error = BackendError::Other(format!("{error:?} after {}", held.len()));
            stage.finish(Err(error)).await;
        }
        "half-streams" => loop {
            let (writer, reader) = wit_stream::new::<BuildEvent>();
            drop(writer);
            std::mem::forget(reader);
        },
        "loop-beside-a-step" => {
            stage.queued(0).await;
            stage.started(0).await;
            spin();
        }
        "bytes-of-output" => {
            stage.queued(0).await;
            stage.started(0).await;
            loop {
                stage.output(0, b"x").await;
            }
        }
        "huge-log" => log::info("x".repeat(200 << 20)),
        "flood-of-notices" => loop {
            let notice = BuildEvent::Notice(Notice::new(Level::Info, "again"));
            if !stage.events.write_all(vec![notice; 64]).await.is_empty() {
                return None;
            }
        },
        "flood-of-output" => {
            stage.queued(0).await;
            stage.started(0).await;
            loop {
                stage.output(0, b"").await;
            }
        }
        "huge-output" => {
            stage.queued(0).await;
            stage.started(0).await;
            stage.output(0, &vec![b'x'; 64 << 20]).await;
        }
        "deep-json" => {
            let json = format!("{}{}", "[".repeat(8_000), "]".repeat(8_000));
            stage
                .emit(BuildEvent::Custom(Custom {
                    name: "deep".into(),
                    json,
                }))
                .await;
        }
        _ => return Some(stage),
    }
    None
}

fn command(text: &str) -> ExecSpec {
    ExecSpec {
        command: text.into(),
        env: Vec::new(),
        working_dir: None,
        timeout_ms: None,
    }
}

/// Goes round until it is stopped. The number keeps the loop from being thought away.
pub(crate) fn spin() -> ! {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

#[expect(unconditional_recursion, reason = "the point of it")]
fn deeper(depth: u64) -> u64 {
    deeper(black_box(depth + 1)) + black_box(depth)
}
