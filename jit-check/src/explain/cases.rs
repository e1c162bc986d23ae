//! What the whole path tells of a refusal, beyond the verifier's own words.

use super::{Entry, Step, text};
use crate::program::Program;
use crate::verifier::{Value, Verdict};
use asm::{CallTarget, Helper, Insn, Instruction};

/// More steps say nothing more.
const MOST: usize = 12;

/// A refusal.
pub(super) struct Case<'c> {
    pub program: &'c Program,
    pub verdict: &'c Verdict,
    /// The instruction at fault.
    pub at: Option<usize>,
    /// The register that it is about.
    pub regno: Option<u8>,
}

/// What replaces the general advice; empty fields do not.
#[derive(Default)]
pub(super) struct Better {
    pub meaning: Option<String>,
    pub remedy: Option<String>,
    /// Steps in place of the register's way.
    pub chain: Option<Vec<Step>>,
}

fn better(meaning: impl Into<String>, remedy: impl Into<String>) -> Better {
    Better { meaning: Some(meaning.into()), remedy: Some(remedy.into()), chain: None }
}

pub(super) fn of(case: &Case<'_>) -> Better {
    let families = [lost_pointer, registers, pointers, places, calls, references, loops, control, privileges];
    families.iter().find_map(|family| family(case)).unwrap_or_default()
}

impl Case<'_> {
    fn says(&self, text: &str) -> bool {
        self.verdict.reason.contains(text)
    }

    fn insns(&self) -> &[Insn] {
        &self.program.insns
    }

    fn path(&self) -> &[Entry] {
        &self.verdict.known
    }

    fn decoded(&self, at: usize) -> Option<Instruction> {
        Some(asm::decode(self.insns().get(at..)?).ok()?.0)
    }

    /// Offset and bytes of the memory access at fault.
    fn access(&self) -> Option<(i64, i64)> {
        let insn = self.insns().get(self.at?)?;
        let bytes = match insn.opcode & 0x18 {
            0x00 => 4,
            0x08 => 2,
            0x10 => 1,
            _ => 8,
        };
        (1..=3).contains(&(insn.opcode & 7)).then_some((i64::from(insn.off), bytes))
    }

    fn is_store(&self) -> bool {
        self.at.and_then(|at| self.insns().get(at)).is_some_and(|insn| matches!(insn.opcode & 7, 2 | 3))
    }

    fn number(&self, name: &str) -> Option<i64> {
        let (_, rest) = self.verdict.reason.split_once(name)?;
        let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end)?.parse().ok()
    }

    fn value(&self) -> Option<&Value> {
        let last = self.path().last().filter(|last| Some(last.insn) == self.at)?;
        last.regs.get(usize::from(self.regno?))
    }
}

/// `the call of bpf_x()`, and which it was.
fn helper(instruction: &Instruction) -> Option<(Helper, String)> {
    match instruction {
        Instruction::Call(CallTarget::Helper(helper)) => {
            let name =
                helper.name().map_or_else(|| format!("helper {}", helper.0), |name| format!("{name}()"));
            Some((*helper, name))
        }
        _ => None,
    }
}

/// A pointer that a call made worthless.
fn lost_pointer(case: &Case<'_>) -> Option<Better> {
    if !case.says("invalid mem access 'scalar'") && !case.says("invalid mem access 'inv'") {
        return None;
    }
    let (regno, path) = (usize::from(case.regno?), case.path());
    let frame = path.last()?.frame;
    let turned = path.windows(2).rev().find_map(|pair| {
        let [before, after] = pair else { return None };
        if before.frame != frame || after.frame != frame {
            return None;
        }
        match (before.regs.get(regno)?, after.regs.get(regno)?) {
            (Value::Pointer { kind, .. }, Value::Number(_)) => Some((before.insn, *kind)),
            _ => None,
        }
    });
    let (at, kind) = turned?;
    let (_, name) = helper(&case.decoded(at)?)?;
    let (what, remedy) = match kind {
        "pkt" | "pkt_meta" | "pkt_end" => (
            "may have moved the packet: all pointers into it are forgotten",
            "load data and data_end from the context again after the call, and compare again",
        ),
        _ => (
            "gave back what it points to: the pointer is worth nothing afterwards",
            "use the pointer before that call, or do not give it back yet",
        ),
    };
    Some(better(format!("{name} at instruction {at} {what}"), remedy))
}

