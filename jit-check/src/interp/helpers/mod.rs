//! Helpers, by their ids. What has no simulation is a trap that names it.

mod dynptr;
pub(super) mod graph;
pub(super) mod kfuncs;
mod maps;
mod net;
pub(super) mod objects;
mod print;
mod probe;
mod strings;
mod task;
pub(super) mod timer;

use super::call::Next;
use super::machine::Machine;
use super::mem::Kind;
use super::trap::TrapKind;
use asm::Helper;

/// What a helper gives back, or why it cannot.
type Done = Result<Next, TrapKind>;

/// A result as the register holds it.
fn value(result: i64) -> Done {
    Ok(Next::Value(result as u64))
}

/// Most bytes that a helper copies at once; the verifier knows of no greater sizes.
const MOST_BYTES: u64 = 1 << 29;

impl Machine {
    /// Bytes that a helper reads for the program.
    fn bytes_in(&mut self, helper: &str, addr: u64, len: u64) -> Result<&[u8], TrapKind> {
        if self.mem.unwritten(addr, len, super::trap::Access::Read) && len > 0 {
            let offset = i64::from(addr as u32) - i64::from(super::mem::FRAME_SIZE);
            return Err(TrapKind::Uninitialised { addr, size: len, offset });
        }
        self.mem.read(addr, len.min(MOST_BYTES)).map_err(|fault| self.fault(fault, helper))
    }

    /// Writes for the program.
    fn write_out(&mut self, helper: &str, addr: u64, bytes: &[u8]) -> Result<(), TrapKind> {
        match self.mem.write(addr, bytes.len() as u64) {
            Ok(place) => {
                place.copy_from_slice(bytes);
                Ok(())
            }
            Err(fault) => Err(self.fault(fault, helper)),
        }
    }

    /// That a helper may write there.
    fn check_write(&self, helper: &str, addr: u64, len: u64) -> Result<(), TrapKind> {
        if len == 0 {
            return Ok(());
        }
        let found = self.mem.place(addr, len, super::trap::Access::Write);
        found.map(drop).map_err(|fault| self.fault(fault, helper))
    }

    /// The map whose address an argument is.
    fn map_arg(&self, helper: &str, arg: u8, addr: u64) -> Result<usize, TrapKind> {
        match self.mem.locate(addr) {
            Some((_, Kind::Map, map, 0)) => Ok(map as usize),
            _ => Err(bad_argument(helper, arg, format!("{addr:#x} is no map"))),
        }
    }

    /// The function whose address an argument is.
    fn function_arg(&self, helper: &str, arg: u8, addr: u64) -> Result<usize, TrapKind> {
        self.function(addr).ok_or_else(|| bad_argument(helper, arg, format!("{addr:#x} is no function")))
    }

