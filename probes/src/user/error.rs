//! What can go wrong with user-space binaries and processes.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a function, library or process of user space could not be found or read.
///
/// Every variant names the file, section or process, and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// A file could not be opened or read.
    #[error("{}: cannot read: {source}{}", file.display(), io_remedy(source))]
    Io {
        /// The file.
        file: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The file is something else than an ELF file.
    #[error("{}: not an ELF file ({what}); name the program or shared library itself, not a script or archive", file.display())]
    NotElf {
        /// The file.
        file: PathBuf,
        /// What it starts with.
        what: String,
    },
    /// A part of the ELF file contradicts itself or lies outside the file.
    #[error("{}: damaged ELF file: {place}: {what}; compare it with `readelf -a`, or install the package again", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The section or table, with the file offset in hexadecimal.
        place: String,
        /// What is wrong there.
        what: String,
    },
    /// The file is sound but nothing a process runs, or nothing this reader handles.
    #[error("{}: {why}", file.display())]
    Unfit {
        /// The file.
        file: PathBuf,
        /// Why, and what to use instead.
        why: String,
    },
    /// The file has no function symbols at all.
    #[error(
        "{}: stripped: it has no function symbols{}; install its debug symbols (a -dbg/-dbgsym/-debuginfo package puts them under /usr/lib/debug), \
         build it without `strip` or `-s`, or give an address instead of a name{}",
        file.display(), if *minidebug { " outside .gnu_debugdata, which is not read" } else { "" }, build_id_text(build_id)
    )]
    NoSymbols {
        /// The file.
        file: PathBuf,
        /// Whether there is a compressed `.gnu_debugdata` section.
        minidebug: bool,
        /// Its build-id in hexadecimal, empty without one.
        build_id: String,
    },
    /// No function of that name or pattern.
    #[error("{}: {}", file.display(), no_function(name, *pattern, near, (*imported, *variable), *stripped))]
    NoFunction {
        /// The file.
        file: PathBuf,
        /// The name or pattern asked for.
        name: String,
        /// Whether `name` is a pattern.
        pattern: bool,
        /// Similar names, best first.
        near: Vec<String>,
        /// The name is only imported by this file: some library defines it.
        imported: bool,
        /// The name is a variable's.
        variable: bool,
        /// Only exported names could be searched: the file has no `.symtab` and no debug file was found.
        stripped: bool,
    },
    /// Several functions have that name.
    #[error("{}: `{name}` is ambiguous: {}; name one of them with its version (name@VERSION) or by its address", file.display(), candidates.join(", "))]
    Ambiguous {
        /// The file.
        file: PathBuf,
        /// The name.
        name: String,
        /// `name@VERSION at 0x...` or `name at 0x...`.
        candidates: Vec<String>,
    },
    /// The name belongs to a resolver that picks an implementation when the program starts.
    #[error("{}: `{name}` is an indirect function (STT_GNU_IFUNC): a probe there would see its resolver, not the calls; {}", file.display(), ifunc_remedy(candidates))]
    Ifunc {
        /// The file.
        file: PathBuf,
        /// The name.
        name: String,
        /// Functions that look like its implementations.
        candidates: Vec<String>,
    },
    /// An offset beyond the end of the function.
    #[error("{}: {name}+{offset:#x} lies outside the function, which is {size:#x} bytes long; use an offset below that", file.display())]
    OffsetOutside {
        /// The file.
        file: PathBuf,
        /// The function.
        name: String,
        /// The offset asked for.
        offset: u64,
        /// The function's length in bytes.
        size: u64,
    },
    /// An address that no executable part of the file holds.
    #[error("{}: address {addr:#x} is in no executable segment of the file; take one from `nm` or `objdump -d`", file.display())]
    NoCode {
        /// The file.
        file: PathBuf,
        /// The virtual address.
        addr: u64,
    },
    /// No library, program or path of that name.
    #[error("unable to find library {name}: {why}{}", near_text(near))]
    NoLibrary {
        /// The name asked for.
        name: String,
        /// Where it was looked for, and what to do.
        why: String,
        /// Similar names.
        near: Vec<String>,
    },
    /// No such process.
    #[error(
        "no process {pid}: it has exited, or the number is from another pid namespace; check with `ps -p {pid}`"
    )]
    NoProcess {
        /// The process id.
        pid: u32,
    },
    /// A process that may not be looked into.
    #[error("process {pid}: cannot read {file}: {source}; run as its owner or root, or with CAP_SYS_PTRACE")]
    Process {
        /// The process id.
        pid: u32,
        /// The file below its /proc folder.
        file: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
}

/// Results of this module.
pub type Result<T> = std::result::Result<T, UserError>;

fn io_remedy(e: &io::Error) -> &'static str {
    match e.kind() {
        io::ErrorKind::NotFound => "; check the path",
        io::ErrorKind::PermissionDenied => "; run as root or as a user who may read it",
        _ => "",
    }
}

fn build_id_text(id: &str) -> String {
    if id.is_empty() { String::new() } else { format!(" (build-id {id})") }
}

fn near_text(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) }
}

fn no_function(
    name: &str,
    pattern: bool,
    near: &[String],
    (imported, variable): (bool, bool),
    stripped: bool,
) -> String {
    if variable {
        return format!("`{name}` is a variable, not a function{}", near_text(near));
    }
    let mut text = if pattern {
        format!("no functions match `{name}`")
    } else if imported {
        format!("`{name}` is only imported here; probe the library that defines it (`ldd` lists them)")
    } else {
        format!("no function `{name}` (not there, or inlined everywhere)")
    };
    if stripped {
        text.push_str(
            "; the file is stripped, only exported names were searched: debug symbols would show the rest",
        );
    }
    text + &near_text(near)
}

fn ifunc_remedy(candidates: &[String]) -> String {
    if candidates.is_empty() {
        "its implementations have no symbols here: install the debug symbols (libc6-dbg for the C library) and probe the one in use".into()
    } else {
        // All of them would fill the screen, and a wildcard takes them all.
        const SHOWN: usize = 6;
        let shown = candidates.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = candidates.len().saturating_sub(SHOWN);
        let more =
            if more == 0 { String::new() } else { format!(" and {more} more (a wildcard takes them all)") };
        format!("probe its implementations instead: {shown}{more}")
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}