fn registers(case: &Case<'_>) -> Option<Better> {
    let constant = matches!(case.value(), Some(Value::Number(numbers)) if numbers.only().is_some());
    if constant && case.says("invalid mem access 'scalar'") {
        return Some(better(
            format!("r{} is a plain number, and the verifier knows no memory at it", case.regno?),
            "get addresses from maps, helpers or the context; read any other kernel address by \
             bpf_probe_read_kernel()",
        ));
    }
    if !case.says("!read_ok") {
        return None;
    }
    let regno = case.regno?;
    let path = case.path();
    let last = path.last()?;
    let mut earlier = path.iter().rev().skip(1).filter(|entry| entry.frame == last.frame);
    let wiped = earlier.find(|entry| {
        matches!(case.decoded(entry.insn), Some(Instruction::Call(_)))
            && !matches!(entry.regs.get(usize::from(regno)), Some(Value::Nothing) | None)
    });
    Some(match (regno, wiped) {
        (0, _) => better(
            "r0 is the result, and it has no value on this path",
            "give r0 a value on every path; in C, a function without `return` does not",
        ),
        (1..=5, Some(call)) => better(
            format!("the call at instruction {} left nothing in r1 to r5", call.insn),
            "keep what is needed after a call in r6 to r9 or on the stack; in C, in a variable of its own",
        ),
        (1..=5, None) if last.frame > 0 => better(
            format!("r{regno} is an argument of this function that its caller did not set"),
            "pass every argument that the function reads",
        ),
        (1..=5, None) => better(
            format!("r{regno} was never written: a program begins with the context in r1, and nothing else"),
            "give it a value on every path that leads here",
        ),
        _ => better(
            format!("r{regno} is read before it was written"),
            "give it a value on every path that leads here; in C, initialize the variable",
        ),
    })
}

fn pointers(case: &Case<'_>) -> Option<Better> {
    if case.says("variable ctx access") {
        return Some(better(
            "the place in the context must be a constant",
            "name the member in the access itself; choose between members by comparing (`if` or `switch`), not by \
             computing an address",
        ));
    }
    if case.says("pointer += pointer") {
        return Some(better(
            "two pointers cannot be added, only a number to a pointer",
            "look which of both was meant to be a number, and load it from where the pointer points",
        ));
    }
    if case.says("32-bit pointer arithmetic") {
        return Some(better(
            "an operation of 32 bits would cut the pointer in half",
            "compute with all 64 bits (`r1 += 4`, not `w1 += 4`); in C, do not keep pointers in an int",
        ));
    }
    if case.says("invalid mem access 'pkt_end'") {
        return Some(better(
            "the packet's end can only be compared with",
            "read through a pointer to the packet's data, below its end",
        ));
    }
    if case.says("makes ") && case.says("pointer be out of bounds") {
        return Some(better(
            "the number that is added may take the pointer far outside, to where it wraps around",
            "limit the number on both sides before it is added (`if (i < 0 || i >= N) return 0;`), or make it \
             unsigned",
        ));
    }
    None
}

fn places(case: &Case<'_>) -> Option<Better> {
    let (off, size) = (case.number("off=").unwrap_or(0), case.number("size=").unwrap_or(0));
    if case.says("invalid bpf_context access") {
        let does = if case.is_store() { "write" } else { "read" };
        let meaning = format!(
            "a program of type {} may not {does} {size} bytes at offset {off} of its context",
            case.program.prog_type
        );
        if size > 0 && off % size != 0 {
            return Some(better(
                meaning,
                format!(
                    "{off} is no multiple of {size}: read the member at its own offset, with its own size"
                ),
            ));
        }
        let remedy = match does {
            "write" => {
                "few members may be written, and which ones depends on the program's type; change packets and \
                 sockets by helpers"
            }
            _ => {
                "use the context structure of this type of program and its members' own sizes; some members are \
                 only for other types, or for newer kernels"
            }
        };
        return Some(better(meaning, remedy));
    }
    if let Some(Value::Pointer { kind: "pkt", off: base, var_off, size: checked, .. }) = case.value()
        && case.says("outside of the packet")
        && let (Some((off, bytes)), Some(0)) = (case.access(), var_off.only())
    {
        let first = i64::from(*base) + off;
        let end = first + bytes;
        let which = match bytes {
            1 => format!("byte {first} of the packet is"),
            _ => format!("bytes {first} to {} of the packet are", end - 1),
        };
        let known = match checked.unwrap_or(0) {
            0 => "it was not compared with its end".to_owned(),
            n => format!("only {n} are known to be there"),
        };
        return Some(better(
            format!("{which} accessed, and {known}"),
            format!(
                "compare right before: `if (data + {end} > data_end) return ...;`, and again after every call that \
                 may change the packet"
            ),
        ));
    }
    if let (Some(Value::Pointer { kind, off: base, var_off, size: Some(have), .. }), Some((off, bytes))) =
        (case.value(), case.access())
        && (case.says("outside of the allowed memory range") || case.says("invalid access to m"))
        && matches!(*kind, "map_value" | "mem")
        && var_off.only() == Some(0)
    {
        let first = i64::from(*base) + off;
        let remedy = if first < 0 {
            "access nothing in front of it: offsets begin at 0".to_owned()
        } else {
            format!("stay within bytes 0 to {}, or make it larger", i64::from(*have) - 1)
        };
        return Some(better(
            format!("{bytes} bytes at offset {first} are accessed, where there are {have}"),
            remedy,
        ));
    }
    if case.says("invalid indirect access to stack") {
        let start = case.number("off=").or_else(|| case.number("off ")).unwrap_or(0);
        return Some(better(
            format!("the call is told of {size} bytes from fp{start:+}, and the stack ends before that"),
            "pass the size of the variable itself (`sizeof(buf)`), or make the variable larger",
        ));
    }
    if off >= 0 && (case.says("invalid write to stack") || case.says("invalid stack off=")) {
        return Some(better(
            "the stack grows down from the frame pointer: there is nothing above it",
            "use offsets from -512 to -1 from r10",
        ));
    }
    if case.says("has to have BTF in order to use bpf_spin_lock") {
        return Some(better(
            "the kernel finds the lock by the type of the map's value, and this map has no types",
            "declare the map with `__type(value, struct ...)` and a `struct bpf_spin_lock` in it, and compile with -g",
        ));
    }
    None
}

