//! What nobody can raise; the other limits of requests stand in the table of all limits, as
//! `http-…`.

/// Addresses of one name that are looked at; the rest is not connected to.
pub(super) const ADDRESSES_MAX: usize = 16;

/// Room for the headers of a request in the guest's table, in bytes of memory.
pub(super) const FIELDS_BYTES: usize = 64 << 10;

/// Bytes copied out of the guest at once, for a request's body.
pub(super) const CHUNK_BYTES: usize = 64 << 10;

/// Bytes of a request's method, of which the longest that is registered has 17.
pub(super) const METHOD_BYTES: usize = 64;

/// Bytes of a request's authority: a name of 253 and a port fit.
pub(super) const AUTHORITY_BYTES: usize = 512;
