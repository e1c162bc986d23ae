//! Kernel operations: the object's struct in the layout of the kernel's.

use super::{Found, find_in_kernel};
use crate::spec::MapSpec;
use crate::target::Target;
use crate::{Error, Result};
use btf::{Btf, Kind, Member, Type, TypeId, essential_name};

/// The kernel wraps each struct of operations into one with a state: this and the struct's name.
const WRAPPER: &str = "bpf_struct_ops_";

/// A struct_ops map as the kernel wants it (`BPF_MAP_TYPE_STRUCT_OPS`, since Linux 5.6).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelOps {
    /// The struct, such as `tcp_congestion_ops`, in the kernel's types: what programs attach to (`attach_btf_id`).
    pub struct_type: TypeId,
    /// `struct bpf_struct_ops_NAME`: the type of the map's value (`btf_vmlinux_value_type_id`).
    pub value_type: TypeId,
    /// The module that has these types; `None` for the kernel.
    pub module: Option<String>,
    /// The value, as large as the map's must be: plain members where the kernel has them, functions still zero.
    pub value: Vec<u8>,
    /// Members that programs implement.
    pub funcs: Vec<OpsMember>,
    /// Programs of members that this kernel does not have: they are not to be loaded for this map.
    pub left_out: Vec<usize>,
}

/// A member that a program implements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpsMember {
    /// Index into [`Object::programs`](crate::Object::programs).
    pub program: usize,
    /// Index of the member in the kernel's struct: the program's `expected_attach_type`.
    pub member: u32,
    /// Bytes from the start of [`KernelOps::value`], where the program's descriptor goes, as 8 bytes.
    pub offset: usize,
}

/// Puts the value of a struct_ops map into the layout that `target` has. `types` are the object's.
///
/// Members are found by name, and must be of the same kind and size. What the kernel does not have may stay zero in the
/// object, or be a function: that program is left out then.
///
/// # Errors
///
/// [`Error::Map`] with the member: the kernel does not know the struct, lacks a member that is set, or has it with another
/// size or kind.
pub fn convert(map: &MapSpec, types: &Btf<'_>, target: &Target<'_>) -> Result<KernelOps> {
    let fail = |what: String| Error::Map { map: map.name.clone(), what };
    let (Some(ops), Some(data)) = (&map.struct_ops, &map.data) else {
        return Err(fail("is no map of kernel operations".to_owned()));
    };
    let name = essential_name(&ops.type_name);
    let found = find_in_kernel(target, name, Kind::Struct)?.ok_or_else(|| {
        fail(format!("neither the kernel nor a loaded module has `struct {name}` in its types"))
    })?;
    let value_name = format!("{WRAPPER}{name}");
    let no_ops = || fail(format!("`struct {name}` of this kernel cannot be implemented by programs"));
    let Found { btf, id: struct_type, module } = found;
    let value_type = btf.find(&value_name, Kind::Struct).ok_or_else(no_ops)?;
    let wrapper = btf.type_by_id(value_type).ok_or_else(no_ops)?;
    let start =
        wrapper.members().find(|member| member.type_id == struct_type).ok_or_else(no_ops)?.bit_offset / 8;
    let kernel = btf.type_by_id(struct_type).ok_or_else(no_ops)?;
    let own = types.type_by_id(ops.type_id).filter(|ty| ty.kind() == Kind::Struct);
    let own = own.ok_or_else(|| fail(format!("type {} is no struct", ops.type_id.0)))?;
    // The kernel's own limit of a map's value; damaged types may say anything.
    let size = wrapper.size().filter(|size| *size <= 1 << 22).ok_or_else(no_ops)?;
    let value = vec![0; size as usize];
    let mut made =
        KernelOps { struct_type, value_type, module, value, funcs: Vec::new(), left_out: Vec::new() };
    let mut sides = Sides { types, btf, kernel, data, start: start as usize, made: &mut made };
    for member in own.members() {
        let program = ops.funcs.iter().find(|(offset, _)| *offset == member.bit_offset / 8);
        let program = program.map(|(_, program)| *program);
        sides.member(&member, program).map_err(|what| fail(format!("member `{}`: {what}", member.name)))?;
    }
    Ok(made)
}

struct Sides<'s, 'l, 't> {
    types: &'s Btf<'l>,
    btf: &'s Btf<'t>,
    kernel: Type<'t>,
    data: &'s [u8],
    start: usize,
    made: &'s mut KernelOps,
}

impl Sides<'_, '_, '_> {
    fn member(&mut self, own: &Member<'_>, program: Option<usize>) -> Result<(), String> {
        let size = self.types.size_of(own.type_id).and_then(|size| usize::try_from(size).ok());
        let from = own.bit_offset as usize / 8;
        let bytes = size
            .and_then(|size| self.data.get(from..from.checked_add(size)?))
            .ok_or("lies outside of the object's value; the file is damaged, compile it again")?;
        let theirs = self.kernel.members().zip(0..).find(|(member, _)| member.name == own.name);
        let Some((theirs, index)) = theirs else {
            if bytes.iter().any(|byte| *byte != 0) {
                return Err(
                    "the kernel's struct has none of this name, and it is set; set it to 0".to_owned()
                );
            }
            self.made.left_out.extend(program);
            return Ok(());
        };
        if own.bitfield_size.is_some() || theirs.bitfield_size.is_some() {
            return Err("is a bit field, which cannot be converted".to_owned());
        }
        let to = self.start + theirs.bit_offset as usize / 8;
        let (_, ty) = self.types.resolve(own.type_id).ok_or("its type does not exist")?;
        let (_, kernel_ty) =
            self.btf.resolve(theirs.type_id).ok_or("its type in the kernel does not exist")?;
        if ty.kind() != kernel_ty.kind() {
            return Err(format!("is {:?} in the object and {:?} in the kernel", ty.kind(), kernel_ty.kind()));
        }
        if ty.kind() == Kind::Ptr {
            let Some(program) = program else { return Ok(()) };
            let pointee = kernel_ty.type_id().and_then(|id| self.btf.resolve(id));
            if pointee.is_none_or(|(_, ty)| ty.kind() != Kind::FuncProto) {
                return Err("is no function in the kernel".to_owned());
            }
            self.made.funcs.push(OpsMember { program, member: index, offset: to });
            return Ok(());
        }
        let kernel_size = self.btf.size_of(theirs.type_id);
        if kernel_size != Some(bytes.len() as u64) {
            let kernel_size = kernel_size.unwrap_or(0);
            return Err(format!("has {} bytes in the object and {kernel_size} in the kernel", bytes.len()));
        }
        let place = to.checked_add(bytes.len()).and_then(|end| self.made.value.get_mut(to..end));
        place.ok_or("lies outside of the kernel's value")?.copy_from_slice(bytes);
        Ok(())
    }
}
