//! Programs: load, run, pin, ask.

mod load_error;

pub use load_error::ProgLoadError;
