//! Maps of kernel operations: their value in the kernel's layout, and the programs that are its members.
//!
//! The object's `struct NAME` (flavours aside) is laid out anew as the kernel's, member by member by name. The kernel's
//! `struct bpf_struct_ops_NAME` holds it, behind what the kernel keeps for itself
//! (`Documentation/bpf/libbpf/program_types.rst`).

use super::session::Session;
use crate::collection::LoadedProgram;
use crate::kernel;
use crate::spec::{MapSpec, Object};
use crate::{Error, Result};
use bpf_sys::btf_obj::BtfObj;
use btf::{Btf, Kind, Type, TypeId, essential_name};
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;

/// A struct_ops map in the kernel's types.
pub(super) struct KernelOps {
    /// `struct bpf_struct_ops_NAME`.
    pub value_type: TypeId,
    /// `struct NAME`.
    struct_type: TypeId,
    /// The value, without programs.
    value: Vec<u8>,
    /// Members that are programs: bytes from the start of the value, index of the member, the program.
    funcs: Vec<(usize, u32, usize)>,
    /// The module that has the types.
    module: Option<String>,
}

impl KernelOps {
    /// Bytes of the value.
    pub fn value_size(&self) -> u32 {
        u32::try_from(self.value.len()).unwrap_or(u32::MAX)
    }

    /// The module that has the types.
    pub fn module(&self) -> Option<&str> {
        self.module.as_deref()
    }
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

/// Lays out all struct_ops maps that are to be created. Programs of members that this kernel does not have are switched off,
/// unless another map has a use for them.
pub(super) fn lay_out(object: &mut Object) -> Result<Vec<Option<KernelOps>>> {
    let wanted = |map: &MapSpec| map.struct_ops.is_some() && map.autocreate;
    if !object.maps.iter().any(wanted) {
        return Ok(Vec::new());
    }
    let bytes = object.btf.as_deref().unwrap_or_default();
    let own = Btf::parse(bytes).map_err(|source| Error::Btf { place: ".BTF".to_owned(), source })?;
    let mut dropped = Vec::new();
    let mut laid_out = Vec::new();
    for map in &object.maps {
        let ops = if wanted(map) { Some(lay_out_one(&own, map, &mut dropped)?) } else { None };
        laid_out.push(ops);
    }
    for index in dropped {
        let used = laid_out
            .iter()
            .flatten()
            .any(|ops: &KernelOps| ops.funcs.iter().any(|(_, _, program)| *program == index));
        if let Some(program) = object.programs.get_mut(index).filter(|_| !used) {
            program.autoload = false;
        }
    }
    Ok(laid_out)
}

/// The kernel's or a module's types that have both structures: their ids, and the module's name.
type Found = (&'static Btf<'static>, TypeId, TypeId, Option<String>);

fn find(map: &MapSpec, name: &str) -> Result<Found> {
    let fail = |what: String| Error::Map { map: map.name.clone(), what };
    let base = kernel::vmlinux()?.ok_or_else(|| {
        fail("operations of the kernel need its BTF: it was built without CONFIG_DEBUG_INFO_BTF".to_owned())
    })?;
    let value_name = format!("bpf_struct_ops_{name}");
    let both = |btf: &Btf<'_>| Some((btf.find(name, Kind::Struct)?, btf.find(&value_name, Kind::Struct)?));
    if let Some((ops, value)) = both(base) {
        return Ok((base, ops, value, None));
    }
    for module in kernel::btf::modules()? {
        if let Some(btf) = module.btf()?
            && let Some((ops, value)) = both(btf)
        {
            return Ok((btf, ops, value, Some(module.name().to_owned())));
        }
    }
    Err(fail(format!(
        "this kernel does not let programs implement `struct {name}`: there is no `struct {value_name}` in its BTF, nor \
         in its loaded modules'"
    )))
}

fn lay_out_one(own: &Btf<'_>, map: &MapSpec, dropped: &mut Vec<usize>) -> Result<KernelOps> {
    let fail = |what: String| Error::Map { map: map.name.clone(), what };
    let damaged = || fail("its type in the object's BTF is damaged".to_owned());
    let Some(ops) = &map.struct_ops else { return Err(damaged()) };
    let name = essential_name(&ops.type_name);
    let (theirs, struct_type, value_type, module) = find(map, name)?;
    let in_kernel = || fail(format!("`struct {name}` in the kernel's BTF is damaged"));
    let kernel_struct = theirs.type_by_id(struct_type).ok_or_else(in_kernel)?;
    let wrapper = theirs.type_by_id(value_type).ok_or_else(in_kernel)?;
    let start = wrapper
        .members()
        .find(|member| member.type_id == struct_type)
        .map(|member| member.bit_offset as usize / 8)
        .ok_or_else(in_kernel)?;
    let mut value = vec![0; wrapper.size().ok_or_else(in_kernel)? as usize];
    let mut funcs = Vec::new();
    let local = own.type_by_id(ops.type_id).ok_or_else(damaged)?;
    let data = map.data.as_deref().unwrap_or_default();
    for member in local.members() {
        let offset = member.bit_offset as usize / 8;
        let size = own.size_of(member.type_id).and_then(|size| usize::try_from(size).ok()).ok_or_else(damaged)?;
        let bytes = data.get(offset..).and_then(|rest| rest.get(..size)).ok_or_else(damaged)?;
        let program = ops.funcs.iter().find(|(at, _)| *at as usize == offset).map(|(_, program)| *program);
        let Some((index, there)) = member_of(&kernel_struct, member.name) else {
            if bytes.iter().any(|byte| *byte != 0) {
                return Err(fail(format!(
                    "the member `{}` is set, but this kernel's `struct {name}` has none of that name",
                    member.name
                )));
            }
            dropped.extend(program);
            continue;
        };
        if member.bitfield_size.is_some() || there.bitfield_size.is_some() {
            return Err(fail(format!("the member `{}` is a bit field, which cannot be set", member.name)));
        }
        let (Some((_, ty)), Some((_, kernel_ty))) = (own.resolve(member.type_id), theirs.resolve(there.type_id))
        else {
            return Err(damaged());
        };
        if ty.kind() != kernel_ty.kind() {
            return Err(fail(format!(
                "the member `{}` is of another kind than in this kernel's `struct {name}`",
                member.name
            )));
        }
        let place = start + there.bit_offset as usize / 8;
        if ty.kind() == Kind::Ptr {
            if let Some(program) = program {
                funcs.push((place, index, program));
            }
            continue;
        }
        let same_size = theirs.size_of(there.type_id) == u64::try_from(size).ok();
        let Some(to) = value.get_mut(place..).and_then(|rest| rest.get_mut(..size)).filter(|_| same_size) else {
            return Err(fail(format!(
                "the member `{}` has another size than in this kernel's `struct {name}`",
                member.name
            )));
        };
        to.copy_from_slice(bytes);
    }
    Ok(KernelOps { value_type, struct_type, value, funcs, module })
}

fn member_of<'t>(ty: &Type<'t>, name: &str) -> Option<(u32, btf::Member<'t>)> {
    ty.members().zip(0..).find(|(member, _)| member.name == name).map(|(member, index)| (index, member))
}

