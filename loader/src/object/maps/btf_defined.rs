//! Maps that are defined by the types of a variable in section `.maps`.

use super::Maps;
use crate::object::elf::Elf;
use crate::object::types::{Types, Var};
use crate::spec::{MapKind, MapSpec, Pinning};
use crate::{Error, Result};
use bpf_sys::map::{MapFlags, MapType};
use btf::{Btf, Kind, Linkage, Member, Type, TypeId};

/// Name of the section.
pub const SECTION: &str = ".maps";

/// Most fields of a definition; it may name one twice.
const MAX_FIELDS: usize = 64;

/// What a definition says; what it leaves open is `None`.
#[derive(Default)]
struct Definition {
    map_type: Option<MapType>,
    key_size: Option<u32>,
    value_size: Option<u32>,
    max_entries: Option<u32>,
    flags: Option<u32>,
    map_extra: Option<u64>,
    numa_node: Option<u32>,
    pinning: Option<Pinning>,
    key_type: Option<TypeId>,
    value_type: Option<TypeId>,
    inner: Option<Box<MapSpec>>,
}

/// Where a definition is, for messages.
struct Place<'a, 'd> {
    btf: &'a Btf<'d>,
    map: String,
}

/// Reads the definitions, in the order of the section.
pub fn collect(maps: &mut Maps, elf: &Elf<'_>, types: Option<&Types<'_>>) -> Result<()> {
    let Some((index, section)) = elf.section(SECTION) else {
        return Ok(());
    };
    let Some((types, datasec)) = types.and_then(|types| Some((types, types.datasec(SECTION)?))) else {
        if section.size == 0 {
            return Ok(());
        }
        let what = "maps are defined by types here, and BTF has none of them; compile with `clang -g`";
        return Err(Error::Section { section: SECTION.to_owned(), offset: 0, what: what.to_owned() });
    };
    for var in &datasec.vars {
        let place = Place { btf: &types.btf, map: var.name.to_owned() };
        let ty = place.variable(var, section.size)?;
        let mut definition = Definition::default();
        place.read(&mut definition, ty, false)?;
        maps.by_place.insert((index, u64::from(var.offset)), maps.list.len());
        maps.list.push(place.finish(definition)?);
    }
    Ok(())
}

