//! `tracewell prog disasm`.

use super::input::{self, Input};
use crate::objects::{Options, Words, out};
use ::asm::{AsmFunc, AsmMap, AsmMapKind, Assembly, KfuncCall, Listing, MapRef, MapUse, Program, Syntax};
use anyhow::Result;
use clap::{Arg, ArgMatches, Command};
use loader::{MapKind, MapSpec, Object, ProgramSpec, RelocKind};
use std::collections::BTreeMap;
use std::io::Write;

/// Opcode of calls.
const CALL: u8 = 0x85;

const GRAMMAR: &str = "disasm PROG... [opcodes] [linum]";

/// The definition of the verb.
pub fn command() -> Command {
    let about = "Print programs as a text that `prog asm` takes";
    input::args_with(
        Command::new("disasm").about(about),
        "PROG... [opcodes] [linum]",
        "An object file, an assembly file, `id N`, …; `opcodes` adds the bytes, `linum` source lines",
    )
    .arg(
        Arg::new("syntax")
            .long("syntax")
            .value_name("SYNTAX")
            .value_parser(["kernel", "mnemonic"])
            .default_value("kernel")
            .help("The language: the verifier log's, or mnemonics of RFC 9669"),
    )
}

/// Runs the verb.
pub fn main(m: &ArgMatches, options: Options) -> Result<u8> {
    let mut words = Words::new(m, "words", GRAMMAR);
    let inputs = Input::read_words(m, &mut words, &["opcodes", "linum"])?;
    let (mut opcodes, mut linum) = (false, false);
    while !words.is_empty() {
        match () {
            () if words.keyword("opcodes") => opcodes = true,
            () if words.keyword("linum") => linum = true,
            () => return words.unexpected("`opcodes` or `linum`"),
        }
    }
    let mnemonic = m.get_one::<String>("syntax").is_some_and(|syntax| syntax == "mnemonic");
    let several = inputs.len() > 1 || inputs.iter().any(|input| input.object.programs.len() > 1);
    let mut out = out();
    let mut first = true;
    for input in &inputs {
        for (n, program) in input.object.programs.iter().enumerate() {
            let assembly = assembly_of(input, n, program);
            if several {
                let blank = if first { "" } else { "\n" };
                writeln!(out, "{blank}// {}: {}", input.name, program.name)?;
                first = false;
            }
            for (insn, name) in externs(&input.object, program) {
                writeln!(out, "// instruction {insn} loads the address of {name}")?;
            }
            let mut listing = Listing::new(&assembly);
            listing.syntax = if mnemonic { Syntax::Mnemonic } else { Syntax::Kernel };
            listing.opcodes = opcodes;
            // Lines of an assembly text are the instructions themselves.
            listing.exact_lines = linum;
            listing.comments = input.assembly.is_none();
            listing.translated = input.translated;
            listing.names = input.names();
            write!(out, "{listing}")?;
        }
    }
    let _ = options;
    out.flush()?;
    Ok(0)
}

/// What of other programs and the kernel has no place in a text.
fn externs<'a>(object: &'a Object, program: &'a ProgramSpec) -> impl Iterator<Item = (usize, &'a str)> {
    program.relocs.iter().filter_map(|reloc| {
        let RelocKind::Extern(n) = reloc.kind else { return None };
        let found = object.externs.get(n)?;
        let word = program.insns.get(reloc.insn)?;
        (word.opcode != CALL).then_some((reloc.insn, found.name.as_str()))
    })
}

