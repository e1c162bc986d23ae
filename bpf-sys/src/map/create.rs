//! Creating maps.

use std::os::fd::BorrowedFd;

use super::{Map, MapType, Shape};
use crate::abi::Cmd;
use crate::abi::attr;
use crate::abi::util::{addr, fd_field, name_field};
use crate::errno::Errno;
use crate::error::{Error, Result};
use crate::features::attr_size;
use crate::syscall;

bitflags::bitflags! {
    /// How a map is created: `map_flags`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct MapFlags: u32 {
        /// Allocate elements when they are added. Since Linux 4.6.
        #[doc(alias = "BPF_F_NO_PREALLOC")]
        const NO_PREALLOC = 1 << 0;
        /// An LRU list for each processor instead of one. Since Linux 4.10.
        #[doc(alias = "BPF_F_NO_COMMON_LRU")]
        const NO_COMMON_LRU = 1 << 1;
        /// Allocate on [`MapCreate::numa_node`]. Since Linux 4.14.
        #[doc(alias = "BPF_F_NUMA_NODE")]
        const NUMA_NODE = 1 << 2;
        /// User space may only read. Since Linux 4.15.
        #[doc(alias = "BPF_F_RDONLY")]
        const RDONLY = 1 << 3;
        /// User space may only write. Since Linux 4.15.
        #[doc(alias = "BPF_F_WRONLY")]
        const WRONLY = 1 << 4;
        /// Stacks hold build ids and offsets instead of addresses. Since Linux 4.17.
        #[doc(alias = "BPF_F_STACK_BUILD_ID")]
        const STACK_BUILD_ID = 1 << 5;
        /// Zero as the hash's seed, for tests. Since Linux 5.0.
        #[doc(alias = "BPF_F_ZERO_SEED")]
        const ZERO_SEED = 1 << 6;
        /// Programs may only read. Since Linux 5.2.
        #[doc(alias = "BPF_F_RDONLY_PROG")]
        const RDONLY_PROG = 1 << 7;
        /// Programs may only write. Since Linux 5.2.
        #[doc(alias = "BPF_F_WRONLY_PROG")]
        const WRONLY_PROG = 1 << 8;
        /// A socket that is cloned takes its storage along. Since Linux 5.4.
        #[doc(alias = "BPF_F_CLONE")]
        const CLONE = 1 << 9;
        /// User space may map the array's memory. Since Linux 5.5.
        #[doc(alias = "BPF_F_MMAPABLE")]
        const MMAPABLE = 1 << 10;
        /// Perf events stay when the descriptor they were set through is closed. Since Linux 5.10.
        #[doc(alias = "BPF_F_PRESERVE_ELEMS")]
        const PRESERVE_ELEMS = 1 << 11;
        /// Inner maps may differ in their number of elements. Since Linux 5.10.
        #[doc(alias = "BPF_F_INNER_MAP")]
        const INNER_MAP = 1 << 12;
        /// The struct_ops are attached through a link. Since Linux 6.4.
        #[doc(alias = "BPF_F_LINK")]
        const LINK = 1 << 13;
        /// [`MapCreate::value_type_btf_obj`] is given. Since Linux 6.9.
        #[doc(alias = "BPF_F_VTYPE_BTF_OBJ_FD")]
        const VTYPE_BTF_OBJ_FD = 1 << 15;
        /// A BPF token is given. Since Linux 6.9.
        #[doc(alias = "BPF_F_TOKEN_FD")]
        const TOKEN_FD = 1 << 16;
        /// A program that touches a missing page of an arena gets SIGSEGV. Since Linux 6.9.
        #[doc(alias = "BPF_F_SEGV_ON_FAULT")]
        const SEGV_ON_FAULT = 1 << 17;
        /// Do not translate an arena's user addresses. Since Linux 6.9.
        #[doc(alias = "BPF_F_NO_USER_CONV")]
        const NO_USER_CONV = 1 << 18;
        /// A full ring buffer drops its oldest records. Since Linux 6.19.
        #[doc(alias = "BPF_F_RB_OVERWRITE")]
        const RB_OVERWRITE = 1 << 19;
        /// Flags that newer kernels bring.
        const _ = !0;
    }
}

/// What a map is to be; `..MapCreate::default()` fills in the rest.
///
/// ```no_run
/// use bpf_sys::map::{MapCreate, MapFlags, MapType};
/// # use tracewell_bpf_sys as bpf_sys;
/// let counts = MapCreate {
///     name: "counts",
///     map_type: MapType::Array,
///     key_size: 4,
///     value_size: 8,
///     max_entries: 1024,
///     flags: MapFlags::MMAPABLE,
///     ..MapCreate::default()
/// }
/// .create()?;
/// # Ok::<(), bpf_sys::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct MapCreate<'a> {
    /// The kind of map.
    pub map_type: MapType,
    /// Bytes of a key; 0 for maps without keys.
    pub key_size: u32,
    /// Bytes of a value; of a per-CPU map, of one processor's.
    pub value_size: u32,
    /// The most elements; of a ring buffer its bytes, of an arena its pages.
    pub max_entries: u32,
    /// How it is created.
    pub flags: MapFlags,
    /// A name for people, of which the kernel keeps 15 bytes of `[A-Za-z0-9_.]`. Since Linux 4.15.
    pub name: &'a str,
    /// The template of the maps that a map of maps holds.
    pub inner_map: Option<BorrowedFd<'a>>,
    /// The node of [`MapFlags::NUMA_NODE`].
    pub numa_node: u32,
    /// The network device that is to hold the map; 0 for the kernel itself. Since Linux 4.16.
    pub ifindex: u32,
    /// The BTF object that describes keys and values. Since Linux 4.18.
    pub btf: Option<BorrowedFd<'a>>,
    /// The key's type in it.
    pub btf_key_type_id: u32,
    /// The value's type in it.
    pub btf_value_type_id: u32,
    /// A struct_ops map's type in the kernel's BTF. Since Linux 5.6.
    pub btf_vmlinux_value_type_id: u32,
    /// What the map type makes of it: a Bloom filter's hash functions, an arena's address. Since Linux 5.16.
    pub map_extra: u64,
    /// The module BTF that holds a struct_ops map's type; needs [`MapFlags::VTYPE_BTF_OBJ_FD`]. Since Linux 6.9.
    pub value_type_btf_obj: Option<BorrowedFd<'a>>,
    /// A BPF token that stands in for capabilities; needs [`MapFlags::TOKEN_FD`]. Since Linux 6.9.
    pub token: Option<BorrowedFd<'a>>,
    /// SHA-256 of the one program that may use the map; empty for any. Since Linux 6.18.
    pub excl_prog_hash: &'a [u8],
}

