//! The kernel function behind a system call.

use crate::kernel::kallsyms;
use crate::kernel::syscalls::{self, Arch};
use crate::{Error, Result};

/// What a system call's function may be called, likeliest first: architectures whose calls take a structure of registers
/// prefix their name, others have one of two common prefixes.
fn candidates(arch: Option<Arch>, name: &str) -> Vec<String> {
    // What the C library calls it may not be what the kernel does.
    let kernels = arch.and_then(|arch| {
        let number = syscalls::number_on(arch, name)?;
        arch.names().get(number as usize).copied().filter(|known| *known != name)
    });
    let prefix = match arch {
        Some(Arch::X86_64) => "__x64_sys_",
        Some(Arch::Aarch64) => "__arm64_sys_",
        None if cfg!(target_arch = "s390x") => "__s390x_sys_",
        None if cfg!(target_arch = "riscv64") => "__riscv_sys_",
        None => "sys_",
    };
    let prefixes = [prefix, "__se_sys_", "sys_"];
    let names = std::iter::once(name).chain(kernels);
    names.flat_map(|name| prefixes.map(|prefix| format!("{prefix}{name}"))).collect()
}

/// The function of this kernel that is system call `name`, which may be the kernel's name for it or the C library's.
pub(super) fn function(name: &str) -> Result<String> {
    let candidates = candidates(Arch::current(), name);
    let names: Vec<&str> = candidates.iter().map(String::as_str).collect();
    let found = kallsyms::find(&names)?;
    let best = found.iter().map(|(which, ..)| *which).min();
    best.and_then(|best| candidates.get(best).cloned()).ok_or_else(|| {
        let known = syscalls::number(name).is_some();
        Error::NotTraceable {
            name: name.to_owned(),
            why: if known {
                format!(
                    "this kernel has no function of that system call (looked for {}): it may be built without it",
                    names.join(", ")
                )
            } else {
                "there is no system call of this name; `tracewell list 't:syscalls:sys_enter_*'` lists them all"
                    .to_owned()
            },
            near: Vec::new(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_have_names_of_their_own() {
        assert_eq!(
            candidates(Some(Arch::X86_64), "execve"),
            ["__x64_sys_execve", "__se_sys_execve", "sys_execve"]
        );
        assert_eq!(
            candidates(Some(Arch::Aarch64), "uname"),
            [
                "__arm64_sys_uname",
                "__se_sys_uname",
                "sys_uname",
                "__arm64_sys_newuname",
                "__se_sys_newuname",
                "sys_newuname"
            ]
        );
    }
}
