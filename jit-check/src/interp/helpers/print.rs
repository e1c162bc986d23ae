//! Formatted output, as the kernel formats it.

use super::super::errno::EINVAL;
use super::super::machine::Machine;
use super::super::trap::TrapKind;
use super::probe::Side;
use super::{Done, value};

/// Bytes of one printed line (`MAX_BPRINTF_BUF`).
const MOST_LINE: usize = 1024;
/// Arguments of the variadic forms (`MAX_BPRINTF_VARARGS`).
const MOST_ARGS: u64 = 12;
/// Bytes of all strings of one call (`MAX_BPRINTF_BIN_ARGS`).
const MOST_STRINGS: usize = 512;
/// Bytes that a width may ask for: as much as a line has.
const MOST_WIDTH: usize = 4096;

/// The flags and width of a conversion.
#[derive(Default)]
struct Field {
    left: bool,
    plus: bool,
    space: bool,
    zero: bool,
    width: usize,
}

impl Field {
    /// A number's sign and digits, padded.
    fn number(&self, out: &mut Vec<u8>, sign: &str, digits: &str) {
        let len = sign.len() + digits.len();
        let pad = self.width.saturating_sub(len);
        if self.left {
            out.extend_from_slice(sign.as_bytes());
            out.extend_from_slice(digits.as_bytes());
            out.extend(std::iter::repeat_n(b' ', pad));
        } else if self.zero {
            out.extend_from_slice(sign.as_bytes());
            out.extend(std::iter::repeat_n(b'0', pad));
            out.extend_from_slice(digits.as_bytes());
        } else {
            out.extend(std::iter::repeat_n(b' ', pad));
            out.extend_from_slice(sign.as_bytes());
            out.extend_from_slice(digits.as_bytes());
        }
    }

    fn text(&self, out: &mut Vec<u8>, text: &[u8]) {
        let pad = self.width.saturating_sub(text.len());
        if !self.left {
            out.extend(std::iter::repeat_n(b' ', pad));
        }
        out.extend_from_slice(text);
        if self.left {
            out.extend(std::iter::repeat_n(b' ', pad));
        }
    }
}

/// Whether a conversion may end before this byte; 0 stands for the format's end.
fn ends(byte: u8) -> bool {
    byte == 0 || byte.is_ascii_whitespace() || byte == 0x0b || byte.is_ascii_punctuation()
}

impl Machine {
    /// The text of a format and its arguments, or an error number.
    fn format(&self, format: &[u8], args: &[u64]) -> Result<Vec<u8>, i64> {
        let mut out = Vec::new();
        let mut at = 0;
        let mut args = args.iter().copied();
        let mut room = MOST_STRINGS;
        let byte = |at: usize| format.get(at).copied().unwrap_or(0);
        while at < format.len() {
            let c = byte(at);
            let is_space = c.is_ascii_whitespace() || c == 0x0b;
            if c.is_ascii() && !is_space && !(0x20..0x7f).contains(&c) {
                return Err(EINVAL);
            }
            at += 1;
            if c != b'%' {
                out.push(c);
                continue;
            }
            if byte(at) == b'%' {
                out.push(b'%');
                at += 1;
                continue;
            }
            let arg = args.next().ok_or(EINVAL)?;
            let mut field = Field::default();
            loop {
                match byte(at) {
                    b'0' => field.zero = true,
                    b'+' => field.plus = true,
                    b'-' => field.left = true,
                    b' ' => field.space = true,
                    _ => break,
                }
                at += 1;
            }
            while byte(at).is_ascii_digit() {
                field.width = (field.width * 10 + usize::from(byte(at) - b'0')).min(MOST_WIDTH);
                at += 1;
            }
            match byte(at) {
                b'p' => at = self.pointer(format, at + 1, arg, &field, &mut room, &mut out)?,
                b's' => {
                    if !ends(byte(at + 1)) {
                        return Err(EINVAL);
                    }
                    // Addresses are told apart by whose they are.
                    let side =
                        if self.peek(arg, 1, Side::Kernel).is_some() { Side::Kernel } else { Side::User };
                    self.string(arg, side, &field, &mut room, &mut out);
                    at += 1;
                }
                b'c' => {
                    field.text(&mut out, &[arg as u8]);
                    at += 1;
                }
                _ => {
                    let mut long = 0;
                    while long < 2 && byte(at) == b'l' {
                        long += 1;
                        at += 1;
                    }
                    let wide = if long == 0 { u64::from(arg as u32) } else { arg };
                    let signed = if long == 0 { i64::from(arg as i32) } else { arg as i64 };
                    match byte(at) {
                        b'd' | b'i' => {
                            let sign = match () {
                                () if signed < 0 => "-",
                                () if field.plus => "+",
                                () if field.space => " ",
                                () => "",
                            };
                            field.number(&mut out, sign, &signed.unsigned_abs().to_string());
                        }
                        b'u' => field.number(&mut out, "", &wide.to_string()),
                        b'x' => field.number(&mut out, "", &format!("{wide:x}")),
                        b'X' => field.number(&mut out, "", &format!("{wide:X}")),
                        _ => return Err(EINVAL),
                    }
                    at += 1;
                }
            }
        }
        Ok(out)
    }