impl Default for MapCreate<'_> {
    fn default() -> Self {
        MapCreate {
            map_type: MapType::Array,
            key_size: 0,
            value_size: 0,
            max_entries: 0,
            flags: MapFlags::empty(),
            name: "",
            inner_map: None,
            numa_node: 0,
            ifindex: 0,
            btf: None,
            btf_key_type_id: 0,
            btf_value_type_id: 0,
            btf_vmlinux_value_type_id: 0,
            map_extra: 0,
            value_type_btf_obj: None,
            token: None,
            excl_prog_hash: &[],
        }
    }
}

impl MapCreate<'_> {
    /// Creates the map.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where the kernel is too old for a field that is given; EINVAL for sizes or flags that
    /// the type does not take (or a type that the kernel does not have: ask [`crate::features::map_type`]); EPERM
    /// also where RLIMIT_MEMLOCK is charged and too small (see [`crate::memlock`]).
    #[doc(alias = "BPF_MAP_CREATE")]
    pub fn create(&self) -> Result<Map> {
        let mut attr = attr::MapCreate {
            map_type: self.map_type.raw(),
            key_size: self.key_size,
            value_size: self.value_size,
            max_entries: self.max_entries,
            map_flags: self.flags.bits(),
            inner_map_fd: self.inner_map.map_or(0, fd_field),
            numa_node: self.numa_node,
            map_name: name_field(self.name),
            map_ifindex: self.ifindex,
            btf_fd: self.btf.map_or(0, fd_field),
            btf_key_type_id: self.btf_key_type_id,
            btf_value_type_id: self.btf_value_type_id,
            btf_vmlinux_value_type_id: self.btf_vmlinux_value_type_id,
            map_extra: self.map_extra,
            value_type_btf_obj_fd: self.value_type_btf_obj.map_or(0, fd_field) as i32,
            map_token_fd: self.token.map_or(0, fd_field) as i32,
            excl_prog_hash: addr(self.excl_prog_hash),
            excl_prog_hash_size: self.excl_prog_hash.len() as u32,
            _pad: 0,
        };
        // SAFETY: the only address is that of a slice, given with its length.
        let fd = match unsafe { syscall::bpf_fd(Cmd::MAP_CREATE, &mut attr) } {
            Ok(fd) => fd,
            Err(errno) => return Err(self.explain(errno)),
        };
        // What the kernel made of the sizes is what counts, but it only ever changes the number of elements.
        let shape = Shape::new(self.map_type, self.key_size, self.value_size, self.max_entries)?;
        Ok(Map::from_parts(fd, shape))
    }

    fn explain(&self, errno: Errno) -> Error {
        use std::mem::offset_of;
        if errno == Errno::E2BIG {
            let fields: [(bool, usize, &'static str, &'static str); 5] = [
                (
                    !self.excl_prog_hash.is_empty(),
                    offset_of!(attr::MapCreate, excl_prog_hash_size),
                    "maps of one program",
                    "6.18",
                ),
                (self.token.is_some(), offset_of!(attr::MapCreate, map_token_fd), "BPF tokens", "6.9"),
                (
                    self.value_type_btf_obj.is_some(),
                    offset_of!(attr::MapCreate, value_type_btf_obj_fd),
                    "struct_ops of modules",
                    "6.9",
                ),
                (self.map_extra != 0, offset_of!(attr::MapCreate, map_extra), "map_extra", "5.16"),
                (
                    self.btf_vmlinux_value_type_id != 0,
                    offset_of!(attr::MapCreate, btf_vmlinux_value_type_id),
                    "struct_ops maps",
                    "5.6",
                ),
            ];
            for (given, offset, feature, since) in fields {
                if given && attr_size::knows(offset) == Some(false) {
                    return attr_size::unsupported(feature, since, offset);
                }
            }
        }
        let mut context = format!(
            "create map `{}` ({}, key {} bytes, value {} bytes, {} entries",
            self.name, self.map_type, self.key_size, self.value_size, self.max_entries
        );
        if !self.flags.is_empty() {
            context += &format!(", flags {:#x}", self.flags.bits());
        }
        context.push(')');
        if errno == Errno::EINVAL
            && let Some(since) = self.map_type.since()
        {
            context += &format!(
                "; this type came with Linux {since}: `features::map_type` tells whether the kernel has it, \
                 and if so a size or flag is one that the type does not take"
            );
        }
        if errno == Errno::EPERM {
            context += " (before Linux 5.11 EPERM may also mean that RLIMIT_MEMLOCK is too small)";
        }
        Error::sys("bpf(BPF_MAP_CREATE)", context, errno)
    }
}
