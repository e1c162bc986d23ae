//! The raw instruction word, registers and access sizes.

use std::fmt;

/// A BPF register.
///
/// `r0` holds results, `r1`..`r5` arguments, `r6`..`r9` survive calls, `r10` is the read-only frame pointer
/// (RFC 9669, section 2.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Reg(u8);

impl Reg {
    /// Return value of calls and exit value of programs.
    pub const R0: Reg = Reg(0);
    /// First argument; the context when a program starts.
    pub const R1: Reg = Reg(1);
    /// Second argument.
    pub const R2: Reg = Reg(2);
    /// Third argument.
    pub const R3: Reg = Reg(3);
    /// Fourth argument.
    pub const R4: Reg = Reg(4);
    /// Fifth argument.
    pub const R5: Reg = Reg(5);
    /// Saved across calls.
    pub const R6: Reg = Reg(6);
    /// Saved across calls.
    pub const R7: Reg = Reg(7);
    /// Saved across calls.
    pub const R8: Reg = Reg(8);
    /// Saved across calls.
    pub const R9: Reg = Reg(9);
    /// Frame pointer, read-only.
    pub const R10: Reg = Reg(10);
    /// The kernel's auxiliary register (`r11`).
    ///
    /// Only the kernel's own rewriting puts it into instructions (seen in translated dumps); programs that use it are
    /// refused, also by [`decode`](crate::decode).
    #[doc(alias = "BPF_REG_AX")]
    pub const AX: Reg = Reg(11);

    /// The register with this number, 0 to 10.
    pub const fn new(number: u8) -> Option<Reg> {
        if number <= 10 { Some(Reg(number)) } else { None }
    }

    /// The register's number.
    pub const fn number(self) -> u8 {
        self.0
    }

    pub(crate) const fn raw(number: u8) -> Reg {
        Reg(number & 0xf)
    }
}

/// `r0`
pub const R0: Reg = Reg::R0;
/// `r1`
pub const R1: Reg = Reg::R1;
/// `r2`
pub const R2: Reg = Reg::R2;
/// `r3`
pub const R3: Reg = Reg::R3;
/// `r4`
pub const R4: Reg = Reg::R4;
/// `r5`
pub const R5: Reg = Reg::R5;
/// `r6`
pub const R6: Reg = Reg::R6;
/// `r7`
pub const R7: Reg = Reg::R7;
/// `r8`
pub const R8: Reg = Reg::R8;
/// `r9`
pub const R9: Reg = Reg::R9;
/// `r10`, the frame pointer.
pub const R10: Reg = Reg::R10;

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// How many bytes a memory access moves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Size {
    /// One byte.
    #[doc(alias = "BPF_B")]
    B,
    /// Two bytes.
    #[doc(alias = "BPF_H")]
    H,
    /// Four bytes.
    #[doc(alias = "BPF_W")]
    W,
    /// Eight bytes.
    #[doc(alias = "BPF_DW")]
    DW,
}

impl Size {
    /// The number of bytes: 1, 2, 4 or 8.
    pub const fn bytes(self) -> usize {
        match self {
            Size::B => 1,
            Size::H => 2,
            Size::W => 4,
            Size::DW => 8,
        }
    }

    /// The size that moves this many bytes.
    pub const fn from_bytes(bytes: usize) -> Option<Size> {
        match bytes {
            1 => Some(Size::B),
            2 => Some(Size::H),
            4 => Some(Size::W),
            8 => Some(Size::DW),
            _ => None,
        }
    }

    pub(crate) const fn bits(self) -> u8 {
        match self {
            Size::W => 0x00,
            Size::H => 0x08,
            Size::B => 0x10,
            Size::DW => 0x18,
        }
    }

    pub(crate) const fn from_opcode(opcode: u8) -> Size {
        match opcode & 0x18 {
            0x00 => Size::W,
            0x08 => Size::H,
            0x10 => Size::B,
            _ => Size::DW,
        }
    }
}

