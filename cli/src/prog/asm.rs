//! `tracewell prog asm`.

use super::input;
use crate::objects::{Options, Words, out, words::usage};
use crate::output::jsonw::Json;
use ::asm::{Assembly, DisasmOptions, Imm64, Insn, Names};
use anyhow::{Context, Result, anyhow};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::borrow::Cow;
use std::io::Write;
use std::path::PathBuf;

const GRAMMAR: &str = "asm { FILE | - | -e TEXT }";

/// The definition of the verb.
pub fn command() -> Command {
    Command::new("asm")
        .about("Assemble a text: print the instructions' bytes, or write them into a file")
        .arg(super::words("FILE", "An assembly file; `-` is standard input"))
        .arg(
            Arg::new("text")
                .short('e')
                .value_name("TEXT")
                .action(ArgAction::Append)
                .allow_hyphen_values(true)
                .help("Assembly text; several are lines of one program"),
        )
        .arg(
            Arg::new("output")
                .short('o')
                .long("output")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Write the instructions' bytes, in this machine's order"),
        )
        .arg(
            Arg::new("hex")
                .long("hex")
                .action(ArgAction::SetTrue)
                .help("Print nothing but hexadecimal digits, which `--hex -` of other verbs reads"),
        )
        .after_help("The text may be in the kernel's syntax, in clang's or in mnemonics; see docs/verifier")
}

/// One instruction's words and its text.
struct Row<'a> {
    at: usize,
    words: &'a [Insn],
    text: String,
}

/// The names of a text's maps, where its instructions load their addresses.
struct MapNames<'a>(&'a Assembly);

impl Names for MapNames<'_> {
    fn imm64_at(&self, insn: usize, value: Imm64) -> Option<Cow<'_, str>> {
        let uses = &self.0.program.map_refs;
        let used = uses.get(uses.binary_search_by_key(&insn, |used| used.insn).ok()?)?;
        let name = &self.0.maps.get(used.map.0 as usize)?.name;
        match value {
            Imm64::MapValue { offset, .. } => Some(format!("map[{name}][0]+{offset}").into()),
            _ => Some(format!("map[{name}]").into()),
        }
    }
}

fn rows(assembly: &Assembly) -> Vec<Row<'_>> {
    let insns = &assembly.program.insns;
    let mut rows: Vec<Row<'_>> = Vec::new();
    let maps = MapNames(assembly);
    let options = DisasmOptions { names: &maps, ..DisasmOptions::default() };
    for (at, text) in asm::disassemble_with(insns, options) {
        rows.push(Row { at, words: &[], text });
    }
    let mut end = insns.len();
    for row in rows.iter_mut().rev() {
        row.words = insns.get(row.at..end).unwrap_or_default();
        end = row.at;
    }
    rows
}

fn digits(words: &[Insn], blank: &str) -> String {
    let bytes: Vec<String> =
        words.iter().flat_map(|word| word.to_bytes_le()).map(|b| format!("{b:02x}")).collect();
    bytes.join(blank)
}

/// Runs the verb.
pub fn main(m: &ArgMatches, options: Options) -> Result<u8> {
    let mut words = Words::new(m, "words", GRAMMAR);
    let (name, text) = match m.get_many::<String>("text") {
        Some(texts) => ("-e".to_owned(), texts.map(String::as_str).collect::<Vec<_>>().join("\n")),
        None if words.is_empty() => return usage(format!("the text is missing: {GRAMMAR}")),
        None => {
            let path = words.path("an assembly file")?;
            let name = path.display().to_string();
            let text = String::from_utf8(input::read(&path)?);
            (name.clone(), text.map_err(|e| anyhow!("{name} is no text: {e}"))?)
        }
    };
    words.end()?;
    let assembly = input::assemble(&name, &text)?;
    if let Some(path) = m.get_one::<PathBuf>("output") {
        let bytes: Vec<u8> = assembly.program.words().into_iter().flat_map(u64::to_ne_bytes).collect();
        std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        return Ok(0);
    }
    let mut out = out();
    let rows = rows(&assembly);
    if options.json {
        let mut j = Json::new(&mut out, options.pretty);
        json(&mut j, &assembly, &rows)?;
        j.finish()?;
    } else {
        for row in &rows {
            if m.get_flag("hex") {
                writeln!(out, "{}", digits(row.words, ""))?;
                continue;
            }
            let (first, second) = row.words.split_at_checked(1).unwrap_or((row.words, &[]));
            writeln!(out, "{:4}: {}  {}", row.at, digits(first, " "), row.text)?;
            if !second.is_empty() {
                writeln!(out, "      {}", digits(second, " "))?;
            }
        }
    }
    out.flush()?;
    Ok(0)
}

fn json(j: &mut Json<'_>, assembly: &Assembly, rows: &[Row<'_>]) -> std::io::Result<()> {
    j.begin_object()?;
    for (key, value) in
        [("section", &assembly.section), ("type", &assembly.prog_type), ("license", &assembly.license)]
    {
        if let Some(value) = value {
            j.field_str(key, value)?;
        }
    }
    j.key("maps")?;
    j.begin_array()?;
    for map in &assembly.maps {
        j.begin_object()?;
        j.field_str("name", &map.name)?;
        j.field_str("type", &map.map_type)?;
        j.field("key_size", map.key_size)?;
        j.field("value_size", map.value_size)?;
        j.field("max_entries", map.max_entries)?;
        j.field("flags", map.flags)?;
        j.end_object()?;
    }
    j.end_array()?;
    j.key("functions")?;
    j.begin_array()?;
    for func in &assembly.funcs {
        j.begin_object()?;
        j.field_str("name", &func.name)?;
        j.field("insn", func.insn)?;
        j.end_object()?;
    }
    j.end_array()?;
    j.key("insns")?;
    j.begin_array()?;
    for row in rows {
        j.begin_object()?;
        j.field("insn", row.at)?;
        j.field_str("bytes", &digits(row.words, ""))?;
        j.field_str("text", &row.text)?;
        if let Some(source) = assembly.program.source_of(row.at) {
            j.field("line", source.line)?;
            j.field_str("source", &source.text)?;
        }
        j.end_object()?;
    }
    j.end_array()?;
    j.end_object()
}
