//! What the kernel tells about a link.

use std::os::fd::AsFd;

use super::{Link, LinkType, PerfEventType};
use crate::abi::info;
use crate::abi::types::AttachType;
use crate::abi::util::{addr_mut, fd_field, get_info, text};
use crate::errno::Errno;
use crate::error::{Error, Result};

/// What the kernel tells about a link: `struct bpf_link_info`. Since Linux 5.8.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkInfo {
    /// The kind of link.
    pub link_type: LinkType,
    /// The id, unique until the link is gone.
    pub id: u32,
    /// The program that it attaches.
    pub prog_id: u32,
    /// What there is to know about this kind.
    pub details: LinkDetails,
}

/// What a link of each kind hangs on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkDetails {
    /// A raw tracepoint. Since Linux 5.8.
    RawTracepoint {
        /// Its name.
        name: String,
        /// The cookie. Since Linux 6.17.
        cookie: u64,
    },
    /// fentry, fexit, fmod_ret, LSM and the like.
    Tracing {
        /// The hook. Since Linux 5.8.
        attach_type: AttachType,
        /// The program or BTF object of the target. Since Linux 5.13.
        target_obj_id: u32,
        /// The target's type in it. Since Linux 5.13.
        target_btf_id: u32,
        /// The cookie. Since Linux 6.17.
        cookie: u64,
    },
    /// A cgroup hook. Since Linux 5.8.
    Cgroup {
        /// The cgroup's id.
        cgroup_id: u64,
        /// The hook.
        attach_type: AttachType,
    },
    /// An iterator. Since Linux 5.10.
    Iter {
        /// What it goes through: `task`, `bpf_map_elem`, ...
        target: String,
        /// The map, where it goes through one's elements.
        map_id: u32,
        /// Where it starts, where it goes through cgroups: the id and the order of [`IterTarget::Cgroup`](super::IterTarget);
        /// zeros otherwise. Since Linux 6.1.
        cgroup: (u64, u32),
        /// The only thread and the only process, where it goes through those; 0 for all. Since Linux 6.1.
        task: (u32, u32),
    },
    /// A network namespace's hook. Since Linux 5.8.
    Netns {
        /// The namespace's inode.
        netns_ino: u32,
        /// The hook.
        attach_type: AttachType,
    },
    /// A network device: XDP (5.9), tcx (6.6) or netkit (6.7).
    Device {
        /// The device.
        ifindex: u32,
        /// The hook; `None` for XDP.
        attach_type: Option<AttachType>,
    },
    /// A map's struct_ops (6.4) or a sockmap's verdict (6.10).
    Map {
        /// The map.
        map_id: u32,
        /// The hook; `None` for struct_ops.
        attach_type: Option<AttachType>,
    },
    /// A netfilter hook. Since Linux 6.4.
    Netfilter {
        /// The protocol family.
        pf: u32,
        /// The hook's number.
        hooknum: u32,
        /// Its place among the others.
        priority: i32,
        /// Flags.
        flags: u32,
    },
    /// Many kernel functions. Since Linux 6.6; zeros before.
    KprobeMulti {
        /// How many.
        count: u32,
        /// 1 for returns.
        flags: u32,
        /// How often the program did not run because it was running on that processor already. Since Linux 6.7.
        missed: u64,
        /// Their addresses; empty where kernel.kptr_restrict withholds them.
        addrs: Vec<u64>,
        /// The cookie of each, in the same order; empty where there are none. Since Linux 6.9.
        cookies: Vec<u64>,
    },
    /// Many user functions. Since Linux 6.8; zeros before.
    UprobeMulti {
        /// The file.
        path: String,
        /// How many.
        count: u32,
        /// 1 for returns.
        flags: u32,
        /// The process; 0 for all.
        pid: u32,
        /// Where they are in the file.
        offsets: Vec<u64>,
        /// Where the semaphore of each is in the file, in the same order; 0 for none.
        ref_ctr_offsets: Vec<u64>,
        /// The cookie of each, in the same order.
        cookies: Vec<u64>,
    },
    /// A perf event. Since Linux 6.6.
    PerfEvent(PerfEventInfo),
    /// A kind that this crate does not know, or one that has nothing to tell.
    Other,
}

