//! Joins what the guest says and what the machines print into one ordered stream.
//!
//! [`ledger`] checks every event against the order table when it arrives and knows what
//! the host itself saw; [`stream`] takes the checked entries from one queue, puts lines
//! together, hides secrets ([`mask`]) and hands the events on. [`clean`] is the one place where text becomes safe to
//! show.

pub(crate) mod clean;
pub(crate) mod ledger;
mod lines;
mod mask;
mod stream;
mod verdict;

pub(crate) use ledger::{Ledger, Observed, RunRefused, Setting, Violation};
pub(crate) use mask::Mask;
pub(crate) use stream::{Entry, Queue, sequence};
pub(crate) use verdict::Verdict;
