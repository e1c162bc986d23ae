//! Prints the kernel's types as a C header: `vmlinux_h [FILE [unsorted]]`.

use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "/sys/kernel/btf/vmlinux".into());
    let data = std::fs::read(path)?;
    let btf = btf::Btf::parse(&data)?;
    let mut options = btf::c::COptions::default();
    options.sorted = args.next().is_none();
    let mut text = String::new();
    let summary = btf::c::dump_c(&btf, &mut text, &options)?;
    std::io::stdout().write_all(text.as_bytes())?;
    if summary.skipped != 0 {
        eprintln!("{} damaged types were left out", summary.skipped);
    }
    Ok(())
}
