//! Instructions and source lines as the log shows them.

use super::super::env::Env;
use super::walk::{Parts, op};
use crate::kernel::Version;
use asm::{Helper, Imm64, Insn, Names};
use std::borrow::Cow;

/// Names for the disassembler.
struct LogNames<'e, 'a>(&'e Env<'a>);

/// Addresses that could be: where the kernel prints its own, a map's place in a list of them stands for it.
const MAPS: u64 = 0xffff_8881_0000_0000;
const VALUES: u64 = 0xffff_c900_0000_0000;
const SYMBOLS: u64 = 0xffff_ffff_8200_0000;

impl Names for LogNames<'_, '_> {
    fn kfunc(&self, btf_id: i32, fd_index: i16) -> Option<Cow<'_, str>> {
        let name = self.0.kfunc_name(btf_id as u32, fd_index as u16);
        Some(if name.is_empty() { Cow::Borrowed("<error>") } else { Cow::Owned(name) })
    }

    fn imm64(&self, value: Imm64) -> Option<Cow<'_, str>> {
        // Those who may not see addresses see zero.
        let shown = |address: u64| if self.0.allow_ptr_leaks { address } else { 0 };
        let in_value = |map: u32, offset: u32| shown(VALUES + u64::from(map) * 0x10_0000 + u64::from(offset));
        let number = match value {
            Imm64::Value(value) => value,
            Imm64::MapFd(map) => shown(MAPS + u64::from(map as u32) * 0x400),
            Imm64::MapIdx(map) => shown(MAPS + u64::from(map) * 0x400),
            Imm64::MapValue { fd, offset } => in_value(fd as u32, offset),
            Imm64::MapIdxValue { index, offset } => in_value(index, offset),
            Imm64::Func(off) => u64::from(off as u32),
            Imm64::BtfId { btf_id, .. } => shown(SYMBOLS + u64::from(btf_id) * 8),
        };
        Some(Cow::Owned(format!("{number:#x}")))
    }
}

impl<'a> Env<'a> {
    /// What changed by the instruction before, the source line if it is a new one, and the instruction.
    pub(super) fn print_insn_line(&mut self, insn: Insn) {
        if self.state_scratched() {
            self.print_insn_state(self.cur.curframe());
        }
        let at = self.insn_idx;
        self.print_line_info(at, format_args!("; "));
        self.prev_log_pos = self.log.position();
        let text = self.insn_text(at, insn);
        self.say(format_args!("{at}: ({:02x}) {text}\n", insn.opcode));
        let end = self.log.position();
        self.prev_insn_print_pos = end - self.prev_log_pos;
        self.prev_log_pos = end;
    }

    /// The instruction's text, without its opcode.
    pub(in crate::verifier) fn insn_text(&self, at: usize, insn: Insn) -> String {
        let second = self.insns.get(at + 1).copied().unwrap_or_default();
        match asm::decode(&[insn, second]) {
            Ok(_) if !self.knows(insn) => format!("BUG_{:02x}", insn.opcode),
            Ok(_) if insn.is_local_call() => format!("call pc{:+}", insn.imm),
            Ok((decoded, _)) => decoded.display(&LogNames(self), None).to_string(),
            Err(_) => loose_text(insn),
        }
    }

    /// Whether this kernel's disassembler has the instruction.
    fn knows(&self, insn: Insn) -> bool {
        let newer_atomic = insn.class() == op::STX && insn.mode() == op::ATOMIC && insn.imm & !0xf1 != 0;
        !newer_atomic || self.kernel.version >= Version(6, 15)
    }

    /// The source line of an instruction, when it is another than the one printed last.
    pub(in crate::verifier) fn print_line_info(&mut self, at: usize, prefix: std::fmt::Arguments<'_>) {
        if self.options.log_level == 0 || !self.own_types {
            return;
        }
        let lines = &self.program.lines;
        let Some(found) = lines.partition_point(|line| line.insn <= at).checked_sub(1) else { return };
        if self.prev_line == Some(found) {
            return;
        }
        // Columns are not printed: the same line twice says nothing.
        let place = |at: usize| (lines[at].file_name_off, lines[at].line_col >> 10);
        if self.prev_line.is_some_and(|last| place(last) == place(found)) {
            return;
        }
        let line = lines[found];
        let own = self.btfs[1];
        let text = own.string(line.line_off).unwrap_or("").trim_start();
        let file = own.string(line.file_name_off).unwrap_or("");
        let file = file.rsplit('/').next().unwrap_or(file);
        self.say(format_args!("{prefix}{text} @ {file}:{}\n", line.line_col >> 10));
        self.prev_line = Some(found);
    }
}

