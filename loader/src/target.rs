//! What an object is relocated against: a kernel's types, configuration and symbols.
//!
//! A [`Target`] answers questions and changes nothing. Of the running kernel it reads each thing when it is first asked
//! for; a [described](Target::described) one has what it was given and nothing else, so that the same object and the same
//! description give the same result on every machine.

mod config;
#[cfg(feature = "btfhub")]
mod hub;
#[cfg(feature = "btfhub")]
mod xz;

use crate::core::names::Flavours;
use crate::{Error, Result, kernel};
use btf::Btf;
use std::sync::OnceLock;

pub use config::Options;
#[cfg(feature = "btfhub")]
pub use hub::{btfhub, btfhub_path};

/// A module's types, on top of the kernel's.
#[derive(Clone, Debug)]
pub struct ModuleBtf<'a> {
    /// Name of the module.
    pub name: String,
    /// Its split BTF.
    pub btf: &'a Btf<'a>,
}

/// A kernel to relocate against: the running one, one with types from a file, or one that is described.
pub struct Target<'a> {
    kernel: Kernel<'a>,
    /// Types for CO-RE that take the place of the kernel's.
    instead: Option<&'a Btf<'a>>,
    modules: OnceLock<Vec<ModuleBtf<'a>>>,
    options: OnceLock<Options>,
    flavours: OnceLock<Flavours<'a>>,
}

enum Kernel<'a> {
    Running,
    Described(Box<Described<'a>>),
}

/// A kernel that is only spoken of.
#[derive(Default)]
struct Described<'a> {
    btf: Option<&'a Btf<'a>>,
    version: u32,
    symbols: Vec<(String, u64)>,
    bpf_cookie: bool,
    syscall_wrapper: bool,
}

/// A symbol that was asked for: the address, or that several have the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Missing,
    At(u64),
    Ambiguous(u64, u64),
}

impl<'a> Target<'a> {
    fn new(kernel: Kernel<'a>, instead: Option<&'a Btf<'a>>) -> Target<'a> {
        let (modules, options, flavours) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Target { kernel, instead, modules, options, flavours }
    }

    /// The running kernel, its modules, configuration and symbols; each is read when it is first asked for.
    ///
    /// # Errors
    ///
    /// When `/sys/kernel/btf/vmlinux` is there and may not be read.
    pub fn running() -> Result<Target<'static>> {
        match std::fs::metadata("/sys/kernel/btf/vmlinux") {
            Err(source) if source.kind() == std::io::ErrorKind::PermissionDenied => {
                let (action, path) = ("open", "/sys/kernel/btf/vmlinux".into());
                let source = bpf_sys::Error::File { action, path, source };
                Err(Error::Sys { context: "read the kernel's types".to_owned(), source })
            }
            _ => Ok(Target::new(Kernel::Running, None)),
        }
    }

