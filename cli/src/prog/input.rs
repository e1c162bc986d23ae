//! Where a verb's programs come from: object files, assembly files, loaded programs, text, bytes in hexadecimal.

use super::load::prog_type;
use super::object::read as read_file;
use crate::objects::select::{self, Which};
use crate::objects::{Words, words::usage};
use anyhow::{Context, Result, anyhow, bail};
use asm::{AsmMapKind, AsmOptions, Assembly, Helper, Insn, LineRecord, SourceLine};
use bpf_sys::map::{Map, MapFlags, MapType};
use bpf_sys::prog::ProgType;
use btf::{Btf, Kind};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use loader::{FuncSpec, MapKind, MapSpec, Object, ProgramSpec, Reloc, RelocKind};
use std::io::Read;
use std::path::{Path, PathBuf};

/// How programs are named, for the help of verbs that take them.
pub const INPUT: &str = "PROG is an object file, an assembly file, a file of raw instructions, `-` (any of these on \
                         standard input), or a loaded program: `id N`, `tag TAG`, `name NAME`, `pinned FILE`. \
                         Instead of it: -e TEXT or --hex FILE";

/// Adds what says which programs are meant: the words `PROG...`, `-e`, `--hex`, `--type`, `--program`.
pub fn args(command: Command) -> Command {
    args_with(command, "PROG...", "An object file, an assembly file, `id N`, …")
}

/// As [`args`], for a verb that takes other words behind the programs.
pub fn args_with(command: Command, words: &'static str, help: &'static str) -> Command {
    command
        .arg(super::words(words, help))
        .arg(
            Arg::new("text")
                .short('e')
                .value_name("TEXT")
                .action(ArgAction::Append)
                .allow_hyphen_values(true)
                .help("Assembly text; several are lines of one program"),
        )
        .arg(
            Arg::new("hex")
                .long("hex")
                .value_name("FILE")
                .num_args(0..=1)
                .default_missing_value("-")
                .value_parser(value_parser!(PathBuf))
                .conflicts_with("text")
                .help("Instructions as hexadecimal digits in a file (`-`: standard input), eight bytes each"),
        )
        .arg(
            Arg::new("type")
                .long("type")
                .value_name("TYPE")
                .help("The program's type, by its name or as a section is called [default: socket_filter]"),
        )
        .arg(
            Arg::new("program")
                .long("program")
                .value_name("NAME")
                .help("Only the program of this name, of a file that has several"),
        )
        .after_help(INPUT)
}

/// Programs that belong together, and what they use.
#[derive(Debug)]
pub struct Input {
    /// What it was read from, for messages: a file's path, `id 7`, `-e`.
    pub name: String,
    /// The programs that are meant (one where `--program` was given), with maps. Not relocated.
    pub object: Object,
    /// What an assembly text said; of other inputs `None`.
    pub assembly: Option<Assembly>,
    /// Source lines of each program of the object, by instruction.
    pub lines: Vec<Vec<LineRecord>>,
    /// Whether it comes out of the kernel: instructions as the verifier rewrote them
    /// ([`asm::decode_translated`]).
    pub translated: bool,
    /// The loaded program that it is.
    pub id: Option<u32>,
    /// Names of the kernel's functions, for instructions that come out of it.
    symbols: super::dump::Symbols,
}

impl Input {
    fn new(name: impl Into<String>, object: Object) -> Input {
        let name = name.into();
        Input {
            name,
            object,
            assembly: None,
            lines: Vec::new(),
            translated: false,
            id: None,
            symbols: super::dump::Symbols::default(),
        }
    }

    /// Reads all inputs of a command line that has no words but these.
    pub fn read(m: &ArgMatches) -> Result<Vec<Input>> {
        let mut words = Words::new(m, "words", "PROG...");
        let inputs = Self::read_words(m, &mut words, &[])?;
        words.end()?;
        Ok(inputs)
    }

    /// Reads all inputs of a command line that has no words but these; one that cannot be read keeps none of the others from
    /// being looked at.
    ///
    /// # Errors
    ///
    /// Of the command line as a whole only.
    pub fn read_each(m: &ArgMatches) -> Result<Vec<Result<Input>>> {
        let mut words = Words::new(m, "words", "PROG...");
        let inputs = Self::read_words_each(m, &mut words, &[])?;
        words.end()?;
        Ok(inputs)
    }

    /// Reads the inputs of a command line up to the first word that is one of `keywords`.
    pub fn read_words(m: &ArgMatches, words: &mut Words, keywords: &[&str]) -> Result<Vec<Input>> {
        Self::read_words_each(m, words, keywords)?.into_iter().collect()
    }

