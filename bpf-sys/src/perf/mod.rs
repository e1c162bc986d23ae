//! perf_event_open(2): what an event is, its descriptor, its ring of records.
//!
//! [`PerfAttr`] describes an event, [`PerfEvent`] is an open one, [`ring::PerfRing`] reads what it writes, and
//! [`record`] gives those bytes their meaning.

pub mod attr;
pub mod counts;
pub mod event;
pub mod pmu;
pub mod record;
pub mod ring;
pub mod sample;
pub mod types;
pub(crate) mod walk;

pub use attr::{PerfAttr, PmuConfig, Sampling, Source, Wakeup};
pub use counts::{Counter, Counts};
pub use event::PerfEvent;
pub use pmu::{FormatBits, pmu_format, pmu_type};
pub use ring::PerfRing;
pub use types::*;
