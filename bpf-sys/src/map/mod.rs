//! Maps: create, read, write, pin, ask. See bpf(2) and `Documentation/bpf/map_*.rst` of the kernel.
//!
//! Every length is checked against the map's own sizes before the kernel is asked, so that it can never write past a
//! buffer: a key has [`Map::key_size`] bytes and a value [`Map::value_len`] bytes, which for a per-CPU map is one
//! 8-byte-rounded slot for each possible processor (see [`crate::percpu`]).

mod batch;
mod create;
mod info;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

pub use batch::BatchCursor;
pub use create::{MapCreate, MapFlags};
pub use info::MapInfo;

use crate::abi::Cmd;
use crate::abi::attr::MapElem;
pub use crate::abi::types::MapType;
use crate::abi::util::{addr, addr_mut, fd_field};
use crate::errno::Errno;
use crate::error::{Error, Result};
use crate::object::{self, Kind};
use crate::{cpus, percpu, syscall};

bitflags::bitflags! {
    /// How an element is read or written: the `flags` of the element commands.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct UpdateFlags: u64 {
        /// Create or replace; this is what no flag at all means.
        #[doc(alias = "BPF_ANY")]
        const ANY = 0;
        /// Create only: EEXIST where the key is there already.
        #[doc(alias = "BPF_NOEXIST")]
        const NOEXIST = 1;
        /// Replace only: ENOENT where the key is not there.
        #[doc(alias = "BPF_EXIST")]
        const EXIST = 2;
        /// Hold the value's `bpf_spin_lock` meanwhile. Since Linux 5.1.
        #[doc(alias = "BPF_F_LOCK")]
        const LOCK = 4;
        /// Touch one processor's slot of a per-CPU map: see [`UpdateFlags::on_cpu`]. Since Linux 7.0.
        #[doc(alias = "BPF_F_CPU")]
        const CPU = 8;
        /// Write one value into every processor's slot of a per-CPU map. Since Linux 7.0.
        #[doc(alias = "BPF_F_ALL_CPUS")]
        const ALL_CPUS = 16;
        /// The processor's number of [`UpdateFlags::CPU`] lies in the upper half.
        const _ = !0;
    }
}

impl UpdateFlags {
    /// `CPU` for the processor `cpu`. Since Linux 7.0.
    pub const fn on_cpu(cpu: u32) -> Self {
        UpdateFlags::from_bits_retain(UpdateFlags::CPU.bits() | (cpu as u64) << 32)
    }

    /// Whether the value is that of one processor instead of one for each.
    fn one_value(self) -> bool {
        self.bits() & (UpdateFlags::CPU.bits() | UpdateFlags::ALL_CPUS.bits()) != 0
    }
}

/// What decides the lengths of a map's keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub map_type: MapType,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    /// Bytes of a value as user space sees it.
    pub value_len: usize,
}

impl Shape {
    pub fn new(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> Result<Self> {
        let value_len = match map_type {
            MapType::PercpuHash
            | MapType::PercpuArray
            | MapType::LruPercpuHash
            | MapType::PercpuCgroupStorage => {
                percpu::value_stride(value_size as usize) * cpus::possible()?.limit() as usize
            }
            // Descriptors go in and ids come out, whatever the map was created with.
            MapType::ProgArray
            | MapType::PerfEventArray
            | MapType::CgroupArray
            | MapType::ArrayOfMaps
            | MapType::HashOfMaps => 4,
            _ => value_size as usize,
        };
        Ok(Shape { map_type, key_size, value_size, max_entries, value_len })
    }
}

/// An open map.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    shape: Shape,
}

impl Map {
    pub(crate) fn from_parts(fd: OwnedFd, shape: Shape) -> Self {
        Map { fd, shape }
    }

