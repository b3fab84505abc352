//! What is printed at the end.

use std::fmt;
use std::time::Duration;

use crate::measure::Process;

/// Rows of figures.
pub struct Table {
    rows: Vec<[String; 7]>,
}

impl Table {
    /// Makes an empty table.
    pub fn new() -> Self {
        let head = [
            "what",
            "baseline",
            "hm",
            "ratio",
            "over, per step",
            "limit",
            "peak memory",
        ];
        Self {
            rows: vec![head.map(str::to_owned)],
        }
    }

    /// Adds a row: `steps` divides the difference, `limit` is the figure to reach.
    pub fn add(&mut self, what: &str, baseline: Duration, hm: Process, steps: u32, limit: &str) {
        let over = hm.wall.saturating_sub(baseline) / steps.max(1);
        self.rows.push([
            what.to_owned(),
            time(baseline),
            time(hm.wall),
            format!(
                "{:.2}",
                hm.wall.as_secs_f64() / baseline.as_secs_f64().max(1e-9)
            ),
            time(over),
            limit.to_owned(),
            if hm.peak == 0 {
                String::new()
            } else {
                format!("{:.1} MB", hm.peak as f64 / 1e6)
            },
        ]);
    }

    /// Adds a row about sizes, in bytes; a `limit` of 0 is none.
    pub fn add_bytes(&mut self, what: &str, baseline: u64, hm: u64, limit: u64) {
        let kb = |bytes: u64| format!("{:.1} kB", bytes as f64 / 1e3);
        self.rows.push([
            what.to_owned(),
            kb(baseline),
            kb(hm),
            format!("{:.2}", hm as f64 / baseline.max(1) as f64),
            String::new(),
            if limit == 0 { String::new() } else { kb(limit) },
            String::new(),
        ]);
    }
}

fn time(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    match micros {
        ..1e3 => format!("{micros:.1} us"),
        ..1e6 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            self.rows
                .iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<_> = (0..7).map(width).collect();
        for row in &self.rows {
            let cells = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, &width))| {
                    if column == 0 {
                        format!("{cell:<width$}")
                    } else {
                        format!("{cell:>width$}")
                    }
                });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}
