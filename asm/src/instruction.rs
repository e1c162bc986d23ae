//! The decoded, typed instruction.

use crate::{Helper, Reg, Size, Width};

/// Second operand of an arithmetic or conditional instruction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operand {
    /// A register.
    Reg(Reg),
    /// An immediate; 64-bit operations sign-extend it.
    Imm(i32),
}

impl From<Reg> for Operand {
    fn from(reg: Reg) -> Operand {
        Operand::Reg(reg)
    }
}

impl From<i32> for Operand {
    fn from(imm: i32) -> Operand {
        Operand::Imm(imm)
    }
}

/// Arithmetic operation with two operands (RFC 9669, section 4.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AluOp {
    /// `dst += src`
    #[doc(alias = "BPF_ADD")]
    Add,
    /// `dst -= src`
    #[doc(alias = "BPF_SUB")]
    Sub,
    /// `dst *= src`
    #[doc(alias = "BPF_MUL")]
    Mul,
    /// `dst /= src`, unsigned; division by zero gives zero.
    #[doc(alias = "BPF_DIV")]
    Div,
    /// `dst s/= src`, signed. ISA v4, since Linux 6.6.
    SDiv,
    /// `dst |= src`
    #[doc(alias = "BPF_OR")]
    Or,
    /// `dst &= src`
    #[doc(alias = "BPF_AND")]
    And,
    /// `dst <<= src`
    #[doc(alias = "BPF_LSH")]
    Lsh,
    /// `dst >>= src`, zeroes move in.
    #[doc(alias = "BPF_RSH")]
    Rsh,
    /// `dst %= src`, unsigned; modulo zero leaves `dst`.
    #[doc(alias = "BPF_MOD")]
    Mod,
    /// `dst s%= src`, signed. ISA v4, since Linux 6.6.
    SMod,
    /// `dst ^= src`
    #[doc(alias = "BPF_XOR")]
    Xor,
    /// `dst = src`
    #[doc(alias = "BPF_MOV")]
    Mov,
    /// `dst s>>= src`, the sign moves in.
    #[doc(alias = "BPF_ARSH")]
    Arsh,
}

/// Which byte order an [`Instruction::Swap`] makes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Swap {
    /// Host order to little-endian (`le16`): swaps on big-endian machines only.
    #[doc(alias = "BPF_TO_LE")]
    ToLe,
    /// Host order to big-endian (`be16`): swaps on little-endian machines only.
    #[doc(alias = "BPF_TO_BE")]
    ToBe,
    /// Always swaps (`bswap16`). ISA v4, since Linux 6.6.
    Bswap,
}

/// Condition of a jump: how `dst` compares with the operand (RFC 9669, section 4.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cond {
    /// `==`
    #[doc(alias = "BPF_JEQ")]
    Eq,
    /// `!=`
    #[doc(alias = "BPF_JNE")]
    Ne,
    /// `>`, unsigned
    #[doc(alias = "BPF_JGT")]
    Gt,
    /// `>=`, unsigned
    #[doc(alias = "BPF_JGE")]
    Ge,
    /// `<`, unsigned. ISA v2, since Linux 4.14.
    #[doc(alias = "BPF_JLT")]
    Lt,
    /// `<=`, unsigned. ISA v2, since Linux 4.14.
    #[doc(alias = "BPF_JLE")]
    Le,
    /// `&`: any common bit set
    #[doc(alias = "BPF_JSET")]
    Set,
    /// `s>`, signed
    #[doc(alias = "BPF_JSGT")]
    SGt,
    /// `s>=`, signed
    #[doc(alias = "BPF_JSGE")]
    SGe,
    /// `s<`, signed. ISA v2, since Linux 4.14.
    #[doc(alias = "BPF_JSLT")]
    SLt,
    /// `s<=`, signed. ISA v2, since Linux 4.14.
    #[doc(alias = "BPF_JSLE")]
    SLe,
}

impl Cond {
    /// The condition that holds exactly when this one does not; `None` for [`Cond::Set`], which has no opposite.
    pub const fn negate(self) -> Option<Cond> {
        Some(match self {
            Cond::Eq => Cond::Ne,
            Cond::Ne => Cond::Eq,
            Cond::Gt => Cond::Le,
            Cond::Ge => Cond::Lt,
            Cond::Lt => Cond::Ge,
            Cond::Le => Cond::Gt,
            Cond::SGt => Cond::SLe,
            Cond::SGe => Cond::SLt,
            Cond::SLt => Cond::SGe,
            Cond::SLe => Cond::SGt,
            Cond::Set => return None,
        })
    }
}

