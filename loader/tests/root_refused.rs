//! Programs that every verifier refuses, and what is said about them. Run with `TRACEWELL_SHOW_LOGS=1` and `--nocapture`
//! to see the logs in full.

mod common;

use asm::{Builder, Helper, MapRef, R0, R1, R2, R3, R6, R10, Size};
use bpf_sys::map::MapType;
use bpf_sys::prog::ProgType;
use common::{data, load, object, program};
use loader::{Error, MapKind, MapSpec};

struct Case {
    name: &'static str,
    prog_type: ProgType,
    license: &'static str,
    build: fn(&mut Builder),
    /// Index of the instruction at which all kernels stop; `None` where they differ.
    insn: Option<usize>,
    /// Whether newer kernels take it.
    optional: bool,
    /// Part of the meaning and of the remedy.
    says: (&'static str, &'static str),
}

const fn case(
    name: &'static str,
    build: fn(&mut Builder),
    insn: usize,
    says: (&'static str, &'static str),
) -> Case {
    Case {
        name,
        prog_type: ProgType::SocketFilter,
        license: "GPL",
        build,
        insn: Some(insn),
        optional: false,
        says,
    }
}

/// `r0 = lookup(hash, &0)`, six words.
fn lookup(b: &mut Builder) {
    b.store_imm(Size::W, R10, -4, 0)
        .mov(R2, R10)
        .add_imm(R2, -4)
        .ld_map(R1, MapRef(0))
        .call(Helper::MAP_LOOKUP_ELEM);
}

const CASES: &[Case] = &[
    case(
        "no_return_value",
        |b| {
            b.exit();
        },
        0,
        ("r0 has no value", "return a value on every path"),
    ),
    case(
        "lost_argument",
        |b| {
            b.call(Helper::KTIME_GET_NS).mov(R0, R1).exit();
        },
        1,
        ("r1 has no value here", "variable of its own"),
    ),
    case(
        "unchecked_lookup",
        |b| {
            lookup(b);
            b.load(Size::DW, R0, R0, 0).exit();
        },
        6,
        ("may be NULL here: the result of bpf_map_lookup_elem()", "compare the pointer with NULL"),
    ),
    case(
        "number_as_pointer",
        |b| {
            b.mov_imm(R1, 4096).load(Size::DW, R0, R1, 0).exit();
        },
        1,
        ("r1 is a number", "bpf_probe_read_kernel()"),
    ),
    case(
        "behind_the_value",
        |b| {
            let out = b.label();
            lookup(b);
            b.jeq_imm(R0, 0, out).load(Size::DW, R1, R0, 4).bind(out).mov_imm(R0, 0).exit();
        },
        7,
        ("8 bytes at offset 4, where there are 8 bytes", "compare the index"),
    ),
    case(
        "unlimited_index",
        |b| {
            let out = b.label();
            lookup(b);
            b.jeq_imm(R0, 0, out).mov(R6, R0).call(Helper::GET_PRANDOM_U32);
            b.add(R6, R0).load(Size::B, R1, R6, 0).bind(out).mov_imm(R0, 0).exit();
        },
        9,
        ("not limited", "limit the variable"),
    ),
    case(
        "negative_size",
        |b| {
            b.call(Helper::GET_PRANDOM_U32).mov(R2, R0).lsh_imm(R2, 32).arsh_imm(R2, 32);
            b.mov(R1, R10).add_imm(R1, -8).mov_imm(R3, 0).call(Helper::TRACE_PRINTK).mov_imm(R0, 0).exit();
        },
        7,
        ("may be negative", "unsigned"),
    ),
    // Since Linux 6.3 privileged programs may.
    Case {
        optional: true,
        ..case(
            "unwritten_stack",
            |b| {
                b.mov(R2, R10).add_imm(R2, -4).ld_map(R1, MapRef(0)).call(Helper::MAP_LOOKUP_ELEM);
                b.mov_imm(R0, 0).exit();
            },
            4,
            ("never written", "clear the variable"),
        )
    },
    case(
        "too_much_stack",
        |b| {
            b.store_imm(Size::DW, R10, -520, 0).mov_imm(R0, 0).exit();
        },
        0,
        ("more than 512 bytes of stack", "per-CPU array"),
    ),
    case(
        "context",
        |b| {
            b.load(Size::DW, R0, R1, 4000).exit();
        },
        0,
        ("bytes at 4000 of the context", "context structure"),
    ),
    case(
        "wrong_argument",
        |b| {
            b.mov_imm(R1, 0).mov(R2, R10).add_imm(R2, -4).call(Helper::MAP_LOOKUP_ELEM).exit();
        },
        3,
        ("an argument of bpf_map_lookup_elem()", "pass a pointer"),
    ),
    Case {
        prog_type: ProgType::Kprobe,
        license: "Proprietary",
        ..case(
            "licence",
            |b| {
                b.mov(R1, R10).add_imm(R1, -8).mov_imm(R2, 8).mov_imm(R3, 0);
                b.call(Helper::PROBE_READ_KERNEL).mov_imm(R0, 0).exit();
            },
            4,
            ("GPL-compatible programs only, and the licence is \"Proprietary\"", "SEC(\"license\")"),
        )
    },
    case(
        "not_for_this_type",
        |b| {
            b.mov_imm(R1, 0).mov_imm(R2, 0).call(Helper::OVERRIDE_RETURN).mov_imm(R0, 0).exit();
        },
        2,
        ("bpf_override_return() came with Linux 4.16", "socket_filter programs"),
    ),
    case(
        "unreleased",
        |b| {
            b.ld_map(R1, MapRef(1)).mov_imm(R2, 8).mov_imm(R3, 0).call(Helper::RINGBUF_RESERVE);
            b.mov_imm(R0, 0).exit();
        },
        6,
        ("what bpf_ringbuf_reserve() gave at instruction 4", "bpf_ringbuf_submit()"),
    ),
    case(
        "endless_loop",
        |b| {
            let again = b.label();
            b.mov_imm(R0, 0).bind(again).jeq_imm(R0, 0, again).exit();
        },
        1,
        ("changes nothing", "count the rounds"),
    ),
    Case {
        insn: None,
        ..case(
            "too_complex",
            |b| {
                for _ in 0..9000 {
                    let next = b.label();
                    b.call(Helper::GET_PRANDOM_U32).jeq_imm(R0, 7, next).bind(next);
                }
                b.mov_imm(R0, 0).exit();
            },
            0,
            ("more paths", "bpf_loop()"),
        )
    },
    Case {
        insn: Some(2),
        ..case(
            "unreachable",
            |b| {
                b.mov_imm(R0, 0).exit().mov_imm(R0, 1).exit();
            },
            2,
            ("no path leads to", "-O2"),
        )
    },
    case(
        "constant",
        |b| {
            b.ld_map_value(R1, MapRef(2), 0).store_imm(Size::W, R1, 0, 1).mov_imm(R0, 0).exit();
        },
        2,
        ("read-only for programs", ".data or .bss"),
    ),
    Case {
        prog_type: ProgType::Xdp,
        ..case(
            "packet",
            |b| {
                b.load(Size::W, R2, R1, 0).load(Size::B, R0, R2, 14).exit();
            },
            1,
            ("packet may end before", "data_end"),
        )
    },
    Case {
        prog_type: ProgType::CgroupSkb,
        ..case(
            "returned_value",
            |b| {
                b.mov_imm(R0, 77).exit();
            },
            1,
            ("may return only certain values", "return one of those"),
        )
    },
];

