//! Takes more than its share.

use std::hint::black_box;

use hm_backend_sdk::bindings::hm::backend::control;
use hm_backend_sdk::bindings::wit_stream;
use hm_backend_sdk::{BackendError, BuildEvent, Custom, Level, Notice, clock, log};

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
                "-v=/:/host", "--privileged", "../x", "/etc", "file:///etc", "a b", "a\0b", "",
                "UPPER/Case:Tag", "another:1", "alpine@sha256:00", &long,
            ];
            let mut had = Vec::new();
            for name in names {
                let booted = Machine::boot_image(0, name, OPTIONS).await;
                if !matches!(booted, Err(VmError::Denied(_))) {
                    had.push(name.to_owned());
                }
            }
            stage.finish(Err(BackendError::Other(format!("had {had:?}")))).await;
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

/// Goes round until it is stopped. The number keeps the loop from being thought away.
fn spin() -> ! {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

#[expect(unconditional_recursion, reason = "the point of it")]
fn deeper(depth: u64) -> u64 {
    deeper(black_box(depth + 1)) + black_box(depth)
}
