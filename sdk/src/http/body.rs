//! What a request carries.

use std::fmt;

use futures::stream::{LocalBoxStream, Stream, StreamExt};

use crate::platform;
use crate::source::Archive;

/// What a request carries.
pub struct Body(pub(crate) Kind);

pub(crate) enum Kind {
    Empty,
    Bytes(Vec<u8>),
    Stream(LocalBoxStream<'static, Vec<u8>>),
    Archive(platform::Archive),
}

impl Body {
    /// Nothing.
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// Chunks as they come. Such a request cannot be tried again.
    pub fn stream(chunks: impl Stream<Item = Vec<u8>> + 'static) -> Self {
        Self(Kind::Stream(chunks.boxed_local()))
    }

    /// Returns the length where it is known beforehand.
    pub(crate) fn len(&self) -> Option<usize> {
        match &self.0 {
            Kind::Empty => Some(0),
            Kind::Bytes(bytes) => Some(bytes.len()),
            Kind::Stream(_) | Kind::Archive(_) => None,
        }
    }

    /// Returns the same body for another try, or none if there is only one.
    pub(crate) fn again(&self) -> Option<Self> {
        match &self.0 {
            Kind::Empty => Some(Self::empty()),
            Kind::Bytes(bytes) => Some(Self(Kind::Bytes(bytes.clone()))),
            Kind::Stream(_) | Kind::Archive(_) => None,
        }
    }

    /// Returns its chunks; for a simulated server.
    #[cfg(not(target_family = "wasm"))]
    pub fn into_chunks(self) -> LocalBoxStream<'static, Vec<u8>> {
        match self.0 {
            Kind::Empty => futures::stream::empty().boxed_local(),
            Kind::Bytes(bytes) => futures::stream::iter([bytes]).boxed_local(),
            Kind::Stream(stream) => stream,
            Kind::Archive(archive) => archive.data,
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Kind::Bytes(bytes))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        text.as_bytes().to_vec().into()
    }
}

/// The source tree. Unless it was read from, its bytes do not pass through the backend.
impl From<Archive> for Body {
    fn from(archive: Archive) -> Self {
        Self(Kind::Archive(archive.0))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            Some(len) => write!(f, "Body({len} bytes)"),
            None => f.write_str("Body(stream)"),
        }
    }
}
