//! Time, processes, stacks, tracing.

use super::super::call::Next;
use super::super::errno::{EEXIST, EFAULT, EINVAL, ENOENT};
use super::super::machine::Machine;
use super::super::maps::Body;
use super::super::mem::{Kind, address};
use super::super::trap::TrapKind;
use super::{Done, value};
use asm::Helper;

/// Bytes of the simulated task, unless the world has more.
const TASK_SIZE: usize = 16 * 1024;
/// `BPF_F_SKIP_FIELD_MASK`, `BPF_F_USER_STACK`, `BPF_F_FAST_STACK_CMP`, `BPF_F_REUSE_STACKID`
const SKIP: u64 = 0xff;
const USER_STACK: u64 = 1 << 8;
const FAST_CMP: u64 = 1 << 9;
const REUSE: u64 = 1 << 10;

impl Machine {
    /// Address of the simulated task.
    pub(super) fn task_address(&mut self) -> Result<u64, TrapKind> {
        if self.task == 0 {
            let mut bytes = self.world.task.clone();
            bytes.resize(bytes.len().max(TASK_SIZE), 0);
            self.task = self.mem.alloc_bytes(Kind::Task, 0, &bytes, true).map_err(|_| self.full())?;
        }
        Ok(address(self.task))
    }

    /// Helpers that need little but the world; `None` where it is none of these.
    pub(super) fn task_helper(
        &mut self,
        helper: Helper,
        name: &str,
        args: [u64; 5],
    ) -> Result<Option<Next>, TrapKind> {
        let [a1, a2, a3, a4, _] = args;
        let number = match helper {
            Helper::KTIME_GET_NS | Helper::KTIME_GET_COARSE_NS => self.world.clock(),
            Helper::KTIME_GET_BOOT_NS => self.world.clock().wrapping_add(self.world.suspended_ns),
            Helper::KTIME_GET_TAI_NS => self.world.clock().wrapping_add(self.world.tai_offset_ns),
            Helper::JIFFIES64 => self.world.jiffies,
            Helper::GET_PRANDOM_U32 => self.world.next_random().into(),
            Helper::GET_SMP_PROCESSOR_ID => self.world.cpu.into(),
            Helper::GET_NUMA_NODE_ID => self.world.numa_node.into(),
            Helper::GET_CURRENT_PID_TGID => u64::from(self.world.tgid) << 32 | u64::from(self.world.pid),
            Helper::GET_CURRENT_UID_GID => u64::from(self.world.gid) << 32 | u64::from(self.world.uid),
            Helper::GET_CURRENT_CGROUP_ID => self.world.cgroup_id,
            Helper::GET_CURRENT_ANCESTOR_CGROUP_ID => {
                let level = usize::try_from(a1 as i32).ok();
                level.and_then(|n| self.world.cgroup_path.get(n)).copied().unwrap_or(0)
            }
            Helper::GET_CURRENT_TASK | Helper::GET_CURRENT_TASK_BTF => self.task_address()?,
            Helper::GET_FUNC_IP => self.world.func_ip,
            Helper::GET_ATTACH_COOKIE => self.world.attach_cookie,
            Helper::GET_RETVAL => self.world.retval as u64,
            Helper::SET_RETVAL => {
                self.world.retval = i64::from(a1 as i32);
                0
            }
            Helper::GET_NETNS_COOKIE => self.world.netns_cookie,
            Helper::GET_CURRENT_COMM => return self.comm(name, a1, a2 as u32).map(Some),
            Helper::GET_NS_CURRENT_PID_TGID => return self.ns_pid(name, a1, a2, a3, a4).map(Some),
            Helper::GET_STACKID => return self.stack_id(name, a2, a3).map(Some),
            Helper::GET_STACK => return self.get_stack(name, a2, a3 as u32, a4).map(Some),
            Helper::GET_TASK_STACK => return self.get_stack(name, a2, a3 as u32, a4).map(Some),
            Helper::GET_FUNC_ARG => return self.func_arg(name, a2, a3).map(Some),
            Helper::GET_FUNC_RET => {
                let bytes = self.world.func_ret.to_ne_bytes();
                self.write_out(name, a2, &bytes)?;
                0
            }
            Helper::GET_FUNC_ARG_CNT => self.world.func_args.len() as u64,
            Helper::SEND_SIGNAL | Helper::SEND_SIGNAL_THREAD => {
                self.world.signals.push((a1 as u32, helper == Helper::SEND_SIGNAL_THREAD));
                0
            }
            Helper::OVERRIDE_RETURN => {
                self.world.overrides.push(a2);
                0
            }
            // There are no areas, no branch records and no other processes here.
            Helper::FIND_VMA => return value(ENOENT).map(Some),
            Helper::READ_BRANCH_RECORDS | Helper::GET_BRANCH_SNAPSHOT => return value(ENOENT).map(Some),
            Helper::CURRENT_TASK_UNDER_CGROUP => 1,
            Helper::KALLSYMS_LOOKUP_NAME => return self.lookup_symbol(name, args).map(Some),
            Helper::TASK_PT_REGS => address(self.context.region),
            _ => return Ok(None),
        };
        Ok(Some(Next::Value(number)))
    }

