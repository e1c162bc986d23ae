//! Prototypes of functions in bpftool's spelling: `int handle(struct pt_regs * ctx)`.

use btf::{Btf, Kind, TypeId};

/// Types nest no deeper than this in data that makes sense.
const MAX_DEPTH: u32 = 32;

/// The prototype of a function; `None` where the id is none.
pub fn signature(btf: &Btf<'_>, func: TypeId) -> Option<String> {
    let ty = btf.type_by_id(func)?;
    (ty.kind() == Kind::Func).then_some(())?;
    let proto = btf.type_by_id(ty.type_id()?)?;
    let params: Vec<String> = proto
        .params()
        .map(|param| match (param.type_id.0, param.name) {
            (0, "") => "...".to_string(),
            (_, "") => type_name(btf, param.type_id, MAX_DEPTH),
            (_, name) => format!("{} {name}", type_name(btf, param.type_id, MAX_DEPTH)),
        })
        .collect();
    let params = if params.is_empty() { "void".to_string() } else { params.join(", ") };
    Some(format!("{} {}({params})", type_name(btf, proto.type_id()?, MAX_DEPTH), ty.name()))
}

fn type_name(btf: &Btf<'_>, id: TypeId, depth: u32) -> String {
    let (Some(depth), Some(ty)) = (depth.checked_sub(1), btf.type_by_id(id)) else { return "?".into() };
    let inner = || type_name(btf, ty.type_id().unwrap_or(TypeId(0)), depth);
    match ty.kind() {
        Kind::Void => "void".into(),
        Kind::Struct => format!("struct {}", ty.name()),
        Kind::Union => format!("union {}", ty.name()),
        Kind::Enum | Kind::Enum64 => format!("enum {}", ty.name()),
        Kind::Fwd if ty.is_union_fwd() => format!("union {}", ty.name()),
        Kind::Fwd => format!("struct {}", ty.name()),
        Kind::Ptr => format!("{} *", inner()),
        Kind::Const => format!("const {}", inner()),
        Kind::Volatile => format!("volatile {}", inner()),
        Kind::Restrict => format!("restrict {}", inner()),
        Kind::TypeTag => inner(),
        Kind::FuncProto => format!("{} (*)()", inner()),
        Kind::Array => match ty.array() {
            Some(array) => format!("{}[{}]", type_name(btf, array.element, depth), array.len),
            None => "?".into(),
        },
        _ => ty.name().into(),
    }
}
