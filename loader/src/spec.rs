//! Specs: what an object file says, as plain data. No handle to anything of the running system is in here.

use asm::Insn;
use bpf_sys::map::{MapFlags, MapType};
use bpf_sys::prog::{AttachType, ProgFlags, ProgType};
use btf::{Endian, TypeId};
use std::path::PathBuf;

/// A whole object: programs, maps and the types they use. Made by [`Object::parse`](crate::Object::parse).
///
/// Everything may be changed before loading: switch programs off, resize maps, set variables.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Object {
    /// Name of the object, of which the names of its data maps are made; the file's stem.
    pub name: String,
    /// Byte order of the file. Only an object in this machine's order can be loaded.
    pub endian: Endian,
    /// Content of the section `license`; empty where there is none.
    pub license: String,
    /// Content of the section `version`, as `LINUX_VERSION_CODE`; 0 where there is none.
    pub kernel_version: u32,
    /// The object's types with sizes and offsets of data sections filled in, as bytes; ids are those of the file.
    pub btf: Option<Vec<u8>>,
    /// Maps: of the section `.maps`, of the old section `maps`, data sections and struct_ops.
    pub maps: Vec<MapSpec>,
    /// Programs, in the order of the file. Subprograms that they call are already appended to each.
    pub programs: Vec<ProgramSpec>,
    /// What others are to provide: kernel configuration, kernel variables and functions.
    pub externs: Vec<Extern>,
    /// Whether [`Object::relocate`](crate::Object::relocate) made it.
    pub relocated: bool,
}

/// A program, with all subprograms it calls linked behind it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProgramSpec {
    /// Name of the function.
    pub name: String,
    /// Name of the section, as in `kprobe/vfs_read`.
    pub section: String,
    /// Program type, by the section's name.
    pub prog_type: ProgType,
    /// Expected attach type, where the program type has some.
    pub expected_attach_type: Option<AttachType>,
    /// Whether the kernel takes the program without the expected attach type too, so that it can be left out on kernels
    /// that do not know it.
    pub attach_type_optional: bool,
    /// Load flags: sleepable, XDP fragments.
    pub flags: ProgFlags,
    /// What it is to be attached to, by the section's name.
    pub attach: AttachTarget,
    /// Whether it is loaded (sections that begin with `?` are not, unless this is set).
    pub autoload: bool,
    /// Whether attaching everything attaches this one.
    pub autoattach: bool,
    /// Instruction words of the program and its subprograms.
    pub insns: Vec<Insn>,
    /// What is filled in at load time, by rising instruction.
    pub relocs: Vec<Reloc>,
    /// CO-RE relocations, by rising instruction.
    pub core: Vec<CoreRelo>,
    /// Functions: the program itself first, then subprograms in the order in which they were linked.
    pub funcs: Vec<FuncSpec>,
    /// Source lines, by rising instruction; offsets go into the strings of the object's BTF.
    pub lines: Vec<LineSpec>,
    /// Instructions that no relocation could be found for; they were replaced by a call that the verifier refuses when
    /// it gets there. Filled by [`Object::relocate`](crate::Object::relocate).
    pub poisoned: Vec<Poison>,
}

/// A function within a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FuncSpec {
    /// Name.
    pub name: String,
    /// Index of its first instruction word.
    pub insn: usize,
    /// Its `FUNC` in the object's BTF, where there is one.
    pub type_id: Option<TypeId>,
}

/// From this instruction on the program comes from this line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineSpec {
    /// Index of the instruction word.
    pub insn: usize,
    /// Name of the file, as an offset into the strings of the object's BTF.
    pub file_name_off: u32,
    /// Text of the line, likewise.
    pub line_off: u32,
    /// Line in the upper 22 bits, column in the lower 10.
    pub line_col: u32,
}

/// Something in an instruction that is known only when it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reloc {
    /// Index of the instruction word.
    pub insn: usize,
    /// What goes there.
    pub kind: RelocKind,
}

