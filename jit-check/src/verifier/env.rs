//! What a walk through a program carries with it.

use super::known::{Known, Recording};
use super::log::Log;
use super::objects::{Objects, Record};
use super::reg::{BtfIdx, Reg};
use super::state::{Frame, State, StateId};
use crate::kernel::{Kernel, Privileges, Version};
use crate::program::Program;
use asm::Insn;
use bpf_sys::prog::ProgType;
use btf::Btf;
use std::fmt;

/// How to verify.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// What the loader may do.
    pub privileges: Privileges,
    /// 0: no log; 1: the way to the fault; 2: every instruction with all that changed. As `log_level` of bpf(2); 4 adds
    /// nothing but statistics.
    pub log_level: u32,
    /// `BPF_F_STRICT_ALIGNMENT` and the other test flags come with the program's flags.
    pub max_insns: u32,
    /// What was known of each register at each instruction, for checking concrete values against it.
    pub record: Recording,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            privileges: Privileges::Full,
            log_level: 1,
            max_insns: 1_000_000,
            record: Recording::Nothing,
        }
    }
}

/// What the verifier says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verdict {
    /// Whether the kernel would take the program.
    pub accepted: bool,
    /// `errno` of the refusal, positive (`EACCES` 13, `EINVAL` 22, `E2BIG` 7 ...); 0 where it is accepted.
    pub errno: i32,
    /// Last line of the log before the statistics: why.
    pub reason: String,
    /// The instruction at fault, where it lies in one.
    pub insn: Option<usize>,
    /// The log, in the kernel's format.
    pub log: String,
    /// What was known on the way, as far as [`Options::record`] asked for it.
    pub known: Vec<Known>,
    /// What the walk took.
    pub stats: Statistics,
    /// Something the simulator does not model was met; the verdict is a guess then. Empty where nothing was.
    pub unmodelled: Vec<String>,
}

/// What a walk took, counted as the kernel counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// `processed N insns`.
    pub insns: u32,
    /// `max_states_per_insn`.
    pub max_states_per_insn: u32,
    /// `total_states`.
    pub total_states: u32,
    /// `peak_states`.
    pub peak_states: u32,
    /// `mark_read`: longest chain of read marks.
    pub mark_read: u32,
    /// `stack depth`: bytes of each subprogram.
    pub stack_depth: Vec<u32>,
}

/// The program is refused; the log has the words. The number is a positive `errno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reject(pub i32);

pub(crate) type Res<T = ()> = Result<T, Reject>;

pub(crate) const EPERM: i32 = 1;
pub(crate) const ENOENT: i32 = 2;
pub(crate) const E2BIG: i32 = 7;
pub(crate) const EACCES: i32 = 13;
pub(crate) const EFAULT: i32 = 14;
pub(crate) const EINVAL: i32 = 22;
pub(crate) const ENOTSUPP: i32 = 524;
pub(crate) const EOPNOTSUPP: i32 = 95;

/// Says why in the log and gives the refusal: `reject!(env, EACCES, "R{regno} !read_ok")`. The text has no line end.
macro_rules! reject {
    ($env:expr, $errno:expr, $($text:tt)*) => {{
        $env.say(format_args!($($text)*));
        $env.say(format_args!("\n"));
        return Err($crate::verifier::env::Reject($errno));
    }};
}
pub(crate) use reject;

/// What kind of pointer an instruction worked on, for one instruction may not work on two kinds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InsnAux {
    /// Where states are kept and compared.
    pub prune_point: bool,
    pub jmp_point: bool,
    /// A jump leads here.
    pub jump_target: bool,
    pub force_checkpoint: bool,
    pub seen: bool,
    /// Type of the pointer it accessed through: base, flags.
    pub ptr_type: Option<Reg>,
    pub calls_callback: bool,
    pub is_iter_next: bool,
    /// Map (or kernel variable) that a 64-bit immediate load gives.
    pub map: Option<u32>,
    pub map_off: u32,
    /// Offset and sign of pointer arithmetic under speculation (`alu_state`, `alu_limit`).
    pub alu_state: u32,
    pub alu_limit: u32,
    /// A misguided processor stops before it (since Linux 6.17).
    pub fenced: bool,
    /// A call whose map argument or flag argument differed between paths (tail calls, loops).
    pub map_ptr: MapPtrState,
    /// Whether a `bpf_loop` call fits for being put inline.
    pub loop_inline: LoopInline,
    /// For kernel functions that allocate: what.
    pub obj: Option<(BtfIdx, u32)>,
    /// Registers that are spilled around this call though it does not clobber them (`bpf_fastcall`).
    pub fastcall_spills: u8,
    pub fastcall_pattern: bool,
    pub zext_dst: bool,
    /// A call of a subprogram made this instruction a place to check the stack.
    pub storage_get_atomic: bool,
    pub needs_zext: bool,
    /// Registers that are live before it, a bit each (r0 to r10). Computed once.
    pub live_regs_before: u16,
}

