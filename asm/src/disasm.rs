//! Disassembler: the syntax of the kernel's verifier log and of `bpftool prog dump xlated`.

use crate::instruction::*;
use crate::{Helper, Insn, Reg, Size, Width, decode, decode_translated};
use std::borrow::Cow;
use std::fmt;

/// Gives names to what instructions refer to by number. Every method may answer `None`, which prints the number.
pub trait Names {
    /// Name of a helper; by default from the table of the UAPI. In translated dumps the number is an address
    /// relative to the kernel's `__bpf_call_base`.
    fn helper(&self, helper: Helper) -> Option<Cow<'_, str>> {
        helper.name().map(Cow::Borrowed)
    }

    /// Name of a kernel function.
    fn kfunc(&self, btf_id: i32, fd_index: i16) -> Option<Cow<'_, str>> {
        let _ = (btf_id, fd_index);
        None
    }

    /// Name of the subprogram that begins at this instruction word.
    fn subprogram(&self, insn: usize) -> Option<Cow<'_, str>> {
        let _ = insn;
        None
    }

    /// The whole right side of a 64-bit immediate load; by default as bpftool prints it, such as `map[id:3][0]+8`.
    fn imm64(&self, value: Imm64) -> Option<Cow<'_, str>> {
        let _ = value;
        None
    }
}

/// Names of UAPI helpers only.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNames;

impl Names for NoNames {}

/// How to disassemble.
#[derive(Clone, Copy)]
pub struct DisasmOptions<'a> {
    /// Where names come from.
    pub names: &'a dyn Names,
    /// Put the opcode in front, `(85) call ...`, as the verifier log and bpftool do.
    pub opcodes: bool,
    /// Accept what only the kernel makes ([`decode_translated`]).
    pub translated: bool,
}

impl Default for DisasmOptions<'_> {
    fn default() -> Self {
        DisasmOptions { names: &NoNames, opcodes: false, translated: false }
    }
}

/// Disassembles a program: index of each instruction's first word, and its text.
///
/// A word that is no instruction gives the text `invalid: ` and the reason, and decoding goes on after it.
pub fn disassemble(insns: &[Insn]) -> Disassembly<'_> {
    disassemble_with(insns, DisasmOptions::default())
}

/// As [`disassemble`], with names and the other choices of `options`.
pub fn disassemble_with<'a>(insns: &'a [Insn], options: DisasmOptions<'a>) -> Disassembly<'a> {
    Disassembly { insns, at: 0, options }
}

/// Iterator of [`disassemble`].
pub struct Disassembly<'a> {
    insns: &'a [Insn],
    at: usize,
    options: DisasmOptions<'a>,
}

impl Iterator for Disassembly<'_> {
    type Item = (usize, String);

    fn next(&mut self) -> Option<(usize, String)> {
        use fmt::Write;
        let at = self.at;
        let rest = self.insns.get(at..)?;
        let first = rest.first()?;
        let mut text = String::new();
        // Writing to a String cannot fail.
        if self.options.opcodes {
            let _ = write!(text, "({:02x}) ", first.opcode);
        }
        let decoded = if self.options.translated { decode_translated(rest) } else { decode(rest) };
        match decoded {
            Ok((instruction, slots)) => {
                self.at += slots;
                let named = Named { instruction: &instruction, names: self.options.names, at: Some(at) };
                let _ = write!(text, "{named}");
            }
            Err(error) => {
                self.at += 1;
                let _ = write!(text, "invalid: {error}");
            }
        }
        Some((at, text))
    }
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Named { instruction: self, names: &NoNames, at: None }.fmt(f)
    }
}

impl Instruction {
    /// The instruction's text with names; `at` is the index of its first word, by which names of subprograms are
    /// found.
    pub fn display<'a>(&'a self, names: &'a dyn Names, at: Option<usize>) -> impl fmt::Display + 'a {
        Named { instruction: self, names, at }
    }
}

struct Named<'a> {
    instruction: &'a Instruction,
    names: &'a dyn Names,
    at: Option<usize>,
}

/// A register under the letter of its width.
struct At(Width, Reg);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = if self.0 == Width::W32 { 'w' } else { 'r' };
        write!(f, "{letter}{}", self.1.number())
    }
}

