//! The same program in the interpreter and in the kernel.

use super::{Live, LiveError, LiveOptions, load, make_maps, sys};
use crate::interp::{self, Machine};
use crate::program::Program;
use bpf_sys::map::{Map, MapType, UpdateFlags};
use bpf_sys::prog::{ProgType, TestRun};
use std::fmt;

pub use crate::interp::Input;

/// What a run left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// What the program returned: 32 bits, as the kernel reports it.
    pub retval: u32,
    /// The packet afterwards; empty for types without one.
    pub data: Vec<u8>,
    /// Elements of each map, by rising key; empty for maps that cannot be read so.
    pub maps: Vec<Vec<(Vec<u8>, Vec<u8>)>>,
}

/// The first thing in which interpreter and kernel differ.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// The returned value.
    Retval {
        /// The interpreter's.
        here: u32,
        /// The kernel's.
        there: u32,
    },
    /// The packet afterwards.
    Packet {
        /// First byte that differs.
        offset: usize,
        /// The interpreter's; `None` where its packet ends before.
        here: Option<u8>,
        /// The kernel's, likewise.
        there: Option<u8>,
    },
    /// A map's element.
    Element {
        /// Name of the map.
        map: String,
        /// Key.
        key: Vec<u8>,
        /// The interpreter's value; `None` where it has none.
        here: Option<Vec<u8>>,
        /// The kernel's, likewise.
        there: Option<Vec<u8>>,
    },
    /// The interpreter stopped at an access that the kernel's verifier had allowed, or at something that it cannot do.
    Trapped(interp::Trap),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Retval { here, there } => {
                write!(f, "the interpreter returned {here:#x}, the kernel {there:#x}")
            }
            Difference::Packet { offset, here, there } => {
                write!(
                    f,
                    "byte {offset} of the packet is {here:02x?} in the interpreter, {there:02x?} in the kernel"
                )
            }
            Difference::Element { map, key, here, there } => write!(
                f,
                "map `{map}`, key {key:02x?}: the interpreter has {here:02x?}, the kernel {there:02x?}"
            ),
            Difference::Trapped(trap) => {
                write!(f, "the interpreter stopped where the kernel went on: {trap}")
            }
        }
    }
}

/// Runs a program in the interpreter and in the running kernel (BPF_PROG_TEST_RUN) on each of the inputs, the maps going
/// on from one to the next, and gives the first difference with the input's index.
///
/// # Errors
///
/// [`LiveError`] where the kernel refuses the program or cannot run its type.
pub fn compare(program: &Program, inputs: &[Input]) -> Result<Option<(usize, Difference)>, LiveError> {
    let maps = make_maps(program)?;
    let live = load(program, &maps, LiveOptions::default())?;
    compare_loaded(program, &live, &maps, inputs)
}

/// As [`compare`], with a program that is loaded already, and with its maps in their initial state.
///
/// # Errors
///
/// As [`compare`].
pub fn compare_loaded(
    program: &Program,
    live: &Live,
    maps: &[Map],
    inputs: &[Input],
) -> Result<Option<(usize, Difference)>, LiveError> {
    let mut machine =
        Machine::new(program, interp::Options::default()).map_err(|error| stopped(error.to_string()))?;
    for (index, input) in inputs.iter().enumerate() {
        let there = run_there(program, live, maps, input)?;
        let difference = match run_here(program, &mut machine, input) {
            Ok(here) => differ(program, &here, &there),
            Err(trap) => Some(Difference::Trapped(trap)),
        };
        if let Some(difference) = difference {
            return Ok(Some((index, difference)));
        }
    }
    Ok(None)
}

fn stopped(what: String) -> LiveError {
    sys("run the program in the interpreter".to_owned(), bpf_sys::Error::Invalid { what })
}

/// Runs it in the interpreter.
///
/// # Errors
///
/// What stopped it.
pub fn run_here(program: &Program, machine: &mut Machine, input: &Input) -> Result<Outcome, interp::Trap> {
    let exit = machine.run(input)?;
    let mut maps = machine.maps();
    let contents = (0..program.maps.len())
        .map(|at| {
            let is_readable = maps.map_type(at).is_some_and(readable);
            let mut entries = if is_readable { maps.entries(at) } else { Vec::new() };
            entries.sort();
            entries
        })
        .collect();
    Ok(Outcome { retval: exit.r0 as u32, data: exit.data_out, maps: contents })
}