impl<'d> Place<'_, 'd> {
    fn bad<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(Error::Map { map: self.map.clone(), what: what.into() })
    }

    /// The struct that a variable in `.maps` has to be.
    fn variable(&self, var: &Var<'_>, section: u64) -> Result<Type<'d>> {
        if var.name.is_empty() {
            return self.bad("a variable of `.maps` has no name; the types are damaged");
        }
        let end = u64::from(var.offset) + u64::from(var.size);
        if end > section {
            return self.bad(format!(
                "lies at {}..{end} of `.maps`, which has {section} bytes; compile it again",
                var.offset
            ));
        }
        if var.function || !matches!(var.linkage, Linkage::Static | Linkage::Global) {
            return self.bad("is declared and not defined here; link the object that defines it");
        }
        match self.btf.resolve(var.type_id) {
            Some((_, ty)) if ty.kind() == Kind::Struct => {
                if ty.size().is_some_and(|size| size > var.size) {
                    return self.bad("the variable is smaller than its type; the types are damaged");
                }
                Ok(ty)
            }
            _ => {
                self.bad("a map is defined by a struct: `struct { __uint(type, …); … } name SEC(\".maps\")`")
            }
        }
    }

    /// A number that is written as the length of an array behind a pointer: `__uint(NAME, 1)`.
    fn number(&self, member: &Member<'_>) -> Result<u32> {
        let array = self.pointee(member).and_then(|(_, ty)| ty.array());
        match array {
            Some(array) => Ok(array.len),
            None => {
                self.bad(format!("`{}` is no number; write `__uint({}, NUMBER)`", member.name, member.name))
            }
        }
    }

    /// The same, or an enumerator: `__ulong(NAME, 1)`, for numbers of more than 32 bits.
    fn long(&self, member: &Member<'_>) -> Result<u64> {
        if let Some((_, ty)) = self.btf.resolve(member.type_id)
            && matches!(ty.kind(), Kind::Enum | Kind::Enum64)
        {
            let mut values = ty.enumerators();
            return match (values.next(), values.next()) {
                (Some(only), None) => Ok(only.value as u64),
                _ => self
                    .bad(format!("`{}` is no number; write `__ulong({}, NUMBER)`", member.name, member.name)),
            };
        }
        self.number(member).map(u64::from)
    }

    /// What a member points to, behind typedefs and qualifiers.
    fn pointee(&self, member: &Member<'_>) -> Option<(TypeId, Type<'d>)> {
        let (_, pointer) = self.btf.resolve(member.type_id)?;
        (pointer.kind() == Kind::Ptr).then_some(())?;
        self.btf.resolve(pointer.type_id()?)
    }

    /// Key or value type: `__type(key, T)`. The id is what the pointer names, typedefs included.
    fn typed(&self, member: &Member<'_>) -> Result<(TypeId, u32)> {
        let target = self
            .btf
            .resolve(member.type_id)
            .filter(|(_, ty)| ty.kind() == Kind::Ptr)
            .and_then(|(_, pointer)| pointer.type_id());
        let Some(id) = target else {
            return self.bad(format!("`{}` is no type; write `__type({}, TYPE)`", member.name, member.name));
        };
        match self.btf.size_of(id).and_then(|size| u32::try_from(size).ok()) {
            Some(size) => Ok((id, size)),
            None => self.bad(format!("the type of `{}` has no size, or none that fits 32 bits", member.name)),
        }
    }

    /// Sets a size, or holds it against what another field said.
    fn size(&self, name: &str, place: &mut Option<u32>, size: u32) -> Result<()> {
        match *place {
            Some(old) if old != size => self.bad(format!(
                "the {name} has {old} bytes by one field and {size} by another; leave out one of them"
            )),
            _ => {
                *place = Some(size);
                Ok(())
            }
        }
    }

    fn read(&self, definition: &mut Definition, ty: Type<'d>, inner: bool) -> Result<()> {
        let count = ty.len();
        if count > MAX_FIELDS {
            return self
                .bad(format!("the definition has {count} fields, where there are {MAX_FIELDS} at most"));
        }
        for (nth, member) in ty.members().enumerate() {
            match member.name {
                "" => return self.bad(format!("field {nth} has no name; the types are damaged")),
                "type" => definition.map_type = Some(MapType::from_raw(self.number(&member)?)),
                "max_entries" => definition.max_entries = Some(self.number(&member)?),
                "map_flags" => definition.flags = Some(self.number(&member)?),
                "map_extra" => definition.map_extra = Some(self.long(&member)?),
                "numa_node" => definition.numa_node = Some(self.number(&member)?),
                "key_size" => {
                    let size = self.number(&member)?;
                    self.size("key", &mut definition.key_size, size)?;
                }
                "value_size" => {
                    let size = self.number(&member)?;
                    self.size("value", &mut definition.value_size, size)?;
                }
                "key" => {
                    let (id, size) = self.typed(&member)?;
                    self.size("key", &mut definition.key_size, size)?;
                    definition.key_type = Some(id);
                }
                "value" => {
                    let (id, size) = self.typed(&member)?;
                    self.size("value", &mut definition.value_size, size)?;
                    definition.value_type = Some(id);
                }
                "pinning" if inner => return self.bad("the inner map cannot be pinned; leave out `pinning`"),
                "pinning" => {
                    definition.pinning = Some(match self.number(&member)? {
                        0 => Pinning::None,
                        1 => Pinning::ByName,
                        other => {
                            return self.bad(format!("pinning {other} is unknown; LIBBPF_PIN_BY_NAME is 1"));
                        }
                    });
                }
                "values" if inner => {
                    return self.bad("maps of maps of maps are nothing that the kernel has");
                }
                "values" if nth + 1 != count => {
                    return self.bad("`values` must be the last field of the definition");
                }
                "values" => self.values(definition, &member)?,
                other => {
                    return self.bad(format!(
                        "the field `{other}` is unknown; there are type, max_entries, map_flags, map_extra, \
                         numa_node, key_size, key, value_size, value, values and pinning"
                    ));
                }
            }
        }
        Ok(())
    }

    /// `__array(values, struct { … })`: what the maps in a map of maps are like; `__array(values, int (void *))`:
    /// programs.
    fn values(&self, definition: &mut Definition, member: &Member<'_>) -> Result<()> {
        let map_type = definition.map_type;
        let of_maps = matches!(map_type, Some(MapType::ArrayOfMaps | MapType::HashOfMaps));
        let of_programs = map_type == Some(MapType::ProgArray);
        if !of_maps && !of_programs {
            return self.bad("`values` is for maps of maps and of programs; put `type` before it");
        }
        self.size("value", &mut definition.value_size, 4)?;
        let element = self
            .btf
            .resolve(member.type_id)
            .and_then(|(_, ty)| ty.array())
            .and_then(|array| self.btf.resolve(array.element))
            .filter(|(_, ty)| ty.kind() == Kind::Ptr)
            .and_then(|(_, pointer)| self.btf.resolve(pointer.type_id()?));
        match element {
            Some((_, ty)) if of_programs && ty.kind() == Kind::FuncProto => Ok(()),
            Some((_, ty)) if of_maps && ty.kind() == Kind::Struct => {
                let place = Place { btf: self.btf, map: format!("{}.inner", self.map) };
                let mut inner = Definition::default();
                place.read(&mut inner, ty, true)?;
                definition.inner = Some(Box::new(place.finish(inner)?));
                Ok(())
            }
            _ if of_programs => {
                self.bad("`values` is no array of functions; write `__array(values, int (void *))`")
            }
            _ => self.bad("`values` is no array of maps; write `__array(values, struct { … })`"),
        }
    }

    fn finish(&self, definition: Definition) -> Result<MapSpec> {
        let Some(map_type) = definition.map_type else {
            return self.bad("the definition does not say of which type; add `__uint(type, BPF_MAP_TYPE_…)`");
        };
        let mut map = MapSpec::new(
            self.map.as_str(),
            map_type,
            definition.key_size.unwrap_or(0),
            definition.value_size.unwrap_or(0),
            definition.max_entries.unwrap_or(0),
        );
        map.kind = MapKind::Btf;
        map.flags = MapFlags::from_bits_retain(definition.flags.unwrap_or(0));
        map.map_extra = definition.map_extra.unwrap_or(0);
        map.numa_node = definition.numa_node.unwrap_or(0);
        map.pinning = definition.pinning.unwrap_or_default();
        map.key_type = definition.key_type;
        map.value_type = definition.value_type;
        map.inner = definition.inner;
        Ok(map)
    }
}
