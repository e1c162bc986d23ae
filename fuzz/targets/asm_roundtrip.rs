#![no_main]
#[path = "../../asm/tests/exercise/mod.rs"]
mod exercise;
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let words = exercise::words(data);
    exercise::reassembly(&words);
    exercise::listing(&words);
});
