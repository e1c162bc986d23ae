//! Finding functions by name, version or pattern.

use std::cmp::Reverse;
use std::ops::ControlFlow;
use std::path::Path;

use super::symbols::{Binding, Versions};
use super::{Elf, TableKind};
use crate::spec::Pattern;
use crate::user::error::{Hex, Result, UserError};
use crate::user::nearest::Nearest;
use crate::user::process::Root;

/// A function of an ELF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFunc {
    /// Its name, without version.
    pub name: Box<str>,
    /// Offset of its first instruction in the file: what a uprobe takes.
    pub file_offset: u64,
    /// Virtual address as linked.
    pub addr: u64,
    /// Length in bytes; 0 where the symbol table does not say.
    pub size: u64,
}

/// What a pattern found in one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FunctionMatches {
    /// The functions, sorted by name; each address and each name once, as BCC does.
    pub functions: Vec<UserFunc>,
    /// Matching names that were left out because they are `STT_GNU_IFUNC` resolvers.
    pub indirect: Vec<Box<str>>,
    /// Matching functions whose address is in no executable segment; left out.
    pub misplaced: usize,
    /// The file has neither `.symtab` nor a debug file: only exported names were searched.
    pub stripped: bool,
}

/// The functions of the file at `path` that match; an exact name gives one function or an error, a
/// pattern at least one.
///
/// A literal may carry a version: `memcpy@GLIBC_2.14`. Without one the default version wins.
///
/// # Errors
/// `NoFunction` with the nearest names, `NoSymbols`, `Ambiguous`, `Ifunc`, and those of [`Elf::open`].
pub fn find_functions(path: impl AsRef<Path>, pattern: &Pattern) -> Result<Vec<UserFunc>> {
    let elf = Elf::open(path)?;
    let inside = elf.path().to_path_buf();
    if let Some(name) = pattern.literal() {
        return Ok(vec![elf.function(name, &Root::ours(), &inside)?]);
    }
    let found = elf.functions(pattern, &Root::ours(), &inside)?;
    if found.functions.is_empty() {
        return Err(elf.no_match(pattern, found));
    }
    Ok(found.functions)
}

/// The file offset of `name + offset`; the offset has to lie within the function.
///
/// # Errors
/// As [`find_functions`], and `OffsetOutside`.
pub fn find_function(path: impl AsRef<Path>, name: &str, offset: u64) -> Result<UserFunc> {
    let elf = Elf::open(path)?;
    let inside = elf.path().to_path_buf();
    let mut func = elf.function(name, &Root::ours(), &inside)?;
    if offset > 0 {
        let size = elf.function_length(&func)?;
        if offset >= size {
            return Err(UserError::OffsetOutside { file: inside, name: name.into(), offset, size });
        }
        func.addr += offset;
        func.file_offset = elf.file_offset(func.addr)?;
    }
    Ok(func)
}

/// The code at a virtual address of the file, named `0x...`; size 0.
///
/// # Errors
/// `NoCode` when no executable segment holds the address, and those of [`Elf::open`].
pub fn function_at(path: impl AsRef<Path>, addr: u64) -> Result<UserFunc> {
    let file_offset = Elf::open(path)?.file_offset(addr)?;
    Ok(UserFunc { name: format!("{addr:#x}").into(), file_offset, addr, size: 0 })
}

/// A name found on the way to a decision. Derived order = preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    DefaultVersion,
    Global,
    OldVersion,
    Local,
}

#[derive(Debug)]
struct Candidate {
    rank: Rank,
    addr: u64,
    size: u64,
    indirect: bool,
    version: Option<Box<str>>,
}

/// What a name is where it is no function of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct OtherUse {
    imported: bool,
    variable: bool,
}