impl Session<'_> {
    /// A map's place in the kernel's types, where it is of struct_ops.
    pub(super) fn kernel_struct_ops(&self, map: usize) -> Option<&KernelOps> {
        self.struct_ops.get(map)?.as_ref()
    }

    /// The member that a program implements, where it implements one.
    pub(super) fn struct_ops_member(&self, program: usize) -> Result<Option<Member>> {
        for ops in self.struct_ops.iter().flatten() {
            let Some((_, index, _)) = ops.funcs.iter().find(|(_, _, of)| *of == program) else { continue };
            let module = match &ops.module {
                Some(name) => Some(self.module(name)?),
                None => None,
            };
            return Ok(Some(Member { struct_type: ops.struct_type, index: *index, module }));
        }
        Ok(None)
    }

    /// Values with the descriptors of the programs, for whoever attaches the maps.
    pub(super) fn finish_struct_ops(&mut self, programs: &[(usize, LoadedProgram)]) {
        for (loaded, ops) in self.maps.iter_mut().zip(&self.struct_ops) {
            let (Some(loaded), Some(ops)) = (loaded, ops) else { continue };
            let mut value = ops.value.clone();
            for (place, _, program) in &ops.funcs {
                let fd = programs.iter().find(|(index, _)| index == program);
                let fd = fd.map_or(0, |(_, program)| program.prog.as_fd().as_raw_fd() as u64);
                if let Some(to) = value.get_mut(*place..).and_then(|rest| rest.get_mut(..8)) {
                    to.copy_from_slice(&fd.to_ne_bytes());
                }
            }
            loaded.struct_ops_value = Some(value);
        }
    }
}
