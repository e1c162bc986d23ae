//! Small programs that together hold every instruction. A kernel may refuse a program that needs more than it has, but
//! only where it is older than the release that the program names.

use crate::common::*;
use asm::*;
use bpf_sys::btf_obj::BtfObj;
use bpf_sys::map::{Map, MapCreate, MapFlags, MapType, UpdateFlags};
use bpf_sys::prog::{Prog, ProgLoad, ProgType, Records};
use btf::{Btf, Kind};
use std::os::fd::{AsFd, AsRawFd};

/// What a program needs beside its instructions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    /// The array map as the first of the fd array. Since Linux 5.14.
    FdArray,
    /// BTF of its functions: its last two instructions are a callback.
    Callback,
    /// An arena as map 1. Since Linux 6.9.
    Arena,
    /// An instruction array with these places as map 1. Since Linux 6.19.
    Places([u32; 2]),
}

type Build = Box<dyn Fn(&mut Builder, &Btf<'_>)>;

/// A program. From Linux `since` on it must be taken.
pub struct Sample {
    pub name: String,
    pub since: (u32, u32),
    pub needs: Needs,
    build: Build,
}

/// No kernel so far takes it.
const NEVER: (u32, u32) = (u32::MAX, 0);
/// The oldest kernels that are tested take it.
const ALWAYS: (u32, u32) = (0, 0);

fn sample(
    name: impl Into<String>,
    since: (u32, u32),
    needs: Needs,
    build: impl Fn(&mut Builder, &Btf<'_>) + 'static,
) -> Sample {
    Sample { name: name.into(), since, needs, build: Box::new(build) }
}

/// Instructions between nothing and `r0 = 0; exit`.
fn plain(name: impl Into<String>, since: (u32, u32), body: impl Fn(&mut Builder) + 'static) -> Sample {
    sample(name, since, Needs::Nothing, move |b, _| {
        body(b);
        b.mov_imm(R0, 0).exit();
    })
}

fn arithmetic(out: &mut Vec<Sample>) {
    for (width, signed) in WIDTHS.into_iter().flat_map(|width| [(width, false), (width, true)]) {
        let (name, since) = if signed { ("signed division", (6, 6)) } else { ("arithmetic", ALWAYS) };
        out.push(plain(format!("{name} {width:?}"), since, move |b| {
            let ops = ALU_OPS.into_iter().filter(|op| matches!(op, AluOp::SDiv | AluOp::SMod) == signed);
            for op in ops {
                b.mov_imm(R1, 77).mov_imm(R2, 3).alu(op, width, R1, R2).alu(op, width, R1, 5);
            }
        }));
    }
    for width in WIDTHS {
        out.push(plain(format!("immediates {width:?}"), ALWAYS, move |b| {
            b.mov_imm(R1, -7).alu(AluOp::And, width, R1, -16).alu(AluOp::Add, width, R1, i32::MIN);
            b.push(Instruction::Neg { width, dst: R1 });
        }));
        out.push(plain(format!("sign-extending moves {width:?}"), (6, 6), move |b| {
            b.mov_imm(R1, -7).mov_sx(width, Size::B, R4, R1).mov_sx(width, Size::H, R4, R1);
            if width == Width::W64 {
                b.mov_sx(width, Size::W, R4, R1);
            }
        }));
    }
    for order in [Swap::ToLe, Swap::ToBe, Swap::Bswap] {
        let since = if order == Swap::Bswap { (6, 6) } else { ALWAYS };
        out.push(plain(format!("{order:?}"), since, move |b| {
            for size in [Size::H, Size::W, Size::DW] {
                b.mov_imm(R3, 0x1234).swap(order, size, R3);
            }
        }));
    }
}

fn memory(out: &mut Vec<Sample>) {
    out.push(plain("loads and stores", ALWAYS, |b| {
        b.load(Size::W, R0, R1, 0).load(Size::W, R3, R1, 16).mov_imm(R2, 5);
        for size in [Size::DW, Size::W, Size::H, Size::B] {
            b.store_imm(size, R10, -8, -1).store(size, R10, -16, R2).load(size, R0, R10, -8);
        }
    }));
    out.push(plain("sign-extending loads", (6, 6), |b| {
        b.store_imm(Size::DW, R10, -8, -1);
        for size in [Size::B, Size::H, Size::W] {
            b.load_sx(size, R0, R10, -8);
        }
    }));
    out.push(plain("acquire and release", (6, 15), |b| {
        b.mov_imm(R2, 5);
        for size in [Size::DW, Size::W, Size::H, Size::B] {
            b.store(size, R10, -16, R2).store_release(size, R10, -16, R2).load_acquire(size, R0, R10, -16);
        }
    }));
    for add in [true, false] {
        let (name, since) = if add { ("atomic add", ALWAYS) } else { ("atomics", (5, 12)) };
        out.push(plain(name, since, move |b| {
            b.store_imm(Size::DW, R10, -8, 0).mov_imm(R0, 1);
            for op in ATOMICS.into_iter().filter(|op| (*op == AtomicOp::Add) == add) {
                for size in [Size::DW, Size::W] {
                    b.mov_imm(R2, 5).atomic(op, size, R10, -8, R2);
                }
            }
        }));
    }
    out.push(plain("packets", ALWAYS, |b| {
        b.mov(R6, R1).mov_imm(R7, 2);
        for size in [Size::B, Size::H, Size::W] {
            b.load_abs(size, 12).load_ind(size, R7, 4).load_ind(size, R7, -1);
        }
    }));
    out.push(sample("arena", (6, 9), Needs::Arena, |b, _| {
        b.ld_map(R1, MapRef(1)).mov_imm(R1, 64).addr_space_cast(R1, R1, 0, 1).addr_space_cast(R2, R1, 1, 0);
        b.mov_imm(R0, 0).exit();
    }));
}

fn jumps(out: &mut Vec<Sample>) {
    for width in WIDTHS {
        out.push(plain(format!("jumps {width:?}"), ALWAYS, move |b| {
            b.load(Size::W, R7, R1, 0).load(Size::W, R8, R1, 16);
            for cond in CONDS {
                for operand in [Operand::Reg(R8), Operand::Imm(-5), Operand::Imm(64)] {
                    let next = b.label();
                    b.jcc(cond, width, R7, operand, next).bind(next);
                }
            }
        }));
    }
    out.push(plain("goto", ALWAYS, |b| {
        let end = b.label();
        b.jmp(end).bind(end);
    }));
    out.push(plain("gotol", (6, 6), |b| {
        let (over, back, far) = (b.label(), b.label(), b.label());
        b.jmp(over).bind(back).jmp_long(far).bind(over).jmp_long(back).bind(far);
    }));
    out.push(plain("may_goto", (6, 9), |b| {
        let (head, end) = (b.label(), b.label());
        b.mov_imm(R8, 0).bind(head).may_goto(end).add_imm(R8, 1).jmp(head).bind(end);
    }));
    out.push(sample("gotox", (6, 19), Needs::Places([8, 10]), |b, _| {
        b.load(Size::W, R2, R1, 0).and_imm(R2, 1).lsh_imm(R2, 3).ld_map_value(R1, MapRef(1), 0).add(R1, R2);
        b.load(Size::DW, R1, R1, 0).jmp_reg(R1);
        b.mov_imm(R0, 0).exit().mov_imm(R0, 1).exit();
    }));
}

fn references(out: &mut Vec<Sample>) {
    out.push(sample("64-bit numbers and maps", ALWAYS, Needs::Nothing, |b, _| {
        b.ld_imm64(R1, u64::MAX)
            .ld_imm64(R1, 0)
            .ld_imm64(R1, 0x8000_0000)
            .ld_imm64(R2, 0x1234_5678_9abc_def0);
        b.ld_map(R1, MapRef(0)).ld_map_value(R1, MapRef(0), 8).mov_imm(R0, 0).exit();
    }));
    out.push(sample("maps by index", (5, 14), Needs::FdArray, |b, _| {
        b.push(Instruction::LdImm64 { dst: R1, value: Imm64::MapIdx(0) });
        b.push(Instruction::LdImm64 { dst: R1, value: Imm64::MapIdxValue { index: 0, offset: 4 } });
        b.mov_imm(R0, 0).exit();
    }));
    // Functions are in every kernel's symbol table; variables only where it was built with all symbols.
    out.push(sample("kernel symbol", (6, 2), Needs::Nothing, |b, btf| {
        let id = btf.find("vfs_read", Kind::Func).expect("every kernel has it");
        b.ld_btf_id(R5, id.0, 0).mov_imm(R0, 0).exit();
    }));
    out.push(sample("callback", (5, 13), Needs::Callback, |b, _| {
        let callback = b.label();
        b.ld_map(R1, MapRef(0)).ld_func(R2, callback).mov_imm(R3, 0).mov_imm(R4, 0);
        b.call(Helper::FOR_EACH_MAP_ELEM).mov_imm(R0, 0).exit();
        b.bind(callback).mov_imm(R0, 0).exit();
    }));
    out.push(sample("helpers", ALWAYS, Needs::Nothing, |b, _| {
        let hit = b.label();
        b.call(Helper::KTIME_GET_NS).call(Helper::GET_PRANDOM_U32).store(Size::W, R10, -4, R0);
        b.mov(R2, R10).add_imm(R2, -4).ld_map(R1, MapRef(0)).call(Helper::MAP_LOOKUP_ELEM);
        b.jne_imm(R0, 0, hit).mov_imm(R0, 0).exit();
        b.bind(hit).mov_imm(R1, 1).atomic_add(Size::DW, R0, 0, R1).mov_imm(R0, 0).exit();
    }));
    out.push(sample("local function", ALWAYS, Needs::Nothing, |b, _| {
        let function = b.label();
        b.call_local(function).mov_imm(R0, 0).exit().bind(function).mov_imm(R0, 7).exit();
    }));
    out.push(sample("kernel function", (6, 3), Needs::Nothing, |b, btf| {
        // Where the kernel does not have it, id 0 is refused.
        let id = btf.find("bpf_cast_to_kern_ctx", Kind::Func).map_or(0, |id| id.0);
        b.call_kfunc(id, 0).mov_imm(R0, 0).exit();
    }));
    out.push(sample("call through a register", NEVER, Needs::Callback, |b, _| {
        let function = b.label();
        b.ld_func(R2, function).push(Instruction::CallReg { dst: R2 }).mov_imm(R0, 0).exit();
        b.bind(function).mov_imm(R0, 0).exit();
    }));
}

pub fn samples() -> Vec<Sample> {
    let mut out = Vec::new();
    for group in [arithmetic, memory, jumps, references] {
        group(&mut out);
    }
    out
}

/// A program that the kernel took, with the verifier's log.
pub struct Loaded {
    pub name: String,
    pub program: Program,
    pub prog: Prog,
    pub log: String,
    _maps: Vec<Map>,
}

/// The running kernel's release.
pub fn release() -> (u32, u32) {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = text.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// BTF of two functions without parameters, as the kernel wants it for callbacks: ids 3 (global) and 4 (static).
fn function_types() -> Vec<u8> {
    let strings = b"\0int\0main_fn\0callback\0";
    let types: [&[u32]; 4] = [
        // An int; a prototype that returns it; the functions.
        &[1, 1 << 24, 4, (1 << 24) | 32],
        &[0, 13 << 24, 1],
        &[5, (12 << 24) | 1, 2],
        &[13, 12 << 24, 2],
    ];
    let types = types.concat();
    let (types_len, strings_len) = (types.len() as u32 * 4, strings.len() as u32);
    let mut out = 0xeb9f_u16.to_ne_bytes().to_vec();
    out.extend([1, 0]);
    for word in [24, 0, types_len, types_len, strings_len].iter().chain(&types) {
        out.extend(word.to_ne_bytes());
    }
    out.extend(strings);
    out
}

fn second_map(needs: Needs) -> bpf_sys::Result<Option<Map>> {
    match needs {
        Needs::Arena => MapCreate {
            map_type: MapType::Arena,
            max_entries: 1,
            flags: MapFlags::MMAPABLE,
            map_extra: 1 << 44,
            ..MapCreate::default()
        }
        .create()
        .map(Some),
        Needs::Places(places) => {
            let map = MapCreate {
                map_type: MapType::InsnArray,
                key_size: 4,
                value_size: 16,
                max_entries: 2,
                ..MapCreate::default()
            }
            .create()?;
            for (key, place) in (0_u32..).zip(places) {
                // The place in what is loaded; the kernel fills in the others.
                let mut value = [0; 16];
                value[..4].copy_from_slice(&place.to_ne_bytes());
                map.update(&key.to_ne_bytes(), &value, UpdateFlags::empty())?;
            }
            map.freeze()?;
            Ok(Some(map))
        }
        _ => Ok(None),
    }
}

fn load(sample: &Sample, btf: &Btf<'_>, counts: &Map) -> bpf_sys::Result<Loaded> {
    let mut b = Builder::new();
    (sample.build)(&mut b, btf);
    let program = b.finish().expect("samples are valid programs");
    let mut maps = vec![counts.try_clone()?];
    maps.extend(second_map(sample.needs)?);
    let fds: Vec<i32> = maps.iter().map(|map| map.as_fd().as_raw_fd()).collect();
    let insns = program.resolve_maps(&fds).expect("all maps are given");
    // Where its functions begin, and their types.
    let functions = [0, 3, program.insns.len() as u32 - 2, 4].map(u32::to_ne_bytes).concat();
    let types = (sample.needs == Needs::Callback).then(|| BtfObj::load(&function_types())).transpose()?;
    let fd_array = [counts.as_fd()];
    let (prog, log) = ProgLoad {
        btf: types.as_ref().map(AsFd::as_fd),
        func_info: Records { rec_size: 8, bytes: if types.is_some() { &functions } else { &[] } },
        prog_type: ProgType::SocketFilter,
        name: "tw_asm_test",
        insns: &insns,
        license: "GPL",
        log_level: 2,
        fd_array: if sample.needs == Needs::FdArray { &fd_array } else { &[] },
        ..ProgLoad::default()
    }
    .load_with_log()?;
    Ok(Loaded { name: sample.name.clone(), program, prog, log, _maps: maps })
}

/// All samples that the running kernel takes; `None` and a line on stderr when it takes none.
pub fn load_all(test: &str, btf: &Btf<'_>) -> Option<Vec<Loaded>> {
    let counts = bpf_sys::memlock::ensure().and_then(|_| {
        MapCreate {
            map_type: MapType::Array,
            key_size: 4,
            value_size: 64,
            max_entries: 1,
            ..MapCreate::default()
        }
        .create()
    });
    let counts = match counts {
        Ok(map) => map,
        Err(error) => {
            eprintln!("SKIP {test}: cannot create a map: {error}");
            return None;
        }
    };
    let (running, mut loaded, mut refused) = (release(), Vec::new(), Vec::new());
    for sample in samples() {
        match load(&sample, btf, &counts) {
            Ok(program) => loaded.push(program),
            Err(error) if running >= sample.since => {
                panic!("{}: the kernel refused the sample: {error}", sample.name)
            }
            Err(_) => refused.push(sample.name),
        }
    }
    println!("{} programs loaded; this kernel is too old for {refused:?}", loaded.len());
    Some(loaded)
}
