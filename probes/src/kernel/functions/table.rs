//! A compact table of functions: names in one arena, 4 bytes an entry, 8 more with addresses.

use std::collections::HashSet;
use std::ops::ControlFlow;

use crate::error::Result;
use crate::kernel::kallsyms;

/// Where the functions of a table come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The name or address as the user gave it; only attaching tells whether it can be traced.
    AsGiven,
    /// `available_filter_functions`: what the kernel itself calls traceable.
    AvailableFilterFunctions,
    /// `/proc/kallsyms`, because the list above is missing or unreadable; a few functions may turn out to be
    /// untraceable.
    Kallsyms {
        /// Whether BTF could confirm which symbols are functions.
        btf: bool,
    },
}

/// Kernel functions, in the order of their source (for the most part by address).
#[derive(Clone, Debug)]
pub struct FunctionTable {
    names: String,
    /// Where each name ends.
    ends: Vec<u32>,
    /// Empty, or one a function.
    addrs: Vec<u64>,
    /// From which index on functions are in which module.
    runs: Vec<(u32, u16)>,
    /// Numbered from 1 in `runs`; 0 is the kernel itself.
    modules: Vec<String>,
    source: Source,
    skipped: usize,
}

impl FunctionTable {
    pub(super) fn single(name: &str, addr: Option<u64>, module: Option<&str>) -> FunctionTable {
        FunctionTable {
            ends: vec![u32::try_from(name.len()).unwrap_or(u32::MAX)],
            names: name.to_owned(),
            addrs: addr.into_iter().collect(),
            runs: if module.is_some() { vec![(0, 1)] } else { Vec::new() },
            modules: module.map(str::to_owned).into_iter().collect(),
            source: Source::AsGiven,
            skipped: 0,
        }
    }

    /// How many functions there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The name of function `index`; empty when there is no such index.
    pub fn name(&self, index: usize) -> &str {
        let Some(&end) = self.ends.get(index) else { return "" };
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.names.get(start as usize..end as usize).unwrap_or("")
    }

    /// The entry address of function `index`, if addresses were asked for.
    pub fn addr(&self, index: usize) -> Option<u64> {
        self.addrs.get(index).copied()
    }

    /// All entry addresses; empty if they were not asked for.
    pub fn addrs(&self) -> &[u64] {
        &self.addrs
    }

    /// The module of function `index`; `None` for the kernel itself.
    pub fn module(&self, index: usize) -> Option<&str> {
        let run = self.runs.partition_point(|(start, _)| *start as usize <= index).checked_sub(1)?;
        let id = self.runs.get(run)?.1.checked_sub(1)?;
        self.modules.get(usize::from(id)).map(String::as_str)
    }

    /// All names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|index| self.name(index))
    }

    /// Where the functions come from.
    pub fn source(&self) -> Source {
        self.source
    }

    /// How many functions matched and were left out because their address is not known for certain.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// The same functions with their entry addresses, in one pass over `/proc/kallsyms`: what [`super::find`] does
    /// when it is asked for addresses at once, for callers that decide only when they know how many there are.
    ///
    /// Functions whose address is not certain are left out and counted in [`FunctionTable::skipped`].
    ///
    /// Errors: the file cannot be read, or the kernel hides all addresses.
    pub fn with_addresses(&self) -> Result<FunctionTable> {
        if !self.addrs.is_empty() || self.is_empty() {
            return Ok(self.clone());
        }
        let mut builder = Builder::default();
        builder.address(self, |each| kallsyms::scan(each))?;
        builder.check_addresses()?;
        Ok(builder.finish(self.source))
    }

    /// Splits off the functions that share their name with another one of the table: those that have a name of their
    /// own, then those that do not.
    pub(crate) fn split_by_name(&self, duplicates: &[usize]) -> (FunctionTable, FunctionTable) {
        let shared: HashSet<&str> = duplicates.iter().map(|&at| self.name(at)).collect();
        let mut parts = (Builder::default(), Builder::default());
        for (at, name) in self.iter().enumerate() {
            let part = if shared.contains(name) { &mut parts.1 } else { &mut parts.0 };
            part.push(name.as_bytes(), self.module(at).map(str::as_bytes), self.addr(at));
        }
        (parts.0.finish(self.source), parts.1.finish(self.source))
    }

    /// The entry address of each function, 0 where it is not certain, in one pass over `/proc/kallsyms`.
    pub(crate) fn entries(&self) -> Result<Vec<u64>> {
        Builder::entries(self, |each| kallsyms::scan(each))
    }

    /// The indexes of functions whose name an earlier one has already. By name the kernel cannot tell these from
    /// the earlier ones; attach by address, or leave them out.
    pub fn duplicates(&self) -> Vec<usize> {
        let mut index = NameIndex::new(self.len());
        (0..self.len())
            .filter(|&at| {
                index.insert(at, |other| self.name(other) == self.name(at), self.name(at)).is_some()
            })
            .collect()
    }

    /// Bytes of memory that the table takes.
    pub fn size(&self) -> usize {
        self.names.capacity()
            + self.ends.capacity() * 4
            + self.addrs.capacity() * 8
            + self.runs.capacity() * 8
    }
}

