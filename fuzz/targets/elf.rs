#![no_main]
#[path = "../../probes/tests/user_fixtures/exercise.rs"]
mod exercise;
libfuzzer_sys::fuzz_target!(|data: &[u8]| exercise::elf(data.to_vec()));
