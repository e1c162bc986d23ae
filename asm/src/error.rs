//! What can be wrong with instructions read and with programs built.

use std::fmt;

use crate::{Isa, Size};

/// Why [`Builder::finish`](crate::Builder::finish), encoding or map resolution refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// A jump or call names a label that was never bound.
    UnboundLabel {
        /// Instruction word that refers to the label.
        insn: usize,
        /// Number of the label.
        label: usize,
    },
    /// A label was bound a second time.
    LabelBoundTwice {
        /// Position of the second binding, counted in calls of the builder.
        insn: usize,
        /// Number of the label.
        label: usize,
    },
    /// A label comes from another builder.
    ForeignLabel {
        /// Position in calls of the builder.
        insn: usize,
        /// Number of the label.
        label: usize,
    },
    /// A jump does not fit 16 bits and the instruction set level has no long jump.
    JumpTooFar {
        /// Instruction word of the jump.
        insn: usize,
        /// Distance in words.
        distance: i64,
        /// Level in force.
        isa: Isa,
    },
    /// An instruction needs a higher instruction set level than the builder was made for.
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
    Size {
        /// Kind of instruction.
        what: &'static str,
        /// The size asked for.
        size: Size,
        /// The sizes that exist.
        allowed: &'static str,
    },
    /// A map reference lies outside the list of file descriptors.
    NoSuchMap {
        /// Instruction word.
        insn: usize,
        /// Index of the map.
        map: u32,
        /// Length of the list.
        given: usize,
    },
    /// A file descriptor in the list is negative.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// There are no words to decode.
    Empty,
    /// No instruction has this opcode.
    UnknownOpcode {
        /// The opcode byte.
        opcode: u8,
        /// What is unknown about it.
        why: &'static str,
    },
    /// A register number above 10.
    BadRegister {
        /// The opcode byte.
        opcode: u8,
        /// `destination` or `source`.
        field: &'static str,
        /// The number found.
        number: u8,
    },
    /// A field the instruction does not use is not zero.
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
    Truncated,
    /// The second word of a 64-bit immediate load is not a bare immediate.
    BadSecondWord {
        /// The field.
        field: &'static str,
        /// What was found in it.
        value: i64,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnboundLabel { insn, label } => write!(
                f,
                "instruction {insn} refers to label {label}, which is never bound; call `bind` where it shall point"
            ),
            Self::LabelBoundTwice { insn, label } => {
                write!(
                    f,
                    "label {label} is bound again at instruction {insn}; use a new label for each place"
                )
            }
            Self::ForeignLabel { insn, label } => {
                write!(f, "instruction {insn} uses label {label}, which this builder did not make")
            }
            Self::JumpTooFar { insn, distance, isa } => write!(
                f,
                "the jump at instruction {insn} spans {distance} instructions, more than 16 bits hold, and ISA {isa:?} \
                 has no long jump; shorten the program or build with Isa::V4"
            ),
            Self::NeedsIsa { insn, needs, isa, instead } => {
                write!(
                    f,
                    "instruction {insn} needs ISA {needs:?} but the builder is limited to {isa:?}; {instead}"
                )
            }
            Self::Size { what, size, allowed } => {
                write!(f, "{what} does not exist for {size:?} operands; allowed: {allowed}")
            }
            Self::NoSuchMap { insn, map, given } => write!(
                f,
                "instruction {insn} refers to map {map}, but the list given ends before it (length {given}); add its \
                 file descriptor"
            ),
            Self::BadMapFd { insn, map, fd } => write!(
                f,
                "map {map}, used by instruction {insn}, has the invalid file descriptor {fd}; create the map first"
            ),
        }
    }
}

impl std::error::Error for BuildError {}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no instruction word left to decode"),
            Self::UnknownOpcode { opcode, why } => write!(f, "opcode {opcode:#04x} is no instruction: {why}"),
            Self::BadRegister { opcode, field, number } => write!(
                f,
                "opcode {opcode:#04x}: {field} register {number} does not exist, registers are r0 to r10"
            ),
            Self::Reserved { opcode, what, field, value } => write!(
                f,
                "opcode {opcode:#04x} ({what}): the {field} field is reserved and must be zero, found {value}"
            ),
            Self::BadField { opcode, what, field, value, allowed } => {
                write!(f, "opcode {opcode:#04x} ({what}): {value} is no valid {field}; allowed: {allowed}")
            }
            Self::Truncated => f.write_str(
                "opcode 0x18 (64-bit immediate load) is two words long, but its second word is missing",
            ),
            Self::BadSecondWord { field, value } => write!(
                f,
                "opcode 0x18 (64-bit immediate load): the second word's {field} field must be zero, found {value}"
            ),
        }
    }
}

impl std::error::Error for DecodeError {}