/// Builds a table in one pass.
#[derive(Default)]
pub(super) struct Builder {
    names: String,
    ends: Vec<u32>,
    addrs: Vec<u64>,
    runs: Vec<(u32, u16)>,
    modules: Vec<String>,
    module: Option<u16>,
    skipped: usize,
}

impl Builder {
    /// Adds a function; either all have an address or none. A name that is not UTF-8 is no function's.
    pub(super) fn push(&mut self, name: &[u8], module: Option<&[u8]>, addr: Option<u64>) {
        let Ok(name) = std::str::from_utf8(name) else { return };
        let Ok(end) = u32::try_from(self.names.len() + name.len()) else { return };
        let id = self.module_id(module.map(|m| std::str::from_utf8(m).unwrap_or("?")));
        self.start_run(id);
        self.names.push_str(name);
        self.ends.push(end);
        self.addrs.extend(addr);
    }

    fn start_run(&mut self, id: u16) {
        if self.module.unwrap_or(0) != id {
            self.runs.push((self.ends.len() as u32, id));
        }
        self.module = Some(id);
    }

    fn module_id(&mut self, module: Option<&str>) -> u16 {
        let Some(name) = module else { return 0 };
        if let Some(id @ 1..) = self.module
            && self.modules.get(usize::from(id) - 1).is_some_and(|m| m == name)
        {
            return id;
        }
        let index = self.modules.iter().position(|m| m == name).unwrap_or_else(|| {
            self.modules.push(name.to_owned());
            self.modules.len() - 1
        });
        u16::try_from(index + 1).unwrap_or(0)
    }

    /// Looks up the entry address of every function in one pass over the kernel's symbols.
    ///
    /// Static functions may share a name. Both lists go by address within a module, so where they hold a name
    /// equally often, the first is the first; otherwise it is not certain which is which, and they are left out.
    pub(super) fn add_addresses(&mut self) -> Result<()> {
        self.add_addresses_from(|each| kallsyms::scan(each))?;
        self.check_addresses()
    }

    /// None at all where there should be some: the addresses are hidden; the symbol table knows how to say so.
    fn check_addresses(&self) -> Result<()> {
        if self.ends.is_empty() && self.skipped > 0 {
            kallsyms::Kallsyms::read()?;
        }
        Ok(())
    }

