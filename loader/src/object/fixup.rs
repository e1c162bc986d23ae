//! The object's types as a kernel takes them: what the reader found about sections and linkages, written into the bytes.

use super::programs::Functions;
use super::types::{Datasec, Types};
use btf::{Btf, Builder, IntEncoding, Kind, Linkage, SectionVar, TypeId};

/// Name of the variable that stands for kernel functions in `.ksyms`.
const DUMMY: &str = "dummy_ksym";

/// The bytes of the types, with everything put right. Ids stay; a type or two may be added at the end.
pub fn finish(types: &Types<'_>, functions: &Functions<'_>) -> Vec<u8> {
    let hidden = hidden_functions(types, functions);
    let ksyms = types.datasec(".ksyms");
    let changed = types.datasecs.iter().any(|datasec| datasec.changed);
    if !changed && hidden.is_empty() && types.linkages.is_empty() && ksyms.is_none() {
        return types.bytes.to_vec();
    }
    let mut builder = Builder::from_btf(&types.btf);
    let mut done = true;
    for datasec in types.datasecs.iter().filter(|datasec| datasec.changed) {
        done &= builder.set_datasec(datasec.id, datasec.size, &vars(datasec));
    }
    for (id, linkage) in
        types.linkages.iter().copied().chain(hidden.into_iter().map(|id| (id, Linkage::Static)))
    {
        done &= builder.set_linkage(id, linkage);
    }
    if let Some(datasec) = ksyms {
        done &= kernel_symbols(&mut builder, &types.btf, datasec);
    }
    // All ids come from the same types.
    debug_assert!(done, "a type that was read cannot be changed");
    builder.finish()
}

fn vars(datasec: &Datasec<'_>) -> Vec<SectionVar> {
    let var =
        |var: &super::types::Var<'_>| SectionVar { type_id: var.id, offset: var.offset, size: var.size };
    datasec.vars.iter().map(var).collect()
}

/// Subprograms that other objects cannot see are static for the kernel: it verifies them with their callers.
fn hidden_functions(types: &Types<'_>, functions: &Functions<'_>) -> Vec<TypeId> {
    functions
        .list
        .iter()
        .filter(|func| func.hidden && functions.is_subprogram(func))
        .filter_map(|func| types.functions.get(func.name).copied())
        .filter(|id| {
            let linkage = types.btf.type_by_id(*id).and_then(|ty| ty.linkage());
            linkage == Some(Linkage::Global)
        })
        .collect()
}

/// The kernel checks `.ksyms` as it checks any data section: each symbol becomes an `int` that lies somewhere, each
/// function a global one that has names for its parameters, and a variable takes its place in the section.
fn kernel_symbols(builder: &mut Builder, btf: &Btf<'_>, datasec: &Datasec<'_>) -> bool {
    let int = btf.own_types().find(|(_, ty)| {
        ty.kind() == Kind::Int
            && ty.size() == Some(4)
            && ty.int().is_some_and(|int| int.bits == 32 && int.offset == 0)
    });
    let int = match int {
        Some((id, _)) => id,
        None => {
            let encoding = IntEncoding { bits: 32, offset: 0, signed: true, char: false, bool: false };
            builder.int("int", 4, encoding)
        }
    };
    let mut dummy = None;
    let mut done = true;
    let mut vars = Vec::with_capacity(datasec.vars.len());
    for (nth, var) in datasec.vars.iter().enumerate() {
        // At most 2^24 of them.
        let offset = nth as u32 * 4;
        done &= builder.set_linkage(var.id, Linkage::Global);
        let type_id = if var.function {
            let dummy = *dummy.get_or_insert_with(|| builder.var(DUMMY, int, Linkage::Global));
            done &= name_params(builder, btf, var.type_id);
            dummy
        } else {
            done &= builder.set_type(var.id, int);
            var.id
        };
        vars.push(SectionVar { type_id, offset, size: 4 });
    }
    let size = vars.len() as u32 * 4;
    builder.set_datasec(datasec.id, size, &vars) && done
}

/// Gives parameters without a name one: the kernel wants them in functions that are not static.
fn name_params(builder: &mut Builder, btf: &Btf<'_>, proto: TypeId) -> bool {
    let Some(ty) = btf.type_by_id(proto).filter(|ty| ty.kind() == Kind::FuncProto) else {
        return true;
    };
    // A last parameter of type void stands for `...` and has no name.
    if ty.params().all(|param| !param.name.is_empty() || param.type_id.0 == 0) {
        return true;
    }
    let params: Vec<(&str, TypeId)> = ty
        .params()
        .map(|param| match param.name {
            "" if param.type_id.0 != 0 => (DUMMY, param.type_id),
            name => (name, param.type_id),
        })
        .collect();
    let returns = ty.type_id().unwrap_or(TypeId(0));
    builder.replace(proto, |builder| builder.func_proto(returns, &params))
}
