//! Types, functions and enumerators by kind and name.

use crate::c::declaration;
use crate::{Btf, Kind, TypeId};

/// What is looked for: a kind, or any, and a name in which `*` stands for anything and `?` for one character.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern<'t> {
    keyword: Option<Keyword>,
    name: &'t str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Keyword {
    Struct,
    Union,
    Enum,
    Typedef,
    Func,
    Var,
    Section,
    Enumerator,
    Int,
    Float,
    Tag,
}

/// The words that may stand before a name.
pub const KEYWORDS: &str =
    "struct, union, enum, typedef, func, var, datasec, enumerator, int, float, decl_tag";

/// Something that matches.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Found<'data> {
    /// Its type; of an enumerator the enumeration.
    pub id: TypeId,
    /// Kind of that type.
    pub kind: Kind,
    /// Its name.
    pub name: &'data str,
    /// Size in bytes, where it has one.
    pub size: Option<u64>,
    /// The value of an enumerator.
    pub value: Option<i128>,
    /// As C says it, without a body: `struct sock`, `int vfs_open(const struct path *path, struct file *file)`.
    pub declaration: String,
}

impl<'t> Pattern<'t> {
    /// Reads `struct task_struct`, `func vfs_*` or a name alone. A text with a space that begins with another word is
    /// taken for a name (`long unsigned int`).
    pub fn new(text: &'t str) -> Pattern<'t> {
        let text = text.trim();
        let (word, name) = text.split_once(char::is_whitespace).unwrap_or(("", text));
        let keyword = match word {
            "struct" => Keyword::Struct,
            "union" => Keyword::Union,
            "enum" => Keyword::Enum,
            "typedef" => Keyword::Typedef,
            "func" | "function" => Keyword::Func,
            "var" => Keyword::Var,
            "datasec" => Keyword::Section,
            "enumerator" => Keyword::Enumerator,
            "int" => Keyword::Int,
            "float" => Keyword::Float,
            "decl_tag" => Keyword::Tag,
            _ => return Pattern { keyword: None, name: text },
        };
        Pattern { keyword: Some(keyword), name: name.trim() }
    }

    /// Whether a name matches.
    pub fn matches(&self, name: &str) -> bool {
        glob(self.name.as_bytes(), name.as_bytes())
    }

    fn wants(&self, kind: Kind) -> bool {
        let Some(keyword) = self.keyword else { return true };
        match kind {
            Kind::Struct => keyword == Keyword::Struct,
            Kind::Union => keyword == Keyword::Union,
            Kind::Enum | Kind::Enum64 => keyword == Keyword::Enum,
            Kind::Typedef => keyword == Keyword::Typedef,
            Kind::Func => keyword == Keyword::Func,
            Kind::Var => keyword == Keyword::Var,
            Kind::Datasec => keyword == Keyword::Section,
            Kind::Int => keyword == Keyword::Int,
            Kind::Float => keyword == Keyword::Float,
            Kind::DeclTag | Kind::TypeTag => keyword == Keyword::Tag,
            Kind::Fwd => matches!(keyword, Keyword::Struct | Keyword::Union),
            _ => false,
        }
    }
}

/// `*` and `?`; takes time in proportion to the product of both lengths at the most.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    while let Some(byte) = name.get(n) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(want) if want == byte || *want == b'?' => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, n) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_none_or(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// Everything that matches, in the order of ids; enumerators where the pattern names no kind or asks for them.
pub fn find<'b, 'data>(
    btf: &'b Btf<'data>,
    pattern: &'b Pattern<'_>,
) -> impl Iterator<Item = Found<'data>> + 'b {
    btf.types().flat_map(move |(id, ty)| {
        let kind = ty.kind();
        let name = ty.name();
        let named = !name.is_empty() && pattern.wants(kind) && pattern.matches(name);
        let whole = named.then(|| Found {
            id,
            kind,
            name,
            size: match kind {
                Kind::Func => None,
                _ => btf.size_of(id),
            },
            value: None,
            declaration: whole(btf, id, kind, name),
        });
        let values = pattern.keyword.is_none_or(|keyword| keyword == Keyword::Enumerator);
        let signed = ty.is_signed();
        let enumerators = values.then(|| ty.enumerators()).into_iter().flatten();
        let enumerators = enumerators.filter(|one| pattern.matches(one.name)).map(move |one| {
            let value = if signed { i128::from(one.value) } else { i128::from(one.value as u64) };
            let keyword =
                if ty.name().is_empty() { "enum {...}".into() } else { format!("enum {}", ty.name()) };
            Found {
                id,
                kind,
                name: one.name,
                size: ty.size().map(u64::from),
                value: Some(value),
                declaration: format!("{keyword}: {} = {value}", one.name),
            }
        });
        whole.into_iter().chain(enumerators)
    })
}

fn whole(btf: &Btf<'_>, id: TypeId, kind: Kind, name: &str) -> String {
    let text = match kind {
        Kind::Typedef => {
            let target = btf.type_by_id(id).and_then(|ty| ty.type_id());
            target.and_then(|target| declaration(btf, target, name)).map(|text| format!("typedef {text}"))
        }
        Kind::DeclTag => btf.type_by_id(id).and_then(|ty| ty.type_id()).map(|target| {
            let on = btf.type_by_id(target).map_or("", |ty| ty.name());
            format!("btf_decl_tag(\"{name}\") on type {} {on}", target.0)
        }),
        Kind::Datasec => Some(format!("section {name}")),
        Kind::TypeTag => Some(format!("btf_type_tag(\"{name}\")")),
        _ => declaration(btf, id, ""),
    };
    text.unwrap_or_else(|| format!("{name} (damaged)"))
}
