//! `tracewell map create`, `pin` and `freeze`.

use crate::objects::select::{self, Which};
use crate::objects::{Options, Words, check_pin_path, words::usage};
use anyhow::Result;
use bpf_sys::map::{MapCreate, MapFlags, MapType};
use clap::ArgMatches;
use std::os::fd::AsFd;

const CREATE: &str = "create FILE type TYPE key BYTES value BYTES entries N name NAME [flags FLAGS] [inner_map MAP] [dev NAME]";

/// Creates a map and pins it, as nothing else would keep it.
pub fn create(m: &ArgMatches, options: Options) -> Result<u8> {
    let mut words = Words::new(m, "words", CREATE);
    let path = words.path("the file to pin it at")?;
    check_pin_path(&path)?;
    let (mut map_type, mut name, mut inner) = (None, None, None);
    let mut map = MapCreate::default();
    while !words.is_empty() {
        if words.keyword("type") {
            let text = words.text("the map's type")?;
            match MapType::from_name(&text) {
                Some(found) => map_type = Some(found),
                None => {
                    let all: Vec<String> = MapType::ALL.iter().map(MapType::to_string).collect();
                    return usage(format!("there is no type of maps `{text}`; there are {}", all.join(", ")));
                }
            }
        } else if words.keyword("name") {
            name = Some(words.text("the map's name")?);
        } else if words.keyword("key") {
            map.key_size = words.number("bytes of a key")?;
        } else if words.keyword("value") {
            map.value_size = words.number("bytes of a value")?;
        } else if words.keyword("entries") {
            map.max_entries = words.number("the most elements")?;
        } else if words.keyword("flags") {
            map.flags = MapFlags::from_bits_retain(words.number("the flags")?);
        } else if words.keyword("dev") {
            map.ifindex = crate::objects::device(&words.text("a network device")?)?;
        } else if words.keyword("inner_map") {
            inner = Some(select::map(&Which::map(&mut words)?)?);
        } else {
            return words
                .unexpected("`type`, `key`, `value`, `entries`, `name`, `flags`, `inner_map` or `dev`");
        }
    }
    let (Some(map_type), Some(name)) = (map_type, name) else {
        return usage(format!("a map needs a type and a name: {CREATE}"));
    };
    if name.len() > select::NAME_MAX {
        return usage(format!("name `{name}`: the kernel keeps {} bytes of a name", select::NAME_MAX));
    }
    let of_maps = matches!(map_type, MapType::ArrayOfMaps | MapType::HashOfMaps);
    if of_maps != inner.is_some() {
        return usage(if of_maps {
            format!("a map of type {map_type} needs `inner_map MAP`, a map like those that will be in it")
        } else {
            format!("`inner_map` is for array_of_maps and hash_of_maps, not for {map_type}")
        });
    }
    map.map_type = map_type;
    map.name = &name;
    map.inner_map = inner.as_ref().map(|inner| inner.as_fd());
    // Before 5.11 the memory counts as locked; where the limit cannot be raised the kernel says so itself.
    let _ = bpf_sys::memlock::ensure();
    map.create()?.pin(&path)?;
    crate::objects::done(options)
}

/// Pins a map.
pub fn pin(m: &ArgMatches, options: Options) -> Result<u8> {
    let mut words = Words::new(m, "words", "pin MAP FILE, where MAP is `id N`, `name NAME` or `pinned FILE`");
    let which = Which::map(&mut words)?;
    let path = words.path("the file to pin it at")?;
    words.end()?;
    check_pin_path(&path)?;
    select::map(&which)?.pin(&path)?;
    crate::objects::done(options)
}

/// Makes a map read-only for user space.
pub fn freeze(m: &ArgMatches, options: Options) -> Result<u8> {
    let mut words = Words::new(m, "words", super::MAP);
    let which = Which::map(&mut words)?;
    words.end()?;
    select::map(&which)?.freeze()?;
    crate::objects::done(options)
}
