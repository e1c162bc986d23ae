//! The BPF instruction set (RFC 9669).
#![forbid(unsafe_code)]
