//! Sizes that depend on the machine rather than on the object.

use crate::spec::MapSpec;
use bpf_sys::map::MapType;
use bpf_sys::{cpus, mapped};

/// Fills in and rounds what the kernel wants to be just so.
pub(super) fn adjust(spec: &mut MapSpec) -> bpf_sys::Result<()> {
    match spec.map_type {
        // One slot for each processor that there may ever be.
        MapType::PerfEventArray if spec.max_entries == 0 => {
            spec.max_entries = cpus::possible()?.limit();
        }
        MapType::Ringbuf | MapType::UserRingbuf => {
            let page = u32::try_from(mapped::page_size()).unwrap_or(4096);
            spec.max_entries = ring_size(spec.max_entries, page);
        }
        _ => {}
    }
    if let Some(inner) = &mut spec.inner {
        adjust(inner)?;
    }
    Ok(())
}

/// The smallest power of two of whole pages that holds `size` bytes; what cannot be is left for the kernel to refuse.
fn ring_size(size: u32, page: u32) -> u32 {
    if size == 0 {
        return 0;
    }
    let pages = size.div_ceil(page);
    pages.checked_next_power_of_two().and_then(|pages| pages.checked_mul(page)).unwrap_or(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_powers_of_two_of_pages() {
        let sizes = [0, 1, 4096, 4097, 12288, 262_144, 300_000, 1 << 31, (1 << 31) + 1, u32::MAX];
        let rounded = sizes.map(|size| ring_size(size, 4096));
        assert_eq!(rounded, [0, 4096, 4096, 8192, 16384, 262_144, 524_288, 1 << 31, (1 << 31) + 1, u32::MAX]);
        assert_eq!(ring_size(4096, 65536), 65536);
    }

    #[test]
    fn inner_maps_are_adjusted_too() {
        let inner = MapSpec::new("inner", MapType::Ringbuf, 0, 0, 5000);
        let mut outer = MapSpec::new_outer("outer", MapType::ArrayOfMaps, 4, 3, inner);
        adjust(&mut outer).unwrap();
        let inner = outer.inner.unwrap();
        assert!(inner.max_entries.is_power_of_two() && inner.max_entries >= 5000);
    }
}