/// `(u64 *)(r1 +8)`
struct Place(char, Size, Reg, i16);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place(sign, size, reg, off) = self;
        write!(f, "({sign}{} *)({reg} {off:+})", size.bytes() * 8)
    }
}

fn alu_symbol(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => "+=",
        AluOp::Sub => "-=",
        AluOp::Mul => "*=",
        AluOp::Div => "/=",
        AluOp::SDiv => "s/=",
        AluOp::Or => "|=",
        AluOp::And => "&=",
        AluOp::Lsh => "<<=",
        AluOp::Rsh => ">>=",
        AluOp::Mod => "%=",
        AluOp::SMod => "s%=",
        AluOp::Xor => "^=",
        AluOp::Mov => "=",
        AluOp::Arsh => "s>>=",
    }
}

fn cond_symbol(cond: Cond) -> &'static str {
    match cond {
        Cond::Eq => "==",
        Cond::Ne => "!=",
        Cond::Gt => ">",
        Cond::Ge => ">=",
        Cond::Lt => "<",
        Cond::Le => "<=",
        Cond::Set => "&",
        Cond::SGt => "s>",
        Cond::SGe => "s>=",
        Cond::SLt => "s<",
        Cond::SLe => "s<=",
    }
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mem = |size, reg, off| Place('u', size, reg, off);
        match *self.instruction {
            Instruction::Alu { op, width, dst, src: Operand::Reg(src) } => {
                write!(f, "{} {} {}", At(width, dst), alu_symbol(op), At(width, src))
            }
            Instruction::Alu { op, width, dst, src: Operand::Imm(imm) } => {
                write!(f, "{} {} {imm}", At(width, dst), alu_symbol(op))
            }
            Instruction::Neg { width, dst } => write!(f, "{0} = -{0}", At(width, dst)),
            Instruction::MovSx { width, from, dst, src } => {
                write!(f, "{} = (s{}){}", At(width, dst), from.bytes() * 8, At(width, src))
            }
            Instruction::Swap { order, size, dst } => {
                let name = match order {
                    Swap::ToLe => "le",
                    Swap::ToBe => "be",
                    Swap::Bswap => "bswap",
                };
                write!(f, "{dst} = {name}{} {dst}", size.bytes() * 8)
            }
            Instruction::AddrSpaceCast { dst, src, to, from } => {
                write!(f, "{dst} = addr_space_cast({src}, {to}, {from})")
            }
            Instruction::PercpuAddr { dst, src } => write!(f, "{dst} = &(void __percpu *)({src})"),
            Instruction::Load { size, dst, src, off } => write!(f, "{dst} = *{}", mem(size, src, off)),
            Instruction::LoadSx { size, dst, src, off } => {
                write!(f, "{dst} = *{}", Place('s', size, src, off))
            }
            Instruction::Store { size, dst, off, src: Operand::Reg(src) } => {
                write!(f, "*{} = {src}", mem(size, dst, off))
            }
            Instruction::Store { size, dst, off, src: Operand::Imm(imm) } => {
                write!(f, "*{} = {imm}", mem(size, dst, off))
            }
            Instruction::Atomic { op, size, dst, off, src } => atomic(f, op, size, mem(size, dst, off), src),
            Instruction::LoadAcquire { size, dst, src, off } => {
                write!(f, "{dst} = load_acquire({})", mem(size, src, off))
            }
            Instruction::StoreRelease { size, dst, off, src } => {
                write!(f, "store_release({}, {src})", mem(size, dst, off))
            }
            Instruction::LoadAbs { size, imm } => write!(f, "r0 = *(u{} *)skb[{imm}]", size.bytes() * 8),
            Instruction::LoadInd { size, src, imm } => {
                write!(f, "r0 = *(u{} *)skb[{src} + {imm}]", size.bytes() * 8)
            }
            Instruction::LdImm64 { dst, value } => {
                write!(f, "{dst} = ")?;
                match self.names.imm64(value) {
                    Some(text) => f.write_str(&text),
                    None => imm64(f, value),
                }
            }
            Instruction::Jump { off } => write!(f, "goto pc{off:+}"),
            Instruction::JumpLong { off } => write!(f, "gotol pc{off:+}"),
            Instruction::JumpReg { dst } => write!(f, "gotox {dst}"),
            Instruction::JumpIf { cond, width, dst, src, off } => {
                write!(f, "if {} {} ", At(width, dst), cond_symbol(cond))?;
                match src {
                    Operand::Reg(src) => write!(f, "{}", At(width, src))?,
                    Operand::Imm(imm) => write!(f, "{imm:#x}")?,
                }
                write!(f, " goto pc{off:+}")
            }
            Instruction::MayGoto { off } => write!(f, "may_goto pc{off:+}"),
            Instruction::Call(target) => self.call(f, target),
            Instruction::CallReg { dst } => write!(f, "callx {dst}"),
            Instruction::Exit => f.write_str("exit"),
            Instruction::NoSpec => f.write_str("nospec"),
        }
    }
}

