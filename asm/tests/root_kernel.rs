//! The kernel as oracle: loads programs that cover the instruction set and compares our text with the verifier's log
//! (which prints every instruction it visits at level 2) and with `bpftool prog dump xlated`.

mod common;

use asm::*;
use bpf_sys::btf_obj::BtfObj;
use bpf_sys::map::{Map, MapCreate, MapFlags, MapType};
use bpf_sys::prog::{Prog, ProgLoad, ProgType, Records};
use btf::{Btf, Kind};
use common::*;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, AsRawFd};
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

/// A program with what it needs to be loaded.
struct Sample {
    name: &'static str,
    build: fn(&mut Builder, &Btf<'_>),
}

fn alu(b: &mut Builder, _: &Btf<'_>) {
    for width in WIDTHS {
        for op in ALU_OPS {
            b.mov_imm(R1, 77).mov_imm(R2, 3).alu(op, width, R1, R2).alu(op, width, R1, 5);
        }
        b.mov_imm(R1, -7).alu(AluOp::And, width, R1, -16).alu(AluOp::Add, width, R1, i32::MIN);
        b.push(Instruction::Neg { width, dst: R1 });
    }
    for order in [Swap::ToLe, Swap::ToBe, Swap::Bswap] {
        for size in [Size::H, Size::W, Size::DW] {
            b.mov_imm(R3, 0x1234).swap(order, size, R3);
        }
    }
    b.mov_sx(Width::W64, Size::B, R4, R1).mov_sx(Width::W64, Size::H, R4, R1).mov_sx(
        Width::W64,
        Size::W,
        R4,
        R1,
    );
    b.mov_sx(Width::W32, Size::B, R4, R1).mov_sx(Width::W32, Size::H, R4, R1);
    b.mov_imm(R0, 0).exit();
}

fn memory(b: &mut Builder, _: &Btf<'_>) {
    b.mov_imm(R2, 5);
    for size in [Size::DW, Size::W, Size::H, Size::B] {
        b.store_imm(size, R10, -8, -1).store(size, R10, -16, R2).load(size, R0, R10, -8);
        b.store_release(size, R10, -16, R2).load_acquire(size, R0, R10, -16);
    }
    for size in [Size::B, Size::H, Size::W] {
        b.load_sx(size, R0, R10, -8);
    }
    b.load(Size::W, R0, R1, 0).load(Size::W, R3, R1, 16).mov_imm(R0, 0).exit();
}

fn atomics(b: &mut Builder, _: &Btf<'_>) {
    b.store_imm(Size::DW, R10, -8, 0).mov_imm(R0, 1);
    for size in [Size::DW, Size::W] {
        for op in ATOMICS {
            b.mov_imm(R2, 5).atomic(op, size, R10, -8, R2);
        }
    }
    b.mov_imm(R0, 0).exit();
}

fn jumps(b: &mut Builder, _: &Btf<'_>) {
    b.load(Size::W, R7, R1, 0).load(Size::W, R8, R1, 16).mov_imm(R0, 0);
    for width in WIDTHS {
        for cond in CONDS {
            for operand in [Operand::Reg(R8), Operand::Imm(-5), Operand::Imm(64)] {
                let next = b.label();
                b.jcc(cond, width, R7, operand, next).bind(next);
            }
        }
    }
    let (over, back, end, far) = (b.label(), b.label(), b.label(), b.label());
    b.jmp(over).bind(back).jmp_long(far).bind(over).jmp_long(back).bind(far);
    let (head, out) = (b.label(), b.label());
    b.bind(head).may_goto(out).add_imm(R8, 1).jmp(head).bind(out).jmp(end).bind(end).mov_imm(R0, 0).exit();
}

fn immediates(b: &mut Builder, btf: &Btf<'_>) {
    let callback = b.label();
    b.ld_imm64(R1, u64::MAX).ld_imm64(R1, 0).ld_imm64(R1, 0x8000_0000).ld_imm64(R2, 0x1234_5678_9abc_def0);
    b.ld_map(R1, MapRef(0)).ld_map_value(R1, MapRef(0), 8);
    b.push(Instruction::LdImm64 { dst: R1, value: Imm64::MapIdx(0) });
    b.push(Instruction::LdImm64 { dst: R1, value: Imm64::MapIdxValue { index: 0, offset: 4 } });
    // Functions are in every kernel's symbol table; variables only where it was built with all symbols.
    let id = btf.find("vfs_read", Kind::Func).expect("every kernel has it");
    b.ld_btf_id(R5, id.0, 0);
    b.mov_imm(R1, 3).ld_func(R2, callback).mov_imm(R3, 0).mov_imm(R4, 0).call(Helper::LOOP);
    b.mov_imm(R0, 0).exit();
    b.bind(callback).mov_imm(R0, 0).exit();
}

fn calls(b: &mut Builder, btf: &Btf<'_>) {
    let (function, hit) = (b.label(), b.label());
    b.mov(R6, R1).call(Helper::KTIME_GET_NS).call(Helper::GET_PRANDOM_U32);
    b.store(Size::W, R10, -4, R0).mov(R2, R10).add_imm(R2, -4).ld_map(R1, MapRef(0));
    b.call(Helper::MAP_LOOKUP_ELEM).jne_imm(R0, 0, hit).mov_imm(R0, 0).exit();
    b.bind(hit).mov_imm(R1, 1).atomic_add(Size::DW, R0, 0, R1).call_local(function);
    if let Some(id) = btf.find("bpf_cast_to_kern_ctx", Kind::Func) {
        b.mov(R1, R6).call_kfunc(id.0, 0);
    }
    b.mov_imm(R0, 0).exit();
    b.bind(function).mov_imm(R0, 7).exit();
}

fn packets(b: &mut Builder, _: &Btf<'_>) {
    b.mov(R6, R1).mov_imm(R7, 2);
    for size in [Size::B, Size::H, Size::W] {
        b.load_abs(size, 12).load_ind(size, R7, 4).load_ind(size, R7, -1);
    }
    b.mov_imm(R0, 0).exit();
}

fn arena(b: &mut Builder, _: &Btf<'_>) {
    b.ld_map(R1, MapRef(1)).mov_imm(R1, 64).addr_space_cast(R1, R1, 0, 1).addr_space_cast(R2, R1, 1, 0);
    b.mov_imm(R0, 0).exit();
}

const SAMPLES: [Sample; 8] = [
    Sample { name: "alu", build: alu },
    Sample { name: "memory", build: memory },
    Sample { name: "atomics", build: atomics },
    Sample { name: "jumps", build: jumps },
    Sample { name: "immediates", build: immediates },
    Sample { name: "calls", build: calls },
    Sample { name: "packets", build: packets },
    Sample { name: "arena", build: arena },
];

struct Loaded {
    name: &'static str,
    program: Program,
    prog: Prog,
    log: String,
    _maps: Vec<Map>,
}

/// BTF of two functions without parameters, as the kernel wants it for callbacks: ids 3 (global) and 4 (static).
fn function_types() -> Vec<u8> {
    let strings = b"\0int\0main_fn\0callback\0";
    let types: [u32; 13] = [
        // An int; a prototype that returns it; the functions.
        1,
        1 << 24,
        4,
        (1 << 24) | 32, //
        0,
        13 << 24,
        1, //
        5,
        (12 << 24) | 1,
        2, //
        13,
        12 << 24,
        2,
    ];
    let (types_len, strings_len) = (types.len() as u32 * 4, strings.len() as u32);
    let mut out = 0xeb9f_u16.to_ne_bytes().to_vec();
    out.extend([1, 0]);
    for word in [24, 0, types_len, types_len, strings_len].iter().chain(&types) {
        out.extend(word.to_ne_bytes());
    }
    out.extend(strings);
    out
}

/// All samples, loaded; `None` and a line on stderr when this machine cannot.
fn load_all(test: &str, btf: &Btf<'_>) -> Option<Vec<Loaded>> {
    let counts = MapCreate {
        map_type: MapType::Array,
        key_size: 4,
        value_size: 64,
        max_entries: 1,
        ..MapCreate::default()
    };
    let counts = match counts.create() {
        Ok(map) => map,
        Err(error) => {
            eprintln!("SKIP {test}: cannot create a map: {error}");
            return None;
        }
    };
    let arena = MapCreate {
        map_type: MapType::Arena,
        max_entries: 1,
        flags: MapFlags::MMAPABLE,
        map_extra: 1 << 44,
        ..MapCreate::default()
    }
    .create();
    let types = BtfObj::load(&function_types()).expect("the kernel takes the functions' types");
    let mut loaded = Vec::new();
    for sample in SAMPLES {
        let mut b = Builder::new();
        (sample.build)(&mut b, btf);
        let program = b.finish().expect("samples are valid programs");
        let mut maps = vec![counts.try_clone().expect("descriptors can be duplicated")];
        if sample.name == "arena" {
            match &arena {
                Ok(map) => maps.push(map.try_clone().expect("descriptors can be duplicated")),
                Err(error) => {
                    eprintln!("SKIP {test}: only addr_space_cast is left out: no arena map: {error}");
                    continue;
                }
            }
        }
        let fds: Vec<i32> = maps.iter().map(|map| map.as_fd().as_raw_fd()).collect();
        let insns = program.resolve_maps(&fds).expect("all maps are given");
        // The callback is the last function of its sample: two words.
        let callback = [0, 3, program.insns.len() as u32 - 2, 4].map(u32::to_ne_bytes).concat();
        let with_types = sample.name == "immediates";
        let load = ProgLoad {
            btf: with_types.then_some(types.as_fd()),
            func_info: Records { rec_size: 8, bytes: if with_types { &callback } else { &[] } },
            prog_type: ProgType::SocketFilter,
            name: "tw_asm_test",
            insns: &insns,
            license: "GPL",
            log_level: 2,
            fd_array: &[counts.as_fd()],
            ..ProgLoad::default()
        };
        match load.load_with_log() {
            Ok((prog, log)) => loaded.push(Loaded { name: sample.name, program, prog, log, _maps: maps }),
            Err(error) => panic!("{}: the kernel refused the sample: {error}", sample.name),
        }
    }
    Some(loaded)
}

/// `12: (b7) r0 = 0    ; R0=0` gives 12 and the text between opcode and annotation.
fn log_line(line: &str) -> Option<(usize, &str)> {
    let (index, rest) = line.split_once(": (")?;
    let text = rest.get(..2).filter(|hex| u8::from_str_radix(hex, 16).is_ok()).and(Some(rest))?;
    let text = text.split(';').next()?.trim_end();
    Some((index.trim().parse().ok()?, text))
}

/// Whether the running kernel has all of ISA v4 and the later instructions.
fn new_enough(test: &str) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < (6, 15) {
        eprintln!("SKIP {test}: the samples use instructions of Linux 6.15, this is {}", release.trim());
    }
    version >= (6, 15)
}

fn vmlinux(test: &str) -> Option<Vec<u8>> {
    std::fs::read("/sys/kernel/btf/vmlinux")
        .inspect_err(|error| eprintln!("SKIP {test}: no kernel BTF: {error}"))
        .ok()
}

#[test]
fn root_text_equals_the_verifier_log() {
    const TEST: &str = "root_text_equals_the_verifier_log";
    let (true, Some(data)) = (new_enough(TEST), vmlinux(TEST)) else { return };
    let btf = Btf::parse(&data).expect("the kernel's BTF is valid");
    let Some(loaded) = load_all(TEST, &btf) else { return };
    let names = LogNames { btf: &btf };
    for Loaded { name, program, log, .. } in loaded {
        let options = DisasmOptions { names: &names, opcodes: true, translated: false };
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
    let (true, Some(data)) = (new_enough(TEST), vmlinux(TEST)) else { return };
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
        let options = DisasmOptions { names: &names, opcodes: true, translated: true };
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
