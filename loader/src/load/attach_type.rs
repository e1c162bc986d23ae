//! Types that programs are attached to: the function, tracepoint, hook or iterator in the kernel's BTF, in a module's, or
//! in another program's.

use super::session::Session;
use crate::spec::{AttachTarget, ProgramSpec};
use crate::{Error, Result};
use bpf_sys::btf_obj::BtfObj;
use bpf_sys::prog::{Prog, ProgType};
use btf::{Btf, Kind, TypeId};
use std::rc::Rc;

/// What a program is attached to, by type.
#[derive(Default)]
pub(super) struct AttachBtf<'s> {
    pub id: u32,
    pub module: Option<Rc<BtfObj>>,
    pub prog: Option<&'s Prog>,
}

impl Session<'_> {
    /// The type that a program is attached to; nothing for programs of types that have none.
    pub(super) fn attach_btf(&self, program: &ProgramSpec) -> Result<AttachBtf<'_>> {
        let fail = |what: String| Error::Program { program: program.name.clone(), insn: None, what };
        if !matches!(program.prog_type, ProgType::Tracing | ProgType::Lsm | ProgType::Ext) {
            return Ok(AttachBtf::default());
        }
        let (prefix, name, kind, module) = match &program.attach {
            AttachTarget::TracepointBtf { name } => ("btf_trace_", name, Kind::Typedef, None),
            AttachTarget::Lsm { hook, .. } => ("bpf_lsm_", hook, Kind::Func, None),
            AttachTarget::Iter { target } => ("bpf_iter_", target, Kind::Func, None),
            AttachTarget::Tracing { module, function } => ("", function, Kind::Func, module.as_deref()),
            AttachTarget::Freplace { function } => ("", function, Kind::Func, None),
            _ => return Ok(AttachBtf::default()),
        };
        let section = &program.section;
        if name.is_empty() {
            return Err(fail(format!(
                "its section `{section}` does not say what it attaches to: set `attach` before loading"
            )));
        }
        let to = self.options.attach_progs.iter().find(|(of, _)| *of == program.name);
        if let Some((_, prog)) = to {
            let id = function_of(prog, name).map_err(|source| Error::Sys {
                context: format!("program `{}`: read the BTF of the program it attaches to", program.name),
                source,
            })?;
            let id = id.ok_or_else(|| {
                fail(format!("the program it attaches to has no BTF, or no function `{name}` in it"))
            })?;
            return Ok(AttachBtf { id: id.0, module: None, prog: Some(prog) });
        }
        if program.prog_type == ProgType::Ext {
            return Err(fail(format!(
                "replaces the function `{name}` of another program: give that program in `LoadOptions::attach_progs`"
            )));
        }
        // The target's types may be those of a file; what is attached to is what runs.
        let kernel = crate::kernel::btf::vmlinux()?.ok_or_else(|| {
            fail(format!(
                "attaches to `{name}` by its type, but the kernel has no BTF: it was built without \
                 CONFIG_DEBUG_INFO_BTF (there is no /sys/kernel/btf/vmlinux)"
            ))
        })?;
        let wanted = format!("{prefix}{name}");
        let in_kernel = module.is_none_or(|module| module == "vmlinux");
        if in_kernel && let Some(id) = kernel.find(&wanted, kind) {
            return Ok(AttachBtf { id: id.0, module: None, prog: None });
        }
        if let Some((module, id)) = find_in_modules(&wanted, kind, module)? {
            return Ok(AttachBtf { id: id.0, module: Some(self.module(&module)?), prog: None });
        }
        let what = match &program.attach {
            AttachTarget::TracepointBtf { .. } => "tracepoint",
            AttachTarget::Lsm { .. } => "LSM hook",
            AttachTarget::Iter { .. } => "iterator",
            _ => "function",
        };
        let place = match module {
            Some(module) => format!("module `{module}` has"),
            None => "the kernel and its loaded modules have".to_owned(),
        };
        Err(fail(format!(
            "{place} no {what} `{name}` in their BTF (`{wanted}`), which `{section}` attaches to; it may be \
             inlined, built out of this kernel, or of another release"
        )))
    }
}

/// The function of this name in the BTF of a loaded program.
fn function_of(prog: &Prog, name: &str) -> bpf_sys::Result<Option<TypeId>> {
    let btf_id = prog.info()?.btf_id;
    if btf_id == 0 {
        return Ok(None);
    }
    let bytes = BtfObj::from_id(btf_id)?.bytes()?;
    Ok(Btf::parse(&bytes).ok().and_then(|btf| btf.find(name, Kind::Func)))
}

/// The first loaded module that has the type, `only` in the module of that name.
fn find_in_modules(name: &str, kind: Kind, only: Option<&str>) -> Result<Option<(String, TypeId)>> {
    for module in crate::kernel::btf::modules()? {
        if only.is_some_and(|only| only != module.name()) {
            continue;
        }
        let Some(btf) = module.btf()? else { continue };
        let found = btf.own_types().find(|(_, ty)| ty.kind() == kind && ty.name() == name);
        if let Some((id, _)) = found {
            return Ok(Some((module.name().to_owned(), id)));
        }
    }
    Ok(None)
}
