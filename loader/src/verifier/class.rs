//! Classes of complaints: what each means for the program's author, and what to do.

use super::helpers::helper_since;
use super::log::Log;
use asm::{Helper, Insn};
use bpf_sys::prog::ProgType;

/// What is known about a refusal.
pub(super) struct Case<'c> {
    pub reason: &'c str,
    pub log: &'c Log,
    pub insns: &'c [Insn],
    pub insn: Option<usize>,
    pub prog_type: ProgType,
    pub license: &'c str,
}

#[derive(Debug, Default)]
pub(super) struct Finding {
    pub meaning: Option<String>,
    pub remedy: Option<String>,
}

impl Finding {
    fn new(meaning: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { meaning: Some(meaning.into()).filter(|text| !text.is_empty()), remedy: Some(remedy.into()) }
    }
}

/// What to do about an instruction that nothing could be filled into.
pub(super) fn poison_remedy(what: &str) -> &'static str {
    if what.starts_with("the map") {
        "create the map, or see to it that the code which uses it is never reached (a constant in .rodata)"
    } else if what.starts_with("the kernel function") {
        "ask with bpf_ksym_exists() before calling it"
    } else if what.contains("global data") {
        "keep the state in a map instead of global variables"
    } else {
        "ask with bpf_core_field_exists(), bpf_core_type_exists() or bpf_core_enum_value_exists() before using it"
    }
}

pub(super) fn classify(case: &Case<'_>) -> Finding {
    let by_family =
        [pointers, arguments, memory, stack, helpers, loops, references, whole_program, attachment];
    by_family.iter().find_map(|family| family(case)).unwrap_or_default()
}

impl Case<'_> {
    fn says(&self, text: &str) -> bool {
        self.reason.contains(text)
    }

    /// The register that the complaint begins with: `R3 invalid mem access`.
    fn register(&self) -> Option<u8> {
        let words = self.reason.split([' ', ';']);
        words.filter_map(|word| word.strip_prefix('R')?.parse().ok()).next()
    }

    /// The number that stands behind `name` in the complaint.
    fn number(&self, name: &str) -> Option<i64> {
        let (_, rest) = self.reason.split_once(name)?;
        let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end)?.parse().ok()
    }

    /// The name of the helper called by the instruction at which the verifier stopped.
    fn called(&self) -> Option<String> {
        name_of_call(&self.log.path.last()?.1)
    }

    /// The name of the last helper that was called before the verifier stopped.
    fn last_call(&self) -> Option<String> {
        self.log.path.iter().rev().skip(1).find_map(|(_, text)| name_of_call(text))
    }

    /// `of bpf_x()`, or nothing.
    fn of_last_call(&self) -> String {
        self.last_call().map_or(String::new(), |name| format!(" of {name}()"))
    }
}

/// `(85) call bpf_map_lookup_elem#1` is `bpf_map_lookup_elem`.
fn name_of_call(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("call ")?;
    let (name, _) = rest.split_once('#')?;
    (!name.starts_with("pc") && !name.is_empty()).then(|| name.to_owned())
}

