//! Prototypes of the helpers, read from the tables in `protos/`.
//!
//! A line is a helper: `name[/variant][@since] [properties] (arguments) -> result`. Most helpers have one prototype;
//! where program types are given different ones, each has its line and a name. A prototype that changed has a line for
//! each kernel that changed it; what a kernel has is the newest that is not newer than it.
//!
//! An argument is a kind (`mem`, `map`, `btf=task_struct` ...), a size in brackets where the helper itself fixes it, `?`
//! where NULL will do, and after a colon what is done with it: `r` only read, `w` written, `u` need not be initialised,
//! `a` aligned, `release` given back, `local` or `ringbuf` for the kind of a dynptr.

use crate::kernel::Version;
use crate::verifier::reg::Flags;
use asm::Helper;
use std::cmp::Reverse;
use std::sync::LazyLock;

/// What an argument must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum ArgType {
    /// The helper has no such argument.
    #[default]
    None,
    /// Any number; pointers only where they may leak.
    Anything,
    /// A number that must have been computed.
    Scalar,
    Ctx,
    Map,
    /// A key of the map before it.
    MapKey,
    /// A value of the map before it.
    MapValue,
    Mem,
    /// Size of the memory before it, not 0.
    Size,
    /// Size of the memory before it.
    SizeOrZero,
    /// How much memory the helper is to give.
    AllocSize,
    /// A subprogram to call back.
    Func,
    Stack,
    /// A constant string in read-only memory.
    ConstStr,
    Timer,
    SpinLock,
    SockCommon,
    /// A socket of any of the verifier's types or by BTF.
    BtfSock,
    Socket,
    /// A kernel object of this type.
    Btf(&'static str),
    PercpuBtf,
    RingbufMem,
    Dynptr,
    /// Where `bpf_kptr_xchg` puts its object.
    KptrDest,
}

/// What a helper gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RetType {
    Integer,
    Void,
    MapValue,
    Socket,
    SockCommon,
    TcpSock,
    Mem,
    MemOrBtf,
    /// A kernel object; `*` is what the argument said.
    Btf(&'static str),
}

/// Programs that alone may call a helper, beyond their type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Condition {
    /// Attached where paths may be resolved.
    DPath,
    /// Attached to an LSM hook that may sleep.
    SleepableHook,
    /// Not attached to the functions of socket storage.
    SkStorage,
}

/// An argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Arg {
    pub kind: ArgType,
    pub flags: Flags,
    /// Bytes that are accessed, for memory of fixed size.
    pub size: u32,
}

/// The prototype of a helper.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Proto {
    pub helper: Helper,
    /// The first kernel that has it so; `None` for the oldest.
    pub since: Option<Version>,
    /// Which of several it is; empty for the usual one.
    pub variant: &'static str,
    pub gpl_only: bool,
    /// May be given packet memory.
    pub pkt_access: bool,
    pub might_sleep: bool,
    /// Keeps r1 to r5 where it is put inline.
    pub fastcall: bool,
    pub condition: Option<Condition>,
    pub args: [Arg; 5],
    pub ret: RetType,
    pub ret_flags: Flags,
}

/// All prototypes by the helper's id; the usual one first, of each the newest first.
pub(crate) static PROTOS: LazyLock<Vec<Vec<Proto>>> = LazyLock::new(|| {
    let mut all = vec![Vec::new(); Helper::all().count()];
    for line in TABLES.iter().flat_map(|table| table.lines()).filter(|line| !line.starts_with('#')) {
        // The tables are part of this crate, and a test reads each line.
        if let Some(proto) = parse(line) {
            all[proto.helper.0 as usize].push(proto);
        }
    }
    for variants in &mut all {
        variants.sort_by_key(|proto| (proto.variant, Reverse(proto.since)));
    }
    all
});

const TABLES: [&str; 3] =
    [include_str!("protos/core.txt"), include_str!("protos/tracing.txt"), include_str!("protos/net.txt")];

fn parse(line: &'static str) -> Option<Proto> {
    let (head, rest) = line.split_once('(')?;
    let (args, ret) = rest.split_once(") -> ")?;
    let mut head = head.split_whitespace();
    let name = head.next()?;
    let (name, since) = match name.split_once('@') {
        Some((name, since)) => (name, Some(since.parse().ok()?)),
        None => (name, None),
    };
    let (name, variant) = name.split_once('/').unwrap_or((name, ""));
    let (ret, ret_flags) = parse_ret(ret)?;
    let mut proto = Proto {
        helper: Helper::by_name(name)?,
        since,
        variant,
        gpl_only: false,
        pkt_access: false,
        might_sleep: false,
        fastcall: false,
        condition: None,
        args: [Arg::default(); 5],
        ret,
        ret_flags,
    };
    for property in head {
        match property {
            "gpl" => proto.gpl_only = true,
            "pkt" => proto.pkt_access = true,
            "sleeps" => proto.might_sleep = true,
            "fastcall" => proto.fastcall = true,
            "d_path" => proto.condition = Some(Condition::DPath),
            "sleepable_hook" => proto.condition = Some(Condition::SleepableHook),
            "sk_storage" => proto.condition = Some(Condition::SkStorage),
            _ => return None,
        }
    }
    for (at, arg) in args.split(", ").filter(|arg| !arg.is_empty()).enumerate() {
        *proto.args.get_mut(at)? = parse_arg(arg)?;
    }
    Some(proto)
}