    /// The map behind a descriptor, which is asked for its sizes.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where the descriptor is no map's; what the kernel answers otherwise.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        object::expect(fd.as_fd(), Kind::Map)?;
        let info = info::read(fd.as_fd())?;
        let shape = Shape::new(info.map_type, info.key_size, info.value_size, info.max_entries)?;
        Ok(Map { fd, shape })
    }

    /// The map with this id. Needs CAP_SYS_ADMIN. Since Linux 4.13.
    #[doc(alias = "BPF_MAP_GET_FD_BY_ID")]
    pub fn from_id(id: u32) -> Result<Self> {
        Self::from_fd(object::by_id(Kind::Map, id)?)
    }

    /// The map pinned at `path` of a BPF file system.
    #[doc(alias = "BPF_OBJ_GET")]
    pub fn open_pinned(path: impl AsRef<Path>) -> Result<Self> {
        Self::from_fd(object::open_pinned(path.as_ref())?)
    }

    /// Pins the map at `path`, which must be in a BPF file system; it then outlives this process.
    #[doc(alias = "BPF_OBJ_PIN")]
    pub fn pin(&self, path: impl AsRef<Path>) -> Result<()> {
        object::pin(self.as_fd(), path.as_ref())
    }

    /// A second handle on the same map.
    pub fn try_clone(&self) -> Result<Self> {
        let fd = self.fd.try_clone().map_err(|e| {
            Error::sys("fcntl(F_DUPFD_CLOEXEC)", "duplicate a map's descriptor", Errno::from_io(&e))
        })?;
        Ok(Map { fd, shape: self.shape })
    }

    /// The map's type.
    pub fn map_type(&self) -> MapType {
        self.shape.map_type
    }

    /// Bytes of a key.
    pub fn key_size(&self) -> usize {
        self.shape.key_size as usize
    }

    /// Bytes of a value as a program sees it: of a per-CPU map, one processor's.
    pub fn value_size(&self) -> usize {
        self.shape.value_size as usize
    }

    /// Bytes of a value as [`lookup`](Self::lookup) and [`update`](Self::update) take it: of a per-CPU map, the
    /// 8-byte-rounded slots of all possible processors.
    pub fn value_len(&self) -> usize {
        self.shape.value_len
    }

    /// The most elements that the map holds; of ring buffers and arenas, bytes or pages.
    pub fn max_entries(&self) -> u32 {
        self.shape.max_entries
    }

    /// What the kernel tells about the map.
    #[doc(alias = "BPF_OBJ_GET_INFO_BY_FD")]
    pub fn info(&self) -> Result<MapInfo> {
        info::read(self.as_fd())
    }

    fn check(&self, what: &str, len: usize, want: usize) -> Result<()> {
        if len == want {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the {what} of a {} map is {want} bytes here, but the buffer has {len}",
            self.shape.map_type
        )))
    }

    /// The length that a value must have under `flags`.
    fn value_len_for(&self, flags: UpdateFlags) -> usize {
        if flags.one_value() { percpu::value_stride(self.value_size()) } else { self.shape.value_len }
    }

    fn describe(&self, action: &str) -> String {
        format!("{action} a {} map (descriptor {})", self.shape.map_type, fd_field(self.as_fd()))
    }

    /// Reads the value of `key` into `out`; `false` where the key is not there.
    ///
    /// Lengths: [`key_size`](Self::key_size) and [`value_len`](Self::value_len). Queues and stacks have no key and
    /// answer with the element that would be taken next; a Bloom filter reads `out` and says whether it may hold it.
    #[doc(alias = "BPF_MAP_LOOKUP_ELEM")]
    pub fn lookup(&self, key: &[u8], out: &mut [u8]) -> Result<bool> {
        self.lookup_flags(key, out, UpdateFlags::ANY)
    }

    /// [`lookup`](Self::lookup) with [`UpdateFlags::LOCK`] (since Linux 5.1) or for one processor (since 7.0): then
    /// `out` is one 8-byte-rounded slot.
    pub fn lookup_flags(&self, key: &[u8], out: &mut [u8], flags: UpdateFlags) -> Result<bool> {
        self.elem_out(Cmd::MAP_LOOKUP_ELEM, "bpf(BPF_MAP_LOOKUP_ELEM)", "read from", key, out, flags)
    }

    /// Reads the value of `key` into `out` and deletes the element; `false` where the key is not there.
    ///
    /// Since Linux 4.20 for queues and stacks, 5.14 for hash tables.
    #[doc(alias = "BPF_MAP_LOOKUP_AND_DELETE_ELEM")]
    pub fn lookup_and_delete(&self, key: &[u8], out: &mut [u8]) -> Result<bool> {
        self.elem_out(
            Cmd::MAP_LOOKUP_AND_DELETE_ELEM,
            "bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM)",
            "take from",
            key,
            out,
            UpdateFlags::ANY,
        )
    }

    fn elem_out(
        &self,
        cmd: u32,
        call: &'static str,
        action: &str,
        key: &[u8],
        out: &mut [u8],
        flags: UpdateFlags,
    ) -> Result<bool> {
        self.check("key", key.len(), self.key_size())?;
        self.check("value", out.len(), self.value_len_for(flags))?;
        let mut attr = MapElem {
            map_fd: fd_field(self.as_fd()),
            key: addr(key),
            value: addr_mut(out),
            flags: flags.bits(),
            ..Default::default()
        };
        // SAFETY: the kernel reads a key's bytes and writes a value's bytes, and both buffers have just those lengths.
        match unsafe { syscall::bpf(cmd, &mut attr) } {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(Error::sys(call, self.describe(action), errno)),
        }
    }

    /// Writes the value of `key`.
    ///
    /// # Errors
    ///
    /// EEXIST and ENOENT for [`UpdateFlags::NOEXIST`] and [`UpdateFlags::EXIST`], E2BIG where the map is full or the
    /// index out of range, EPERM where it is frozen.
    #[doc(alias = "BPF_MAP_UPDATE_ELEM")]
    pub fn update(&self, key: &[u8], value: &[u8], flags: UpdateFlags) -> Result<()> {
        self.check("key", key.len(), self.key_size())?;
        self.check("value", value.len(), self.value_len_for(flags))?;
        let mut attr = MapElem {
            map_fd: fd_field(self.as_fd()),
            key: addr(key),
            value: addr(value),
            flags: flags.bits(),
            ..Default::default()
        };
        // SAFETY: the kernel reads a key's and a value's bytes, and both buffers have just those lengths.
        match unsafe { syscall::bpf(Cmd::MAP_UPDATE_ELEM, &mut attr) } {
            Ok(_) => Ok(()),
            Err(errno) => Err(Error::sys("bpf(BPF_MAP_UPDATE_ELEM)", self.describe("write to"), errno)),
        }
    }

    /// Deletes `key`; `false` where it was not there.
    #[doc(alias = "BPF_MAP_DELETE_ELEM")]
    pub fn delete(&self, key: &[u8]) -> Result<bool> {
        self.check("key", key.len(), self.key_size())?;
        let mut attr = MapElem { map_fd: fd_field(self.as_fd()), key: addr(key), ..Default::default() };
        // SAFETY: the kernel reads a key's bytes, and the buffer has that length.
        match unsafe { syscall::bpf(Cmd::MAP_DELETE_ELEM, &mut attr) } {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(Error::sys("bpf(BPF_MAP_DELETE_ELEM)", self.describe("delete from"), errno)),
        }
    }

    /// Writes into `next` the key that follows `key`, or the first one; `false` at the end.
    ///
    /// A key that is not there (any more) is followed by the first one.
    #[doc(alias = "BPF_MAP_GET_NEXT_KEY")]
    pub fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<bool> {
        if let Some(key) = key {
            self.check("key", key.len(), self.key_size())?;
        }
        self.check("next key", next.len(), self.key_size())?;
        let mut attr = MapElem {
            map_fd: fd_field(self.as_fd()),
            key: key.map_or(0, addr),
            value: addr_mut(next),
            ..Default::default()
        };
        // SAFETY: the kernel reads a key's bytes and writes a key's bytes, and both buffers have that length.
        match unsafe { syscall::bpf(Cmd::MAP_GET_NEXT_KEY, &mut attr) } {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(Error::sys("bpf(BPF_MAP_GET_NEXT_KEY)", self.describe("walk"), errno)),
        }
    }

    /// All keys, one after the other; each call of `each` gets one.
    ///
    /// A map that changes meanwhile may show a key twice or not at all, and a walk that a deletion throws back to the
    /// first key ends after twice as many keys as the map can hold.
    pub fn for_each_key(&self, mut each: impl FnMut(&[u8])) -> Result<()> {
        let mut key = vec![0; self.key_size()];
        let mut next = vec![0; self.key_size()];
        let mut have = self.next_key(None, &mut key)?;
        let mut left = u64::from(self.max_entries()) * 2;
        while have && left > 0 {
            each(&key);
            have = self.next_key(Some(&key), &mut next)?;
            std::mem::swap(&mut key, &mut next);
            left -= 1;
        }
        Ok(())
    }

    /// Makes the map read-only for user space, for good; programs may still write. Since Linux 5.2.
    #[doc(alias = "BPF_MAP_FREEZE")]
    pub fn freeze(&self) -> Result<()> {
        let mut attr = MapElem { map_fd: fd_field(self.as_fd()), ..Default::default() };
        // SAFETY: the command takes a descriptor only.
        match unsafe { syscall::bpf(Cmd::MAP_FREEZE, &mut attr) } {
            Ok(_) => Ok(()),
            Err(errno) => Err(Error::sys("bpf(BPF_MAP_FREEZE)", self.describe("freeze"), errno)),
        }
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Map> for OwnedFd {
    fn from(map: Map) -> Self {
        map.fd
    }
}
