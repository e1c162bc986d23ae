//! What pieces of machine code are for.

use super::{Op, Origin, Piece};

const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
const NOP5: [u8; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];
/// The same of kernels before 5.13.
const OLD_NOP5: [u8; 5] = [0x66, 0x66, 0x66, 0x66, 0x90];

/// Bytes of the prologue: up to where the first instruction's code begins.
///
/// It is what the kernel's compiler always makes: a landing pad, room for a patch, the counter of tail calls, the frame,
/// the callee's registers.
pub(super) fn end_of_prologue(code: &[u8]) -> usize {
    let mut at = 0;
    let takes = |at: &mut usize, bytes: &[u8]| {
        let there = code.get(*at..).is_some_and(|rest| rest.starts_with(bytes));
        *at += if there { bytes.len() } else { 0 };
        there
    };
    takes(&mut at, &ENDBR64);
    // Newer kernels check the caller's idea of the function's type before.
    let _ = takes(&mut at, &NOP5) || takes(&mut at, &OLD_NOP5);
    // xor eax,eax (2 bytes, newer: 3 with rax), or two bytes of nothing.
    let _ = takes(&mut at, &[0x31, 0xc0])
        || takes(&mut at, &[0x48, 0x31, 0xc0])
        || takes(&mut at, &[0x66, 0x90])
        || takes(&mut at, &[0x0f, 0x1f, 0x00]);
    if !takes(&mut at, &[0x55]) {
        return 0;
    }
    takes(&mut at, &[0x48, 0x89, 0xe5]);
    takes(&mut at, &ENDBR64);
    // sub rsp,N
    if takes(&mut at, &[0x48, 0x83, 0xec]) {
        at += 1;
    } else if takes(&mut at, &[0x48, 0x81, 0xec]) {
        at += 4;
    }
    // The counter is kept on the stack where it is needed.
    takes(&mut at, &[0x50]);
    for push in [&[0x53][..], &[0x41, 0x55], &[0x41, 0x56], &[0x41, 0x57]] {
        takes(&mut at, push);
    }
    at.min(code.len())
}

/// Adds notes to what can be told by its form.
pub(super) fn label(pieces: &mut [Piece]) {
    for piece in pieces {
        if piece.of == Origin::Prologue {
            prologue(&mut piece.ops);
        }
        for op in &mut piece.ops {
            if op.note.is_none() {
                op.note = note(&op.text);
            } else if let Some(symbol) = op.note.as_deref() {
                op.note = Some(explain(symbol));
            }
        }
    }
}

fn prologue(ops: &mut [Op]) {
    let mut framed = false;
    for (nth, op) in ops.iter_mut().enumerate().take(16) {
        let note = match op.text.as_str() {
            "nop dword [rax+rax]" | "nop dword [rax+rax*1]" if nth < 2 => "for ftrace and trampolines",
            "xor eax,eax" | "xor rax,rax" if !framed => "tail-call counter: none so far",
            "xchg ax,ax" | "nop dword [rax]" if !framed => "no tail calls: no counter",
            "endbr64" if framed => "tail calls come in here",
            "push rax" => "tail-call counter",
            "push rbx" => "r6 is the caller's",
            "push r13" => "r7 is the caller's",
            "push r14" => "r8 is the caller's",
            "push r15" => "r9 is the caller's",
            text if text.starts_with("sub rsp") && framed => "stack",
            text => {
                framed |= text == "mov rbp,rsp";
                continue;
            }
        };
        op.note = Some(note.to_owned());
    }
}

/// A symbol, and what it means to call it.
fn explain(symbol: &str) -> String {
    if symbol.starts_with("__x86_indirect_thunk") {
        format!("{symbol}: retpoline")
    } else if symbol == "__x86_return_thunk" || symbol == "srso_return_thunk" {
        format!("{symbol}: return, guarded against speculation")
    } else {
        symbol.to_owned()
    }
}

fn note(text: &str) -> Option<String> {
    Some(match text {
        "lfence" => "barrier against speculation".to_owned(),
        _ => return None,
    })
}
