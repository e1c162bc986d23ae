//! `tracewell prog dump`.

use super::signature::signature;
use crate::objects::select::{self, Which, tag_text};
use crate::objects::{Options, Words, out, words::usage};
use crate::output::jited::Function;
use crate::output::jsonw::Json;
use crate::output::xlated::{Line, Show, Xlated};
use crate::output::{cfg, jited, xlated};
use anyhow::{Result, anyhow, bail};
use asm::{Helper, Insn, Names};
use bpf_sys::btf_obj::BtfObj;
use bpf_sys::prog::ProgInfo;
use btf::{Btf, Kind, TypeId};
use clap::ArgMatches;
use probes::kernel::kallsyms;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;

const GRAMMAR: &str = "dump { xlated | jited } PROG [file FILE | opcodes | linum | visual]";

/// What the command line asks for.
#[derive(Debug)]
struct Request {
    jited: bool,
    which: Which,
    show: Show,
    visual: bool,
    file: Option<PathBuf>,
}

impl Request {
    fn read(mut words: Words) -> Result<Request> {
        let jited = match () {
            () if words.keyword("xlated") => false,
            () if words.keyword("jited") => true,
            () => return words.unexpected("`xlated` or `jited`"),
        };
        let which = Which::prog(&mut words)?;
        let mut request = Request { jited, which, show: Show::default(), visual: false, file: None };
        while !words.is_empty() {
            if words.keyword("file") {
                request.file = Some(words.path("the file to write")?);
            } else if words.keyword("opcodes") {
                request.show.opcodes = true;
            } else if words.keyword("linum") {
                request.show.linum = true;
            } else if words.keyword("visual") {
                request.visual = true;
            } else {
                return words.unexpected("`file`, `opcodes`, `linum` or `visual`");
            }
        }
        if request.visual && (request.jited || request.file.is_some()) {
            return usage("visual goes with xlated and without file");
        }
        Ok(request)
    }
}

/// Prints the instructions or the machine code of all programs that are meant.
pub fn main(m: &ArgMatches, options: Options) -> Result<u8> {
    let request = Request::read(Words::new(m, "words", GRAMMAR))?;
    let progs = if request.visual || request.file.is_some() {
        // One file, one graph.
        vec![select::prog(&request.which)?]
    } else {
        select::progs(&request.which)?
    };
    let mut infos = Vec::with_capacity(progs.len());
    for prog in &progs {
        let info = prog.info()?;
        let missing = if request.jited { info.jited.is_empty() } else { info.xlated.is_empty() };
        if missing {
            bail!(
                "the kernel does not show the {} of program {}: that needs CAP_SYS_ADMIN (CAP_PERFMON and CAP_BPF do \
                 not suffice), and kernel.kptr_restrict below 2{}",
                if request.jited { "machine code" } else { "instructions" },
                info.id,
                if request.jited {
                    "; a program that is interpreted has none (net.core.bpf_jit_enable)"
                } else {
                    ""
                }
            );
        }
        infos.push(info);
    }
    if let (Some(path), Some(info)) = (&request.file, infos.first()) {
        let bytes = match request.jited {
            true => info.jited.clone(),
            false => info.xlated.iter().flat_map(|word| word.to_ne_bytes()).collect(),
        };
        std::fs::write(path, bytes).map_err(|e| anyhow!("cannot write {}: {e}", path.display()))?;
        return Ok(0);
    }
    let symbols = Symbols::read(&infos);
    let several = infos.len() > 1;
    let mut out = out();
    let mut j = Json::new(&mut out, options.pretty);
    if options.json && several {
        j.begin_array()?;
    }
    // Text goes through a buffer of its own: the JSON writer holds the other.
    let mut text = Vec::new();
    for (n, info) in infos.iter().enumerate() {
        let bytes = program_btf(info);
        let btf = bytes.as_ref().and_then(|bytes| Btf::parse(bytes).ok());
        let source = Source { info, btf: btf.as_ref() };
        if several {
            if options.json {
                j.begin_object()?;
                head_json(&mut j, info)?;
                j.key("insns")?;
            } else {
                let blank = if n == 0 { "" } else { "\n" };
                let gpl = if info.gpl_compatible { "  gpl" } else { "" };
                let (id, kind, name) = (info.id, info.prog_type, source.name());
                writeln!(text, "{blank}{id}: {kind}  name {name}  tag {}{gpl}", tag_text(&info.tag))?;
            }
        }
        if request.jited {
            let functions = source.machine_code(&symbols);
            match options.json {
                true => jited::json(&mut j, &functions, request.show)?,
                false => jited::text(&mut text, &functions, request.show)?,
            }
        } else {
            let insns: Vec<Insn> = info.xlated.iter().map(|word| Insn::from_u64(*word)).collect();
            let names = KernelNames { symbols: &symbols, info, insns: &insns, kernel: OnceCell::new() };
            let (functions, lines) = (source.functions(), source.lines());
            let program = Xlated { insns: &insns, names: &names, functions: &functions, lines: &lines };
            match (request.visual, options.json) {
                (true, _) => cfg::dot(&mut text, &program)?,
                (_, true) => xlated::json(&mut j, &program, request.show)?,
                (_, false) => xlated::text(&mut text, &program, request.show)?,
            }
        }
        if options.json && several {
            j.end_object()?;
        }
    }
    if options.json && !request.visual {
        if several {
            j.end_array()?;
        }
        j.finish()?;
    }
    out.write_all(&text)?;
    out.flush()?;
    Ok(0)
}

