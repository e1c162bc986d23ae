//! Finding and changing what is in an object before it is loaded.

use crate::spec::{MapKind, MapSpec, Object, ProgramSpec};
use crate::{Error, Result};
use btf::{Btf, Builder, Kind, SectionVar, TypeId};

impl Object {
    /// The object's types; `None` where it has none.
    pub fn btf(&self) -> Option<Btf<'_>> {
        Btf::parse(self.btf.as_deref()?).ok()
    }

    /// The program of this name.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] with the names that there are.
    pub fn program(&self, name: &str) -> Result<&ProgramSpec> {
        let found = self.programs.iter().find(|program| program.name == name);
        found.ok_or_else(|| self.no_program(name))
    }

    /// The program of this name, to be changed.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] with the names that there are.
    pub fn program_mut(&mut self, name: &str) -> Result<&mut ProgramSpec> {
        match self.programs.iter().position(|program| program.name == name) {
            Some(index) => Ok(&mut self.programs[index]),
            None => Err(self.no_program(name)),
        }
    }

    /// The map of this name; data maps have their section's, such as `.bss`.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] with the names that there are.
    pub fn map(&self, name: &str) -> Result<&MapSpec> {
        let found = self.maps.iter().find(|map| map.name == name);
        found.ok_or_else(|| self.no_map(name))
    }

    /// The map of this name, to be changed.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] with the names that there are.
    pub fn map_mut(&mut self, name: &str) -> Result<&mut MapSpec> {
        match self.maps.iter().position(|map| map.name == name) {
            Some(index) => Ok(&mut self.maps[index]),
            None => Err(self.no_map(name)),
        }
    }

    fn no_program(&self, name: &str) -> Error {
        let names = self.programs.iter().map(|program| program.name.as_str());
        Error::Name { name: name.to_owned(), what: no_such("program", name, names) }
    }

    fn no_map(&self, name: &str) -> Error {
        let names = self.maps.iter().map(|map| map.name.as_str());
        Error::Name { name: name.to_owned(), what: no_such("map", name, names) }
    }

    /// Sets a global variable's initial value to these bytes, as they are in the program's memory.
    ///
    /// [`set`](Self::set) takes numbers and structures.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] where there is no such variable, its size is another one, or it is the kernel's configuration.
    pub fn set_variable(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let bad = |what: String| Err(Error::Name { name: name.to_owned(), what });
        let found = self.maps.iter_mut().find_map(|map| {
            let variable = map.variables.iter().find(|variable| variable.name == name)?.clone();
            Some((map, variable))
        });
        let Some((map, variable)) = found else {
            let names = self.maps.iter().flat_map(|map| map.variables.iter().map(|v| v.name.as_str()));
            return bad(no_such("global variable", name, names));
        };
        if map.kind == MapKind::Kconfig {
            return bad(
                "is the kernel's configuration, which is filled in when the object is relocated".to_owned()
            );
        }
        if variable.size as usize != bytes.len() {
            return bad(format!(
                "the variable has {} bytes, the value {}: give exactly as many",
                variable.size,
                bytes.len()
            ));
        }
        let start = variable.offset as usize;
        let end = start.checked_add(bytes.len());
        let size = if map.kind == MapKind::Arena {
            map.data.as_ref().map_or(0, Vec::len)
        } else {
            map.value_size as usize
        };
        // A section of zeroes has no content in the file.
        let data = map.data.get_or_insert_with(|| vec![0; size]);
        match end.and_then(|end| data.get_mut(start..end)) {
            Some(place) => {
                place.copy_from_slice(bytes);
                Ok(())
            }
            None => bad(format!("lies outside of `{}`: the object is damaged", map.name)),
        }
    }

    /// Makes a data map's value longer or shorter: for a last variable that is an array of as many elements as needed.
    /// The variable grows and shrinks with it; new bytes are zero.
    ///
    /// The types follow where the last variable is an array whose elements fill the size; otherwise the map is made
    /// without a type.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] where there is no such data map, or the size would cut off the start of a variable.
    pub fn resize(&mut self, map: &str, size: u32) -> Result<()> {
        let bad = |what: String| Err(Error::Name { name: map.to_owned(), what });
        let spec = self.map_mut(map)?;
        if !matches!(spec.kind, MapKind::Data | MapKind::Rodata | MapKind::Bss) {
            return bad("is no data section; set `max_entries` of the map instead".to_owned());
        }
        if spec.value_size == size {
            return Ok(());
        }
        let last = spec.variables.iter_mut().max_by_key(|variable| variable.offset);
        let offset = last.as_ref().map_or(0, |last| last.offset);
        let Some(left) = size.checked_sub(offset).filter(|left| *left != 0) else {
            let name = last.map_or("the section", |last| last.name.as_str());
            return bad(format!("{size} bytes would cut off `{name}`, which begins at byte {offset}"));
        };
        if let Some(last) = last {
            last.size = left;
        }
        if let Some(data) = &mut spec.data {
            data.resize(size as usize, 0);
        }
        spec.value_size = size;
        let datasec = spec.value_type.take();
        if let Some(id) = datasec
            && let Some((types, type_id)) = self.btf().and_then(|btf| resize_types(&btf, id, size))
        {
            self.btf = Some(types);
            let spec = self.map_mut(map)?;
            spec.value_type = Some(id);
            if let Some(last) = spec.variables.iter_mut().max_by_key(|variable| variable.offset) {
                last.type_id = Some(type_id);
            }
        }
        Ok(())
    }
}

/// Types in which a data section has another size and its last variable, an array, another length; and that array.
fn resize_types(btf: &Btf<'_>, id: TypeId, size: u32) -> Option<(Vec<u8>, TypeId)> {
    let datasec = btf.type_by_id(id).filter(|ty| ty.kind() == Kind::Datasec)?;
    let mut vars: Vec<SectionVar> = datasec.section_vars().collect();
    let last = vars.last_mut()?;
    let (_, ty) = btf.resolve(btf.type_by_id(last.type_id)?.type_id()?)?;
    let array = ty.array()?;
    let element = u32::try_from(btf.size_of(array.element)?).ok().filter(|size| *size != 0)?;
    let bytes = size.checked_sub(last.offset).filter(|bytes| bytes % element == 0)?;
    last.size = bytes;
    let var = last.type_id;
    let mut builder = Builder::from_btf(btf);
    let longer = builder.array(array.element, array.index, bytes / element);
    let done = builder.set_type(var, longer) && builder.set_datasec(id, size, &vars);
    done.then(|| (builder.finish(), longer))
}

/// Most names in a message.
const NAMES: usize = 20;

/// A message that there is no such thing, with the name that is most like it first.
fn no_such<'n>(what: &str, name: &str, names: impl Iterator<Item = &'n str>) -> String {
    let mut names: Vec<&str> = names.collect();
    if names.is_empty() {
        return format!("the object has no {what}");
    }
    names.sort_by_key(|other| distance(name, other));
    let more = names.len().saturating_sub(NAMES);
    names.truncate(NAMES);
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("no such {what}; there are {}{rest}", names.join(", "))
}

/// How many characters have to be put in, taken out or changed to make one name of another.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let cost = diagonal + usize::from(x != *y);
            diagonal = *cell;
            left = cost.min(left + 1).min(*cell + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}
