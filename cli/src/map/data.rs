//! Keys and values from the command line.

use super::types::MapTypes;
use crate::objects::select::{self, Which};
use crate::objects::{Words, words::usage};
use anyhow::{Result, bail};
use bpf_sys::map::{Map, MapType};
use bpf_sys::percpu;
use btf::TypeId;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// A key or a value, with what has to stay open until it was used.
#[derive(Debug, Default)]
pub struct Data {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The object whose descriptor the bytes are.
    pub held: Option<OwnedFd>,
}

/// What keys and values of a map are like.
#[derive(Debug)]
pub struct Reader<'a> {
    /// The map.
    pub map: &'a Map,
    /// Its types.
    pub types: Option<&'a MapTypes>,
    /// Whether every word is a C value.
    pub typed: bool,
}

impl Reader<'_> {
    /// Reads a key.
    pub fn key(&self, words: &mut Words) -> Result<Vec<u8>> {
        let id = self.types.and_then(|types| types.key);
        self.data(words, "key", self.map.key_size(), id)
    }

    /// Reads a value; of a per-CPU map, one for all processors.
    pub fn value(&self, words: &mut Words) -> Result<Data> {
        match self.map.map_type() {
            MapType::ArrayOfMaps | MapType::HashOfMaps if !words.at("hex") => {
                let map = select::map(&Which::map(words)?)?;
                let bytes = map.as_fd().as_raw_fd().to_ne_bytes().to_vec();
                return Ok(Data { bytes, held: Some(map.into()) });
            }
            MapType::ProgArray if !words.at("hex") => {
                let prog = select::prog(&Which::prog(words)?)?;
                let bytes = prog.as_fd().as_raw_fd().to_ne_bytes().to_vec();
                return Ok(Data { bytes, held: Some(prog.into()) });
            }
            _ => {}
        }
        let id = self.types.map(|types| types.value);
        let mut bytes = self.data(words, "value", self.map.value_size(), id)?;
        let slots = if super::dump::per_cpu(self.map.map_type()) {
            self.map.value_len() / percpu::value_stride(self.map.value_size()).max(1)
        } else {
            1
        };
        if slots > 1 || self.map.value_len() > bytes.len() {
            bytes.resize(self.map.value_len() / slots, 0);
            bytes = bytes.repeat(slots);
        }
        Ok(Data { bytes, held: None })
    }

    fn data(&self, words: &mut Words, what: &str, size: usize, id: Option<TypeId>) -> Result<Vec<u8>> {
        let first = words.peek().map(|word| word.to_string_lossy().into_owned());
        if self.typed || first.is_some_and(|word| word.starts_with(['{', '"'])) {
            return self.encode(words, what, size, id);
        }
        let hex = words.keyword("hex");
        let mut bytes = Vec::with_capacity(size);
        while bytes.len() < size && !words.is_empty() {
            let at_end = words.peek().and_then(|w| w.to_str()).is_none_or(|w| parse_byte(w, hex).is_none());
            if at_end && keyword(words) {
                break;
            }
            let text = words.text(what)?;
            match parse_byte(&text, hex) {
                Some(byte) => bytes.push(byte),
                None => {
                    return usage(format!(
                        "{what}: `{text}` is not a byte: a number from 0 to 255, or two hexadecimal digits behind `hex`"
                    ));
                }
            }
        }
        if bytes.len() != size {
            bail!(
                "the map's {what} is {size} bytes, but {} {} given; a value of its type can be given as a C value, \
                 with --typed",
                bytes.len(),
                if bytes.len() == 1 { "is" } else { "are" }
            );
        }
        Ok(bytes)
    }

    fn encode(&self, words: &mut Words, what: &str, size: usize, id: Option<TypeId>) -> Result<Vec<u8>> {
        let text = words.text(what)?;
        let (Some(types), Some(id)) = (self.types, id) else {
            bail!(
                "{what} `{text}`: this map has no type for its {what}, so it has to be given as {size} bytes: \
                 `{what} hex 00 01 ...`"
            );
        };
        let btf = types.open()?;
        match btf::value::encode(&btf, id, &text) {
            Ok(bytes) if bytes.len() == size => Ok(bytes),
            Ok(bytes) => bail!(
                "the map's {what} is {size} bytes, but its type in BTF has {}; give it as bytes",
                bytes.len()
            ),
            Err(e) => bail!("{what} `{text}`: {e}"),
        }
    }
}

/// Whether the next word begins the next part of the command line.
fn keyword(words: &mut Words) -> bool {
    ["key", "value", "any", "exist", "noexist"].iter().any(|keyword| words.at(keyword))
}

fn parse_byte(text: &str, hex: bool) -> Option<u8> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u8::from_str_radix(digits, 16).ok(),
        None if hex => u8::from_str_radix(text, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_decimal_or_hexadecimal() {
        assert_eq!((parse_byte("10", false), parse_byte("10", true)), (Some(10), Some(16)));
        assert_eq!((parse_byte("0x1f", false), parse_byte("0xff", true)), (Some(31), Some(255)));
        assert_eq!(
            (parse_byte("256", false), parse_byte("1ff", true), parse_byte("-1", false)),
            (None, None, None)
        );
    }

    #[test]
    fn keywords_end_a_row_of_bytes() {
        for (text, ends) in [("value 1", true), ("va", true), ("e", true), ("07", false), ("hex", false)] {
            assert_eq!(keyword(&mut Words::of(text)), ends, "{text}");
        }
    }
}
