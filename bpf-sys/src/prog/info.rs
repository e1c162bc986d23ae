//! What the kernel tells about a program.

use std::mem::offset_of;
use std::os::fd::AsFd;
use std::time::Duration;

use super::{Prog, ProgType};
use crate::abi::info;
use crate::abi::util::{addr_mut, fd_field, get_info, text};
use crate::errno::Errno;
use crate::error::{Error, Result};

/// What the kernel tells about a program: `struct bpf_prog_info`. Since Linux 4.13.
///
/// The lists are empty where the kernel keeps them from the caller (no CAP_SYS_ADMIN, or the sysctl
/// kernel.kptr_restrict), and the machine code where the program is interpreted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProgInfo {
    /// The kind of program.
    pub prog_type: ProgType,
    /// The id, unique until the program is gone.
    pub id: u32,
    /// A hash of its instructions.
    pub tag: [u8; 8],
    /// Its name; empty where it has none.
    pub name: String,
    /// When it was loaded: time since boot.
    pub load_time: Duration,
    /// Who loaded it: a user id.
    pub created_by_uid: u32,
    /// Whether its licence is compatible with the GPL. Since Linux 4.18.
    pub gpl_compatible: bool,
    /// The ids of the maps that it uses.
    pub map_ids: Vec<u32>,
    /// Its instructions as the verifier rewrote them.
    pub xlated: Vec<u64>,
    /// Its machine code: all functions one after the other.
    pub jited: Vec<u8>,
    /// The address of each function. Since Linux 4.18.
    pub jited_ksyms: Vec<u64>,
    /// The length in bytes of each function's machine code. Since Linux 4.18.
    pub jited_func_lens: Vec<u32>,
    /// Its BTF object; 0 for none. Since Linux 4.20.
    pub btf_id: u32,
    /// Bytes of a record of `func_info`.
    pub func_info_rec_size: u32,
    /// `struct bpf_func_info` of each function. Since Linux 4.20.
    pub func_info: Vec<u8>,
    /// Bytes of a record of `line_info`.
    pub line_info_rec_size: u32,
    /// `struct bpf_line_info` of its (rewritten) instructions. Since Linux 5.0.
    pub line_info: Vec<u8>,
    /// The machine code's address of each record of `line_info`. Since Linux 5.0.
    pub jited_line_info: Vec<u64>,
    /// The tag of each function. Since Linux 5.0.
    pub prog_tags: Vec<[u8; 8]>,
    /// How often and how long it ran.
    pub stats: RunStats,
    /// How many instructions the verifier went through. Since Linux 5.16.
    pub verified_insns: Option<u32>,
    /// The BTF object of what it is attached to; 0 for none. Since Linux 6.0.
    pub attach_btf_obj_id: u32,
    /// The type in that object; 0 for none. Since Linux 6.0.
    pub attach_btf_id: u32,
}

/// What a list of programs shows of one: [`ProgInfo`] without its code and tables. Since Linux 4.13.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProgSummary {
    /// The kind of program.
    pub prog_type: ProgType,
    /// The id, unique until the program is gone.
    pub id: u32,
    /// A hash of its instructions.
    pub tag: [u8; 8],
    /// Its name; empty where it has none.
    pub name: String,
    /// When it was loaded: time since boot.
    pub load_time: Duration,
    /// Who loaded it: a user id.
    pub created_by_uid: u32,
    /// Whether its licence is compatible with the GPL. Since Linux 4.18.
    pub gpl_compatible: bool,
    /// The ids of the maps that it uses.
    pub map_ids: Vec<u32>,
    /// Bytes of its instructions as the verifier rewrote them.
    pub xlated_len: u32,
    /// Bytes of its machine code; 0 where it is interpreted.
    pub jited_len: u32,
    /// Its BTF object; 0 for none. Since Linux 4.20.
    pub btf_id: u32,
    /// How many functions it has, as far as there is machine code or BTF.
    pub functions: u32,
    /// How often and how long it ran.
    pub stats: RunStats,
    /// How many instructions the verifier went through. Since Linux 5.16.
    pub verified_insns: Option<u32>,
    /// The network device that it is offloaded to; 0 for the kernel itself.
    pub ifindex: u32,
}

