//! Texts that the assembler takes, and mistakes that it names.

use asm::*;
use expect_test::{Expect, expect};

/// Each line of the text beside the instruction it became, in both languages.
fn lines(text: &str, expected: Expect) {
    let mut out = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let assembly = match assemble(line) {
            Ok(assembly) => assembly,
            Err(errors) => {
                out += &format!("{line}\n    {errors}\n");
                continue;
            }
        };
        let mnemonic = DisasmOptions { syntax: Syntax::Mnemonic, ..DisasmOptions::default() };
        let kernel = disassemble(&assembly.program.insns).map(|(_, text)| text);
        let other = disassemble_with(&assembly.program.insns, mnemonic).map(|(_, text)| text);
        let both: Vec<String> = kernel.zip(other).map(|(a, b)| format!("{a:<42} {b}")).collect();
        out += &format!("{line:<48} {}\n", both.join("\n                                                 "));
    }
    expected.assert_eq(&out);
}

/// The mistakes of a text.
fn mistakes(text: &str, expected: Expect) {
    let errors = assemble(text).expect_err("mistakes");
    expected.assert_eq(&errors.report("text"));
}

/// A whole text as a listing.
fn listing(text: &str, expected: Expect) {
    let assembly = assemble(text).unwrap_or_else(|errors| panic!("{}", errors.report("text")));
    expected.assert_eq(&Listing::new(&assembly).to_string());
}

