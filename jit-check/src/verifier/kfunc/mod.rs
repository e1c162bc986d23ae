//! Kernel functions: flags, arguments, results.

use super::env::{EINVAL, Env, Reject, Res};
use asm::Insn;

/// A kernel function.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kfunc<'a> {
    pub name: &'a str,
}

impl<'a> Env<'a> {
    /// A call of a kernel function.
    pub(super) fn check_kfunc_call(&mut self, insn: Insn, insn_idx: &mut usize) -> Res {
        let _ = (insn, insn_idx);
        self.unmodelled("check_kfunc_call");
        Err(Reject(EINVAL))
    }

    /// Before the walk: every kernel function that is called exists and may be called.
    pub(super) fn add_kfunc_calls(&mut self) -> Res {
        self.unmodelled("add_kfunc_calls");
        Err(Reject(EINVAL))
    }

    /// Name by BTF id; empty where there is none.
    pub(super) fn kfunc_name(&self, btf_id: u32, module: u16) -> String {
        let _ = (btf_id, module);
        String::new()
    }

    /// Whether the call is of the kernel function of this name.
    pub(super) fn is_kfunc(&self, insn: Insn, name: &str) -> bool {
        let _ = (insn, name);
        false
    }

    /// Whether the call is of an iterator's next function.
    pub(super) fn is_iter_next_kfunc(&self, insn: Insn) -> bool {
        let _ = insn;
        false
    }

    /// Whether the kernel function calls a subprogram back.
    pub(super) fn is_callback_calling_kfunc(&self, insn: Insn) -> bool {
        let _ = insn;
        false
    }
}