    fn read_words_each(m: &ArgMatches, words: &mut Words, keywords: &[&str]) -> Result<Vec<Result<Input>>> {
        let mut inputs = Vec::new();
        if let Some(texts) = m.get_many::<String>("text") {
            let text = texts.map(String::as_str).collect::<Vec<_>>().join("\n");
            inputs.push(Input::of_text("-e", "prog", &text));
        }
        if let Some(path) = m.get_one::<PathBuf>("hex") {
            inputs.push(Input::of_hex(path));
        }
        while let Some(word) = words.peek() {
            let word = word.to_string_lossy().into_owned();
            if keywords.contains(&word.as_str()) {
                break;
            }
            // Whole keywords only: everything else is the name of a file.
            if matches!(word.as_str(), "id" | "tag" | "name" | "pinned") {
                let which = Which::prog(words)?;
                match select::progs(&which) {
                    Ok(progs) => inputs.extend(progs.iter().map(Input::of_loaded)),
                    Err(error) => inputs.push(Err(error)),
                }
            } else {
                let path = words.path("a file")?;
                inputs.push(Input::of_file(&path));
            }
        }
        if inputs.is_empty() {
            return usage("which program? Give an object or assembly file, `id N`, -e TEXT or --hex FILE");
        }
        for input in &mut inputs {
            let chosen = input.as_mut().map_or(Ok(()), |input| input.choose(m));
            match chosen {
                Err(error) if error.is::<crate::objects::Usage>() => return Err(error),
                Err(error) => *input = Err(error),
                Ok(()) => {}
            }
        }
        Ok(inputs)
    }

    /// Reads the one input of a command line, with one program in it.
    pub fn read_one(m: &ArgMatches) -> Result<Input> {
        let mut inputs = Self::read(m)?.into_iter();
        let (Some(input), None) = (inputs.next(), inputs.next()) else {
            return usage("one program at a time, please");
        };
        input.program()?;
        Ok(input)
    }

    /// Names for what instructions call.
    pub fn names(&self) -> &dyn asm::Names {
        &self.symbols
    }

    /// The only program.
    pub fn program(&self) -> Result<&ProgramSpec> {
        match self.object.programs.as_slice() {
            [program] => Ok(program),
            [] => bail!("{}: there is no program in it", self.name),
            all => {
                let names: Vec<&str> = all.iter().map(|program| program.name.as_str()).collect();
                usage(format!(
                    "{} has {} programs; choose one with --program: {}",
                    self.name,
                    all.len(),
                    names.join(", ")
                ))
            }
        }
    }

    /// The source line of an instruction of the program with this index.
    pub fn source_of(&self, program: usize, insn: usize) -> Option<&SourceLine> {
        let lines = self.lines.get(program)?;
        let next = lines.partition_point(|record| record.insn <= insn);
        Some(&lines.get(next.checked_sub(1)?)?.source)
    }

    /// Applies `--program` and `--type`.
    fn choose(&mut self, m: &ArgMatches) -> Result<()> {
        if let Some(name) = m.get_one::<String>("program") {
            let found = self.object.programs.iter().position(|program| program.name == *name);
            let Some(found) = found else {
                let names: Vec<&str> = self.object.programs.iter().map(|p| p.name.as_str()).collect();
                bail!("{}: there is no program `{name}`; there are {}", self.name, names.join(", "));
            };
            // Slots of program arrays hold indexes of programs; a map of them is only of use with all.
            for map in &mut self.object.maps {
                map.slots.retain(|slot| !matches!(slot.target, loader::SlotTarget::Program(n) if n != found));
                for slot in &mut map.slots {
                    if let loader::SlotTarget::Program(n) = &mut slot.target {
                        *n = 0;
                    }
                }
            }
            self.object.programs = vec![self.object.programs.swap_remove(found)];
            self.lines = std::mem::take(&mut self.lines).into_iter().skip(found).take(1).collect();
        }
        if let Some(text) = m.get_one::<String>("type") {
            for program in &mut self.object.programs {
                set_type(program, text)?;
            }
        }
        Ok(())
    }