#[test]
fn the_kernels_syntax_and_clangs() {
    lines(
        "
        r1 = 5
        r1 = -5
        r1=0x10
        w1 = 0xffffffff
        r1 = 5 ll
        r1 = 0x1122334455667788 ll
        r1 = 0xffffffff
        r1 = -1 ll
        r1 = 'A'
        r1 = r2
        w1 = w2
        r1 = -r1
        w1 = -w1
        r1 = (s8)r2
        w1 = (s16) w2
        r1 += r2
        w1 s>>= 3
        r1 s/= -4
        r1 s%= r2
        r0 = be16 r0
        r0 = bswap64 r0
        r1 = addr_space_cast(r2, 0x0, 0x1)
        r0 = *(u64 *)(r1 +8)
        r0 = *(u64*)(r1 + 0x8)
        w0 = *(u32 *)(r1 - 4)
        r0 = *(s16 *)(r1)
        *(u32 *)(r10 -4) = 5
        *(u8 *)(r10 +-4) = 0xff
        *(u32 *)(r1 + 0) = w2
        *(u64 *)(r1 +0) = r2
        r0 = *(u16 *)skb[14]
        r0 = *(u8 *)skb[r7 + 14]
        lock *(u32 *)(r1 +0) += r2
        lock *(u64 *)(r1 + 0x8) ^= r2
        r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)
        w2 = atomic_fetch_or((u32 *)(r1 + 0), w2)
        r2 = xchg_64(r1 + 8, r2)
        w2 = xchg32_32(r1 + 8, w2)
        r0 = atomic_cmpxchg((u32 *)(r1 +0), r0, r2)
        r0 = cmpxchg_64(r1 + 0, r0, r2)
        r0 = load_acquire((u64 *)(r1 +0))
        store_release((u8 *)(r1 +0), w2)
        if r1 == 0 goto +3
        if w1 s< 0xffffffff goto pc-2
        if r1 & r2 goto pc+1 <LBB0_2>
        goto +0x10
        gotol pc+70000
        may_goto pc+1
        gotox r3
        call bpf_map_lookup_elem#1
        r0 = call bpf_ktime_get_ns#5
        call ktime_get_ns
        call 0x5
        call pc+5#some_function
        call unknown#4711
        call bpf_task_acquire#1234
        call kernel-function#1234
        callx r4
        exit
        r1 = map[id:3]
        r1 = map[id:3][0]+8
        r1 = map[idx:3]+8
        r1 = subprog[+5]
        r1 = btf[id:7, fd:3]
        ",
        expect![[r#"
            r1 = 5                                           r1 = 5                                     mov64 r1, 5
            r1 = -5                                          r1 = -5                                    mov64 r1, -5
            r1=0x10                                          r1 = 16                                    mov64 r1, 16
            w1 = 0xffffffff                                  w1 = -1                                    mov32 r1, -1
            r1 = 5 ll                                        r1 = 0x5 ll                                lddw r1, 0x5
            r1 = 0x1122334455667788 ll                       r1 = 0x1122334455667788 ll                 lddw r1, 0x1122334455667788
            r1 = 0xffffffff                                  r1 = 0xffffffff ll                         lddw r1, 0xffffffff
            r1 = -1 ll                                       r1 = 0xffffffffffffffff ll                 lddw r1, 0xffffffffffffffff
            r1 = 'A'                                         r1 = 65                                    mov64 r1, 65
            r1 = r2                                          r1 = r2                                    mov64 r1, r2
            w1 = w2                                          w1 = w2                                    mov32 r1, r2
            r1 = -r1                                         r1 = -r1                                   neg64 r1
            w1 = -w1                                         w1 = -w1                                   neg32 r1
            r1 = (s8)r2                                      r1 = (s8)r2                                movsx8to64 r1, r2
            w1 = (s16) w2                                    w1 = (s16)w2                               movsx16to32 r1, r2
            r1 += r2                                         r1 += r2                                   add64 r1, r2
            w1 s>>= 3                                        w1 s>>= 3                                  arsh32 r1, 3
            r1 s/= -4                                        r1 s/= -4                                  sdiv64 r1, -4
            r1 s%= r2                                        r1 s%= r2                                  smod64 r1, r2
            r0 = be16 r0                                     r0 = be16 r0                               be16 r0
            r0 = bswap64 r0                                  r0 = bswap64 r0                            bswap64 r0
            r1 = addr_space_cast(r2, 0x0, 0x1)               r1 = addr_space_cast(r2, 0, 1)             addr_space_cast r1, r2, 0, 1
            r0 = *(u64 *)(r1 +8)                             r0 = *(u64 *)(r1 +8)                       ldxdw r0, [r1+8]
            r0 = *(u64*)(r1 + 0x8)                           r0 = *(u64 *)(r1 +8)                       ldxdw r0, [r1+8]
            w0 = *(u32 *)(r1 - 4)                            r0 = *(u32 *)(r1 -4)                       ldxw r0, [r1-4]
            r0 = *(s16 *)(r1)                                r0 = *(s16 *)(r1 +0)                       ldxhsx r0, [r1+0]
            *(u32 *)(r10 -4) = 5                             *(u32 *)(r10 -4) = 5                       stw [r10-4], 5
            *(u8 *)(r10 +-4) = 0xff                          *(u8 *)(r10 -4) = 255                      stb [r10-4], 255
            *(u32 *)(r1 + 0) = w2                            *(u32 *)(r1 +0) = r2                       stxw [r1+0], r2
            *(u64 *)(r1 +0) = r2                             *(u64 *)(r1 +0) = r2                       stxdw [r1+0], r2
            r0 = *(u16 *)skb[14]                             r0 = *(u16 *)skb[14]                       ldabsh 14
            r0 = *(u8 *)skb[r7 + 14]                         r0 = *(u8 *)skb[r7 + 14]                   ldindb r7, 14
            lock *(u32 *)(r1 +0) += r2                       lock *(u32 *)(r1 +0) += r2                 lock add32 [r1+0], r2
            lock *(u64 *)(r1 + 0x8) ^= r2                    lock *(u64 *)(r1 +8) ^= r2                 lock xor64 [r1+8], r2
            r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)      r2 = atomic64_fetch_add((u64 *)(r1 +0), r2) lock fetch_add64 [r1+0], r2
            w2 = atomic_fetch_or((u32 *)(r1 + 0), w2)        r2 = atomic_fetch_or((u32 *)(r1 +0), r2)   lock fetch_or32 [r1+0], r2
            r2 = xchg_64(r1 + 8, r2)                         r2 = atomic64_xchg((u64 *)(r1 +8), r2)     lock xchg64 [r1+8], r2
            w2 = xchg32_32(r1 + 8, w2)                       r2 = atomic_xchg((u32 *)(r1 +8), r2)       lock xchg32 [r1+8], r2
            r0 = atomic_cmpxchg((u32 *)(r1 +0), r0, r2)      r0 = atomic_cmpxchg((u32 *)(r1 +0), r0, r2) lock cmpxchg32 [r1+0], r2
            r0 = cmpxchg_64(r1 + 0, r0, r2)                  r0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r2) lock cmpxchg64 [r1+0], r2
            r0 = load_acquire((u64 *)(r1 +0))                r0 = load_acquire((u64 *)(r1 +0))          ldacqdw r0, [r1+0]
            store_release((u8 *)(r1 +0), w2)                 store_release((u8 *)(r1 +0), r2)           strelb [r1+0], r2
            if r1 == 0 goto +3                               if r1 == 0x0 goto pc+3                     jeq r1, 0, +3
            if w1 s< 0xffffffff goto pc-2                    if w1 s< 0xffffffff goto pc-2              jslt32 r1, -1, -2
            if r1 & r2 goto pc+1 <LBB0_2>                    if r1 & r2 goto pc+1                       jset r1, r2, +1
            goto +0x10                                       goto pc+16                                 ja +16
            gotol pc+70000                                   gotol pc+70000                             ja32 +70000
            may_goto pc+1                                    may_goto pc+1                              may_goto +1
            gotox r3                                         gotox r3                                   gotox r3
            call bpf_map_lookup_elem#1                       call bpf_map_lookup_elem#1                 call bpf_map_lookup_elem
            r0 = call bpf_ktime_get_ns#5                     call bpf_ktime_get_ns#5                    call bpf_ktime_get_ns
            call ktime_get_ns                                call bpf_ktime_get_ns#5                    call bpf_ktime_get_ns
            call 0x5                                         call bpf_ktime_get_ns#5                    call bpf_ktime_get_ns
            call pc+5#some_function                          call pc+5                                  call local +5
            call unknown#4711                                call unknown#4711                          call 4711
            call bpf_task_acquire#1234                       call kernel-function#1234                  call kfunc 1234
            call kernel-function#1234                        call kernel-function#1234                  call kfunc 1234
            callx r4                                         callx r4                                   callx r4
            exit                                             exit                                       exit
            r1 = map[id:3]                                   r1 = map[id:3]                             lddw r1, map[id:3]
            r1 = map[id:3][0]+8                              r1 = map[id:3][0]+8                        lddw r1, map[id:3][0]+8
            r1 = map[idx:3]+8                                r1 = map[idx:3]+8                          lddw r1, map[idx:3]+8
            r1 = subprog[+5]                                 r1 = subprog[+5]                           lddw r1, subprog[+5]
            r1 = btf[id:7, fd:3]                             r1 = btf[id:7, fd:3]                       lddw r1, btf[id:7, fd:3]
        "#]],
    );
}

