//! `cargo run -p hm-fuzz -- [TARGET] [SECONDS] [SEED]`: fuzzes for as long as one likes.

#![expect(clippy::print_stdout, reason = "a program whose product is a report")]

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use hm_fuzz::{run, targets};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let word = |index: usize| args.get(index).map(String::as_str);
    let seconds = word(1).and_then(|text| text.parse().ok()).unwrap_or(60);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seed = word(2)
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| now.map_or(0, |now| now.as_nanos() as u64));
    let mut failed = false;
    for (name, target) in targets::ALL {
        if word(0).is_some_and(|wanted| wanted != *name) {
            continue;
        }
        match run(name, *target, Duration::from_secs(seconds), seed) {
            Ok(tried) => println!(
                "{name}: {} kept, {} made, seed {seed}",
                tried.kept, tried.made
            ),
            Err(found) => {
                println!("{name}: {} does not stand, seed {seed}", found.display());
                failed = true;
            }
        }
    }
    ExitCode::from(u8::from(failed))
}