fn parse_arg(text: &'static str) -> Option<Arg> {
    let (text, mut flags) = split_flags(text)?;
    let (text, size) = match text.split_once('[') {
        Some((text, size)) => (text, size.strip_suffix(']')?.parse().ok()?),
        None => (text, 0),
    };
    if size != 0 {
        flags |= Flags::FIXED_SIZE;
    }
    let kind = match text.split_once('=') {
        Some(("btf", name)) => ArgType::Btf(name),
        Some(_) => return None,
        None => match text {
            "any" => ArgType::Anything,
            "scalar" => ArgType::Scalar,
            "ctx" => ArgType::Ctx,
            "map" => ArgType::Map,
            "key" => ArgType::MapKey,
            "value" => ArgType::MapValue,
            "mem" => ArgType::Mem,
            "size" => ArgType::Size,
            "size0" => ArgType::SizeOrZero,
            "alloc_size" => ArgType::AllocSize,
            "func" => ArgType::Func,
            "stack" => ArgType::Stack,
            "str" => ArgType::ConstStr,
            "timer" => ArgType::Timer,
            "spin_lock" => ArgType::SpinLock,
            "sock_common" => ArgType::SockCommon,
            "btf_sock" => ArgType::BtfSock,
            "socket" => ArgType::Socket,
            "percpu" => ArgType::PercpuBtf,
            "ringbuf_mem" => ArgType::RingbufMem,
            "dynptr" => ArgType::Dynptr,
            "kptr" => ArgType::KptrDest,
            _ => return None,
        },
    };
    Some(Arg { kind, flags, size })
}

fn parse_ret(text: &'static str) -> Option<(RetType, Flags)> {
    let (text, flags) = split_flags(text)?;
    let ret = match text.split_once('=') {
        Some(("btf", name)) => RetType::Btf(name),
        Some(_) => return None,
        None => match text {
            "int" => RetType::Integer,
            "void" => RetType::Void,
            "value" => RetType::MapValue,
            "socket" => RetType::Socket,
            "sock_common" => RetType::SockCommon,
            "tcp_sock" => RetType::TcpSock,
            "mem" => RetType::Mem,
            "mem_or_btf" => RetType::MemOrBtf,
            _ => return None,
        },
    };
    Some((ret, flags))
}

/// `text?:flag+flag` as text and flags.
fn split_flags(text: &'static str) -> Option<(&'static str, Flags)> {
    let mut flags = Flags::empty();
    let (text, words) = text.split_once(':').unwrap_or((text, ""));
    for word in words.split('+').filter(|word| !word.is_empty()) {
        flags |= match word {
            "r" => Flags::RDONLY,
            "w" => Flags::WRITE,
            "u" => Flags::UNINIT,
            "a" => Flags::ALIGNED,
            "release" => Flags::OBJ_RELEASE,
            "local" => Flags::DYNPTR_LOCAL,
            "ringbuf" => Flags::RINGBUF,
            "dynptr_ringbuf" => Flags::DYNPTR_RINGBUF,
            "trusted" => Flags::TRUSTED,
            _ => return None,
        };
    }
    match text.strip_suffix('?') {
        Some(text) => Some((text, flags | Flags::MAYBE_NULL)),
        None => Some((text, flags)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_and_every_helper_has_one() {
        for line in TABLES.iter().flat_map(|table| table.lines()).filter(|line| !line.starts_with('#')) {
            assert!(parse(line).is_some(), "{line}");
        }
        for helper in Helper::all().skip(1) {
            let variants = &PROTOS[helper.0 as usize];
            let is_usual = |proto: &&Proto| proto.variant.is_empty() && proto.since.is_none();
            let usual = variants.iter().filter(is_usual).count();
            assert_eq!(usual, 1, "{helper:?}");
        }
        assert!(PROTOS[0].is_empty());
        assert_eq!(PROTOS.len(), 212);
    }

    #[test]
    fn sizes_follow_the_memory_they_measure() {
        for proto in PROTOS.iter().flatten() {
            for (at, arg) in proto.args.iter().enumerate() {
                let next = proto.args.get(at + 1).map(|arg| arg.kind);
                let sized = matches!(next, Some(ArgType::Size | ArgType::SizeOrZero));
                let fixed = arg.flags.contains(Flags::FIXED_SIZE);
                assert_eq!(fixed, arg.size != 0, "{proto:?}");
                if arg.kind != ArgType::Mem {
                    assert!(!sized, "{proto:?}");
                } else {
                    assert!(fixed != sized, "{proto:?}");
                }
            }
        }
    }
}
