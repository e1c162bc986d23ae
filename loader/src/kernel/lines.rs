//! Large text files of the kernel, line by line, with one small buffer.

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;

/// The kernel hands out about a page a read; a few of them keep the copies rare.
const BUFFER: usize = 32 * 1024;

/// Calls `each` with every line, without its line break, until it breaks off. A line longer than the buffer is not
/// one that the kernel writes: it is skipped.
///
/// # Errors
///
/// The reader's.
pub fn for_each(mut reader: impl Read, mut each: impl FnMut(&[u8]) -> ControlFlow<()>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let (mut filled, mut skipping) = (0, false);
    loop {
        let read = match reader.read(&mut buffer[filled..]) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = filled + read;
        let mut start = 0;
        while let Some(len) = find_newline(&buffer[start..end]) {
            if !std::mem::take(&mut skipping) && each(&buffer[start..start + len]).is_break() {
                return Ok(());
            }
            start += len + 1;
        }
        if read == 0 {
            if start < end && !skipping {
                let _ = each(&buffer[start..end]);
            }
            return Ok(());
        }
        if start == 0 && end == buffer.len() {
            skipping = true;
            filled = 0;
        } else {
            buffer.copy_within(start..end, 0);
            filled = end - start;
        }
    }
}

/// [`for_each`] over the file at `path`.
///
/// # Errors
///
/// Where the file cannot be opened or read.
pub fn for_each_in(path: &Path, each: impl FnMut(&[u8]) -> ControlFlow<()>) -> io::Result<()> {
    for_each(File::open(path)?, each)
}

/// Eight bytes at a time: the lines are short, but there are hundreds of thousands.
fn find_newline(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let differs = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'\n'));
        let found = differs.wrapping_sub(ONES) & !differs & HIGH;
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|&b| b == b'\n').map(|at| words.len() * 8 + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out a few bytes a read, as a pipe may.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let len = self.1.min(self.0.len()).min(out.len());
            out[..len].copy_from_slice(&self.0[..len]);
            self.0 = &self.0[len..];
            Ok(len)
        }
    }

    fn collect(bytes: &[u8], step: usize) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        for_each(Slow(bytes, step), |line| {
            out.push(line.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
        out
    }

    proptest::proptest! {
        #[test]
        fn lines_do_not_depend_on_the_reads(bytes in proptest::collection::vec(
            proptest::prop_oneof![proptest::prelude::Just(b'\n'), proptest::prelude::any::<u8>()], 0..300),
            step in 1usize..40,
        ) {
            let mut want: Vec<Vec<u8>> = bytes.split(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
            if want.last().is_some_and(Vec::is_empty) {
                want.pop();
            }
            proptest::prop_assert_eq!(collect(&bytes, step), want);
        }
    }

    #[test]
    fn an_endless_line_is_skipped() {
        let mut bytes = b"one\n".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', 3 * BUFFER));
        bytes.extend(b"\ntwo\n");
        assert_eq!(collect(&bytes, 1000), [b"one", b"two"]);
    }
}
