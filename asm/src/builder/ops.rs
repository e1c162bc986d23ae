//! One method for each instruction.

use super::{Builder, Label};
use crate::{
    AluOp, AtomicOp, CallTarget, Cond, Helper, Imm64, Instruction, MapRef, Operand, Reg, Size, Swap, Width,
};

macro_rules! alu {
    ($($op:ident $sym:literal $reg:ident $imm:ident $reg32:ident $imm32:ident;)*) => { $(
        #[doc = concat!("`dst ", $sym, " src`, 64 bits.")]
        pub fn $reg(&mut self, dst: Reg, src: Reg) -> &mut Self {
            self.alu(AluOp::$op, Width::W64, dst, src)
        }

        #[doc = concat!("`dst ", $sym, " imm`, 64 bits, the immediate sign-extended.")]
        pub fn $imm(&mut self, dst: Reg, imm: i32) -> &mut Self {
            self.alu(AluOp::$op, Width::W64, dst, imm)
        }

        #[doc = concat!("`dst ", $sym, " src`, 32 bits; the upper half of `dst` becomes zero.")]
        pub fn $reg32(&mut self, dst: Reg, src: Reg) -> &mut Self {
            self.alu(AluOp::$op, Width::W32, dst, src)
        }

        #[doc = concat!("`dst ", $sym, " imm`, 32 bits; the upper half of `dst` becomes zero.")]
        pub fn $imm32(&mut self, dst: Reg, imm: i32) -> &mut Self {
            self.alu(AluOp::$op, Width::W32, dst, imm)
        }
    )* };
}

macro_rules! jumps {
    ($($cond:ident $sym:literal $reg:ident $imm:ident $reg32:ident $imm32:ident;)*) => { $(
        #[doc = concat!("`if dst ", $sym, " src goto target`, 64 bits.")]
        pub fn $reg(&mut self, dst: Reg, src: Reg, target: Label) -> &mut Self {
            self.jcc(Cond::$cond, Width::W64, dst, src, target)
        }

        #[doc = concat!("`if dst ", $sym, " imm goto target`, 64 bits, the immediate sign-extended.")]
        pub fn $imm(&mut self, dst: Reg, imm: i32, target: Label) -> &mut Self {
            self.jcc(Cond::$cond, Width::W64, dst, imm, target)
        }

        #[doc = concat!("`if dst ", $sym, " src goto target`, lower 32 bits. ISA v3.")]
        pub fn $reg32(&mut self, dst: Reg, src: Reg, target: Label) -> &mut Self {
            self.jcc(Cond::$cond, Width::W32, dst, src, target)
        }

        #[doc = concat!("`if dst ", $sym, " imm goto target`, lower 32 bits. ISA v3.")]
        pub fn $imm32(&mut self, dst: Reg, imm: i32, target: Label) -> &mut Self {
            self.jcc(Cond::$cond, Width::W32, dst, imm, target)
        }
    )* };
}

/// Arithmetic.
impl Builder {
    /// `dst op= src`, the general form.
    pub fn alu(&mut self, op: AluOp, width: Width, dst: Reg, src: impl Into<Operand>) -> &mut Self {
        self.push(Instruction::Alu { op, width, dst, src: src.into() })
    }

    alu! {
        Mov "=" mov mov_imm mov32 mov32_imm;
        Add "+=" add add_imm add32 add32_imm;
        Sub "-=" sub sub_imm sub32 sub32_imm;
        Mul "*=" mul mul_imm mul32 mul32_imm;
        Div "/=" div div_imm div32 div32_imm;
        SDiv "s/=" sdiv sdiv_imm sdiv32 sdiv32_imm;
        Mod "%=" rem rem_imm rem32 rem32_imm;
        SMod "s%=" srem srem_imm srem32 srem32_imm;
        Or "|=" or or_imm or32 or32_imm;
        And "&=" and and_imm and32 and32_imm;
        Xor "^=" xor xor_imm xor32 xor32_imm;
        Lsh "<<=" lsh lsh_imm lsh32 lsh32_imm;
        Rsh ">>=" rsh rsh_imm rsh32 rsh32_imm;
        Arsh "s>>=" arsh arsh_imm arsh32 arsh32_imm;
    }

    /// `dst = -dst`, 64 bits.
    pub fn neg(&mut self, dst: Reg) -> &mut Self {
        self.push(Instruction::Neg { width: Width::W64, dst })
    }

