//! Values of per-CPU maps: one slot for each possible processor, each rounded up to 8 bytes.

/// Bytes from one processor's value to the next: `size` rounded up to 8.
pub const fn value_stride(size: usize) -> usize {
    size.next_multiple_of(8)
}

/// The values of all processors in a buffer as [`Map::lookup`](crate::map::Map::lookup) fills it: `size` bytes each,
/// the first of processor 0.
pub fn split(buffer: &[u8], size: usize) -> impl ExactSizeIterator<Item = &[u8]> {
    buffer.chunks_exact(value_stride(size).max(1)).map(move |slot| &slot[..size.min(slot.len())])
}

/// The sum of the 64-bit numbers of all processors.
pub fn sum_u64(buffer: &[u8]) -> u64 {
    let numbers = buffer.as_chunks::<8>().0.iter().map(|bytes| u64::from_ne_bytes(*bytes));
    numbers.fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_rounded_to_eight_bytes() {
        assert_eq!([0, 1, 7, 8, 9, 16].map(value_stride), [0, 8, 8, 8, 16, 16]);
        let buffer = [1, 2, 3, 0, 0, 0, 0, 0, 4, 5, 6, 0, 0, 0, 0, 0];
        let values: Vec<&[u8]> = split(&buffer, 3).collect();
        assert_eq!(values, [[1, 2, 3], [4, 5, 6]]);
        assert_eq!(split(&buffer, 0).len(), 16);
        assert_eq!(split(&[], 4).len(), 0);
    }

    #[test]
    fn numbers_of_all_processors_add_up() {
        let buffer: Vec<u8> = [1u64, 2, u64::MAX].iter().flat_map(|n| n.to_ne_bytes()).collect();
        assert_eq!(sum_u64(&buffer), 2);
    }
}
