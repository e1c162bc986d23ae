//! Format strings that are known before the program runs.

use crate::verifier::env::{EINVAL, Env, Reject, Res, reject};

/// Whether the format is one that helpers take and asks for no more than `args` values.
pub(super) fn is_valid(format: &[u8], args: usize) -> bool {
    let mut rest = format;
    let mut used = 0;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let is_space = byte.is_ascii_whitespace() || byte == 0x0b;
        if byte.is_ascii() && !(0x20..0x7f).contains(&byte) && !is_space {
            return false;
        }
        if byte != b'%' {
            continue;
        }
        if let Some(after) = rest.strip_prefix(b"%") {
            rest = after;
            continue;
        }
        if used >= args {
            return false;
        }
        let Some(after) = conversion(rest) else { return false };
        rest = after;
        used += 1;
    }
    true
}

/// What follows a conversion (that begins after its `%`); `None` where there is no such.
fn conversion(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    if !rest.first().is_none_or(u8::is_ascii) {
        return None;
    }
    while let [b'0' | b'+' | b'-' | b' ', after @ ..] = rest {
        rest = after;
    }
    if let [b'1'..=b'9', ..] = rest {
        while let [b'0'..=b'9', after @ ..] = rest {
            rest = after;
        }
    }
    match rest {
        [b'p', after @ ..] => pointer(after),
        [b's', after @ ..] => ends(after).then_some(after),
        [b'c', after @ ..] => Some(after),
        _ => {
            for _ in 0..2 {
                rest = rest.strip_prefix(b"l").unwrap_or(rest);
            }
            match rest {
                [b'i' | b'd' | b'u' | b'x' | b'X', after @ ..] => Some(after),
                _ => None,
            }
        }
    }
}

/// The kinds of `%p`.
fn pointer(rest: &[u8]) -> Option<&[u8]> {
    match rest {
        _ if ends(rest) => Some(rest),
        [b'k' | b'u', b's', after @ ..] => ends(after).then_some(after),
        [b'K' | b'x' | b's' | b'S' | b'B', after @ ..] => Some(after),
        [b'i' | b'I', b'4' | b'6', after @ ..] => Some(after),
        _ => None,
    }
}

/// Whether a conversion may end here.
fn ends(rest: &[u8]) -> bool {
    rest.first().is_none_or(|byte| byte.is_ascii_whitespace() || *byte == 0x0b || byte.is_ascii_punctuation())
}

impl Env<'_> {
    /// `bpf_snprintf`: format in r3, size of the values in r5.
    pub(super) fn check_snprintf(&mut self) -> Res {
        let (format, size) = (*self.reg(3), self.reg(5).var_off.value);
        if size % 8 != 0 {
            return Err(Reject(EINVAL));
        }
        let Some(format) = self.const_string(&format) else {
            self.unmodelled("a format that is not known");
            return Err(Reject(EINVAL));
        };
        let args = usize::try_from(size / 8).unwrap_or(usize::MAX);
        if !is_valid(&format, args) {
            reject!(self, EINVAL, "Invalid format string");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn conversions_that_helpers_know() {
        for good in [
            "%d", "%08x", "%-5d", "%lld", "%lu", "%p", "%pK", "%px", "%pB", "%pks", "%pus ", "%pi4", "%pI6",
            "%s", "%s,", "%c", "%5c", "%%", "%%d", "a\tb\n", "\u{fc}",
        ] {
            assert!(is_valid(good.as_bytes(), 1), "{good}");
        }
        for bad in [
            "%", "%f", "%ld%", "%pi5", "%sd", "%pksd", "%llld", "%d%d", "\u{1}", "%\u{fc}", "%l", "%o",
            "%.3d", "%pM",
        ] {
            assert!(!is_valid(bad.as_bytes(), 1), "{bad}");
        }
        assert!(!is_valid(b"%d", 0));
    }
}
