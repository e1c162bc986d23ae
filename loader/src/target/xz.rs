//! The container of xz files (the .xz file format, version 1.2): what is around LZMA2 data.

use lzma_rust2::Lzma2Reader;
use std::io::Read;

const MAGIC: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const LZMA2: u64 = 0x21;
/// Largest dictionary that is set up; `xz -9` takes 64 MiB.
const MAX_DICTIONARY: u64 = 64 << 20;

/// Whether the bytes begin like an xz file.
pub(super) fn is_xz(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Unpacks the first stream of an xz file, at most `most` bytes. The error says what is wrong with it.
pub(super) fn unpack(bytes: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let cut = || "the xz file ends too early; it was cut short".to_owned();
    let (header, mut rest) = bytes.split_at_checked(12).ok_or_else(cut)?;
    if !is_xz(bytes) || le32(header, 8) != Some(crc32(header.get(6..8).unwrap_or_default())) {
        return Err("this is no xz file, or its header is damaged".to_owned());
    }
    let check = header.get(7).map_or(0, |flags| flags & 0xf);
    let check_len = match check {
        0 => 0,
        1..=3 => 4,
        4..=6 => 8,
        7..=9 => 16,
        10..=12 => 32,
        _ => 64,
    };
    let mut out = Vec::new();
    loop {
        let len = match rest.first().copied().ok_or_else(cut)? {
            // The index, behind the last block.
            0 => return Ok(out),
            len => (usize::from(len) + 1) * 4,
        };
        let (block, data) = rest.split_at_checked(len).ok_or_else(cut)?;
        let dictionary = block_header(block)?;
        let start = out.len();
        let mut left = data;
        let room = most.saturating_sub(start) as u64;
        Lzma2Reader::new(&mut left, dictionary, None)
            .take(room.saturating_add(1))
            .read_to_end(&mut out)
            .map_err(|error| format!("the xz file is damaged: {error}"))?;
        if out.len() > most {
            return Err(format!("unpacked it has more than {} MiB, which no BTF has", most >> 20));
        }
        let used = data.len() - left.len();
        let padding = used.next_multiple_of(4) - used;
        let (sum, behind) =
            left.get(padding..).and_then(|left| left.split_at_checked(check_len)).ok_or_else(cut)?;
        let unpacked = out.get(start..).unwrap_or_default();
        // Other sums are not looked at; what is in them is BTF, whose reader checks what it needs.
        let intact = match check {
            1 => le32(sum, 0) == Some(crc32(unpacked)),
            4 => sum == crc64(unpacked).to_le_bytes(),
            _ => true,
        };
        if !intact {
            return Err("the xz file is damaged: its checksum does not fit".to_owned());
        }
        rest = behind;
    }
}

/// Size of the dictionary, from a block's header.
fn block_header(block: &[u8]) -> Result<u32, String> {
    let damaged = || "the xz file is damaged: a block's header makes no sense".to_owned();
    let (body, sum) = block.split_at_checked(block.len().saturating_sub(4)).ok_or_else(damaged)?;
    if le32(sum, 0) != Some(crc32(body)) {
        return Err("the xz file is damaged: the checksum of a block's header does not fit".to_owned());
    }
    let flags = *body.get(1).ok_or_else(damaged)?;
    let mut fields = body.get(2..).ok_or_else(damaged)?;
    // Packed and unpacked size.
    for flag in [0x40, 0x80] {
        if flags & flag != 0 {
            number(&mut fields).ok_or_else(damaged)?;
        }
    }
    let filter = number(&mut fields).ok_or_else(damaged)?;
    if flags & 3 != 0 || filter != LZMA2 {
        return Err("the xz file is packed with filters for machine code; unpack it with xz(1)".to_owned());
    }
    let properties = number(&mut fields).filter(|len| *len == 1).and_then(|_| fields.first().copied());
    let code = properties.filter(|code| *code < 40).ok_or_else(damaged)?;
    let size = (2 | u64::from(code & 1)) << (code / 2 + 11);
    if size > MAX_DICTIONARY {
        return Err(format!("the xz file needs {} MiB to be unpacked; unpack it with xz(1)", size >> 20));
    }
    u32::try_from(size).map_err(|_| damaged())
}

/// A number of seven bits a byte, the lowest first.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes))
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| step32(crc ^ u32::from(*byte)))
}

fn step32(crc: u32) -> u32 {
    (0..8).fold(crc, |crc, _| (crc >> 1) ^ if crc & 1 != 0 { 0xedb8_8320 } else { 0 })
}

/// ECMA-182. With a table: this one goes over megabytes.
fn crc64(bytes: &[u8]) -> u64 {
    let step = |crc: u64| {
        (0..8).fold(crc, |crc, _| (crc >> 1) ^ if crc & 1 != 0 { 0xc96c_5795_d787_0f42 } else { 0 })
    };
    let table: Vec<u64> = (0..256).map(step).collect();
    !bytes.iter().fold(!0, |crc, byte| {
        let index = (crc as u8 ^ byte) as usize;
        (crc >> 8) ^ table.get(index).copied().unwrap_or(0)
    })
}
