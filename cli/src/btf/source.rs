//! Where types come from.

use crate::objects::Words;
use crate::objects::select::{self, Which};
use crate::objects::words::usage;
use anyhow::{Context, Result, bail};
use bpf_sys::btf_obj::{BtfFile, BtfObj};
use btf::{Btf, TypeId};
use clap::ArgMatches;
use std::path::{Path, PathBuf};

/// The running kernel's types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// `SOURCE` on a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, with BTF or with a section of it.
    File(PathBuf),
    /// A BTF object in the kernel.
    Id(u32),
    /// That of a program.
    Prog(Which),
    /// That of a map.
    Map(Which),
}

impl Source {
    /// Reads a source.
    pub fn parse(words: &mut Words) -> Result<Source> {
        Ok(if words.keyword("file") {
            Source::File(words.path("a file")?)
        } else if words.keyword("id") {
            Source::Id(words.number("an id")?)
        } else if words.keyword("prog") {
            Source::Prog(Which::prog(words)?)
        } else if words.keyword("map") {
            Source::Map(Which::map(words)?)
        } else {
            return words.unexpected("`file`, `id`, `prog` or `map`");
        })
    }

    /// The kernel's types, unless there is more on the line.
    pub fn parse_or_kernel(words: &mut Words) -> Result<Source> {
        if words.is_empty() { Ok(Source::File(VMLINUX.into())) } else { Source::parse(words) }
    }
}

/// The key and value types of the map that a source names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapTypes {
    /// 0 where the map does not tell.
    pub key: TypeId,
    /// 0 where the map does not tell.
    pub value: TypeId,
}

enum Bytes {
    File(BtfFile),
    Own(Vec<u8>),
}

impl Bytes {
    fn get(&self) -> &[u8] {
        match self {
            Bytes::File(file) => file,
            Bytes::Own(bytes) => bytes,
        }
    }
}

/// The bytes of a source, and of what it goes on from.
pub struct Opened {
    bytes: Bytes,
    base: Option<(Bytes, String)>,
    /// What it is, for errors.
    name: String,
    /// The map's types, where a map was named.
    pub map: Option<MapTypes>,
}

impl Opened {
    /// Reads a source; `--base-btf` is taken from the options.
    pub fn open(source: &Source, m: &ArgMatches) -> Result<Opened> {
        let base = m.get_one::<PathBuf>("base-btf");
        let base = base.map(|path| anyhow::Ok((read(path)?, path.display().to_string()))).transpose()?;
        let mut opened = match source {
            Source::File(path) => {
                let name = path.display().to_string();
                Opened { bytes: read(path)?, base: None, name, map: None }
            }
            Source::Id(id) => by_id(*id)?,
            Source::Prog(which) => {
                let prog = select::progs(which)?.into_iter().next().context("nothing was found")?;
                match prog.summary()?.btf_id {
                    0 => bail!("program {which} was loaded without BTF: it has no types to show"),
                    id => by_id(id)?,
                }
            }
            Source::Map(which) => {
                let info = select::map(which)?.info()?;
                let types = MapTypes {
                    key: TypeId(info.btf_key_type_id),
                    value: TypeId(match info.btf_vmlinux_value_type_id {
                        0 => info.btf_value_type_id,
                        id => id,
                    }),
                };
                let opened = match (info.btf_id, info.btf_vmlinux_value_type_id) {
                    (0, 0) => bail!("map {which} was created without BTF: it has no types to show"),
                    // A struct_ops map has the kernel's types.
                    (_, 1..) => match info.btf_vmlinux_id {
                        0 => vmlinux()?,
                        id => by_id(id)?,
                    },
                    (id, 0) => by_id(id)?,
                };
                Opened { map: Some(types), ..opened }
            }
        };
        if base.is_some() {
            opened.base = base;
        } else if let Source::File(path) = source
            && opened.base.is_none()
            && of_module(path)
        {
            opened.base = Some((Bytes::File(BtfFile::open(VMLINUX)?), VMLINUX.into()));
        }
        Ok(opened)
    }

    /// Opens the types and hands them on: they borrow from this and from one another.
    pub fn with<T>(&self, use_it: impl FnOnce(&Btf<'_>) -> Result<T>) -> Result<T> {
        let Some((base, base_name)) = &self.base else {
            let bytes = section(self.bytes.get(), &self.name)?;
            let btf = Btf::parse(bytes).with_context(|| match is_split(bytes) {
                true => format!("{}: this goes on from other types: name them with --base-btf", self.name),
                false => self.name.clone(),
            })?;
            return use_it(&btf);
        };
        let base = Btf::parse(section(base.get(), base_name)?).with_context(|| base_name.clone())?;
        let bytes = section(self.bytes.get(), &self.name)?;
        let btf = Btf::parse_split(bytes, &base).with_context(|| format!("{} on {base_name}", self.name))?;
        use_it(&btf)
    }
}

fn read(path: &Path) -> Result<Bytes> {
    Ok(Bytes::File(BtfFile::open(path)?))
}

fn vmlinux() -> Result<Opened> {
    Ok(Opened { bytes: read(VMLINUX.as_ref())?, base: None, name: VMLINUX.into(), map: None })
}

fn by_id(id: u32) -> Result<Opened> {
    let object = BtfObj::from_id(id)?;
    let info = object.info()?;
    if info.kernel_btf && info.name == "vmlinux" && Path::new(VMLINUX).exists() {
        return Ok(Opened { name: format!("BTF {id}"), ..vmlinux()? });
    }
    let base = match info.kernel_btf && info.name != "vmlinux" {
        true => Some((read(VMLINUX.as_ref())?, VMLINUX.to_string())),
        false => None,
    };
    Ok(Opened { bytes: Bytes::Own(object.bytes()?), base, name: format!("BTF {id}"), map: None })
}

/// Whether the kernel shows a module's types there.
fn of_module(path: &Path) -> bool {
    path.starts_with("/sys/kernel/btf") && path.file_name().is_some_and(|name| name != "vmlinux")
}

/// Whether the strings do not begin as those of stand-alone types do.
fn is_split(bytes: &[u8]) -> bool {
    let field = |at: usize| {
        let field: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(if bytes.starts_with(&[0xeb]) { u32::from_be_bytes(field) } else { u32::from_le_bytes(field) })
    };
    let start = field(4).zip(field(16)).and_then(|(header, strings)| header.checked_add(strings));
    start.and_then(|start| bytes.get(start as usize)).is_some_and(|byte| *byte != 0)
}

/// The BTF in these bytes: all of them, or a section of an ELF file.
fn section<'d>(bytes: &'d [u8], name: &str) -> Result<&'d [u8]> {
    if !bytes.starts_with(b"\x7fELF") {
        return Ok(bytes);
    }
    match loader::object::section(bytes, ".BTF") {
        Some(section) => Ok(section),
        None => bail!("{name}: this ELF file has no section .BTF; compile it with -g, or use `pahole -J`"),
    }
}

/// The name of a type on a command line, with its keyword where that is a word of its own: `struct sock`, but also
/// `'struct sock'`.
pub fn type_name(words: &mut Words) -> Result<String> {
    let first = words.text("the name of a type")?;
    let keyword = matches!(
        first.as_str(),
        "struct"
            | "union"
            | "enum"
            | "typedef"
            | "func"
            | "var"
            | "datasec"
            | "enumerator"
            | "int"
            | "float"
            | "decl_tag"
    );
    if !keyword {
        return Ok(first);
    }
    if words.is_empty() {
        return usage(format!("`{first}` is a kind of types: which {first}?"));
    }
    Ok(format!("{first} {}", words.text("the name of a type")?))
}
