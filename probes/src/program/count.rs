//! The counting program.

use asm::{BuildError, Helper, Program, R0, R1, R2, R7, R10, Size};

use super::{DATA, Frame, Key};

/// How the counters lie in memory: a row for each processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Bytes from one row to the next.
    pub stride: u32,
    /// How many rows.
    pub count: u32,
    /// All rows are one map element, whose address is part of the program; otherwise each row is an element.
    pub one_element: bool,
}

impl Rows {
    /// Two cache lines, because processors fetch them in pairs.
    const ALIGN: u32 = 128;
    /// The largest element of an array map that every kernel takes.
    const MAX_ELEMENT: u64 = 1 << 22;

    /// The layout for that many targets; `None` if a row would be too large for the kernel.
    pub fn new(targets: u32, processors: u32) -> Option<Rows> {
        let stride = targets.checked_mul(8)?.checked_next_multiple_of(Self::ALIGN)?;
        let all = u64::from(stride) * u64::from(processors);
        (u64::from(stride) <= Self::MAX_ELEMENT).then_some(Rows {
            stride,
            count: processors,
            one_element: all <= Self::MAX_ELEMENT,
        })
    }
}

/// Adds 1 to the target's counter in the row of this processor.
pub(crate) fn program(frame: &Frame<'_>, rows: Rows) -> Result<Program, BuildError> {
    let mut b = frame.builder();
    let out = b.label();
    frame.emit_filter(&mut b, out);
    frame.emit_key(&mut b, out);
    b.call(Helper::GET_SMP_PROCESSOR_ID).jge_imm(R0, rows.count.cast_signed(), out);
    if rows.one_element {
        b.mul_imm(R0, rows.stride.cast_signed());
        match frame.key {
            Key::Constant(index) => {
                b.ld_map_value(R1, DATA, index * 8).add(R1, R0);
            }
            _ => {
                b.lsh_imm(R7, 3).add(R0, R7).ld_map_value(R1, DATA, 0).add(R1, R0);
            }
        }
    } else {
        b.store(Size::W, R10, -8, R0);
        b.ld_map(R1, DATA).mov(R2, R10).add_imm(R2, -8).call(Helper::MAP_LOOKUP_ELEM).jeq_imm(R0, 0, out);
        b.mov(R1, R0).lsh_imm(R7, 3).add(R1, R7);
    }
    if frame.kind.preemptible() {
        b.mov_imm(R2, 1).atomic_add(Size::DW, R1, 0, R2);
    } else {
        // Nothing comes between: preemption is off, and the kernel refuses to nest these programs on a processor.
        b.load(Size::DW, R2, R1, 0).add_imm(R2, 1).store(Size::DW, R1, 0, R2);
    }
    b.bind(out).mov_imm(R0, 0).exit();
    b.finish()
}
