#![no_main]
extern crate tracewell_bpf_sys as bpf_sys;
#[path = "../../jit-check/tests/check_exercise/mod.rs"]
mod exercise;
libfuzzer_sys::fuzz_target!(|data: &[u8]| exercise::simulator(data));
