//! Kernel functions: flags, arguments, results.

mod args;
mod call;
mod classify;
mod flags;
mod graph;
mod special;
mod table;

pub(crate) use flags::{Flag, Kfunc};
pub(crate) use special::Special;

use super::env::{EINVAL, Env, Res, reject};
use super::reg::BtfIdx;
use asm::Insn;
use btf::{Kind, TypeId};
use std::rc::Rc;

/// How many different kernel functions, and modules, a program may call.
const KFUNCS_MAX: usize = 256;
const E2BIG: i32 = super::env::E2BIG;
const ENOTSUPP: i32 = super::env::ENOTSUPP;
const CALL: u8 = 0x85;
const PSEUDO_KFUNC_CALL: u8 = 2;

/// Whether the instruction calls a kernel function.
fn is_kfunc_call(insn: &Insn) -> bool {
    insn.opcode == CALL && insn.regs >> 4 == PSEUDO_KFUNC_CALL
}

impl<'a> Env<'a> {
    /// Before the walk: every kernel function that is called exists and may be called.
    pub(super) fn add_kfunc_calls(&mut self) -> Res {
        let calls: Vec<(u32, i16)> = self
            .insns
            .iter()
            .filter(|insn| is_kfunc_call(insn))
            .map(|insn| (insn.imm as u32, insn.off))
            .collect();
        for call in calls {
            self.add_kfunc_call(call.0, call.1)?;
        }
        Ok(())
    }

    fn add_kfunc_call(&mut self, id: u32, offset: i16) -> Res {
        if self.kernel.btf.is_none() {
            reject!(self, ENOTSUPP, "calling kernel function is not supported without CONFIG_DEBUG_INFO_BTF");
        }
        if !self.kernel.jit {
            reject!(self, ENOTSUPP, "JIT is required for calling kernel function");
        }
        if !self.program.gpl {
            reject!(self, EINVAL, "cannot call kernel function from non-GPL compatible program");
        }
        if id == 0 && offset == 0 || self.objects.kfuncs.contains_key(&(id, offset)) {
            return Ok(());
        }
        let at = if offset == 0 { Some(BtfIdx::KERNEL) } else { self.module_types(offset)? };
        let Some(at) = at else {
            reject!(self, EINVAL, "failed to find BTF for kernel function");
        };
        if self.objects.kfuncs.len() >= KFUNCS_MAX {
            reject!(self, E2BIG, "too many different kernel function calls");
        }
        let types = self.btf(at);
        let Some(func) = types.type_by_id(TypeId(id)).filter(|ty| ty.kind() == Kind::Func) else {
            reject!(self, EINVAL, "kernel btf_id {id} is not a function");
        };
        let proto = func.type_id().and_then(|id| types.type_by_id(id));
        let Some(proto) = proto.filter(|ty| ty.kind() == Kind::FuncProto) else {
            reject!(self, EINVAL, "kernel function btf_id {id} does not have a valid func_proto");
        };
        let name = func.name();
        if flags::is_device_bound(name) && self.since(6, 3) {
            reject!(self, EINVAL, "metadata kfuncs require device-bound program");
        }
        let attach = self.program.expected_attach_type;
        let kfunc = Kfunc {
            name,
            btf: at,
            id,
            params: proto.params().collect(),
            result: proto.type_id().unwrap_or(TypeId(0)),
            flags: flags::lookup(name, self.resolved_prog_type(), attach, self.kernel.version),
            special: if at == BtfIdx::KERNEL { Special::of(name) } else { Special::None },
        };
        self.objects.kfuncs.insert((id, offset), Rc::new(kfunc));
        Ok(())
    }

    /// The types of the module that a call's offset names.
    fn module_types(&mut self, offset: i16) -> Res<Option<BtfIdx>> {
        if offset < 0 {
            self.say(format_args!("negative offset disallowed for kernel module function call\n"));
            return Ok(None);
        }
        let module = self.program.kfuncs.modules.get(offset as usize - 1);
        let known = &self.kernel.modules;
        let at = module.and_then(|name| known.iter().position(|(module, _)| module == name));
        let Some(at) = at else {
            self.say(format_args!("invalid module BTF fd specified\n"));
            return Ok(None);
        };
        Ok(Some(BtfIdx(2 + at as u16)))
    }

    /// The kernel function that an instruction calls, where it calls one.
    pub(super) fn kfunc_of(&self, insn: Insn) -> Option<&Rc<Kfunc<'a>>> {
        if !is_kfunc_call(&insn) {
            return None;
        }
        self.objects.kfuncs.get(&(insn.imm as u32, insn.off))
    }

    /// Name by BTF id; empty where there is none.
    pub(super) fn kfunc_name(&self, btf_id: u32, module: u16) -> String {
        let known = self.objects.kfuncs.get(&(btf_id, module as i16));
        known.map_or("", |kfunc| kfunc.name).to_owned()
    }

    /// Whether the call is of the kernel function of this name.
    pub(super) fn is_kfunc(&self, insn: Insn, name: &str) -> bool {
        self.kfunc_of(insn).is_some_and(|kfunc| {
            kfunc.btf == BtfIdx::KERNEL
                && (kfunc.name == name
                    || kfunc.special != Special::None && kfunc.special == Special::of(name))
        })
    }

    /// Whether the call is of an iterator's next function.
    pub(super) fn is_iter_next_kfunc(&self, insn: Insn) -> bool {
        self.kfunc_of(insn).and_then(|kfunc| kfunc.flags).is_some_and(|flags| flags.contains(Flag::NEXT))
    }

    /// Whether the kernel function calls a subprogram back.
    pub(super) fn is_callback_calling_kfunc(&self, insn: Insn) -> bool {
        self.kfunc_of(insn)
            .is_some_and(|kfunc| kfunc.special.calls_back() || kfunc.special.calls_back_later())
    }
}
