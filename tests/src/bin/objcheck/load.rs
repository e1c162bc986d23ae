//! Our side: each line is what `check.c` prints for the same fact.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use bpf_sys::map::MapType;
use loader::{Collection, Error, LoadOptions, LoadedProgram, Loader, MapSpec, Object, Target};

/// Bytes of a 64-bit load of an immediate, the first one of its instruction.
const LD_IMM64: u8 = 0x18;
/// Its source register when the immediate is a map, when it is a map's value.
const MAP_SOURCES: [u8; 2] = [1, 2];

/// Prints what becomes of each object.
pub fn load(objects: &[&str]) -> Result<(), String> {
    let target = Target::running().map_err(|e| e.to_string())?;
    for path in objects {
        let bytes = fs::read(path).map_err(|e| format!("{path}: {e}"))?;
        let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
        println!("object {name}");
        let stem = name.split('.').next().unwrap_or_default();
        match Object::parse(stem, &bytes) {
            Ok(mut object) => {
                fill_sizes(&mut object);
                print!("{}", one_object(&target, &object));
            }
            Err(error) => println!("  open failed errno={}\n  # {}", errno(&error), first_line(&error)),
        }
    }
    Ok(())
}

/// Sizes that tools set from their options; the same ones as on the other side.
fn fill_sizes(object: &mut Object) {
    for map in &mut object.maps {
        let sized_by_others = [
            MapType::PerfEventArray,
            MapType::SkStorage,
            MapType::InodeStorage,
            MapType::TaskStorage,
            MapType::CgrpStorage,
            MapType::StructOps,
        ];
        if map.max_entries == 0 && !sized_by_others.contains(&map.map_type) {
            map.max_entries = 64;
        }
        if map.value_size == 0 && map.map_type == MapType::StackTrace {
            map.value_size = 127 * 8;
        }
    }
}

fn one_object(target: &Target<'_>, object: &Object) -> String {
    let mut text = String::new();
    match Loader::new(target, LoadOptions::default()).load(object) {
        Ok(collection) => {
            text += "  whole ok\n";
            for (index, map) in collection.object().maps.iter().enumerate() {
                let _ = writeln!(text, "  map {} {}", map_name(map), map_facts(&collection, index));
            }
            for program in collection.programs() {
                let facts = program_facts(&collection, program);
                let _ = writeln!(text, "  loaded {} {facts}", program.spec.name);
            }
        }
        Err(error) => {
            let _ = writeln!(text, "  whole failed errno={}\n  # {}", errno(&error), first_line(&error));
        }
    }
    for index in 0..object.programs.len() {
        let mut alone = object.clone();
        for (other, program) in alone.programs.iter_mut().enumerate() {
            program.autoload = other == index;
        }
        let program = &object.programs[index];
        let _ =
            write!(text, "  program {} section={} ", program.name, program.section.trim_start_matches('?'));
        match Loader::new(target, LoadOptions::default()).load(&alone) {
            Ok(collection) => match collection.program(&program.name) {
                Some(loaded) => {
                    let _ = writeln!(text, "ok {}", program_facts(&collection, loaded));
                }
                None => text += "not loaded\n",
            },
            Err(error) => {
                let _ = writeln!(text, "failed errno={}\n  # {}", errno(&error), first_line(&error));
            }
        }
    }
    text
}

/// The name by which libbpf knows the map: of the four usual data sections it has the object's name before it.
fn map_name(map: &MapSpec) -> &str {
    let usual = [".data", ".rodata", ".bss", ".kconfig"].contains(&map.name.as_str());
    if usual { &map.kernel_name } else { &map.name }
}

fn map_facts(collection: &Collection, index: usize) -> String {
    let Some(map) = collection.maps().iter().find(|map| map.index == index) else { return "none".to_owned() };
    match map.map.info() {
        Ok(info) => format!(
            "kernel_name={} type={} key={} value={} max={} flags={} extra={} btf={}{} vmlinux_value={}",
            info.name,
            info.map_type.raw(),
            info.key_size,
            info.value_size,
            info.max_entries,
            c_hex(info.flags.bits().into()),
            c_hex(info.map_extra),
            u8::from(info.btf_key_type_id != 0),
            u8::from(info.btf_value_type_id != 0),
            u8::from(info.btf_vmlinux_value_type_id != 0),
        ),
        Err(error) => format!("no info: {error}"),
    }
}

/// As C's `%#x` prints it: a zero has no prefix.
fn c_hex(number: u64) -> String {
    if number == 0 { "0".to_owned() } else { format!("{number:#x}") }
}

fn program_facts(collection: &Collection, program: &LoadedProgram) -> String {
    let info = match program.prog.info() {
        Ok(info) => info,
        Err(error) => return format!("no info: {error}"),
    };
    let names: HashMap<u32, &str> = collection
        .maps()
        .iter()
        .filter_map(|map| Some((map.map.info().ok()?.id, map_name(&map.spec))))
        .collect();
    let records = |bytes: &[u8], size: u32| bytes.len() / (size.max(1) as usize);
    let mut text = format!(
        "kernel_name={} type={} gpl={} attach={} func_info={} line_info={} insns={} xlated=",
        info.name,
        info.prog_type.raw(),
        u8::from(info.gpl_compatible),
        info.attach_btf_id,
        records(&info.func_info, info.func_info_rec_size),
        records(&info.line_info, info.line_info_rec_size),
        info.xlated.len(),
    );
    for (index, word) in info.xlated.iter().enumerate() {
        let mut bytes = word.to_ne_bytes();
        let mut map = None;
        if bytes[0] == LD_IMM64 && MAP_SOURCES.contains(&(bytes[1] >> 4)) {
            let id = u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            map = Some(names.get(&id).copied().unwrap_or("?"));
            bytes[4..].fill(0);
        }
        if index > 0 {
            text.push(',');
        }
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
        if let Some(map) = map {
            let _ = write!(text, "[{map}]");
        }
    }
    text
}

/// The kernel's answer, or 0 when it was not asked.
fn errno(error: &Error) -> i32 {
    match error {
        Error::Verifier(error) => error.errno.raw(),
        Error::Sys { source, .. } => source.errno().map_or(0, bpf_sys::Errno::raw),
        _ => 0,
    }
}

fn first_line(error: &Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
