//! One declaration: `const char * (* const name[3])(int)`.

use super::Printer;
use super::names::{push_identifier, push_number};
use crate::{Kind, Type};

/// Longest chain of pointers, qualifiers, arrays and functions in one declaration, and deepest nesting of functions
/// as parameters of functions. Compilers take far less.
const MAX_CHAIN: usize = 512;
const MAX_NESTING: usize = 32;

impl<'data> Printer<'_, 'data> {
    /// Appends the declaration of `name` with this type; bodies are indented by `level` tabs.
    pub(super) fn declare(&mut self, id: u32, name: &str, level: usize) {
        self.declare_nested(id, name, level, 0);
    }

    fn declare_nested(&mut self, id: u32, name: &str, level: usize, nesting: usize) {
        let start = self.chain.len();
        let Some(base) = self.unroll(id, start).filter(|_| nesting < MAX_NESTING) else {
            self.chain.truncate(start);
            self.faults = self.faults.saturating_add(1);
            self.out.push_str("void /* damaged type */ ");
            return push_identifier(&mut self.out, name);
        };
        let end = self.base(start, base, level);
        let tight = self.left(start, end, name);
        if !name.is_empty() {
            if !tight {
                self.out.push(' ');
            }
            push_identifier(&mut self.out, name);
        }
        self.right(start, end, level, nesting);
        self.chain.truncate(start);
    }

    /// Pushes what stands around the base onto `chain`, from the name outwards to the base, and gives the base.
    fn unroll(&mut self, id: u32, start: usize) -> Option<(u32, Type<'data>)> {
        let mut id = id;
        while self.chain.len() - start < MAX_CHAIN {
            let ty = self.ty(id)?;
            match ty.kind() {
                Kind::Ptr | Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag => {
                    self.chain.push((id, ty.kind()));
                }
                Kind::Array => {
                    // A qualified array is an array of qualified elements.
                    let at = self.chain_qualifiers(start);
                    self.chain.insert(at, (id, Kind::Array));
                    id = ty.array()?.element.0;
                    continue;
                }
                Kind::FuncProto => {
                    // Qualifiers say nothing of a function.
                    let at = self.chain_qualifiers(start);
                    self.chain.truncate(at);
                    self.chain.push((id, Kind::FuncProto));
                }
                Kind::Func | Kind::Var | Kind::Datasec | Kind::DeclTag | Kind::Unknown(_) => return None,
                _ => return Some((id, ty)),
            }
            id = ty.size_or_type();
        }
        None
    }

    /// Where the run of qualifiers at the end of the chain begins.
    fn chain_qualifiers(&self, start: usize) -> usize {
        let mut at = self.chain.len();
        while at > start && self.chain_kind(at - 1).is_some_and(Kind::is_wrapper) {
            at -= 1;
        }
        at
    }

    fn chain_kind(&self, at: usize) -> Option<Kind> {
        self.chain.get(at).map(|(_, kind)| *kind)
    }

    /// Appends the base and its qualifiers; gives where in the chain these begin.
    fn base(&mut self, start: usize, base: (u32, Type<'data>), level: usize) -> usize {
        use super::names::Space;
        let end = self.chain_qualifiers(start);
        if end < self.chain.len() {
            self.qualifiers(end);
        }
        let (id, ty) = base;
        match ty.kind() {
            Kind::Void => self.out.push_str("void"),
            Kind::Int if self.is_builtin(id, ty) => self.out.push_str(ty.name()),
            Kind::Float => self.out.push_str(ty.name()),
            Kind::Int | Kind::Typedef => self.push_name(id, Space::Ordinary, ty.name()),
            kind if !ty.is_anonymous() || self.brief => {
                self.keyword_and_name(id, ty);
                if ty.is_anonymous() && kind != Kind::Fwd {
                    self.out.push_str(" {...}");
                }
            }
            Kind::Struct | Kind::Union => self.composite_body(id, ty, level),
            Kind::Enum | Kind::Enum64 => self.enum_body(id, ty, level),
            _ => self.keyword_and_name(id, ty),
        }
        for at in end..self.chain.len() {
            self.type_tag(at);
        }
        end
    }

    /// Those from `from` in the chain, each once: an array's are its elements' and may be theirs already.
    fn qualifiers(&mut self, from: usize) {
        let words = [
            (Kind::Const, "const "),
            (Kind::Volatile, "volatile "),
            // Of use on pointers only; a base that is none has it by a typedef.
            (Kind::Restrict, "restrict "),
        ];
        for (kind, word) in words {
            if (from..self.chain.len()).any(|at| self.chain_kind(at) == Some(kind)) {
                self.out.push_str(word);
            }
        }
    }

    fn type_tag(&mut self, at: usize) {
        let Some(ty) =
            self.chain.get(at).filter(|(_, kind)| *kind == Kind::TypeTag).and_then(|(id, _)| self.ty(*id))
        else {
            return;
        };
        if ty.kind_flag() {
            // Any attribute, word by word.
            self.out.push_str(" __attribute__((");
            let text = ty.name();
            let plain = |c: char| c.is_ascii_alphanumeric() || "_(),\" ".contains(c);
            self.out.extend(text.chars().map(|c| if plain(c) { c } else { '_' }));
            self.out.push_str("))");
        } else {
            self.push_attribute("btf_type_tag", ty.name());
        }
    }

    /// Appends pointers and their qualifiers, left of the name. Says whether the name may follow without a space.
    fn left(&mut self, start: usize, end: usize, name: &str) -> bool {
        let mut tight = false;
        let mut inner = None;
        for at in (start..end).rev() {
            let kind = self.chain_kind(at);
            match kind {
                Some(Kind::Ptr) => {
                    if !tight {
                        self.out.push(' ');
                    }
                    if matches!(inner, Some(Kind::Array | Kind::FuncProto)) {
                        // After `*` of what a function returns.
                        if tight {
                            self.out.push(' ');
                        }
                        self.out.push('(');
                    }
                    self.out.push('*');
                    tight = true;
                }
                Some(Kind::Const) => self.qualifier(" const", &mut tight),
                Some(Kind::Volatile) => self.qualifier(" volatile", &mut tight),
                Some(Kind::Restrict) => self.qualifier(" restrict", &mut tight),
                Some(Kind::TypeTag) => {
                    self.type_tag(at);
                    tight = false;
                }
                // A name or bracket follows; only the space before a name is optional.
                _ => {
                    if tight && at == start && kind == Some(Kind::FuncProto) && name.is_empty() {
                        self.out.push(' ');
                    }
                }
            }
            inner = kind.filter(|kind| !kind.is_wrapper()).or(inner);
        }
        tight
    }

    fn qualifier(&mut self, word: &str, tight: &mut bool) {
        self.out.push_str(word);
        *tight = false;
    }

    /// Appends lengths and parameters, right of the name.
    fn right(&mut self, start: usize, end: usize, level: usize, nesting: usize) {
        for at in start..end {
            let Some((id, kind)) = self.chain.get(at).copied() else { return };
            match kind {
                Kind::Array => {
                    let len = self.ty(id).and_then(|ty| ty.array()).map_or(0, |array| array.len);
                    self.out.push('[');
                    push_number(&mut self.out, len.into());
                    self.out.push(']');
                }
                Kind::FuncProto => {
                    if let Some(ty) = self.ty(id) {
                        self.parameters(ty, level, nesting);
                    }
                }
                Kind::Ptr => {
                    let inner = (at + 1..end)
                        .filter_map(|inner| self.chain_kind(inner))
                        .find(|kind| !kind.is_wrapper());
                    if matches!(inner, Some(Kind::Array | Kind::FuncProto)) {
                        self.out.push(')');
                    }
                }
                _ => {}
            }
        }
    }

    fn parameters(&mut self, proto: Type<'data>, level: usize, nesting: usize) {
        // clang notes `f()` as one parameter of type void.
        let none = proto.params().all(|param| param.type_id.0 == 0) && proto.len() <= 1;
        if none {
            return self.out.push_str("(void)");
        }
        self.out.push('(');
        for (at, param) in proto.params().enumerate() {
            if at > 0 {
                self.out.push_str(", ");
            }
            let Some(rest) = self.budget.checked_sub(1) else {
                self.faults = self.faults.saturating_add(1);
                self.out.push_str("/* too many parameters */ ...");
                break;
            };
            self.budget = rest;
            if param.type_id.0 == 0 {
                self.out.push_str("...");
                break;
            }
            self.declare_nested(param.type_id.0, param.name, level, nesting + 1);
        }
        self.out.push(')');
    }
}
