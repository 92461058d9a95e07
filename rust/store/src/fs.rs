//! Directories and files: descriptor-relative system calls, exclusive claims, and files that are complete or absent.

pub mod claim;
pub mod dir;
pub mod durable;
pub mod root;
