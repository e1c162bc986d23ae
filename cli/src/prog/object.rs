//! An object file as the options want it: parsed, with variables set and maps resized.

use crate::objects::words::usage;
use anyhow::{Context, Result, anyhow, bail};
use btf::{Btf, TypeId};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use loader::{Object, Target};
use std::path::{Path, PathBuf};

/// Adds the options that say how an object is loaded.
pub fn options(command: Command) -> Command {
    let many = |name: &'static str, value, help| {
        Arg::new(name).long(name).value_name(value).action(ArgAction::Append).help(help)
    };
    let path = |name: &'static str, value, help| {
        Arg::new(name).long(name).value_name(value).value_parser(value_parser!(PathBuf)).help(help)
    };
    command
        .arg(many(
            "set",
            "VAR=VALUE",
            "Set a global variable (const volatile ones too) to a C value before loading",
        ))
        .arg(many("map-max", "MAP=N", "Give a map room for N elements"))
        .arg(path("btf", "FILE", "Relocate against the types in this file instead of the running kernel's"))
        .arg(path("pin-dir", "DIR", "Where maps that are shared by name are pinned [default: /sys/fs/bpf]"))
        .arg(
            Arg::new("verbose")
                .short('v')
                .long("verbose")
                .action(ArgAction::SetTrue)
                .help("Print the verifier's whole log"),
        )
}

/// `NAME=VALUE`
fn pair<'t>(option: &str, text: &'t str) -> Result<(&'t str, &'t str)> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim(), value.trim())),
        _ => usage(format!("--{option} `{text}`: a name, `=` and a value are expected")),
    }
}

/// The pairs of an option.
pub fn pairs<'m>(m: &'m ArgMatches, option: &str) -> Result<Vec<(&'m str, &'m str)>> {
    m.get_many::<String>(option).into_iter().flatten().map(|text| pair(option, text)).collect()
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| anyhow!("cannot read {}: {e}", path.display()))
}

/// Parses an object file and changes it as the options say.
pub fn open(path: &Path, m: &ArgMatches) -> Result<Object> {
    let bytes = read(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // What libbpf takes for the name: `x.bpf.o` is `x`.
    let stem = name.strip_suffix(".o").unwrap_or(&name);
    let stem = stem.strip_suffix(".bpf").unwrap_or(stem);
    let mut object = Object::parse(stem, &bytes).with_context(|| path.display().to_string())?;
    for (variable, value) in pairs(m, "set")? {
        object.set_text(variable, value).context("--set")?;
    }
    for (map, max) in pairs(m, "map-max")? {
        let Ok(max) = max.parse() else {
            return usage(format!("--map-max {map}={max}: `{max}` is not a number of elements"));
        };
        let names: Vec<String> = object.maps.iter().map(|map| map.name.clone()).collect();
        match object.maps.iter_mut().find(|spec| spec.name == map) {
            Some(spec) => spec.max_entries = max,
            None => bail!("--map-max: the object has no map `{map}`; it has {}", names.join(", ")),
        }
    }
    Ok(object)
}

/// Calls `f` with what the object is relocated against.
pub fn with_target<T>(m: &ArgMatches, f: impl FnOnce(&Target<'_>) -> Result<T>) -> Result<T> {
    match m.get_one::<PathBuf>("btf") {
        None => f(&Target::running()?),
        Some(path) => {
            // A file of BTF, an archive of BTFHub or a vmlinux.
            let bytes =
                loader::target::btfhub(&read(path)?).with_context(|| format!("--btf {}", path.display()))?;
            let btf = Btf::parse(&bytes).with_context(|| format!("--btf {}", path.display()))?;
            f(&Target::with_btf(&btf))
        }
    }
}

/// The name of a type, with its keyword.
pub fn type_name(btf: &Btf<'_>, id: TypeId) -> String {
    let Some(ty) = btf.type_by_id(id) else { return format!("type {}", id.0) };
    let keyword = match ty.kind() {
        btf::Kind::Struct => "struct ",
        btf::Kind::Union => "union ",
        _ => "",
    };
    if !ty.name().is_empty() {
        return format!("{keyword}{}", ty.name());
    }
    // A struct without a name of its own goes by its typedef's.
    let named = btf.types().find(|(_, ty)| ty.kind() == btf::Kind::Typedef && ty.type_id() == Some(id));
    named.map_or_else(|| format!("{keyword}(type {})", id.0), |(_, ty)| ty.name().to_string())
}

/// The type of this name: `struct event`, `union u`, `event`.
pub fn find_type(btf: &Btf<'_>, name: &str) -> Option<TypeId> {
    let plain = name.strip_prefix("struct ").or_else(|| name.strip_prefix("union ")).unwrap_or(name).trim();
    btf.find_composite(plain).or_else(|| btf.find_where(plain, |_, ty| btf_has_value(ty.kind())))
}

fn btf_has_value(kind: btf::Kind) -> bool {
    use btf::Kind::{Enum, Enum64, Float, Int, Typedef};
    matches!(kind, Int | Enum | Enum64 | Float | Typedef)
}