    /// The same with the symbols from `scan`.
    pub(super) fn add_addresses_from(
        &mut self,
        scan: impl FnOnce(&mut dyn FnMut(kallsyms::Line<'_>) -> ControlFlow<()>) -> Result<()>,
    ) -> Result<()> {
        let unaddressed = std::mem::take(self).finish(Source::AvailableFilterFunctions);
        self.address(&unaddressed, scan)
    }

    /// The entry address of each function; 0 where it is not certain.
    fn entries(
        unaddressed: &FunctionTable,
        scan: impl FnOnce(&mut dyn FnMut(kallsyms::Line<'_>) -> ControlFlow<()>) -> Result<()>,
    ) -> Result<Vec<u64>> {
        let count = unaddressed.len();
        let mut index = NameIndex::new(count);
        // Functions of one name are chained, so that one look-up finds all of them.
        let mut next = vec![u32::MAX; count];
        let mut tail = vec![u32::MAX; count];
        for at in 0..count {
            let name = unaddressed.name(at);
            if let Some(first) = index.insert(at, |other| unaddressed.name(other) == name, name) {
                let last = if tail[first] == u32::MAX { first } else { tail[first] as usize };
                next[last] = at as u32;
                tail[first] = at as u32;
            }
        }
        let mut addrs = vec![0u64; count];
        let mut uncertain = vec![false; count];
        scan(&mut |line| {
            let Ok(name) = std::str::from_utf8(line.name) else { return ControlFlow::Continue(()) };
            if !line.is_text() || line.addr == 0 {
                return ControlFlow::Continue(());
            }
            let Some(first) = index.find(|other| unaddressed.name(other) == name, name) else {
                return ControlFlow::Continue(());
            };
            let (mut at, mut full) = (first, false);
            loop {
                if unaddressed.module(at).map(str::as_bytes) == line.module {
                    if addrs[at] == 0 {
                        addrs[at] = line.addr;
                        break;
                    }
                    // An alias at the same place takes nothing away.
                    full |= addrs[at] != line.addr;
                }
                match next[at] {
                    // More symbols of this name than traceable functions, in this module.
                    u32::MAX => {
                        uncertain[first] |= full;
                        break;
                    }
                    following => at = following as usize,
                }
            }
            ControlFlow::Continue(())
        })?;
        // One that is uncertain makes all of its name so.
        for (first, _) in uncertain.iter().enumerate().filter(|(_, uncertain)| **uncertain) {
            let mut at = first;
            while let Some(&following) = next.get(at) {
                addrs[at] = 0;
                at = following as usize;
            }
        }
        Ok(addrs)
    }

    fn address(
        &mut self,
        unaddressed: &FunctionTable,
        scan: impl FnOnce(&mut dyn FnMut(kallsyms::Line<'_>) -> ControlFlow<()>) -> Result<()>,
    ) -> Result<()> {
        let addrs = Builder::entries(unaddressed, scan)?;
        let mut skipped = 0;
        for (at, addr) in addrs.iter().enumerate() {
            if *addr == 0 {
                skipped += 1;
            } else {
                self.push(
                    unaddressed.name(at).as_bytes(),
                    unaddressed.module(at).map(str::as_bytes),
                    Some(*addr),
                );
            }
        }
        self.skipped = skipped;
        Ok(())
    }

    pub(super) fn finish(mut self, source: Source) -> FunctionTable {
        self.names.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.addrs.shrink_to_fit();
        FunctionTable {
            names: self.names,
            ends: self.ends,
            addrs: self.addrs,
            runs: self.runs,
            modules: self.modules,
            source,
            skipped: self.skipped,
        }
    }
}

/// A hash table of indexes into a table of names: 4 to 8 bytes a name, no copies.
struct NameIndex {
    slots: Vec<u32>,
}

impl NameIndex {
    fn new(count: usize) -> NameIndex {
        NameIndex { slots: vec![u32::MAX; (count * 3 / 2 + 1).next_power_of_two()] }
    }

    /// The slot that holds an equal name, or the free one where it belongs.
    fn slot(&self, equal: impl Fn(usize) -> bool, name: &str) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = hash(name.as_bytes()) as usize & mask;
        while self.slots[at] != u32::MAX && !equal(self.slots[at] as usize) {
            at = (at + 1) & mask;
        }
        at
    }

    fn find(&self, equal: impl Fn(usize) -> bool, name: &str) -> Option<usize> {
        let found = self.slots[self.slot(equal, name)];
        (found != u32::MAX).then_some(found as usize)
    }

    /// Adds an index unless its name is there; then returns the index that has it.
    fn insert(&mut self, index: usize, equal: impl Fn(usize) -> bool, name: &str) -> Option<usize> {
        let slot = self.slot(equal, name);
        if self.slots[slot] != u32::MAX {
            return Some(self.slots[slot] as usize);
        }
        self.slots[slot] = index as u32;
        None
    }
}

/// FNV-1a, folded: names are short and differ in their last bytes.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    hash ^ (hash >> 32)
}
