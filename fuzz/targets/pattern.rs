#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tracewell_probes::fuzz::pattern(data));