/// How often and how long a program ran, while [`crate::stats`] were on. Since Linux 5.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RunStats {
    /// Nanoseconds in all.
    pub run_time_ns: u64,
    /// Runs.
    pub run_cnt: u64,
    /// How often it did not run because it was running on that processor already; counted always. `None` before
    /// Linux 5.12.
    pub recursion_misses: Option<u64>,
}

impl RunStats {
    fn of(raw: &info::ProgInfo, len: usize) -> Self {
        let misses = len >= offset_of!(info::ProgInfo, recursion_misses) + 8;
        RunStats {
            run_time_ns: raw.run_time_ns,
            run_cnt: raw.run_cnt,
            recursion_misses: misses.then_some(raw.recursion_misses),
        }
    }
}

impl Prog {
    /// Asks for the fields that are numbers, and lengths of the lists.
    fn info_head(&self) -> Result<(info::ProgInfo, usize)> {
        let mut raw = info::ProgInfo::default();
        // SAFETY: all addresses and counts in the zeroed structure are zero, so nothing but itself is written.
        let len = unsafe { get_info(self.as_fd(), &mut raw) }.map_err(|errno| self.info_error(errno))?;
        Ok((raw, len))
    }

    fn info_error(&self, errno: Errno) -> Error {
        let context = format!("describe the program of descriptor {}", fd_field(self.as_fd()));
        Error::sys("bpf(BPF_OBJ_GET_INFO_BY_FD)", context, errno)
    }

    /// How often and how long the program ran, without the lists of [`info`](Self::info).
    pub fn run_stats(&self) -> Result<RunStats> {
        let (raw, len) = self.info_head()?;
        Ok(RunStats::of(&raw, len))
    }

    /// The program's id.
    pub fn id(&self) -> Result<u32> {
        Ok(self.info_head()?.0.id)
    }

    /// What a list shows of the program: [`info`](Self::info) without code and tables, which may be large.
    pub fn summary(&self) -> Result<ProgSummary> {
        let (head, mut len) = self.info_head()?;
        let mut map_ids = vec![0u32; head.nr_map_ids as usize];
        let mut raw = head;
        if !map_ids.is_empty() {
            raw = info::ProgInfo {
                nr_map_ids: map_ids.len() as u32,
                map_ids: addr_mut(&mut map_ids),
                ..Default::default()
            };
            // SAFETY: the one address goes with the number of elements that its buffer holds; all others are zero.
            len = unsafe { get_info(self.as_fd(), &mut raw) }.map_err(|errno| self.info_error(errno))?;
            map_ids.truncate(raw.nr_map_ids as usize);
        }
        Ok(ProgSummary {
            prog_type: ProgType::from_raw(raw.prog_type),
            id: raw.id,
            tag: raw.tag,
            name: text(&raw.name),
            load_time: Duration::from_nanos(raw.load_time),
            created_by_uid: raw.created_by_uid,
            gpl_compatible: raw.gpl_compatible & 1 != 0,
            map_ids,
            xlated_len: head.xlated_prog_len,
            jited_len: head.jited_prog_len,
            btf_id: raw.btf_id,
            functions: head.nr_jited_ksyms.max(head.nr_func_info),
            stats: RunStats::of(&raw, len),
            verified_insns: (len >= offset_of!(info::ProgInfo, verified_insns) + 4)
                .then_some(raw.verified_insns),
            ifindex: raw.ifindex,
        })
    }