    /// A file of hexadecimal digits.
    fn of_hex(path: &Path) -> Result<Input> {
        let bytes = read(path)?;
        let name = if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() };
        Ok(Input::of_words(&name, hex_words(&bytes).with_context(|| name.clone())?))
    }

    fn of_file(path: &Path) -> Result<Input> {
        let bytes = read(path)?;
        let name = if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() };
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = file.split('.').next().filter(|stem| !stem.is_empty() && *stem != "-").unwrap_or("prog");
        if bytes.starts_with(b"\x7fELF") {
            let object = Object::parse(stem, &bytes).with_context(|| name.clone())?;
            return Ok(Input::of_object(&name, object));
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) if !text.contains('\0') => Input::of_text(&name, stem, text),
            _ if bytes.len() % 8 == 0 => Ok(Input::of_words(
                &name,
                bytes.as_chunks().0.iter().copied().map(Insn::from_bytes).collect(),
            )),
            _ => bail!(
                "{name}: this is no object file, no text, and with {} bytes no whole instructions of 8 bytes",
                bytes.len()
            ),
        }
    }

    /// An object file.
    pub fn of_object(name: &str, object: Object) -> Input {
        let lines = object_lines(&object);
        Input { lines, ..Input::new(name, object) }
    }

    /// An assembly text.
    pub fn of_text(name: &str, stem: &str, text: &str) -> Result<Input> {
        let assembly = assemble(name, text)?;
        let object = object_of(&assembly, stem).with_context(|| name.to_owned())?;
        let lines = vec![assembly.program.lines.clone()];
        Ok(Input { lines, assembly: Some(assembly), ..Input::new(name, object) })
    }

    fn of_words(name: &str, words: Vec<Insn>) -> Input {
        let mut object = Object::new("prog");
        object.programs.push(ProgramSpec::new("prog", ProgType::SocketFilter, words));
        Input { lines: vec![Vec::new()], ..Input::new(name, object) }
    }

    /// A loaded program with its maps, as the kernel shows them.
    fn of_loaded(prog: &bpf_sys::prog::Prog) -> Result<Input> {
        let info = prog.info()?;
        if info.xlated.is_empty() {
            bail!(
                "the kernel does not show the instructions of program {}: that needs CAP_SYS_ADMIN, and \
                 kernel.kptr_restrict below 2",
                info.id
            );
        }
        let mut object = Object::new(info.name.clone());
        let mut ids = Vec::new();
        for id in &info.map_ids {
            let map = Map::from_id(*id)?.info()?;
            let mut spec = MapSpec::new(
                if map.name.is_empty() { format!("map{id}") } else { map.name },
                map.map_type,
                map.key_size,
                map.value_size,
                map.max_entries,
            );
            spec.flags = map.flags;
            spec.map_extra = map.map_extra;
            object.maps.push(spec);
            ids.push(*id);
        }
        let mut insns: Vec<Insn> = info.xlated.iter().map(|word| Insn::from_u64(*word)).collect();
        let symbols = super::dump::Symbols::read(std::slice::from_ref(&info));
        let mut relocs = Vec::new();
        let mut at = 0;
        while let Some(rest) = insns.get(at..).filter(|rest| !rest.is_empty()) {
            let (instruction, slots) = match asm::decode_translated(rest) {
                Ok((instruction, slots)) => (Some(instruction), slots),
                Err(_) => (None, 1),
            };
            match instruction {
                Some(asm::Instruction::LdImm64 { value: asm::Imm64::MapFd(id), .. }) => {
                    relocs.extend(map_at(&ids, id).map(|map| Reloc { insn: at, kind: RelocKind::Map(map) }));
                }
                Some(asm::Instruction::LdImm64 { value: asm::Imm64::MapValue { fd, offset }, .. }) => {
                    let kind = |map| RelocKind::MapValue { map, offset };
                    relocs.extend(map_at(&ids, fd).map(|map| Reloc { insn: at, kind: kind(map) }));
                }
                Some(asm::Instruction::Call(asm::CallTarget::Helper(helper))) => {
                    // The address of a helper back to its number, where the symbol has the helper's name.
                    if let Some(helper) = symbols.call(helper.0 as i32).and_then(Helper::by_name)
                        && let Some(word) = insns.get_mut(at)
                    {
                        word.imm = helper.0 as i32;
                    }
                }
                _ => {}
            }
            at += slots;
        }
        let name = if info.name.is_empty() { "prog".to_owned() } else { info.name.clone() };
        let mut program = ProgramSpec::new(name, info.prog_type, insns);
        program.relocs = relocs;
        object.license = if info.gpl_compatible { "GPL".to_owned() } else { String::new() };
        object.programs.push(program);
        let lines = vec![super::dump::program_lines(&info)];
        let input = Input::new(format!("id {}", info.id), object);
        Ok(Input { lines, translated: true, id: Some(info.id), symbols, ..input })
    }
}