/// Atomic read-modify-write operation (RFC 9669, section 5.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AtomicOp {
    /// `*p += src`
    Add,
    /// `*p |= src`
    Or,
    /// `*p &= src`
    And,
    /// `*p ^= src`
    Xor,
    /// `src = old; *p += src`. ISA v3, since Linux 5.12.
    FetchAdd,
    /// `src = old; *p |= src`. Since Linux 5.12.
    FetchOr,
    /// `src = old; *p &= src`. Since Linux 5.12.
    FetchAnd,
    /// `src = old; *p ^= src`. Since Linux 5.12.
    FetchXor,
    /// `src = old; *p = src`. Since Linux 5.12.
    #[doc(alias = "BPF_XCHG")]
    Xchg,
    /// If `*p == r0` store `src`; `r0` gets the old value. Since Linux 5.12.
    #[doc(alias = "BPF_CMPXCHG")]
    CmpXchg,
}

/// What a 64-bit immediate load puts into its register (RFC 9669, section 5.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Imm64 {
    /// A plain number.
    Value(u64),
    /// Address of the map behind a file descriptor. In dumps the number is the map's id.
    #[doc(alias = "BPF_PSEUDO_MAP_FD")]
    MapFd(i32),
    /// Address `offset` bytes into the first value of the map behind a file descriptor. Since Linux 5.2.
    #[doc(alias = "BPF_PSEUDO_MAP_VALUE")]
    MapValue {
        /// The map's file descriptor.
        fd: i32,
        /// Bytes from the start of the value.
        offset: u32,
    },
    /// Address of a kernel variable by its BTF id. Since Linux 5.10.
    #[doc(alias = "BPF_PSEUDO_BTF_ID")]
    BtfId {
        /// Id of the variable's BTF type.
        btf_id: u32,
        /// File descriptor of the module's BTF; 0 for the kernel itself.
        obj_fd: i32,
    },
    /// Address of a subprogram, given as distance from the next instruction. Since Linux 5.13.
    #[doc(alias = "BPF_PSEUDO_FUNC")]
    Func(i32),
    /// Address of the map at this index of the load command's `fd_array`. Since Linux 5.14.
    #[doc(alias = "BPF_PSEUDO_MAP_IDX")]
    MapIdx(u32),
    /// Address `offset` bytes into the first value of the map at this index of `fd_array`. Since Linux 5.14.
    #[doc(alias = "BPF_PSEUDO_MAP_IDX_VALUE")]
    MapIdxValue {
        /// Index into `fd_array`.
        index: u32,
        /// Bytes from the start of the value.
        offset: u32,
    },
}

/// What a call instruction calls.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CallTarget {
    /// A kernel helper by its id.
    Helper(Helper),
    /// A subprogram, as distance from the next instruction. Since Linux 4.16.
    #[doc(alias = "BPF_PSEUDO_CALL")]
    Local(i32),
    /// A kernel function by its BTF id. Since Linux 5.13.
    #[doc(alias = "BPF_PSEUDO_KFUNC_CALL")]
    Kfunc {
        /// Id of the function's BTF type.
        btf_id: i32,
        /// Index into `fd_array` of the module's BTF; 0 for the kernel itself.
        fd_index: i16,
    },
}