    /// `dst = -dst`, 32 bits.
    pub fn neg32(&mut self, dst: Reg) -> &mut Self {
        self.push(Instruction::Neg { width: Width::W32, dst })
    }

    /// `dst = (s8/s16/s32)src`, sign-extended to `width`. ISA v4.
    pub fn mov_sx(&mut self, width: Width, from: Size, dst: Reg, src: Reg) -> &mut Self {
        self.push(Instruction::MovSx { width, from, dst, src })
    }

    /// Brings the low bytes of `dst` into another order.
    pub fn swap(&mut self, order: Swap, size: Size, dst: Reg) -> &mut Self {
        self.push(Instruction::Swap { order, size, dst })
    }

    /// `dst = addr_space_cast(src, to, from)`. Since Linux 6.9.
    pub fn addr_space_cast(&mut self, dst: Reg, src: Reg, to: u16, from: u16) -> &mut Self {
        self.push(Instruction::AddrSpaceCast { dst, src, to, from })
    }
}

/// Memory.
impl Builder {
    /// `dst = *(size *)(src + off)`
    pub fn load(&mut self, size: Size, dst: Reg, src: Reg, off: i16) -> &mut Self {
        self.push(Instruction::Load { size, dst, src, off })
    }

    /// `dst = *(s8/s16/s32 *)(src + off)`, sign-extended. ISA v4.
    pub fn load_sx(&mut self, size: Size, dst: Reg, src: Reg, off: i16) -> &mut Self {
        self.push(Instruction::LoadSx { size, dst, src, off })
    }

    /// `*(size *)(dst + off) = src`
    pub fn store(&mut self, size: Size, dst: Reg, off: i16, src: Reg) -> &mut Self {
        self.push(Instruction::Store { size, dst, off, src: Operand::Reg(src) })
    }

    /// `*(size *)(dst + off) = imm`
    pub fn store_imm(&mut self, size: Size, dst: Reg, off: i16, imm: i32) -> &mut Self {
        self.push(Instruction::Store { size, dst, off, src: Operand::Imm(imm) })
    }

    /// `lock *(size *)(dst + off) += src`; W or DW.
    pub fn atomic_add(&mut self, size: Size, dst: Reg, off: i16, src: Reg) -> &mut Self {
        self.atomic(AtomicOp::Add, size, dst, off, src)
    }

    /// Atomic read-modify-write of `*(size *)(dst + off)`; W or DW.
    pub fn atomic(&mut self, op: AtomicOp, size: Size, dst: Reg, off: i16, src: Reg) -> &mut Self {
        self.push(Instruction::Atomic { op, size, dst, off, src })
    }

    /// `dst = load_acquire((size *)(src + off))`. Since Linux 6.15.
    pub fn load_acquire(&mut self, size: Size, dst: Reg, src: Reg, off: i16) -> &mut Self {
        self.push(Instruction::LoadAcquire { size, dst, src, off })
    }

    /// `store_release((size *)(dst + off), src)`. Since Linux 6.15.
    pub fn store_release(&mut self, size: Size, dst: Reg, off: i16, src: Reg) -> &mut Self {
        self.push(Instruction::StoreRelease { size, dst, off, src })
    }

    /// `r0 = *(size *)skb[imm]`, legacy packet access.
    pub fn load_abs(&mut self, size: Size, imm: i32) -> &mut Self {
        self.push(Instruction::LoadAbs { size, imm })
    }

    /// `r0 = *(size *)skb[src + imm]`, legacy packet access.
    pub fn load_ind(&mut self, size: Size, src: Reg, imm: i32) -> &mut Self {
        self.push(Instruction::LoadInd { size, src, imm })
    }

    /// `dst = value`, any 64-bit number; two words.
    pub fn ld_imm64(&mut self, dst: Reg, value: u64) -> &mut Self {
        self.push(Instruction::LdImm64 { dst, value: Imm64::Value(value) })
    }

    /// `dst = ` address of a map; its descriptor is filled in by
    /// [`Program::resolve_maps`](crate::Program::resolve_maps).
    pub fn ld_map(&mut self, dst: Reg, map: MapRef) -> &mut Self {
        self.push_map(Instruction::LdImm64 { dst, value: Imm64::MapFd(map.0 as i32) }, map)
    }

