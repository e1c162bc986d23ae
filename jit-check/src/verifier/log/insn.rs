//! Instructions and source lines in the log.

use crate::verifier::env::Env;
use crate::verifier::reg::BtfIdx;
use asm::{Imm64, Insn, Names};
use std::borrow::Cow;

/// Where maps lie in the log: programs see an address of the kernel, and the simulator has none. Each map has its page.
const MAPS_AT: u64 = 0xffff_8880_0000_0000;
const PAGE: u64 = 0x1000;

struct LogNames<'e, 'a> {
    env: &'e Env<'a>,
    insn: Insn,
}

impl Names for LogNames<'_, '_> {
    fn kfunc(&self, btf_id: i32, fd_index: i16) -> Option<Cow<'_, str>> {
        Some(Cow::Owned(self.env.kfunc_name(btf_id as u32, fd_index as u16)))
    }

    fn imm64(&self, value: Imm64) -> Option<Cow<'_, str>> {
        let address = |map: i32, offset: u32| {
            if self.env.allow_ptr_leaks { MAPS_AT + map as u32 as u64 * PAGE + u64::from(offset) } else { 0 }
        };
        let number = match value {
            Imm64::MapFd(map) => address(map, 0),
            Imm64::MapIdx(map) => address(map as i32, 0),
            Imm64::MapValue { fd, offset } => address(fd, offset),
            Imm64::MapIdxValue { index, offset } => address(index as i32, offset),
            _ => u64::from(self.insn.imm as u32),
        };
        match value {
            Imm64::Value(_) => None,
            _ => Some(Cow::Owned(format!("{number:#x}"))),
        }
    }
}

impl<'a> Env<'a> {
    /// Prints an instruction, `(b7) r0 = 0`, and a line end.
    pub(in crate::verifier) fn print_insn(&mut self, idx: usize) {
        if self.log.level & 3 == 0 {
            return;
        }
        let Some(&insn) = self.insns.get(idx) else { return };
        let text = match asm::decode(&self.insns[idx..]) {
            Ok((instruction, _)) => {
                let names = LogNames { env: self, insn };
                format!("({:02x}) {}\n", insn.opcode, instruction.display(&names, None))
            }
            Err(_) => format!("BUG_{:02x}\n", insn.opcode),
        };
        self.log.write(format_args!("{text}"));
    }

    /// Prints the source line that an instruction came from, `; x = y @ file.c:12`, unless it was the last one printed.
    pub(in crate::verifier) fn print_line(&mut self, insn_idx: usize) {
        if self.log.level == 0 {
            return;
        }
        let lines = &self.program.lines;
        let Some(at) = lines.partition_point(|line| line.insn <= insn_idx).checked_sub(1) else { return };
        if self.prev_line == Some(at) {
            return;
        }
        // Columns are not printed: the same line twice says nothing.
        let place = |line: &loader::LineSpec| (line.file_name_off, line.line_col >> 10);
        if self.prev_line.and_then(|before| lines.get(before)).map(place) == Some(place(&lines[at])) {
            return;
        }
        let line = &lines[at];
        let types = self.btfs.get(usize::from(BtfIdx::PROGRAM.0));
        let text = |offset| types.and_then(|types| types.string(offset)).unwrap_or_default();
        let file = text(line.file_name_off).rsplit('/').next().unwrap_or_default();
        let source = text(line.line_off).trim_start();
        self.log.write(format_args!("; {source} @ {file}:{}\n", line.line_col >> 10));
        self.prev_line = Some(at);
    }
}
