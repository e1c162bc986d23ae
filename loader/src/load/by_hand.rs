//! Specs of people who generate their programs themselves: nothing here reads a file.

use crate::spec::{
    AttachTarget, MapKind, MapSpec, Object, Pinning, ProgramSpec, Reloc, RelocKind, Slot, SlotTarget,
};
use asm::Insn;
use bpf_sys::map::{MapFlags, MapType};
use bpf_sys::prog::{ProgFlags, ProgType};
use btf::Endian;

impl Object {
    /// An object with nothing in it, in this machine's byte order and under the licence `GPL`.
    ///
    /// ```
    /// use asm::{Builder, MapRef, R0, R1};
    /// use bpf_sys::{map::MapType, prog::ProgType};
    /// use loader::{MapSpec, Object, ProgramSpec};
    ///
    /// let mut object = Object::new("by_hand");
    /// object.maps.push(MapSpec::new("counts", MapType::Hash, 4, 8, 1024));
    /// let program = Builder::new().ld_map(R1, MapRef(0)).mov_imm(R0, 0).exit().finish()?;
    /// object.programs.push(ProgramSpec::from_program("count", ProgType::Kprobe, program));
    /// assert_eq!(object.programs[0].relocs.len(), 1);
    /// # Ok::<(), asm::BuildError>(())
    /// ```
    pub fn new(name: impl Into<String>) -> Object {
        Object {
            name: name.into(),
            endian: if cfg!(target_endian = "big") { Endian::Big } else { Endian::Little },
            license: "GPL".to_owned(),
            kernel_version: 0,
            btf: None,
            maps: Vec::new(),
            programs: Vec::new(),
            externs: Vec::new(),
            relocated: false,
        }
    }
}

impl ProgramSpec {
    /// A program of these instruction words, which is loaded and attached to nothing.
    pub fn new(name: impl Into<String>, prog_type: ProgType, insns: Vec<Insn>) -> ProgramSpec {
        let name = name.into();
        ProgramSpec {
            section: String::new(),
            prog_type,
            expected_attach_type: None,
            attach_type_optional: false,
            flags: ProgFlags::empty(),
            attach: AttachTarget::None,
            autoload: true,
            autoattach: true,
            insns,
            relocs: Vec::new(),
            core: Vec::new(),
            funcs: Vec::new(),
            lines: Vec::new(),
            poisoned: Vec::new(),
            name,
        }
    }

    /// A program of the assembler's, of the type and with the target that a section of this name would give it.
    ///
    /// ```
    /// use asm::{Builder, R0};
    /// use loader::{AttachTarget, ProgramSpec};
    ///
    /// let program = Builder::new().mov_imm(R0, 0).exit().finish()?;
    /// let spec = ProgramSpec::in_section("on_read", "fentry/vfs_read", program).expect("a section's name");
    /// assert!(matches!(spec.attach, AttachTarget::Tracing { ref function, .. } if function == "vfs_read"));
    /// # Ok::<(), asm::BuildError>(())
    /// ```
    ///
    /// `None` where no program is in a section of this name.
    pub fn in_section(name: impl Into<String>, section: &str, program: asm::Program) -> Option<ProgramSpec> {
        let info = crate::sections::section_info(section)?;
        Some(ProgramSpec {
            section: section.to_owned(),
            expected_attach_type: info.attach_type,
            attach_type_optional: info.attach_type_optional,
            flags: info.flags,
            attach: info.attach,
            ..ProgramSpec::from_program(name, info.prog_type, program)
        })
    }

    /// A program of the assembler's: its [`MapRef`](asm::MapRef)s are indexes into [`Object::maps`].
    pub fn from_program(name: impl Into<String>, prog_type: ProgType, program: asm::Program) -> ProgramSpec {
        let kind = |insn: usize, map: usize| match program.insns.get(insn) {
            // A load of a value's address says so in its source register, and the offset in its second word.
            Some(word) if matches!(word.src().number(), 2 | 6) => {
                let offset = program.insns.get(insn + 1).map_or(0, |second| second.imm as u32);
                RelocKind::MapValue { map, offset }
            }
            _ => RelocKind::Map(map),
        };
        let relocs = program
            .map_refs
            .iter()
            .map(|used| Reloc { insn: used.insn, kind: kind(used.insn, used.map.0 as usize) })
            .collect();
        ProgramSpec { relocs, ..ProgramSpec::new(name, prog_type, program.insns) }
    }
}

impl MapSpec {
    /// A map of this shape, with nothing in it and not shared.
    pub fn new(
        name: impl Into<String>,
        map_type: MapType,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
    ) -> MapSpec {
        let name = name.into();
        MapSpec {
            kernel_name: name.clone(),
            name,
            kind: MapKind::Btf,
            map_type,
            key_size,
            value_size,
            max_entries,
            flags: MapFlags::empty(),
            numa_node: 0,
            map_extra: 0,
            ifindex: 0,
            key_type: None,
            value_type: None,
            pinning: Pinning::None,
            pin_path: None,
            inner: None,
            slots: Vec::new(),
            data: None,
            variables: Vec::new(),
            struct_ops: None,
            autocreate: true,
        }
    }

    /// A map of maps like `inner`, with nothing in it.
    pub fn new_outer(
        name: impl Into<String>,
        map_type: MapType,
        key_size: u32,
        max_entries: u32,
        inner: MapSpec,
    ) -> MapSpec {
        MapSpec { inner: Some(Box::new(inner)), ..MapSpec::new(name, map_type, key_size, 4, max_entries) }
    }

    /// The same map with these flags.
    #[must_use]
    pub fn with_flags(mut self, flags: MapFlags) -> MapSpec {
        self.flags = flags;
        self
    }

    /// The same map with an initial entry.
    #[must_use]
    pub fn with_slot(mut self, index: u32, target: SlotTarget) -> MapSpec {
        self.slots.push(Slot { index, target });
        self
    }

    /// A data map: an array whose only value is `data`, mapped where the kernel can.
    pub fn new_data(name: impl Into<String>, kind: MapKind, data: Vec<u8>) -> MapSpec {
        let mut flags = MapFlags::MMAPABLE;
        if matches!(kind, MapKind::Rodata | MapKind::Kconfig) {
            flags |= MapFlags::RDONLY_PROG;
        }
        let size = u32::try_from(data.len()).unwrap_or(u32::MAX);
        MapSpec { kind, flags, data: Some(data), ..MapSpec::new(name, MapType::Array, 4, size, 1) }
    }
}
