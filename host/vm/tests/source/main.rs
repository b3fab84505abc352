//! The frozen source, by real trees.

mod contents;
mod delta;
mod mount;
mod tree;
mod user;
