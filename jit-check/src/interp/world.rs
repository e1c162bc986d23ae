//! What programs see of the machine that they do not run on.

use std::collections::BTreeMap;

/// Time, processes, memory and whatever else helpers tell of; and what they did to it.
///
/// All of it is plain data that may be changed between runs and between steps.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct World {
    /// Monotonic clock, in ns.
    pub now_ns: u64,
    /// What each reading of a clock adds to it, in ns.
    pub tick_ns: u64,
    /// What the clock that counts suspended time is ahead of the monotonic one, in ns.
    pub suspended_ns: u64,
    /// International atomic time less the monotonic clock, in ns.
    pub tai_offset_ns: u64,
    /// Timer interrupts since boot.
    pub jiffies: u64,
    /// Thread id.
    pub pid: u32,
    /// Process id, which is the thread group's.
    pub tgid: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// The thread's name, ended by a zero byte.
    pub comm: [u8; 16],
    /// Processor that the program runs on.
    pub cpu: u32,
    /// Possible processors: how many values a per-CPU map has for each key.
    pub cpus: u32,
    /// NUMA node of the processor.
    pub numa_node: u32,
    /// State of the random numbers; the same seed gives the same numbers.
    pub seed: u64,
    /// Numbers that the random helper gives before it makes its own, next one last.
    pub random: Vec<u32>,
    /// Id of the current cgroup.
    pub cgroup_id: u64,
    /// Ids of its ancestors, the root's first, its own last.
    pub cgroup_path: Vec<u64>,
    /// Device and inode of the pid namespace, with the process's id and the thread's within it.
    pub pid_namespace: Option<(u64, u64, u32, u32)>,
    /// Memory of the process.
    pub user: Sparse,
    /// Memory of the kernel, beyond what the program's own regions are.
    pub kernel: Sparse,
    /// What `current` points at; zeroes where it is shorter than what programs read.
    pub task: Vec<u8>,
    /// Addresses in the kernel's stack, innermost first.
    pub kernel_stack: Vec<u64>,
    /// Addresses in the process's stack, innermost first.
    pub user_stack: Vec<u64>,
    /// Address of the traced function.
    pub func_ip: u64,
    /// Cookie of the attachment.
    pub attach_cookie: u64,
    /// Arguments of the traced function, for programs that ask by index.
    pub func_args: Vec<u64>,
    /// What the traced function returned.
    pub func_ret: u64,
    /// Addresses of kernel symbols.
    pub symbols: BTreeMap<String, u64>,
    /// Kernel variables by their BTF ids: the variable's bytes.
    pub variables: BTreeMap<u32, Vec<u8>>,
    /// Counters of perf events by index: value, ns enabled, ns running.
    pub perf_counters: BTreeMap<u32, (u64, u64, u64)>,
    /// Return value that cgroup and LSM programs ask for.
    pub retval: i64,
    /// Whether IPv4, TCP and the like are to be found: sockets are not simulated.
    pub netns_cookie: u64,
    /// What was printed to the trace pipe, without the prefix that the kernel adds.
    pub trace: Vec<u8>,
    /// Signals that were sent: number, and whether to the thread only.
    pub signals: Vec<(u32, bool)>,
    /// Values by which returns of traced functions were overridden.
    pub overrides: Vec<u64>,
    /// Bytes that programs wrote for readers of a BPF iterator.
    pub seq: Vec<u8>,
    /// Where packets were redirected to: interface or map index, and flags.
    pub redirects: Vec<(u32, u64)>,
}

impl Default for World {
    fn default() -> World {
        let mut comm = [0; 16];
        comm[..9].copy_from_slice(b"tracewell");
        World {
            now_ns: 1_000_000_000,
            tick_ns: 1000,
            suspended_ns: 0,
            tai_offset_ns: 1_700_000_000_000_000_000,
            jiffies: 4_294_937_296 + 250,
            pid: 1234,
            tgid: 1234,
            uid: 0,
            gid: 0,
            comm,
            cpu: 0,
            cpus: 1,
            numa_node: 0,
            seed: 0x5eed,
            random: Vec::new(),
            cgroup_id: 1,
            cgroup_path: vec![1],
            pid_namespace: None,
            user: Sparse::default(),
            kernel: Sparse::default(),
            task: Vec::new(),
            kernel_stack: vec![0xffff_ffff_8100_1000, 0xffff_ffff_8100_2000],
            user_stack: vec![0x40_1000, 0x40_2000],
            func_ip: 0xffff_ffff_8100_1000,
            attach_cookie: 0,
            func_args: Vec::new(),
            func_ret: 0,
            symbols: BTreeMap::new(),
            variables: BTreeMap::new(),
            perf_counters: BTreeMap::new(),
            retval: 0,
            netns_cookie: 1,
            trace: Vec::new(),
            signals: Vec::new(),
            overrides: Vec::new(),
            seq: Vec::new(),
            redirects: Vec::new(),
        }
    }
}

impl World {
    /// What was printed to the trace pipe, as text.
    pub fn trace_text(&self) -> String {
        String::from_utf8_lossy(&self.trace).into_owned()
    }

    pub(super) fn clock(&mut self) -> u64 {
        let now = self.now_ns;
        self.now_ns = self.now_ns.wrapping_add(self.tick_ns);
        now
    }

    pub(super) fn next_random(&mut self) -> u32 {
        if let Some(number) = self.random.pop() {
            return number;
        }
        // splitmix64
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }
}

/// Memory with holes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sparse {
    pieces: BTreeMap<u64, Vec<u8>>,
}

impl Sparse {
    /// Puts bytes at an address; a piece that began there before is replaced.
    pub fn put(&mut self, addr: u64, bytes: impl Into<Vec<u8>>) {
        self.pieces.insert(addr, bytes.into());
    }

    /// The bytes from an address to the end of the piece they are in.
    pub fn at(&self, addr: u64) -> Option<&[u8]> {
        let (start, bytes) = self.pieces.range(..=addr).next_back()?;
        bytes.get(usize::try_from(addr - start).ok()?..).filter(|rest| !rest.is_empty())
    }

    /// `len` bytes at an address, which may lie in pieces that touch; `None` where one is missing.
    pub fn read(&self, addr: u64, len: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        while out.len() < len {
            let rest = self.at(addr.checked_add(out.len() as u64)?)?;
            out.extend_from_slice(&rest[..rest.len().min(len - out.len())]);
        }
        Some(out)
    }

    /// Writes over bytes that are there; `false` where one is missing.
    pub fn write(&mut self, addr: u64, bytes: &[u8]) -> bool {
        if self.read(addr, bytes.len()).is_none() {
            return false;
        }
        let mut done = 0;
        while done < bytes.len() {
            let at = addr + done as u64;
            let Some((start, piece)) = self.pieces.range_mut(..=at).next_back() else { return false };
            let Some(place) = piece.get_mut((at - start) as usize..) else { return false };
            let count = place.len().min(bytes.len() - done);
            place[..count].copy_from_slice(&bytes[done..done + count]);
            done += count;
        }
        true
    }
}