/// `name@VERSION` and `name@@VERSION` taken apart.
fn split_version(name: &str) -> (&str, Option<(&str, bool)>) {
    match name.split_once('@') {
        Some((base, version)) if !base.is_empty() => match version.strip_prefix('@') {
            Some(v) => (base, Some((v, true))),
            None => (base, Some((version, false))),
        },
        _ => (name, None),
    }
}

fn rank(binding: Binding, version: Option<(&str, bool)>) -> Rank {
    match (binding, version) {
        (Binding::Local, _) => Rank::Local,
        (_, Some((_, true))) => Rank::DefaultVersion,
        (_, Some((_, false))) => Rank::OldVersion,
        _ => Rank::Global,
    }
}

/// Called with a function's bare name, its version and whether that is the default, and its symbol.
type EachFunction<'a> =
    dyn FnMut(&str, Option<(&str, bool)>, super::RawSymbol) -> Result<ControlFlow<()>> + 'a;

impl Elf {
    /// The tables to search: the file's own static table or else that of its debug file, and its dynamic one.
    fn each_function(&self, debug: Option<&Elf>, each: &mut EachFunction<'_>) -> Result<()> {
        let versions = self.versions()?;
        let none = Versions::default();
        for (elf, kind) in [(self, TableKind::Dynamic), (debug.unwrap_or(self), TableKind::Static)] {
            let Some(source) = elf.symbol_source(kind)? else { continue };
            let mut names = elf.names(&source);
            let versions = if kind == TableKind::Dynamic { &versions } else { &none };
            let mut stopped = false;
            elf.each_symbol(&source, |index, symbol| {
                if !symbol.is_function() {
                    return Ok(ControlFlow::Continue(()));
                }
                // A name that is no UTF-8 cannot be asked for.
                let Ok(name) = std::str::from_utf8(names.get(elf, symbol.name)?) else {
                    return Ok(ControlFlow::Continue(()));
                };
                let (base, tagged) = split_version(name);
                let flow = each(base, versions.of(index).or(tagged), symbol)?;
                stopped = flow.is_break();
                Ok(flow)
            })?;
            if stopped {
                break;
            }
        }
        Ok(())
    }

    fn static_symbols_elsewhere(&self, root: &Root, inside: &Path) -> Result<Option<Elf>> {
        if self.symbol_source(TableKind::Static)?.is_some() {
            return Ok(None);
        }
        let debug = self.debug_file(root, inside);
        Ok(debug.filter(|d| matches!(d.symbol_source(TableKind::Static), Ok(Some(_)))))
    }

    /// The one function of that name, with an optional `@VERSION`.
    ///
    /// `root` and `inside` say where debug files may lie: see [`Elf::debug_file`].
    ///
    /// # Errors
    /// `NoFunction`, `NoSymbols`, `Ambiguous`, `Ifunc`, `Damaged`, `NoCode`.
    pub fn function(&self, name: &str, root: &Root, inside: &Path) -> Result<UserFunc> {
        let (base, version) = split_version(name);
        let mut found = Vec::new();
        let mut other = OtherUse::default();
        self.candidates(base, &mut found, &mut other)?;
        let mut debug = None;
        if found.is_empty() {
            debug = self.static_symbols_elsewhere(root, inside)?;
            if let Some(debug) = &debug {
                debug.candidates(base, &mut found, &mut other)?;
            }
        }
        if let Some((wanted, _)) = version {
            found.retain(|c| c.version.as_deref() == Some(wanted));
        }
        let Some(best) = found.iter().map(|c| c.rank).min() else {
            return Err(self.nothing(name, base, other, debug.as_ref())?);
        };
        let mut kept: Vec<_> = found.into_iter().filter(|c| c.rank == best).collect();
        kept.sort_by_key(|c| (c.addr, Reverse(c.size)));
        kept.dedup_by_key(|c| c.addr);
        let [one] = kept.as_slice() else {
            let at = |c: &Candidate| match &c.version {
                Some(v) => format!("{base}@{v} at {:#x}", c.addr),
                None => format!("{base} at {:#x}", c.addr),
            };
            return Err(UserError::Ambiguous {
                file: self.path().into(),
                name: name.into(),
                candidates: kept.iter().map(at).collect(),
            });
        };
        if one.indirect {
            let debug = debug.or(self.static_symbols_elsewhere(root, inside)?);
            let candidates = self.implementations(base, debug.as_ref())?;
            return Err(UserError::Ifunc { file: self.path().into(), name: name.into(), candidates });
        }
        Ok(UserFunc {
            name: base.into(),
            file_offset: self.file_offset(one.addr)?,
            addr: one.addr,
            size: one.size,
        })
    }

