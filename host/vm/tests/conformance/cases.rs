//! The cases, by what they are about.

pub mod commands;
pub mod files;
pub mod keeping;
pub mod reach;
