//! Event specs: one grammar for the spellings of BCC and bpftrace.
//!
//! | spelling | meaning |
//! | --- | --- |
//! | `vfs_*`, `p:vfs_*`, `p::vfs_*`, `k:…`, `kprobe:…` | entry of kernel functions |
//! | `r:…`, `r::…`, `kr:…`, `kretprobe:…` | return of kernel functions |
//! | `kprobe:MODULE:FUNC`, `k:…` | the same, in a kernel module (`vmlinux` is the kernel itself) |
//! | `NAME:FUNC`, `p:NAME:FUNC`, `r:NAME:FUNC`, `:NAME:FUNC` | a function of library or program `NAME` as in BCC, or of the kernel module `NAME` |
//! | `/PATH:FUNC`, `u:FILE:FUNC`, `uprobe:…`, `ur:…`, `uretprobe:…` | a user function |
//! | `u:FUNC`, `uprobe:FUNC` | the same, in the program of the process that is traced |
//! | `t:CATEGORY:EVENT`, `tracepoint:…`, `t:EVENT` | a tracepoint |
//! | `U:FILE:[PROVIDER:]NAME`, `usdt:…` | a user statically defined tracepoint |
//! | `FUNC+0x10`, `FUNC+16` | an instruction inside a function |
//! | `0xffffffff81000000`, `FILE:0x1234` | an address, or an offset of a symbol table address in a file |
//!
//! A part may be quoted, `uprobe:"a:b":"f"`; a quoted part may hold `:` and `+`, and `\"` and `\\` inside it stand
//! for the second character. Wildcards work in quoted parts as well. With [`Syntax::Regex`] a `:` inside `(…)` and
//! `[…]` belongs to the expression; the expression is the function or event part, while modules and files stay globs.
//!
//! Two spellings mean different things in the two worlds; [`Dialect`] decides.

mod parse;
mod pattern;
mod show;

use std::fmt;
use std::ops::Range;

pub use parse::parse;
pub use pattern::{Pattern, PatternError, Syntax};

/// Whose reading counts where spellings collide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// All spellings: `u:` is a uprobe, `p:` and `r:` are BCC's, and `NAME:FUNC` may be a library or a module.
    #[default]
    Auto,
    /// BCC's reading: `u:LIB:PROBE` is a USDT probe, `NAME:FUNC` always a library or program, and more than three
    /// parts are an error. `r:` is accepted, as `trace` does.
    Bcc,
    /// bpftrace's reading: every spec starts with a provider, `u:` is a uprobe and `U:` a USDT probe.
    Bpftrace,
}

/// One parsed event spec.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventSpec {
    /// What is to be attached to.
    pub kind: EventKind,
    /// The text as it was given.
    pub text: String,
    /// The bytes of `text` that are the spec, without surrounding blanks.
    pub span: Range<usize>,
}

/// What an event spec names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// Kernel functions.
    Kprobe {
        /// At the return instead of the entry.
        ret: bool,
        /// Only in modules that match; `None` for anywhere.
        module: Option<Pattern>,
        /// Which functions.
        func: FuncRef,
        /// Bytes behind the start of the function; only with [`FuncRef::Exact`].
        offset: u64,
    },
    /// User functions.
    Uprobe {
        /// At the return instead of the entry.
        ret: bool,
        /// Which file.
        binary: BinaryRef,
        /// Which functions.
        func: FuncRef,
        /// Bytes behind the start of the function; only with [`FuncRef::Exact`].
        offset: u64,
    },
    /// `NAME:FUNC`: a library or program as BCC reads it, or a kernel module. Both readings are kept, because which
    /// one holds depends on the system; see [`EventKind::user_reading`] and [`EventKind::kernel_reading`]. Where
    /// both exist the library wins, as in BCC; `k:NAME:FUNC` asks for the module.
    Scoped {
        /// At the return instead of the entry.
        ret: bool,
        /// The name read as a library or program.
        binary: BinaryRef,
        /// The name read as a kernel module.
        module: Pattern,
        /// Which functions.
        func: FuncRef,
        /// Bytes behind the start of the function; only with [`FuncRef::Exact`].
        offset: u64,
    },
    /// Kernel tracepoints.
    Tracepoint {
        /// The category, like `sched`.
        category: Pattern,
        /// The event, like `sched_switch`.
        event: Pattern,
    },
    /// User statically defined tracepoints.
    Usdt {
        /// Which file.
        binary: BinaryRef,
        /// The provider; `None` for any.
        provider: Option<Pattern>,
        /// The probe's name.
        probe: Pattern,
    },
}

/// Which functions of a file or of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FuncRef {
    /// The one function of that name.
    Exact(String),
    /// All functions whose name matches.
    Pattern(Pattern),
    /// The instruction at that address: a kernel address, or an address of the file's symbol table.
    Addr(u64),
}

/// Which file a user event is in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BinaryRef {
    /// A path; it holds a `/`.
    Path(String),
    /// A library or program by its name: `c`, `libc`, `libssl.so.3`, `bash`.
    Name(String),
    /// All files that match, by path if the pattern holds a `/` and by name otherwise.
    Pattern(Pattern),
    /// The executable of the process that is traced (`-p`).
    Process,
}

impl EventKind {
    /// The reading as a user function, where there is one.
    pub fn user_reading(&self) -> Option<EventKind> {
        match self {
            EventKind::Scoped { ret, binary, func, offset, .. } => Some(EventKind::Uprobe {
                ret: *ret,
                binary: binary.clone(),
                func: func.clone(),
                offset: *offset,
            }),
            EventKind::Uprobe { .. } => Some(self.clone()),
            _ => None,
        }
    }

    /// The reading as a kernel function, where there is one.
    pub fn kernel_reading(&self) -> Option<EventKind> {
        match self {
            EventKind::Scoped { ret, module, func, offset, .. } => Some(EventKind::Kprobe {
                ret: *ret,
                module: Some(module.clone()),
                func: func.clone(),
                offset: *offset,
            }),
            EventKind::Kprobe { .. } => Some(self.clone()),
            _ => None,
        }
    }
}

impl FuncRef {
    /// Whether a function of this name is meant. Never true for an address.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            FuncRef::Exact(text) => text == name,
            FuncRef::Pattern(pattern) => pattern.matches(name),
            FuncRef::Addr(_) => false,
        }
    }
}

/// An event spec that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    /// The whole text that was parsed.
    pub text: String,
    /// Which bytes of it are meant.
    pub span: Range<usize>,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub remedy: String,
}

impl SpecError {
    /// The text with a line below it that marks the bytes that are meant:
    ///
    /// ```text
    /// p:c:read[
    ///         ^
    /// ```
    pub fn excerpt(&self) -> String {
        let before = self.text.get(..self.span.start).map_or(0, |s| s.chars().count());
        let marked = self.text.get(self.span.clone()).map_or(1, |s| s.chars().count().max(1));
        let line: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("{line}\n{}{}", " ".repeat(before), "^".repeat(marked))
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.problem)?;
        // BCC's one-line messages quote the pattern themselves.
        if !self.problem.ends_with(&self.text) || self.text.is_empty() {
            write!(f, " in `{}` at byte {}", self.text, self.span.start)?;
        }
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

impl std::error::Error for SpecError {}

#[cfg(test)]
mod tests;
