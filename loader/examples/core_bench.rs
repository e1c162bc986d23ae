//! What CO-RE costs: `cargo run --release -p tracewell-loader --example core_bench [OBJECT] [--btf FILE]`.
//!
//! Prints the time of 100 relocations against the kernel's types, the search for candidates included, each type and member
//! asked for once: half of them are members of structs that every kernel has, the rest asks for types and enumerators.
//! With an object file, the time that relocating it takes.
#![forbid(unsafe_code)]

use btf::ext::CoreReloKind;
use btf::{Btf, Builder, Kind, NewMember, TypeId};
use loader::core::Relocator;
use loader::{CoreRelo, Object, Target};
use std::time::{Duration, Instant};

/// Structs that programs commonly look into.
const STRUCTS: [&str; 14] = [
    "vm_area_struct",
    "signal_struct",
    "task_struct",
    "sock",
    "sk_buff",
    "file",
    "inode",
    "dentry",
    "mm_struct",
    "cred",
    "request",
    "net_device",
    "bio",
    "super_block",
];

/// Types of the kernel as an object would declare them: some members of some structs, all integers.
fn object(kernel: &Btf<'_>) -> (Vec<u8>, Vec<CoreRelo>) {
    let mut builder = Builder::new(kernel.endian());
    let encoding = btf::IntEncoding { bits: 32, offset: 0, signed: false, char: false, bool: false };
    let int = builder.int("unsigned int", 4, encoding);
    let pointer = builder.ptr(TypeId(0));
    let mut relos = Vec::new();
    let mut ask = |kind, type_id, access: String| relos.push(CoreRelo { insn: 0, kind, type_id, access });
    for name in STRUCTS {
        let Some((_, ty)) = kernel.find(name, Kind::Struct).and_then(|id| kernel.resolve(id)) else {
            continue;
        };
        let is = |id, kind| kernel.resolve(id).is_some_and(|(_, ty)| ty.kind() == kind);
        let mut members: Vec<_> = ty
            .members()
            .filter(|member| {
                !member.name.is_empty() && (is(member.type_id, Kind::Int) || is(member.type_id, Kind::Ptr))
            })
            .collect();
        // From all over the struct.
        let step = (members.len() / 7).max(1);
        members = members.into_iter().step_by(step).take(7).collect();
        let declared: Vec<NewMember<'_>> = members
            .iter()
            .map(|member| {
                let type_id = if is(member.type_id, Kind::Ptr) { pointer } else { int };
                NewMember { type_id, bitfield_size: None, bit_offset: 0, ..*member }
            })
            .collect();
        let id = builder.composite(Kind::Struct, &format!("{name}___mine"), 4096, &declared);
        for index in 0..declared.len() {
            ask(CoreReloKind::FieldByteOffset, id, format!("0:{index}"));
        }
        ask(CoreReloKind::TypeSize, id, "0".to_owned());
    }
    for name in ["bpf_map_type", "pid_type", "zone_type", "tcp_nonexistent"] {
        let id = builder.enumeration(name, 4, false, &[("PIDTYPE_TGID", 1)]);
        ask(CoreReloKind::EnumvalExists, id, "0".to_owned());
    }
    relos.truncate(100);
    (builder.finish(), relos)
}

fn line(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    if let (Some(least), Some(median)) = (times.first(), times.get(times.len() / 2)) {
        println!("{what:<44} least {least:>10.2?}  median {median:>10.2?}");
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut file, mut types) = (None, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--btf" => types = Some(std::fs::read(args.next().ok_or("--btf needs a file")?)?),
            _ => file = Some(arg),
        }
    }
    let bytes = match types {
        Some(bytes) => bytes,
        None => std::fs::read("/sys/kernel/btf/vmlinux")?,
    };
    let (own, relos) = object(&Btf::parse(&bytes)?);
    let own = Btf::parse(&own)?;
    let (mut cold, mut warm, mut ready) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..20 {
        // Nothing is kept from one round to the next: types opened anew, no table of names.
        let kernel = Btf::parse(&bytes)?;
        let start = Instant::now();
        kernel.index_names();
        ready.push(start.elapsed());
        let target = Target::with_btf(&kernel);
        for times in [&mut cold, &mut warm] {
            let start = Instant::now();
            let mut relocator = Relocator::new(&own, &target)?;
            for relo in &relos {
                relocator.resolve(relo)?;
            }
            times.push(start.elapsed());
        }
    }
    println!("{} relocations against {} types", relos.len(), Btf::parse(&bytes)?.next_id() - 1);
    line("table of names", ready);
    line("all relocations, the first object", cold);
    line("all relocations, each further object", warm);
    if let Some(file) = file {
        let elf = std::fs::read(&file)?;
        let kernel = Btf::parse(&bytes)?;
        let target = Target::with_btf(&kernel);
        let mut times = Vec::new();
        for _ in 0..20 {
            let object = Object::parse("object", &elf)?;
            let start = Instant::now();
            object.relocate(&target)?;
            times.push(start.elapsed());
        }
        line(&format!("relocate {file}"), times);
    }
    Ok(())
}