    /// Everything that the kernel tells about the program.
    #[doc(alias = "BPF_OBJ_GET_INFO_BY_FD")]
    pub fn info(&self) -> Result<ProgInfo> {
        let (head, _) = self.info_head()?;
        let mut map_ids = vec![0u32; head.nr_map_ids as usize];
        let mut xlated = vec![0u64; (head.xlated_prog_len / 8) as usize];
        let mut jited = vec![0u8; head.jited_prog_len as usize];
        let mut jited_ksyms = vec![0u64; head.nr_jited_ksyms as usize];
        let mut jited_func_lens = vec![0u32; head.nr_jited_func_lens as usize];
        let mut func_info = vec![0u8; head.nr_func_info as usize * head.func_info_rec_size as usize];
        let mut line_info = vec![0u8; head.nr_line_info as usize * head.line_info_rec_size as usize];
        let jited_line_size = head.jited_line_info_rec_size as usize;
        let jited_lines = if jited_line_size == 8 { head.nr_jited_line_info } else { 0 };
        let mut jited_line_info = vec![0u64; jited_lines as usize];
        let mut prog_tags = vec![[0u8; 8]; head.nr_prog_tags as usize];

        // Only what is asked for by count and address is written.
        let mut raw = info::ProgInfo {
            nr_map_ids: map_ids.len() as u32,
            map_ids: addr_mut(&mut map_ids),
            xlated_prog_len: xlated.len() as u32 * 8,
            xlated_prog_insns: addr_mut(&mut xlated),
            jited_prog_len: jited.len() as u32,
            jited_prog_insns: addr_mut(&mut jited),
            nr_jited_ksyms: jited_ksyms.len() as u32,
            jited_ksyms: addr_mut(&mut jited_ksyms),
            nr_jited_func_lens: jited_func_lens.len() as u32,
            jited_func_lens: addr_mut(&mut jited_func_lens),
            nr_func_info: if func_info.is_empty() { 0 } else { head.nr_func_info },
            func_info_rec_size: head.func_info_rec_size,
            func_info: addr_mut(&mut func_info),
            nr_line_info: if line_info.is_empty() { 0 } else { head.nr_line_info },
            line_info_rec_size: head.line_info_rec_size,
            line_info: addr_mut(&mut line_info),
            nr_jited_line_info: jited_lines,
            jited_line_info_rec_size: head.jited_line_info_rec_size,
            jited_line_info: addr_mut(&mut jited_line_info),
            nr_prog_tags: prog_tags.len() as u32,
            prog_tags: addr_mut(&mut prog_tags),
            ..Default::default()
        };
        // SAFETY: each address goes with the number of elements, of the size that the kernel stated or the ABI fixes,
        // that its buffer holds; empty buffers go as null with a count of zero.
        let len = unsafe { get_info(self.as_fd(), &mut raw) }.map_err(|errno| self.info_error(errno))?;

        // A list may have become shorter, or be withheld only now.
        map_ids.truncate(raw.nr_map_ids as usize);
        if raw.xlated_prog_insns == 0 {
            xlated.clear();
        }
        if raw.jited_prog_insns == 0 {
            jited.clear();
        }
        jited_ksyms.truncate(if raw.jited_ksyms == 0 { 0 } else { raw.nr_jited_ksyms as usize });
        jited_func_lens.truncate(if raw.jited_func_lens == 0 { 0 } else { raw.nr_jited_func_lens as usize });
        jited_line_info.truncate(if raw.jited_line_info == 0 { 0 } else { raw.nr_jited_line_info as usize });
        let verified = len >= offset_of!(info::ProgInfo, verified_insns) + 4;
        Ok(ProgInfo {
            prog_type: ProgType::from_raw(raw.prog_type),
            id: raw.id,
            tag: raw.tag,
            name: text(&raw.name),
            load_time: Duration::from_nanos(raw.load_time),
            created_by_uid: raw.created_by_uid,
            gpl_compatible: raw.gpl_compatible & 1 != 0,
            map_ids,
            xlated,
            jited,
            jited_ksyms,
            jited_func_lens,
            btf_id: raw.btf_id,
            func_info_rec_size: raw.func_info_rec_size,
            func_info,
            line_info_rec_size: raw.line_info_rec_size,
            line_info,
            jited_line_info,
            prog_tags,
            stats: RunStats::of(&raw, len),
            verified_insns: verified.then_some(raw.verified_insns),
            attach_btf_obj_id: raw.attach_btf_obj_id,
            attach_btf_id: raw.attach_btf_id,
        })
    }
}
