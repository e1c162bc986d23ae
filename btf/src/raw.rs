//! Types as they are recorded, one by one: a line of text each, or JSON, in the form that bpftool gives them.

use crate::{Btf, Kind, Linkage, Type, TypeId};
use std::fmt::{self, Write};

/// Writes the records of these types, all own ones where `roots` is empty, as text:
/// `[5] PTR '(anon)' type_id=8`, with members, values, parameters and variables on lines of their own.
///
/// # Errors
///
/// Those of `out`.
pub fn dump(btf: &Btf<'_>, roots: &[TypeId], out: &mut dyn Write) -> fmt::Result {
    let mut form = Text { out: String::new(), btf };
    each(btf, roots, &mut form, out)
}

/// Writes the same as `{"types":[{"id":5,"kind":"PTR","name":"(anon)","type_id":8},…]}`, on one line.
///
/// # Errors
///
/// Those of `out`.
pub fn dump_json(btf: &Btf<'_>, roots: &[TypeId], out: &mut dyn Write) -> fmt::Result {
    out.write_str("{\"types\":[")?;
    let mut form = Json { out: String::new(), first: true, entry: false };
    each(btf, roots, &mut form, out)?;
    out.write_str("]}\n")
}

/// The kind's name in these listings: `INT`, `FUNC_PROTO`.
pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Void => "UNKNOWN",
        Kind::Int => "INT",
        Kind::Ptr => "PTR",
        Kind::Array => "ARRAY",
        Kind::Struct => "STRUCT",
        Kind::Union => "UNION",
        Kind::Enum => "ENUM",
        Kind::Fwd => "FWD",
        Kind::Typedef => "TYPEDEF",
        Kind::Volatile => "VOLATILE",
        Kind::Const => "CONST",
        Kind::Restrict => "RESTRICT",
        Kind::Func => "FUNC",
        Kind::FuncProto => "FUNC_PROTO",
        Kind::Var => "VAR",
        Kind::Datasec => "DATASEC",
        Kind::Float => "FLOAT",
        Kind::DeclTag => "DECL_TAG",
        Kind::TypeTag => "TYPE_TAG",
        Kind::Enum64 => "ENUM64",
        Kind::Unknown(_) => "UNKNOWN",
    }
}

const FLUSH: usize = 1 << 16;

fn each<F: Form>(btf: &Btf<'_>, roots: &[TypeId], form: &mut F, out: &mut dyn Write) -> fmt::Result {
    let mut write = |id: TypeId, ty: Type<'_>| {
        record(form, id, ty);
        if form.text().len() < FLUSH {
            return Ok(());
        }
        let done = out.write_str(form.text());
        form.text().clear();
        done
    };
    if roots.is_empty() {
        btf.own_types().try_for_each(|(id, ty)| write(id, ty))?;
    } else {
        roots
            .iter()
            .filter_map(|id| Some((*id, btf.type_by_id(*id)?)))
            .try_for_each(|(id, ty)| write(id, ty))?;
    }
    out.write_str(form.text())
}

