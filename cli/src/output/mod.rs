//! What the tools print, as pure functions of plain data: nothing here asks the kernel, the clock or the
//! terminal anything, so every format is tested on made-up rows.

pub mod btf;
pub mod cfg;
pub mod csv;
pub mod element;
pub mod feature;
pub mod folded;
pub mod jited;
pub mod json;
pub mod jsonw;
pub mod link;
pub mod live;
pub mod map;
pub mod prog;
pub mod text;
pub mod value;
pub mod xlated;

use std::io::{self, Write};
use std::rc::Rc;

/// The formats that `--format` offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// BCC's columns.
    Text,
    /// One JSON object an interval, each on a line of its own.
    Json,
    /// RFC 4180 records under one header.
    Csv,
    /// `frame;frame;frame COUNT`, what flame graph programs read.
    Folded,
}

/// The moment a block was read.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// `HH:MM:SS` in the local time zone.
    pub local: String,
    /// RFC 3339, UTC, milliseconds.
    pub utc: String,
    /// Microseconds since the probes were attached.
    pub elapsed_us: u64,
    /// Microseconds that this block covers.
    pub interval_us: u64,
}

/// One counted function.
#[derive(Clone, Copy, Debug)]
pub struct CountRow<'a> {
    /// The name as BCC prints it: `vfs_read`, `sched:sched_switch`, `malloc`.
    pub name: &'a str,
    /// Calls in this interval, never zero.
    pub count: u64,
}

/// What was not counted, by cause. `key` names the JSON field, `text` completes the sentence
/// "N events ...".
#[derive(Clone, Copy, Debug)]
pub struct Missed {
    /// Name of the JSON field.
    pub key: &'static str,
    /// What happened to these events and what can be done about it.
    pub text: &'static str,
    /// Events since the start.
    pub count: u64,
}

/// One interval of funccount.
#[derive(Debug)]
pub struct CountBlock<'a> {
    /// When.
    pub moment: &'a Moment,
    /// How many functions are attached.
    pub functions: usize,
    /// The rows, ascending, already cut to `-n`.
    pub rows: &'a [CountRow<'a>],
    /// Sum over all functions, the base of the percentages, whatever `-n` hides.
    pub total: u64,
    /// What was missed since the start.
    pub missed: &'a [Missed],
}

/// One frame of a stack.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The address.
    pub addr: u64,
    /// The symbol, or `None` when no symbol covers the address.
    pub name: Option<Rc<str>>,
    /// Bytes from the symbol's start.
    pub offset: u64,
}

/// One counted stack.
#[derive(Clone, Debug, Default)]
pub struct StackRow {
    /// Process id, where stacks are kept apart by process.
    pub pid: Option<u32>,
    /// Its command name.
    pub comm: String,
    /// Kernel frames, leaf first.
    pub kernel: Vec<Frame>,
    /// User frames, leaf first.
    pub user: Vec<Frame>,
    /// Events with this stack.
    pub count: u64,
}

/// One interval of stackcount.
#[derive(Debug)]
pub struct StackBlock<'a> {
    /// When.
    pub moment: &'a Moment,
    /// How many functions are attached.
    pub functions: usize,
    /// The rows, ascending, already cut to `-n`.
    pub rows: &'a [StackRow],
    /// Sum over all stacks, the base of the percentages, whatever `-n` hides.
    pub total: u64,
    /// What was missed since the start.
    pub missed: &'a [Missed],
}

/// How the text forms look; each field is an option of BCC's or ours.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// `-T`: the time before each block.
    pub timestamp: bool,
    /// `--percent`.
    pub percent: bool,
    /// `-s`: `name+0x1f`.
    pub offset: bool,
    /// `-v`: raw addresses.
    pub verbose: bool,
    /// `-d`: `--` between kernel and user stacks.
    pub delimited: bool,
    /// Stacks carry the `comm [pid]` line (`-P` without `-p`).
    pub process_line: bool,
}

/// Share of `count` in `total`, in percent.
pub fn percent(count: u64, total: u64) -> f64 {
    if total == 0 { 0.0 } else { count as f64 * 100.0 / total as f64 }
}

/// The lines for standard error that say what was missed; nothing when all is zero.
pub fn missed(out: &mut dyn Write, tool: &str, missed: &[Missed]) -> io::Result<()> {
    for m in missed.iter().filter(|m| m.count != 0) {
        let noun = if m.count == 1 { "event" } else { "events" };
        writeln!(out, "{tool}: warning: {} {noun} {}", m.count, m.text)?;
    }
    Ok(())
}

#[cfg(test)]
pub mod testdata {
    //! Rows that the formats' tests share.
    use super::*;

    pub fn moment() -> Moment {
        Moment {
            local: "12:34:56".into(),
            utc: "2026-11-21T11:34:56.789Z".into(),
            elapsed_us: 2_000_123,
            interval_us: 1_000_050,
        }
    }

    pub const ROWS: &[CountRow<'static>] = &[
        CountRow { name: "vfs_open", count: 1 },
        CountRow { name: "odd,\"name\"", count: 33 },
        CountRow { name: "a_function_name_longer_than_the_column_is", count: 123_456_789 },
    ];

    pub const MISSED: &[Missed] = &[
        Missed { key: "recursion", text: "were missed", count: 3 },
        Missed { key: "map_full", text: "did not fit", count: 0 },
    ];

    fn frame(addr: u64, name: &str, offset: u64) -> Frame {
        Frame { addr, name: (!name.is_empty()).then(|| name.into()), offset }
    }

    pub fn stack_rows() -> Vec<StackRow> {
        vec![
            StackRow {
                pid: Some(31009),
                comm: "lto-wrapper".into(),
                kernel: vec![frame(0xffff_ffff_8100_0266, "kernel_clone", 0x266)],
                user: vec![frame(0x7f9d_38b9_ef89, "", 0)],
                count: 1,
            },
            StackRow {
                pid: Some(7),
                comm: "a;b".into(),
                kernel: vec![
                    frame(0xffff_ffff_8100_0010, "vfs_read", 0),
                    frame(0xffff_ffff_8100_0020, "ksys_read", 0x5f),
                ],
                user: vec![frame(0x40_1000, "read", 0xd), frame(0x40_2000, "main", 0x20)],
                count: 3,
            },
        ]
    }
}
