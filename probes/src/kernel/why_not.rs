//! Why a kernel function cannot be traced: the diagnosis behind an error message.

use std::ops::ControlFlow;
use std::path::Path;

use super::blacklist::Blacklist;
use super::functions::{self, Sections, is_fragment};
use super::suggest::Suggest;
use super::{config, kallsyms, lines, modules};
use crate::error::Error;
use crate::tracefs::Tracefs;

/// Why the kernel refuses to trace a function, as far as its files tell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// There is no function of this name: misspelt, of another kernel version, or inlined into all of its callers.
    Unknown,
    /// It is in a module that is installed and not loaded.
    ModuleNotLoaded {
        /// The module.
        module: String,
    },
    /// There is a variable of that name.
    Data,
    /// The compiler changed the function and its name; these exist.
    Renamed {
        /// The names that begin with it.
        names: Vec<String>,
    },
    /// It is on the kprobe blacklist.
    Blacklisted,
    /// It is in a section that must not be instrumented.
    Section {
        /// The symbol at the start of the section, like `__noinstr_text_start`.
        start: &'static str,
    },
    /// It is not in `available_filter_functions`: compiled without the call that tracing replaces.
    Notrace,
    /// Several functions have this name.
    Ambiguous {
        /// The address of each.
        addrs: Vec<u64>,
    },
    /// The kernel cannot probe functions at all.
    NoKprobes,
    /// Nothing speaks against it.
    Nothing,
}

/// A [`Reason`] and the names that may have been meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhyNot {
    /// The function.
    pub name: String,
    /// The reason.
    pub reason: Reason,
    /// The nearest names, best first; only where the name itself is the problem.
    pub near: Vec<String>,
}

/// Finds out why `name` cannot be traced. Reads several files of the kernel; for error messages only.
pub fn why_not(name: &str) -> WhyNot {
    let mut suggest = Suggest::new(name);
    let mut sections = Sections::default();
    let (mut places, mut renamed, mut data) = (Vec::new(), Vec::new(), false);
    // A list that cannot be read leaves the reason unknown, which is then the answer.
    let read = kallsyms::scan(|line| {
        sections.see(&line);
        if line.name == name.as_bytes() {
            if line.is_text() {
                places.push(line.addr);
            } else {
                data = true;
            }
        } else if line.is_text() && !line.name.starts_with(b"__pfx_") && !line.name.starts_with(b"__cfi_") {
            if line.name.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b".")) {
                renamed.push(functions::shown(&line));
            }
            if !is_fragment(line.name) {
                suggest.offer(line.name, || functions::shown(&line));
            }
        }
        ControlFlow::Continue(())
    });
    places.sort_unstable();
    places.dedup();
    let reason = if read.is_err() {
        Reason::Nothing
    } else if let Some(&addr) = places.first() {
        if Blacklist::read().contains(name.as_bytes()) {
            Reason::Blacklisted
        } else if let Some(start) = sections.around(addr) {
            Reason::Section { start }
        } else if places.len() > 1 {
            Reason::Ambiguous { addrs: places.clone() }
        } else if config::setting("CONFIG_KPROBES") == config::Setting::No {
            Reason::NoKprobes
        } else if is_available(name) == Some(false) {
            Reason::Notrace
        } else {
            Reason::Nothing
        }
    } else if !renamed.is_empty() {
        renamed.sort_unstable();
        renamed.dedup();
        Reason::Renamed { names: renamed }
    } else if data {
        Reason::Data
    } else if let Some(module) = exporting_module(name) {
        Reason::ModuleNotLoaded { module }
    } else {
        Reason::Unknown
    };
    let near = match reason {
        Reason::Unknown | Reason::Data => suggest.into_names(),
        _ => Vec::new(),
    };
    WhyNot { name: name.to_owned(), reason, near }
}