    fn comm(&mut self, name: &str, to: u64, size: u32) -> Done {
        self.check_write(name, to, size.into())?;
        let end = self.world.comm.iter().position(|&b| b == 0).unwrap_or(15).min(15);
        let mut bytes = self.world.comm[..end].to_vec();
        bytes.truncate((size as usize).saturating_sub(1));
        // What is left of the program's buffer becomes zero.
        bytes.resize(size as usize, 0);
        self.write_out(name, to, &bytes)?;
        value(0)
    }

    fn ns_pid(&mut self, name: &str, dev: u64, ino: u64, to: u64, size: u64) -> Done {
        self.check_write(name, to, size)?;
        match self.world.pid_namespace {
            Some((d, i, pid, tgid)) if size == 8 && (d, i) == (dev, ino) => {
                let bytes: Vec<u8> = [pid, tgid].iter().flat_map(|n| n.to_ne_bytes()).collect();
                self.write_out(name, to, &bytes)?;
                value(0)
            }
            _ => {
                self.write_out(name, to, &vec![0; size as usize])?;
                value(EINVAL)
            }
        }
    }

    /// The frames that flags ask for.
    fn frames(&self, flags: u64) -> Option<&[u64]> {
        let stack = if flags & USER_STACK != 0 { &self.world.user_stack } else { &self.world.kernel_stack };
        stack.get((flags & SKIP) as usize..).filter(|frames| !frames.is_empty())
    }

    fn stack_id(&mut self, name: &str, map: u64, flags: u64) -> Done {
        let n = self.map_arg(name, 2, map)?;
        if flags & !(SKIP | USER_STACK | FAST_CMP | REUSE) != 0 {
            return value(EINVAL);
        }
        let depth = (self.maps[n].value_size / 8) as usize;
        let Some(frames) = self.frames(flags).map(|f| f[..f.len().min(depth)].to_vec()) else {
            return value(EFAULT);
        };
        let buckets = u64::from(self.maps[n].max_entries.max(1)).next_power_of_two();
        let hash = frames
            .iter()
            .fold(0u64, |hash, frame| (hash ^ frame).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
        let id = ((hash >> 32) & (buckets - 1)) as u32;
        let Body::Stacks(stacks) = &mut self.maps[n].body else {
            return Err(super::bad_argument(name, 2, "the map holds no stacks"));
        };
        match stacks.get(&id) {
            Some(old) if *old == frames || flags & FAST_CMP != 0 => {}
            Some(_) if flags & REUSE == 0 => return value(EEXIST),
            _ => {
                stacks.insert(id, frames);
            }
        }
        value(id.into())
    }

    fn get_stack(&mut self, name: &str, to: u64, size: u32, flags: u64) -> Done {
        self.check_write(name, to, size.into())?;
        let known = SKIP | USER_STACK | 1 << 11;
        let bytes: Vec<u8> = match self.frames(flags) {
            _ if flags & !known != 0 || !size.is_multiple_of(8) => {
                self.write_out(name, to, &vec![0; size as usize])?;
                return value(EINVAL);
            }
            None => {
                self.write_out(name, to, &vec![0; size as usize])?;
                return value(EFAULT);
            }
            Some(frames) => frames.iter().take(size as usize / 8).flat_map(|f| f.to_ne_bytes()).collect(),
        };
        let len = bytes.len();
        let mut whole = bytes;
        whole.resize(size as usize, 0);
        self.write_out(name, to, &whole)?;
        value(len as i64)
    }

    fn func_arg(&mut self, name: &str, n: u64, to: u64) -> Done {
        let arg = usize::try_from(n & 0xffff_ffff).ok().and_then(|n| self.world.func_args.get(n)).copied();
        self.check_write(name, to, 8)?;
        match arg {
            Some(arg) => {
                self.write_out(name, to, &arg.to_ne_bytes())?;
                value(0)
            }
            None => value(EINVAL),
        }
    }

    fn lookup_symbol(&mut self, name: &str, [text, size, flags, to, _]: [u64; 5]) -> Done {
        let bytes = self.bytes_in(name, text, size)?.to_vec();
        self.check_write(name, to, 8)?;
        if flags != 0 {
            return value(EINVAL);
        }
        let Some((&0, text)) = bytes.split_last() else { return value(EINVAL) };
        let found = std::str::from_utf8(text).ok().and_then(|text| self.world.symbols.get(text)).copied();
        self.write_out(name, to, &found.unwrap_or(0).to_ne_bytes())?;
        value(if found.is_some() { 0 } else { ENOENT })
    }
}