/// What a perf event link hangs on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PerfEventInfo {
    /// The kind of event; `Other(0)` before Linux 6.6.
    pub event_type: PerfEventType,
    /// The function, tracepoint or file; empty where there is none.
    pub name: String,
    /// The offset in the function or file; of other events, their `config`.
    pub offset: u64,
    /// A kernel function's address; of other events, their `type`.
    pub addr: u64,
    /// How often a kernel probe was missed. Since Linux 6.7.
    pub missed: u64,
    /// The cookie. Since Linux 6.9.
    pub cookie: u64,
    /// Where a user function's semaphore is in the file; 0 for none. Since Linux 6.19.
    pub ref_ctr_offset: u64,
}

/// Bytes for names: the longest path.
const NAME_LEN: usize = 4096;

impl Link {
    /// What the kernel tells about the link.
    #[doc(alias = "BPF_OBJ_GET_INFO_BY_FD")]
    pub fn info(&self) -> Result<LinkInfo> {
        let mut raw = info::LinkInfo::default();
        self.ask(&mut raw)?;
        let link_type = LinkType::from_raw(raw.link_type);
        let details = self.details(link_type, &raw)?;
        Ok(LinkInfo { link_type, id: raw.id, prog_id: raw.prog_id, details })
    }

    /// How often a kprobe.multi link's program did not run because it was running already; 0 before Linux 6.7 and for
    /// other links.
    pub fn missed(&self) -> Result<u64> {
        let mut raw = info::LinkInfo::default();
        self.ask(&mut raw)?;
        Ok(match LinkType::from_raw(raw.link_type) {
            LinkType::KprobeMulti => raw.body[2],
            LinkType::PerfEvent if matches!(raw.body[0] as u32, 3 | 4) => raw.body[4],
            _ => 0,
        })
    }

    fn ask(&self, raw: &mut info::LinkInfo) -> Result<()> {
        // SAFETY: callers fill in addresses only with the lengths of the buffers behind them, at the place that the
        // kernel reads for this link's type.
        match unsafe { get_info(self.as_fd(), raw) } {
            // The name did not fit and is cut off.
            Ok(_) | Err(Errno::ENOSPC) => Ok(()),
            Err(errno) => {
                let context = format!("describe the link of descriptor {}", fd_field(self.as_fd()));
                Err(Error::sys("bpf(BPF_OBJ_GET_INFO_BY_FD)", context, errno))
            }
        }
    }

    /// Asks again with `body`, which holds addresses and counts.
    fn ask_body(&self, body: [u64; 6]) -> Result<[u64; 6]> {
        let mut raw = info::LinkInfo { body, ..Default::default() };
        self.ask(&mut raw)?;
        Ok(raw.body)
    }

