//! The running kernel: its types, modules, configuration and symbols.