#[test]
fn mnemonics() {
    lines(
        "
        mov r1, 5
        mov64 r1, r2
        mov32 r1, 0xffffffff
        add32 w1, w2
        add32 r1, r2
        sdiv r1, 3
        neg r1
        neg32 r1
        be16 r1
        swap32 r1
        movsx8to64 r1, r2
        lddw r1, 0x1122334455667788
        lddw r1, map[id:3]
        ld_pseudo r1, 2, 0x500000003
        ld_pseudo r1, 7, 0
        ldxdw r0, [r1+8]
        ldxb r0, [ %r1 - 0x4 ]
        ldxhsx r0, [r1]
        stxw [r10-4], r1
        stdw [r10-8], -1
        ldabsb 14
        ldindw r1, 4
        lock add [r1+0], r2
        lock fetch add32 [r1], r2
        xadddw [r1+8], r2
        atomic_xchg32 [r1+8], r2
        lock cmpxchg64 [r1+8], r2
        ldacqw r1, [r2+0]
        strelb [r1+0], r2
        ja +3
        ja32 -3
        jeq r1, 5, +2
        jslt32 r1, -1, -2
        jset r1, r2, +0
        call local +4
        call kfunc 7 fd_array[2]
        call 12
        addr_space_cast r1, r2, 0, 1
        ",
        expect![[r#"
            mov r1, 5                                        r1 = 5                                     mov64 r1, 5
            mov64 r1, r2                                     r1 = r2                                    mov64 r1, r2
            mov32 r1, 0xffffffff                             w1 = -1                                    mov32 r1, -1
            add32 w1, w2                                     w1 += w2                                   add32 r1, r2
            add32 r1, r2                                     w1 += w2                                   add32 r1, r2
            sdiv r1, 3                                       r1 s/= 3                                   sdiv64 r1, 3
            neg r1                                           r1 = -r1                                   neg64 r1
            neg32 r1                                         w1 = -w1                                   neg32 r1
            be16 r1                                          r1 = be16 r1                               be16 r1
            swap32 r1                                        r1 = bswap32 r1                            bswap32 r1
            movsx8to64 r1, r2                                r1 = (s8)r2                                movsx8to64 r1, r2
            lddw r1, 0x1122334455667788                      r1 = 0x1122334455667788 ll                 lddw r1, 0x1122334455667788
            lddw r1, map[id:3]                               r1 = map[id:3]                             lddw r1, map[id:3]
            ld_pseudo r1, 2, 0x500000003                     r1 = map[id:3][0]+5                        lddw r1, map[id:3][0]+5
            ld_pseudo r1, 7, 0
                1:15: 7 is out of range: a kind is 1 to 6
            ldxdw r0, [r1+8]                                 r0 = *(u64 *)(r1 +8)                       ldxdw r0, [r1+8]
            ldxb r0, [ %r1 - 0x4 ]                           r0 = *(u8 *)(r1 -4)                        ldxb r0, [r1-4]
            ldxhsx r0, [r1]                                  r0 = *(s16 *)(r1 +0)                       ldxhsx r0, [r1+0]
            stxw [r10-4], r1                                 *(u32 *)(r10 -4) = r1                      stxw [r10-4], r1
            stdw [r10-8], -1                                 *(u64 *)(r10 -8) = -1                      stdw [r10-8], -1
            ldabsb 14                                        r0 = *(u8 *)skb[14]                        ldabsb 14
            ldindw r1, 4                                     r0 = *(u32 *)skb[r1 + 4]                   ldindw r1, 4
            lock add [r1+0], r2                              lock *(u64 *)(r1 +0) += r2                 lock add64 [r1+0], r2
            lock fetch add32 [r1], r2                        r2 = atomic_fetch_add((u32 *)(r1 +0), r2)  lock fetch_add32 [r1+0], r2
            xadddw [r1+8], r2                                lock *(u64 *)(r1 +8) += r2                 lock add64 [r1+8], r2
            atomic_xchg32 [r1+8], r2                         r2 = atomic_xchg((u32 *)(r1 +8), r2)       lock xchg32 [r1+8], r2
            lock cmpxchg64 [r1+8], r2                        r0 = atomic64_cmpxchg((u64 *)(r1 +8), r0, r2) lock cmpxchg64 [r1+8], r2
            ldacqw r1, [r2+0]                                r1 = load_acquire((u32 *)(r2 +0))          ldacqw r1, [r2+0]
            strelb [r1+0], r2                                store_release((u8 *)(r1 +0), r2)           strelb [r1+0], r2
            ja +3                                            goto pc+3                                  ja +3
            ja32 -3                                          gotol pc-3                                 ja32 -3
            jeq r1, 5, +2                                    if r1 == 0x5 goto pc+2                     jeq r1, 5, +2
            jslt32 r1, -1, -2                                if w1 s< 0xffffffff goto pc-2              jslt32 r1, -1, -2
            jset r1, r2, +0                                  if r1 & r2 goto pc+0                       jset r1, r2, +0
            call local +4                                    call pc+4                                  call local +4
            call kfunc 7 fd_array[2]                         call kernel-function#7 fd_array[2]         call kfunc 7 fd_array[2]
            call 12                                          call bpf_tail_call#12                      call bpf_tail_call
            addr_space_cast r1, r2, 0, 1                     r1 = addr_space_cast(r2, 0, 1)             addr_space_cast r1, r2, 0, 1
        "#]],
    );
}

#[test]
fn what_cannot_be_written() {
    lines(
        "
        r12 = 5
        r11 = 5
        r1 = w2
        r1 += w2
        r1 = -r2
        w1 = 5 ll
        r1 += 0xffffffff
        r1 = 0x1ffffffffffffffff ll
        w1 = 0x1ffffffff
        r10 = *(u64 *)(w1 +0)
        r1 = *(u64 *)(r2 +40000)
        r1 = *(u24 *)(r2 +0)
        r1 = *(s64 *)(r2 +0)
        w1 = *(u64 *)(r2 +0)
        r1 = *(u16 *)skb[14]
        *(u64 *)(r1 +0) = w2
        *(s32 *)(r1 +0) = r2
        *(u64 *)(r1 +0) += r2
        lock *(u8 *)(r1 +0) += r2
        lock *(u64 *)(r1 +0) -= r2
        r3 = atomic64_fetch_add((u64 *)(r1 +0), r2)
        r1 = be16 r2
        r1 = bswap8 r1
        if r1 = 0 goto +1
        if r1 == 0 +1
        if r1 == 0 goto 1
        goto
        call
        call r1
        nospec
        r1
        r1 <<<= 2
        ldxdw r0, [r1+8
        ldxdw r0 [r1+8]
        ldxwd r0, [r1+8]
        stw [r10-4], r1
        stxw [r10-4], 1
        lock mul [r1], r2
        exit 5
        12abc: exit
        r0 = 0 exit
        r0 = 0; blub r1; exit
        r0 = 0; exti
        .mpa x
        .map m type=hash kye=4
        .map m key=4
        .equ r1 5
        .data d = 256
        .data d = \"abc
        .raw
        .byte 1, 2, 3
        /* no end
        ",
        expect![[r#"
            r12 = 5
                1:1: there is no register `r12`; registers are r0 to r10, their lower halves w0 to w10
            r11 = 5
                1:1: there is no register `r11`; registers are r0 to r10, their lower halves w0 to w10
            r1 = w2
                1:6: w2 has another width than the left side; write r2
            r1 += w2
                1:7: w2 has another width than the left side; write r2
            r1 = -r2
                1:7: a register can only be negated in place; move it first
            w1 = 5 ll
                1:6: a 64-bit number needs a whole register; write r1
            r1 += 0xffffffff
                1:7: 4294967295 does not fit the 32-bit immediate, which is sign-extended; load it into a register with `= NUMBER ll` first
            r1 = 0x1ffffffffffffffff ll
                1:6: 0x1ffffffffffffffff does not fit 64 bits
            w1 = 0x1ffffffff
                1:6: 8589934591 does not fit 32 bits
            r10 = *(u64 *)(w1 +0)
                1:16: w1 is half a register; write r1 here
            r1 = *(u64 *)(r2 +40000)
                1:18: 40000 is out of range: an offset is -32768 to 32767
            r1 = *(u24 *)(r2 +0)
                1:8: `u24` is no size; sizes are u8, u16, u32, u64 and, for loads that extend the sign, s8, s16, s32
            r1 = *(s64 *)(r2 +0)
                1:7: a sign-extending load does not exist for DW operands; allowed: B, H, W
            w1 = *(u64 *)(r2 +0)
                1:7: half a register does not hold 64 bits; write r1
            r1 = *(u16 *)skb[14]
                1:7: packet loads put their result into r0; write r0 = *(u16 *)skb[14]
            *(u64 *)(r1 +0) = w2
                1:19: half a register does not hold 64 bits; write r2
            *(s32 *)(r1 +0) = r2
                1:2: only plain loads extend the sign; write u32
            *(u64 *)(r1 +0) += r2
                1:17: memory is changed by atomic operations only: `+=`; write `lock` in front
            lock *(u8 *)(r1 +0) += r2
                1:7: an atomic operation does not exist for B operands; allowed: W, DW
            lock *(u64 *)(r1 +0) -= r2
                1:22: an operator is missing before `-=`; atomic ones are += |= &= ^=
            r3 = atomic64_fetch_add((u64 *)(r1 +0), r2)
                1:40: the old value comes into the register it is taken from; write r2 = ...
            r1 = be16 r2
                1:10: bytes are swapped in place; name the same register on both sides
            r1 = bswap8 r1
                1:6: no map, data or function `bswap8`; did you mean `bswap16`?
            1:13: this does not belong to the instruction: `r1`
            if r1 = 0 goto +1
                1:7: a comparison is missing before `=`; there are == != < <= > >= & and, signed, s< s<= s> s>=
            if r1 == 0 +1
                1:12: `goto` is missing before `+`; write if r1 == 0 goto label
            if r1 == 0 goto 1
                1:17: `1` is no target; write +1 to jump over so many words, 1f or 1b for a label
            goto
                1:5: the target of the jump is missing at the end of the line; write a label, or +3
            call
                1:5: what to call is missing at the end of the line; write the name of a function or helper
            call r1
                1:6: call takes a name or number; calls through registers are written callx
            nospec
                1:1: only the kernel puts in speculation barriers; leave the line out
            r1
                1:3: an operator is missing at the end of the line; write r1 = 5
            r1 <<<= 2
                1:4: no operator `<<<=`; did you mean `<<=`?
            ldxdw r0, [r1+8
                1:16: `]` is missing at the end of the line; write [r1+8]
            ldxdw r0 [r1+8]
                1:10: a comma is missing before `[`
            ldxwd r0, [r1+8]
                1:1: no instruction `ldxwd`; did you mean `ldxw`?
            stw [r10-4], r1
                1:14: stw stores a number; registers are stored by stxw
            stxw [r10-4], 1
                1:15: stxw stores a register: `1`; numbers are stored by stw
            lock mul [r1], r2
                1:6: an atomic operation is missing; write lock *(u64 *)(r1 +0) += r2, or lock add64 [r1+0], r2
            exit 5
                1:6: this does not belong to the instruction: `5`
            12abc: exit
                1:1: `12abc` can be no label; labels begin with a letter, or are numbers
            r0 = 0 exit
                1:8: this does not belong to the instruction: `exit`
            r0 = 0; blub r1; exit
                1:9: no instruction `blub`; or, if this is a comment, begin it with //
            r0 = 0; exti
                1:9: no instruction `exti`; did you mean `exit`?
            .mpa x
                1:1: no directive `.mpa`; did you mean `.map`?
            .map m type=hash kye=4
                1:18: maps have no `kye`; did you mean `key`?
            .map m key=4
                1:6: map `m` has no type; write type=hash key=4 value=8 entries=16
            .equ r1 5
                1:6: `r1` is a register; use another name
            .data d = 256
                1:11: 256 does not fit 1 bytes; write u16, u32 or u64 in front of larger numbers
            .data d = "abc
                1:11: this string has no end; close it with `"`
            .raw
                1:5: a number is missing at the end of the line
            .byte 1, 2, 3
                1:6: 3 bytes are no whole instructions; give eight bytes for each word
            /* no end
                1:1: this comment has no end; close it with `*/`
        "#]],
    );
}

#[test]
fn names_near_to_what_was_meant() {
    mistakes(
        "
        .equ LIMIT 5
        .map counts type=hash key=4 value=8 entries=1
        .func main
            r1 = map[count]
            r2 = LIMT
            if r1 == 0 goto outt
            call bpf_map_lokup_elem
            call mian
            call tracewell_no_such_function
            goto 1b
        out:
        1:  exit
        out:
        ",
        expect![[r#"
            text:5:22: no map, data or function `count`; did you mean `counts`?
                            r1 = map[count]
                                     ^^^^^
            text:6:18: no map, data or function `LIMT`; did you mean `LIMIT`?
                            r2 = LIMT
                                 ^^^^
            text:7:29: no label `outt`; did you mean `out`?
                            if r1 == 0 goto outt
                                            ^^^^
            text:8:18: no function or helper `bpf_map_lokup_elem`; did you mean `bpf_map_lookup_elem`?
                            call bpf_map_lokup_elem
                                 ^^^^^^^^^^^^^^^^^^
            text:9:18: no function or helper `mian`; did you mean `main`?
                            call mian
                                 ^^^^
            text:10:18: no function or helper `tracewell_no_such_function`; kernel functions are declared: .kfunc tracewell_no_such_function
                            call tracewell_no_such_function
                                 ^^^^^^^^^^^^^^^^^^^^^^^^^^
            text:11:18: no label 1 above; there is one on the other side: 1f
                            goto 1b
                                 ^^
            text:14:9: `out` was already set in line 12; give each place a name of its own
                        out:
                        ^^^
        "#]],
    );
}

#[test]
fn statements_and_comments() {
    listing(
        "
        ; a line of C; r9 = 9
        r0 = 1; r1 = 2 ;r2 = 3
        r3 = 4 ; r3 is the fourth
        r4 = 5 // r5 = 6
        r5 = 7 # imm = 0x7
        r6 = 8 /* six
          r7 = 7 */ ; r7 = /* nine */ 9 ; exit the loop: r1 size
        if r0 == 1 goto 1f; if r0 == 2 goto 1f; 1: r0 = 9; goto 1b; out: exit
        ",
        expect![[r#"
                    r0 = 1
                    r1 = 2
                    r2 = 3
                    r3 = 4
                    r4 = 5
                    r5 = 7
                    r6 = 8
                    r7 = 9
                    if r0 == 0x1 goto L10
                    if r0 == 0x2 goto L10
            L10:
                    r0 = 9
                    goto L10
                    exit
        "#]],
    );
}

#[test]
fn maps_data_and_functions() {
    listing(
        r#"
        .section "kprobe/vfs_read"
        .license GPL
        .equ SIZE 8
        .map inner type=array key=4 value=SIZE entries=1
        .map outer type=hash_of_maps key=4 value=4 entries=16 inner=inner flags=0x1
        .rodata text = "hi\n\x00", u16 0x1234, u32 -1, hex 00ff 10
        .data counters = u64 1 2
        .data counters += u8 3
        .bss scratch 64
        .kfunc bpf_task_release
        .func main
            r1 = outer ll
            r2 = map[text]
            r3 = text ll
            r4 = &counters+8
            r5 = map[scratch][0]+60
            r6 = map counters ll
            r1 = &callback
            r1 = subprog[callback]
            call helper_of_mine
            call bpf_task_release
            exit
        .func callback
            r0 = 0
            exit
        helper_of_mine:
            r0 = SIZE
            r0 += -SIZE
            r0 = *(u64 *)(r10 -SIZE)
            .raw 0x00000005000001b7
            .byte 0x95, 0, 0, 0, 0, 0, 0, 0xff
        "#,
        expect![[r#"
            .section "kprobe/vfs_read"
            .license "GPL"
            .map inner type=array key=4 value=8 entries=1
            .map outer type=hash_of_maps key=4 value=4 entries=16 flags=0x1 inner=inner
            .rodata text = hex 68690a003412ffff ffff00ff10
            .data counters = hex 0100000000000000 0200000000000000 03
            .bss scratch 64
            .kfunc bpf_task_release
            .func main
                    r1 = map[outer]
                    r2 = map[text]
                    r3 = map[text][0]+0
                    r4 = map[counters][0]+8
                    r5 = map[scratch][0]+60
                    r6 = map[counters][0]+0
                    r1 = subprog[callback]
                    r1 = subprog[callback]
                    call L21
                    call bpf_task_release
                    exit
            .func callback
                    r0 = 0
                    exit
            L21:
                    r0 = 8
                    r0 += -8
                    r0 = *(u64 *)(r10 -8)
                    r1 = 5
                    .raw 0xff00000000000095
        "#]],
    );
}

/// A log of level 2 of Linux 6.12, with all that stands between the instructions.
#[test]
fn a_verifier_log() {
    listing(
        "func#0 @0
0: R1=ctx() R10=fp0
; int key = 0; @ a.bpf.c:12
0: (b7) r2 = 0                        ; R2_w=0
1: (63) *(u32 *)(r10 -4) = r2         ; R2_w=0 R10=fp0 fp-8=0000????
2: (bf) r2 = r10                      ; R2_w=fp0 R10=fp0
3: (07) r2 += -4                      ; R2_w=fp-4
; value = bpf_map_lookup_elem(&map, &key); @ a.bpf.c:13
4: (18) r1 = 0xffff8881024e8000       ; R1_w=map_ptr(map=map,ks=4,vs=8)
6: (85) call bpf_map_lookup_elem#1    ; R0_w=map_value_or_null(id=1,map=map,ks=4,vs=8)
7: (55) if r0 != 0x0 goto pc+1        ; R0_w=0
8: (05) goto pc+2
11: R0_w=0 R10=fp0
11: (b7) r0 = 0                       ; R0_w=0
12: (95) exit

from 7 to 9: R0=map_value(map=map,ks=4,vs=8) R10=fp0 fp-8=0000????
9: R0=map_value(map=map,ks=4,vs=8) R10=fp0
; *value += 1; @ a.bpf.c:15
9: (b7) r1 = 1                        ; R1_w=1
10: (db) lock *(u64 *)(r0 +0) += r1   ; R0=map_value(map=map,ks=4,vs=8) R1_w=1
11: (b7) r0 = 0                       ; R0_w=0
12: (95) exit
processed 13 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 1
",
        expect![[r#"
                    r2 = 0
                    *(u32 *)(r10 -4) = r2
                    r2 = r10
                    r2 += -4
                    r1 = 0xffff8881024e8000 ll
                    call bpf_map_lookup_elem#1
                    if r0 != 0x0 goto L9
                    goto L11
            L9:
                    r1 = 1
                    lock *(u64 *)(r0 +0) += r1
            L11:
                    r0 = 0
                    exit
        "#]],
    );
    mistakes(
        "0: (b7) r0 = 1\n2: (b7) r1 = 2\n3: (95) exit\n0: (b7) r5 = 1",
        expect![[r#"
        text:2:1: this instruction has the index 2, but the one before makes it 1; lines are missing or were added; leave the indexes out where the text was changed
            2: (b7) r1 = 2
            ^
        text:4:1: there was another instruction with the index 0; leave the indexes out where the text was changed
            0: (b7) r5 = 1
            ^
    "#]],
    );
    mistakes(
        "0: (b4) r0 = 1",
        expect![[r#"
        text:1:4: the opcode in front is 0xb4, but this instruction has 0xb7; leave the opcode out where the text was changed
            0: (b4) r0 = 1
               ^^^^
    "#]],
    );
}

/// What llvm-objdump prints: the bytes are compared, and tell what a call calls.
#[test]
fn llvm_objdump() {
    listing(
        "
       0:	18 01 00 00 05 00 00 00 00 00 00 00 00 00 00 00	r1 = 0x5 ll
       2:	b4 02 00 00 05 00 00 00	w2 = 0x5
       3:	85 10 00 00 01 00 00 00	call 0x1
       4:	95 00 00 00 00 00 00 00	exit
       5:	bc 20 00 00 00 00 00 00	w0 = w2
       6:	95 00 00 00 00 00 00 00	exit
       7:	bf f0 00 00 00 00 00 00	<unknown>
       8:	18 11 00 00 03 00 00 00 00 00 00 00 00 00 00 00	ld_pseudo	r1, 0x1, 0x3
      10:	40 70 00 00 00 00 e0 ff	r0 = *(u32 *)skb[r7]
        ",
        expect![[r#"
                    r1 = 0x5 ll
                    w2 = 5
                    call L5
                    exit
            L5:
                    w0 = w2
                    exit
                    .raw 0x000000000000f0bf
                    r1 = map[id:3]
                    r0 = *(u32 *)skb[r7 + -2097152]
        "#]],
    );
    mistakes(
        "0: b4 02 00 00 05 00 00 00 w2 = 0x6",
        expect![[r#"
        text:1:4: these bytes are another instruction than the text behind them; leave the bytes out where the text was changed
            0: b4 02 00 00 05 00 00 00 w2 = 0x6
               ^^^^^^^^^^^^^^^^^^^^^^^
    "#]],
    );
}

/// What clang -S makes.
#[test]
fn clang_assembly() {
    listing(
        "
	.text
	.file	\"a.bpf.c\"
	.section	\"kprobe/vfs_read\",\"ax\",@progbits
	.globl	on_read                         # -- Begin function on_read
	.p2align	3
	.type	on_read,@function
on_read:                                # @on_read
.Lfunc_begin0:
	.loc	0 9 0                           # a.bpf.c:9:0
	.cfi_startproc
# %bb.0:
	r1 = *(u64 *)(r1 + 112)
	if r1 == 0 goto LBB0_2
.LBB0_1:
	r0 = 1
	goto LBB0_3
LBB0_2:                                 # %if.then
	r0 = 0
LBB0_3:
	exit
.Lfunc_end0:
	.size	on_read, .Lfunc_end0-on_read
	.cfi_endproc
",
        expect![[r#"
            .section "kprobe/vfs_read"
                    r1 = *(u64 *)(r1 +112)
                    if r1 == 0x0 goto L4
                    r0 = 1
                    goto L5
            L4:
                    r0 = 0
            L5:
                    exit
        "#]],
    );
}

#[test]
fn source_lines() {
    let records = |text: &str| -> Vec<String> {
        let assembly = assemble_with(text, &{
            let mut options = AsmOptions::default();
            options.file = "x.s".to_owned();
            options
        });
        let record = |r: &LineRecord| {
            let SourceLine { file, line, column, text } = &r.source;
            format!("{} {file}:{line}:{column} {text}", r.insn)
        };
        assembly.expect("no mistakes").program.lines.iter().map(record).collect()
    };
    let text = "  r0 = 1 // one\n\n; int x; @ a.c:7\n r1 = 2\n r2 = 3\n\n r3 = 4\n.line 9 2 \"b.c\" \"y = 2\"\nr4 = 5\n\
                .line none\nr5 = 6\n.line 1 \"t\"\nr6 = 7\n.line auto\n.file \"z\"\nexit";
    expect![[r#"
        0 x.s:1:3 r0 = 1 // one
        1 a.c:7:0 int x;
        3 x.s:7:2 r3 = 4
        4 b.c:9:2 y = 2
        6 x.s:1:0 t
        7 z:16:1 exit"#]]
    .assert_eq(&records(text).join("\n"));
}

#[test]
fn long_jumps_and_limits() {
    let far = format!("goto end\n{}end: exit", "r0 = 0\n".repeat(40_000));
    let assembly = assemble(&far).expect("goto becomes gotol");
    assert_eq!(disassemble(&assembly.program.insns).next(), Some((0, "gotol pc+40000".to_owned())));
    let far = format!("if r0 == 0 goto end\n{}end: exit", "r0 = 0\n".repeat(40_000));
    expect!["1:17: the target is 40000 instructions away, more than 16 bits hold; jump to a `gotol` that is nearer, and from there"].assert_eq(&assemble(&far).expect_err("too far").to_string());
    let long = format!("r0 = 0 ; {}", "x".repeat(70_000));
    expect!["1:1: this line is longer than 65536 bytes"]
        .assert_eq(&assemble(&long).expect_err("a long line").to_string());
    let many = "exti\n".repeat(100_000);
    let errors = assemble(&many).expect_err("mistakes");
    assert!(errors.len() > 1000 && errors.report("x").lines().count() < 200);
}
