//! `cargo xtask bench`: what hm costs, as ratios to a baseline run side by side.
//!
//! Every row interleaves its baseline and its subject, so that what else the machine does
//! hits both. Figures are medians; "over" is the difference, "ratio" the quotient.

#![expect(clippy::print_stdout, reason = "a program whose product is a table")]

mod author;
mod cloud;
mod component;
mod measure;
mod plan;
mod policy;
mod program;
mod project;
mod stub;
mod table;
mod vm;

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::table::Table;

fn main() -> Result<()> {
    // Components are read and compiled by this program, executed again.
    if let Some(code) = std::env::args_os()
        .nth(1)
        .and_then(|first| hm_exec::worker_main(&first))
    {
        std::process::exit(code);
    }
    let mut args = std::env::args().skip(1);
    let first = args.next();
    let hm = first
        .map(PathBuf::from)
        .unwrap_or_else(|| "target/release/hm".into());
    let hm = hm
        .canonicalize()
        .with_context(|| format!("no hm at {}: `cargo build --release -p hm`", hm.display()))?;
    let only: Vec<String> = args.collect();
    let wanted =
        |name: &str| only.is_empty() || only.iter().any(|word| name.contains(word.as_str()));

    let mut table = Table::new();
    for (name, row) in program::ROWS {
        if wanted(name) {
            row(&hm, &mut table).with_context(|| (*name).to_owned())?;
        }
    }
    vm::run(&hm, wanted, &mut table)?;
    let runtime = tokio::runtime::Runtime::new()?;
    for (name, row) in component::ROWS.iter().chain(author::ROWS) {
        if wanted(name) {
            row(&runtime, &mut table).with_context(|| (*name).to_owned())?;
        }
    }
    println!("{table}");
    Ok(())
}