impl WhyNot {
    /// The reason in words, with what to do about it.
    pub fn explain(&self) -> String {
        match &self.reason {
            Reason::Unknown => {
                "this kernel has no function of that name; it may have another name in this version, \
                                or be inlined into its callers (then trace those)"
                    .into()
            }
            Reason::ModuleNotLoaded { module } => {
                format!(
                    "it belongs to the module {module}, which is not loaded; load it with `modprobe {module}`"
                )
            }
            Reason::Data => "that is a variable, not a function".into(),
            Reason::Renamed { names } => format!(
                "the compiler split or changed it; what is left is {}{}",
                names.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", "),
                if names.iter().all(|n| n.contains(".cold")) {
                    ", its rarely used part; the rest is inlined into its callers (trace those)"
                } else {
                    "; trace that"
                }
            ),
            Reason::Blacklisted => {
                "it is on the kernel's kprobe blacklist, because probes themselves depend on it; \
                                    trace one of its callers"
                    .into()
            }
            Reason::Section { start: "_sinittext" } => {
                "it runs only while the kernel starts, and its memory is free since then".into()
            }
            Reason::Section { start } => {
                let section = start.trim_matches('_').trim_end_matches("_text_start");
                format!("it is {section} code, which must not be instrumented; trace one of its callers")
            }
            Reason::Notrace => {
                "it is compiled as notrace: it is in the kernel and not in available_filter_functions; \
                                trace one of its callers"
                    .into()
            }
            Reason::Ambiguous { addrs } => {
                let list: Vec<String> = addrs.iter().take(5).map(|a| format!("{a:#x}")).collect();
                let first = list.first().cloned().unwrap_or_default();
                format!(
                    "{} functions have that name ({}); give an address, like kprobe:{first}",
                    addrs.len(),
                    list.join(", ")
                )
            }
            Reason::NoKprobes => {
                "the kernel was built without CONFIG_KPROBES; tracepoints (t:CATEGORY:EVENT) and user \
                                  functions still work"
                    .into()
            }
            Reason::Nothing => "the kernel refused it without a reason that its files show".into(),
        }
    }

    /// As the crate's error.
    pub fn into_error(self) -> Error {
        Error::NotTraceable { why: self.explain(), name: self.name, near: self.near }
    }
}

/// The error for a function of a module that is not loaded.
pub(super) fn module_not_loaded(name: &str, module: &str) -> Error {
    let why = match modules::installed(module) {
        Some(_) => format!("the module {module} is not loaded; load it with `modprobe {module}`"),
        None => format!("there is no module {module} in this kernel"),
    };
    let mut suggest = Suggest::new(module);
    for loaded in modules::loaded().unwrap_or_default() {
        suggest.offer(loaded.name.as_bytes(), || format!("{}:{name}", loaded.name));
    }
    Error::NotTraceable { name: format!("{module}:{name}"), why, near: suggest.into_names() }
}

/// Whether `available_filter_functions` has the name; `None` when it cannot be read.
fn is_available(name: &str) -> Option<bool> {
    let path = Tracefs::locate().ok()?.path("available_filter_functions");
    let mut found = false;
    lines::for_each_in(&path, |line| {
        let end = line.iter().position(|&b| b == b' ' || b == b'\t').unwrap_or(line.len());
        found = &line[..end] == name.as_bytes();
        if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .ok()?;
    Some(found)
}

/// The installed module that exports `name`, if it is not loaded.
fn exporting_module(name: &str) -> Option<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let path = Path::new("/lib/modules").join(release.trim()).join("modules.symbols");
    let mut module = None;
    lines::for_each_in(&path, |line| {
        let rest = line.strip_prefix(b"alias symbol:").and_then(|l| l.strip_prefix(name.as_bytes()));
        match rest.and_then(|r| r.strip_prefix(b" ")) {
            Some(found) => {
                module = Some(String::from_utf8_lossy(found.trim_ascii()).into_owned());
                ControlFlow::Break(())
            }
            None => ControlFlow::Continue(()),
        }
    })
    .ok()?;
    module.filter(|module| !modules::is_loaded(module))
}
