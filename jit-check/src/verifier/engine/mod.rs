//! The walk itself: what is checked before it, how it goes on from instruction to instruction, and what is checked after.

mod args;
mod attach;
mod calls;
mod cfg;
mod exit;
mod fastcall;
mod imm64;
mod line_info;
mod load;
mod post;
mod refs;
mod stack_depth;
mod subprogs;
mod text;
mod walk;

use super::env::{Env, MapInfo, Options, Reject, Res, Statistics, SubProg, Verdict};
use super::log::Log;
use super::reg::{Base, Reg};
use super::scalar::Tnum;
use super::state::{Frame, State};
use crate::kernel::{Kernel, Privileges};
use crate::program::Program;
use bpf_sys::prog::ProgFlags;
use btf::Btf;

/// What a subprogram's frame is filled with when a function calls it back: of the state, the caller's frame and the
/// callee's.
pub(crate) type SetCallback<'x> = &'x mut dyn FnMut(&mut State, usize, usize) -> Res;

/// Most frames at a time.
pub(in crate::verifier) const MAX_CALL_FRAMES: usize = 8;
/// Bytes of stack.
pub(in crate::verifier) const MAX_STACK: u32 = 512;

pub(super) fn verify(program: &Program, kernel: &Kernel<'_>, options: &Options) -> Verdict {
    let empty_bytes = empty_btf();
    let (Ok(no_kernel), Ok(no_own)) = (Btf::parse(&empty_bytes), Btf::parse(&empty_bytes)) else {
        return Verdict::refused(EINVAL);
    };
    let own = match program.btf.as_deref().map(Btf::parse) {
        None => None,
        Some(Ok(own)) => Some(own),
        Some(Err(_)) => return Verdict::refused(EINVAL),
    };
    // Loaders go on without types that the kernel does not take, and so does the program.
    let own = own.filter(|own| options.privileges == Privileges::Full && line_info::are_functions_named(own));
    let mut btfs = vec![kernel.btf.unwrap_or(&no_kernel), own.as_ref().unwrap_or(&no_own)];
    btfs.extend(kernel.modules.iter().map(|(_, btf)| *btf));
    if let Err(Reject(errno)) = load::check(program, options) {
        return Verdict::refused(errno);
    }
    let mut env = Env::new(program, kernel, options, btfs);
    env.own_types = own.is_some();
    let outcome = env.check();
    env.verdict(outcome)
}

use super::env::EINVAL;

/// BTF without types: what there is where there is none.
fn empty_btf() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(25);
    bytes.extend(0xeb9f_u16.to_ne_bytes());
    bytes.extend([1, 0]);
    for word in [24_u32, 0, 0, 0, 1] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.push(0);
    bytes
}

/// A pointer of this kind with no offset.
pub(in crate::verifier) fn pointer(base: Base) -> Reg {
    Reg {
        base,
        var_off: Tnum { value: 0, mask: 0 },
        smin: 0,
        smax: 0,
        umin: 0,
        umax: 0,
        s32_min: 0,
        s32_max: 0,
        u32_min: 0,
        u32_max: 0,
        ..Reg::NOT_INIT
    }
}

/// A frame as a function finds it: nothing but the frame pointer.
pub(in crate::verifier) fn fresh_frame(callsite: i32, frameno: u32, subprogno: u32) -> Frame {
    let mut frame = Frame { callsite, frameno, subprogno, ..Frame::default() };
    frame.regs[10] = pointer(Base::Stack);
    frame.regs[10].frameno = frameno;
    frame
}

/// The last line of a log (without its statistics) that says why a program was refused: source lines, and the states that
/// an endless loop comes back to, are no reason; the instruction that stands in front on the same line is none either.
pub fn reason(log: &str) -> &str {
    const OTHER: [&str; 6] =
        ["cur state:", "old state:", "; ", "processed ", "stack depth", "verification time"];
    let mut lines = log.lines().rev().map(str::trim_end);
    let line = lines.find(|line| !line.is_empty() && !OTHER.iter().any(|other| line.starts_with(other)));
    // Some words end without a line's end, some begin on an instruction's line.
    let line = line.unwrap_or_default().split("verification time").next().unwrap_or_default();
    line.find("infinite loop detected").map_or(line, |at| &line[at..])
}

impl Verdict {
    /// A refusal without a word.
    fn refused(errno: i32) -> Verdict {
        Verdict {
            accepted: false,
            errno,
            reason: String::new(),
            insn: None,
            log: String::new(),
            known: Vec::new(),
            stats: Statistics::default(),
            unmodelled: Vec::new(),
        }
    }
}