fn map_at(ids: &[u32], id: i32) -> Option<usize> {
    ids.iter().position(|known| *known as i32 == id)
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Reads a file, or standard input for `-`.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    if !is_stdin(path) {
        return read_file(path);
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
    Ok(bytes)
}

/// Assembles; the error shows each mistake under its line.
pub fn assemble(name: &str, text: &str) -> Result<Assembly> {
    let mut options = AsmOptions::default();
    options.file = if name == "-e" { String::new() } else { name.to_owned() };
    asm::assemble_with(text, &options).map_err(|errors| {
        let count = match errors.len() {
            1 => "one mistake".to_owned(),
            n => format!("{n} mistakes"),
        };
        anyhow!("{count} in the assembly text\n{}", errors.report(name).trim_end())
    })
}

/// Instructions of hexadecimal digits.
pub fn hex_words(bytes: &[u8]) -> Result<Vec<Insn>> {
    let mut digits = Vec::with_capacity(bytes.len());
    let mut line = 1;
    for byte in bytes {
        match char::from(*byte).to_digit(16) {
            Some(digit) => digits.push(digit as u8),
            None if *byte == b'\n' => line += 1,
            None if byte.is_ascii_whitespace() => {}
            None => bail!("line {line}: `{}` is no hexadecimal digit", byte.escape_ascii()),
        }
    }
    let (words, rest) = digits.as_chunks::<16>();
    if !rest.is_empty() {
        bail!("{} hexadecimal digits are no whole instructions; each has 8 bytes, 16 digits", digits.len());
    }
    let word = |digits: &[u8; 16]| {
        let mut bytes = [0; 8];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
            *byte = pair[0] * 16 + pair[1];
        }
        Insn::from_bytes_le(bytes)
    };
    Ok(words.iter().map(word).collect())
}

/// Gives a program a type: by the type's name, or all that a section of the name says.
fn set_type(program: &mut ProgramSpec, text: &str) -> Result<()> {
    if ProgType::from_name(text).is_none()
        && let Some(spec) = ProgramSpec::in_section("", text, asm::Program::default())
    {
        program.section = spec.section;
        program.prog_type = spec.prog_type;
        program.expected_attach_type = spec.expected_attach_type;
        program.attach_type_optional = spec.attach_type_optional;
        program.flags = spec.flags;
        program.attach = spec.attach;
        return Ok(());
    }
    let (kind, attach_type) = prog_type(text)?;
    program.prog_type = kind;
    program.expected_attach_type = attach_type;
    Ok(())
}

/// An object of what an assembly text says.
pub fn object_of(assembly: &Assembly, stem: &str) -> Result<Object> {
    if assembly.program.insns.is_empty() {
        bail!("there are no instructions in the text");
    }
    let mut object = Object::new(stem);
    if let Some(license) = &assembly.license {
        object.license = license.clone();
    }
    for map in &assembly.maps {
        object.maps.push(map_spec(map, &assembly.maps, 0)?);
    }
    let first = assembly.funcs.first().filter(|func| func.insn == 0);
    let name = first.map_or(stem, |func| func.name.as_str());
    let mut program = ProgramSpec::from_program(name, ProgType::SocketFilter, assembly.program.clone());
    if let Some(text) = assembly.section.as_ref().or(assembly.prog_type.as_ref()) {
        // What a text says is no matter of the command line.
        set_type(&mut program, text).map_err(|e| anyhow!("{e}"))?;
    }
    if first.is_none() {
        program.funcs.push(func_spec(name, 0));
    }
    program.funcs.extend(assembly.funcs.iter().map(|func| func_spec(&func.name, func.insn)));
    kfunc_ids(assembly, &mut program)?;
    object.programs.push(program);
    Ok(object)
}

fn func_spec(name: &str, insn: usize) -> FuncSpec {
    FuncSpec { name: name.to_owned(), insn, type_id: None }
}

/// Fills in the ids of kernel functions that are called by name, from the running kernel's types.
fn kfunc_ids(assembly: &Assembly, program: &mut ProgramSpec) -> Result<()> {
    if assembly.kfuncs.is_empty() {
        return Ok(());
    }
    let path = Path::new("/sys/kernel/btf/vmlinux");
    let bytes = read_file(path).context("the ids of kernel functions are in the kernel's types")?;
    let btf = Btf::parse(&bytes).with_context(|| path.display().to_string())?;
    for call in &assembly.kfuncs {
        let Some(id) = btf.find(&call.name, Kind::Func) else {
            bail!("this kernel has no function `{}` in {}", call.name, path.display());
        };
        if let Some(word) = program.insns.get_mut(call.insn) {
            word.imm = id.0 as i32;
        }
    }
    Ok(())
}