    fn string(&self, addr: u64, side: Side, field: &Field, room: &mut usize, out: &mut Vec<u8>) {
        let text = self.peek_str(addr, (*room).max(1), side).unwrap_or_else(|| vec![0]);
        *room = room.saturating_sub(text.len());
        field.text(out, text.strip_suffix(&[0]).unwrap_or(&text));
    }

    /// A conversion that begins with `%p`; gives the place behind it.
    fn pointer(
        &self,
        format: &[u8],
        at: usize,
        arg: u64,
        field: &Field,
        room: &mut usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, i64> {
        let byte = |at: usize| format.get(at).copied().unwrap_or(0);
        let address = |out: &mut Vec<u8>| {
            let digits = format!("{arg:x}");
            let width = if field.width == 0 { 16 } else { field.width };
            Field { zero: true, width, left: field.left, ..Field::default() }.number(out, "", &digits);
        };
        match byte(at) {
            c if ends(c) => {
                // The kernel shows a hash here, of a secret that no one knows.
                address(out);
                Ok(at)
            }
            side @ (b'k' | b'u') if byte(at + 1) == b's' => {
                if !ends(byte(at + 2)) {
                    return Err(EINVAL);
                }
                let side = if side == b'k' { Side::Kernel } else { Side::User };
                self.string(arg, side, field, room, out);
                Ok(at + 2)
            }
            b'x' | b'K' => {
                address(out);
                Ok(at + 1)
            }
            kind @ (b's' | b'S' | b'B') => {
                let symbol = self.world.symbols.iter().filter(|&(_, &a)| a <= arg).max_by_key(|&(_, &a)| a);
                let text = match symbol {
                    Some((name, _)) if kind == b's' => name.clone(),
                    Some((name, start)) => format!("{name}+{:#x}/0x0", arg - start),
                    None => format!("{arg:#x}"),
                };
                field.text(out, text.as_bytes());
                Ok(at + 1)
            }
            kind @ (b'i' | b'I') if matches!(byte(at + 1), b'4' | b'6') => {
                let len = if byte(at + 1) == b'4' { 4 } else { 16 };
                let bytes = self.peek(arg, len, Side::Kernel).unwrap_or_else(|| vec![0; len]);
                let text = match (kind, len) {
                    (b'I', 4) => bytes.iter().map(u8::to_string).collect::<Vec<_>>().join("."),
                    (_, 4) => bytes.iter().map(|b| format!("{b:03}")).collect::<Vec<_>>().join("."),
                    (kind, _) => {
                        let groups: Vec<String> =
                            bytes.chunks(2).map(|c| format!("{:02x}{:02x}", c[0], c[1])).collect();
                        groups.join(if kind == b'I' { ":" } else { "" })
                    }
                };
                field.text(out, text.as_bytes());
                Ok(at + 2)
            }
            _ => Err(EINVAL),
        }
    }

    /// The format up to its zero, which must be within these bytes.
    fn format_arg(&mut self, name: &str, addr: u64, size: u64) -> Result<Option<Vec<u8>>, TrapKind> {
        let bytes = self.bytes_in(name, addr, size)?;
        let end = bytes.iter().position(|&b| b == 0);
        Ok(end.map(|end| bytes[..end].to_vec()))
    }

    /// Arguments of the variadic forms; `None` where the kernel refuses them.
    fn var_args(&mut self, name: &str, addr: u64, size: u64) -> Result<Option<Vec<u64>>, TrapKind> {
        if !size.is_multiple_of(8) || size > MOST_ARGS * 8 || (size != 0 && addr == 0) {
            return Ok(None);
        }
        let bytes = self.bytes_in(name, addr, size)?;
        let words = bytes.chunks_exact(8).map(|c| c.try_into().map_or(0, u64::from_ne_bytes));
        Ok(Some(words.collect()))
    }

    fn print(&mut self, format: Option<Vec<u8>>, args: Option<Vec<u64>>) -> Done {
        let (Some(format), Some(args)) = (format, args) else { return value(EINVAL) };
        match self.format(&format, &args) {
            Ok(text) => {
                let shown = text.len().min(MOST_LINE - 1);
                self.world.trace.extend_from_slice(&text[..shown]);
                // The kernel ends each event with a line feed, after the program's own.
                self.world.trace.push(b'\n');
                value(text.len() as i64)
            }
            Err(errno) => value(errno),
        }
    }

    pub(super) fn trace_printk(&mut self, name: &str, [format, size, a, b, c]: [u64; 5]) -> Done {
        let format = self.format_arg(name, format, size & 0xffff_ffff)?;
        self.print(format, Some(vec![a, b, c]))
    }

    pub(super) fn trace_vprintk(&mut self, name: &str, [format, size, args, len, _]: [u64; 5]) -> Done {
        let args = self.var_args(name, args, len & 0xffff_ffff)?;
        let format = self.format_arg(name, format, size & 0xffff_ffff)?;
        self.print(format, args)
    }

    pub(super) fn seq_printf(&mut self, name: &str, [_, format, size, args, len]: [u64; 5]) -> Done {
        let args = self.var_args(name, args, len & 0xffff_ffff)?;
        let format = self.format_arg(name, format, size & 0xffff_ffff)?;
        let (Some(format), Some(args)) = (format, args) else { return value(EINVAL) };
        match self.format(&format, &args) {
            Ok(text) => {
                self.world.seq.extend(text);
                value(0)
            }
            Err(errno) => value(errno),
        }
    }

    pub(super) fn seq_write(&mut self, name: &str, from: u64, len: u64) -> Done {
        let bytes = self.bytes_in(name, from, len & 0xffff_ffff)?.to_vec();
        self.world.seq.extend(bytes);
        value(0)
    }

    pub(super) fn snprintf(&mut self, name: &str, [to, size, format, args, len]: [u64; 5]) -> Done {
        let size = size & 0xffff_ffff;
        self.check_write(name, to, size)?;
        let Some(args) = self.var_args(name, args, len & 0xffff_ffff)? else { return value(EINVAL) };
        let format = self
            .peek_str(format, 4096, Side::Kernel)
            .ok_or_else(|| super::bad_argument(name, 3, format!("there is no string at {format:#x}")))?;
        match self.format(&format[..format.len() - 1], &args) {
            Ok(text) => {
                if size > 0 {
                    let shown = text.len().min(size as usize - 1);
                    let mut bytes = text[..shown].to_vec();
                    bytes.push(0);
                    self.write_out(name, to, &bytes)?;
                }
                value(text.len() as i64 + 1)
            }
            Err(errno) => value(errno),
        }
    }
}
