#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tracewell_probes::fuzz::tracepoint_format(data));
