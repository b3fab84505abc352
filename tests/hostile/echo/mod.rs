//! A backend that behaves, in a world that does not: consent, what the repository may say
//! (C1), files that change (L7), and the cache of compiled code (L8).

mod cache;
mod consent;
mod repository;
mod swap;
