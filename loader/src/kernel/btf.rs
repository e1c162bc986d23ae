//! Types of the running kernel and of its modules. Each is opened at most once a process and kept until it ends.

use crate::{Error, Result};
use bpf_sys::btf_obj::{BtfFile, BtfObj};
use bpf_sys::{Errno, ids};
use btf::Btf;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Where the kernel shows its types.
const SYSFS: &str = "/sys/kernel/btf";

/// The running kernel's types; `None` where it was built without, and no file of debug information is installed either.
///
/// They are taken from `/sys/kernel/btf/vmlinux` (since Linux 5.4) or from the section `.BTF` of an uncompressed
/// `vmlinux` in the places where distributions put it.
///
/// # Errors
///
/// When the file is there and cannot be read, or holds something else.
pub fn vmlinux() -> Result<Option<&'static Btf<'static>>> {
    static VMLINUX: OnceLock<&'static Btf<'static>> = OnceLock::new();
    static OPENING: Mutex<()> = Mutex::new(());
    if let Some(btf) = VMLINUX.get() {
        return Ok(Some(btf));
    }
    // Threads that come at the same time wait: a second copy would never be freed.
    let _opening = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(btf) = VMLINUX.get() {
        return Ok(Some(btf));
    }
    match open_vmlinux()? {
        Some(btf) => Ok(Some(VMLINUX.get_or_init(|| btf))),
        None => Ok(None),
    }
}

fn open_vmlinux() -> Result<Option<&'static Btf<'static>>> {
    let sysfs = Path::new(SYSFS).join("vmlinux");
    match BtfFile::open(&sysfs) {
        Ok(file) => return open(&sysfs, leak(file), None).map(Some),
        Err(error) if error.is_errno(Errno::ENOENT) || error.is_errno(Errno::ENOTDIR) => {}
        Err(source) => {
            return Err(Error::Sys { context: "read the kernel's types".to_owned(), source });
        }
    }
    for path in images() {
        // What is not there or holds no types leaves the next place to be looked at.
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let Some(section) = section_of(&bytes) else { continue };
        let section: &'static [u8] = Box::leak(section.to_vec().into_boxed_slice());
        return open(&path, section, None).map(Some);
    }
    Ok(None)
}

/// Where an uncompressed image of the running kernel may be, in order.
fn images() -> Vec<PathBuf> {
    let Some(release) = super::release() else { return Vec::new() };
    [
        format!("/boot/vmlinux-{release}"),
        format!("/lib/modules/{release}/vmlinux-{release}"),
        format!("/lib/modules/{release}/build/vmlinux"),
        format!("/usr/lib/modules/{release}/kernel/vmlinux"),
        format!("/usr/lib/debug/boot/vmlinux-{release}"),
        format!("/usr/lib/debug/boot/vmlinux-{release}.debug"),
        format!("/usr/lib/debug/lib/modules/{release}/vmlinux"),
    ]
    .map(PathBuf::from)
    .into()
}

/// The section `.BTF` of an ELF file, whatever machine it is for.
pub fn section_of(elf: &[u8]) -> Option<&[u8]> {
    crate::object::section(elf, ".BTF").filter(|bytes| !bytes.is_empty())
}

fn leak(file: BtfFile) -> &'static [u8] {
    Box::leak(Box::new(file))
}

fn open(
    path: &Path,
    bytes: &'static [u8],
    base: Option<&'static Btf<'static>>,
) -> Result<&'static Btf<'static>> {
    let opened = match base {
        Some(base) => Btf::parse_split(bytes, base),
        None => Btf::parse(bytes),
    };
    match opened {
        Ok(btf) => Ok(Box::leak(Box::new(btf))),
        Err(source) => Err(Error::Btf { place: path.display().to_string(), source }),
    }
}

/// A loaded module that has types.
#[derive(Debug)]
pub struct Module {
    name: String,
    id: Option<u32>,
    btf: OnceLock<Option<&'static Btf<'static>>>,
}

impl Module {
    /// Name of the module.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Id of its BTF object; `None` where this process may not ask for ids.
    pub fn id(&self) -> Option<u32> {
        self.id
    }

