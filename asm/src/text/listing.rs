//! A program as a text that assembles to it again.

use super::{AsmMap, AsmMapKind, Assembly};
use crate::{
    DisasmOptions, Helper, Imm64, Insn, Instruction, MapUse, Names, NoNames, SourceLine, Syntax, decode,
    decode_translated,
};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::{self, Write};

/// Prints an [`Assembly`] with its directives, and labels for what is jumped to. What it prints assembles to an equal
/// `Assembly`, source lines included when [`exact_lines`](Listing::exact_lines) is set.
///
/// Words that are no instruction become `.raw`. What a text cannot say (uses of maps in instructions that name none,
/// functions and lines that begin within an instruction) is left out.
///
/// ```
/// let text = "r0 = 1\nloop: r0 += 1\nif r0 < 10 goto loop\nexit";
/// let assembly = asm::assemble(text)?;
/// let listing = asm::Listing::new(&assembly).to_string();
/// assert_eq!(listing, "        r0 = 1\nL1:\n        r0 += 1\n        if r0 < 0xa goto L1\n        exit\n");
/// assert_eq!(asm::assemble(&listing)?.program.insns, assembly.program.insns);
/// # Ok::<(), asm::AsmErrors>(())
/// ```
#[derive(Clone, Copy)]
pub struct Listing<'a> {
    assembly: &'a Assembly,
    /// Which language.
    pub syntax: Syntax,
    /// Source lines as `.line` directives.
    pub exact_lines: bool,
    /// Source lines as comments.
    pub comments: bool,
    /// The bytes of each instruction in a comment.
    pub opcodes: bool,
    /// Take what only the kernel makes ([`decode_translated`]).
    pub translated: bool,
    /// Names of helpers and kernel functions.
    pub names: &'a dyn Names,
}

/// Bytes of data in one line.
const DATA_IN_LINE: usize = 4096;

impl<'a> Listing<'a> {
    /// A listing in the kernel's syntax, without source lines.
    pub fn new(assembly: &'a Assembly) -> Listing<'a> {
        Listing {
            assembly,
            syntax: Syntax::Kernel,
            exact_lines: false,
            comments: false,
            opcodes: false,
            translated: false,
            names: &NoNames,
        }
    }
}

/// The names of a listing's places and maps.
struct Places<'a> {
    labels: HashMap<usize, Cow<'a, str>>,
    uses: HashMap<usize, &'a MapUse>,
    maps: &'a [AsmMap],
    names: &'a dyn Names,
}

impl Names for Places<'_> {
    fn helper(&self, helper: Helper) -> Option<Cow<'_, str>> {
        self.names.helper(helper)
    }

    fn kfunc(&self, btf_id: i32, fd_index: i16) -> Option<Cow<'_, str>> {
        self.names.kfunc(btf_id, fd_index)
    }

    fn label(&self, insn: usize) -> Option<Cow<'_, str>> {
        self.labels.get(&insn).map(|name| Cow::Borrowed(name.as_ref()))
    }

    fn imm64_at(&self, insn: usize, value: Imm64) -> Option<Cow<'_, str>> {
        let map = self.uses.get(&insn)?.map.0;
        let name = &self.maps.get(map as usize)?.name;
        match value {
            Imm64::MapFd(fd) if fd == map as i32 => Some(format!("map[{name}]").into()),
            Imm64::MapValue { fd, offset } if fd == map as i32 => {
                Some(format!("map[{name}][0]+{offset}").into())
            }
            _ => None,
        }
    }
}

/// Instruction words from the next one, where a label can stand for them.
fn target(instruction: &Instruction) -> Option<i64> {
    match *instruction {
        Instruction::Jump { off } | Instruction::JumpIf { off, .. } | Instruction::MayGoto { off } => {
            Some(off.into())
        }
        Instruction::JumpLong { off } => Some(off.into()),
        Instruction::Call(crate::CallTarget::Local(off)) => Some(off.into()),
        Instruction::LdImm64 { value: Imm64::Func(off), .. } => Some(off.into()),
        _ => None,
    }
}

