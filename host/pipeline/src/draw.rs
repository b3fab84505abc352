//! A plan as a picture for people (`hm graph`).

mod dot;
mod tree;

pub use dot::dot;
pub use tree::tree;
