//! What an object is relocated against: a kernel's types, configuration and symbols.

use crate::Result;
use btf::Btf;

/// A module's types, on top of the kernel's.
#[derive(Clone, Debug)]
pub struct ModuleBtf<'a> {
    /// Name of the module.
    pub name: String,
    /// Its split BTF.
    pub btf: &'a Btf<'a>,
}

/// A kernel to relocate against: the running one, or types from a file.
pub struct Target<'a> {
    btf: Option<&'a Btf<'a>>,
}

impl<'a> Target<'a> {
    /// The running kernel, its modules, configuration and symbols; each is read when it is first asked for.
    ///
    /// # Errors
    ///
    /// When `/sys/kernel/btf/vmlinux` is there and cannot be read.
    pub fn running() -> Result<Target<'static>> {
        Ok(Target { btf: None })
    }

    /// Types from elsewhere, with the running kernel's symbols and configuration.
    pub fn with_btf(btf: &'a Btf<'a>) -> Target<'a> {
        Target { btf: Some(btf) }
    }

    /// The kernel's types, where it has some.
    pub fn btf(&self) -> Option<&'a Btf<'a>> {
        self.btf
    }
}
