//! What a kernel's verifier would say of the programs of an object file.
//!
//! `verify FILE.o [PROGRAM] [--log N] [--kernel 6.12] [--btf FILE] [--unpriv] [--json] [--time]`

use btf::Btf;
use loader::{Object, Target};
use std::error::Error;
use tracewell_jit_check::kernel::{Kernel, Privileges, Version};
use tracewell_jit_check::verifier::{Options, verify};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (mut file, mut only, mut types) = (None, None, "/sys/kernel/btf/vmlinux".to_owned());
    let (mut version, mut json, mut time) = (None, false, false);
    let mut options = Options::default();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--log" => options.log_level = value()?.parse()?,
            "--kernel" => version = Some(value()?.parse::<Version>()?),
            "--btf" => types = value()?,
            "--unpriv" => options.privileges = Privileges::None,
            "--json" => json = true,
            "--time" => time = true,
            _ if file.is_none() => file = Some(arg),
            _ => only = Some(arg),
        }
    }
    let file =
        file.ok_or("usage: verify FILE.o [PROGRAM] [--log N] [--kernel V] [--btf FILE] [--unpriv] [--json]")?;
    let bytes = std::fs::read(&types)?;
    let types = Btf::parse(&bytes)?;
    let running = std::fs::read_to_string("/proc/sys/kernel/osrelease")?.parse::<Version>()?;
    let version = version.unwrap_or(running);
    let kernel = Kernel::new(version, Some(&types));
    let target = Target::described(Some(&types))
        .version_is(u32::from(version.0) << 16 | u32::from(version.1) << 8)
        .features_are(true, true);
    let name = std::path::Path::new(&file).file_stem().and_then(|stem| stem.to_str()).unwrap_or("object");
    let object = Object::parse(name, &std::fs::read(&file)?)?.relocate(&target)?;
    for (index, spec) in object.programs.iter().enumerate() {
        if only.as_ref().is_some_and(|only| *only != spec.name) {
            continue;
        }
        let program = match tracewell_jit_check::prepare(&object, index, &kernel) {
            Ok(program) => program,
            Err(error) => {
                eprintln!("{}: {error}", spec.name);
                continue;
            }
        };
        let begin = std::time::Instant::now();
        let verdict = verify(&program, &kernel, &options);
        if time {
            eprintln!("{}: {:?}", spec.name, begin.elapsed());
        }
        if json {
            let stats = &verdict.stats;
            let insn = verdict.insn.map_or("null".to_owned(), |insn| insn.to_string());
            let depths: Vec<_> = stats.stack_depth.iter().map(u32::to_string).collect();
            println!(
                "{{\"program\":{},\"section\":{},\"verdict\":\"{}\",\"reason\":{},\"insn\":{insn},\
                 \"processed_insns\":{},\"total_states\":{},\"peak_states\":{},\"stack_depth\":{}}}",
                quoted(&program.name),
                quoted(&program.section),
                if verdict.accepted { "accept" } else { "reject" },
                quoted(&verdict.reason),
                stats.insns,
                stats.total_states,
                stats.peak_states,
                quoted(&depths.join("+")),
            );
        } else {
            let what = if verdict.accepted { "accepted" } else { "rejected" };
            println!("{} ({}): {what} {}\n{}", program.name, program.section, verdict.errno, verdict.log);
            for what in &verdict.unmodelled {
                println!("not modelled: {what}");
            }
        }
    }
    Ok(())
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out + "\""
}
