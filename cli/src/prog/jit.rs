//! `tracewell prog jit`: the machine code that the running kernel makes of a program, beside its instructions.

use super::input::{self, Input};
use super::prepared::prepared;
use crate::objects::{Options, out};
use crate::output::jsonw::Json;
use ::asm::{DisasmOptions, Insn};
use anyhow::{Context, Result, bail};
use bpf_sys::prog::{Prog, ProgInfo};
use clap::{ArgMatches, Command};
use jit_check::jit::{Function, Image, Origin, Symbols};
use jit_check::kernel::{Kernel, Version};
use jit_check::live::{self, LiveOptions};
use loader::Target;
use loader::kernel::kallsyms;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::ops::ControlFlow;

/// The definition of the verb.
pub fn command() -> Command {
    input::args(Command::new("jit").about("Print the machine code the running kernel makes of a program"))
}

/// A program in the kernel, with what its instructions were before the kernel rewrote them.
struct Shown {
    info: ProgInfo,
    /// The instructions that were loaded; `None` of a program that somebody else loaded, whose lines are source lines.
    given: Option<Vec<Insn>>,
}

/// Runs the verb.
pub fn main(m: &ArgMatches, options: Options) -> Result<u8> {
    let input = Input::read_one(m)?;
    let shown = match input.id {
        Some(id) => Shown { info: Prog::from_id(id)?.info()?, given: None },
        None => load(&input)?,
    };
    if shown.info.jited.is_empty() {
        bail!(
            "the kernel shows no machine code: that needs CAP_SYS_ADMIN, net.core.bpf_jit_enable other than 0, and \
             kernel.kptr_restrict below 2"
        );
    }
    let symbols = KernelSymbols::read(&shown.info);
    let image = Image::decode(&shown.info, &symbols, cfg!(target_arch = "x86_64"));
    let mut out = out();
    if options.json {
        json(&mut Json::new(&mut out, options.pretty), &image, &shown)?;
    } else {
        text(&mut out, &image, &shown)?;
    }
    out.flush()?;
    Ok(0)
}

fn load(input: &Input) -> Result<Shown> {
    let target = Target::running()?;
    let release = loader::kernel::release().unwrap_or_default();
    let version: Version = release.parse().map_err(anyhow::Error::msg)?;
    let kernel = Kernel::new(version, target.btf());
    let Some(first) = prepared(input, &target, &kernel).pop() else { bail!("there is no program in it") };
    let program = first.program.with_context(|| first.name.clone())?;
    let maps = live::make_maps(&program)?;
    let options = LiveOptions { line_for_each_insn: true, ..LiveOptions::default() };
    let live = live::load(&program, &maps, options).map_err(|error| match error {
        live::LiveError::Refused { log, .. } => {
            anyhow::anyhow!("the kernel refuses the program:\n{}", log.trim_end())
        }
        error => error.into(),
    })?;
    Ok(Shown { info: live.prog.info()?, given: Some(program.insns) })
}

/// Names of the addresses that machine code holds.
struct KernelSymbols(HashMap<u64, String>);

impl KernelSymbols {
    /// Reads the names of all 8-byte immediates and call targets, and no others.
    fn read(info: &ProgInfo) -> KernelSymbols {
        struct Wanted(std::cell::RefCell<HashSet<u64>>);
        impl Symbols for Wanted {
            fn at(&self, addr: u64) -> Option<String> {
                self.0.borrow_mut().insert(addr);
                None
            }
        }
        let wanted = Wanted(Default::default());
        Image::decode(info, &wanted, cfg!(target_arch = "x86_64"));
        let wanted = wanted.0.into_inner();
        let mut names = HashMap::new();
        // Where the kernel hides addresses there are no names.
        let _ = kallsyms::scan(|line| {
            if line.addr != 0 && wanted.contains(&line.addr) {
                names.entry(line.addr).or_insert_with(|| String::from_utf8_lossy(line.name).into_owned());
            }
            ControlFlow::Continue(())
        });
        KernelSymbols(names)
    }
}

