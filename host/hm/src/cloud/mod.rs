//! Harmont's cloud, as the commands outside the sandbox use it: who asks, for whom, where.

mod account;
mod browser;
mod client;
mod origin;

pub(crate) use account::{Account, Bearer};
pub(crate) use browser::open as open_browser;
pub(crate) use client::{Client, Gone, refusal};
pub(crate) use origin::Origin;
