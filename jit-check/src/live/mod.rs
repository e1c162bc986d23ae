//! The same program in the running kernel: its verdict, its log, its result, its machine code.
//!
//! This is for programs that need no types of their own (assembled, generated, or the code of an object without typed
//! maps); `loader` loads everything else.

mod compare;
mod lines;

pub use compare::{Difference, Input, Outcome, compare, compare_loaded, outcome_here, run_here, run_there};
pub use lines::line_for_each_insn;

use crate::program::Program;
use asm::Insn;
use bpf_sys::btf_obj::BtfObj;
use bpf_sys::map::{Map, MapCreate, MapType, UpdateFlags};
use bpf_sys::prog::{Prog, ProgLoad, Records};
use loader::MapSpec;
use std::os::fd::{AsFd, AsRawFd};

/// A program that the running kernel took.
#[derive(Debug)]
pub struct Live {
    /// The program.
    pub prog: Prog,
    /// What the verifier said, at the level that was asked for.
    pub log: String,
}

/// How to load.
#[derive(Clone, Copy, Debug, Default)]
pub struct LiveOptions {
    /// As `log_level` of bpf(2).
    pub log_level: u32,
    /// Give each instruction a source line of its own, so that the kernel tells the machine code's address of each.
    pub line_for_each_insn: bool,
}

/// Why a program is not in the kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// The verifier refused it.
    #[error("the kernel refused the program: errno {errno}")]
    Refused {
        /// Positive `errno`.
        errno: i32,
        /// The log.
        log: String,
    },
    /// A map could not be made, or bpf(2) is not to be had.
    #[error("{what}: {source}; run as root on a kernel that has BPF")]
    Sys {
        /// What was tried.
        what: String,
        /// The error.
        source: bpf_sys::Error,
    },
}

/// Makes a program's maps, with their initial content.
///
/// # Errors
///
/// [`LiveError::Sys`] with the map's name.
pub fn make_maps(program: &Program) -> Result<Vec<Map>, LiveError> {
    program
        .maps
        .iter()
        .map(|spec| make_map(spec).map_err(|source| sys(format!("create map `{}`", spec.name), source)))
        .collect()
}

fn sys(what: String, source: bpf_sys::Error) -> LiveError {
    LiveError::Sys { what, source }
}

fn make_map(spec: &MapSpec) -> bpf_sys::Result<Map> {
    let inner = spec.inner.as_deref().map(make_map).transpose()?;
    let map = MapCreate {
        map_type: spec.map_type,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        flags: spec.flags,
        map_extra: spec.map_extra,
        inner_map: inner.as_ref().map(Map::as_fd),
        ..MapCreate::default()
    }
    .create()?;
    if let Some(data) = &spec.data {
        map.update(&0_u32.to_ne_bytes(), data, UpdateFlags::ANY)?;
    }
    // Only of a frozen map the verifier reads the content.
    if spec.kind == loader::MapKind::Rodata || spec.kind == loader::MapKind::Kconfig {
        map.freeze()?;
    }
    Ok(map)
}

/// Brings the maps back to their initial content: array elements become zero (or the initial data), others go.
///
/// # Errors
///
/// [`LiveError::Sys`] with the map's name.
pub fn reset_maps(program: &Program, maps: &[Map]) -> Result<(), LiveError> {
    for (spec, map) in program.maps.iter().zip(maps) {
        let failed = |source| sys(format!("reset map `{}`", spec.name), source);
        let mut keys = Vec::new();
        map.for_each_key(|key| keys.push(key.to_vec())).map_err(failed)?;
        for key in keys {
            if spec.map_type == MapType::Array {
                let zeroes = vec![0; map.value_len()];
                let value = spec.data.as_deref().unwrap_or(&zeroes);
                map.update(&key, value, UpdateFlags::ANY).map_err(failed)?;
            } else {
                map.delete(&key).map_err(failed)?;
            }
        }
    }
    Ok(())
}

/// Loads a program with these maps, which [`make_maps`] made.
///
/// # Errors
///
/// [`LiveError::Refused`] with the log, or [`LiveError::Sys`].
pub fn load(program: &Program, maps: &[Map], options: LiveOptions) -> Result<Live, LiveError> {
    let words: Vec<u64> = with_descriptors(program, maps).into_iter().map(Insn::to_u64).collect();
    let lines = options.line_for_each_insn.then(|| line_for_each_insn(program));
    let types = match &lines {
        Some(lines) => Some(
            BtfObj::load(&lines.btf).map_err(|source| sys("load types for the lines".to_owned(), source))?,
        ),
        None => None,
    };
    let load = ProgLoad {
        prog_type: program.prog_type,
        name: &program.name,
        insns: &words,
        license: if program.gpl { "GPL" } else { "Proprietary" },
        expected_attach_type: program.expected_attach_type,
        attach_btf_id: program.attach_btf_id.map_or(0, |id| id.0),
        prog_flags: program.flags,
        btf: types.as_ref().map(AsFd::as_fd),
        func_info: lines
            .as_ref()
            .map_or_else(Records::default, |lines| Records { rec_size: 8, bytes: &lines.funcs }),
        line_info: lines
            .as_ref()
            .map_or_else(Records::default, |lines| Records { rec_size: 16, bytes: &lines.lines }),
        log_level: options.log_level,
        ..ProgLoad::default()
    };
    match load.load_with_log() {
        Ok((prog, log)) => Ok(Live { prog, log }),
        Err(bpf_sys::Error::ProgLoad(error)) => {
            Err(LiveError::Refused { errno: error.errno.raw(), log: error.log.clone() })
        }
        Err(source) => Err(sys(format!("load program `{}`", program.name), source)),
    }
}

/// The instructions with descriptors in place of map indices.
fn with_descriptors(program: &Program, maps: &[Map]) -> Vec<Insn> {
    let mut insns = program.insns.clone();
    let mut at = 0;
    while let Some(insn) = insns.get_mut(at) {
        let wide = insn.opcode == 0x18;
        if wide && matches!(insn.regs >> 4, 1 | 2) {
            insn.imm = maps.get(insn.imm as usize).map_or(-1, |map| map.as_fd().as_raw_fd());
        }
        at += if wide { 2 } else { 1 };
    }
    insns
}
