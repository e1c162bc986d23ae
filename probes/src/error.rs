//! The crate's one error type.

use std::io;
use std::path::PathBuf;

use crate::spec::SpecError;

/// What can go wrong when events are found, attached or read. Every variant says where and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An event spec that does not follow the grammar; carries the position.
    #[error(transparent)]
    Spec(#[from] SpecError),

    /// Something about a binary, library or process of user space.
    #[error(transparent)]
    User(#[from] crate::user::UserError),

    /// A file of the system could not be read or written.
    #[error("cannot {action} {}: {source}{}", path.display(), hint(source))]
    Io {
        /// What was tried: `read`, `write to`, ...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },

    /// There is no tracefs and it could not be mounted.
    #[error("no tracefs: {reason}; {remedy}")]
    NoTracefs {
        /// Where it was looked for and why mounting failed.
        reason: String,
        /// The command that makes it available.
        remedy: String,
    },

    /// No event matches a pattern.
    #[error("no {what} matches `{pattern}`{}", near_or_list(what, near))]
    NoMatch {
        /// What was searched: `kernel function`, `tracepoint`, ...
        what: &'static str,
        /// The pattern as written.
        pattern: String,
        /// The nearest names, best first.
        near: Vec<String>,
    },

    /// A kernel function that exists in some form but cannot be probed.
    #[error("cannot trace `{name}`: {why}{}", did_you_mean(near))]
    NotTraceable {
        /// The function.
        name: String,
        /// The reason, with what to do about it.
        why: String,
        /// The nearest traceable names, best first.
        near: Vec<String>,
    },

    /// Several kernel functions share a name, and the kernel would not know which one is meant.
    #[error("`{name}` is ambiguous: {} functions have this name ({}); give an address instead of the name, like kprobe:{}", addrs.len(), hex_list(addrs), addrs.first().map_or_else(String::new, |a| format!("{a:#x}")))]
    Ambiguous {
        /// The name.
        name: String,
        /// The address of each.
        addrs: Vec<u64>,
    },

    /// The kernel lacks something that this needs.
    #[error("{what} is not available on this kernel: {why}; {remedy}")]
    Unavailable {
        /// The feature.
        what: String,
        /// Why, with the configuration option where it is known.
        why: String,
        /// What still works or what to change.
        remedy: String,
    },

    /// A file of the system does not have the form that its documentation promises.
    #[error("{} is malformed at {at}: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where in it: a line or an offset.
        at: String,
        /// What was expected.
        why: String,
    },

    /// A filter names something that does not exist.
    #[error("{what}; {remedy}")]
    BadFilter {
        /// What does not exist.
        what: String,
        /// What to write instead.
        remedy: String,
    },

    /// There is no such attach mode.
    #[error("there is no attach mode `{text}`; the modes are {modes}")]
    BadMode {
        /// The text.
        text: String,
        /// All names.
        modes: String,
    },

    /// A system call that belongs to no single target failed.
    #[error(transparent)]
    Sys(#[from] bpf_sys::Error),

    /// A generated program could not be assembled.
    #[error(
        "cannot assemble the program `{name}`: {source}; this is a bug, please report it with the command line"
    )]
    Build {
        /// The program.
        name: &'static str,
        /// The assembler's reason.
        source: asm::BuildError,
    },

    /// A loaded object's program could not be attached; nothing remains attached.
    #[error("cannot attach program `{program}` (section `{section}`): {source}")]
    Program {
        /// The program.
        program: String,
        /// The section that it comes from.
        section: String,
        /// Why, with what to do about it.
        source: Box<Error>,
    },

    /// What the loader says about a program or map.
    #[error(transparent)]
    Loader(#[from] loader::Error),

    /// A target could not be attached; nothing remains attached.
    #[error("cannot attach to {target} ({mode}): {reason}")]
    Attach {
        /// The target, or how many of them.
        target: String,
        /// The mechanism that was tried.
        mode: &'static str,
        /// The kernel's answer, with what it wrote to its log, and what to do next.
        reason: String,
    },
}

/// The crate's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Error {
        Error::Io { action, path: path.into(), source }
    }
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => {
            " (run as root, or grant CAP_BPF, CAP_PERFMON and read access to it)"
        }
        _ => "",
    }
}

fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) }
}

/// Where no name is near, the way to see them all.
fn near_or_list(what: &str, near: &[String]) -> String {
    match (near, what) {
        ([], "tracepoint") => "; `tracewell list 't:*:*'` lists them all".into(),
        ([], _) => "; `tracewell list 'k:*'` lists them all".into(),
        (near, _) => did_you_mean(near),
    }
}

fn hex_list(addrs: &[u64]) -> String {
    let shown: Vec<String> = addrs.iter().take(8).map(|a| format!("{a:#x}")).collect();
    let more = if addrs.len() > shown.len() { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}