#[test]
fn root_every_refusal_is_explained() {
    skip_unless_bpf!("root_every_refusal_is_explained");
    let show = std::env::var_os("TRACEWELL_SHOW_LOGS").is_some();
    let mut wrong = String::new();
    for case in CASES {
        let mut object = object("refused");
        object.license = case.license.to_owned();
        object.maps = vec![
            MapSpec::new("counts", MapType::Hash, 4, 8, 16),
            MapSpec::new("events", MapType::Ringbuf, 0, 0, 4096),
            data(".rodata", MapKind::Rodata, &[("constant", 4)]),
        ];
        object.programs = vec![program(case.name, case.prog_type, case.build)];
        let error = match load(&object) {
            Err(Error::Verifier(error)) => error,
            Err(error) => panic!("{}: {error}", case.name),
            Ok(_) if case.optional => continue,
            Ok(_) => panic!("{} was loaded", case.name),
        };
        if show {
            println!("==== {}\n{error}\n---- log\n{}", case.name, shortened(&error.log));
        }
        let meaning = error.meaning.clone().unwrap_or_default();
        let remedy = error.remedy.clone().unwrap_or_default();
        let good = (case.insn.is_none() || error.insn == case.insn)
            && meaning.contains(case.says.0)
            && remedy.contains(case.says.1)
            && !error.reason.is_empty()
            && error.to_string().lines().count() <= 6;
        if !good {
            wrong += &format!("==== {}\n{error}\n---- log\n{}\n", case.name, shortened(&error.log));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The beginning and the end of a log.
fn shortened(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    match lines.len() {
        0..40 => log.to_owned(),
        count => format!("{}\n[...]\n{}", lines[..15].join("\n"), lines[count - 15..].join("\n")),
    }
}
