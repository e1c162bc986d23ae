#![no_main]
#[path = "../../loader/tests/exercise/mod.rs"]
mod exercise;

use std::sync::LazyLock;

static KERNEL: LazyLock<Vec<u8>> = LazyLock::new(exercise::kernel);

libfuzzer_sys::fuzz_target!(|data: &[u8]| exercise::object(data, &KERNEL));
