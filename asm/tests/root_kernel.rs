//! The kernel as oracle: loads programs that cover the instruction set and compares our text with the verifier's log
//! (which prints every instruction it visits at level 2) and with `bpftool prog dump xlated`.

mod common;
mod samples;

use asm::*;
use btf::{Btf, Kind};
use samples::{Loaded, load_all, release};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Stands for addresses, which only the kernel knows.
const ADDRESS: &str = "<address>";

struct LogNames<'a> {
    btf: &'a Btf<'a>,
}

impl Names for LogNames<'_> {
    fn kfunc(&self, btf_id: i32, _: i16) -> Option<Cow<'_, str>> {
        Some(self.btf.type_by_id(btf::TypeId(btf_id as u32))?.name().into())
    }

    fn imm64(&self, value: Imm64) -> Option<Cow<'_, str>> {
        (!matches!(value, Imm64::Value(_))).then_some(ADDRESS.into())
    }
}

/// What the kernels put behind an instruction's text: the registers after it since 5.17; in 7.2, with a tab what becomes
/// of the stack, and with slashes a call's arguments. All before it is the same text from 5.10 on.
const ANNOTATIONS: [&str; 3] = [";", "\t", " // "];

/// Samples that kernels before a release take, but as another instruction than what the words mean today: 6.1 reads
/// `gotol` as a conditional jump without a condition.
const MISREAD: [(&str, (u32, u32)); 1] = [("gotol", (6, 6))];

/// `12: (b7) r0 = 0    ; R0=0` gives 12 and the text between index and annotation, without the first bracket.
fn log_line(line: &str) -> Option<(usize, &str)> {
    let (index, rest) = line.split_once(": (")?;
    let text = rest.get(..2).filter(|hex| u8::from_str_radix(hex, 16).is_ok()).and(Some(rest))?;
    let text = ANNOTATIONS.iter().fold(text, |text, mark| text.split(mark).next().unwrap_or(text)).trim_end();
    Some((index.trim().parse().ok()?, text))
}

fn vmlinux(test: &str) -> Option<Vec<u8>> {
    std::fs::read("/sys/kernel/btf/vmlinux")
        .inspect_err(|error| eprintln!("SKIP {test}: no kernel BTF: {error}"))
        .ok()
}

#[test]
fn root_text_equals_the_verifier_log() {
    const TEST: &str = "root_text_equals_the_verifier_log";
    let Some(data) = vmlinux(TEST) else { return };
    let btf = Btf::parse(&data).expect("the kernel's BTF is valid");
    let Some(loaded) = load_all(TEST, &btf) else { return };
    let names = LogNames { btf: &btf };
    for Loaded { name, program, log, .. } in loaded {
        if MISREAD.iter().any(|(misread, until)| *misread == name && release() < *until) {
            continue;
        }
        let options =
            DisasmOptions { names: &names, opcodes: true, translated: false, ..DisasmOptions::default() };
        let ours: BTreeMap<usize, String> = disassemble_with(&program.insns, options).collect();
        let mut seen = BTreeSet::new();
        for (index, theirs) in log.lines().filter_map(log_line) {
            let ours = &ours[&index];
            seen.insert(index);
            // `rest` starts after the bracket: both sides lose it.
            let ours = ours.strip_prefix('(').unwrap_or(ours);
            match ours.strip_suffix(ADDRESS) {
                Some(left) => {
                    let right = theirs.strip_prefix(left).unwrap_or_default();
                    assert!(right.starts_with("0x"), "{name} {index}: ours {ours:?}, kernel {theirs:?}");
                }
                None => assert_eq!(ours, theirs, "{name}, instruction {index}"),
            }
        }
        let missing: Vec<_> = ours.iter().filter(|(index, _)| !seen.contains(index)).collect();
        assert!(missing.is_empty(), "{name}: the log does not show {missing:?}\n{log}");
    }
}

/// The whole log of a program, pasted into the assembler, is the program again (but for addresses).
#[test]
fn root_logs_are_read_back() {
    const TEST: &str = "root_logs_are_read_back";
    if release() != (6, 18) {
        eprintln!("SKIP {TEST}: only 6.18's logs are known to be read back whole");
        return;
    }
    let Some(data) = vmlinux(TEST) else { return };
    let btf = Btf::parse(&data).expect("the kernel's BTF is valid");
    let Some(loaded) = load_all(TEST, &btf) else { return };
    for Loaded { name, program, log, .. } in loaded {
        if MISREAD.iter().any(|(misread, until)| *misread == name && release() < *until) {
            continue;
        }
        let read = assemble(&log).unwrap_or_else(|errors| panic!("{name}: {}\n{log}", errors.report("log")));
        let (ours, theirs) = (&program.insns, &read.program.insns);
        assert_eq!(theirs.len(), ours.len(), "{name}");
        let mut at = 0;
        while let Some(Ok((instruction, slots))) = ours.get(at..).filter(|rest| !rest.is_empty()).map(decode)
        {
            match instruction {
                // The log has an address where the program has a descriptor, an id or a distance.
                Instruction::LdImm64 { value: Imm64::Value(_), .. } => {}
                Instruction::LdImm64 { dst, .. } => {
                    assert_eq!((theirs[at].opcode, theirs[at].dst()), (ours[at].opcode, dst), "{name} {at}");
                    at += slots;
                    continue;
                }
                // Which module's function it is the log does not say.
                Instruction::Call(CallTarget::Kfunc { btf_id, .. }) => {
                    assert_eq!((theirs[at].imm, theirs[at].src()), (btf_id, ours[at].src()), "{name} {at}");
                    at += slots;
                    continue;
                }
                _ => {}
            }
            assert_eq!(theirs[at..at + slots], ours[at..at + slots], "{name} {at}");
            at += slots;
        }
    }
}

