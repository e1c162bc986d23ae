//! Maps of kernel operations: their value in the kernel's layout, and the programs that are its members.

use super::Against;
use super::session::Session;
use crate::collection::LoadedProgram;
use crate::relocate::struct_ops::KernelOps;
use crate::spec::{MapSpec, Object};
use crate::{Error, Result};
use bpf_sys::btf_obj::BtfObj;
use btf::{Btf, TypeId};
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;

/// The member that a program implements.
pub(super) struct Member {
    /// `struct NAME` in the kernel's types.
    pub struct_type: TypeId,
    /// Index of the member.
    pub index: u32,
    /// The module that has the type.
    pub module: Option<Rc<BtfObj>>,
}

/// Lays out all struct_ops maps that are to be created. Programs of members that this kernel does not have are switched off,
/// unless another map has a use for them.
pub(super) fn lay_out(object: &mut Object, target: &dyn Against) -> Result<Vec<Option<KernelOps>>> {
    let wanted = |map: &MapSpec| map.struct_ops.is_some() && map.autocreate;
    if !object.maps.iter().any(wanted) {
        return Ok(Vec::new());
    }
    let bytes = object.btf.as_deref().unwrap_or_default();
    let types = Btf::parse(bytes).map_err(|source| Error::Btf { place: ".BTF".to_owned(), source })?;
    let mut laid_out = Vec::new();
    for map in &object.maps {
        laid_out.push(if wanted(map) { Some(target.struct_ops(map, &types)?) } else { None });
    }
    let used =
        |index: usize| laid_out.iter().flatten().any(|ops| ops.funcs.iter().any(|f| f.program == index));
    for index in laid_out.iter().flatten().flat_map(|ops| &ops.left_out) {
        if let Some(program) = object.programs.get_mut(*index).filter(|_| !used(*index)) {
            program.autoload = false;
        }
    }
    Ok(laid_out)
}

impl Session<'_> {
    /// A map's place in the kernel's types, where it is of struct_ops.
    pub(super) fn kernel_struct_ops(&self, map: usize) -> Option<&KernelOps> {
        self.struct_ops.get(map)?.as_ref()
    }

    /// The member that a program implements, where it implements one.
    pub(super) fn struct_ops_member(&self, program: usize) -> Result<Option<Member>> {
        for ops in self.struct_ops.iter().flatten() {
            let Some(func) = ops.funcs.iter().find(|func| func.program == program) else { continue };
            let module = match &ops.module {
                Some(name) => Some(self.module(name)?),
                None => None,
            };
            return Ok(Some(Member { struct_type: ops.struct_type, index: func.member, module }));
        }
        Ok(None)
    }

    /// Values with the descriptors of the programs, for whoever attaches the maps.
    pub(super) fn finish_struct_ops(&mut self, programs: &[(usize, LoadedProgram)]) {
        for (loaded, ops) in self.maps.iter_mut().zip(&self.struct_ops) {
            let (Some(loaded), Some(ops)) = (loaded, ops) else { continue };
            let mut value = ops.value.clone();
            for func in &ops.funcs {
                let fd = programs.iter().find(|(index, _)| *index == func.program);
                let fd = fd.map_or(0, |(_, program)| program.prog.as_fd().as_raw_fd() as u64);
                if let Some(to) = value.get_mut(func.offset..).and_then(|rest| rest.get_mut(..8)) {
                    to.copy_from_slice(&fd.to_ne_bytes());
                }
            }
            loaded.struct_ops_value = Some(value);
        }
    }
}
