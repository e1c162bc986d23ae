//! The raw BPF and perf_event system calls.