impl<'a> Env<'a> {
    fn new(
        program: &'a Program,
        kernel: &'a Kernel<'a>,
        options: &'a Options,
        btfs: Vec<&'a Btf<'a>>,
    ) -> Env<'a> {
        let full = options.privileges == Privileges::Full;
        let strict = program.flags.contains(ProgFlags::STRICT_ALIGNMENT) || !kernel.unaligned;
        let inner = program.maps.iter().enumerate().filter(|(_, map)| map.inner.is_some());
        let inner = inner.map(|(outer, _)| MapInfo { inner_of: Some(outer as u32), ..MapInfo::default() });
        let maps = program.maps.iter().map(|_| MapInfo::default()).chain(inner).collect();
        let len = program.insns.len();
        Env {
            kernel,
            program,
            options,
            insns: program.insns.clone(),
            btfs,
            maps,
            aux: vec![Default::default(); len],
            subprogs: Vec::<SubProg>::new(),
            exception_callback: None,
            cur: Box::new(State::default()),
            insn_idx: 0,
            prev_insn_idx: usize::MAX,
            pending: Vec::new(),
            nodes: Vec::new(),
            free_nodes: Vec::new(),
            explored: Vec::new(),
            id_gen: 0,
            log: Log { level: options.log_level, ..Log::default() },
            stats: Statistics::default(),
            insn_processed: 0,
            prev_insn_processed: 0,
            jmps_processed: 0,
            prev_jmps_processed: 0,
            unmodelled: Vec::new(),
            allow_ptr_leaks: full,
            allow_uninit_stack: full,
            bpf_capable: full,
            bypass_spec_v1: full || kernel.mitigations_off,
            strict_alignment: strict && !program.flags.contains(ProgFlags::ANY_ALIGNMENT),
            test_state_freq: full && program.flags.contains(ProgFlags::TEST_STATE_FREQ),
            test_reg_invariants: program.flags.contains(ProgFlags::TEST_REG_INVARIANTS),
            explore_alu_limits: false,
            subprog_now: 0,
            seen_direct_write: false,
            seen_exception: false,
            changes_pkt_data: false,
            recorded: Vec::new(),
            recorded_last: None,
            forgotten: 0,
            attach: Default::default(),
            scratched_regs: 0,
            scratched_slots: 0,
            prev_log_pos: 0,
            prev_insn_print_pos: 0,
            prev_line: None,
            own_types: false,
            fault: None,
            live_known: false,
            keep: Default::default(),
            objects: Default::default(),
        }
    }

    /// Everything from the first look at the instructions to the passes after the walk.
    fn check(&mut self) -> Res {
        self.check_func_info_early()?;
        self.find_subprogs()?;
        self.check_subprogs()?;
        self.check_btf_info()?;
        self.init_map_records()?;
        self.resolve_imm64()?;
        self.check_cfg()?;
        self.check_attach()?;
        self.mark_fastcall_patterns();
        self.check_main()?;
        self.check_global_subprogs()?;
        self.fault = None;
        self.after_walk()
    }

    /// The verdict, with the last lines of the log.
    fn verdict(mut self, outcome: Res) -> Verdict {
        let reason = match outcome {
            Ok(()) => String::new(),
            Err(_) => reason(&self.log.text).to_owned(),
        };
        self.stats.stack_depth = self.stack_depths(outcome.is_ok());
        self.stats.insns = self.insn_processed;
        self.say_statistics();
        let Env { log, options, stats, unmodelled, fault, recorded, .. } = self;
        let log = if options.log_level == 0 { String::new() } else { log.text };
        Verdict {
            accepted: outcome.is_ok(),
            errno: outcome.err().map_or(0, |Reject(errno)| errno),
            reason,
            insn: if outcome.is_err() { fault } else { None },
            known: recorded,
            log,
            stats,
            unmodelled,
        }
    }

    fn say_statistics(&mut self) {
        if self.options.log_level & 4 != 0 {
            let depths: Vec<_> = self.stats.stack_depth.iter().map(u32::to_string).collect();
            // The time is the kernel's own; here it would only make logs differ.
            self.log.write(format_args!("verification time 0 usec\n"));
            self.log.write(format_args!("stack depth {}\n", depths.join("+")));
        }
        let Statistics { insns, max_states_per_insn, total_states, peak_states, mark_read, .. } = self.stats;
        self.log.write(format_args!(
            "processed {insns} insns (limit 1000000) max_states_per_insn {max_states_per_insn} total_states \
             {total_states} peak_states {peak_states} mark_read {mark_read}\n"
        ));
    }
}