/// Register width of an operation: the whole register or its lower half.
///
/// A 32-bit operation zeroes the upper half of its destination.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Width {
    /// The lower 32 bits (`w0`..`w10` in the disassembly).
    W32,
    /// All 64 bits.
    W64,
}

/// One raw 64-bit instruction word, any bit pattern.
///
/// Fields are in host byte order; [`to_bytes_le`](Insn::to_bytes_le) and [`to_u64`](Insn::to_u64) give the wire form
/// (RFC 9669, section 3.1).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[doc(alias = "bpf_insn")]
pub struct Insn {
    /// Class, operation and source/size/mode bits.
    pub opcode: u8,
    /// Destination register in the low nibble, source register in the high nibble.
    pub regs: u8,
    /// Signed 16-bit offset.
    pub off: i16,
    /// Signed 32-bit immediate.
    pub imm: i32,
}

impl Insn {
    /// An instruction word of its parts; register numbers are cut to four bits.
    pub const fn new(opcode: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
        Insn { opcode, regs: (dst & 0xf) | (src << 4), off, imm }
    }

    /// The destination register field; numbers above 11 have no meaning.
    pub const fn dst(self) -> Reg {
        Reg::raw(self.regs & 0xf)
    }

    /// The source register field; in some instructions it holds a kind instead of a register.
    pub const fn src(self) -> Reg {
        Reg::raw(self.regs >> 4)
    }

    /// The eight bytes as this machine's kernel wants them, read as one native-endian integer.
    pub const fn to_u64(self) -> u64 {
        if cfg!(target_endian = "big") {
            u64::from_ne_bytes(self.to_bytes_be())
        } else {
            u64::from_ne_bytes(self.to_bytes_le())
        }
    }

    /// The inverse of [`to_u64`](Insn::to_u64).
    pub const fn from_u64(word: u64) -> Insn {
        if cfg!(target_endian = "big") {
            Insn::from_bytes_be(word.to_ne_bytes())
        } else {
            Insn::from_bytes_le(word.to_ne_bytes())
        }
    }

    /// The wire form on a little-endian machine.
    pub const fn to_bytes_le(self) -> [u8; 8] {
        let [o0, o1] = self.off.to_le_bytes();
        let [i0, i1, i2, i3] = self.imm.to_le_bytes();
        [self.opcode, self.regs, o0, o1, i0, i1, i2, i3]
    }

    /// The wire form on a big-endian machine: the register nibbles change places as well.
    pub const fn to_bytes_be(self) -> [u8; 8] {
        let [o0, o1] = self.off.to_be_bytes();
        let [i0, i1, i2, i3] = self.imm.to_be_bytes();
        [self.opcode, self.regs.rotate_left(4), o0, o1, i0, i1, i2, i3]
    }

    /// Reads the little-endian wire form.
    pub const fn from_bytes_le(b: [u8; 8]) -> Insn {
        Insn {
            opcode: b[0],
            regs: b[1],
            off: i16::from_le_bytes([b[2], b[3]]),
            imm: i32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        }
    }

    /// Reads the big-endian wire form.
    pub const fn from_bytes_be(b: [u8; 8]) -> Insn {
        Insn {
            opcode: b[0],
            regs: b[1].rotate_left(4),
            off: i16::from_be_bytes([b[2], b[3]]),
            imm: i32::from_be_bytes([b[4], b[5], b[6], b[7]]),
        }
    }

    /// Reads this machine's wire form.
    pub const fn from_bytes(b: [u8; 8]) -> Insn {
        Insn::from_u64(u64::from_ne_bytes(b))
    }
}

impl fmt::Debug for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Insn({:02x} dst={} src={} off={} imm={:#x})",
            self.opcode,
            self.regs & 0xf,
            self.regs >> 4,
            self.off,
            self.imm
        )
    }
}