/// What a [`Reloc`] fills in. Calls and addresses of subprograms are resolved when the object is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelocKind {
    /// A 64-bit immediate load of the address of `Object::maps[n]`.
    Map(usize),
    /// A 64-bit immediate load of the address of a byte in the value of a data map.
    MapValue {
        /// Index into [`Object::maps`].
        map: usize,
        /// Bytes from the start of the value, of an arena's globals from the start of the globals; what the compiler put
        /// into the instruction is in it.
        offset: u32,
    },
    /// A 64-bit immediate load of the address (kernel symbol, `.kconfig` value) or a call (kernel function) of
    /// `Object::externs[n]`.
    Extern(usize),
}

/// A CO-RE relocation as the compiler noted it (`Documentation/bpf/llvm_reloc.rst`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreRelo {
    /// Index of the instruction word.
    pub insn: usize,
    /// What is asked.
    pub kind: btf::ext::CoreReloKind,
    /// The root type in the object's BTF.
    pub type_id: TypeId,
    /// Path within it, such as `0:1:3`.
    pub access: String,
}

/// An instruction that no relocation could be found for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    /// Index of the instruction word.
    pub insn: usize,
    /// The relocation in words and why it failed: `struct task_struct.nosuch (offset 0:7): no such member in the kernel`.
    pub what: String,
}

/// A map.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MapSpec {
    /// Name in the object; data maps have their section's.
    pub name: String,
    /// Name that the kernel is told (cut to 15 bytes when it is loaded).
    pub kernel_name: String,
    /// What kind of definition it came from.
    pub kind: MapKind,
    /// Type.
    pub map_type: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries.
    pub max_entries: u32,
    /// Flags.
    pub flags: MapFlags,
    /// NUMA node, where [`MapFlags::NUMA_NODE`] is set.
    pub numa_node: u32,
    /// Type-specific: bits of a bloom filter's hashes, address of an arena.
    pub map_extra: u64,
    /// Network device, for maps that are offloaded.
    pub ifindex: u32,
    /// Key type in the object's BTF.
    pub key_type: Option<TypeId>,
    /// Value type in the object's BTF.
    pub value_type: Option<TypeId>,
    /// Whether it is shared by a pin of its name.
    pub pinning: Pinning,
    /// Where it is to be pinned or taken from, over what [`pinning`](Self::pinning) says.
    pub pin_path: Option<PathBuf>,
    /// What the maps in a map of maps are like.
    pub inner: Option<Box<MapSpec>>,
    /// Initial entries of an array of maps or programs.
    pub slots: Vec<Slot>,
    /// Initial value of a data map, globals of an arena, struct_ops value as the object lays it out. `None` where all is
    /// zero, as in `.bss`.
    pub data: Option<Vec<u8>>,
    /// Variables of a data map by rising offset; of `.kconfig` too.
    pub variables: Vec<Variable>,
    /// The rest of a struct_ops map.
    pub struct_ops: Option<StructOps>,
    /// Whether it is created.
    pub autocreate: bool,
}

/// What a map was defined by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MapKind {
    /// A struct in section `.maps`.
    Btf,
    /// A `struct bpf_map_def` in section `maps`.
    Legacy,
    /// `.data` and `.data.*`.
    Data,
    /// `.rodata` and `.rodata.*`: read-only for programs, and frozen when loaded.
    Rodata,
    /// `.bss` and `.bss.*`.
    Bss,
    /// Kernel configuration.
    Kconfig,
    /// A variable in `.struct_ops` or `.struct_ops.link`.
    StructOps,
    /// A map of section `.maps` that is an arena with globals (section `.addr_space.1`): its data is put at its start.
    Arena,
}

/// Sharing of a map by a pin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pinning {
    /// Not shared.
    #[default]
    None,
    /// Under its name in the directory of pins (`LIBBPF_PIN_BY_NAME`).
    ByName,
}

/// An initial entry of an array of maps or programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Key.
    pub index: u32,
    /// What is put there.
    pub target: SlotTarget,
}

/// What is in a [`Slot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotTarget {
    /// `Object::maps[n]`.
    Map(usize),
    /// `Object::programs[n]`.
    Program(usize),
}

/// A global variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Name.
    pub name: String,
    /// Bytes from the start of the section.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// Its type in the object's BTF, where there is some.
    pub type_id: Option<TypeId>,
}

/// What a struct_ops map is made of, beyond [`MapSpec::data`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructOps {
    /// Name of the struct, such as `tcp_congestion_ops`, flavour included.
    pub type_name: String,
    /// That struct in the object's BTF.
    pub type_id: TypeId,
    /// Function members: bytes from the start of the object's struct, and the program.
    pub funcs: Vec<(u32, usize)>,
    /// Whether it is attached through a link (section `.struct_ops.link`).
    pub link: bool,
}