fn pointers(case: &Case<'_>) -> Option<Finding> {
    let register = || case.register().map_or("a register".to_owned(), |number| format!("r{number}"));
    if case.says("_or_null'") {
        return Some(Finding::new(
            format!("{} may be NULL here: the result{} was not checked", register(), case.of_last_call()),
            "compare the pointer with NULL before using it, and return when it is",
        ));
    }
    if case.says("invalid mem access 'inv'") || case.says("invalid mem access 'scalar'") {
        return Some(Finding::new(
            format!("{} is a number to the verifier, not a pointer that it knows the target of", register()),
            "read kernel memory by bpf_probe_read_kernel() or BPF_CORE_READ(), user memory by \
             bpf_probe_read_user(); pointers of maps and helpers lose their type in arithmetic and in 32-bit copies",
        ));
    }
    if case.says("invalid mem access '") {
        return Some(Finding::new(
            format!("{} is a pointer that a program may not follow directly", register()),
            "hand the pointer to a helper that takes it, or read through it by bpf_probe_read_kernel()",
        ));
    }
    if case.says("!read_ok") {
        return Some(match case.register() {
            Some(0) => Finding::new(
                "r0 has no value on this path",
                "return a value on every path; a function without `return` does not",
            ),
            Some(number @ 1..=5) => Finding::new(
                format!("r{number} has no value here: calls leave nothing in r1 to r5"),
                "keep what is needed after a call in a variable of its own, and pass every argument",
            ),
            _ => Finding::new("a register is read before it was written", "initialize the variable"),
        });
    }
    if case.says("beyond struct ") || case.says("access beyond the end of") {
        return Some(Finding::new(
            "the access ends behind the structure's end in this kernel",
            "let CO-RE find the member's place: __attribute__((preserve_access_index)), or vmlinux.h of a newer kernel",
        ));
    }
    if case.says("math between ") && (case.says("unbounded") || case.says("min value")) {
        return Some(Finding::new(
            "the number that is added to the pointer is not limited",
            "limit the variable right before it is used as an index (`if (i >= N) return 0;` or `i &= N - 1`)",
        ));
    }
    if case.says("pointer arithmetic") || case.says("math between ") || case.says("modified ctx ptr") {
        return Some(Finding::new(
            "arithmetic on a pointer with which none is allowed, or by a number without limits",
            "compare the number with limits first; add constants to the context only in the access itself \
             (the compiler may have merged accesses: read into a variable first)",
        ));
    }
    None
}

fn arguments(case: &Case<'_>) -> Option<Finding> {
    let helper = || case.called().map_or("the function".to_owned(), |name| format!("{name}()"));
    if case.says(" expected=") && case.says("type=") {
        let null = case.says("_or_null");
        return Some(Finding::new(
            format!("an argument of {} is not of the kind that it takes", helper()),
            if null {
                "compare the pointer with NULL before the call"
            } else {
                "pass a pointer to memory that the verifier knows (stack, map value, context), or copy it to the stack first"
            },
        ));
    }
    if case.says("Possibly NULL pointer passed to trusted") {
        return Some(Finding::new(
            format!("{} takes no NULL", helper()),
            "compare the pointer with NULL before the call",
        ));
    }
    if case.says("must be referenced or trusted") || case.says("must be a rcu pointer") {
        return Some(Finding::new(
            format!("{} takes only pointers that are known to live on", helper()),
            "take the pointer from the program's arguments, from an iterator or by a function that acquires it, \
             not by walking through structures",
        ));
    }
    if case.says("min value is negative") {
        return Some(Finding::new(
            "a size or offset may be negative",
            "use an unsigned type, and limit it: `if (len > sizeof(buf)) len = sizeof(buf);` or `len &= MASK`",
        ));
    }
    if case.says("unbounded memory access") || case.says("max value is outside of the allowed memory range") {
        return Some(Finding::new(
            "a size or offset is not limited to what is there",
            "limit the variable right before the access (`if (i >= N) return 0;` or `i &= N - 1`), in the same type \
             that the access uses",
        ));
    }
    if case.says("Caller passes invalid args into func#") {
        return Some(Finding::new(
            "a global function is verified on its own and trusts only what its parameters' types say",
            "make the function static, or annotate its parameters (__arg_ctx, __arg_nonnull, __arg_trusted)",
        ));
    }
    None
}