    /// Its types, on top of [`vmlinux`]'s; `None` where the kernel's own cannot be had, or the module is gone.
    ///
    /// # Errors
    ///
    /// When the module's types are there and damaged, or those of another kernel.
    pub fn btf(&self) -> Result<Option<&'static Btf<'static>>> {
        if let Some(known) = self.btf.get() {
            return Ok(*known);
        }
        let Some(base) = vmlinux()? else { return Ok(None) };
        let path = Path::new(SYSFS).join(&self.name);
        let bytes = match BtfFile::open(&path) {
            Ok(file) => Some(leak(file)),
            // Without sysfs the bytes can be fetched from the object itself.
            Err(_) => match self.object() {
                Ok(object) => object.bytes().ok().map(|bytes| &*Box::leak(bytes.into_boxed_slice())),
                Err(_) => None,
            },
        };
        let btf = match bytes {
            Some(bytes) => Some(open(&path, bytes, Some(base))?),
            None => None,
        };
        Ok(*self.btf.get_or_init(|| btf))
    }

    /// Its BTF object, of which instructions and attachments take the descriptor. Needs CAP_SYS_ADMIN.
    ///
    /// # Errors
    ///
    /// The kernel's, where the module is gone or the privilege is missing.
    pub fn object(&self) -> Result<BtfObj> {
        let failed =
            |source| Error::Sys { context: format!("open the BTF of module `{}`", self.name), source };
        match self.id {
            Some(id) => BtfObj::from_id(id).map_err(failed),
            None => Err(Error::Extern {
                name: self.name.clone(),
                what: "the id of this module's BTF may not be asked for; run as root, or with CAP_SYS_ADMIN"
                    .to_owned(),
            }),
        }
    }
}

/// The modules that are loaded and have types, by rising id of their BTF objects; listed when first asked for. None
/// before Linux 5.11, which brought types of modules.
///
/// Who may not ask for ids gets the names that sysfs shows, in alphabetical order.
///
/// # Errors
///
/// When the kernel's BTF objects cannot be listed for another reason than privileges.
pub fn modules() -> Result<&'static [Module]> {
    static MODULES: OnceLock<&'static [Module]> = OnceLock::new();
    if let Some(modules) = MODULES.get() {
        return Ok(modules);
    }
    let found = match listed() {
        Ok(found) => found,
        Err(error) if error.is_errno(Errno::EPERM) => shown(),
        Err(source) => {
            return Err(Error::Sys { context: "list the types of modules".to_owned(), source });
        }
    };
    Ok(MODULES.get_or_init(|| Box::leak(found.into_boxed_slice())))
}

fn module(name: String, id: Option<u32>) -> Module {
    Module { name, id, btf: OnceLock::new() }
}

fn listed() -> bpf_sys::Result<Vec<Module>> {
    let mut found = Vec::new();
    for id in ids::btfs() {
        let id = id?;
        let info = match BtfObj::from_id(id) {
            Ok(object) => object.info()?,
            // It went away between the two calls.
            Err(error) if error.is_errno(Errno::ENOENT) => continue,
            Err(error) => return Err(error),
        };
        if info.kernel_btf && info.name != "vmlinux" {
            found.push(module(info.name, Some(id)));
        }
    }
    Ok(found)
}

fn shown() -> Vec<Module> {
    let Ok(entries) = std::fs::read_dir(SYSFS) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.retain(|name| name != "vmlinux");
    names.sort_unstable();
    names.into_iter().map(|name| module(name, None)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_types_are_opened_once() {
        let Some(first) = vmlinux().unwrap() else {
            eprintln!("SKIP the_kernels_types_are_opened_once: this kernel has no BTF");
            return;
        };
        let second = vmlinux().unwrap().unwrap();
        assert!(std::ptr::eq(first, second));
        assert!(first.find("task_struct", btf::Kind::Struct).is_some());
    }

    #[test]
    fn root_modules_stand_on_the_kernels_types() {
        let modules = match modules() {
            Ok(modules) => modules,
            Err(error) => panic!("{error}"),
        };
        if modules.is_empty() {
            eprintln!("SKIP root_modules_stand_on_the_kernels_types: no module with BTF is loaded");
            return;
        }
        for module in modules {
            let btf = module.btf().unwrap().unwrap();
            assert!(btf.base().is_some(), "{}", module.name());
        }
    }

    #[test]
    fn files_without_types() {
        assert_eq!(section_of(b"no ELF file"), None);
        assert_eq!(section_of(b"\x7fELF"), None);
    }
}
