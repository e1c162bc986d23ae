//! Kernel addresses, from a table of the test's own and from the running kernel.

use tracewell_probes::kernel::kallsyms::Kallsyms;
use tracewell_probes::symbols::KernelSymbols;

const TABLE: &str = "\
ffffffff81000000 T _stext
ffffffff81000100 t vfs_read
ffffffff81000300 T vfs_write
ffffffffc0001000 t drain\t[foo]
ffffffffc0002000 t bpf_prog_0123456789abcdef_count\t[bpf]
";

#[test]
fn functions_modules_and_programs() {
    let mut symbols = KernelSymbols::from_table(Kallsyms::from_reader(TABLE.as_bytes()).expect("sound"));
    let mut show = |addr| {
        let frame = symbols.resolve(addr).expect("the table is there");
        format!("{}+{:#x} {}", frame.name_or_unknown(), frame.offset, frame.module.as_deref().unwrap_or("-"))
    };
    assert_eq!(show(0xffff_ffff_8100_0110), "vfs_read+0x10 kernel");
    assert_eq!(show(0xffff_ffff_c000_1004), "drain+0x4 foo");
    assert_eq!(show(0xffff_ffff_c000_2000), "bpf_prog_0123456789abcdef_count+0x0 bpf");
    assert_eq!(show(0x10), "[unknown]+0x0 -");
}

#[test]
fn root_running_kernel() {
    let table = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let line = table.lines().find(|l| l.ends_with(" T vfs_read") || l.ends_with(" t vfs_read"));
    let addr = line.and_then(|l| u64::from_str_radix(l.split(' ').next()?, 16).ok()).filter(|a| *a != 0);
    let Some(addr) = addr else {
        eprintln!("SKIP root_running_kernel: /proc/kallsyms shows no addresses (needs CAP_SYSLOG)");
        return;
    };
    let mut symbols = KernelSymbols::new();
    let frame = symbols.resolve(addr + 1).expect("readable");
    assert_eq!((frame.name_or_unknown(), frame.offset), ("vfs_read", 1));
}
