//! Questions that follow references: sizes, members by path, enumeration values, functions.

use crate::{Btf, Enumerator, Kind, Type, TypeId};

/// Longest chain of references that is followed, and deepest nesting of anonymous members; valid data stays far below
/// (the kernel allows 32), damaged data may hold cycles.
const MAX_DEPTH: u32 = 64;

/// Where a member found by its path lies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Field {
    /// The member's type.
    pub type_id: TypeId,
    /// Bits from the start of the outermost struct.
    pub bit_offset: u64,
    /// Width in bits; for bit fields their own.
    pub bit_size: u64,
    /// Whether it is a bit field.
    pub bitfield: bool,
}

impl<'data> Btf<'data> {
    /// The type behind typedefs, qualifiers and type tags.
    ///
    /// `None` for an id that does not exist and for a chain that never ends.
    pub fn resolve(&self, id: TypeId) -> Option<(TypeId, Type<'data>)> {
        let mut id = id;
        for _ in 0..MAX_DEPTH {
            let ty = self.type_by_id(id)?;
            if !ty.kind().is_wrapper() {
                return Some((id, ty));
            }
            id = ty.type_id()?;
        }
        None
    }

    /// Size of a pointer in bytes, by the size of `long unsigned int`; 8 where the data does not say.
    pub fn pointer_size(&self) -> u32 {
        *self.pointer_size.get_or_init(|| match self.base {
            Some(base) => base.pointer_size(),
            // Found once and by kind, which does not need the table of names.
            None => {
                let long = |ty: &Type<'_>| {
                    matches!(ty.name(), "long unsigned int" | "unsigned long" | "long int" | "long")
                };
                let mut ints = self.own_types().filter(|(_, ty)| ty.kind() == Kind::Int && long(ty));
                ints.find_map(|(_, ty)| ty.size().filter(|size| matches!(size, 4 | 8))).unwrap_or(8)
            }
        })
    }

    /// Size of a type in bytes; `None` for what has none (functions, `void`, forward declarations, bad ids, cycles).
    pub fn size_of(&self, id: TypeId) -> Option<u64> {
        let mut id = id;
        let mut count = 1_u64;
        for _ in 0..MAX_DEPTH {
            let ty = self.type_by_id(id)?;
            if let Some(size) = ty.size() {
                return count.checked_mul(u64::from(size));
            }
            id = match ty.kind() {
                Kind::Ptr => return count.checked_mul(u64::from(self.pointer_size())),
                Kind::Array => {
                    let array = ty.array()?;
                    count = count.checked_mul(u64::from(array.len))?;
                    array.element
                }
                Kind::Var => ty.type_id()?,
                kind if kind.is_wrapper() => ty.type_id()?,
                _ => return None,
            };
        }
        None
    }

    /// Alignment of a type in bytes; `None` for what has none (functions, `void`, forward declarations, bad ids, cycles).
    ///
    /// The data does not tell alignment. It is what the size gives (at most that of the machine's registers; 16 for
    /// integers and floating point numbers of that size on 64-bit machines), and for structs and unions that of the
    /// member that needs most; 1 where members or the size show that the struct is packed.
    pub fn align_of(&self, id: TypeId) -> Option<u32> {
        let mut budget = MAX_VISITED;
        self.align_within(id, MAX_DEPTH, &mut budget)
    }

    fn align_within(&self, id: TypeId, depth: u32, budget: &mut u32) -> Option<u32> {
        let depth = depth.checked_sub(1)?;
        let mut id = id;
        for _ in 0..MAX_DEPTH {
            let ty = self.type_by_id(id)?;
            let pointer = self.pointer_size();
            id = match ty.kind() {
                Kind::Ptr => return Some(pointer),
                Kind::Int | Kind::Float | Kind::Enum | Kind::Enum64 => {
                    let most = if pointer == 8 { 16 } else { pointer };
                    return Some(ty.size()?.clamp(1, most).next_power_of_two());
                }
                Kind::Struct | Kind::Union => {
                    let mut align = 1;
                    for member in ty.members() {
                        *budget = budget.checked_sub(1)?;
                        let needs = self.align_within(member.type_id, depth, budget)?;
                        if member.bitfield_size.is_none() && member.bit_offset % (8 * needs) != 0 {
                            return Some(1);
                        }
                        align = align.max(needs);
                    }
                    return Some(if ty.size()? % align == 0 { align } else { 1 });
                }
                Kind::Array => ty.array()?.element,
                Kind::Var => ty.type_id()?,
                kind if kind.is_wrapper() => ty.type_id()?,
                _ => return None,
            };
        }
        None
    }

    /// Declaration tags on a type, its members or parameters (`__attribute__((btf_decl_tag("..")))`), the base's
    /// included: which member or parameter, -1 for the whole, and the text. Since Linux 5.16.
    #[doc(alias = "BTF_KIND_DECL_TAG")]
    pub fn decl_tags(&self, id: TypeId) -> impl Iterator<Item = (i32, &'data str)> + '_ {
        let base = self.base.into_iter().flat_map(move |base| base.own_tags(id));
        base.chain(self.own_tags(id)).filter_map(|tag| {
            let ty = self.type_by_id(tag)?;
            Some((ty.component_index()?, ty.name()))
        })
    }

    /// Ids of the own section's tags on a type.
    fn own_tags(&self, id: TypeId) -> impl Iterator<Item = TypeId> + '_ {
        let tags = self.tags.get_or_init(|| {
            let tags = self.own_types().filter(|(_, ty)| ty.kind() == Kind::DeclTag);
            let mut tags: Vec<_> = tags.filter_map(|(tag, ty)| Some((ty.type_id()?, tag))).collect();
            tags.sort_unstable();
            tags
        });
        let first = tags.partition_point(|(on, _)| *on < id);
        tags.iter().skip(first).take_while(move |(on, _)| *on == id).map(|(_, tag)| *tag)
    }

    /// The struct or union of this name, or the one behind a typedef of this name.
    pub fn find_composite(&self, name: &str) -> Option<TypeId> {
        self.find_where(name, |_, ty| ty.kind().is_composite()).or_else(|| {
            let (id, ty) = self.resolve(self.find(name, Kind::Typedef)?)?;
            ty.kind().is_composite().then_some(id)
        })
    }

    /// Offset and width in bits of a member, by the name of its struct and a path such as `thread_info.status` or
    /// `comm[3]`. Anonymous structs and unions on the way are looked through.
    pub fn member_offset(&self, composite: &str, path: &str) -> Option<(u64, u64)> {
        let field = self.field(self.find_composite(composite)?, path)?;
        Some((field.bit_offset, field.bit_size))
    }

    /// The member of a struct or union at this path; see [`member_offset`](Btf::member_offset).
    pub fn field(&self, composite: TypeId, path: &str) -> Option<Field> {
        let mut at = Field {
            type_id: composite,
            bit_offset: 0,
            bit_size: self.size_of(composite)?.checked_mul(8)?,
            bitfield: false,
        };
        for step in path.split('.') {
            let (name, mut indices) = step.split_at(step.find('[').unwrap_or(step.len()));
            let (_, ty) = self.resolve(at.type_id)?;
            let found = self.member(&ty, name, MAX_DEPTH)?;
            at = Field { bit_offset: at.bit_offset.checked_add(found.bit_offset)?, ..found };
            while !indices.is_empty() {
                let (index, rest) = indices.strip_prefix('[')?.split_once(']')?;
                indices = rest;
                let array = self.resolve(at.type_id)?.1.array()?;
                let index: u32 = index.parse().ok()?;
                // A length of zero is a flexible array, where any index may be meant.
                if array.len != 0 && index >= array.len {
                    return None;
                }
                let bits = self.size_of(array.element)?.checked_mul(8)?;
                at.bit_offset = at.bit_offset.checked_add(bits.checked_mul(u64::from(index))?)?;
                (at.bit_size, at.type_id) = (bits, array.element);
            }
        }
        Some(at)
    }

    fn member(&self, composite: &Type<'data>, name: &str, depth: u32) -> Option<Field> {
        if name.is_empty() {
            return None;
        }
        let mut budget = MAX_VISITED;
        self.member_within(composite, name, depth, &mut budget)
    }

    fn member_within(
        &self,
        composite: &Type<'data>,
        name: &str,
        depth: u32,
        budget: &mut u32,
    ) -> Option<Field> {
        let depth = depth.checked_sub(1)?;
        for member in composite.members() {
            *budget = budget.checked_sub(1)?;
            let bit_offset = u64::from(member.bit_offset);
            if member.name == name {
                let (bit_size, bitfield) = match member.bitfield_size {
                    Some(bits) => (u64::from(bits), true),
                    None => self.plain_width(member.type_id)?,
                };
                return Some(Field { type_id: member.type_id, bit_offset, bit_size, bitfield });
            }
            if member.name.is_empty()
                && let Some((_, inner)) = self.resolve(member.type_id)
                && let Some(found) = self.member_within(&inner, name, depth, budget)
            {
                return Some(Field { bit_offset: bit_offset.checked_add(found.bit_offset)?, ..found });
            }
        }
        None
    }

    /// Width of a member without its own; old data keeps the width of a bit field in the integer type.
    fn plain_width(&self, id: TypeId) -> Option<(u64, bool)> {
        let full = self.size_of(id)?.checked_mul(8)?;
        let int = self.resolve(id)?.1.int();
        match int.filter(|int| u64::from(int.bits) < full && !int.bool) {
            Some(int) => Some((u64::from(int.bits), true)),
            None => Some((full, false)),
        }
    }

    /// Value of an enumerator, by the names of its enumeration (of either width) and its own.
    pub fn enum_value(&self, enumeration: &str, name: &str) -> Option<i64> {
        let id = self
            .find_where(enumeration, |_, ty| matches!(ty.kind(), Kind::Enum | Kind::Enum64))
            .or_else(|| {
                let (id, ty) = self.resolve(self.find(enumeration, Kind::Typedef)?)?;
                matches!(ty.kind(), Kind::Enum | Kind::Enum64).then_some(id)
            })?;
        self.type_by_id(id)?.enumerators().find(|value| value.name == name).map(|value| value.value)
    }

    /// An enumerator of any enumeration, anonymous ones included. Reads all of them: keep the answer.
    pub fn find_enumerator(&self, name: &str) -> Option<(TypeId, Enumerator<'data>)> {
        self.types().find_map(|(id, ty)| Some((id, ty.enumerators().find(|value| value.name == name)?)))
    }

    /// Functions and their names, read as the iterator goes.
    pub fn functions(&self) -> impl Iterator<Item = (TypeId, &'data str)> + '_ {
        self.types().filter(|(_, ty)| ty.kind() == Kind::Func).map(|(id, ty)| (id, ty.name()))
    }

    /// Names of functions, read as the iterator goes.
    pub fn func_names(&self) -> impl Iterator<Item = &'data str> + '_ {
        self.functions().map(|(_, name)| name)
    }

    /// Prototype of the function of this name.
    pub fn func_proto(&self, name: &str) -> Option<(TypeId, Type<'data>)> {
        let id = self.type_by_id(self.find(name, Kind::Func)?)?.type_id()?;
        let proto = self.type_by_id(id)?;
        (proto.kind() == Kind::FuncProto).then_some((id, proto))
    }
}

/// Members looked at in one search: damaged data may nest anonymous members so that their number grows exponentially.
const MAX_VISITED: u32 = 1 << 16;

/// The name without its flavour: what stands before the last `___` (CO-RE matches `task_struct___old` with the
/// kernel's `task_struct`).
pub fn essential_name(name: &str) -> &str {
    let bytes = name.as_bytes();
    let cut = (1..bytes.len().saturating_sub(3))
        .rev()
        .find(|&at| &bytes[at..at + 3] == b"___" && bytes[at - 1] != b'_' && bytes[at + 3] != b'_');
    cut.and_then(|at| name.get(..at)).unwrap_or(name)
}
