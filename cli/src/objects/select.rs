//! Which objects are meant: `id 7`, `tag 3f…`, `name x`, `pinned /sys/fs/bpf/x`.

use anyhow::{Context, Result, bail};
use bpf_sys::link::Link;
use bpf_sys::map::Map;
use bpf_sys::prog::Prog;
use bpf_sys::{Errno, ids};
use std::fmt;
use std::path::PathBuf;

use super::Words;
use super::words::usage;

/// A way to name objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// By the kernel's number.
    Id(u32),
    /// By the hash of a program's instructions.
    Tag([u8; 8]),
    /// By name.
    Name(String),
    /// By the place of a pin.
    Pinned(PathBuf),
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Which::Id(id) => write!(f, "id {id}"),
            Which::Tag(tag) => write!(f, "tag {}", tag_text(tag)),
            Which::Name(name) => write!(f, "name {name}"),
            Which::Pinned(path) => write!(f, "pinned {}", path.display()),
        }
    }
}

/// A tag in hexadecimal digits.
pub fn tag_text(tag: &[u8; 8]) -> String {
    tag.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse_tag(text: &str) -> Option<[u8; 8]> {
    (text.len() == 16).then_some(())?;
    Some(u64::from_str_radix(text, 16).ok()?.to_be_bytes())
}

/// The most bytes of a name that the kernel keeps.
pub const NAME_MAX: usize = 15;

impl Which {
    /// Reads a way to name programs.
    pub fn prog(words: &mut Words) -> Result<Which> {
        if words.keyword("tag") {
            let text = words.text("a program's tag")?;
            return match parse_tag(&text) {
                Some(tag) => Ok(Which::Tag(tag)),
                None => {
                    usage(format!("tag `{text}`: a tag has 16 hexadecimal digits, as `prog list` shows them"))
                }
            };
        }
        Self::named(words, "`id`, `tag`, `name` or `pinned`")
    }

    /// Reads a way to name maps.
    pub fn map(words: &mut Words) -> Result<Which> {
        Self::named(words, "`id`, `name` or `pinned`")
    }

    /// Reads a way to name links.
    pub fn link(words: &mut Words) -> Result<Which> {
        if words.at("name") {
            return usage("links have no names; take one by `id` or `pinned`");
        }
        Self::named(words, "`id` or `pinned`")
    }

    fn named(words: &mut Words, ways: &str) -> Result<Which> {
        Ok(if words.keyword("id") {
            Which::Id(words.number("an id")?)
        } else if words.keyword("name") {
            Which::Name(words.text("a name")?)
        } else if words.keyword("pinned") {
            Which::Pinned(words.path("the path of a pin")?)
        } else {
            return words.unexpected(ways);
        })
    }
}

/// Whether a name as the kernel keeps it, cut to 15 bytes, can be this one.
fn name_fits(kernel: &str, wanted: &str) -> bool {
    kernel == wanted || (wanted.len() > NAME_MAX && kernel.len() == NAME_MAX && wanted.starts_with(kernel))
}

/// The objects of an iterator of ids; those that are gone before they can be opened are passed over.
fn walk<T>(
    ids: ids::Ids,
    open: impl Fn(u32) -> bpf_sys::Result<T>,
    keep: impl Fn(&T) -> bpf_sys::Result<bool>,
) -> Result<Vec<T>> {
    let mut found = Vec::new();
    for id in ids {
        match open(id?).and_then(|object| Ok((keep(&object)?, object))) {
            Ok((true, object)) => found.push(object),
            Ok((false, _)) => {}
            Err(e) if e.is_errno(Errno::ENOENT) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(found)
}

/// The programs that are meant, at least one.
pub fn progs(which: &Which) -> Result<Vec<Prog>> {
    let found = match which {
        Which::Id(id) => vec![Prog::from_id(*id)?],
        Which::Pinned(path) => vec![Prog::open_pinned(path)?],
        Which::Tag(tag) => walk(ids::progs(), Prog::from_id, |prog| Ok(prog.summary()?.tag == *tag))?,
        Which::Name(name) => {
            walk(ids::progs(), Prog::from_id, |prog| Ok(name_fits(&prog.summary()?.name, name)))?
        }
    };
    if found.is_empty() {
        bail!("no program has the {which}; `tracewell prog list` shows those that there are");
    }
    Ok(found)
}

/// All programs.
pub fn all_progs() -> Result<Vec<Prog>> {
    walk(ids::progs(), Prog::from_id, |_| Ok(true))
}

/// The maps that are meant, at least one.
pub fn maps(which: &Which) -> Result<Vec<Map>> {
    let found = match which {
        Which::Id(id) => vec![Map::from_id(*id)?],
        Which::Pinned(path) => vec![Map::open_pinned(path)?],
        Which::Name(name) => walk(ids::maps(), Map::from_id, |map| Ok(name_fits(&map.info()?.name, name)))?,
        Which::Tag(_) => bail!("maps have no tags"),
    };
    if found.is_empty() {
        bail!("no map has the {which}; `tracewell map list` shows those that there are");
    }
    Ok(found)
}

/// All maps.
pub fn all_maps() -> Result<Vec<Map>> {
    walk(ids::maps(), Map::from_id, |_| Ok(true))
}

/// All links.
pub fn all_links() -> Result<Vec<Link>> {
    walk(ids::links(), Link::from_id, |_| Ok(true))
}

/// The link that is meant.
pub fn link(which: &Which) -> Result<Link> {
    match which {
        Which::Id(id) => Ok(Link::from_id(*id)?),
        Which::Pinned(path) => Ok(Link::open_pinned(path)?),
        Which::Tag(_) | Which::Name(_) => bail!("links have neither names nor tags"),
    }
}

fn the_one<T>(mut found: Vec<T>, what: &str, which: &Which, ids: Vec<String>) -> Result<T> {
    if found.len() > 1 {
        bail!("{} {what}s have the {which} (ids {}): take one of them by `id`", found.len(), ids.join(", "));
    }
    found.pop().context("nothing was found")
}

/// The one program that is meant.
pub fn prog(which: &Which) -> Result<Prog> {
    let found = progs(which)?;
    let ids = found.iter().filter_map(|p| Some(p.id().ok()?.to_string())).collect();
    the_one(found, "program", which, ids)
}

/// The one map that is meant.
pub fn map(which: &Which) -> Result<Map> {
    let found = maps(which)?;
    let ids = found.iter().filter_map(|m| Some(m.info().ok()?.id.to_string())).collect();
    the_one(found, "map", which, ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_are_read() {
        let prog = |text| Which::prog(&mut Words::of(text)).map_err(|e| e.to_string());
        assert_eq!(prog("id 7"), Ok(Which::Id(7)));
        assert_eq!(prog("n abc"), Ok(Which::Name("abc".into())));
        assert_eq!(prog("tag 00ff000000000001"), Ok(Which::Tag([0, 0xff, 0, 0, 0, 0, 0, 1])));
        assert_eq!(prog("pinned /a"), Ok(Which::Pinned("/a".into())));
        assert!(prog("tag 1").unwrap_err().contains("16 hexadecimal digits"));
        assert!(prog("7").unwrap_err().contains("`7` where `id`, `tag`"));
        assert!(Which::link(&mut Words::of("name x")).unwrap_err().to_string().contains("no names"));
        assert_eq!(Which::Tag([0, 0xff, 0, 0, 0, 0, 0, 1]).to_string(), "tag 00ff000000000001");
    }

    #[test]
    fn long_names_are_kept_cut() {
        assert!(name_fits("abc", "abc") && !name_fits("abc", "abcd") && !name_fits("abcd", "abc"));
        assert!(name_fits("exactly_fifteen", "exactly_fifteen_and_more"));
    }
}
