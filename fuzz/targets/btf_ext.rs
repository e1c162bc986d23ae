#![no_main]
#[path = "../../btf/tests/exercise/mod.rs"]
mod exercise;
libfuzzer_sys::fuzz_target!(|data: &[u8]| exercise::ext(data));