/// Which map(s) a call had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MapPtrState {
    #[default]
    None,
    Known(u32),
    Poisoned,
}

/// What `bpf_loop` calls at one place have in common.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LoopInline {
    pub initialized: bool,
    pub fit: bool,
    pub subprogno: u32,
}

/// A function of the program.
#[derive(Clone, Debug, Default)]
pub(crate) struct SubProg {
    /// Its first instruction. The list has one more entry that ends the last.
    pub start: usize,
    pub name: String,
    pub linfo_idx: usize,
    pub stack_depth: u32,
    pub stack_extra: u32,
    pub fastcall_stack_off: i32,
    pub has_tail_call: bool,
    pub tail_call_reachable: bool,
    pub has_ld_abs: bool,
    pub is_cb: bool,
    pub is_async_cb: bool,
    pub is_exception_cb: bool,
    pub is_global: bool,
    pub called: bool,
    pub verified: bool,
    pub changes_pkt_data: bool,
    pub might_sleep: bool,
    pub args_cached: bool,
    /// A function without a result, where such a one may be global (since Linux 7.1).
    pub returns_void: bool,
    pub args: Vec<ArgInfo>,
    pub keep_fastcall_stack: bool,
    pub unreliable: bool,
    /// Its `FUNC` in the program's BTF.
    pub type_id: Option<u32>,
    pub priv_stack_mode: u8,
}

/// What a global function's argument must be, by its BTF.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArgInfo {
    pub kind: ArgKind,
    pub mem_size: u32,
    pub btf: Option<(BtfIdx, u32)>,
    pub may_be_null: bool,
}

/// Kinds of arguments of global functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArgKind {
    Anything,
    Ctx,
    Mem,
    Dynptr,
    Arena,
    /// Trusted kernel object (`__arg_trusted`).
    Btf,
    /// Untrusted memory or object (`__arg_untrusted`). Since Linux 6.17.
    UntrustedBtf,
    UntrustedMem,
}

/// A map with what its BTF says of special fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct MapInfo {
    pub record: Option<Record>,
    /// Whether this is the inner map's description of a map of maps (index of the outer).
    pub inner_of: Option<u32>,
    /// Whether the kernel knows its types.
    pub has_btf: bool,
}

/// A path that is still to be walked.
pub(crate) struct Pending {
    pub state: Box<State>,
    pub insn_idx: usize,
    pub prev_insn_idx: usize,
    pub log_pos: u64,
    pub recorded: usize,
}