    /// All definitions of exactly that name in this file's own tables, found without reading other names.
    fn candidates(&self, name: &str, found: &mut Vec<Candidate>, other: &mut OtherUse) -> Result<()> {
        if name.is_empty() {
            return Ok(());
        }
        let versions = self.versions()?;
        for kind in [TableKind::Dynamic, TableKind::Static] {
            let Some(source) = self.symbol_source(kind)? else { continue };
            let plain = self.name_offsets(&source, &[name.as_bytes(), b"\0"].concat())?;
            // The static table may hold `name@VERSION` in place of the bare name.
            let mut tagged: Vec<(u32, Box<str>, bool)> = Vec::new();
            if kind == TableKind::Static {
                let mut names = self.names(&source);
                for offset in self.name_offsets(&source, &[name.as_bytes(), b"@"].concat())? {
                    let text = String::from_utf8_lossy(names.get(self, offset)?);
                    if let (_, Some((version, default))) = split_version(&text) {
                        tagged.push((offset, version.into(), default));
                    }
                }
            }
            self.each_symbol(&source, |index, symbol| {
                let tag = match tagged.binary_search_by_key(&symbol.name, |t| t.0) {
                    Ok(i) => Some((&*tagged[i].1, tagged[i].2)),
                    Err(_) if plain.binary_search(&symbol.name).is_ok() => None,
                    Err(_) => return Ok(ControlFlow::Continue(())),
                };
                if symbol.is_import() {
                    other.imported = true;
                } else if symbol.is_variable() {
                    other.variable = true;
                } else if symbol.is_function() {
                    let version = if kind == TableKind::Dynamic { versions.of(index) } else { tag };
                    found.push(Candidate {
                        rank: rank(symbol.binding(), version),
                        addr: symbol.value,
                        size: symbol.size,
                        indirect: symbol.is_indirect(),
                        version: version.map(|(v, _)| v.into()),
                    });
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(())
    }

    /// All functions that match a pattern. None is no error.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub fn functions(&self, pattern: &Pattern, root: &Root, inside: &Path) -> Result<FunctionMatches> {
        struct Hit {
            func: UserFunc,
            rank: Rank,
            binding: Binding,
        }
        let debug = self.static_symbols_elsewhere(root, inside)?;
        let mut matches =
            FunctionMatches { stripped: !self.has_static(debug.as_ref())?, ..Default::default() };
        let mut hits: Vec<Hit> = Vec::new();
        self.each_function(debug.as_ref(), &mut |name, version, symbol| {
            if !name.is_empty() && pattern.matches(name) {
                if symbol.is_indirect() {
                    matches.indirect.push(name.into());
                } else if let Ok(file_offset) = self.file_offset(symbol.value) {
                    let func =
                        UserFunc { name: name.into(), file_offset, addr: symbol.value, size: symbol.size };
                    hits.push(Hit { func, rank: rank(symbol.binding(), version), binding: symbol.binding() });
                } else {
                    matches.misplaced += 1;
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        // One name an address: the one people type, so `read` rather than `__read`.
        hits.sort_by(|a, b| {
            let key =
                |h: &Hit| (h.func.addr, underscores(&h.func.name), h.rank, h.binding, h.func.name.len());
            key(a).cmp(&key(b)).then_with(|| a.func.name.cmp(&b.func.name))
        });
        hits.dedup_by(|next, kept| next.func.addr == kept.func.addr);
        hits.sort_by(|a, b| {
            a.func.name.cmp(&b.func.name).then((a.rank, a.func.addr).cmp(&(b.rank, b.func.addr)))
        });
        hits.dedup_by(|next, kept| next.func.name == kept.func.name);
        matches.functions = hits.into_iter().map(|h| h.func).collect();
        matches.indirect.sort();
        matches.indirect.dedup();
        Ok(matches)
    }

    fn has_static(&self, debug: Option<&Elf>) -> Result<bool> {
        Ok(debug.is_some() || self.symbol_source(TableKind::Static)?.is_some())
    }

    /// The error for a pattern that found nothing usable in this file.
    pub fn no_match(&self, pattern: &Pattern, found: FunctionMatches) -> UserError {
        if let [first, ..] = found.indirect.as_slice() {
            return UserError::Ifunc {
                file: self.path().into(),
                name: first.to_string(),
                candidates: Vec::new(),
            };
        }
        match self.nothing(pattern.text(), pattern.text(), OtherUse::default(), None) {
            Ok(UserError::NoFunction { file, name, near, .. }) => UserError::NoFunction {
                file,
                name,
                near,
                pattern: true,
                imported: false,
                variable: false,
                stripped: found.stripped,
            },
            Ok(e) | Err(e) => e,
        }
    }

    /// The error for a name that is not there: what is there instead?
    fn nothing(&self, name: &str, base: &str, seen: OtherUse, debug: Option<&Elf>) -> Result<UserError> {
        let mut near = Nearest::new(base);
        let mut versions: Vec<String> = Vec::new();
        let mut any = false;
        self.each_function(debug, &mut |other, version, _| {
            any = true;
            match version {
                Some((v, _)) if other == base => versions.push(format!("{other}@{v}")),
                _ => near.offer(other),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        versions.sort();
        versions.dedup();
        let near = if versions.is_empty() { near.into_names() } else { versions };
        let file = self.path().to_path_buf();
        if !any && seen == OtherUse::default() {
            let build_id = self.build_id().ok().flatten().map_or_else(String::new, |id| Hex(&id).to_string());
            return Ok(UserError::NoSymbols { file, minidebug: self.has_minidebug(), build_id });
        }
        let stripped = !self.has_static(debug)?;
        let OtherUse { imported, variable } = seen;
        Ok(UserError::NoFunction {
            file,
            name: name.into(),
            pattern: false,
            near,
            imported,
            variable,
            stripped,
        })
    }

    /// Functions that look like what an IFUNC chooses from: `__strlen_avx2`, `strlen_sse2` for `strlen`.
    fn implementations(&self, name: &str, debug: Option<&Elf>) -> Result<Vec<String>> {
        let mut found: Vec<String> = Vec::new();
        self.each_function(debug, &mut |other, _, symbol| {
            let tail = other.trim_start_matches('_').strip_prefix(name.trim_start_matches('_'));
            let variant =
                tail.is_some_and(|t| t.starts_with('_') && !t.contains("ifunc") && !t.contains("_chk"));
            if variant && !symbol.is_indirect() && found.len() < 32 {
                found.push(other.to_string());
            }
            Ok(ControlFlow::Continue(()))
        })?;
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// The function's length: its symbol's size, or for a size of 0 the distance to what follows it.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub fn function_length(&self, func: &UserFunc) -> Result<u64> {
        if func.size > 0 {
            return Ok(func.size);
        }
        let mut end = self.code_end(func.addr).unwrap_or(func.addr);
        self.each_function(None, &mut |_, _, symbol| {
            if symbol.value > func.addr {
                end = end.min(symbol.value);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(end - func.addr)
    }
}

fn underscores(name: &str) -> usize {
    name.bytes().take_while(|b| *b == b'_').count()
}
