//! Loading programs.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::{AttachType, Prog, ProgLoadError, ProgType};
use crate::abi::Cmd;
use crate::abi::attr;
use crate::abi::util::{addr, addr_mut, count_field, cstring, fd_field, name_field, text};
use crate::errno::Errno;
use crate::error::{Error, Result};
use crate::features::attr_size;
use crate::syscall;

bitflags::bitflags! {
    /// How a program is verified: `prog_flags`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct ProgFlags: u32 {
        /// Unaligned access is an error everywhere. Since Linux 4.12.
        #[doc(alias = "BPF_F_STRICT_ALIGNMENT")]
        const STRICT_ALIGNMENT = 1 << 0;
        /// Unaligned access is no error anywhere. Since Linux 5.0.
        #[doc(alias = "BPF_F_ANY_ALIGNMENT")]
        const ANY_ALIGNMENT = 1 << 1;
        /// Random upper halves after 32-bit operations, for tests. Since Linux 5.3.
        #[doc(alias = "BPF_F_TEST_RND_HI32")]
        const TEST_RND_HI32 = 1 << 2;
        /// The verifier keeps more states, for tests. Since Linux 5.4.
        #[doc(alias = "BPF_F_TEST_STATE_FREQ")]
        const TEST_STATE_FREQ = 1 << 3;
        /// The program may sleep. Since Linux 5.10.
        #[doc(alias = "BPF_F_SLEEPABLE")]
        const SLEEPABLE = 1 << 4;
        /// The XDP program takes packets in several buffers. Since Linux 5.18.
        #[doc(alias = "BPF_F_XDP_HAS_FRAGS")]
        const XDP_HAS_FRAGS = 1 << 5;
        /// The XDP program is bound to one device. Since Linux 6.3.
        #[doc(alias = "BPF_F_XDP_DEV_BOUND_ONLY")]
        const XDP_DEV_BOUND_ONLY = 1 << 6;
        /// The verifier fails when its own invariants do, for tests. Since Linux 6.8.
        #[doc(alias = "BPF_F_TEST_REG_INVARIANTS")]
        const TEST_REG_INVARIANTS = 1 << 7;
        /// A BPF token is given. Since Linux 6.9.
        #[doc(alias = "BPF_F_TOKEN_FD")]
        const TOKEN_FD = 1 << 16;
        /// Flags that newer kernels bring.
        const _ = !0;
    }
}

/// Records of BTF.ext: bytes of records of one size, for the program's own instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Records<'a> {
    /// Bytes of a record: at least 8 for functions, 16 for lines.
    pub rec_size: u32,
    /// The records, one after the other, with instruction numbers that count from this program's start.
    pub bytes: &'a [u8],
}

impl Records<'_> {
    fn count(&self, what: &str) -> Result<u32> {
        if self.bytes.is_empty() {
            return Ok(0);
        }
        let size = self.rec_size as usize;
        if size == 0 || !self.bytes.len().is_multiple_of(size) {
            return Err(Error::invalid(format!(
                "{} bytes of {what} are no records of {size} bytes",
                self.bytes.len()
            )));
        }
        count_field(what, self.bytes.len() / size)
    }
}

/// A program to load; `..ProgLoad::default()` fills in the rest.
///
/// ```no_run
/// use bpf_sys::prog::{ProgLoad, ProgType};
/// # use tracewell_bpf_sys as bpf_sys;
/// let insns = [0x0000_0000_0000_00b7, 0x0000_0000_0000_0095]; // r0 = 0; exit
/// let prog =
///     ProgLoad { prog_type: ProgType::SocketFilter, insns: &insns, license: "GPL", ..ProgLoad::default() }.load()?;
/// # Ok::<(), bpf_sys::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ProgLoad<'a> {
    /// The kind of program.
    pub prog_type: ProgType,
    /// A name for people, of which the kernel keeps 15 bytes of `[A-Za-z0-9_.]`. Since Linux 4.15.
    pub name: &'a str,
    /// The instructions, 8 bytes each as they lie in memory; maps are given by descriptor.
    pub insns: &'a [u64],
    /// The licence; `GPL` and compatible ones open the helpers that are for such programs only.
    pub license: &'a str,
    /// Where it will be attached, for types that are verified for that place. Since Linux 4.17.
    pub expected_attach_type: Option<AttachType>,
    /// The BTF type that it is attached to: a function, tracepoint or hook. Since Linux 5.5.
    pub attach_btf_id: u32,
    /// The module BTF that `attach_btf_id` is in; without it, the kernel's own. Since Linux 5.11.
    pub attach_btf_obj: Option<BorrowedFd<'a>>,
    /// The program whose function `attach_btf_id` is; excludes `attach_btf_obj`. Since Linux 5.5.
    pub attach_prog: Option<BorrowedFd<'a>>,
    /// How it is verified.
    pub prog_flags: ProgFlags,
    /// The kernel's `LINUX_VERSION_CODE`, which kprobe programs must state before Linux 5.0.
    pub kern_version: u32,
    /// The network device that is to run it; 0 for the kernel itself. Since Linux 4.16.
    pub ifindex: u32,
    /// The program's own BTF. Since Linux 4.20.
    pub btf: Option<BorrowedFd<'a>>,
    /// Which type each function has: `struct bpf_func_info`. Since Linux 4.20.
    pub func_info: Records<'a>,
    /// Which source line each instruction comes from: `struct bpf_line_info`. Since Linux 5.0.
    pub line_info: Records<'a>,
    /// Descriptors of maps and BTF objects that instructions name by index. Since Linux 5.14.
    pub fd_array: &'a [BorrowedFd<'a>],
    /// Whether the kernel shall also bind all of `fd_array` to the program. Since Linux 6.14.
    pub fd_array_bind: bool,
    /// How much the verifier tells: 0 for nothing (unless the load fails), 1 for the failing path or all that it went
    /// through, 2 for every state, plus 4 for statistics.
    pub log_level: u32,
    /// A BPF token that stands in for capabilities; needs [`ProgFlags::TOKEN_FD`]. Since Linux 6.9.
    pub token: Option<BorrowedFd<'a>>,
}

