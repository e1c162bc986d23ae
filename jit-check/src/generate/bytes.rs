//! Choices out of bytes.

/// Bytes that are used up by choices; when none are left, every choice is the first one.
pub(super) struct Bytes<'a> {
    data: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub fn new(data: &'a [u8]) -> Bytes<'a> {
        Bytes { data }
    }

    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        match self.data.split_first() {
            Some((first, rest)) => {
                self.data = rest;
                *first
            }
            None => 0,
        }
    }

    /// A number below `count`, which is at least 1.
    pub fn below(&mut self, count: u32) -> u32 {
        let word = if count > 256 {
            u32::from(self.byte()) << 8 | u32::from(self.byte())
        } else {
            self.byte().into()
        };
        word % count.max(1)
    }

    /// Whether something happens that does so `share` of 256 times.
    pub fn chance(&mut self, share: u8) -> bool {
        !self.is_empty() && self.byte() < share
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u32) as usize]
    }

    /// Numbers that matter: small ones, ends of ranges, sometimes any.
    pub fn number(&mut self) -> i32 {
        const ENDS: [i32; 20] =
            [0, 1, -1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 255, 256, 0xffff, i32::MAX, i32::MIN, -2];
        match self.byte() {
            kind @ 0..200 => ENDS[usize::from(kind) % ENDS.len()],
            200..232 => i32::from(self.byte() as i8),
            _ => i32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()]),
        }
    }
}