impl Symbols for KernelSymbols {
    fn at(&self, addr: u64) -> Option<String> {
        self.0.get(&addr).cloned()
    }
}

/// An instruction's text and where it stands.
struct Bpf {
    at: usize,
    text: String,
    /// A call that has become something else than a call.
    inlined: bool,
}

/// What a piece is made of, in words.
fn origin(shown: &Shown, function: &Function, nth: usize) -> Option<Bpf> {
    let piece = function.pieces.get(nth)?;
    let Origin::Insn { xlated, line } = piece.of else { return None };
    let (insns, at) = match &shown.given {
        Some(insns) => (insns.clone(), (line as usize).checked_sub(1)?),
        None => (shown.info.xlated.iter().map(|word| Insn::from_u64(*word)).collect(), xlated),
    };
    let options = DisasmOptions { translated: shown.given.is_none(), ..DisasmOptions::default() };
    let rest = insns.get(at..)?;
    let text = ::asm::disassemble_with(rest, options).next()?.1;
    let is_helper = insns.get(at).is_some_and(|insn| insn.opcode == 0x85 && insn.src().number() == 0);
    let calls = piece.ops.iter().any(|op| op.text.starts_with("call "));
    Some(Bpf { at, text, inlined: is_helper && !calls })
}

fn text(out: &mut dyn Write, image: &Image, shown: &Shown) -> Result<()> {
    for (nth, function) in image.functions.iter().enumerate() {
        let blank = if nth == 0 { "" } else { "\n" };
        let name = if function.symbol.is_empty() { "function" } else { &function.symbol };
        match function.addr {
            0 => writeln!(out, "{blank}{name}: {} bytes", function.size)?,
            addr => writeln!(out, "{blank}{name}: {addr:#x}, {} bytes", function.size)?,
        }
        for (nth, piece) in function.pieces.iter().enumerate() {
            match origin(shown, function, nth) {
                Some(bpf) if bpf.inlined => writeln!(out, "{}: {} (inlined)", bpf.at, bpf.text)?,
                Some(bpf) => writeln!(out, "{}: {}", bpf.at, bpf.text)?,
                None if piece.of == Origin::Prologue => writeln!(out, "prologue")?,
                None => writeln!(out, "code")?,
            }
            for op in &piece.ops {
                writeln!(out, "{op}")?;
            }
        }
    }
    let insns = shown.given.as_ref().map_or(shown.info.xlated.len(), Vec::len);
    let size = image.size();
    writeln!(
        out,
        "\n{size} bytes of machine code for {insns} instructions ({:.1} bytes each), {} after the kernel's rewriting",
        size as f64 / insns.max(1) as f64,
        shown.info.xlated.len()
    )?;
    Ok(())
}

fn json(j: &mut Json<'_>, image: &Image, shown: &Shown) -> std::io::Result<()> {
    j.begin_object()?;
    j.field("bytes", image.size())?;
    j.key("functions")?;
    j.begin_array()?;
    for function in &image.functions {
        j.begin_object()?;
        j.field_str("symbol", &function.symbol)?;
        j.field("address", function.addr)?;
        j.field("bytes", function.size)?;
        j.key("pieces")?;
        j.begin_array()?;
        for (nth, piece) in function.pieces.iter().enumerate() {
            j.begin_object()?;
            match origin(shown, function, nth) {
                Some(bpf) => {
                    j.field("insn", bpf.at)?;
                    j.field_str("text", &bpf.text)?;
                    if bpf.inlined {
                        j.field("inlined", true)?;
                    }
                }
                None => j.field_str("of", "prologue")?,
            }
            j.key("code")?;
            j.begin_array()?;
            for op in &piece.ops {
                j.begin_object()?;
                j.field("offset", op.offset)?;
                j.key("bytes")?;
                j.hex_bytes(&op.bytes)?;
                j.field_str("text", &op.text)?;
                if let Some(note) = &op.note {
                    j.field_str("note", note)?;
                }
                j.end_object()?;
            }
            j.end_array()?;
            j.end_object()?;
        }
        j.end_array()?;
        j.end_object()?;
    }
    j.end_array()?;
    j.end_object()?;
    j.finish()
}