fn memory(case: &Case<'_>) -> Option<Finding> {
    if case.says("invalid bpf_context access") || case.says("invalid bpf_context") {
        let (off, size) = (case.number("off=").unwrap_or(0), case.number("size=").unwrap_or(0));
        return Some(Finding::new(
            format!(
                "{size} bytes at {off} of the context are not for {} programs to access so",
                case.prog_type
            ),
            "use the context structure of this program type with its members' own sizes; members may be read-only, \
             or newer than this kernel",
        ));
    }
    if case.says("invalid access to map value") || case.says("invalid access to memory") {
        let size = case.number("value_size=").or_else(|| case.number("mem_size="));
        let (off, len) = (case.number("off=").unwrap_or(0), case.number("size=").unwrap_or(0));
        let have = size.map_or(String::new(), |size| format!(", where there are {size} bytes"));
        return Some(Finding::new(
            format!("an access of {len} bytes at offset {off}{have}"),
            "compare the index with the number of elements before the access, also with its lower limit where it is \
             signed",
        ));
    }
    if case.says("invalid access to packet") || case.says("offset is outside of the packet") {
        return Some(Finding::new(
            "the packet may end before that",
            "compare with data_end right before: `if ((void *)(header + 1) > data_end) return ...;`, again after every \
             call that may change the packet",
        ));
    }
    if case.says("min value is outside of the allowed memory range") {
        return Some(Finding::new(
            "the access may lie in front of the memory or behind its end",
            "limit the index on both sides before the access, or make it unsigned",
        ));
    }
    if case.says("write into map forbidden") || case.says("only read is supported") {
        return Some(Finding::new(
            "this memory is read-only for programs",
            "constants (.rodata) and BTF-typed kernel memory cannot be written: use a variable in .data or .bss, or a helper",
        ));
    }
    if case.says("misaligned") {
        return Some(Finding::new(
            "the address is not a multiple of the access's size",
            "align the member, or copy bytes with __builtin_memcpy()",
        ));
    }
    if case.says("leaks addr")
        || case.says("pointer comparison prohibited")
        || case.says("prohibited for !root")
    {
        return Some(Finding::new(
            "the program would tell a kernel address, which takes CAP_PERFMON",
            "run as root or with CAP_PERFMON, or keep pointers out of results, maps and comparisons",
        ));
    }
    None
}

fn stack(case: &Case<'_>) -> Option<Finding> {
    let beyond = case.number("off=").is_some_and(|off| off < -512)
        || case.number("off ").is_some_and(|off| off < -512);
    if case.says("combined stack size") || case.says("stack depth") || (case.says("stack") && beyond) {
        return Some(Finding::new(
            "more than 512 bytes of stack are used",
            "move large variables into a per-CPU array of one element, and look it up",
        ));
    }
    if case.says("invalid indirect read from stack")
        || case.says("invalid read from stack")
        || case.says("invalid indirect access to stack")
    {
        return Some(Finding::new(
            "bytes of the stack are read that were never written, often padding of a structure",
            "clear the variable first (`= {}` leaves padding alone: use __builtin_memset), or pass its exact size",
        ));
    }
    if case.says("write to stack")
        || case.says("read from stack")
        || case.says("invalid stack ")
        || case.says("variable stack access")
    {
        return Some(Finding::new(
            "the access lies outside of the variable on the stack, or at an offset that is not known",
            "index the array with a limited variable, or move it into a map",
        ));
    }
    None
}

fn helpers(case: &Case<'_>) -> Option<Finding> {
    if case.says("GPL") && (case.says("cannot call") || case.says("non-GPL")) {
        return Some(Finding::new(
            format!(
                "this function is for GPL-compatible programs only, and the licence is {:?}",
                case.license
            ),
            "declare `char LICENSE[] SEC(\"license\") = \"GPL\";` if that is what it may be",
        ));
    }
    let absent = ["unknown func ", "invalid func ", "program of this type cannot use helper "];
    if absent.iter().any(|text| case.says(text)) {
        let insn = case.insn.and_then(|at| case.insns.get(at));
        let helper = Helper(insn.map_or(0, |insn| insn.imm as u32));
        return Some(match (helper.name(), helper_since(helper)) {
            (Some(name), Some(since)) => Finding::new(
                format!("{name}() came with Linux {since}, and not for every type of program"),
                format!(
                    "load it on a newer kernel, or find another way for {} programs (`tracewell feature` tells what \
                     this kernel has)",
                    case.prog_type
                ),
            ),
            _ => Finding::new(
                format!("there is no helper number {} here", helper.id() as i32),
                "the program was made for a newer kernel, or calls what could not be relocated",
            ),
        });
    }
    if case.says("calling kernel function") || case.says("not allowed") && case.says("kernel function") {
        return Some(Finding::new(
            format!("this kernel function is not for {} programs", case.prog_type),
            "call it from a program type that it was registered for, or do without",
        ));
    }
    if case.says("might sleep") || case.says("sleepable") {
        return Some(Finding::new(
            "what may sleep is called where the program must not",
            "put the program into a sleepable section (`.s`), and call it outside of locks and RCU sections",
        ));
    }
    None
}

