//! An HTTP client. The user grants it host by host; the host attaches credentials, which a
//! backend never sees.
//!
//! ```no_run
//! use hm_backend_sdk::http::Client;
//! use std::time::Duration;
//!
//! #[derive(serde::Serialize)]
//! struct Job<'a> { command: &'a str }
//! #[derive(serde::Deserialize)]
//! struct Created { id: String }
//!
//! # async fn f() -> Result<(), hm_backend_sdk::BackendError> {
//! let service = Client::new("https://ci.example/v1/").timeout(Duration::from_secs(20));
//! let job = Job { command: "make" };
//! let created: Created = service.post("jobs").json(&job).fetch().await?;
//! let mut events = service.get(format!("jobs/{}/events", created.id)).follow();
//! while let Some(event) = events.next().await? {
//!     hm_backend_sdk::log::info(event.data);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What repeats safely is [tried again](Retry) after a broken connection or an overloaded
//! server. An [`Error`] becomes a [`BackendError`](crate::BackendError) by `?`.
//!
//! Redirects are answers like any other: the host follows none.

mod body;
mod client;
mod error;
mod follow;
mod request;
mod response;
mod retry;
mod sse;
mod url;
pub(crate) mod wire;

pub use body::Body;
#[cfg(target_family = "wasm")]
pub(crate) use body::Kind as BodyKind;
pub use client::Client;
pub use error::{Error, Failure};
pub use follow::Follow;
pub use request::{Method, Request};
pub use response::Response;
pub use retry::Retry;
pub use sse::{ServerEvent, ServerEvents};
pub use url::encode_segment;
