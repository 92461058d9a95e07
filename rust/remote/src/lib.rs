//! The verbs of `llem-store` on object stores.

#![forbid(unsafe_code)]