impl Default for ProgLoad<'_> {
    fn default() -> Self {
        ProgLoad {
            prog_type: ProgType::SocketFilter,
            name: "",
            insns: &[],
            license: "",
            expected_attach_type: None,
            attach_btf_id: 0,
            attach_btf_obj: None,
            attach_prog: None,
            prog_flags: ProgFlags::empty(),
            kern_version: 0,
            ifindex: 0,
            btf: None,
            func_info: Records::default(),
            line_info: Records::default(),
            fd_array: &[],
            fd_array_bind: false,
            log_level: 0,
            token: None,
        }
    }
}

/// The first log buffer; most logs fit.
const LOG_START: usize = 64 << 10;
/// Enough of a log that says in its end what is wrong.
const LOG_ENOUGH: usize = 1 << 20;
/// The largest log buffer that any kernel takes.
const LOG_MAX: usize = (u32::MAX >> 2) as usize;

impl ProgLoad<'_> {
    /// Loads the program.
    ///
    /// Unless `log_level` says otherwise, the kernel is asked for no log at first, which is the fast way; when it
    /// refuses the program, it is asked again with a log that grows until everything fits.
    ///
    /// # Errors
    ///
    /// [`Error::ProgLoad`] with the verifier's words, [`Error::Unsupported`] where the kernel is too old for a field
    /// that is given, [`Error::Invalid`] for fields that cannot go together.
    #[doc(alias = "BPF_PROG_LOAD")]
    pub fn load(&self) -> Result<Prog> {
        self.load_with_log().map(|(prog, _)| prog)
    }

    /// [`load`](Self::load), and what the verifier told about the program under `log_level`; empty at level 0.
    pub fn load_with_log(&self) -> Result<(Prog, String)> {
        let license = cstring("the licence", self.license)?;
        let fds: Vec<i32> = self.fd_array.iter().map(|fd| fd.as_raw_fd()).collect();
        let mut attr = self.attr()?;
        attr.license = addr(license.as_bytes_with_nul());
        attr.fd_array = addr(&fds);
        attr.fd_array_cnt = if self.fd_array_bind { count_field("descriptors", fds.len())? } else { 0 };

        if self.log_level == 0 {
            match load_once(&attr) {
                Ok(fd) => return Ok((Prog { fd }, String::new())),
                Err(errno) => {
                    if let Some(error) = self.unknown_field(errno) {
                        return Err(error);
                    }
                    return match load_logged(attr, 1, Some(errno)) {
                        // A load that works the second time works.
                        (Ok(fd), _) => Ok((Prog { fd }, String::new())),
                        (Err(errno), log) => Err(self.refused(errno, log)),
                    };
                }
            }
        }
        match load_logged(attr, self.log_level, None) {
            (Ok(fd), log) => Ok((Prog { fd }, log)),
            (Err(errno), log) => Err(self.unknown_field(errno).unwrap_or_else(|| self.refused(errno, log))),
        }
    }

    fn attr(&self) -> Result<attr::ProgLoad> {
        if self.attach_btf_obj.is_some() && self.attach_prog.is_some() {
            return Err(Error::invalid(
                "a program is attached to a function of either a BTF object or another program: \
                 give attach_btf_obj or attach_prog, not both",
            ));
        }
        Ok(attr::ProgLoad {
            prog_type: self.prog_type.raw(),
            insn_cnt: count_field("instructions", self.insns.len())?,
            insns: addr(self.insns),
            kern_version: self.kern_version,
            prog_flags: self.prog_flags.bits(),
            prog_name: name_field(self.name),
            prog_ifindex: self.ifindex,
            expected_attach_type: self.expected_attach_type.map_or(0, AttachType::raw),
            prog_btf_fd: self.btf.map_or(0, fd_field),
            func_info_rec_size: if self.func_info.bytes.is_empty() { 0 } else { self.func_info.rec_size },
            func_info: addr(self.func_info.bytes),
            func_info_cnt: self.func_info.count("function records")?,
            line_info_rec_size: if self.line_info.bytes.is_empty() { 0 } else { self.line_info.rec_size },
            line_info: addr(self.line_info.bytes),
            line_info_cnt: self.line_info.count("line records")?,
            attach_btf_id: self.attach_btf_id,
            attach_prog_fd: self.attach_prog.or(self.attach_btf_obj).map_or(0, fd_field),
            prog_token_fd: self.token.map_or(0, fd_field) as i32,
            ..attr::ProgLoad::default()
        })
    }

    /// The field that made the kernel say E2BIG, where one did.
    fn unknown_field(&self, errno: Errno) -> Option<Error> {
        use std::mem::offset_of;
        if errno != Errno::E2BIG {
            return None;
        }
        let fields: [(bool, usize, &'static str, &'static str); 4] = [
            (
                self.fd_array_bind,
                offset_of!(attr::ProgLoad, fd_array_cnt),
                "binding an array of descriptors",
                "6.14",
            ),
            (self.token.is_some(), offset_of!(attr::ProgLoad, prog_token_fd), "BPF tokens", "6.9"),
            (!self.fd_array.is_empty(), offset_of!(attr::ProgLoad, fd_array), "descriptors by index", "5.14"),
            (
                self.attach_prog.is_some() || self.attach_btf_obj.is_some(),
                offset_of!(attr::ProgLoad, attach_prog_fd),
                "attaching to other programs and modules",
                "5.5",
            ),
        ];
        let (_, offset, feature, since) = fields
            .into_iter()
            .find(|(given, offset, ..)| *given && attr_size::knows(*offset) == Some(false))?;
        Some(attr_size::unsupported(feature, since, offset))
    }

    fn refused(&self, errno: Errno, log: String) -> Error {
        Error::ProgLoad(Box::new(ProgLoadError {
            name: self.name.to_owned(),
            prog_type: self.prog_type,
            errno,
            log,
            insn_count: self.insns.len(),
            license: self.license.to_owned(),
        }))
    }
}

