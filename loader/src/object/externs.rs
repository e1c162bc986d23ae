//! What the object leaves to others: kernel configuration, kernel variables, kernel functions.

use super::elf::Elf;
use super::types::{Types, Var};
use crate::spec::{Extern, ExternKind, MapKind, MapSpec, Variable};
use crate::{Error, Result};
use btf::{Linkage, TypeId};
use std::collections::HashMap;

/// The section of kernel configuration.
const KCONFIG: &str = ".kconfig";
/// The section of kernel symbols.
const KSYMS: &str = ".ksyms";

/// All externs, and how to find them.
#[derive(Debug, Default)]
pub struct Externs {
    /// Kernel configuration first, by where it lies in its map; then symbols.
    pub list: Vec<Extern>,
    /// Index in the list by index of the symbol.
    by_symbol: HashMap<usize, usize>,
    /// Bytes of the `.kconfig` map.
    kconfig_size: u32,
}

fn bad(name: &str, what: impl Into<String>) -> Error {
    Error::Extern { name: name.to_owned(), what: what.into() }
}

impl Externs {
    /// Collects the symbols that the file does not define.
    pub fn collect(elf: &Elf<'_>, types: Option<&mut Types<'_>>) -> Result<Externs> {
        let mut undefined =
            elf.symbols.iter().enumerate().filter(|(_, s)| s.is_extern() && !s.name.is_empty());
        let Some(types) = types else {
            return match undefined.next() {
                None => Ok(Externs::default()),
                Some((_, symbol)) => {
                    let what =
                        "nothing defines it, and there is no BTF that says what it is; compile with `-g`";
                    Err(bad(symbol.name, what))
                }
            };
        };
        let mut places = HashMap::new();
        for datasec in &types.datasecs {
            for var in &datasec.vars {
                places.entry(var.id).or_insert((datasec.name, *var));
            }
        }
        let mut found = Vec::new();
        for (index, symbol) in undefined {
            let entry = Extern {
                name: symbol.name.to_owned(),
                weak: symbol.bind == object::elf::STB_WEAK,
                kind: kind(types, &places, symbol.name)?,
                resolution: None,
            };
            found.push((index, entry));
        }
        found.sort_by(|(_, a), (_, b)| order(types, a).cmp(&order(types, b)));
        let mut externs = Externs::default();
        for (index, mut entry) in found {
            if let ExternKind::Kconfig { type_id, offset, size } = &mut entry.kind {
                let align = types.btf.align_of(*type_id).unwrap_or(1).max(1);
                let end = externs.kconfig_size.checked_next_multiple_of(align).and_then(|start| {
                    *offset = start;
                    start.checked_add(*size)
                });
                externs.kconfig_size = end.filter(|end| *end <= MAX_VALUES).ok_or_else(|| {
                    bad(&entry.name, format!("the configuration values take more than {MAX_VALUES} bytes"))
                })?;
            }
            externs.by_symbol.insert(index, externs.list.len());
            externs.list.push(entry);
        }
        externs.lay_out(types);
        Ok(externs)
    }

    /// Index of the extern that a symbol stands for.
    pub fn by_symbol(&self, symbol: usize) -> Option<usize> {
        self.by_symbol.get(&symbol).copied()
    }

    /// The map of configuration values, if there are some.
    pub fn map(&self, types: Option<&Types<'_>>, kernel_name: String) -> Option<MapSpec> {
        (self.kconfig_size != 0).then_some(())?;
        let mut map = MapSpec::new_data(KCONFIG, MapKind::Kconfig, vec![0; self.kconfig_size as usize]);
        map.kernel_name = kernel_name;
        map.value_type = types?.datasec(KCONFIG).map(|datasec| datasec.id);
        map.variables = self
            .list
            .iter()
            .filter_map(|entry| match entry.kind {
                ExternKind::Kconfig { type_id, offset, size } => {
                    Some(Variable { name: entry.name.clone(), offset, size, type_id: Some(type_id) })
                }
                _ => None,
            })
            .collect();
        Some(map)
    }

    /// The kernel takes no extern variables: configuration gets its place in the map, symbols a place of four bytes.
    fn lay_out(&self, types: &mut Types<'_>) {
        let offsets: HashMap<&str, u32> = self
            .list
            .iter()
            .filter_map(|entry| match entry.kind {
                ExternKind::Kconfig { offset, .. } => Some((entry.name.as_str(), offset)),
                _ => None,
            })
            .collect();
        for datasec in &mut types.datasecs {
            if datasec.name != KCONFIG {
                continue;
            }
            datasec.size = self.kconfig_size;
            datasec.changed = true;
            for var in &mut datasec.vars {
                var.offset = offsets.get(var.name).copied().unwrap_or(var.offset);
                var.linkage = Linkage::Global;
                types.linkages.push((var.id, Linkage::Global));
            }
            datasec.vars.sort_by_key(|var| var.offset);
        }
    }
}

/// Configuration by falling alignment, then rising size, then name: so it takes least room, and lies where libbpf puts
/// it. Then symbols by name.
fn order<'e>(types: &Types<'_>, entry: &'e Extern) -> (bool, u32, u32, &'e str) {
    match entry.kind {
        ExternKind::Kconfig { type_id, size, .. } => {
            let align = types.btf.align_of(type_id).unwrap_or(1);
            (false, u32::MAX - align, size, &entry.name)
        }
        _ => (true, 0, 0, &entry.name),
    }
}

fn kind(types: &Types<'_>, places: &HashMap<TypeId, (&str, Var<'_>)>, name: &str) -> Result<ExternKind> {
    let id = types.externs.get(name).copied().ok_or_else(|| {
        let what = "nothing defines it and the types do not declare it; declare it `extern … __ksym` (kernel symbol) \
                    or `extern … __kconfig`, or define it";
        bad(name, what)
    })?;
    match places.get(&id).copied() {
        Some((KCONFIG, var)) => kconfig(types, name, var),
        Some((KSYMS, var)) if var.function => Ok(ExternKind::Kfunc(var.id)),
        Some((KSYMS, var)) => match types.btf.resolve(var.type_id) {
            Some((TypeId(0), _)) => Ok(ExternKind::KsymUntyped),
            Some((type_id, _)) => Ok(ExternKind::KsymTyped(type_id)),
            None => Err(bad(name, format!("its type {} does not exist; compile it again", var.type_id.0))),
        },
        Some((section, _)) => {
            let what = format!("is declared in section `{section}`; only `.ksyms` and `.kconfig` are known");
            Err(bad(name, what))
        }
        None => {
            let what = "nothing defines it; link the object that does (`bpftool gen object`), or declare it `__ksym` \
                        if it is the kernel's";
            Err(bad(name, what))
        }
    }
}

fn kconfig(types: &Types<'_>, name: &str, var: Var<'_>) -> Result<ExternKind> {
    let size = types.btf.size_of(var.type_id).filter(|size| *size != 0);
    let size = size.and_then(|size| u32::try_from(size).ok()).filter(|size| *size <= MAX_VALUE);
    match size {
        Some(size) => Ok(ExternKind::Kconfig { type_id: var.type_id, offset: 0, size }),
        None => Err(bad(name, "its type has no size that a configuration value may have")),
    }
}

/// Longest configuration value in bytes; the kernel's configuration lines end long before.
const MAX_VALUE: u32 = 1 << 16;
/// Most bytes of all configuration values.
const MAX_VALUES: u32 = 1 << 24;