/// Something the object leaves to others.
#[derive(Clone, Debug, PartialEq)]
pub struct Extern {
    /// Name.
    pub name: String,
    /// Whether it may be missing.
    pub weak: bool,
    /// What it is.
    pub kind: ExternKind,
    /// What it was found to be; `None` before [`Object::relocate`](crate::Object::relocate).
    pub resolution: Option<Resolution>,
}

/// What an [`Extern`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExternKind {
    /// A value of the kernel's configuration (`CONFIG_*`) or one made up by loaders (`LINUX_*`).
    Kconfig {
        /// Its type in the object's BTF.
        type_id: TypeId,
        /// Bytes from the start of the `.kconfig` map's value.
        offset: u32,
        /// Size in bytes.
        size: u32,
    },
    /// A kernel variable with a type, which is in the object's BTF (behind typedefs and qualifiers): found through the
    /// kernel's BTF.
    KsymTyped(TypeId),
    /// A kernel symbol without one (`const void`): found in `/proc/kallsyms`.
    KsymUntyped,
    /// A kernel function; its `FUNC` in the object's BTF.
    Kfunc(TypeId),
}

/// What an [`Extern`] was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// Nowhere; allowed as it is weak. Loads of its address give 0; calls are not to be reached.
    Missing,
    /// A configuration value, already written into the `.kconfig` map's data; 0 there when it is weak and not set.
    Value,
    /// A kernel address.
    Address(u64),
    /// A variable of the kernel's BTF, or of a module's.
    Variable {
        /// Id of the `VAR`.
        btf_id: TypeId,
        /// Name of the module.
        module: Option<String>,
    },
    /// A function of the kernel's BTF, or of a module's.
    Function {
        /// Id of the `FUNC`.
        btf_id: TypeId,
        /// Name of the module.
        module: Option<String>,
    },
}

/// What a program is attached to, as its section's name says. Empty names stand for what the section leaves open.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum AttachTarget {
    /// Nothing can be said from the section's name; it needs a target from the caller (`xdp`, `tc`, `socket` ...).
    None,
    /// `kprobe/FUNC[+OFF]`, `kretprobe/FUNC`.
    Kprobe { function: String, offset: u64, ret: bool },
    /// `kprobe.multi/PATTERN`, `kretprobe.multi/`, `kprobe.session/`.
    KprobeMulti { pattern: String, ret: bool, session: bool },
    /// `ksyscall/NAME`, `kretsyscall/NAME`: the kernel function of a system call, whatever this architecture calls it.
    Ksyscall { name: String, ret: bool },
    /// `uprobe/BINARY:FUNC[+OFF]`, `uretprobe/`, `.s` forms. `function` may be a number (an offset into the file).
    Uprobe { binary: String, function: String, offset: u64, ret: bool },
    /// `uprobe.multi/BINARY:PATTERN`, `uretprobe.multi/`, `uprobe.session/`.
    UprobeMulti { binary: String, pattern: String, ret: bool, session: bool },
    /// `usdt/BINARY:PROVIDER:NAME`.
    Usdt { binary: String, provider: String, name: String },
    /// `tp/CATEGORY/NAME`, `tracepoint/CATEGORY/NAME`.
    Tracepoint { category: String, name: String },
    /// `raw_tp/NAME`, `raw_tracepoint/NAME`, `.w` forms.
    RawTracepoint { name: String },
    /// `tp_btf/NAME`.
    TracepointBtf { name: String },
    /// `fentry/FUNC`, `fexit/FUNC`, `fmod_ret/FUNC` and newer ones; the attach type tells which. `module:FUNC` is split.
    Tracing { module: Option<String>, function: String },
    /// `lsm/HOOK`, `lsm.s/HOOK`, `lsm_cgroup/HOOK`.
    Lsm { hook: String, cgroup: bool },
    /// `iter/TARGET`, `iter.s/TARGET`.
    Iter { target: String },
    /// `freplace/FUNC`.
    Freplace { function: String },
    /// A member of the struct_ops map with this index.
    StructOps { member: String },
}
