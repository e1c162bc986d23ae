//! Kernel symbols: variables and functions by their types, and addresses by name alone.

use super::{Found, find_in_kernel};
use crate::core::types_agree;
use crate::spec::{Extern, Resolution};
use crate::target::{Address, Target};
use crate::{Error, Result};
use btf::{Btf, Kind, TypeId, essential_name};

fn fail(wanted: &Extern, what: impl Into<String>) -> Error {
    Error::Extern { name: wanted.name.clone(), what: what.into() }
}

/// What nobody has.
fn missing(wanted: &Extern, target: &Target<'_>, what: &str) -> Result<Resolution> {
    if wanted.weak {
        return Ok(Resolution::Missing);
    }
    Err(fail(
        wanted,
        match target.try_btf()? {
            Some(_) => format!(
                "{what} of this name is in the types of the kernel or of its loaded modules: load the module that has \
                 it, take another kernel, or declare it __weak and ask whether it is there"
            ),
            None => "the kernel has no types to find it by (no /sys/kernel/btf/vmlinux; it needs \
                     CONFIG_DEBUG_INFO_BTF): declare it __weak and do without"
                .to_owned(),
        },
    ))
}

/// A symbol that was looked for in `/proc/kallsyms`.
pub(super) fn untyped(wanted: &Extern, found: Option<Address>) -> Result<Resolution> {
    match found {
        Some(Address::At(0)) => Err(fail(
            wanted,
            "the kernel hides the addresses of its symbols from this process: run as root, or with CAP_SYSLOG, and \
             see the sysctl kernel.kptr_restrict",
        )),
        Some(Address::At(address)) => Ok(Resolution::Address(address)),
        Some(Address::Ambiguous(one, other)) => Err(fail(
            wanted,
            format!(
                "several symbols have this name, at {one:#x} and {other:#x}: there is no telling which is meant"
            ),
        )),
        Some(Address::Missing) | None if wanted.weak => Ok(Resolution::Missing),
        Some(Address::Missing) | None => Err(fail(
            wanted,
            "no symbol of this name is in /proc/kallsyms: load the module that has it, take another kernel, or declare \
             it __weak and ask whether it is there",
        )),
    }
}

/// A variable with a type; `id` is the variable's or its type's.
pub(super) fn variable(
    wanted: &Extern,
    types: &Btf<'_>,
    id: TypeId,
    target: &Target<'_>,
) -> Result<Resolution> {
    let Some(Found { btf, id: btf_id, module }) = find_in_kernel(target, &wanted.name, Kind::Var)? else {
        return missing(wanted, target, "no variable");
    };
    let declared = types.type_by_id(id).filter(|ty| ty.kind() == Kind::Var).and_then(|ty| ty.type_id());
    let theirs = btf.type_by_id(btf_id).and_then(|ty| ty.type_id()).unwrap_or(btf_id);
    let agrees = types_agree(types, declared.unwrap_or(id), btf, theirs);
    if agrees.map_err(|what| fail(wanted, what))? {
        return Ok(Resolution::Variable { btf_id, module });
    }
    Err(fail(
        wanted,
        format!("the variable in {} has another type than the object declares", place(module.as_deref())),
    ))
}

/// A kernel function; `id` is the function's or its prototype's.
pub(super) fn function(
    wanted: &Extern,
    types: &Btf<'_>,
    id: TypeId,
    target: &Target<'_>,
) -> Result<Resolution> {
    // Flavours stand for prototypes that the function had at other times.
    let name = essential_name(&wanted.name);
    let Some(Found { btf, id: btf_id, module }) = find_in_kernel(target, name, Kind::Func)? else {
        return missing(wanted, target, "no function");
    };
    let declared = types.type_by_id(id).filter(|ty| ty.kind() == Kind::Func).and_then(|ty| ty.type_id());
    let theirs = btf.type_by_id(btf_id).and_then(|ty| ty.type_id()).unwrap_or(btf_id);
    let agrees = types_agree(types, declared.unwrap_or(id), btf, theirs);
    if agrees.map_err(|what| fail(wanted, what))? {
        return Ok(Resolution::Function { btf_id, module });
    }
    if wanted.weak {
        return Ok(Resolution::Missing);
    }
    Err(fail(
        wanted,
        format!("the function in {} takes or returns something else than declared", place(module.as_deref())),
    ))
}

fn place(module: Option<&str>) -> String {
    module.map_or_else(|| "the kernel".to_owned(), |module| format!("module `{module}`"))
}