impl<'a> Listing<'a> {
    /// The words with the index of each first one.
    fn decoded(&self) -> impl Iterator<Item = (usize, Option<Instruction>, &'a [Insn])> {
        let (insns, translated) = (&self.assembly.program.insns, self.translated);
        // What begins between the two words of an instruction: those can only be two words then.
        let lines = self.assembly.program.lines.iter().filter(|_| self.exact_lines).map(|line| line.insn);
        let begins: HashSet<usize> = self.assembly.funcs.iter().map(|func| func.insn).chain(lines).collect();
        let mut at = 0;
        std::iter::from_fn(move || {
            let rest = insns.get(at..).filter(|rest| !rest.is_empty())?;
            let decoded = if translated { decode_translated(rest) } else { decode(rest) };
            let (instruction, slots) = match decoded {
                Ok((_, 2)) if begins.contains(&(at + 1)) => (None, 1),
                Ok((instruction, slots)) => (Some(instruction), slots),
                Err(_) => (None, 1),
            };
            let item = (at, instruction, rest.get(..slots)?);
            at += slots;
            Some(item)
        })
    }

    fn places(&self) -> Places<'a> {
        let starts: BTreeSet<usize> = self.decoded().map(|(at, ..)| at).collect();
        let mut labels: HashMap<usize, Cow<'a, str>> = HashMap::new();
        for func in self.assembly.funcs.iter().filter(|func| starts.contains(&func.insn)) {
            labels.entry(func.insn).or_insert(Cow::Borrowed(&func.name));
        }
        // No label may have the name of a function or map.
        let assembly = self.assembly;
        let names = || {
            let maps = assembly.maps.iter().map(|map| &map.name);
            let kfuncs = assembly.kfuncs.iter().map(|call| &call.name);
            assembly.funcs.iter().map(|func| &func.name).chain(maps).chain(kfuncs)
        };
        let mut prefix = "L".to_owned();
        while names().any(|name| name.starts_with(&prefix)) {
            prefix.push('_');
        }
        let end = self.assembly.program.insns.len();
        for (at, instruction, _) in self.decoded() {
            let Some(off) = instruction.as_ref().and_then(target) else { continue };
            let Ok(to) = usize::try_from(at as i64 + 1 + off) else { continue };
            if starts.contains(&to) || to == end {
                labels.entry(to).or_insert_with(|| format!("{prefix}{to}").into());
            }
        }
        let uses = self.assembly.program.map_refs.iter().map(|used| (used.insn, used)).collect();
        Places { labels, uses, maps: &self.assembly.maps, names: self.names }
    }

    fn head(&self, out: &mut impl Write) -> fmt::Result {
        let assembly = self.assembly;
        if let Some(section) = &assembly.section {
            writeln!(out, ".section {}", Quoted(section.as_bytes()))?;
        }
        if let Some(prog_type) = &assembly.prog_type {
            writeln!(out, ".type {}", Quoted(prog_type.as_bytes()))?;
        }
        if let Some(license) = &assembly.license {
            writeln!(out, ".license {}", Quoted(license.as_bytes()))?;
        }
        for map in &assembly.maps {
            map_line(out, map, &assembly.maps)?;
        }
        let kfuncs: BTreeSet<&str> = assembly.kfuncs.iter().map(|call| call.name.as_str()).collect();
        for name in kfuncs {
            writeln!(out, ".kfunc {name}")?;
        }
        if self.exact_lines {
            writeln!(out, ".line none")?;
        }
        Ok(())
    }

    fn line(&self, out: &mut impl Write, source: &SourceLine) -> fmt::Result {
        let SourceLine { file, line, column, text } = source;
        if self.exact_lines {
            let (file, text) = (Quoted(file.as_bytes()), Quoted(text.as_bytes()));
            return writeln!(out, ".line {line} {column} {file} {text}");
        }
        let text: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match file.as_str() {
            _ if text.is_empty() => Ok(()),
            "" => writeln!(out, "; {text}"),
            file => writeln!(out, "; {text} @ {file}:{line}"),
        }
    }

    fn write(&self, out: &mut impl Write) -> fmt::Result {
        self.head(out)?;
        let places = self.places();
        let funcs: HashMap<usize, &str> =
            self.assembly.funcs.iter().rev().map(|f| (f.insn, f.name.as_str())).collect();
        let kfuncs: HashMap<usize, &str> =
            self.assembly.kfuncs.iter().map(|f| (f.insn, f.name.as_str())).collect();
        let mut lines = self.assembly.program.lines.iter().peekable();
        let options = DisasmOptions {
            names: &places,
            syntax: self.syntax,
            translated: self.translated,
            ..DisasmOptions::default()
        };
        let mut text = String::new();
        for (at, instruction, words) in self.decoded() {
            match (funcs.get(&at), places.labels.get(&at)) {
                (Some(name), _) => writeln!(out, ".func {name}")?,
                (None, Some(label)) => writeln!(out, "{label}:")?,
                _ => {}
            }
            while let Some(line) = lines.next_if(|line| line.insn <= at) {
                if self.exact_lines || self.comments {
                    self.line(out, &line.source)?;
                }
            }
            text.clear();
            match (&instruction, kfuncs.get(&at)) {
                (Some(Instruction::Call(_)), Some(name)) => write!(text, "call {name}")?,
                (Some(instruction), _) => instruction.write_to(&mut text, Some(at), &options)?,
                (None, _) => {
                    for word in words {
                        write!(text, ".raw {:#018x}", u64::from_le_bytes(word.to_bytes_le()))?;
                    }
                }
            }
            write!(out, "        {text}")?;
            if self.opcodes {
                let pad = 40usize.saturating_sub(text.len());
                write!(out, "{:pad$} //", "")?;
                for byte in words.iter().flat_map(|word| word.to_bytes_le()) {
                    write!(out, " {byte:02x}")?;
                }
            }
            out.write_char('\n')?;
        }
        let end = self.assembly.program.insns.len();
        if let Some(label) = places.labels.get(&end) {
            writeln!(out, "{label}:")?;
        }
        for line in lines.filter(|_| self.exact_lines) {
            self.line(out, &line.source)?;
        }
        Ok(())
    }
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

