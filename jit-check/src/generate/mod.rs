//! Programs that are nearly valid, made of any bytes: for finding out whether two verifiers, or two ways of running a
//! program, agree.
//!
//! [`program`] turns bytes (of a fuzzer, of `proptest::collection::vec(any::<u8>(), ..)`, of a random generator) into a
//! program: the same bytes give the same program, and a few bytes changed give one much like it. It knows what it has put
//! into registers and stack slots, so that most of what it does is allowed: look-ups with their check for NULL, packet
//! accesses behind a comparison with the end, masked indices, loops that end, spills, subprograms. How often it does
//! something without looking is for [`Shape::wildness`] to say; that is what verifiers are there for.
//!
//! [`shrink`] makes a program smaller for as long as what was found stays.

mod bytes;
mod code;
mod data;
mod model;
mod shrinking;

pub use shrinking::{listing, shrink};

use crate::program::Program;
use bpf_sys::map::MapType;
use bpf_sys::prog::ProgType;
use bytes::Bytes;
use loader::MapSpec;

/// What kind of programs are made.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Shape {
    /// How many of 256 steps are taken without looking whether they are allowed.
    pub wildness: u8,
    /// Most steps; a step is one instruction or a few that belong together.
    pub steps: u32,
    /// Whether the result depends on nothing but the input: no time, no random numbers.
    pub deterministic: bool,
    /// Whether the instructions of ISA v4 and atomics that fetch are used.
    pub v4: bool,
    /// Types to choose from.
    pub types: &'static [ProgType],
}

impl Default for Shape {
    fn default() -> Shape {
        Shape {
            wildness: 8,
            steps: 48,
            deterministic: true,
            v4: true,
            types: &[ProgType::SocketFilter, ProgType::SchedCls, ProgType::Xdp],
        }
    }
}

/// The maps that each program has: an array, a hash, one value for each processor.
pub fn maps() -> Vec<MapSpec> {
    vec![
        MapSpec::new("numbers", MapType::Array, 4, 64, 4),
        MapSpec::new("names", MapType::Hash, 8, 48, 8),
        MapSpec::new("wide", MapType::Array, 4, 256, 1),
    ]
}

/// A program made of these bytes. It always ends in `exit`, whatever else is wrong with it.
pub fn program(bytes: &[u8], shape: &Shape) -> Program {
    let mut bytes = Bytes::new(bytes);
    let prog_type = shape.types[bytes.below(shape.types.len() as u32) as usize];
    let insns = code::Writer::new(&mut bytes, shape, prog_type).write();
    let mut program = Program::new("generated", prog_type, insns);
    program.maps = maps();
    program
}
