//! What nobody can raise; the other limits of requests stand in the table of all limits, as
//! `http-…`.

/// Addresses of one name that are looked at; the rest is not connected to.
pub(super) const ADDRESSES_MAX: usize = 16;

/// Room for the headers of a request in the guest's table, in bytes of memory.
pub(super) const FIELDS_BYTES: usize = 64 << 10;

/// Bytes copied out of the guest at once, for a request's body.
pub(super) const CHUNK_BYTES: usize = 64 << 10;
