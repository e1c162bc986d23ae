//! The kernel matrix: what builds the test binaries, puts them into guests and adds up the results
//! (the `harness` binary behind `tests/run`), and what the tests in those guests share ([`support`]).
#![forbid(unsafe_code)]

pub mod build;
pub mod cpio;
pub mod guest;
pub mod initramfs;
pub mod kernels;
pub mod libtest;
pub mod objects;
pub mod report;
pub mod skips;
pub mod support;
