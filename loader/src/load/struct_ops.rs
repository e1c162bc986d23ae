//! Maps of kernel operations: their value in the kernel's layout, and the programs that are its members.

use super::session::Session;
use crate::collection::LoadedProgram;
use crate::{Error, Result};
use bpf_sys::btf_obj::BtfObj;
use btf::TypeId;
use std::rc::Rc;

/// A struct_ops map in the kernel's types.
pub(super) struct KernelOps {
    /// `struct bpf_struct_ops_NAME`.
    pub value_type: TypeId,
    /// Its size in bytes.
    pub value_size: u32,
    /// The module that has the type.
    pub module: Option<Rc<BtfObj>>,
}

/// The member that a program implements.
pub(super) struct Member {
    /// `struct NAME` in the kernel's types.
    pub struct_type: TypeId,
    /// Index of the member.
    pub index: u32,
    /// The module that has the type.
    pub module: Option<Rc<BtfObj>>,
}

impl Session<'_> {
    pub(super) fn kernel_struct_ops(&self, index: usize) -> Result<Option<KernelOps>> {
        let _ = index;
        Ok(None)
    }
    pub(super) fn struct_ops_member(&self, program: usize) -> Result<Option<Member>> {
        let _ = program;
        Ok(None)
    }
    pub(super) fn finish_struct_ops(&mut self, programs: &[(usize, LoadedProgram)]) -> Result<()> {
        let _ = programs;
        Ok(())
    }
}