fn loops(case: &Case<'_>) -> Option<Finding> {
    if case.says("back-edge") {
        return Some(Finding::new(
            "the program has a loop, and this kernel (before Linux 5.3), or a load without CAP_BPF, takes none",
            "unroll it: `#pragma unroll`, with a constant number of rounds",
        ));
    }
    if case.says("infinite loop detected") {
        return Some(Finding::new(
            "a round of this loop changes nothing that would end it",
            "count the rounds up to a constant",
        ));
    }
    if case.says("too large. Processed") || case.says("too complex") || case.says("too many states") {
        return Some(Finding::new(
            "there are more paths through the program than the verifier goes through",
            "make loops shorter, or use bpf_loop() (Linux 5.17) or bpf_for() (6.4), whose body is verified once; split \
             functions off as global ones, or programs by tail calls",
        ));
    }
    None
}

fn references(case: &Case<'_>) -> Option<Finding> {
    if case.says("Unreleased reference") || case.says("reference leak") || case.says("reference has not been")
    {
        let from = case.number("alloc_insn=").and_then(|at| usize::try_from(at).ok());
        let called = from
            .and_then(|at| case.insns.get(at))
            .filter(|insn| insn.src().number() == 0)
            .and_then(|insn| Helper(insn.imm as u32).name());
        let what = match (called, from) {
            (Some(name), Some(at)) => {
                format!("what {name}() gave at instruction {at} is not given back on this path")
            }
            _ => "something that was acquired is not given back on this path".to_owned(),
        };
        return Some(Finding::new(
            what,
            "release it on every path to the end: bpf_ringbuf_submit() or _discard(), bpf_sk_release(), bpf_obj_drop() ...",
        ));
    }
    if case.says("spin_lock") || case.says("while holding a lock") {
        return Some(Finding::new(
            "a lock is held where it must not be, or not held where it must be",
            "unlock on every path, and call nothing in between",
        ));
    }
    None
}

fn whole_program(case: &Case<'_>) -> Option<Finding> {
    if case.says("unreachable insn") {
        return Some(Finding::new(
            "code that no path leads to",
            "compile with -O2; a global function that nobody calls must be static",
        ));
    }
    if case.says("R0 has") && case.says("should have been in") || case.says("At program exit the register R0")
    {
        return Some(Finding::new(
            "this type of program may return only certain values",
            "return one of those that the kernel names, on every path",
        ));
    }
    if case.says("failed to find the address for kernel symbol") {
        return Some(Finding::new(
            "the kernel has the variable's type but not its address: it was built without CONFIG_KALLSYMS_ALL",
            "declare the variable __weak and ask whether it is there, or take a kernel that lists its variables",
        ));
    }
    if case.says("last insn is not an exit") || case.says("jump out of range") {
        return Some(Finding::new(
            "the instructions are incomplete",
            "compile the file again; a function without `return` at -O0 does this",
        ));
    }
    None
}

fn attachment(case: &Case<'_>) -> Option<Finding> {
    if case.says("is not modifiable") || case.says("fmod_ret") {
        return Some(Finding::new(
            "only functions marked for error injection and LSM hooks may have their results changed",
            "use fentry or fexit to watch this function",
        ));
    }
    if case.says("attach_btf_id") || case.says("FENTRY/FEXIT") || case.says("is not a function") {
        return Some(Finding::new(
            "the kernel does not take this function, tracepoint or hook to attach to",
            "choose another function (it may be inlined or excluded from tracing), or a kprobe",
        ));
    }
    None
}