/// Kernel symbols by address, as bpftool uses them for the targets of helper calls.
struct DumpNames {
    base: u64,
    symbols: BTreeMap<u64, String>,
}

impl DumpNames {
    fn read() -> Option<DumpNames> {
        let text = std::fs::read_to_string("/proc/kallsyms").ok()?;
        let mut symbols = BTreeMap::new();
        for line in text.lines() {
            let mut fields = line.split_whitespace();
            let address = u64::from_str_radix(fields.next()?, 16).ok()?;
            symbols.entry(address).or_insert_with(|| fields.nth(1).unwrap_or_default().to_owned());
        }
        let base = *symbols.iter().find(|(_, name)| *name == "__bpf_call_base")?.0;
        (base != 0).then_some(DumpNames { base, symbols })
    }
}

impl Names for DumpNames {
    fn helper(&self, helper: Helper) -> Option<Cow<'_, str>> {
        let address = self.base.wrapping_add_signed(i64::from(helper.0 as i32));
        helper.name().map(Cow::Borrowed).or_else(|| Some(self.symbols.get(&address)?.into()))
    }
}

/// Instructions that the installed bpftool may be too old to print.
fn is_newer(instruction: &Instruction) -> bool {
    use Instruction::StoreRelease;
    use Instruction::{
        AddrSpaceCast, Alu, Call, JumpLong, LoadAcquire, LoadSx, MayGoto, MovSx, NoSpec, PercpuAddr,
    };
    matches!(
        instruction,
        MovSx { .. }
            | LoadSx { .. }
            | LoadAcquire { .. }
            | StoreRelease { .. }
            | JumpLong { .. }
            | MayGoto { .. }
            | AddrSpaceCast { .. }
            | PercpuAddr { .. }
            | NoSpec
            | Alu { op: AluOp::SDiv | AluOp::SMod, .. }
            | Instruction::Swap { order: Swap::Bswap, .. }
            | Call(CallTarget::Kfunc { .. })
    )
}

#[test]
fn root_text_equals_bpftool_dump() {
    const TEST: &str = "root_text_equals_bpftool_dump";
    if Command::new("bpftool").arg("version").output().is_err() {
        eprintln!("SKIP {TEST}: bpftool is not installed");
        return;
    }
    let Some(data) = vmlinux(TEST) else { return };
    let btf = Btf::parse(&data).expect("the kernel's BTF is valid");
    let Some(loaded) = load_all(TEST, &btf) else { return };
    let Some(names) = DumpNames::read() else {
        eprintln!("SKIP {TEST}: addresses in kallsyms are hidden");
        return;
    };
    let mut compared = 0;
    for Loaded { name, prog, .. } in &loaded {
        let info = prog.info().expect("a loaded program has information");
        let words: Vec<Insn> = info.xlated.iter().copied().map(Insn::from_u64).collect();
        let output = Command::new("bpftool")
            .args(["prog", "dump", "xlated", "id", &info.id.to_string()])
            .output()
            .expect("bpftool ran a moment ago");
        let dump = String::from_utf8_lossy(&output.stdout);
        let theirs: BTreeMap<usize, &str> = dump.lines().filter_map(log_line).collect();
        let options =
            DisasmOptions { names: &names, opcodes: true, translated: true, ..DisasmOptions::default() };
        for (index, ours) in disassemble_with(&words, options) {
            let (instruction, _) = decode_translated(&words[index..])
                .unwrap_or_else(|error| panic!("{name}, instruction {index} of the dump: {error}"));
            if is_newer(&instruction) {
                continue;
            }
            let theirs = theirs.get(&index).copied().unwrap_or("(missing)");
            // Addresses of subprograms differ from run to run.
            let theirs = if theirs.contains("call pc") { theirs.split('#').next() } else { Some(theirs) };
            assert_eq!(ours.strip_prefix('('), theirs, "{name}, instruction {index}");
            compared += 1;
        }
    }
    assert!(compared > 300, "only {compared} instructions were compared");
}

#[test]
fn root_helper_table_equals_the_kernels() {
    const TEST: &str = "root_helper_table_equals_the_kernels";
    let Some(data) = vmlinux(TEST) else { return };
    let btf = Btf::parse(&data).expect("the kernel's BTF is valid");
    let Some(id) = btf.find("bpf_func_id", Kind::Enum) else {
        eprintln!("SKIP {TEST}: the kernel's BTF has no enum bpf_func_id");
        return;
    };
    let theirs: BTreeMap<u32, String> = btf
        .type_by_id(id)
        .expect("an id that was found")
        .enumerators()
        .filter_map(|value| Some((value.value as u32, value.name.strip_prefix("BPF_FUNC_")?.to_owned())))
        .collect();
    let ours: BTreeMap<u32, String> = Helper::all()
        .map(|helper| (helper.id(), helper.short_name().unwrap_or_default().to_owned()))
        .collect();
    // An older kernel knows fewer, a newer one may know more.
    for (id, name) in theirs.iter().filter(|(id, _)| **id < 212) {
        assert_eq!(ours.get(id), Some(name), "helper {id}");
    }
    assert_eq!(ours.len(), 212);
}
