//! The tables of helpers beside the running kernel, which is asked about every helper in every kind of program.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::process::CommandExt;

use asm::Insn;
use bpf_sys::map::MapType;
use bpf_sys::prog::{AttachType, ProgFlags, ProgLoad, ProgType};
use bpf_sys::{Error, features, memlock};
use btf::{Btf, Kind};
use tracewell_jit_check::Program;
use tracewell_jit_check::kernel::{Kernel, Privileges, Version};
use tracewell_jit_check::verifier::{Options, verify};

const EXIT: u64 = 0x95;
/// One more than any kernel has.
const HELPERS: u32 = 212;

/// A program to ask with: its name in the tables, and how it is loaded.
struct Asker {
    name: String,
    prog_type: ProgType,
    attach: Option<AttachType>,
    btf_id: u32,
    flags: ProgFlags,
}

fn call(helper: u32) -> u64 {
    0x85 | u64::from(helper) << 32
}

impl Asker {
    fn new(prog_type: ProgType, attach: Option<AttachType>) -> Asker {
        let name = match attach {
            Some(attach) => format!("{}/{}", prog_type.name(), attach.name()),
            None => prog_type.name(),
        };
        let sleepable = prog_type == ProgType::Syscall;
        let flags = if sleepable { ProgFlags::SLEEPABLE } else { ProgFlags::empty() };
        Asker { name, prog_type, attach, btf_id: 0, flags }
    }

    /// What the verifier says of a call; empty where it likes the program.
    fn say(&self, helper: u32) -> String {
        let load = ProgLoad {
            prog_type: self.prog_type,
            insns: &[call(helper), EXIT],
            license: "GPL",
            expected_attach_type: self.attach,
            attach_btf_id: self.btf_id,
            prog_flags: self.flags,
            log_level: 1,
            ..ProgLoad::default()
        };
        match load.load() {
            Ok(_) => String::new(),
            Err(Error::ProgLoad(e)) => e.log,
            Err(e) => e.to_string(),
        }
    }

    /// Whether its calls are looked at at all.
    fn is_loaded(&self) -> bool {
        self.say(100_000).contains("invalid func")
    }

    fn helpers(&self) -> [u64; 4] {
        let mut words = [0; 4];
        for helper in 1..HELPERS {
            let log = self.say(helper);
            let refused = ["unknown func", "program of this type cannot use helper", "invalid func"]
                .iter()
                .any(|no| log.contains(no));
            words[helper as usize / 64] |= u64::from(!refused) << (helper % 64);
        }
        words
    }
}

/// Program types by their name alone, or by where they are attached as well.
fn askers(btf: Option<&Btf<'_>>) -> Vec<Asker> {
    let mut askers = Vec::new();
    for prog_type in ProgType::ALL.iter().copied().filter(|known| {
        !matches!(known, ProgType::Tracing | ProgType::Lsm | ProgType::StructOps | ProgType::Ext)
    }) {
        askers.push(Asker::new(prog_type, None));
        let place = |attach: &AttachType| {
            let name = attach.name();
            match prog_type {
                ProgType::CgroupSkb
                | ProgType::CgroupSock
                | ProgType::CgroupSockAddr
                | ProgType::CgroupSockopt => name.starts_with("cgroup_"),
                ProgType::CgroupSysctl
                | ProgType::CgroupDevice
                | ProgType::SkLookup
                | ProgType::Netfilter => name == prog_type.name(),
                ProgType::SockOps => name == "cgroup_sock_ops",
                _ => false,
            }
        };
        askers
            .extend(AttachType::ALL.iter().filter(|at| place(at)).map(|at| Asker::new(prog_type, Some(*at))));
    }
    let Some(btf) = btf else { return askers };
    let hooks = [
        (ProgType::Tracing, AttachType::TraceRawTp, "btf_trace_sched_switch", false),
        (ProgType::Tracing, AttachType::TraceFentry, "bpf_fentry_test1", false),
        (ProgType::Tracing, AttachType::TraceFexit, "bpf_fentry_test1", false),
        (ProgType::Tracing, AttachType::ModifyReturn, "bpf_modify_return_test", false),
        (ProgType::Tracing, AttachType::TraceIter, "bpf_iter_task", false),
        (ProgType::Lsm, AttachType::LsmMac, "bpf_lsm_file_open", false),
        (ProgType::Lsm, AttachType::LsmCgroup, "bpf_lsm_socket_bind", false),
        (ProgType::Lsm, AttachType::LsmCgroup, "bpf_lsm_sock_graft", true),
        (ProgType::Lsm, AttachType::LsmCgroup, "bpf_lsm_inet_csk_clone", true),
        (ProgType::Lsm, AttachType::LsmCgroup, "bpf_lsm_inet_conn_established", true),
        (ProgType::Lsm, AttachType::LsmCgroup, "bpf_lsm_socket_post_create", true),
        (ProgType::Lsm, AttachType::LsmCgroup, "bpf_lsm_socket_socketpair", true),
    ];
    for (prog_type, attach, hook, named) in hooks {
        let kind = if attach == AttachType::TraceRawTp { Kind::Typedef } else { Kind::Func };
        let Some(id) = btf.find(hook, kind) else { continue };
        let mut asker = Asker { btf_id: id.0, ..Asker::new(prog_type, Some(attach)) };
        if named {
            let _ = write!(asker.name, ":{hook}");
        }
        askers.push(asker);
    }
    // Some iterators offer more than the rest.
    for (hook, id) in
        btf.functions().map(|(id, hook)| (hook, id)).filter(|(hook, _)| hook.starts_with("bpf_iter_"))
    {
        let asker = Asker::new(ProgType::Tracing, Some(AttachType::TraceIter));
        askers.push(Asker { btf_id: id.0, name: format!("{}:{hook}", asker.name), ..asker });
    }
    for (name, member) in [
        ("tcp_congestion_ops", "ssthresh"),
        ("tcp_congestion_ops", "release"),
        ("sched_ext_ops", "select_cpu"),
        ("bpf_dummy_ops", "test_1"),
        ("hid_bpf_ops", "hid_device_event"),
        ("Qdisc_ops", "enqueue"),
    ] {
        let Some(id) = btf.find(name, Kind::Struct) else { continue };
        let members = btf.type_by_id(id).into_iter().flat_map(|ty| ty.members());
        let Some(at) = members.map(|member| member.name).position(|known| known == member) else { continue };
        let name = if member == "release" { format!("{name}.{member}") } else { name.to_owned() };
        askers.push(Asker {
            name: format!("struct_ops/{name}"),
            btf_id: id.0,
            ..Asker::new(ProgType::StructOps, Some(AttachType::from_raw(at as u32)))
        });
    }
    askers
}

