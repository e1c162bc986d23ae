//! Types as C declarations: a header such as `vmlinux.h` of all types, or one declaration.
//!
//! What is printed compiles: definitions stand before those that need them, structs that are only pointed to are
//! declared first, different types of one name get the suffix `___2`, `___3` and so on (which CO-RE ignores), and a
//! struct or union has the size and the member offsets that the data gives, by padding and `packed` where the natural
//! layout differs.
//!
//! Damaged data costs a comment at the place: a type that contains itself, or one that does not exist, is left out
//! and counted in [`Summary::skipped`]. Nothing here recurses by the data's say.

mod composite;
mod declare;
mod emit;
mod names;
mod order;
mod pack;

use crate::{Btf, Kind, Type, TypeId};
use names::Names;
use std::fmt;

/// How to print a header.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct COptions {
    /// Only these types and what they need; all where it is empty.
    pub roots: Vec<TypeId>,
    /// By kind and name instead of by id, so that headers of two kernels can be compared line by line.
    pub sorted: bool,
    /// Prototypes of the kernel's functions for programs (kfuncs, known by the declaration tag `bpf_kfunc`).
    pub kfuncs: bool,
}

impl Default for COptions {
    fn default() -> COptions {
        COptions { roots: Vec::new(), sorted: true, kfuncs: true }
    }
}

/// What became of the types.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Types that share their name with others and got a suffix: 2 stands for `___2`.
    pub renamed: Vec<(TypeId, u32)>,
    /// Damaged types that were left out, with a comment in their place.
    pub skipped: u32,
}

/// Writes types as a C header that serves as `vmlinux.h`: guarded against double inclusion, every record with
/// `preserve_access_index` where clang compiles it.
///
/// # Errors
///
/// Those of `out`.
pub fn dump_c(btf: &Btf<'_>, out: &mut dyn fmt::Write, options: &COptions) -> Result<Summary, fmt::Error> {
    let mut printer = Printer::new(btf);
    printer.out.push_str(HEAD);
    let kfuncs = options.kfuncs && options.roots.is_empty();
    if kfuncs {
        printer.out.push_str(KFUNC_MACROS);
    }
    printer.note_references();
    let roots = if !options.roots.is_empty() {
        options.roots.iter().map(|id| id.0).collect()
    } else if options.sorted {
        order::sorted(btf)
    } else {
        (1..btf.next_id()).collect()
    };
    for root in roots {
        printer.emit_root(root);
        if printer.out.len() >= FLUSH {
            out.write_str(&printer.out)?;
            printer.out.clear();
        }
    }
    if kfuncs {
        printer.emit_kfuncs();
    }
    printer.out.push_str(TAIL);
    out.write_str(&printer.out)?;
    Ok(Summary { renamed: printer.renamed, skipped: printer.skipped.saturating_add(printer.faults) })
}

/// How the type is declared with this name, as `struct task_struct *p`, `int (*handler)(int)`, or with an empty name
/// `struct list_head *`. For functions and variables the whole declaration, under their own name where `name` is empty.
///
/// Anonymous structs, unions and enumerations are written as `struct {...}`. `None` where there is no such type or
/// where what it refers to does not exist or never ends.
pub fn declaration(btf: &Btf<'_>, id: TypeId, name: &str) -> Option<String> {
    let ty = btf.type_by_id(id)?;
    let (target, name) = match ty.kind() {
        Kind::Func | Kind::Var => (ty.type_id()?, if name.is_empty() { ty.name() } else { name }),
        Kind::Datasec | Kind::DeclTag | Kind::Unknown(_) => return None,
        _ => (id, name),
    };
    let mut printer = Printer::new_brief(btf);
    printer.declare(target.0, name, 0);
    (printer.faults == 0).then_some(printer.out)
}

/// The definition of a struct, union or enumeration, of a typedef, or the declaration of anything else, without what
/// it refers to; ends in a semicolon. `None` as for [`declaration`].
pub fn definition(btf: &Btf<'_>, id: TypeId) -> Option<String> {
    let ty = btf.type_by_id(id)?;
    let mut printer = Printer::new_brief(btf);
    printer.brief = false;
    printer.layout = vec![0; btf.next_id() as usize];
    printer.budget = composite::BUDGET + btf.types.len();
    match ty.kind() {
        Kind::Struct | Kind::Union => printer.composite_body(id.0, ty, 0),
        Kind::Enum | Kind::Enum64 => printer.enum_body(id.0, ty, 0),
        Kind::Typedef => printer.typedef_text(id.0, ty),
        Kind::Fwd => printer.keyword_and_name(id.0, ty),
        _ => printer.out = declaration(btf, id, "")?,
    }
    printer.out.push(';');
    (printer.faults == 0).then_some(printer.out)
}