const SIZES: [&str; 4] = ["u32", "u16", "u8", "u64"];
const SIGNED_SIZES: [&str; 4] = ["s32", "s16", "s8", "s64"];
const ALU: [&str; 16] =
    ["+=", "-=", "*=", "/=", "|=", "&=", "<<=", ">>=", "neg", "%=", "^=", "=", "s>>=", "endian", "", ""];
const JUMPS: [&str; 16] =
    ["jmp", "==", ">", ">=", "&", "!=", "s>", "s>=", "call", "exit", "<", "<=", "s<", "s<=", "may_goto", ""];

/// Text of what is no valid instruction: as far as its opcode says what it is, whatever else is in the word.
fn loose_text(insn: Insn) -> String {
    let Insn { opcode, off, imm, .. } = insn;
    let (dst, src) = (insn.dst_no(), insn.src_no());
    let size = SIZES[usize::from(opcode >> 3 & 3)];
    let which = usize::from(opcode >> 4);
    match insn.class() {
        class @ (op::ALU | op::ALU64) => {
            let letter = if class == op::ALU { 'w' } else { 'r' };
            match which {
                13 if class == op::ALU64 => format!("r{dst} = bswap{imm} r{dst}"),
                13 => format!("r{dst} = {}{imm} r{dst}", if insn.is_reg_form() { "be" } else { "le" }),
                8 => format!("{letter}{dst} = -{letter}{dst}"),
                _ => {
                    let signed = if matches!(which, 3 | 9) && off == 1 { "s" } else { "" };
                    let extend = match off {
                        8 | 16 | 32 if which == 11 && insn.is_reg_form() => format!("(s{off})"),
                        _ => String::new(),
                    };
                    match insn.is_reg_form() {
                        true => format!("{letter}{dst} {signed}{} {extend}{letter}{src}", ALU[which]),
                        false => format!("{letter}{dst} {signed}{} {imm}", ALU[which]),
                    }
                }
            }
        }
        op::STX if insn.mode() == op::MEM => format!("*({size} *)(r{dst} {off:+}) = r{src}"),
        op::STX => format!("BUG_{opcode:02x}"),
        op::ST if insn.mode() == op::MEM => format!("*({size} *)(r{dst} {off:+}) = {imm}"),
        op::ST => format!("BUG_st_{opcode:02x}"),
        op::LDX if insn.mode() == op::MEM => format!("r{dst} = *({size} *)(r{src} {off:+})"),
        op::LDX if insn.mode() == op::MEMSX => {
            format!("r{dst} = *({} *)(r{src} {off:+})", SIGNED_SIZES[usize::from(opcode >> 3 & 3)])
        }
        op::LDX => format!("BUG_ldx_{opcode:02x}"),
        op::LD if insn.mode() == op::ABS => format!("r0 = *({size} *)skb[{imm}]"),
        op::LD if insn.mode() == op::IND => format!("r0 = *({size} *)skb[r{src} + {imm}]"),
        op::LD if opcode == op::LD_IMM64 => format!("r{dst} = {:#x}", imm as u32),
        op::LD => format!("BUG_ld_{opcode:02x}"),
        class => {
            let letter = if class == op::JMP32 { 'w' } else { 'r' };
            match opcode {
                _ if insn.op() == op::CALL && src == op::PSEUDO_CALL => format!("call pc{imm:+}"),
                _ if insn.op() == op::CALL => {
                    let name = Helper(imm as u32).name().filter(|_| src == 0).unwrap_or("unknown");
                    format!("call {name}#{imm}")
                }
                op::JA_INSN => format!("goto pc{off:+}"),
                op::JCOND_INSN if src == 0 => format!("may_goto pc{off:+}"),
                op::JA32_INSN => format!("gotol pc{imm:+}"),
                op::EXIT_INSN => "exit".to_owned(),
                _ if insn.is_reg_form() => {
                    format!("if {letter}{dst} {} {letter}{src} goto pc{off:+}", JUMPS[which])
                }
                _ => format!("if {letter}{dst} {} {imm:#x} goto pc{off:+}", JUMPS[which]),
            }
        }
    }
}