    /// The running kernel, with these types in place of its own for CO-RE relocations.
    ///
    /// For kernels without BTF (a file of BTFHub), and to see what an object would become elsewhere. Kernel variables and
    /// functions are still looked for in the running kernel's own types, as their ids go into instructions; modules are
    /// not searched for types.
    pub fn with_btf(btf: &'a Btf<'a>) -> Target<'a> {
        Target::new(Kernel::Running, Some(btf))
    }

    /// A kernel with these types and nothing else: no modules, configuration, symbols or features, version 0. The running
    /// kernel is never asked.
    pub fn described(btf: Option<&'a Btf<'a>>) -> Target<'a> {
        Target::new(Kernel::Described(Box::new(Described { btf, ..Described::default() })), None)
    }

    /// Sets the modules, in the order in which they are searched.
    pub fn modules_are(mut self, modules: Vec<ModuleBtf<'a>>) -> Target<'a> {
        self.modules = OnceLock::from(modules);
        self
    }

    /// Sets the configuration, as the text of a `.config` file.
    pub fn config_is(mut self, text: &str) -> Target<'a> {
        self.options = OnceLock::from(Options::of_text(text));
        self
    }

    /// Sets the version of a described kernel, as `LINUX_VERSION_CODE`. Of the running kernel it stays what it is.
    pub fn version_is(mut self, version: u32) -> Target<'a> {
        if let Kernel::Described(described) = &mut self.kernel {
            described.version = version;
        }
        self
    }

    /// Sets the symbols of a described kernel and their addresses.
    pub fn symbols_are(mut self, symbols: impl IntoIterator<Item = (String, u64)>) -> Target<'a> {
        if let Kernel::Described(described) = &mut self.kernel {
            described.symbols = symbols.into_iter().collect();
        }
        self
    }

    /// Sets features of a described kernel: cookies of perf events (`LINUX_HAS_BPF_COOKIE`), and system calls that take
    /// their arguments in a `struct pt_regs` (`LINUX_HAS_SYSCALL_WRAPPER`).
    pub fn features_are(mut self, bpf_cookie: bool, syscall_wrapper: bool) -> Target<'a> {
        if let Kernel::Described(described) = &mut self.kernel {
            (described.bpf_cookie, described.syscall_wrapper) = (bpf_cookie, syscall_wrapper);
        }
        self
    }

    /// The kernel's own types; `None` where it has none. [`try_btf`](Self::try_btf) tells that from types that cannot be
    /// read.
    pub fn btf(&self) -> Option<&'a Btf<'a>> {
        self.try_btf().ok().flatten()
    }

    /// The kernel's own types, whatever [`with_btf`](Self::with_btf) put in their place for CO-RE.
    ///
    /// # Errors
    ///
    /// As [`kernel::vmlinux`].
    pub fn try_btf(&self) -> Result<Option<&'a Btf<'a>>> {
        match &self.kernel {
            Kernel::Running => Ok(kernel::vmlinux()?.map(|btf| -> &'a Btf<'a> { btf })),
            Kernel::Described(described) => Ok(described.btf),
        }
    }

    /// The types that CO-RE relocations are resolved against.
    ///
    /// # Errors
    ///
    /// As [`kernel::vmlinux`].
    pub fn core_btf(&self) -> Result<Option<&'a Btf<'a>>> {
        match self.instead {
            Some(btf) => Ok(Some(btf)),
            None => self.try_btf(),
        }
    }

    /// The loaded modules that have types, by rising id of their BTF objects; all are opened by this.
    ///
    /// # Errors
    ///
    /// As [`kernel::modules`] and [`kernel::Module::btf`].
    pub fn modules(&self) -> Result<&[ModuleBtf<'a>]> {
        if let Some(known) = self.modules.get() {
            return Ok(known);
        }
        let mut found = Vec::new();
        if matches!(self.kernel, Kernel::Running) {
            for module in kernel::modules()? {
                if let Some(btf) = module.btf()? {
                    found.push(ModuleBtf { name: module.name().to_owned(), btf });
                }
            }
        }
        Ok(self.modules.get_or_init(|| found))
    }

    /// The modules in which types for CO-RE are searched.
    pub(crate) fn core_modules(&self) -> Result<&[ModuleBtf<'a>]> {
        if self.instead.is_some() { Ok(&[]) } else { self.modules() }
    }

    /// Names with flavours among the types for CO-RE.
    pub(crate) fn flavours(&self, core: &'a Btf<'a>) -> &Flavours<'a> {
        self.flavours.get_or_init(|| Flavours::of(core))
    }

    /// Version as `LINUX_VERSION_CODE`.
    ///
    /// # Errors
    ///
    /// When the running kernel's cannot be found out.
    pub fn version(&self) -> Result<u32> {
        match &self.kernel {
            Kernel::Described(described) => Ok(described.version),
            Kernel::Running => kernel::version().ok_or_else(|| Error::Extern {
                name: "LINUX_KERNEL_VERSION".to_owned(),
                what: "the kernel's version cannot be read from /proc/sys/kernel/osrelease: mount /proc"
                    .to_owned(),
            }),
        }
    }

    /// Configuration.
    pub fn options(&self) -> &Options {
        self.options.get_or_init(|| match &self.kernel {
            Kernel::Running => Options::running(),
            Kernel::Described(_) => Options::of_text(""),
        })
    }

    pub(crate) fn has_bpf_cookie(&self) -> bool {
        match &self.kernel {
            Kernel::Described(described) => described.bpf_cookie,
            Kernel::Running => {
                matches!(bpf_sys::features::has_get_attach_cookie(), bpf_sys::features::Answer::Yes)
            }
        }
    }

    pub(crate) fn has_syscall_wrapper(&self) -> Result<bool> {
        let symbol = match &self.kernel {
            Kernel::Described(described) => return Ok(described.syscall_wrapper),
            Kernel::Running => match std::env::consts::ARCH {
                "x86_64" => "__x64_sys_bpf",
                "x86" => "__ia32_sys_bpf",
                "aarch64" => "__arm64_sys_bpf",
                "s390x" => "__s390x_sys_bpf",
                "riscv64" => "__riscv_sys_bpf",
                "powerpc" | "powerpc64" => "sys_bpf",
                _ => return Ok(false),
            },
        };
        if self.try_btf()?.is_some_and(|btf| btf.find(symbol, btf::Kind::Func).is_some()) {
            return Ok(symbol != "sys_bpf");
        }
        // The name is enough; a kernel that hides addresses has it all the same.
        Ok(self.addresses(&[symbol])?.first().is_some_and(|found| *found != Address::Missing))
    }

    /// Addresses of symbols, in the order of the names.
    pub(crate) fn addresses(&self, names: &[&str]) -> Result<Vec<Address>> {
        let mut answers = vec![Address::Missing; names.len()];
        let mut note = |index: usize, address: u64| {
            if let Some(answer) = answers.get_mut(index) {
                *answer = match *answer {
                    Address::Missing => Address::At(address),
                    Address::At(other) if other != address => Address::Ambiguous(other, address),
                    same => same,
                };
            }
        };
        match &self.kernel {
            Kernel::Described(described) => {
                for (name, address) in &described.symbols {
                    if let Some(index) = names.iter().position(|wanted| wanted == name) {
                        note(index, *address);
                    }
                }
            }
            Kernel::Running => {
                let found = kernel::kallsyms::find(names).map_err(|source| Error::Sys {
                    context: "look for the addresses of kernel symbols".to_owned(),
                    source: bpf_sys::Error::File {
                        action: "read",
                        path: kernel::kallsyms::PATH.into(),
                        source,
                    },
                })?;
                for (index, address, _, _) in found {
                    note(index, address);
                }
            }
        }
        Ok(answers)
    }
}

impl std::fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kernel = match self.kernel {
            Kernel::Running => "running",
            Kernel::Described(_) => "described",
        };
        f.debug_struct("Target")
            .field("kernel", &kernel)
            .field("types_from_elsewhere", &self.instead.is_some())
            .finish_non_exhaustive()
    }
}
