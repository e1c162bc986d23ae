//! The kernel matrix.
#![forbid(unsafe_code)]
