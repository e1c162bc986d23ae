#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tracewell_bpf_sys::fuzz::perf_ring(data));
