//! What is written, and when: definitions from the queue, before each the forward declarations that it needs.

use super::names::{Space, is_builtin, push_identifier, push_number};
use super::{Printer, order::Mark};
use crate::{Kind, Type, TypeId};

/// Some other type refers to it.
pub(super) const REFERENCED: u8 = 1;
/// Its definition is being prepared.
const OPEN: u8 = 2;
/// It is defined, as far as it ever will be.
const DONE: u8 = 4;
/// It is declared: by a forward declaration, or as a typedef.
const DECLARED: u8 = 8;
/// It or one of its members has a declaration tag.
pub(super) const TAGGED: u8 = 16;
/// An integer type of this name is there without being declared.
const BUILTIN: u8 = 32;
/// And one that is not.
const NOT_BUILTIN: u8 = 64;

/// In [`Printer::walked`]: everything behind this reference is declared, whoever asks.
const FOR_ALL: u32 = u32::MAX;

struct Frame<'data> {
    id: u32,
    ty: Type<'data>,
    /// The definition on whose behalf this is looked at; 0 at the top.
    container: u32,
    next: usize,
    /// [`Walk::exempt`] at the start.
    exempt: u32,
}

#[derive(Default)]
struct Walk<'data> {
    stack: Vec<Frame<'data>>,
    /// References to the container itself so far; it needs no declaration inside of itself, but elsewhere it does.
    exempt: u32,
}