/// Runs it in the kernel.
///
/// # Errors
///
/// Where the kernel cannot run programs of this type on such input.
pub fn run_there(program: &Program, live: &Live, maps: &[Map], input: &Input) -> Result<Outcome, LiveError> {
    let takes_packet = takes_packet(program.prog_type);
    let zeroes = [0_u8; 64];
    let data = if !takes_packet {
        &[][..]
    } else if input.data.is_empty() {
        &zeroes[..]
    } else {
        &input.data
    };
    let mut data_out = vec![0; if takes_packet { data.len() + 512 } else { 0 }];
    let run = TestRun { data, data_out: &mut data_out, ctx: &input.ctx, ..TestRun::default() };
    let done = live
        .prog
        .test_run(run)
        .map_err(|source| sys("run the program (BPF_PROG_TEST_RUN)".to_owned(), source))?;
    data_out.truncate(done.data_len);
    let mut contents = Vec::new();
    for map in maps {
        contents.push(entries(map).map_err(|source| sys("read a map".to_owned(), source))?);
    }
    Ok(Outcome { retval: done.retval, data: data_out, maps: contents })
}

fn entries(map: &Map) -> bpf_sys::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut keys = Vec::new();
    if readable(map.map_type()) {
        map.for_each_key(|key| keys.push(key.to_vec()))?;
    }
    keys.sort();
    let mut found = Vec::new();
    for key in keys {
        let mut value = vec![0; map.value_len()];
        if map.lookup_flags(&key, &mut value, UpdateFlags::ANY)? {
            found.push((key, value));
        }
    }
    Ok(found)
}

/// Types whose elements can be listed and compared byte by byte.
fn readable(map_type: MapType) -> bool {
    matches!(map_type, MapType::Array | MapType::Hash | MapType::LruHash)
}

fn takes_packet(prog_type: ProgType) -> bool {
    !matches!(
        prog_type,
        ProgType::RawTracepoint
            | ProgType::RawTracepointWritable
            | ProgType::Syscall
            | ProgType::Tracing
            | ProgType::StructOps
            | ProgType::SkLookup
    )
}

fn differ(program: &Program, here: &Outcome, there: &Outcome) -> Option<Difference> {
    if here.retval != there.retval {
        return Some(Difference::Retval { here: here.retval, there: there.retval });
    }
    let len = here.data.len().max(there.data.len());
    if let Some(offset) = (0..len).find(|at| here.data.get(*at) != there.data.get(*at)) {
        let byte = |data: &[u8]| data.get(offset).copied();
        return Some(Difference::Packet { offset, here: byte(&here.data), there: byte(&there.data) });
    }
    for (at, (ours, theirs)) in here.maps.iter().zip(&there.maps).enumerate() {
        let value = |list: &[(Vec<u8>, Vec<u8>)], key: &[u8]| {
            list.iter().find(|entry| entry.0 == key).map(|entry| entry.1.clone())
        };
        for (key, _) in ours.iter().chain(theirs) {
            let (here, there) = (value(ours, key), value(theirs, key));
            if here != there {
                let map = program.maps.get(at).map_or_else(String::new, |map| map.name.clone());
                return Some(Difference::Element { map, key: key.clone(), here, there });
            }
        }
    }
    None
}

/// What the interpreter returns on the last of these inputs.
///
/// # Errors
///
/// [`LiveError::Sys`] with what stopped it.
pub fn outcome_here(program: &Program, inputs: &[Input]) -> Result<u32, LiveError> {
    let stopped =
        |what: String| sys("run the program in the interpreter".to_owned(), bpf_sys::Error::Invalid { what });
    let mut machine =
        Machine::new(program, interp::Options::default()).map_err(|error| stopped(error.to_string()))?;
    let mut retval = 0;
    for input in inputs {
        retval = run_here(program, &mut machine, input).map_err(|trap| stopped(trap.to_string()))?.retval;
    }
    Ok(retval)
}