/// What a listing is made of; text and JSON spell it differently.
trait Form {
    fn text(&mut self) -> &mut String;
    fn begin(&mut self, id: u32, kind: &'static str, name: &str);
    fn number(&mut self, key: &'static str, value: u64);
    fn signed(&mut self, key: &'static str, value: i64);
    fn word(&mut self, key: &'static str, value: &'static str);
    fn entries(&mut self, key: &'static str);
    /// A member, parameter or value.
    fn entry(&mut self, name: &str);
    /// A variable of a section.
    fn variable(&mut self);
    fn variable_end(&mut self, id: TypeId);
    fn value(&mut self, value: i64, signed: bool, wide: bool);
    fn entry_end(&mut self);
    fn entries_end(&mut self);
    fn end(&mut self);
}

fn record<F: Form>(form: &mut F, id: TypeId, ty: Type<'_>) {
    let kind = ty.kind();
    form.begin(id.0, kind_name(kind), named(ty.name()));
    let word = u64::from(ty.size_or_type());
    match kind {
        Kind::Int => {
            let int = ty.int();
            form.number("size", word);
            form.number("bits_offset", int.map_or(0, |int| int.offset.into()));
            form.number("nr_bits", int.map_or(0, |int| int.bits.into()));
            form.word(
                "encoding",
                match int.map(|int| (int.signed, int.char, int.bool)) {
                    None | Some((false, false, false)) => "(none)",
                    Some((true, false, false)) => "SIGNED",
                    Some((false, true, false)) => "CHAR",
                    Some((false, false, true)) => "BOOL",
                    Some(_) => "UNKN",
                },
            );
        }
        Kind::Ptr | Kind::Const | Kind::Volatile | Kind::Restrict | Kind::Typedef | Kind::TypeTag => {
            form.number("type_id", word);
        }
        Kind::Array => {
            let (element, index, len) = ty.array().map_or((0, 0, 0), |a| (a.element.0, a.index.0, a.len));
            form.number("type_id", element.into());
            form.number("index_type_id", index.into());
            form.number("nr_elems", len.into());
        }
        Kind::Struct | Kind::Union => {
            form.number("size", word);
            form.number("vlen", ty.len() as u64);
            form.entries("members");
            for member in ty.members() {
                form.entry(named(member.name));
                form.number("type_id", member.type_id.0.into());
                form.number("bits_offset", member.bit_offset.into());
                if let Some(bits) = member.bitfield_size {
                    form.number("bitfield_size", bits.into());
                }
                form.entry_end();
            }
            form.entries_end();
        }
        Kind::Enum | Kind::Enum64 => {
            form.word("encoding", if ty.is_signed() { "SIGNED" } else { "UNSIGNED" });
            form.number("size", word);
            form.number("vlen", ty.len() as u64);
            form.entries("values");
            for value in ty.enumerators() {
                form.entry(named(value.name));
                form.value(value.value, ty.is_signed(), kind == Kind::Enum64);
                form.entry_end();
            }
            form.entries_end();
        }
        Kind::Fwd => form.word("fwd_kind", if ty.is_union_fwd() { "union" } else { "struct" }),
        Kind::Func => {
            form.number("type_id", word);
            form.word("linkage", linkage(ty));
        }
        Kind::FuncProto => {
            form.number("ret_type_id", word);
            form.number("vlen", ty.len() as u64);
            form.entries("params");
            for param in ty.params() {
                form.entry(named(param.name));
                form.number("type_id", param.type_id.0.into());
                form.entry_end();
            }
            form.entries_end();
        }
        Kind::Var => {
            form.number("type_id", word);
            // bpftool has a comma here and nowhere else.
            form.word(",linkage", linkage(ty));
        }
        Kind::Datasec => {
            form.number("size", word);
            form.number("vlen", ty.len() as u64);
            form.entries("vars");
            for var in ty.section_vars() {
                form.variable();
                form.number("type_id", var.type_id.0.into());
                form.number("offset", var.offset.into());
                form.number("size", var.size.into());
                form.variable_end(var.type_id);
                form.entry_end();
            }
            form.entries_end();
        }
        Kind::Float => form.number("size", word),
        Kind::DeclTag => {
            form.number("type_id", word);
            form.signed("component_idx", ty.component_index().unwrap_or(-1).into());
        }
        Kind::Void => {}
        Kind::Unknown(number) => {
            form.number("kind_number", number.into());
            form.number("size_or_type", word);
            form.number("vlen", ty.len() as u64);
        }
    }
    form.end();
}

fn named(name: &str) -> &str {
    if name.is_empty() { "(anon)" } else { name }
}

fn linkage(ty: Type<'_>) -> &'static str {
    match ty.linkage() {
        Some(Linkage::Static) => "static",
        Some(Linkage::Global) => "global",
        Some(Linkage::Extern) => "extern",
        _ => "(unknown)",
    }
}

struct Text<'b, 'data> {
    out: String,
    btf: &'b Btf<'data>,
}

impl Form for Text<'_, '_> {
    fn text(&mut self) -> &mut String {
        &mut self.out
    }

    fn begin(&mut self, id: u32, kind: &'static str, name: &str) {
        let _ = write!(self.out, "[{id}] ");
        self.out.extend([kind, " '"]);
        push_printable(&mut self.out, name);
        self.out.push('\'');
    }

    fn number(&mut self, key: &'static str, value: u64) {
        // A variable has no name before its numbers.
        let space = if self.out.ends_with('\t') { "" } else { " " };
        let _ = write!(self.out, "{space}{key}={value}");
    }

    fn signed(&mut self, key: &'static str, value: i64) {
        let _ = write!(self.out, " {key}={value}");
    }

    fn word(&mut self, key: &'static str, value: &'static str) {
        match key.strip_prefix(',') {
            Some(key) => self.out.extend([", ", key, "=", value]),
            None => self.out.extend([" ", key, "=", value]),
        }
    }

    fn entries(&mut self, _: &'static str) {}

    fn entry(&mut self, name: &str) {
        self.out.push_str("\n\t'");
        push_printable(&mut self.out, name);
        self.out.push('\'');
    }

    fn variable(&mut self) {
        self.out.push_str("\n\t");
    }

    fn variable_end(&mut self, id: TypeId) {
        if let Some(ty) = self.btf.type_by_id(id) {
            self.out.extend([" (", kind_name(ty.kind()), " '"]);
            push_printable(&mut self.out, named(ty.name()));
            self.out.push_str("')");
        }
    }

    fn value(&mut self, value: i64, signed: bool, wide: bool) {
        let _ = match (signed, wide) {
            (true, false) => write!(self.out, " val={value}"),
            (false, false) => write!(self.out, " val={}", value as u32),
            (true, true) => write!(self.out, " val={value}LL"),
            (false, true) => write!(self.out, " val={}ULL", value as u64),
        };
    }

    fn entry_end(&mut self) {}

    fn entries_end(&mut self) {}

    fn end(&mut self) {
        self.out.push('\n');
    }
}

/// Names of damaged data may hold anything.
fn push_printable(out: &mut String, name: &str) {
    if name.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return out.push_str(name);
    }
    for c in name.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
}

struct Json {
    out: String,
    first: bool,
    /// Inside of a list the next entry is the first.
    entry: bool,
}

impl Json {
    fn key(&mut self, key: &str) {
        if !self.out.ends_with('{') {
            self.out.push(',');
        }
        self.out.extend(["\"", key.trim_start_matches(','), "\":"]);
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.out.extend(['\\', c]),
                c if c.is_control() => {
                    let _ = write!(self.out, "\\u{:04x}", u32::from(c));
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn open(&mut self) {
        if !std::mem::take(&mut self.entry) {
            self.out.push(',');
        }
        self.out.push('{');
    }
}

impl Form for Json {
    fn text(&mut self) -> &mut String {
        &mut self.out
    }

    fn begin(&mut self, id: u32, kind: &'static str, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        let _ = write!(self.out, "{{\"id\":{id},\"kind\":\"{kind}\",\"name\":");
        self.string(name);
    }

    fn number(&mut self, key: &'static str, value: u64) {
        self.key(key);
        let _ = write!(self.out, "{value}");
    }

    fn signed(&mut self, key: &'static str, value: i64) {
        self.key(key);
        let _ = write!(self.out, "{value}");
    }

    fn word(&mut self, key: &'static str, value: &'static str) {
        self.key(key);
        self.string(value);
    }

    fn entries(&mut self, key: &'static str) {
        self.key(key);
        self.out.push('[');
        self.entry = true;
    }

    fn entry(&mut self, name: &str) {
        self.open();
        self.out.push_str("\"name\":");
        self.string(name);
    }

    fn variable(&mut self) {
        self.open();
    }

    fn variable_end(&mut self, _: TypeId) {}

    fn value(&mut self, value: i64, signed: bool, wide: bool) {
        self.key("val");
        let _ = match (signed, wide) {
            (true, _) => write!(self.out, "{value}"),
            (false, false) => write!(self.out, "{}", value as u32),
            (false, true) => write!(self.out, "{}", value as u64),
        };
    }

    fn entry_end(&mut self) {
        self.out.push('}');
    }

    fn entries_end(&mut self) {
        self.out.push(']');
        self.entry = false;
    }

    fn end(&mut self) {
        self.out.push('}');
    }
}
