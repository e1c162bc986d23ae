//! Logs as kernels wrote them (6.18, some abridged, and one of 7.2), and what is made of them.

use super::{Facts, VerifierError};
use crate::spec::{FuncSpec, LineSpec, ProgramSpec};
use bpf_sys::Errno;
use bpf_sys::prog::ProgType;
use expect_test::{Expect, expect};
use proptest::prelude::*;

fn facts<'f>(program: &'f ProgramSpec, words: &'f [u64], log: &'f str) -> Facts<'f> {
    let (errno, license) = (Errno::EACCES, "GPL");
    Facts { program, words, btf: None, poisoned: &[], errno, log, license, remedy: None }
}

/// A program of 40 instructions that call a helper: the log is what counts.
fn check(log: &str, expected: Expect) {
    let spec = ProgramSpec::new("test", ProgType::SocketFilter, Vec::new());
    let call = asm::Insn::new(0x85, 0, 0, 0, 131).to_u64();
    let mut error = VerifierError::new(&facts(&spec, &[call; 40], log));
    error.insn_text = None;
    expected.assert_eq(&format!("{error}\n"));
}

#[test]
fn linux_6_18() {
    check(
        "\
0: R1=ctx() R10=fp0
; u32 *value = bpf_map_lookup_elem(&counts, &zero); @ refused.bpf.c:21
0: (62) *(u32 *)(r10 -4) = 0          ; R10=fp0 fp-8=0000????
3: (18) r1 = 0xffff8881043bb400       ; R1=map_ptr(map=counts,ks=4,vs=8)
5: (85) call bpf_map_lookup_elem#1    ; R0=map_value_or_null(id=1,map=counts,ks=4,vs=8)
; return *value; @ refused.bpf.c:23
6: (79) r0 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
processed 6 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
",
        expect![[r#"
            program `test` was refused by the verifier: EACCES (Permission denied)
              at instruction 6
              refused.bpf.c:23: return *value;
              the kernel says: R0 invalid mem access 'map_value_or_null'
              that is: r0 may be NULL here: the result of bpf_map_lookup_elem() was not checked
              remedy: compare the pointer with NULL before using it, and return when it is
        "#]],
    );
    check(
        "\
0: R1=ctx() R10=fp0
0: (b4) w1 = 1                        ; R1=1
; while (i != 0xffffffff) { @ refused.bpf.c:45
2: (04) w1 += 2                       ; R1=3
3: (56) if w1 != 0xffffffff goto pc-2         ; R1=3
infinite loop detected at insn 3
cur state: R1=scalar(smin=umin=umin32=1,smax=umax=0xffffffff) R10=fp0
old state: R1=scalar(smin=umin=umin32=1,smax=umax=0xffffffff) R10=fp0
processed 6 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
",
        expect![[r#"
            program `test` was refused by the verifier: EACCES (Permission denied)
              at instruction 3
              refused.bpf.c:45: while (i != 0xffffffff) {
              the kernel says: infinite loop detected at insn 3
              that is: a round of this loop changes nothing that would end it
              remedy: count the rounds up to a constant
        "#]],
    );
    check(
        "ldimm64 failed to find the address for kernel symbol 'runqueues'.\n",
        expect![[r#"
            program `test` was refused by the verifier: EACCES (Permission denied)
              the kernel says: ldimm64 failed to find the address for kernel symbol 'runqueues'.
              that is: the kernel has the variable's type but not its address: it was built without CONFIG_KALLSYMS_ALL
              remedy: declare the variable __weak and ask whether it is there, or take a kernel that lists its variables
        "#]],
    );
}

#[test]
fn linux_7_2() {
    check(
        "\
0: R1=ctx() R10=fp0
0: (61) r2 = *(u32 *)(r1 +0)          ; R1=ctx() R2=pkt(r=0)
1: (71) r0 = *(u8 *)(r2 +14)
invalid access to packet, off=14 size=1, R2(id=0,off=14,r=0)
R2 min value is outside of the allowed memory range
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
",
        expect![[r#"
            program `test` was refused by the verifier: EACCES (Permission denied)
              at instruction 1
              the kernel says: invalid access to packet, off=14 size=1, R2(id=0,off=14,r=0); R2 min value is outside of the allowed memory range
              that is: the packet may end before that
              remedy: compare with data_end right before: `if ((void *)(header + 1) > data_end) return ...;`, again after every call that may change the packet
        "#]],
    );
}

#[test]
fn functions_and_lines_of_the_object_come_first() {
    let mut spec = ProgramSpec::new("main", ProgType::Kprobe, Vec::new());
    let func = |name: &str, insn| FuncSpec { name: name.to_owned(), insn, type_id: None };
    spec.funcs = vec![func("main", 0), func("helper", 2)];
    spec.section = "kprobe/vfs_read".to_owned();
    let mut types = btf::Builder::new(btf::Endian::Little);
    let file_name_off = types.string("a.c");
    let line_off = types.string("\treturn *pointer;");
    spec.lines = vec![LineSpec { insn: 2, file_name_off, line_off, line_col: 12 << 10 | 3 }];
    let bytes = types.finish();
    let poisoned = [(3, "struct a.b (offset 0:1): no struct a in the target".to_owned())];
    let exit = asm::Insn::new(0x95, 0, 0, 0, 0).to_u64();
    let log = "2: (85) call pc+1\n; other text @ other.c:1\n3: (85) call unknown#195896080\ninvalid func unknown#195896080\n";
    let words = [exit; 4];
    let error =
        VerifierError::new(&Facts { btf: Some(&bytes), poisoned: &poisoned, ..facts(&spec, &words, log) });
    expect![[r#"
        program `main` (section `kprobe/vfs_read`) was refused by the verifier: EACCES (Permission denied)
          at instruction 3: exit, in `helper`
          a.c:12: return *pointer;
          the kernel says: invalid func unknown#195896080
          that instruction was poisoned: struct a.b (offset 0:1): no struct a in the target
          remedy: ask with bpf_core_field_exists(), bpf_core_type_exists() or bpf_core_enum_value_exists() before using it"#]]
    .assert_eq(&error.to_string());
}

proptest! {
    #[test]
    fn any_log_is_fine(log in "([0-9]{1,20}: \\([0-9a-f]{2}\\) [a-z #0-9=*+-]{0,20}|; [a-z @:0-9.]{0,20}|R[0-9] [a-z '=_0-9-]{0,30}|\n|[ -~]{0,20}){0,30}") {
        let spec = ProgramSpec::new("test", ProgType::Xdp, Vec::new());
        let error = VerifierError::new(&facts(&spec, &[0; 3], &log));
        prop_assert!(error.insn.is_none_or(|insn| insn < 3));
        prop_assert!(error.to_string().starts_with("program `test`"));
    }
}
