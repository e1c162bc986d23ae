//! Relocation of an object against a target.

use crate::spec::Object;
use crate::target::Target;
use crate::{Error, Result};

impl Object {
    /// The object with CO-RE relocations applied and externs resolved against `target`.
    ///
    /// A CO-RE relocation that finds nothing poisons its instruction ([`ProgramSpec::poisoned`](crate::ProgramSpec)).
    ///
    /// # Errors
    ///
    /// Ambiguous relocations and strong externs that are missing.
    pub fn relocate(&self, _target: &Target<'_>) -> Result<Object> {
        Err(Error::Elf { what: format!("{} cannot be relocated yet", self.name) })
    }
}
