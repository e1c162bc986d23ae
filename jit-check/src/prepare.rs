//! A program of an object, made ready for a kernel: what it attaches to is found in the kernel's types.

use crate::kernel::{Kernel, Version};
use crate::program::{BadProgram, Program};
use bpf_sys::prog::{AttachType, ProgType};
use btf::{Btf, Kind, TypeId};
use loader::{AttachTarget, Object};

/// The program of a relocated object, with its attachment looked up in the kernel's types.
///
/// Programs that replace functions of other programs ([`ProgType::Ext`]) have no attachment: which program it is to be only
/// their loader knows.
///
/// # Errors
///
/// [`BadProgram`] where there is no such program, the object is not relocated, or the kernel has nothing of the name that
/// it attaches to.
pub fn prepare(object: &Object, index: usize, kernel: &Kernel<'_>) -> Result<Program, BadProgram> {
    let mut program = Program::of_object(object, index)?;
    let Some(spec) = object.programs.get(index) else { return Ok(program) };
    let missing = |what: String| BadProgram::NoTarget { what };
    match &spec.attach {
        AttachTarget::StructOps { .. } => {
            let (id, member) = struct_ops_member(object, index, kernel).map_err(missing)?;
            program.attach_btf_id = Some(id);
            program.expected_attach_type = Some(AttachType::from_raw(member));
        }
        AttachTarget::Usdt { .. } if spec.expected_attach_type.is_none() => {
            let by_one_link = kernel.version >= Version(6, 6);
            program.expected_attach_type = by_one_link.then_some(AttachType::TraceUprobeMulti);
        }
        target if matches!(program.prog_type, ProgType::Tracing | ProgType::Lsm) => {
            let Some((prefix, name, kind)) = named(target) else { return Ok(program) };
            if name.is_empty() {
                return Ok(program);
            }
            let types = kernel.btf.ok_or_else(|| missing("the kernel's types are not known".to_owned()))?;
            let wanted = format!("{prefix}{name}");
            program.attach_btf_id = types.find(&wanted, kind);
            for (module, types) in &kernel.modules {
                if program.attach_btf_id.is_none() {
                    program.attach_btf_id = types.find(&wanted, kind);
                    program.attach_module = program.attach_btf_id.map(|_| (*module).to_owned());
                }
            }
            if program.attach_btf_id.is_none() {
                return Err(missing(format!("`{wanted}` is not among the kernel's types")));
            }
        }
        _ => (),
    }
    Ok(program)
}

/// Prefix, name and kind of what stands for a target in the kernel's types.
fn named(target: &AttachTarget) -> Option<(&'static str, &str, Kind)> {
    Some(match target {
        AttachTarget::TracepointBtf { name } => ("btf_trace_", name, Kind::Typedef),
        AttachTarget::Lsm { hook, .. } => ("bpf_lsm_", hook, Kind::Func),
        AttachTarget::Iter { target } => ("bpf_iter_", target, Kind::Func),
        AttachTarget::Tracing { function, .. } => ("", function, Kind::Func),
        _ => return None,
    })
}

/// The kernel's struct of a struct_ops program and the index of the member that it implements.
fn struct_ops_member(object: &Object, index: usize, kernel: &Kernel<'_>) -> Result<(TypeId, u32), String> {
    let types = kernel.btf.ok_or("the kernel's types are not known")?;
    let ops = object.maps.iter().filter_map(|map| map.struct_ops.as_ref());
    let found = ops.flat_map(|ops| ops.funcs.iter().map(move |func| (ops, func)));
    let (ops, (offset, _)) = found
        .into_iter()
        .find(|(_, (_, program))| *program == index)
        .ok_or("no struct_ops map has the program as a member")?;
    let bytes = object.btf.as_deref().unwrap_or_default();
    let own = Btf::parse(bytes).map_err(|error| error.to_string())?;
    let own_struct =
        own.resolve(ops.type_id).ok_or("the struct of the map is not among the object's types")?.1;
    let member = own_struct.members().find(|member| member.bit_offset == offset * 8);
    let member = member.map(|member| btf::essential_name(member.name)).unwrap_or_default();
    let name = btf::essential_name(&ops.type_name);
    let id = types.find(name, Kind::Struct).ok_or_else(|| format!("the kernel has no `struct {name}`"))?;
    let mut members = types.type_by_id(id).into_iter().flat_map(|ty| ty.members());
    let at = members.position(|known| known.name == member);
    let at = at.ok_or_else(|| format!("the kernel's `struct {name}` has no member `{member}`"))?;
    Ok((id, at as u32))
}