fn head_json(j: &mut Json<'_>, info: &ProgInfo) -> std::io::Result<()> {
    j.field("id", info.id)?;
    j.field_str("type", &info.prog_type.to_string())?;
    if !info.name.is_empty() {
        j.field_str("name", &info.name)?;
    }
    j.field_str("tag", &tag_text(&info.tag))?;
    j.field("gpl_compatible", info.gpl_compatible)
}

/// The types that were loaded with a program.
fn program_btf(info: &ProgInfo) -> Option<Vec<u8>> {
    // Without them the instructions are still worth printing.
    (info.btf_id != 0).then(|| BtfObj::from_id(info.btf_id).and_then(|b| b.bytes()).ok()).flatten()
}

/// The source lines of a program, where it was loaded with some.
pub(super) fn program_lines(info: &ProgInfo) -> Vec<asm::LineRecord> {
    let bytes = program_btf(info);
    let btf = bytes.as_ref().and_then(|bytes| Btf::parse(bytes).ok());
    let lines = Source { info, btf: btf.as_ref() }.lines();
    let record = |line: Line| asm::LineRecord {
        insn: usize::try_from(line.at).unwrap_or(usize::MAX),
        source: asm::SourceLine { file: line.file, line: line.line, column: line.col, text: line.text },
    };
    lines.into_iter().map(record).collect()
}

/// Numbers of a record, as the kernel lays them out.
fn numbers<const N: usize>(bytes: &[u8], record: u32) -> impl Iterator<Item = [u32; N]> {
    bytes.chunks_exact((record as usize).max(N * 4)).map(|record| {
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(record.as_chunks::<4>().0) {
            *word = u32::from_ne_bytes(*bytes);
        }
        words
    })
}

/// A program's functions and lines, through its BTF.
struct Source<'a> {
    info: &'a ProgInfo,
    btf: Option<&'a Btf<'a>>,
}

