//! `tracewell map lookup`, `update`, `delete`, `getnext`, and the verbs of queues and stacks.

use super::data::{Data, Reader};
use super::types::MapTypes;
use crate::objects::select::{self, Which};
use crate::objects::{Options, Words, hex, out, words::usage};
use crate::output::jsonw::Json;
use anyhow::{Result, bail};
use bpf_sys::Errno;
use bpf_sys::map::{Map, MapInfo, MapType, UpdateFlags};
use clap::ArgMatches;
use std::io::Write;

/// Runs one of the verbs.
pub fn main(verb: &str, m: &ArgMatches, options: Options) -> Result<u8> {
    let mut words = Words::new(m, "words", super::MAP);
    let which = Which::map(&mut words)?;
    let map = select::map(&which)?;
    let info = map.info()?;
    let types = MapTypes::of(&info)?;
    let reader = Reader { map: &map, types: types.as_ref(), typed: m.get_flag("typed") };
    let call = Call { map: &map, info: &info, types: types.as_ref(), reader, options };
    match verb {
        "lookup" => call.lookup(words),
        "update" => call.update(words),
        "delete" => call.delete(words),
        "getnext" => call.next(words),
        "peek" => call.take(words, false),
        "pop" | "dequeue" => call.take(words, true),
        "push" | "enqueue" => call.put(words),
        other => unreachable!("clap knows no verb {other}"),
    }
}

struct Call<'a> {
    map: &'a Map,
    info: &'a MapInfo,
    types: Option<&'a MapTypes>,
    reader: Reader<'a>,
    options: Options,
}

