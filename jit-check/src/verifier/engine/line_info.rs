//! Function and line records against the instructions.

use super::super::env::{EINVAL, Env, Res, reject};
use btf::{Btf, Kind, Linkage, TypeId};

/// Whether all parameters of functions have names: the kernel takes no types where some have none.
pub(super) fn are_functions_named(own: &Btf<'_>) -> bool {
    let funcs = own.own_types().filter(|(_, ty)| ty.kind() == Kind::Func);
    let mut protos = funcs.filter_map(|(_, func)| own.type_by_id(func.type_id()?));
    protos.all(|proto| proto.params().all(|param| !param.name.is_empty() || param.type_id == TypeId(0)))
}

impl<'a> Env<'a> {
    /// What can be said of function records before the functions are known.
    pub(super) fn check_func_info_early(&mut self) -> Res {
        if !self.has_func_info() {
            return Ok(());
        }
        let mut last = None;
        for func in &self.program.funcs {
            let off = func.insn;
            match last {
                None if off != 0 => {
                    reject!(self, EINVAL, "nonzero insn_off {off} for the first func info record")
                }
                Some(last) if off <= last => reject!(
                    self,
                    EINVAL,
                    "same or smaller insn offset ({off}) than previous func info record ({last})"
                ),
                _ => (),
            }
            let id = func.type_id.unwrap_or(TypeId(0));
            if self.btfs[1].type_by_id(id).is_none_or(|ty| ty.kind() != Kind::Func) {
                reject!(self, EINVAL, "invalid type id {} in func info", id.0);
            }
            last = Some(off);
        }
        Ok(())
    }

    /// Function records against functions, line records against instructions.
    pub(super) fn check_btf_info(&mut self) -> Res {
        let count = self.subprogs.len() - 1;
        if self.has_func_info() {
            self.check_funcs(count)?;
        } else {
            for func in &self.program.funcs {
                if let Some(sub) = self.subprogs[..count].iter_mut().find(|sub| sub.start == func.insn) {
                    sub.name.clone_from(&func.name);
                }
            }
            for at in 1..count {
                if self.subprogs[at].has_ld_abs {
                    reject!(self, EINVAL, "LD_ABS is not allowed in subprogs without BTF");
                }
                if self.subprogs[at].has_tail_call {
                    reject!(self, EINVAL, "tail_call is not allowed in subprogs without BTF");
                }
            }
        }
        if self.own_types && !self.program.lines.is_empty() {
            self.check_lines(count)?;
        }
        Ok(())
    }

    fn check_funcs(&mut self, count: usize) -> Res {
        if self.program.funcs.len() != count {
            reject!(self, EINVAL, "number of funcs in func_info doesn't match number of subprogs");
        }
        let own = self.btfs[1];
        for at in 0..count {
            let func = &self.program.funcs[at];
            if self.subprogs[at].start != func.insn {
                reject!(self, EINVAL, "func_info BTF section doesn't match subprog layout in BPF program");
            }
            let Some((id, ty)) = func.type_id.and_then(|id| Some((id, own.type_by_id(id)?))) else {
                continue;
            };
            let proto = ty.type_id().and_then(|proto| own.type_by_id(proto));
            let returned = proto.and_then(|proto| own.resolve(proto.type_id()?)).map(|(_, ty)| ty);
            let scalar = returned.is_some_and(|ty| match ty.kind() {
                Kind::Int => matches!(ty.size(), Some(1 | 2 | 4 | 8)),
                Kind::Enum | Kind::Enum64 => true,
                _ => false,
            });
            let sub = &mut self.subprogs[at];
            ty.name().clone_into(&mut sub.name);
            sub.type_id = Some(id.0);
            sub.is_global = ty.linkage() == Some(Linkage::Global);
            let (ld_abs, tail_call) = (sub.has_ld_abs, sub.has_tail_call);
            if at != 0 && !scalar && ld_abs {
                reject!(self, EINVAL, "LD_ABS is only allowed in functions that return 'int'.");
            }
            if at != 0 && !scalar && tail_call {
                reject!(self, EINVAL, "tail_call is only allowed in functions that return 'int'.");
            }
        }
        Ok(())
    }

    fn check_lines(&mut self, count: usize) -> Res {
        let own = self.btfs[1];
        let len = self.insns.len();
        let (mut last, mut sub) = (0, 0);
        for (at, line) in self.program.lines.iter().enumerate() {
            let off = line.insn;
            if (at != 0 && off <= last) || off >= len {
                reject!(
                    self,
                    EINVAL,
                    "Invalid line_info[{at}].insn_off:{off} (prev_offset:{last} prog->len:{len})"
                );
            }
            if self.insns[off].opcode == 0 {
                reject!(self, EINVAL, "Invalid insn code at line_info[{at}].insn_off");
            }
            if own.string(line.line_off).is_none() || own.string(line.file_name_off).is_none() {
                reject!(self, EINVAL, "Invalid line_info[{at}].line_off or .file_name_off");
            }
            if sub != count {
                if off == self.subprogs[sub].start {
                    self.subprogs[sub].linfo_idx = at;
                    sub += 1;
                } else if self.subprogs[sub].start < off {
                    reject!(self, EINVAL, "missing bpf_line_info for func#{sub}");
                }
            }
            last = off;
        }
        if sub != count {
            let missing = count - sub;
            reject!(self, EINVAL, "missing bpf_line_info for {missing} funcs starting from func#{sub}");
        }
        Ok(())
    }
}