impl Source<'_> {
    fn name(&self) -> String {
        let first = numbers::<2>(&self.info.func_info, self.info.func_info_rec_size).next();
        let full =
            first.zip(self.btf).and_then(|(record, btf)| Some(btf.type_by_id(TypeId(record[1]))?.name()));
        full.filter(|full| full.starts_with(&self.info.name)).unwrap_or(&self.info.name).to_string()
    }

    /// Prototypes by the first instruction.
    fn functions(&self) -> Vec<(usize, String)> {
        let Some(btf) = self.btf else { return Vec::new() };
        numbers::<2>(&self.info.func_info, self.info.func_info_rec_size)
            .filter_map(|[at, id]| Some((at as usize, signature(btf, TypeId(id))?)))
            .collect()
    }

    fn line(&self, at: u64, file: u32, text: u32, line_col: u32) -> Option<Line> {
        let string = |offset| Some(self.btf?.string(offset)?.to_string());
        Some(Line {
            at,
            text: string(text)?,
            file: string(file).unwrap_or_default(),
            line: line_col >> 10,
            col: line_col & 0x3ff,
        })
    }

    /// Source lines by instruction.
    fn lines(&self) -> Vec<Line> {
        numbers::<4>(&self.info.line_info, self.info.line_info_rec_size)
            .filter_map(|[at, file, text, line_col]| self.line(at.into(), file, text, line_col))
            .collect()
    }

    /// The machine code, function by function.
    fn machine_code<'s>(&'s self, symbols: &Symbols) -> Vec<Function<'s>> {
        let info = self.info;
        let whole = u32::try_from(info.jited.len()).unwrap_or(u32::MAX);
        let lens = if info.jited_func_lens.is_empty() { vec![whole] } else { info.jited_func_lens.clone() };
        let protos = self.functions();
        let (mut functions, mut at) = (Vec::new(), 0usize);
        for (n, len) in lens.iter().enumerate() {
            let end = at.saturating_add(*len as usize);
            let code = info.jited.get(at..end).unwrap_or_default();
            at = end;
            let addr = info.jited_ksyms.get(n).copied().unwrap_or(0);
            let mut lines: Vec<Line> = numbers::<4>(&info.line_info, info.line_info_rec_size)
                .zip(&info.jited_line_info)
                .filter(|(_, place)| {
                    addr != 0 && (addr..addr.saturating_add(u64::from(*len))).contains(place)
                })
                .filter_map(|([_, file, text, line_col], place)| {
                    self.line(place - addr, file, text, line_col)
                })
                .collect();
            lines.sort_by_key(|line| line.at);
            functions.push(Function {
                symbol: symbols.get(addr).unwrap_or_default().to_string(),
                proto: protos.get(n).map(|p| p.1.clone()).unwrap_or_default(),
                addr,
                code,
                lines,
            });
        }
        functions
    }
}

/// The kernel's names for the addresses that programs call.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    /// What helpers' numbers in translated instructions are relative to.
    call_base: u64,
    names: HashMap<u64, String>,
}

/// Calls of helpers and kernel functions in translated instructions: opcode `call`, source register 0 or 2.
fn is_kernel_call(insn: Insn) -> bool {
    insn.opcode == 0x85 && matches!(insn.src().number(), 0 | 2)
}

impl Symbols {
    /// Reads the names that these programs need, and no others. Where the kernel hides addresses there are none.
    pub(super) fn read(infos: &[ProgInfo]) -> Symbols {
        let mut call_base = 0;
        let _ = kallsyms::scan(|line| match line.name {
            b"__bpf_call_base" => {
                call_base = line.addr;
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        });
        if call_base == 0 {
            return Symbols::default();
        }
        let mut wanted: HashSet<u64> = HashSet::new();
        for info in infos {
            wanted.extend(&info.jited_ksyms);
            let insns = info.xlated.iter().map(|word| Insn::from_u64(*word));
            let calls = insns.filter(|insn| is_kernel_call(*insn));
            wanted.extend(calls.map(|insn| call_base.wrapping_add_signed(insn.imm.into())));
        }
        let mut names = HashMap::new();
        let _ = kallsyms::scan(|line| {
            if wanted.contains(&line.addr) && line.is_text() {
                names.entry(line.addr).or_insert_with(|| String::from_utf8_lossy(line.name).into_owned());
            }
            ControlFlow::Continue(())
        });
        Symbols { call_base, names }
    }

    fn get(&self, addr: u64) -> Option<&str> {
        self.names.get(&addr).map(String::as_str)
    }

    pub(super) fn call(&self, imm: i32) -> Option<&str> {
        (self.call_base != 0).then_some(())?;
        self.get(self.call_base.wrapping_add_signed(imm.into()))
    }
}

impl Names for Symbols {
    fn helper(&self, helper: Helper) -> Option<Cow<'_, str>> {
        let symbol = self.call(helper.0 as i32).map(Cow::Borrowed);
        symbol.or_else(|| helper.name().map(Cow::Borrowed))
    }

