//! Strings and numbers.

use super::super::errno::{EINVAL, ERANGE};
use super::super::machine::Machine;
use super::probe::Side;
use super::{Done, value};

fn is_space(byte: u8) -> bool {
    // The kernel's table takes the hard space of Latin-1 as well.
    byte.is_ascii_whitespace() || byte == 0x0b || byte == 0xa0
}

/// Reads a number as `bpf_strtoul` does: the magnitude, whether it was negative, the bytes it took.
fn magnitude(text: &[u8], flags: u64) -> Result<(u64, bool, usize), i64> {
    let mut base = flags & 0x1f;
    if text.is_empty() || !matches!(base, 0 | 8 | 10 | 16) || flags & !0x1f != 0 {
        return Err(EINVAL);
    }
    let spaces = text.iter().take_while(|&&b| is_space(b)).count();
    let rest = &text[spaces..];
    let negative = rest.first() == Some(&b'-');
    let sign = usize::from(negative);
    let rest = &rest[sign..];
    if rest.is_empty() {
        return Err(EINVAL);
    }
    // No more than 63 characters are looked at.
    let rest = &rest[..rest.len().min(63)];
    let at = |n: usize| rest.get(n).map_or(0, u8::to_ascii_lowercase);
    let mut prefix = 0;
    if base == 0 {
        base = match (at(0), at(1)) {
            (b'0', b'x') if at(2).is_ascii_hexdigit() => 16,
            (b'0', _) => 8,
            _ => 10,
        };
    }
    if base == 16 && at(0) == b'0' && at(1) == b'x' {
        prefix = 2;
    }
    let digits =
        rest[prefix..].iter().map_while(|&b| char::from(b).to_digit(base as u32)).collect::<Vec<u32>>();
    if digits.is_empty() {
        return Err(EINVAL);
    }
    let number = digits
        .iter()
        .try_fold(0u64, |n, &digit| n.checked_mul(base)?.checked_add(digit.into()))
        .ok_or(ERANGE)?;
    Ok((number, negative, spaces + sign + prefix + digits.len()))
}

impl Machine {
    pub(super) fn strtol(&mut self, name: &str, [from, len, flags, to, _]: [u64; 5], signed: bool) -> Done {
        let text = self.bytes_in(name, from, len)?.to_vec();
        self.check_write(name, to, 8)?;
        self.write_out(name, to, &[0; 8])?;
        let (number, negative, taken) = match magnitude(&text, flags) {
            Ok(read) => read,
            Err(errno) => return value(errno),
        };
        let result = if signed {
            let number = if negative { number.wrapping_neg() } else { number };
            let fits = if negative { number as i64 <= 0 } else { number as i64 >= 0 };
            if !fits {
                return value(ERANGE);
            }
            number
        } else if negative {
            return value(EINVAL);
        } else {
            number
        };
        self.write_out(name, to, &result.to_ne_bytes())?;
        value(taken as i64)
    }

    pub(super) fn strncmp(&mut self, name: &str, one: u64, len: u32, other: u64) -> Done {
        let one = self.bytes_in(name, one, len.into())?.to_vec();
        let Some(mut other) = self.peek_str(other, len as usize + 1, Side::Kernel) else {
            return Err(super::bad_argument(name, 3, format!("there is no string at {other:#x}")));
        };
        other.resize(one.len(), 0);
        for (a, b) in one.iter().zip(&other) {
            if a != b {
                return value(if a < b { -1 } else { 1 });
            }
            if *a == 0 {
                break;
            }
        }
        value(0)
    }
}

#[cfg(test)]
mod tests {
    use super::magnitude;

    #[test]
    fn numbers_are_read_as_the_kernel_does() {
        assert_eq!(magnitude(b" 42 ", 0), Ok((42, false, 3)));
        assert_eq!(magnitude(b"-0x1fz", 0), Ok((31, true, 5)));
        assert_eq!(magnitude(b"017", 0), Ok((15, false, 3)));
        assert_eq!(magnitude(b"0x10", 16), Ok((16, false, 4)));
        assert_eq!(magnitude(b"0x10", 10), Ok((0, false, 1)));
        assert_eq!(magnitude(b"x", 10), Err(-22));
        assert_eq!(magnitude(b"1", 7), Err(-22));
        assert_eq!(magnitude(b"18446744073709551616", 10), Err(-34));
    }
}