    /// Calls a helper with r1 to r5.
    pub(super) fn helper(&mut self, id: u32) -> Done {
        let helper = Helper(id);
        let Some(name) = helper.name() else {
            return Err(TrapKind::NotSimulated(format!("helper {id}, which is none that is known,")));
        };
        let args = [1, 2, 3, 4, 5].map(|n| self.cpu.regs[n]);
        let [a1, a2, a3, a4, a5] = args;
        match helper {
            Helper::MAP_LOOKUP_ELEM => self.map_lookup(name, a1, a2, self.world.cpu),
            Helper::MAP_LOOKUP_PERCPU_ELEM => self.map_lookup_percpu(name, a1, a2, a3 as u32),
            Helper::MAP_UPDATE_ELEM => self.map_update(name, a1, a2, a3, a4),
            Helper::MAP_DELETE_ELEM => self.map_delete(name, a1, a2),
            Helper::MAP_PUSH_ELEM => self.map_push(name, a1, a2, a3),
            Helper::MAP_POP_ELEM => self.map_next(name, a1, a2, true),
            Helper::MAP_PEEK_ELEM => self.map_next(name, a1, a2, false),
            Helper::FOR_EACH_MAP_ELEM => self.for_each(name, a1, a2, a3, a4),
            Helper::LOOP => self.bpf_loop(name, a1 as u32, a2, a3, a4),
            Helper::TAIL_CALL => {
                let map = self.map_arg(name, 2, a2)?;
                self.tail_call(map, a3 as u32)
            }
            Helper::TASK_STORAGE_GET
            | Helper::INODE_STORAGE_GET
            | Helper::SK_STORAGE_GET
            | Helper::CGRP_STORAGE_GET => self.storage_get(name, a1, a2, a3, a4),
            Helper::TASK_STORAGE_DELETE
            | Helper::INODE_STORAGE_DELETE
            | Helper::SK_STORAGE_DELETE
            | Helper::CGRP_STORAGE_DELETE => self.storage_delete(name, a1, a2),
            Helper::GET_LOCAL_STORAGE => self.storage_get(name, a1, 1, 0, 1),

            Helper::RINGBUF_OUTPUT => self.ring_output(name, a1, a2, a3, a4),
            Helper::RINGBUF_RESERVE => self.ring_reserve(name, a1, a2, a3),
            Helper::RINGBUF_SUBMIT => self.ring_finish(name, a1, true),
            Helper::RINGBUF_DISCARD => self.ring_finish(name, a1, false),
            Helper::RINGBUF_QUERY => self.ring_query(name, a1, a2),
            Helper::USER_RINGBUF_DRAIN => self.user_ring_drain(name, a1, a2, a3, a4),
            Helper::PERF_EVENT_OUTPUT | Helper::SKB_OUTPUT | Helper::XDP_OUTPUT => {
                self.perf_output(name, a1, a2, a3, a4, a5)
            }
            Helper::PERF_EVENT_READ => self.perf_read(name, a1, a2),
            Helper::PERF_EVENT_READ_VALUE => self.perf_read_value(name, a1, a2, a3, a4),

            Helper::RINGBUF_RESERVE_DYNPTR => self.ring_reserve_dynptr(name, a1, a2 as u32, a3, a4),
            Helper::RINGBUF_SUBMIT_DYNPTR => self.ring_finish_dynptr(name, a1, true),
            Helper::RINGBUF_DISCARD_DYNPTR => self.ring_finish_dynptr(name, a1, false),
            Helper::DYNPTR_FROM_MEM => self.dynptr_from_mem(name, a1, a2 as u32, a3, a4),
            Helper::DYNPTR_READ => self.dynptr_read(name, a1, a2 as u32, a3, a4 as u32, a5),
            Helper::DYNPTR_WRITE => self.dynptr_write(name, a1, a2 as u32, a3, a4 as u32, a5),
            Helper::DYNPTR_DATA => self.dynptr_data(name, a1, a2 as u32, a3 as u32),

            Helper::PROBE_READ | Helper::PROBE_READ_KERNEL => {
                self.probe_read(name, a1, a2 as u32, a3, probe::Side::Kernel)
            }
            Helper::PROBE_READ_USER => self.probe_read(name, a1, a2 as u32, a3, probe::Side::User),
            Helper::COPY_FROM_USER => self.probe_read(name, a1, a2 as u32, a3, probe::Side::User),
            Helper::COPY_FROM_USER_TASK => self.copy_from_user_task(name, args),
            Helper::PROBE_READ_STR | Helper::PROBE_READ_KERNEL_STR => {
                self.probe_read_str(name, a1, a2 as u32, a3, probe::Side::Kernel)
            }
            Helper::PROBE_READ_USER_STR => self.probe_read_str(name, a1, a2 as u32, a3, probe::Side::User),
            Helper::PROBE_WRITE_USER => self.probe_write_user(name, a1, a2, a3 as u32),

            Helper::TRACE_PRINTK => self.trace_printk(name, args),
            Helper::TRACE_VPRINTK => self.trace_vprintk(name, args),
            Helper::SNPRINTF => self.snprintf(name, args),
            Helper::SEQ_PRINTF => self.seq_printf(name, args),
            Helper::SEQ_WRITE => self.seq_write(name, a2, a3),
            Helper::STRTOL => self.strtol(name, args, true),
            Helper::STRTOUL => self.strtol(name, args, false),
            Helper::STRNCMP => self.strncmp(name, a1, a2 as u32, a3),

            Helper::TIMER_INIT => self.timer_init(name, a1, a2, a3),
            Helper::TIMER_SET_CALLBACK => self.timer_set_callback(name, a1, a2),
            Helper::TIMER_START => self.timer_start(name, a1, a2, a3),
            Helper::TIMER_CANCEL => self.timer_cancel(name, a1),
            Helper::SPIN_LOCK => self.spin_lock(name, a1),
            Helper::SPIN_UNLOCK => self.spin_unlock(name, a1),
            Helper::KPTR_XCHG => self.kptr_xchg(name, a1, a2),
            Helper::PER_CPU_PTR => self.per_cpu_ptr(a1, a2 as u32),
            Helper::THIS_CPU_PTR => self.per_cpu_ptr(a1, self.world.cpu),
            _ => match self.task_helper(helper, name, args)? {
                Some(next) => Ok(next),
                None => match self.net_helper(helper, name, args)? {
                    Some(next) => Ok(next),
                    None => Err(TrapKind::NotSimulated(name.to_owned())),
                },
            },
        }
    }
}

fn bad_argument(helper: &str, arg: u8, why: impl Into<String>) -> TrapKind {
    TrapKind::BadArgument { helper: helper.to_owned(), arg, why: why.into() }
}

fn misuse(helper: &str, why: impl Into<String>) -> TrapKind {
    TrapKind::Misuse { helper: helper.to_owned(), why: why.into() }
}