fn calls(case: &Case<'_>) -> Option<Better> {
    let (called, name) = helper(&case.decoded(case.at?)?)?;
    if case.says("cannot use helper") {
        let since = loader::verifier::helper_since(called)
            .map_or_else(String::new, |since| format!(" (it came with Linux {since})"));
        return Some(better(
            format!("{name} is not for programs of type {}{since}", case.program.prog_type),
            "use a program type that has it, or another helper; `tracewell feature` lists who has which",
        ));
    }
    if called == Helper::TAIL_CALL
        && (case.says("misconfigured verifier") || case.says("expected prog array"))
    {
        return Some(better(
            "bpf_tail_call() takes a map of type prog_array, which this one is not",
            "declare the map as BPF_MAP_TYPE_PROG_ARRAY",
        ));
    }
    if case.says("type=ctx expected=") {
        return Some(better(
            format!("{name} takes no pointer to the context as this argument, but one to memory"),
            "copy the member to the stack and pass the address of the copy",
        ));
    }
    None
}

/// What was acquired and is not given back, and by which way the program came to its end.
fn references(case: &Case<'_>) -> Option<Better> {
    if !case.says("Unreleased reference") && !case.says("reference leak") {
        return None;
    }
    let from = usize::try_from(case.number("alloc_insn=")?).ok()?;
    let (called, name) = helper(&case.decoded(from)?)?;
    let remedy = match called {
        Helper::RINGBUF_RESERVE => {
            "call bpf_ringbuf_submit() or bpf_ringbuf_discard() with it on every path to the end"
        }
        Helper::RINGBUF_RESERVE_DYNPTR => {
            "call bpf_ringbuf_submit_dynptr() or bpf_ringbuf_discard_dynptr() with it on every path to the end, \
             even where the reservation failed"
        }
        Helper::SK_LOOKUP_TCP | Helper::SK_LOOKUP_UDP | Helper::SKC_LOOKUP_TCP => {
            "compare it with NULL, and call bpf_sk_release() with it on every path to the end"
        }
        _ => "give it back on every path to the end, by the function that belongs to the one it came from",
    };
    let path = case.path();
    let begin = path.iter().rposition(|entry| entry.insn == from)?;
    let mut steps: Vec<Step> = Vec::new();
    for pair in path[begin..].windows(2) {
        let [now, next] = pair else { continue };
        if now.insn != from && !matches!(case.decoded(now.insn), Some(Instruction::JumpIf { .. })) {
            continue;
        }
        let result = if now.insn == from {
            "acquired here".to_owned()
        } else if next.insn == now.insn + 1 {
            "not taken".to_owned()
        } else {
            format!("taken, to instruction {}", next.insn)
        };
        steps.push(Step { insn: now.insn, text: text(case.insns(), now.insn), result });
    }
    if steps.len() > MOST {
        steps.drain(1..=steps.len() - MOST);
    }
    let meaning = format!("what {name} gave at instruction {from} is not given back on this path");
    Some(Better { chain: Some(steps), ..better(meaning, remedy) })
}

