#![no_main]
#[path = "../../loader/tests/exercise_core/mod.rs"]
mod exercise_core;
libfuzzer_sys::fuzz_target!(|data: &[u8]| exercise_core::bytes(data));
