//! BTF objects in the kernel: load, fetch, ask; BTF files. The bytes are `Documentation/bpf/btf.rst`'s.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::abi::Cmd;
use crate::abi::attr;
use crate::abi::info;
use crate::abi::util::{addr, addr_mut, count_field, get_info, text};
use crate::errno::Errno;
use crate::error::{Error, Result};
use crate::object::{self, Kind};
use crate::syscall;

pub use crate::btf_file::BtfFile;

/// A BTF object: of the kernel, a module, or loaded for programs and maps.
#[derive(Debug)]
pub struct BtfObj {
    fd: OwnedFd,
}

/// What the kernel tells about a BTF object: `struct bpf_btf_info`. Since Linux 4.18.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BtfInfo {
    /// The id, unique until the object is gone.
    pub id: u32,
    /// Bytes of its data.
    pub size: u32,
    /// `vmlinux` or the module's name; empty for a program's. Since Linux 5.11.
    pub name: String,
    /// Whether it is the kernel's or a module's. Since Linux 5.11.
    pub kernel_btf: bool,
}

impl BtfObj {
    /// Loads BTF for programs and maps. Since Linux 4.18.
    ///
    /// # Errors
    ///
    /// [`Error::BtfLoad`] with the kernel's words about what it does not take.
    #[doc(alias = "BPF_BTF_LOAD")]
    pub fn load(bytes: &[u8]) -> Result<Self> {
        let attr = attr::BtfLoad {
            btf: addr(bytes),
            btf_size: count_field("bytes of BTF", bytes.len())?,
            ..Default::default()
        };
        let first = match load_once(attr) {
            Ok(fd) => return Ok(BtfObj { fd }),
            Err(errno) => errno,
        };
        let mut size = 64 << 10;
        loop {
            let mut log = vec![0u8; size];
            let logged = attr::BtfLoad {
                btf_log_level: 1,
                btf_log_size: size as u32,
                btf_log_buf: addr_mut(&mut log),
                ..attr
            };
            match load_once(logged) {
                Ok(fd) => return Ok(BtfObj { fd }),
                Err(Errno::ENOSPC) if size < 16 << 20 => size *= 4,
                Err(_) => return Err(Error::BtfLoad { len: bytes.len(), errno: first, log: text(&log) }),
            }
        }
    }

    /// The BTF object behind a descriptor.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where the descriptor is no BTF object's.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        object::expect(fd.as_fd(), Kind::Btf)?;
        Ok(BtfObj { fd })
    }

    /// The BTF object with this id. Needs CAP_SYS_ADMIN. Since Linux 4.18.
    #[doc(alias = "BPF_BTF_GET_FD_BY_ID")]
    pub fn from_id(id: u32) -> Result<Self> {
        Ok(BtfObj { fd: object::by_id(Kind::Btf, id)? })
    }

    /// What the kernel tells about the object. Before Linux 5.11 neither its name nor whether it is the kernel's.
    pub fn info(&self) -> Result<BtfInfo> {
        let mut name = [0u8; 64];
        let mut raw =
            info::BtfInfo { name: addr_mut(&mut name), name_len: name.len() as u32, ..Default::default() };
        match self.ask(&mut raw) {
            // That kernel has no field for the name and refuses what it does not know.
            Err(error) if error.is_errno(Errno::E2BIG) => {
                raw = info::BtfInfo::default();
                self.ask(&mut raw)?;
            }
            asked => asked?,
        }
        Ok(BtfInfo { id: raw.id, size: raw.btf_size, name: text(&name), kernel_btf: raw.kernel_btf != 0 })
    }

    /// Its data. Of the kernel's own object several megabytes, which `/sys/kernel/btf/vmlinux` gives as well.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let mut raw = info::BtfInfo::default();
        self.ask(&mut raw)?;
        let mut bytes = vec![0u8; raw.btf_size as usize];
        let mut raw =
            info::BtfInfo { btf: addr_mut(&mut bytes), btf_size: bytes.len() as u32, ..Default::default() };
        self.ask(&mut raw)?;
        bytes.truncate(raw.btf_size as usize);
        Ok(bytes)
    }

    fn ask(&self, raw: &mut info::BtfInfo) -> Result<()> {
        // SAFETY: each address goes with the length of the buffer behind it, or is null.
        match unsafe { get_info(self.as_fd(), raw) } {
            Ok(_) | Err(Errno::ENOSPC) => Ok(()),
            Err(errno) => Err(Error::sys("bpf(BPF_OBJ_GET_INFO_BY_FD)", "describe a BTF object", errno)),
        }
    }
}

fn load_once(mut attr: attr::BtfLoad) -> Result<OwnedFd, Errno> {
    // SAFETY: each address goes with the length of the buffer behind it, or is null; the command returns a descriptor.
    unsafe { syscall::bpf_fd(Cmd::BTF_LOAD, &mut attr) }
}

impl AsFd for BtfObj {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
