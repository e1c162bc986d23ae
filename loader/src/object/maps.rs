//! Maps: definitions, data sections, and what is put into them.

pub mod btf_defined;
pub mod data;
pub mod legacy;
pub mod slots;

use crate::spec::MapSpec;
use std::collections::HashMap;

/// The object's maps and how to find them.
#[derive(Debug, Default)]
pub struct Maps {
    /// The maps in libbpf's order: defined ones, data sections, configuration, struct_ops.
    pub list: Vec<MapSpec>,
    /// Defined maps by index of the section and place of the variable in it.
    pub by_place: HashMap<(usize, u64), usize>,
    /// Data maps by index of the section.
    pub by_section: HashMap<usize, usize>,
}