    fn details(&self, link_type: LinkType, raw: &info::LinkInfo) -> Result<LinkDetails> {
        let body = &raw.body;
        let word = |index: usize| half(body, index);
        let mut name = vec![0u8; NAME_LEN];
        Ok(match link_type {
            LinkType::RawTracepoint => {
                let body = self.ask_body([addr_mut(&mut name), pack(NAME_LEN as u32, 0), 0, 0, 0, 0])?;
                LinkDetails::RawTracepoint { name: text(&name), cookie: body[2] }
            }
            LinkType::Tracing => LinkDetails::Tracing {
                attach_type: AttachType::from_raw(word(0)),
                target_obj_id: word(1),
                target_btf_id: word(2),
                cookie: body[2],
            },
            LinkType::Cgroup => {
                LinkDetails::Cgroup { cgroup_id: body[0], attach_type: AttachType::from_raw(word(2)) }
            }
            LinkType::Iter => {
                let body = self.ask_body([addr_mut(&mut name), pack(NAME_LEN as u32, 0), 0, 0, 0, 0])?;
                let target = text(&name);
                let cgroup = if target == "cgroup" { (body[2], half(&body, 6)) } else { (0, 0) };
                let task = if target.starts_with("task") { (half(&body, 4), half(&body, 5)) } else { (0, 0) };
                let map_id = if target.starts_with("bpf_") { half(&body, 3) } else { 0 };
                LinkDetails::Iter { target, map_id, cgroup, task }
            }
            LinkType::Netns => {
                LinkDetails::Netns { netns_ino: word(0), attach_type: AttachType::from_raw(word(1)) }
            }
            LinkType::Xdp => LinkDetails::Device { ifindex: word(0), attach_type: None },
            LinkType::Tcx | LinkType::Netkit => {
                LinkDetails::Device { ifindex: word(0), attach_type: Some(AttachType::from_raw(word(1))) }
            }
            LinkType::StructOps => LinkDetails::Map { map_id: word(0), attach_type: None },
            LinkType::Sockmap => {
                LinkDetails::Map { map_id: word(0), attach_type: Some(AttachType::from_raw(word(1))) }
            }
            LinkType::Netfilter => LinkDetails::Netfilter {
                pf: word(0),
                hooknum: word(1),
                priority: word(2) as i32,
                flags: word(3),
            },
            LinkType::KprobeMulti => {
                let count = word(2);
                let mut addrs = vec![0u64; count as usize];
                let mut cookies = vec![0u64; count as usize];
                if count > 0 {
                    self.ask_body([addr_mut(&mut addrs), pack(count, 0), 0, addr_mut(&mut cookies), 0, 0])?;
                }
                for list in [&mut addrs, &mut cookies] {
                    if list.iter().all(|number| *number == 0) {
                        list.clear();
                    }
                }
                LinkDetails::KprobeMulti { count, flags: word(3), missed: body[2], addrs, cookies }
            }
            LinkType::UprobeMulti => {
                // The counts lie behind the addresses: path_size and count, flags and pid.
                let count = word(9);
                let mut offsets = vec![0u64; count as usize];
                let mut ref_ctr_offsets = vec![0u64; count as usize];
                let mut cookies = vec![0u64; count as usize];
                self.ask_body([
                    addr_mut(&mut name),
                    addr_mut(&mut offsets),
                    addr_mut(&mut ref_ctr_offsets),
                    addr_mut(&mut cookies),
                    pack(NAME_LEN as u32, count),
                    0,
                ])?;
                let (path, flags, pid) = (text(&name), word(10), word(11));
                LinkDetails::UprobeMulti { path, count, flags, pid, offsets, ref_ctr_offsets, cookies }
            }
            LinkType::PerfEvent => LinkDetails::PerfEvent(self.perf_details(word(0), &mut name)?),
            LinkType::TracingMulti | LinkType::Other(_) => LinkDetails::Other,
        })
    }

    fn perf_details(&self, event_type: u32, name: &mut [u8]) -> Result<PerfEventInfo> {
        let event_type = PerfEventType::from_raw(event_type);
        let named = matches!(
            event_type,
            PerfEventType::Uprobe
                | PerfEventType::Uretprobe
                | PerfEventType::Kprobe
                | PerfEventType::Kretprobe
                | PerfEventType::Tracepoint
        );
        let (at, len) = if named { (addr_mut(name), pack(NAME_LEN as u32, 0)) } else { (0, 0) };
        let body = self.ask_body([0, at, len, 0, 0, 0])?;
        let mut info = PerfEventInfo {
            event_type,
            name: text(name),
            offset: 0,
            addr: 0,
            missed: 0,
            cookie: 0,
            ref_ctr_offset: 0,
        };
        match event_type {
            PerfEventType::Uprobe | PerfEventType::Uretprobe => {
                info.offset = half(&body, 5).into();
                info.cookie = body[3];
                info.ref_ctr_offset = body[4];
            }
            PerfEventType::Kprobe | PerfEventType::Kretprobe => {
                info.offset = half(&body, 5).into();
                info.addr = body[3];
                info.missed = body[4];
                info.cookie = body[5];
            }
            PerfEventType::Tracepoint => info.cookie = body[3],
            PerfEventType::Event => {
                info.offset = body[1];
                info.addr = half(&body, 4).into();
                info.cookie = body[3];
            }
            PerfEventType::Other(_) => {}
        }
        Ok(info)
    }
}

/// The 32-bit word `index` of the body, as it lies in memory.
fn half(body: &[u64; 6], index: usize) -> u32 {
    let bytes = body[index / 2].to_ne_bytes();
    let (low, high) = bytes.split_at(4);
    let half = if index.is_multiple_of(2) { low } else { high };
    u32::from_ne_bytes([half[0], half[1], half[2], half[3]])
}

/// Two 32-bit words as they lie in memory.
fn pack(first: u32, second: u32) -> u64 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first.to_ne_bytes());
    bytes[4..].copy_from_slice(&second.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_where_they_lie_in_memory() {
        let body = [pack(1, 2), pack(3, 4), 0, 0, 0, pack(5, 6)];
        assert_eq!([0, 1, 2, 3, 10, 11].map(|index| half(&body, index)), [1, 2, 3, 4, 5, 6]);
    }
}