fn loops(case: &Case<'_>) -> Option<Better> {
    const UNBOUND: &str = "this loop has no bound the verifier can see";
    let too_long = ["too large. Processed", "jumps is too complex", "too many states"]
        .iter()
        .any(|what| case.says(what));
    let back_edge = case.says("back-edge");
    if !too_long && !back_edge && !case.says("infinite loop") {
        return None;
    }
    let jump = if back_edge {
        let from = usize::try_from(case.number("from insn ")?).ok()?;
        Some((from, usize::try_from(case.number(" to ")?).ok()?))
    } else {
        // The last jump back.
        case.path().windows(2).rev().find_map(|pair| match pair {
            [now, next] if now.frame == next.frame && next.insn <= now.insn => Some((now.insn, next.insn)),
            _ => None,
        })
    };
    let chain = jump.map(|(from, to)| {
        let result = format!("back to instruction {to}");
        vec![Step { insn: from, text: text(case.insns(), from), result }]
    });
    let (meaning, remedy) = if back_edge {
        (
            format!(
                "{UNBOUND}: without CAP_BPF, and before Linux 5.3, it sees none and takes no loops at all"
            ),
            "unroll it (`#pragma unroll`, with a constant number of rounds), or load it with CAP_BPF",
        )
    } else if case.says("infinite loop") {
        (
            format!("{UNBOUND}: a round changes nothing that would end it"),
            "count the rounds, and leave the loop at a constant (`for (int i = 0; i < 64; i++)`)",
        )
    } else if chain.is_some() {
        (
            format!("{UNBOUND}, or more rounds than it walks through one by one"),
            "leave the loop at a small constant also where the number of rounds is a variable \
             (`for (i = 0; i < n && i < 64; i++)`), or use bpf_loop() (Linux 5.17) or bpf_for() (6.4), whose body is \
             verified once",
        )
    } else {
        return None;
    };
    Some(Better { chain, ..better(meaning, remedy) })
}

fn control(case: &Case<'_>) -> Option<Better> {
    if case.says("div by zero") || case.says("division by zero") {
        return Some(better("the divisor is the constant 0", "divide by something else"));
    }
    if case.says("invalid shift") {
        return Some(better(
            "numbers have 64 bits (32 in the w registers), and it shifts by as many or more",
            "shift by 0 to 63 (0 to 31 for w registers)",
        ));
    }
    if case.says("unknown opcode") || case.says("reserved fields") || case.says("invalid BPF_") {
        return Some(better(
            "this is no instruction that the kernel knows",
            "look whether the bytes are instructions at all (`tracewell prog disasm`); compile for an older \
             instruction set (`-mcpu=v3`) where the kernel is older than the compiler",
        ));
    }
    if case.says("jump out of range") {
        return Some(better(
            "the jump leads outside of the program or of its function",
            "let it end at an instruction of the same function: a label does",
        ));
    }
    if case.says("last insn is not an exit") {
        return Some(better(
            "the function's last instruction lets execution run on behind its end",
            "end it with `exit`; in C, with `return`, and compile with -O2",
        ));
    }
    if case.says("unreachable insn") {
        return Some(better(
            "no path leads to this instruction, and the kernel takes no dead code here",
            "remove it, or jump to it; a compiler leaves none with -O2; a function that nobody calls must be static",
        ));
    }
    if case.says("recursive call") || case.says("back-edge to func") || case.says("call stack of") {
        return Some(better(
            "functions may be 8 calls deep, and a function may not come back to itself",
            "make a loop of the recursion, with a bound",
        ));
    }
    let range = case.verdict.reason.split("should have been in ").nth(1);
    if let (true, Some(range)) = (case.says("R0"), range) {
        return Some(better(
            format!("a program of type {} may only return a number in {range}", case.program.prog_type),
            "set r0 to a constant of that range right before the exit, on every path",
        ));
    }
    None
}

fn privileges(case: &Case<'_>) -> Option<Better> {
    // The kernel says nothing then.
    if case.verdict.reason.is_empty() && case.verdict.errno.abs() == 1 {
        return Some(better(
            format!("loading a program of type {} takes privileges", case.program.prog_type),
            "load it as root, or with CAP_BPF and what its type needs: CAP_PERFMON for tracing, CAP_NET_ADMIN for \
             networking; without any there are socket_filter and cgroup_skb programs only",
        ));
    }
    if case.says("loading/calling other bpf") {
        return Some(better(
            "calls between a program's own functions take CAP_BPF",
            "load it with CAP_BPF, or let the compiler inline the function (`static __always_inline`)",
        ));
    }
    None
}
