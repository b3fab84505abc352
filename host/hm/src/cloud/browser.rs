//! Opens pages in the user's browser.

use std::process::{Command, Stdio};

/// Asks the system to open a page; false if it does not know how. What the browser prints
/// goes nowhere.
pub(crate) fn open(url: &str) -> bool {
    let own = std::env::var("BROWSER").ok().filter(|own| !own.is_empty());
    let programs = own
        .iter()
        .flat_map(|list| list.split(':'))
        .chain(["xdg-open", "open", "wslview"]);
    programs.into_iter().any(|program| start(program, url))
}

fn start(program: &str, url: &str) -> bool {
    let mut words = program.split_whitespace();
    let Some(name) = words.next() else {
        return false;
    };
    let started = Command::new(name)
        .args(words)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match started {
        Ok(mut child) => {
            // Some stay as long as their window does.
            std::thread::spawn(move || child.wait());
            true
        }
        Err(_) => false,
    }
}
