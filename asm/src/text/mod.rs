//! The assembler: text to program.
//!
//! Two languages may be mixed, line by line:
//!
//! - the kernel's own, as the verifier's log and `bpftool prog dump xlated` print it and as clang's BPF assembler takes
//!   it: `r0 = *(u64 *)(r1 +8)`, `if w1 s< 5 goto out`, `lock *(u32 *)(r1 +0) += r2`, `call bpf_ktime_get_ns`,
//!   `r1 = 0x1122334455667788 ll`. Indexes and opcodes in front (`12: (b7) r1 = 5`) are taken and checked, so what
//!   was printed can be pasted;
//! - mnemonics with the names of [RFC 9669]: `ldxdw r0, [r1+8]`, `jslt32 r1, 5, out`, `lock add32 [r1+0], r2`.
//!
//! A statement ends with its line or with a `;` that another statement follows; what else follows a `;`, and what
//! follows `//` or `#`, is a comment. A line that begins with `;` is the source line of the instructions below it, up
//! to the next such line, an empty line or a directive. Labels are `name:`, or numbers that are referred to as `1b`
//! (the last one before) and `1f` (the next one).
//!
//! # Directives
//!
//! | | |
//! |---|---|
//! | `.map NAME type=hash key=4 value=8 entries=16 [flags=N] [extra=N] [inner=NAME]` | a map; `r1 = map[NAME]` loads its address, `r1 = map[NAME][0]+8` that of a byte of its first value |
//! | `.data NAME = …`, `.rodata NAME = …` | an array map with one value: `u8`, `u16`, `u32`, `u64` followed by numbers (bytes unless said), strings, `hex` and digits; `+=` goes on from a line before |
//! | `.bss NAME SIZE` | the same, all zero |
//! | `.func NAME` | a function begins: `call NAME`, `r2 = subprog[NAME]`; the first one names the program |
//! | `.section "kprobe/vfs_read"`, `.type kprobe`, `.license GPL` | kept as text in [`Assembly`] |
//! | `.kfunc NAME` | `call NAME` is a kernel function |
//! | `.equ NAME NUMBER` | a name for a number |
//! | `.raw 0x… …`, `.byte …` | instruction words (as 64-bit numbers of the little-endian form) and bytes as they are, valid or not |
//! | `.file "NAME"` | the file that line records name |
//! | `.line NUMBER [COLUMN] ["FILE"] ["TEXT"]`, `.line none`, `.line auto` | the source line of the next instruction; no line records but these from here on; again one for each line |
//!
//! [RFC 9669]: https://www.rfc-editor.org/rfc/rfc9669.html

mod address;
mod cursor;
mod directive;
mod error;
mod kernel;
mod link;
mod listing;
pub(crate) mod mnemonic;
mod near;
mod operand;
mod paste;
mod statement;
mod value;

pub use error::{AsmError, AsmErrors};
pub use listing::Listing;

use crate::Program;

/// What an assembly text says. All plain data: what a map's or program's type means is left to who loads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Assembly {
    /// Instructions, where they use maps (indexes into [`maps`](Self::maps)), and their source lines.
    pub program: Program,
    /// Maps and data in the order of the text.
    pub maps: Vec<AsmMap>,
    /// Functions by rising first instruction.
    pub funcs: Vec<AsmFunc>,
    /// Calls of kernel functions by name: those instructions still hold no id.
    pub kfuncs: Vec<KfuncCall>,
    /// `.type`: the program's type.
    pub prog_type: Option<String>,
    /// `.section`: the name that libbpf would know type and target by.
    pub section: Option<String>,
    /// `.license`.
    pub license: Option<String>,
}

/// A map of an assembly text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AsmMap {
    /// Name.
    pub name: String,
    /// `.map`, `.data`, `.rodata` or `.bss`.
    pub kind: AsmMapKind,
    /// Type as it was written, such as `hash`; of data `array`.
    pub map_type: String,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries.
    pub max_entries: u32,
    /// Flags (`BPF_F_*`).
    pub flags: u32,
    /// `map_extra`, whose meaning depends on the type.
    pub extra: u64,
    /// Which of the text's maps shows what the maps in this one are like.
    pub inner: Option<usize>,
    /// Initial value of `.data` and `.rodata`.
    pub data: Option<Vec<u8>>,
}

/// Which directive made a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AsmMapKind {
    /// `.map`
    #[default]
    Map,
    /// `.data`
    Data,
    /// `.rodata`: programs may not write it.
    Rodata,
    /// `.bss`
    Bss,
}

/// A function of an assembly text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsmFunc {
    /// Name.
    pub name: String,
    /// Index of its first instruction word.
    pub insn: usize,
}

/// A call of a kernel function whose id is to be filled in from the kernel's BTF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KfuncCall {
    /// Index of the call's word.
    pub insn: usize,
    /// The kernel function.
    pub name: String,
}

/// Choices of the assembler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AsmOptions {
    /// Name of the text's file, for line records.
    pub file: String,
    /// Take what only the kernel makes ([`decode_translated`](crate::decode_translated)): `r11`, `nospec`, per-CPU
    /// addresses.
    pub translated: bool,
}

/// Assembles a text; the [module](crate::text) says what may be in it.
///
/// ```
/// let text = "
///     .map counts type=hash key=4 value=8 entries=16
///         r1 = map[counts]
///         r2 = r10; r2 += -4
///         *(u32 *)(r10 -4) = 7
///         call bpf_map_lookup_elem
///         jeq r0, 0, out          // the other language
///         r0 = *(u64 *)(r0 +0)
///     out:
///         exit
/// ";
/// let assembly = asm::assemble(text)?;
/// assert_eq!(assembly.program.insns.len(), 9);
/// assert_eq!((assembly.maps[0].map_type.as_str(), assembly.maps[0].max_entries), ("hash", 16));
/// # Ok::<(), asm::AsmErrors>(())
/// ```
///
/// # Errors
///
/// All mistakes of the text, each with its place.
pub fn assemble(text: &str) -> Result<Assembly, AsmErrors> {
    assemble_with(text, &AsmOptions::default())
}

/// As [`assemble`], with choices.
///
/// # Errors
///
/// As [`assemble`].
pub fn assemble_with(text: &str, options: &AsmOptions) -> Result<Assembly, AsmErrors> {
    statement::Text::new(text, options).assemble()
}

impl Assembly {
    /// An assembly of its parts; the rest is left empty.
    pub fn new(program: Program, maps: Vec<AsmMap>, funcs: Vec<AsmFunc>) -> Assembly {
        Assembly { program, maps, funcs, ..Assembly::default() }
    }

    /// The map of this name.
    pub fn map(&self, name: &str) -> Option<&AsmMap> {
        self.maps.iter().find(|map| map.name == name)
    }
}

impl From<Program> for Assembly {
    /// A program alone; its maps get the names `map0`, `map1`, … and no shape.
    fn from(program: Program) -> Assembly {
        let maps = program.map_refs.iter().map(|used| used.map.0 as usize + 1).max().unwrap_or(0);
        // An index of billions would be a mistake, and the list of maps is not the place to find it out.
        let maps = maps.min(program.map_refs.len().saturating_add(64));
        let map = |n| AsmMap { name: format!("map{n}"), map_type: "unspec".to_owned(), ..AsmMap::default() };
        Assembly { program, maps: (0..maps).map(map).collect(), ..Assembly::default() }
    }
}