fn atomic(f: &mut fmt::Formatter<'_>, op: AtomicOp, size: Size, place: Place, src: Reg) -> fmt::Result {
    let wide = if size == Size::DW { "64" } else { "" };
    let plain = |f: &mut fmt::Formatter<'_>, symbol| write!(f, "lock *{place} {symbol} {src}");
    let fetch = |f: &mut fmt::Formatter<'_>, name| write!(f, "{src} = atomic{wide}_{name}({place}, {src})");
    match op {
        AtomicOp::Add => plain(f, "+="),
        AtomicOp::Or => plain(f, "|="),
        AtomicOp::And => plain(f, "&="),
        AtomicOp::Xor => plain(f, "^="),
        AtomicOp::FetchAdd => fetch(f, "fetch_add"),
        AtomicOp::FetchOr => fetch(f, "fetch_or"),
        AtomicOp::FetchAnd => fetch(f, "fetch_and"),
        AtomicOp::FetchXor => fetch(f, "fetch_xor"),
        AtomicOp::Xchg => fetch(f, "xchg"),
        AtomicOp::CmpXchg => write!(f, "r0 = atomic{wide}_cmpxchg({place}, r0, {src})"),
    }
}

/// As bpftool prints it; kinds that it leaves a number get the same shape here.
fn imm64(f: &mut fmt::Formatter<'_>, value: Imm64) -> fmt::Result {
    match value {
        Imm64::Value(value) => write!(f, "{value:#x}"),
        Imm64::MapFd(id) => write!(f, "map[id:{id}]"),
        Imm64::MapValue { fd, offset } => write!(f, "map[id:{fd}][0]+{offset}"),
        Imm64::MapIdx(index) => write!(f, "map[idx:{index}]"),
        Imm64::MapIdxValue { index, offset } => write!(f, "map[idx:{index}]+{offset}"),
        Imm64::Func(off) => write!(f, "subprog[{off:+}]"),
        Imm64::BtfId { btf_id, obj_fd: 0 } => write!(f, "btf[id:{btf_id}]"),
        Imm64::BtfId { btf_id, obj_fd } => write!(f, "btf[id:{btf_id}, fd:{obj_fd}]"),
    }
}

impl Named<'_> {
    fn call(&self, f: &mut fmt::Formatter<'_>, target: CallTarget) -> fmt::Result {
        match target {
            CallTarget::Helper(helper) => {
                let name = self.names.helper(helper).unwrap_or(Cow::Borrowed("unknown"));
                write!(f, "call {name}#{}", helper.0 as i32)
            }
            CallTarget::Kfunc { btf_id, fd_index } => {
                let name = self.names.kfunc(btf_id, fd_index).unwrap_or(Cow::Borrowed("kernel-function"));
                write!(f, "call {name}#{btf_id}")
            }
            CallTarget::Local(off) => {
                write!(f, "call pc{off:+}")?;
                let target = self.at.and_then(|at| at.checked_add(1)?.checked_add_signed(off as isize));
                match target.and_then(|insn| self.names.subprogram(insn)) {
                    Some(name) => write!(f, "#{name}"),
                    None => Ok(()),
                }
            }
        }
    }
}