/// A program of an object as what an assembly text would say.
fn assembly_of(input: &Input, n: usize, program: &ProgramSpec) -> Assembly {
    if let Some(assembly) = &input.assembly {
        return assembly.clone();
    }
    let object = &input.object;
    let mut insns = program.insns.clone();
    let used = |reloc: &loader::Reloc| match reloc.kind {
        RelocKind::Map(map) => Some((map, None)),
        RelocKind::MapValue { map, offset } => Some((map, Some(offset))),
        _ => None,
    };
    // Only the maps that this program uses, and what those are made of.
    let mut places: BTreeMap<usize, u32> =
        program.relocs.iter().filter_map(used).map(|(map, _)| (map, 0)).collect();
    for (n, place) in places.values_mut().enumerate() {
        *place = u32::try_from(n).unwrap_or(u32::MAX);
    }
    let mut maps: Vec<AsmMap> = places.keys().filter_map(|map| object.maps.get(*map)).map(asm_map).collect();
    for (place, map) in places.keys().enumerate() {
        let Some(inner) = object.maps.get(*map).and_then(|map| map.inner.as_deref()) else { continue };
        let mut inner = asm_map(inner);
        inner.name = format!("{}.inner", maps.get(place).map_or("", |map| map.name.as_str()));
        let last = maps.len();
        if let Some(outer) = maps.get_mut(place) {
            outer.inner = Some(last);
        }
        maps.push(inner);
    }
    let (mut map_refs, mut kfuncs) = (Vec::new(), Vec::new());
    for reloc in &program.relocs {
        if let Some((map, offset)) = used(reloc) {
            let Some(place) = places.get(&map).copied() else { continue };
            if let Some(word) = insns.get_mut(reloc.insn) {
                let kind = if offset.is_some() { 2 } else { 1 };
                *word = asm::Insn::new(word.opcode, word.dst().number(), kind, 0, place as i32);
            }
            if let Some(second) = insns.get_mut(reloc.insn + 1) {
                second.imm = offset.unwrap_or(0) as i32;
            }
            map_refs.push(MapUse { insn: reloc.insn, map: MapRef(place) });
        } else if let RelocKind::Extern(n) = reloc.kind
            && let Some(found) = object.externs.get(n)
        {
            // The address of one can be asked for as well.
            if let Some(word) = insns.get_mut(reloc.insn).filter(|word| word.opcode == CALL) {
                *word = asm::Insn::new(CALL, 0, 2, 0, 0);
                kfuncs.push(KfuncCall { insn: reloc.insn, name: found.name.clone() });
            }
        }
    }
    let lines = input.lines.get(n).cloned().unwrap_or_default();
    let funcs: Vec<AsmFunc> = match program.funcs.is_empty() {
        true => vec![AsmFunc { name: program.name.clone(), insn: 0 }],
        false => program.funcs.iter().map(|f| AsmFunc { name: f.name.clone(), insn: f.insn }).collect(),
    };
    let mut assembly = Assembly::new(Program { insns, map_refs, lines }, maps, funcs);
    assembly.kfuncs = kfuncs;
    match program.section.is_empty() {
        true => assembly.prog_type = Some(program.prog_type.to_string()),
        false => assembly.section = Some(program.section.clone()),
    }
    assembly.license = Some(object.license.clone()).filter(|license| !license.is_empty());
    assembly
}

fn asm_map(map: &MapSpec) -> AsmMap {
    let kind = match map.kind {
        MapKind::Data => AsmMapKind::Data,
        MapKind::Rodata | MapKind::Kconfig => AsmMapKind::Rodata,
        MapKind::Bss => AsmMapKind::Bss,
        _ => AsmMapKind::Map,
    };
    let mut out = AsmMap { name: map.name.clone(), kind, ..AsmMap::default() };
    if out.kind == AsmMapKind::Map {
        out.extra = map.map_extra;
        out.flags = map.flags.bits();
    } else {
        out.data = map.data.clone();
    }
    out.map_type = map.map_type.to_string();
    (out.key_size, out.value_size, out.max_entries) = (map.key_size, map.value_size, map.max_entries);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Every program of every object of the tests, as a text in both languages, is the same program again.
    #[test]
    fn objects_survive_their_listings() {
        let dir = std::env::var_os("TRACEWELL_OBJECTS");
        let dir =
            dir.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/bpf/obj"), Into::into);
        let mut programs = 0;
        for entry in std::fs::read_dir(&dir).expect("objects") {
            let path = entry.expect("an entry").path();
            let bytes = std::fs::read(&path).expect("a file");
            // Some are made to be refused.
            let Ok(object) = Object::parse("test", &bytes) else { continue };
            let input = Input::of_object(&path.display().to_string(), object);
            for (n, program) in input.object.programs.iter().enumerate() {
                let assembly = assembly_of(&input, n, program);
                for syntax in [Syntax::Kernel, Syntax::Mnemonic] {
                    let mut listing = Listing::new(&assembly);
                    (listing.syntax, listing.exact_lines) = (syntax, true);
                    let text = listing.to_string();
                    let place = || format!("{}: {}", path.display(), program.name);
                    let again =
                        ::asm::assemble(&text).unwrap_or_else(|e| panic!("{}\n{}", place(), e.report("")));
                    assert_eq!(again.program.insns, assembly.program.insns, "{}", place());
                    assert_eq!(again, assembly, "{}", place());
                }
                programs += 1;
            }
        }
        eprintln!("{programs} programs");
        assert!(programs > 100, "{programs}");
    }
}