fn load_once(attr: &attr::ProgLoad) -> Result<OwnedFd, Errno> {
    let mut attr = *attr;
    // SAFETY: every address in `attr` is that of a live slice, given with its length, or of a NUL-terminated string.
    unsafe { syscall::bpf_fd(Cmd::PROG_LOAD, &mut attr) }
}

/// Whether the last lines of a log are the statistics that the verifier ends with.
fn holds_the_end(log: &str) -> bool {
    log.lines().rev().take(3).any(|line| line.starts_with("processed "))
}

/// Loads with a log of `level` in a buffer that grows until the log fits.
///
/// A kernel that has too small a buffer says ENOSPC for the log and hides what it thinks of the program, so `first`, the
/// answer to a load without log, is what counts in the end.
fn load_logged(
    mut attr: attr::ProgLoad,
    level: u32,
    first: Option<Errno>,
) -> (Result<OwnedFd, Errno>, String) {
    let mut size = LOG_START;
    let mut kept = String::new();
    loop {
        let mut buffer = vec![0u8; size];
        attr.log_level = level;
        attr.log_size = size as u32;
        attr.log_buf = addr_mut(&mut buffer);
        let answer = load_once(&attr);
        let log = text(&buffer);
        let full = log.len() + 1 >= size;
        match answer {
            // ENOSPC with room left is about the program; and so is anything else.
            // Since Linux 6.4 a full buffer holds the end of the log, where the kernel says what it minds; verifying a long
            // program again and again for its beginning would take minutes.
            Err(Errno::ENOSPC) if full && size >= LOG_ENOUGH && first.is_some() && holds_the_end(&log) => {
                let log = format!("[the log's beginning is left out]\n{log}");
                return (Err(first.unwrap_or(Errno::ENOSPC)), log);
            }
            Err(Errno::ENOSPC) if full && size < LOG_MAX => {
                kept = log;
                size = (size * 4).min(LOG_MAX);
            }
            // Before Linux 5.1 a large buffer is EINVAL with no word about the program.
            Err(errno) if log.is_empty() && !kept.is_empty() => {
                kept += "\n[the kernel takes no larger log buffer: the rest of its log is lost]";
                return (Err(first.unwrap_or(errno)), kept);
            }
            Err(errno) => return (Err(first.unwrap_or(errno)), log),
            Ok(fd) => return (Ok(fd), log),
        }
    }
}