/// One decoded instruction; the 64-bit immediate load is one of these although it fills two words.
///
/// Offsets of jumps and local calls count instruction words from the next instruction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Instruction {
    /// Arithmetic: `dst op= src`.
    Alu {
        /// The operation.
        op: AluOp,
        /// 32 or 64 bits.
        width: Width,
        /// Left operand and result.
        dst: Reg,
        /// Right operand.
        src: Operand,
    },
    /// `dst = -dst`
    #[doc(alias = "BPF_NEG")]
    Neg {
        /// 32 or 64 bits.
        width: Width,
        /// Operand and result.
        dst: Reg,
    },
    /// `dst = (s8)src`: sign-extending move. ISA v4, since Linux 6.6.
    #[doc(alias = "BPF_MOVSX")]
    MovSx {
        /// 32 or 64 bits; [`Size::W`] goes with 64 bits only.
        width: Width,
        /// How many bytes of `src` count: B, H or W.
        from: Size,
        /// Result.
        dst: Reg,
        /// Operand.
        src: Reg,
    },
    /// Byte swap of the low bits of `dst`; the rest becomes zero.
    #[doc(alias = "BPF_END")]
    Swap {
        /// Which order it makes.
        order: Swap,
        /// How many bytes: H, W or DW.
        size: Size,
        /// Operand and result.
        dst: Reg,
    },
    /// `dst = addr_space_cast(src, to, from)`: arena pointer conversion. Since Linux 6.9.
    #[doc(alias = "BPF_ADDR_SPACE_CAST")]
    AddrSpaceCast {
        /// Result.
        dst: Reg,
        /// Operand.
        src: Reg,
        /// Address space of the result.
        to: u16,
        /// Address space of the operand.
        from: u16,
    },
    /// `dst = *(size *)(src + off)`
    #[doc(alias = "BPF_LDX")]
    Load {
        /// Access size.
        size: Size,
        /// Result.
        dst: Reg,
        /// Base address.
        src: Reg,
        /// Bytes from the base.
        off: i16,
    },
    /// Load with sign extension to 64 bits. ISA v4, since Linux 6.6.
    #[doc(alias = "BPF_MEMSX")]
    LoadSx {
        /// Access size: B, H or W.
        size: Size,
        /// Result.
        dst: Reg,
        /// Base address.
        src: Reg,
        /// Bytes from the base.
        off: i16,
    },
    /// `*(size *)(dst + off) = src`
    #[doc(alias = "BPF_ST", alias = "BPF_STX")]
    Store {
        /// Access size.
        size: Size,
        /// Base address.
        dst: Reg,
        /// Bytes from the base.
        off: i16,
        /// What is stored.
        src: Operand,
    },
    /// Atomic read-modify-write of `*(size *)(dst + off)`.
    #[doc(alias = "BPF_ATOMIC", alias = "BPF_XADD")]
    Atomic {
        /// The operation.
        op: AtomicOp,
        /// Access size: W or DW.
        size: Size,
        /// Base address.
        dst: Reg,
        /// Bytes from the base.
        off: i16,
        /// Operand, and result of the fetching forms.
        src: Reg,
    },
    /// `dst = load_acquire((size *)(src + off))`. Since Linux 6.15.
    #[doc(alias = "BPF_LOAD_ACQ")]
    LoadAcquire {
        /// Access size.
        size: Size,
        /// Result.
        dst: Reg,
        /// Base address.
        src: Reg,
        /// Bytes from the base.
        off: i16,
    },
    /// `store_release((size *)(dst + off), src)`. Since Linux 6.15.
    #[doc(alias = "BPF_STORE_REL")]
    StoreRelease {
        /// Access size.
        size: Size,
        /// Base address.
        dst: Reg,
        /// Bytes from the base.
        off: i16,
        /// What is stored.
        src: Reg,
    },
    /// Legacy packet access: `r0 = *(size *)skb[imm]`, the packet in `r6`.
    #[doc(alias = "BPF_ABS")]
    LoadAbs {
        /// Access size: B, H or W.
        size: Size,
        /// Byte offset into the packet.
        imm: i32,
    },
    /// Legacy packet access: `r0 = *(size *)skb[src + imm]`, the packet in `r6`.
    #[doc(alias = "BPF_IND")]
    LoadInd {
        /// Access size: B, H or W.
        size: Size,
        /// Register that holds the variable part of the offset.
        src: Reg,
        /// Constant part of the offset.
        imm: i32,
    },
    /// 64-bit immediate load, two words long.
    #[doc(alias = "BPF_LD_IMM64")]
    LdImm64 {
        /// Result.
        dst: Reg,
        /// What is loaded.
        value: Imm64,
    },
    /// `goto pc+off` with a 16-bit offset.
    #[doc(alias = "BPF_JA")]
    Jump {
        /// Words from the next instruction.
        off: i16,
    },
    /// `gotol pc+off` with a 32-bit offset. ISA v4, since Linux 6.6.
    JumpLong {
        /// Words from the next instruction.
        off: i32,
    },
    /// `gotox reg`: jump to the address in a register. Since Linux 6.19.
    JumpReg {
        /// Register that holds the target, loaded from an instruction array map.
        dst: Reg,
    },
    /// `if dst cond src goto pc+off`
    JumpIf {
        /// The condition.
        cond: Cond,
        /// 32 (ISA v3, since Linux 5.1) or 64 bits.
        width: Width,
        /// Left operand.
        dst: Reg,
        /// Right operand.
        src: Operand,
        /// Words from the next instruction.
        off: i16,
    },
    /// `may_goto pc+off`: jumps when the loop budget is used up. Since Linux 6.9.
    #[doc(alias = "BPF_JCOND", alias = "BPF_MAY_GOTO")]
    MayGoto {
        /// Words from the next instruction.
        off: i16,
    },
    /// Call.
    #[doc(alias = "BPF_CALL")]
    Call(CallTarget),
    /// `callx reg`: call through a register. Compilers emit it, kernels so far refuse it.
    CallReg {
        /// Register that holds the target.
        dst: Reg,
    },
    /// Return from the program or subprogram.
    #[doc(alias = "BPF_EXIT")]
    Exit,
    /// `dst = &(void __percpu *)(src)`: made by the kernel, seen in translated dumps only.
    PercpuAddr {
        /// Result.
        dst: Reg,
        /// Operand.
        src: Reg,
    },
    /// Speculation barrier: made by the kernel, seen in translated dumps only.
    NoSpec,
}

impl Instruction {
    /// How many instruction words it fills: 2 for the 64-bit immediate load, else 1.
    pub const fn slots(&self) -> usize {
        if matches!(self, Instruction::LdImm64 { .. }) { 2 } else { 1 }
    }
}