    fn kfunc(&self, btf_id: i32, _fd_index: i16) -> Option<Cow<'_, str>> {
        self.call(btf_id).map(Cow::Borrowed)
    }
}

/// Names for one program's instructions.
struct KernelNames<'a> {
    symbols: &'a Symbols,
    info: &'a ProgInfo,
    insns: &'a [Insn],
    /// Names of kernel functions by their ids in the kernel's BTF, for architectures that call by id.
    kernel: OnceCell<HashMap<i32, String>>,
}

impl KernelNames<'_> {
    /// The kernel's own types take a while to open, so all ids are looked up at once.
    fn by_btf_id(&self, id: i32) -> Option<&str> {
        let names = self.kernel.get_or_init(|| {
            let mut names = HashMap::new();
            let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else { return names };
            let Ok(btf) = Btf::parse(&bytes) else { return names };
            for insn in self.insns.iter().filter(|insn| is_kernel_call(**insn) && insn.src().number() == 2) {
                let ty = u32::try_from(insn.imm).ok().and_then(|id| btf.type_by_id(TypeId(id)));
                if let Some(ty) = ty.filter(|ty| ty.kind() == Kind::Func) {
                    names.insert(insn.imm, ty.name().to_string());
                }
            }
            names
        });
        names.get(&id).map(String::as_str)
    }
}

impl Names for KernelNames<'_> {
    fn helper(&self, helper: Helper) -> Option<Cow<'_, str>> {
        // What the verifier leaves alone is still a number of the ABI (`bpf_tail_call` among them).
        let plain = || helper.name().map(Cow::Borrowed);
        self.symbols.call(helper.0 as i32).map(Cow::Borrowed).or_else(plain)
    }

    fn kfunc(&self, btf_id: i32, _fd_index: i16) -> Option<Cow<'_, str>> {
        self.symbols.call(btf_id).or_else(|| self.by_btf_id(btf_id)).map(Cow::Borrowed)
    }

    fn subprogram(&self, insn: usize) -> Option<Cow<'_, str>> {
        // The n-th function of the instructions is the n-th of the machine code.
        let starts = numbers::<2>(&self.info.func_info, self.info.func_info_rec_size);
        let n = starts.map(|[at, _]| at as usize).position(|at| at == insn)?;
        self.symbols.get(*self.info.jited_ksyms.get(n)?).map(Cow::Borrowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read() {
        let read = |text| Request::read(Words::of(text)).map_err(|e| e.to_string());
        let r = read("x id 3 op linum").unwrap();
        assert!(!r.jited && r.show.opcodes && r.show.linum && !r.visual && r.which == Which::Id(3));
        assert!(read("jited name a file /tmp/x").unwrap().file.is_some());
        assert!(read("jited id 1 visual").unwrap_err().contains("visual goes with xlated"));
        assert!(read("id 1").unwrap_err().contains("`xlated` or `jited`"));
        assert!(read("xlated id 1 nonsense").unwrap_err().contains("nonsense"));
    }

    #[test]
    fn records_of_any_size() {
        let bytes: Vec<u8> = (0..24u8).collect();
        let found: Vec<[u32; 2]> = numbers(&bytes, 12).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1][0], u32::from_ne_bytes([12, 13, 14, 15]));
        assert_eq!(numbers::<2>(&bytes[..5], 0).count(), 0);
    }
}
