//! Probes on the running kernel: what they say must be what the kernel then does.

mod common;

use tracewell_bpf_sys::features::{self, Answer, Capability};
use tracewell_bpf_sys::map::MapType;
use tracewell_bpf_sys::prog::{AttachType, ProgLoad, ProgType};
use tracewell_bpf_sys::{cpus, memlock, nofile};

/// The kernel's release as (major, minor); only to judge the answers, which are never made from it.
fn release() -> (u32, u32) {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap(), parts.next().unwrap())
}

fn since(text: &str) -> (u32, u32) {
    let (major, minor) = text.split_once('.').unwrap();
    (major.parse().unwrap(), minor.parse().unwrap())
}

#[test]
fn root_answers_fit_the_release() {
    skip_unless_bpf!("root_answers_fit_the_release");
    let release = release();
    let mut wrong = Vec::new();
    for feature in features::ALL {
        let answer = feature.answer();
        eprintln!("{:24} since {:5} {answer}", feature.name(), feature.since());
        let expected = release >= since(feature.since());
        match answer {
            Answer::Yes if !expected => {
                wrong.push(format!("{}: yes before {}", feature.name(), feature.since()))
            }
            // A configuration may leave these out, and their answer says so.
            Answer::No { .. }
                if matches!(
                    feature.name(),
                    "kprobe_multi"
                        | "kprobe_session"
                        | "multi_cookie"
                        | "perf_kprobe"
                        | "syscall_tracepoints"
                        | "jit"
                ) => {}
            Answer::No { why } if expected => wrong.push(format!("{}: no: {why}", feature.name())),
            Answer::Unknown { why } => wrong.push(format!("{}: could not tell: {why}", feature.name())),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "on {release:?}: {wrong:#?}");
}

#[test]
fn features_are_named_once() {
    let mut names: Vec<_> = features::ALL.iter().map(|feature| feature.name()).collect();
    names.sort_unstable();
    names.windows(2).for_each(|pair| assert_ne!(pair[0], pair[1]));
    assert_eq!(features::by_name("ringbuf").unwrap().since(), "5.8");
    assert!(features::by_name("nothing").is_none());
}

#[test]
fn root_types_fit_the_release() {
    skip_unless_bpf!("root_types_fit_the_release");
    let release = release();
    let mut wrong = Vec::new();
    for &map_type in MapType::ALL {
        let answer = features::map_type(map_type);
        eprintln!("map {map_type}: {answer}");
        if answer.is_yes() && release < since(map_type.since().unwrap()) {
            wrong.push(format!("map {map_type}: yes before {}", map_type.since().unwrap()));
        }
    }
    for &prog_type in ProgType::ALL {
        let answer = features::prog_type(prog_type);
        eprintln!("prog {prog_type}: {answer}");
        if answer.is_yes() && release < since(prog_type.since().unwrap()) {
            wrong.push(format!("program {prog_type}: yes before {}", prog_type.since().unwrap()));
        }
    }
    for must in [
        ProgType::SocketFilter,
        ProgType::Kprobe,
        ProgType::SchedCls,
        ProgType::Tracepoint,
        ProgType::Xdp,
        ProgType::PerfEvent,
        ProgType::CgroupSkb,
        ProgType::RawTracepoint,
        ProgType::Tracing,
        ProgType::StructOps,
        ProgType::Ext,
        ProgType::SkLookup,
    ] {
        // A hardened kernel may refuse those that hook functions, which is then no answer but no wrong one either.
        let hooks = matches!(must, ProgType::Tracing | ProgType::Ext);
        let answer = features::prog_type(must);
        let refused = matches!(&answer, Answer::Unknown { why } if why.contains("EPERM"));
        if hooks && refused {
            eprintln!("SKIP root_types_fit_the_release: program {must}: {answer}");
        } else if !answer.is_yes() {
            wrong.push(format!("program {must}: {}", features::prog_type(must)));
        }
    }
    assert!(features::prog_type(ProgType::from_raw(900)).is_no());
    assert!(features::map_type(MapType::from_raw(900)).is_no());
    assert!(wrong.is_empty(), "on {release:?}: {wrong:#?}");
}

#[test]
fn root_helpers_are_told_apart() {
    skip_unless_bpf!("root_helpers_are_told_apart");
    let ask = |prog_type, helper| features::helper(prog_type, helper);
    // map_lookup_elem for everyone, though it is called with none of its arguments here.
    assert_eq!(ask(ProgType::SocketFilter, 1), Answer::Yes);
    assert_eq!(ask(ProgType::Kprobe, 1), Answer::Yes);
    // probe_read is for tracing, skb_store_bytes for packets.
    assert_eq!(ask(ProgType::Kprobe, 4), Answer::Yes);
    assert!(ask(ProgType::Kprobe, 9).is_no());
    assert_eq!(ask(ProgType::SchedCls, 9), Answer::Yes);
    // No kernel has this one.
    assert!(ask(ProgType::Kprobe, 100_000).is_no());
    assert!(ask(ProgType::Kprobe, u32::MAX).is_no());
    // And these cannot be told without a target.
    assert!(matches!(ask(ProgType::Tracing, 1), Answer::Unknown { .. }));
}

/// What the probe says about kprobe.multi is what attaching with it does.
#[test]
fn root_kprobe_multi_is_as_probed() {
    skip_unless_bpf!("root_kprobe_multi_is_as_probed");
    use tracewell_bpf_sys::link::{KprobeMulti, SymTable, kprobe_multi};
    let answer = features::has_kprobe_multi();
    let insns = [0xb7, 0x95u64];
    let prog = ProgLoad {
        prog_type: ProgType::Kprobe,
        insns: &insns,
        license: "GPL",
        expected_attach_type: Some(AttachType::TraceKprobeMulti),
        ..ProgLoad::default()
    };
    let Ok(prog) = prog.load() else {
        assert!(!answer.is_yes());
        return;
    };
    // A name that no function has: nothing gets attached either way.
    let table = SymTable::all(b"tracewell_no_such_function\0").unwrap();
    let error = kprobe_multi(&prog, &KprobeMulti { syms: Some(&table), ..Default::default() }).unwrap_err();
    eprintln!("{answer}: {error}");
    use tracewell_bpf_sys::Errno;
    let absent = [Errno::EINVAL, Errno::EOPNOTSUPP].iter().any(|errno| error.is_errno(*errno));
    assert_eq!(answer.is_yes(), !absent, "{answer}: {error}");
}

#[test]
fn root_limits_and_processors() {
    skip_unless_bpf!("root_limits_and_processors");
    assert!(
        features::has_capability(Capability::SysAdmin).is_yes()
            || features::has_capability(Capability::Bpf).is_yes()
    );
    memlock::ensure().unwrap();
    let soft = nofile::raise(100).unwrap();
    assert!(soft >= 100, "{soft}");
    let online = cpus::online().unwrap();
    let possible = cpus::possible().unwrap();
    assert!(!online.is_empty() && online.iter().all(|cpu| possible.contains(*cpu)));
}
