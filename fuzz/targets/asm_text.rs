#![no_main]
#[path = "../../asm/tests/exercise/mod.rs"]
mod exercise;
libfuzzer_sys::fuzz_target!(|data: &[u8]| exercise::text(&String::from_utf8_lossy(data)));
