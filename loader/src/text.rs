//! Global variables from text, before loading: what a command line sets.

use crate::globals::{check_size, find};
use crate::spec::{MapKind, Object};
use crate::{Error, Result};
use btf::Btf;

impl Object {
    /// Sets a global variable's initial value from text, through its type in the object's BTF: `7`, `-0x10`, `true`,
    /// `"text"`, `TCP_LISTEN` or `{.pid = 1}`, as [`btf::value::encode`] reads it.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] where there is no such variable, the text is no value of its type, or the object says nothing about
    /// its type.
    pub fn set_text(&mut self, name: &str, text: &str) -> Result<()> {
        let (index, variable) = find(self, name)?;
        let variable = variable.clone();
        let fail = |what: String| Error::Name { name: name.to_owned(), what };
        let types = self.btf.as_ref().zip(variable.type_id);
        let (bytes, id) = types
            .ok_or_else(|| fail("the object has no type for this variable: compile it with -g".into()))?;
        let btf = Btf::parse(bytes).map_err(|source| Error::Btf { place: ".BTF".into(), source })?;
        let value = btf::value::encode(&btf, id, text).map_err(|error| fail(format!("`{text}`: {error}")))?;
        check_size(&variable, value.len())?;
        let map = &mut self.maps[index];
        if map.kind == MapKind::Kconfig {
            return Err(fail(
                "is the kernel's configuration, which is filled in when the object is relocated".into(),
            ));
        }
        let size = map.value_size as usize;
        let data = map.data.get_or_insert_with(|| vec![0; size]);
        let start = variable.offset as usize;
        match data.get_mut(start..).and_then(|rest| rest.get_mut(..value.len())) {
            Some(place) => {
                place.copy_from_slice(&value);
                Ok(())
            }
            None => Err(fail(format!("lies outside of its section {}: the object is damaged", map.name))),
        }
    }
}