impl Call<'_> {
    /// The key behind `key`; nothing for maps without keys.
    fn key(&self, words: &mut Words) -> Result<Vec<u8>> {
        if words.keyword("key") {
            return self.reader.key(words);
        }
        if self.map.key_size() == 0 {
            return Ok(Vec::new());
        }
        words.unexpected(&format!("`key` and a key of {} bytes", self.map.key_size()))
    }

    fn lookup(&self, mut words: Words) -> Result<u8> {
        let key = self.key(&mut words)?;
        words.end()?;
        let mut value = vec![0; self.map.value_len()];
        let found = self.map.lookup(&key, &mut value)?;
        self.print(found.then_some((&key, &value)), &key)
    }

    /// Prints an element, or that there is none for this key.
    fn print(&self, element: Option<(&[u8], &[u8])>, wanted: &[u8]) -> Result<u8> {
        let btf = self.types.map(MapTypes::open).transpose()?;
        let shape = super::dump::shape(self.map, self.info, btf.as_ref().zip(self.types));
        let mut out = out();
        match (element, self.options.json) {
            (Some((key, value)), true) => {
                let mut j = Json::new(&mut out, self.options.pretty);
                shape.json(&mut j, key, value)?;
                j.finish()?;
            }
            (Some((key, value)), false) if shape.types.is_some() => {
                let mut j = Json::new(&mut out, true);
                shape.plain(&mut j, key, value)?;
                j.finish()?;
            }
            (Some((key, value)), false) => shape.bytes(&mut out, key, value)?,
            (None, true) => writeln!(out, "null")?,
            (None, false) => {
                writeln!(out, "key:")?;
                hex(&mut out, wanted)?;
                writeln!(out, "\n\nNot found")?;
            }
        }
        out.flush()?;
        Ok(u8::from(element.is_none()))
    }

    fn update(&self, mut words: Words) -> Result<u8> {
        let (mut key, mut value, mut flags) = (None, None, UpdateFlags::ANY);
        while !words.is_empty() {
            if key.is_none() && words.keyword("key") {
                key = Some(self.reader.key(&mut words)?);
            } else if value.is_none() && words.keyword("value") {
                value = Some(self.reader.value(&mut words)?);
            } else if words.keyword("any") {
                flags = UpdateFlags::ANY;
            } else if words.keyword("exist") {
                flags = UpdateFlags::EXIST;
            } else if words.keyword("noexist") {
                flags = UpdateFlags::NOEXIST;
            } else {
                return words.unexpected("`key`, `value`, `any`, `exist` or `noexist`");
            }
        }
        if key.is_none() && self.map.key_size() != 0 {
            return usage(format!("the key is missing: `key` and {} bytes", self.map.key_size()));
        }
        let Some(Data { bytes, held }) = value else {
            return usage(format!("the value is missing: `value` and {} bytes", self.map.value_size()));
        };
        let done = self.map.update(&key.unwrap_or_default(), &bytes, flags);
        drop(held);
        match done {
            Ok(()) => crate::objects::done(self.options),
            Err(e) => Err(self.explain(e, flags)),
        }
    }

    /// What the kernel's answer to an update means.
    fn explain(&self, error: bpf_sys::Error, flags: UpdateFlags) -> anyhow::Error {
        let name = if self.info.name.is_empty() { String::new() } else { format!(" `{}`", self.info.name) };
        let map = format!("map {}{name}", self.info.id);
        let what = match error.errno() {
            Some(Errno::EEXIST) => {
                format!("{map} has this key already: say `any` or `exist` to replace its value")
            }
            Some(Errno::ENOENT) if flags == UpdateFlags::EXIST => {
                format!("{map} does not have this key: say `any` or `noexist` to add it")
            }
            Some(Errno::E2BIG) => format!(
                "{map} is full, or the index is not below its {} entries: delete something first, or create a larger map",
                self.info.max_entries
            ),
            Some(Errno::EPERM) => {
                format!("{map} cannot be written to: it is frozen, or read-only for user space")
            }
            _ => return error.into(),
        };
        anyhow::anyhow!("{what} ({error})")
    }

    fn delete(&self, mut words: Words) -> Result<u8> {
        let key = self.key(&mut words)?;
        words.end()?;
        match self.map.delete(&key) {
            Ok(true) => crate::objects::done(self.options),
            Ok(false) => bail!(
                "map {} does not have this key; `tracewell map dump id {}` shows those that it has",
                self.info.id,
                self.info.id
            ),
            Err(e)
                if e.is_errno(Errno::EINVAL)
                    && matches!(self.info.map_type, MapType::Array | MapType::PercpuArray) =>
            {
                bail!("elements of an {} cannot be deleted: write zeros to it instead", self.info.map_type)
            }
            Err(e) => Err(e.into()),
        }
    }

    fn next(&self, mut words: Words) -> Result<u8> {
        let key = match words.is_empty() {
            true => None,
            false => Some(self.key(&mut words)?),
        };
        words.end()?;
        let mut next = vec![0; self.map.key_size()];
        if !self.map.next_key(key.as_deref(), &mut next)? {
            bail!(
                "map {} has no key {}",
                self.info.id,
                if key.is_some() { "behind this one" } else { "at all" }
            );
        }
        let mut out = out();
        if self.options.json {
            let mut j = Json::new(&mut out, self.options.pretty);
            j.begin_object()?;
            j.key("key")?;
            match &key {
                Some(key) => j.hex_bytes(key)?,
                None => j.raw("null")?,
            }
            j.key("next_key")?;
            j.hex_bytes(&next)?;
            j.end_object()?;
            j.finish()?;
        } else {
            match &key {
                Some(key) => {
                    writeln!(out, "key:")?;
                    hex(&mut out, key)?;
                    writeln!(out)?;
                }
                None => writeln!(out, "key: None")?,
            }
            writeln!(out, "next key:")?;
            hex(&mut out, &next)?;
            writeln!(out)?;
        }
        out.flush()?;
        Ok(0)
    }

    fn queue(&self) -> Result<()> {
        match self.info.map_type {
            MapType::Queue | MapType::Stack => Ok(()),
            other => bail!(
                "map {} is a {other}: only a queue or a stack is pushed to and popped from; use `lookup`, `update` or \
                 `delete`",
                self.info.id
            ),
        }
    }

    fn take(&self, mut words: Words, remove: bool) -> Result<u8> {
        words.end()?;
        self.queue()?;
        let mut value = vec![0; self.map.value_len()];
        let found = if remove {
            self.map.lookup_and_delete(&[], &mut value)?
        } else {
            self.map.lookup(&[], &mut value)?
        };
        if !found {
            bail!("map {} is empty", self.info.id);
        }
        self.print(Some((&[], &value)), &[])
    }

    fn put(&self, mut words: Words) -> Result<u8> {
        self.queue()?;
        if !words.keyword("value") {
            return words.unexpected("`value`");
        }
        let Data { bytes, held: _held } = self.reader.value(&mut words)?;
        words.end()?;
        match self.map.update(&[], &bytes, UpdateFlags::ANY) {
            Ok(()) => crate::objects::done(self.options),
            Err(e) => Err(self.explain(e, UpdateFlags::ANY)),
        }
    }
}
