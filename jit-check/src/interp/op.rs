//! Instructions as the interpreter's loop wants them: sixteen bytes each, operands ready.

/// One instruction, decoded in advance.
///
/// Slots stand where instructions stand (the 64-bit load takes one), so jumps count slots.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    pub code: Code,
    pub dst: u8,
    pub src: u8,
    /// Bytes of a packet load.
    pub width: u8,
    /// Bytes from the base, or slots from the next instruction.
    pub off: i32,
    /// Immediate, extended as the operation wants it.
    pub imm: u64,
}

impl Op {
    pub const fn new(code: Code) -> Op {
        Op { code, dst: 0, src: 0, width: 0, off: 0, imm: 0 }
    }
}

macro_rules! codes {
    ($($code:ident)*) => {
        /// What an [`Op`] does. Names end in the operand (`R`egister, `I`mmediate), before it stands the width.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Code { $($code),* }
    };
}

codes! {
    Add64R Add64I Add32R Add32I Sub64R Sub64I Sub32R Sub32I Mul64R Mul64I Mul32R Mul32I
    Div64R Div64I Div32R Div32I SDiv64R SDiv64I SDiv32R SDiv32I
    Mod64R Mod64I Mod32R Mod32I SMod64R SMod64I SMod32R SMod32I
    Or64R Or64I Or32R Or32I And64R And64I And32R And32I Xor64R Xor64I Xor32R Xor32I
    Lsh64R Lsh64I Lsh32R Lsh32I Rsh64R Rsh64I Rsh32R Rsh32I Arsh64R Arsh64I Arsh32R Arsh32I
    Mov64R Mov32R MovI Neg64 Neg32
    MovSx8To64 MovSx16To64 MovSx32To64 MovSx8To32 MovSx16To32
    Swap16 Swap32 Swap64 Zext16 Zext32 Nop
    Load8 Load16 Load32 Load64 LoadSx8 LoadSx16 LoadSx32
    Store8R Store16R Store32R Store64R Store8I Store16I Store32I Store64I
    Jump
    Eq64R Eq64I Eq32R Eq32I Ne64R Ne64I Ne32R Ne32I
    Gt64R Gt64I Gt32R Gt32I Ge64R Ge64I Ge32R Ge32I
    Lt64R Lt64I Lt32R Lt32I Le64R Le64I Le32R Le32I
    Set64R Set64I Set32R Set32I
    SGt64R SGt64I SGt32R SGt32I SGe64R SGe64I SGe32R SGe32I
    SLt64R SLt64I SLt32R SLt32I SLe64R SLe64I SLe32R SLe32I
    MayGoto CallLocal Exit
    // Outside of the fast loop.
    Atomic32 Atomic64 Helper Kfunc LoadAbs LoadInd ToUserSpace Bad
}