impl<'data> Printer<'_, 'data> {
    /// Writes a type and what it needs.
    pub(super) fn emit_root(&mut self, root: u32) {
        if self.flag(root, DONE) {
            return;
        }
        let mark = self.put_in_order(root, false);
        let mut at = 0;
        while let Some(id) = self.queue.get(at).copied() {
            at += 1;
            self.emit(id, 0);
        }
        self.queue.clear();
        if mark == Mark::Broken {
            self.left_out(root);
        }
    }

    /// Prototypes of the kernel functions that programs may call.
    pub(super) fn emit_kfuncs(&mut self) {
        let mut kfuncs: Vec<_> = self
            .tags
            .iter()
            .filter(|tag| tag.name == "bpf_kfunc" && tag.component == -1)
            .filter_map(|tag| Some((self.ty(tag.target)?, tag.target)))
            .filter(|(ty, _)| ty.kind() == Kind::Func && !ty.is_anonymous())
            .map(|(ty, id)| (ty.name(), id, ty.size_or_type()))
            .collect();
        kfuncs.sort_unstable();
        kfuncs.dedup_by_key(|(name, ..)| *name);
        let mut opened = false;
        for (name, id, proto) in kfuncs {
            if self.put_in_order(proto, false) == Mark::Broken {
                continue;
            }
            self.emit_root(proto);
            self.emit(proto, id);
            if !opened {
                self.out.push_str("\n/* BPF kfuncs */\n#ifndef BPF_NO_KFUNC_PROTOTYPES\n");
                opened = true;
            }
            self.out.push_str("extern ");
            if self.has_tag(id, "bpf_fastcall") {
                self.out.push_str("__bpf_fastcall ");
            }
            self.declare(proto, name, 0);
            self.out.push_str(" __weak __ksym;\n");
        }
        if opened {
            self.out.push_str("#endif\n\n");
        }
    }

    /// Whether C knows an integer type by its name.
    pub(super) fn is_builtin(&mut self, id: u32, ty: Type<'data>) -> bool {
        match self.flags.get(id as usize).map_or(0, |flags| flags & (BUILTIN | NOT_BUILTIN)) {
            BUILTIN => true,
            NOT_BUILTIN => false,
            _ => {
                let builtin = is_builtin(ty.name());
                self.set(id, if builtin { BUILTIN } else { NOT_BUILTIN });
                builtin
            }
        }
    }

    fn flag(&self, id: u32, flag: u8) -> bool {
        self.flags.get(id as usize).is_some_and(|flags| flags & flag != 0)
    }

    fn set(&mut self, id: u32, flag: u8) {
        if let Some(flags) = self.flags.get_mut(id as usize) {
            *flags |= flag;
        }
    }

    fn clear(&mut self, id: u32, flag: u8) {
        if let Some(flags) = self.flags.get_mut(id as usize) {
            *flags &= !flag;
        }
    }

    fn emit(&mut self, id: u32, container: u32) {
        let mut walk = Walk::default();
        self.visit(id, container, &mut walk);
        while let Some(frame) = walk.stack.last_mut() {
            match frame.ty.reference(frame.next) {
                Some(child) => {
                    frame.next += 1;
                    let container = match frame.ty.kind() {
                        Kind::Typedef => frame.id,
                        Kind::Struct | Kind::Union if !frame.ty.is_anonymous() => frame.id,
                        _ => frame.container,
                    };
                    self.visit(child, container, &mut walk);
                }
                None => {
                    if let Some(frame) = walk.stack.pop() {
                        self.finish(&frame, walk.exempt);
                    }
                }
            }
        }
    }

    fn visit(&mut self, id: u32, container: u32, walk: &mut Walk<'data>) {
        if id == 0 || self.flag(id, DONE) {
            return;
        }
        let walked = self.walked.get(id as usize).copied().unwrap_or(0);
        if walked == FOR_ALL || (walked != 0 && walked == container) {
            return;
        }
        let Some(ty) = self.ty(id) else { return };
        let top = container == 0;
        match ty.kind() {
            Kind::Int if !top => return self.alias(id, ty),
            Kind::Enum | Kind::Enum64 => {
                if top || !ty.is_anonymous() {
                    self.enum_definition(id, ty);
                }
                return;
            }
            Kind::Fwd => {
                self.set(id, DONE);
                self.keyword_and_name(id, ty);
                return self.out.push_str(";\n\n");
            }
            Kind::Struct | Kind::Union => {
                if self.flag(id, OPEN) {
                    match id == container {
                        true => walk.exempt = walk.exempt.saturating_add(1),
                        false => self.forward(id, ty),
                    }
                    return;
                }
                if !top && !ty.is_anonymous() {
                    return self.forward(id, ty);
                }
                if self.is_broken(id, false) {
                    if !ty.is_anonymous() {
                        self.forward(id, ty);
                    }
                    return self.left_out(id);
                }
            }
            Kind::Typedef => {
                if self.flag(id, OPEN) {
                    // A typedef that is needed by what it stands for.
                    return self.typedef(id, ty);
                }
                // By value it may be broken and still be good enough to point to.
                if self.is_broken(id, true) || self.put_in_order(id, true) == Mark::Broken {
                    return self.left_out(id);
                }
            }
            Kind::Ptr | Kind::Array | Kind::FuncProto => {}
            kind if kind.is_wrapper() => {}
            _ => return,
        }
        self.set(id, OPEN);
        walk.stack.push(Frame { id, ty, container, next: 0, exempt: walk.exempt });
    }

    fn finish(&mut self, frame: &Frame<'data>, exempt: u32) {
        let Frame { id, ty, container, .. } = *frame;
        self.clear(id, OPEN);
        match ty.kind() {
            Kind::Typedef => {
                self.typedef(id, ty);
                self.set(id, DONE);
            }
            Kind::Struct | Kind::Union if !ty.is_anonymous() => {
                self.set(id, DONE);
                self.composite_body(id, ty, 0);
                self.push_tags(id, -1);
                self.out.push_str(";\n\n");
            }
            _ => {
                if let Some(walked) = self.walked.get_mut(id as usize) {
                    *walked = if exempt == frame.exempt { FOR_ALL } else { container };
                }
            }
        }
    }

    fn enum_definition(&mut self, id: u32, ty: Type<'data>) {
        self.set(id, DONE);
        // Since C23 these are keywords.
        let keywords = ty.is_anonymous()
            && ty.enumerators().take(4).any(|value| matches!(value.name, "true" | "false" | "nullptr"));
        if keywords {
            self.out.push_str(BEFORE_C23);
        }
        self.enum_body(id, ty, 0);
        self.out.push_str(if keywords { ";\n#endif\n\n" } else { ";\n\n" });
    }

    fn forward(&mut self, id: u32, ty: Type<'data>) {
        if !self.flag(id, DECLARED) && !ty.is_anonymous() {
            self.set(id, DECLARED);
            self.keyword_and_name(id, ty);
            self.out.push_str(";\n\n");
        }
    }

    fn typedef(&mut self, id: u32, ty: Type<'data>) {
        if self.flag(id, DECLARED) {
            return;
        }
        self.set(id, DECLARED);
        if ty.name() == VA_LIST {
            if ty.size_or_type() != 0 {
                // The compilers have one of their own, of another size when they compile for BPF.
                self.names.give(self.btf, Space::Ordinary, VA_LIST);
            } else {
                return;
            }
        }
        let keyword = ty.name() == "bool";
        if keyword {
            self.out.push_str(BEFORE_C23);
        }
        self.typedef_text(id, ty);
        self.push_tags(id, -1);
        self.out.push_str(if keyword { ";\n#endif\n\n" } else { ";\n\n" });
    }

    pub(super) fn typedef_text(&mut self, id: u32, ty: Type<'data>) {
        self.out.push_str("typedef ");
        let name = ty.name();
        if name == "__gnuc_va_list" && ty.size_or_type() == 0 {
            return self.out.push_str("__builtin_va_list __gnuc_va_list");
        }
        let suffix = self.suffix(id, Space::Ordinary, name);
        match suffix {
            0 | 1 => self.declare(ty.size_or_type(), name, 0),
            number => self.declare(ty.size_or_type(), &format!("{name}___{number}"), 0),
        }
    }

    /// An integer type that C does not know by its name: a typedef of that name.
    fn alias(&mut self, id: u32, ty: Type<'data>) {
        self.set(id, DONE);
        if self.is_builtin(id, ty) || ty.name() == "__ARRAY_SIZE_TYPE__" {
            return;
        }
        let signed = if ty.is_signed() { "" } else { "unsigned " };
        let plain = match ty.size() {
            Some(1) if ty.is_signed() => "signed char",
            Some(1) => "char",
            Some(2) => "short",
            Some(4) => "int",
            Some(8) => "long long",
            Some(16) => "__int128",
            _ => return self.left_out(id),
        };
        self.out.push_str("typedef ");
        self.out.push_str(signed);
        self.out.push_str(plain);
        self.out.push(' ');
        self.push_name(id, Space::Ordinary, ty.name());
        self.out.push_str(";\n\n");
    }

    /// Says in the header that a type is not in it.
    fn left_out(&mut self, id: u32) {
        if self.flag(id, DONE) {
            return;
        }
        self.set(id, DONE);
        self.skipped = self.skipped.saturating_add(1);
        self.out.push_str("/* type ");
        push_number(&mut self.out, u64::from(id));
        if let Some(ty) = self.ty(id).filter(|ty| !ty.is_anonymous()) {
            self.out.push_str(", ");
            push_identifier(&mut self.out, ty.name());
            self.out.push(',');
        }
        self.out.push_str(
            " is left out: it contains itself, a type that does not exist, or what C can't put there */\n\n",
        );
    }

    /// Declaration tags of a type or of one of its members, as attributes.
    pub(super) fn push_tags(&mut self, id: u32, component: i32) {
        if !self.flag(id, TAGGED) {
            return;
        }
        let tags: Vec<_> = self.tags(id, component).collect();
        for tag in tags {
            self.push_attribute("btf_decl_tag", tag);
        }
    }

    pub(super) fn push_attribute(&mut self, attribute: &str, text: &str) {
        self.out.push_str(" __attribute__((");
        self.out.push_str(attribute);
        self.out.push_str("(\"");
        for c in text.chars() {
            match c {
                '"' | '\\' => self.out.extend(['\\', c]),
                c if c.is_control() => self.out.push('?'),
                c => self.out.push(c),
            }
        }
        self.out.push_str("\")))");
    }

    /// `struct name`, `union name` or `enum name`.
    pub(super) fn keyword_and_name(&mut self, id: u32, ty: Type<'data>) {
        let keyword = match ty.kind() {
            Kind::Union => "union",
            Kind::Enum | Kind::Enum64 => "enum",
            _ if ty.is_union_fwd() => "union",
            _ => "struct",
        };
        self.out.push_str(keyword);
        if !ty.is_anonymous() {
            self.out.push(' ');
            // What is only declared shares the name with what is defined.
            match ty.kind() {
                Kind::Fwd => push_identifier(&mut self.out, ty.name()),
                Kind::Enum | Kind::Enum64 if ty.is_empty() => push_identifier(&mut self.out, ty.name()),
                _ => self.push_name(id, Space::Tag, ty.name()),
            }
        }
    }

    /// The name of a type, with its suffix.
    pub(super) fn push_name(&mut self, id: u32, space: Space, name: &'data str) {
        push_identifier(&mut self.out, name);
        let suffix = self.suffix(id, space, name);
        self.push_suffix(suffix);
    }

    pub(super) fn push_suffix(&mut self, suffix: u32) {
        if suffix > 1 {
            self.out.push_str("___");
            push_number(&mut self.out, u64::from(suffix));
        }
    }

    fn suffix(&mut self, id: u32, space: Space, name: &'data str) -> u32 {
        let Some(known) = self.suffix.get(id as usize).copied() else { return 0 };
        if known != 0 {
            return known;
        }
        let given = self.names.give(self.btf, space, name);
        if given > 1 {
            self.renamed.push((TypeId(id), given));
        }
        if let Some(suffix) = self.suffix.get_mut(id as usize) {
            *suffix = given;
        }
        given
    }
}

/// What C's `va_list` is made of.
const VA_LIST: &str = "__builtin_va_list";

const BEFORE_C23: &str = "#if !defined(__STDC_VERSION__) || __STDC_VERSION__ < 202311L\n";