    /// `dst = ` address `off` bytes into the first value of an array map. Since Linux 5.2.
    pub fn ld_map_value(&mut self, dst: Reg, map: MapRef, off: u32) -> &mut Self {
        let value = Imm64::MapValue { fd: map.0 as i32, offset: off };
        self.push_map(Instruction::LdImm64 { dst, value }, map)
    }

    /// `dst = ` address of the subprogram at `function`, for callbacks. Since Linux 5.13.
    pub fn ld_func(&mut self, dst: Reg, function: Label) -> &mut Self {
        self.push_to(Instruction::LdImm64 { dst, value: Imm64::Func(0) }, function)
    }

    /// `dst = ` address of the kernel variable with this BTF id; `obj_fd` is the module's BTF, 0 for the kernel.
    /// Since Linux 5.10.
    pub fn ld_btf_id(&mut self, dst: Reg, btf_id: u32, obj_fd: i32) -> &mut Self {
        self.push(Instruction::LdImm64 { dst, value: Imm64::BtfId { btf_id, obj_fd } })
    }
}

/// Control flow.
impl Builder {
    /// `if dst cond src goto target`, the general form.
    pub fn jcc(
        &mut self,
        cond: Cond,
        width: Width,
        dst: Reg,
        src: impl Into<Operand>,
        target: Label,
    ) -> &mut Self {
        self.push_to(Instruction::JumpIf { cond, width, dst, src: src.into(), off: 0 }, target)
    }

    jumps! {
        Eq "==" jeq jeq_imm jeq32 jeq32_imm;
        Ne "!=" jne jne_imm jne32 jne32_imm;
        Gt ">" jgt jgt_imm jgt32 jgt32_imm;
        Ge ">=" jge jge_imm jge32 jge32_imm;
        Lt "<" jlt jlt_imm jlt32 jlt32_imm;
        Le "<=" jle jle_imm jle32 jle32_imm;
        Set "&" jset jset_imm jset32 jset32_imm;
        SGt "s>" jsgt jsgt_imm jsgt32 jsgt32_imm;
        SGe "s>=" jsge jsge_imm jsge32 jsge32_imm;
        SLt "s<" jslt jslt_imm jslt32 jslt32_imm;
        SLe "s<=" jsle jsle_imm jsle32 jsle32_imm;
    }

    /// `goto target`; becomes `gotol` where 16 bits do not reach and the level allows.
    pub fn jmp(&mut self, target: Label) -> &mut Self {
        self.push_to(Instruction::Jump { off: 0 }, target)
    }

    /// `gotol target`: the 32-bit jump even where a short one would reach. ISA v4.
    pub fn jmp_long(&mut self, target: Label) -> &mut Self {
        self.push_to(Instruction::JumpLong { off: 0 }, target)
    }

    /// `may_goto target`: leaves a loop when its budget is used up. Since Linux 6.9.
    pub fn may_goto(&mut self, target: Label) -> &mut Self {
        self.push_to(Instruction::MayGoto { off: 0 }, target)
    }

    /// `gotox dst`: jumps to an address taken from an instruction array map. Since Linux 6.19.
    pub fn jmp_reg(&mut self, dst: Reg) -> &mut Self {
        self.push(Instruction::JumpReg { dst })
    }

    /// Calls a helper.
    pub fn call(&mut self, helper: Helper) -> &mut Self {
        self.push(Instruction::Call(CallTarget::Helper(helper)))
    }

    /// Calls the helper with this id.
    pub fn call_id(&mut self, id: i32) -> &mut Self {
        self.call(Helper(id as u32))
    }

    /// Calls the subprogram at `function`. Since Linux 4.16.
    pub fn call_local(&mut self, function: Label) -> &mut Self {
        self.push_to(Instruction::Call(CallTarget::Local(0)), function)
    }

    /// Calls the kernel function with this BTF id; `fd_index` picks the module's BTF, 0 for the kernel itself.
    /// Since Linux 5.13.
    pub fn call_kfunc(&mut self, btf_id: u32, fd_index: i16) -> &mut Self {
        self.push(Instruction::Call(CallTarget::Kfunc { btf_id: btf_id as i32, fd_index }))
    }

    /// Returns from the program or subprogram.
    pub fn exit(&mut self) -> &mut Self {
        self.push(Instruction::Exit)
    }
}
