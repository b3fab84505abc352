//! `wasi:http`: requests to the places that the user granted, sent by the host.
//!
//! The component never opens a connection. A request is judged ([`pattern`], [`target`]),
//! then every address that its host resolves to ([`resolve`], [`address`]); the connection
//! goes to those addresses and no others. A credential ([`credential`]) is added last.
//! Redirects are answers like any other: what follows one is a new request.

mod address;
mod body;
mod credential;
mod denial;
mod error;
mod grant;
mod headers;
mod hooks;
mod limits;
mod network;
mod pattern;
mod resolve;
mod send;
mod session;
mod target;
pub(crate) mod words;

pub use address::PrivateRange;
pub use credential::Credential;
pub(crate) use denial::Denial;
pub use grant::HttpGrant;
pub(crate) use hooks::Http;
pub use network::{HttpNetwork, HttpProxy};
pub use pattern::{Pattern, PatternError};
pub use resolve::{Resolver, SystemResolver};
pub(crate) use session::HttpSession;
