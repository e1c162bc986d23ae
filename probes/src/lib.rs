//! Event sources.
#![forbid(unsafe_code)]