fn map_spec(map: &asm::AsmMap, all: &[asm::AsmMap], depth: u32) -> Result<MapSpec> {
    let data = |kind, bytes: &Option<Vec<u8>>| {
        let bytes = bytes.clone().unwrap_or_else(|| vec![0; map.value_size as usize]);
        Ok(MapSpec::new_data(map.name.clone(), kind, bytes))
    };
    match map.kind {
        AsmMapKind::Map => {}
        AsmMapKind::Data => return data(MapKind::Data, &map.data),
        AsmMapKind::Rodata => return data(MapKind::Rodata, &map.data),
        AsmMapKind::Bss => return data(MapKind::Bss, &map.data),
    }
    let Some(map_type) = MapType::from_name(&map.map_type) else {
        let names: Vec<String> = MapType::ALL.iter().map(MapType::to_string).collect();
        bail!(
            "map `{}`: there is no type of maps `{}`; there are {}",
            map.name,
            map.map_type,
            names.join(", ")
        );
    };
    let mut spec = MapSpec::new(map.name.clone(), map_type, map.key_size, map.value_size, map.max_entries);
    spec.flags = MapFlags::from_bits_retain(map.flags);
    spec.map_extra = map.extra;
    if let Some(inner) = map.inner.and_then(|inner| all.get(inner)) {
        // The kernel allows one level of maps in maps; a map in itself would never end.
        if depth > 0 {
            bail!("map `{}`: what is in a map of maps cannot be one itself", map.name);
        }
        spec.inner = Some(Box::new(map_spec(inner, all, depth + 1)?));
    }
    Ok(spec)
}

/// The source lines of an object's programs, as far as its types have them.
fn object_lines(object: &Object) -> Vec<Vec<LineRecord>> {
    let btf = object.btf.as_deref().and_then(|bytes| Btf::parse(bytes).ok());
    let string = |offset| btf.as_ref().and_then(|btf| btf.string(offset)).unwrap_or_default().to_string();
    let lines = |program: &ProgramSpec| {
        let record = |line: &loader::LineSpec| LineRecord {
            insn: line.insn,
            source: SourceLine {
                file: string(line.file_name_off),
                line: line.line_col >> 10,
                column: line.line_col & 0x3ff,
                text: string(line.line_off),
            },
        };
        program.lines.iter().map(record).collect()
    };
    object.programs.iter().map(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_objects() {
        let text = ".map m type=hash key=4 value=8 entries=2\n.rodata t = \"hi\"\n.section \"kprobe/vfs_read\"\n\
                    .func f\nr1 = map[m]\nr2 = &t+1\nr0 = 0\nexit";
        let input = Input::of_text("-e", "prog", text).unwrap();
        let program = input.program().unwrap();
        assert_eq!((program.name.as_str(), program.prog_type), ("f", ProgType::Kprobe));
        assert_eq!(program.relocs[0].kind, RelocKind::Map(0));
        assert_eq!(program.relocs[1].kind, RelocKind::MapValue { map: 1, offset: 1 });
        assert_eq!(input.object.maps[1].data.as_deref(), Some(&b"hi"[..]));
        assert_eq!(input.source_of(0, 4).map(|line| line.text.as_str()), Some("r0 = 0"));
    }

    #[test]
    fn wrong_texts_say_where() {
        let error = |text| format!("{:#}", Input::of_text("-e", "prog", text).unwrap_err());
        assert!(error("r0 = 0\nexti").contains("-e:2:1: no instruction `exti`; did you mean `exit`?"));
        assert!(error(".map m type=hsh key=4 value=8 entries=2\nexit").contains("no type of maps `hsh`"));
        assert!(error(".type nothing\nexit").contains("no type of programs `nothing`"));
        let itself = ".map m type=hash_of_maps key=4 value=4 entries=2 inner=m\nexit";
        assert!(error(itself).contains("cannot be one itself"));
    }

    #[test]
    fn digits_become_words() {
        let words = hex_words(b"b7 00 00 00\n2a000000\t9500000000000000").unwrap();
        let text: Vec<String> = asm::disassemble(&words).map(|(_, text)| text).collect();
        assert_eq!(text, ["r0 = 42", "exit"]);
        assert!(hex_words(b"b7 0").unwrap_err().to_string().contains("3 hexadecimal digits"));
        assert!(hex_words(b"b7\nx").unwrap_err().to_string().contains("line 2: `x`"));
    }
}
