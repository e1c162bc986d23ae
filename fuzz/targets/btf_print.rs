#![no_main]
#[path = "../../btf/tests/print_exercise/mod.rs"]
mod print_exercise;
libfuzzer_sys::fuzz_target!(|data: &[u8]| print_exercise::print_bytes(data));