/// Parameters in one declaration, functions as parameters of functions included.
const MAX_PARAMETERS: usize = 1 << 10;

/// Text is handed on in pieces of about this many bytes.
const FLUSH: usize = 1 << 16;

const HEAD: &str = "#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

";

const KFUNC_MACROS: &str = "#ifndef __ksym
#define __ksym __attribute__((section(\".ksyms\")))
#endif

#ifndef __weak
#define __weak __attribute__((weak))
#endif

#ifndef __bpf_fastcall
#if __has_attribute(bpf_fastcall)
#define __bpf_fastcall __attribute__((bpf_fastcall))
#else
#define __bpf_fastcall
#endif
#endif

";

const TAIL: &str = "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
";

/// A declaration tag, on a type or on one of its members or parameters.
#[derive(Clone, Copy)]
struct Tag<'data> {
    target: u32,
    component: i32,
    name: &'data str,
}

/// Prints into a buffer, and knows of each type how far it is. All tables go by id.
struct Printer<'b, 'data> {
    btf: &'b Btf<'data>,
    out: String,
    pointer_size: u32,
    names: Names<'data>,
    tags: Vec<Tag<'data>>,
    /// Two states of [`order`] a type: met by value, met behind a pointer.
    order: Vec<[order::Mark; 2]>,
    queue: Vec<u32>,
    /// Flags of [`emit`].
    flags: Vec<u8>,
    /// For which container a reference was walked ([`emit`]).
    walked: Vec<u32>,
    /// Which of several types of the same name: 0 when not asked yet.
    suffix: Vec<u32>,
    /// Alignment and packing ([`pack`]).
    layout: Vec<u8>,
    /// The declaration being printed, from the outside in ([`declare`]).
    chain: Vec<(u32, Kind)>,
    /// Members and parameters that may still be printed.
    budget: usize,
    /// No bodies, no suffixes.
    brief: bool,
    /// Places where a declaration could not be printed.
    faults: u32,
    skipped: u32,
    renamed: Vec<(TypeId, u32)>,
}

impl<'b, 'data> Printer<'b, 'data> {
    fn new(btf: &'b Btf<'data>) -> Printer<'b, 'data> {
        let len = btf.next_id() as usize;
        Printer {
            order: vec![[order::Mark::default(); 2]; len],
            flags: vec![0; len],
            walked: vec![0; len],
            suffix: vec![0; len],
            layout: vec![0; len],
            brief: false,
            // A record of a member takes eight bytes and more: so every one may be printed eight times over.
            budget: composite::BUDGET + btf.types.len() + btf.base().map_or(0, |base| base.types.len()),
            ..Printer::new_brief(btf)
        }
    }

    /// Without tables: for one declaration.
    fn new_brief(btf: &'b Btf<'data>) -> Printer<'b, 'data> {
        Printer {
            btf,
            out: String::new(),
            pointer_size: btf.pointer_size(),
            names: Names::default(),
            tags: Vec::new(),
            order: Vec::new(),
            queue: Vec::new(),
            flags: Vec::new(),
            walked: Vec::new(),
            suffix: Vec::new(),
            layout: Vec::new(),
            chain: Vec::new(),
            budget: MAX_PARAMETERS,
            brief: true,
            faults: 0,
            skipped: 0,
            renamed: Vec::new(),
        }
    }

    fn ty(&self, id: u32) -> Option<Type<'data>> {
        self.btf.type_by_id(TypeId(id))
    }

    /// Tags of a type (`component` -1) or of one of its members.
    fn tags(&self, target: u32, component: i32) -> impl Iterator<Item = &'data str> + '_ {
        let from = self.tags.partition_point(|tag| (tag.target, tag.component) < (target, component));
        let same = move |tag: &&Tag<'_>| (tag.target, tag.component) == (target, component);
        self.tags.get(from..).unwrap_or_default().iter().take_while(same).map(|tag| tag.name)
    }

    fn has_tag(&self, target: u32, name: &str) -> bool {
        self.tags(target, -1).any(|tag| tag == name)
    }
}
