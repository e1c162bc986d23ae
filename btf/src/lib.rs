//! BTF, the BPF type format.
#![forbid(unsafe_code)]