/// What the kernel says, as a table.
fn ask() -> String {
    let file = std::fs::read("/sys/kernel/btf/vmlinux").ok();
    let btf = file.as_ref().and_then(|file| Btf::parse(file).ok());
    let mut rows: BTreeMap<String, [u64; 4]> = BTreeMap::new();
    let mut order = Vec::new();
    for asker in askers(btf.as_ref()).iter().filter(|asker| asker.is_loaded()) {
        let words = asker.helpers();
        // A place that is as its type is takes no line.
        let known = asker.name.split_once([':', '/']).and_then(|_| {
            let at = asker.name.rfind([':', '/'])?;
            rows.get(&asker.name[..at])
        });
        if known != Some(&words) {
            order.push(asker.name.clone());
            rows.insert(asker.name.clone(), words);
        }
    }
    order.iter().fold(String::new(), |mut text, name| {
        let hex = rows[name].iter().rev().fold(String::new(), |hex, word| format!("{hex}{word:016x}"));
        let digits = hex.trim_start_matches('0');
        let _ = writeln!(text, "{name} {}", if digits.is_empty() { "0" } else { digits });
        text
    })
}

#[test]
fn root_each_program_type_has_the_helpers_of_the_table() {
    let name = "root_each_program_type_has_the_helpers_of_the_table";
    if let Err(e) = memlock::ensure() {
        eprintln!("SKIP {name}: {e}");
        return;
    }
    if !Asker::new(ProgType::Xdp, None).is_loaded() {
        eprintln!("SKIP {name}: programs cannot be loaded");
        return;
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version = release.split(['.', '-']).take(2).collect::<Vec<_>>().join(".");
    let table = match version.as_str() {
        "5.10" => include_str!("../src/tables/helpers/5.10.txt"),
        "6.1" => include_str!("../src/tables/helpers/6.1.txt"),
        "6.12" => include_str!("../src/tables/helpers/6.12.txt"),
        "6.18" => include_str!("../src/tables/helpers/6.18.txt"),
        "7.2" => include_str!("../src/tables/helpers/7.2.txt"),
        _ => {
            eprintln!("SKIP {name}: there is no table of Linux {version}");
            return;
        }
    };
    let answer = ask();
    // In which order a kernel's types come is its own business.
    let sorted = |text: &str| {
        let mut lines: Vec<String> =
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert!(sorted(table) == sorted(&answer), "Linux {version} says otherwise:\n--8<--\n{answer}-->8--\n");
}

#[test]
fn root_each_type_is_there_where_the_table_says_so() {
    let name = "root_each_type_is_there_where_the_table_says_so";
    if !Asker::new(ProgType::Xdp, None).is_loaded() {
        eprintln!("SKIP {name}: programs cannot be loaded");
        return;
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = Kernel::new(release.parse().expect("a release"), None);
    let mut wrong = Vec::new();
    for map_type in MapType::ALL {
        let answer = features::map_type(*map_type);
        // Without an answer (what the type needs is not configured, or not to be had here) there is nothing to compare.
        if answer.is_yes() != kernel.has_map_type(*map_type) && (answer.is_yes() || answer.is_no()) {
            wrong.push(format!("map {}: {answer:?}", map_type.name()));
        }
    }
    for prog_type in ProgType::ALL {
        let answer = features::prog_type(*prog_type);
        if answer.is_yes() != kernel.has_prog_type(*prog_type) && (answer.is_yes() || answer.is_no()) {
            wrong.push(format!("program {}: {answer:?}", prog_type.name()));
        }
    }
    // Distributions leave these out: remote controls, and sockets' maps without an XDP socket.
    wrong.retain(|line| !["program lirc_mode2:", "map xskmap:"].iter().any(|known| line.starts_with(known)));
    assert!(wrong.is_empty(), "Linux {release}: {wrong:#?}");
}

/// Types of programs that those without privileges may load, by the helpers that they are refused.
fn refused_unprivileged() -> String {
    let mut text = String::new();
    for prog_type in [ProgType::SocketFilter, ProgType::CgroupSkb] {
        let asker = Asker::new(prog_type, None);
        if !asker.is_loaded() {
            return format!("{} is not loaded: {}", prog_type.name(), asker.say(100_000));
        }
        let refused = (1..HELPERS).filter(|helper| asker.say(*helper).contains("cannot use helper"));
        let _ = writeln!(text, "{}: {:?}", prog_type.name(), refused.collect::<Vec<_>>());
    }
    text
}

/// The same, as simulated.
fn refused_unprivileged_here(kernel: &Kernel<'_>) -> String {
    let mut options = Options::default();
    options.privileges = Privileges::None;
    [ProgType::SocketFilter, ProgType::CgroupSkb].into_iter().fold(String::new(), |mut text, prog_type| {
        let refused = (1..HELPERS).filter(|helper| {
            let insns = [call(*helper), EXIT].map(Insn::from_u64).to_vec();
            verify(&Program::new("ask", prog_type, insns), kernel, &options).log.contains("cannot use helper")
        });
        let _ = writeln!(text, "{}: {:?}", prog_type.name(), refused.collect::<Vec<_>>());
        text
    })
}

#[test]
fn root_the_unprivileged_are_refused_the_same_helpers() {
    let name = "root_the_unprivileged_are_refused_the_same_helpers";
    const CHILD: &str = "TRACEWELL_UNPRIVILEGED_CHILD";
    if std::env::var_os(CHILD).is_some() {
        println!("--8<--\n{}-->8--", refused_unprivileged());
        return;
    }
    const SYSCTL: &str = "/proc/sys/kernel/unprivileged_bpf_disabled";
    /// Puts the setting back: other tests of the guest see the machine as it was.
    struct Back(String);
    impl Drop for Back {
        fn drop(&mut self) {
            let _ = std::fs::write(SYSCTL, &self.0);
        }
    }
    // Guests are the tests' own; the running machine stays as it is.
    let _back = std::env::var_os("TRACEWELL_GUEST").map(|_| {
        let back = Back(std::fs::read_to_string(SYSCTL).unwrap_or_default());
        let _ = std::fs::write(SYSCTL, "0");
        back
    });
    let sysctl = std::fs::read_to_string(SYSCTL).unwrap_or_default();
    if sysctl.trim() != "0" {
        eprintln!("SKIP {name}: kernel.unprivileged_bpf_disabled is {}", sysctl.trim());
        return;
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = Kernel::new(release.parse().expect("a release"), None);
    if !(Version(6, 12)..Version(7, 0)).contains(&kernel.version) {
        eprintln!("SKIP {name}: helpers are as in Linux 6.12, and this is {}", kernel.version);
        return;
    }
    let child = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .uid(65534)
        .output();
    let child = match child {
        Ok(child) => child,
        Err(e) => {
            eprintln!("SKIP {name}: the test cannot be started without privileges: {e}");
            return;
        }
    };
    let said = String::from_utf8_lossy(&child.stdout);
    let answer = said.split("--8<--\n").nth(1).and_then(|rest| rest.split("-->8--").next());
    assert_eq!(answer.unwrap_or(&said), refused_unprivileged_here(&kernel));
}