/// The walk.
pub(crate) struct Env<'a> {
    pub kernel: &'a Kernel<'a>,
    pub program: &'a Program,
    pub options: &'a Options,
    /// The program's instructions. Map loads hold map indices; they are never rewritten.
    pub insns: Vec<Insn>,
    /// Types: the kernel's (an empty BTF where there is none), the program's, modules'.
    pub btfs: Vec<&'a Btf<'a>>,
    pub maps: Vec<MapInfo>,
    /// Special fields of the program's structs, kernel functions that are called. Filled by `init_map_records` and
    /// `add_kfunc_calls`; begin with `Objects::default()`.
    pub objects: Objects<'a>,
    pub aux: Vec<InsnAux>,
    pub subprogs: Vec<SubProg>,
    pub exception_callback: Option<u32>,
    /// The path that is walked.
    pub cur: Box<State>,
    pub insn_idx: usize,
    pub prev_insn_idx: usize,
    pub pending: Vec<Pending>,
    /// Cached states by id.
    #[allow(clippy::vec_box)]
    pub nodes: Vec<Option<Box<State>>>,
    pub free_nodes: Vec<u32>,
    /// Cached states at each instruction (only where they are kept).
    pub explored: Vec<Vec<Explored>>,
    pub id_gen: u32,
    pub log: Log,
    pub stats: Statistics,
    pub insn_processed: u32,
    pub prev_insn_processed: u32,
    pub jmps_processed: u32,
    pub prev_jmps_processed: u32,
    pub unmodelled: Vec<String>,
    // What the loader may do.
    pub allow_ptr_leaks: bool,
    pub allow_uninit_stack: bool,
    pub bpf_capable: bool,
    pub bypass_spec_v1: bool,
    // How strict it is.
    pub strict_alignment: bool,
    pub test_state_freq: bool,
    pub test_reg_invariants: bool,
    pub explore_alu_limits: bool,
    /// Which subprogram is being verified on its own (0 is the program).
    pub subprog_now: u32,
    pub seen_direct_write: bool,
    pub seen_exception: bool,
    /// Whether the program was found to sleep, tail call, change packets ...
    pub changes_pkt_data: bool,
    /// Registers as they were recorded for each instruction, where that was asked for.
    pub recorded: Vec<Known>,
    /// The last of them on the current path.
    pub recorded_last: Option<usize>,
    /// How many of the path's oldest records were let go: nobody reads a way of a million steps.
    pub forgotten: usize,
    /// What the program is attached to by type.
    pub attach: Attach,
    /// Registers (a bit each) and stack slots of the current frame that changed since the state was last printed.
    pub scratched_regs: u32,
    pub scratched_slots: u64,
    /// Where in the log the text of the last instruction ends, and how long that text is: the state goes on the same line.
    pub prev_log_pos: u64,
    pub prev_insn_print_pos: u64,
    /// The source line that was printed last: index into the program's lines.
    pub prev_line: Option<usize>,
    /// Whether the kernel knows the program's own types: it was given some, takes them, and the loader may load types.
    pub own_types: bool,
    /// The instruction that a refusal is about.
    pub fault: Option<usize>,
    /// Whether `InsnAux::live_regs_before` is computed.
    pub live_known: bool,
    /// What the keeping of states needs: the way walked, work space, spare memory.
    pub keep: super::states::Keep,
}

/// What a program of the types tracing, LSM and struct_ops is attached to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attach {
    /// Types in which the target is.
    pub btf: BtfIdx,
    /// The target's `FUNC`, tracepoint typedef or struct.
    pub id: Option<u32>,
    /// Its `FUNC_PROTO`, by which the context is read.
    pub proto: Option<u32>,
    /// Name of the function, tracepoint (without `btf_trace_`) or member.
    pub name: String,
    /// struct_ops: name of the struct that the member is of (`tcp_congestion_ops`).
    pub struct_name: String,
    /// A tracepoint (`tp_btf`): the first parameter is not the program's.
    pub is_tracepoint: bool,
    /// Whether the target returns nothing.
    pub returns_void: bool,
}

/// A cached state at an instruction, with how often it helped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Explored {
    pub state: StateId,
    pub hits: u32,
    pub misses: u32,
}

impl<'a> Env<'a> {
    /// Adds text to the log, when there is one (levels 1 and 2).
    pub fn say(&mut self, text: fmt::Arguments<'_>) {
        self.log.write(text);
    }

    /// Whether every instruction is logged.
    pub fn level2(&self) -> bool {
        self.options.log_level & 2 != 0
    }

    pub fn prog_type(&self) -> ProgType {
        self.program.prog_type
    }

    /// Whether the kernel is this one or newer.
    pub fn since(&self, major: u16, minor: u16) -> bool {
        self.kernel.version >= Version(major, minor)
    }

    pub fn frame(&self) -> &Frame {
        let at = self.cur.curframe();
        &self.cur.frames[at]
    }

    pub fn frame_mut(&mut self) -> &mut Frame {
        let at = self.cur.curframe();
        &mut self.cur.frames[at]
    }

    /// Register of the current frame.
    pub fn reg(&self, regno: u8) -> &Reg {
        &self.frame().regs[usize::from(regno)]
    }

    pub fn reg_mut(&mut self, regno: u8) -> &mut Reg {
        &mut self.frame_mut().regs[usize::from(regno)]
    }

    /// A new id for values that are the same.
    pub fn new_id(&mut self) -> u32 {
        self.id_gen += 1;
        self.id_gen
    }

    /// Notes that something is not modelled; the verdict will say so.
    pub fn unmodelled(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.unmodelled.contains(&what) {
            self.unmodelled.push(what);
        }
    }

    pub fn aux(&self) -> &InsnAux {
        &self.aux[self.insn_idx]
    }

    pub fn aux_mut(&mut self) -> &mut InsnAux {
        let at = self.insn_idx;
        &mut self.aux[at]
    }

    /// The types behind an index.
    pub fn btf(&self, at: BtfIdx) -> &'a Btf<'a> {
        self.btfs[usize::from(at.0)]
    }
}
