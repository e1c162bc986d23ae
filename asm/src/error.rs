//! What can be wrong with instructions read and with programs built.

use crate::{Isa, Size};
use thiserror::Error;

/// Why [`Builder::finish`](crate::Builder::finish), encoding or map resolution refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A jump or call names a label that was never bound.
    #[error(
        "instruction {insn} refers to label {label}, which is never bound; call `bind` where it shall point"
    )]
    UnboundLabel {
        /// Instruction word that refers to the label.
        insn: usize,
        /// Number of the label.
        label: usize,
    },
    /// A label was bound a second time.
    #[error("label {label} is bound again at instruction {insn}; use a new label for each place")]
    LabelBoundTwice {
        /// Position of the second binding, counted in calls of the builder.
        insn: usize,
        /// Number of the label.
        label: usize,
    },
    /// A label comes from another builder.
    #[error("instruction {insn} uses label {label}, which this builder did not make")]
    ForeignLabel {
        /// Position in calls of the builder.
        insn: usize,
        /// Number of the label.
        label: usize,
    },
    /// A jump does not fit 16 bits and the instruction set level has no long jump.
    #[error(
        "the jump at instruction {insn} spans {distance} instructions, more than 16 bits hold, and ISA {isa:?} has no \
         long jump; shorten the program or build with Isa::V4"
    )]
    JumpTooFar {
        /// Instruction word of the jump.
        insn: usize,
        /// Distance in words.
        distance: i64,
        /// Level in force.
        isa: Isa,
    },
    /// An instruction needs a higher instruction set level than the builder was made for.
    #[error("instruction {insn} needs ISA {needs:?} but the builder is limited to {isa:?}; {instead}")]
    NeedsIsa {
        /// Instruction word.
        insn: usize,
        /// Lowest level that has it.
        needs: Isa,
        /// Level in force.
        isa: Isa,
        /// What to use instead.
        instead: &'static str,
    },
    /// The instruction does not exist in this size.
    #[error("{what} does not exist for {size:?} operands; allowed: {allowed}")]
    Size {
        /// Kind of instruction.
        what: &'static str,
        /// The size asked for.
        size: Size,
        /// The sizes that exist.
        allowed: &'static str,
    },
    /// A map reference lies outside the list of file descriptors.
    #[error(
        "instruction {insn} refers to map {map}, but the list given ends before it (length {given}); add its file descriptor"
    )]
    NoSuchMap {
        /// Instruction word.
        insn: usize,
        /// Index of the map.
        map: u32,
        /// Length of the list.
        given: usize,
    },
    /// A file descriptor in the list is negative.
    #[error(
        "map {map}, used by instruction {insn}, has the invalid file descriptor {fd}; create the map first"
    )]
    BadMapFd {
        /// Instruction word.
        insn: usize,
        /// Index of the map.
        map: u32,
        /// The descriptor.
        fd: i32,
    },
}

/// Why words are not an instruction, with the rule of the encoding that they break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// There are no words to decode.
    #[error("no instruction word left to decode")]
    Empty,
    /// No instruction has this opcode.
    #[error("opcode {opcode:#04x} is no instruction: {why}")]
    UnknownOpcode {
        /// The opcode byte.
        opcode: u8,
        /// What is unknown about it.
        why: &'static str,
    },
    /// A register number above 10.
    #[error("opcode {opcode:#04x}: {field} register {number} does not exist, registers are r0 to r10")]
    BadRegister {
        /// The opcode byte.
        opcode: u8,
        /// `destination` or `source`.
        field: &'static str,
        /// The number found.
        number: u8,
    },
    /// A field the instruction does not use is not zero.
    #[error("opcode {opcode:#04x} ({what}): the {field} field is reserved and must be zero, found {value}")]
    Reserved {
        /// The opcode byte.
        opcode: u8,
        /// The kind of instruction.
        what: &'static str,
        /// The field.
        field: &'static str,
        /// What was found in it.
        value: i64,
    },
    /// A field that selects a variant holds a value that selects none.
    #[error("opcode {opcode:#04x} ({what}): {value} is no valid {field}; allowed: {allowed}")]
    BadField {
        /// The opcode byte.
        opcode: u8,
        /// The kind of instruction.
        what: &'static str,
        /// The field.
        field: &'static str,
        /// What was found in it.
        value: i64,
        /// The values that exist.
        allowed: &'static str,
    },
    /// A 64-bit immediate load without its second word.
    #[error("opcode 0x18 (64-bit immediate load) is two words long, but its second word is missing")]
    Truncated,
    /// The second word of a 64-bit immediate load is not a bare immediate.
    #[error(
        "opcode 0x18 (64-bit immediate load): the second word's {field} field must be zero, found {value}"
    )]
    BadSecondWord {
        /// The field.
        field: &'static str,
        /// What was found in it.
        value: i64,
    },
}