fn map_line(out: &mut impl Write, map: &AsmMap, maps: &[AsmMap]) -> fmt::Result {
    let AsmMap { name, kind, map_type, key_size, value_size, max_entries, flags, extra, inner, data } = map;
    match (kind, data) {
        (AsmMapKind::Map, _) => {}
        (AsmMapKind::Bss, _) => return writeln!(out, ".bss {name} {value_size}"),
        (_, None) => return writeln!(out, ".bss {name} {value_size}"),
        (kind, Some(data)) => {
            let directive = if *kind == AsmMapKind::Data { "data" } else { "rodata" };
            for (n, piece) in data.chunks(DATA_IN_LINE).enumerate() {
                write!(out, ".{directive} {name} {} hex", if n == 0 { "=" } else { "+=" })?;
                for chunk in piece.chunks(8) {
                    out.write_char(' ')?;
                    for byte in chunk {
                        write!(out, "{byte:02x}")?;
                    }
                }
                out.write_char('\n')?;
            }
            return Ok(());
        }
    }
    write!(out, ".map {name} type={map_type} key={key_size} value={value_size} entries={max_entries}")?;
    if *flags != 0 {
        write!(out, " flags={flags:#x}")?;
    }
    if *extra != 0 {
        write!(out, " extra={extra:#x}")?;
    }
    if let Some(inner) = inner.and_then(|inner| maps.get(inner)) {
        write!(out, " inner={}", inner.name)?;
    }
    out.write_char('\n')
}

/// A string as the assembler reads it.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '"' | '\\' => write!(f, "\\{c}")?,
                    '\n' => f.write_str("\\n")?,
                    c if (c as u32) < 0x20 || c == '\x7f' => write!(f, "\\x{:02x}", c as u32)?,
                    c => f.write_char(c)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_char('"')
    }
}
