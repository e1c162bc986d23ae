//! What `tracewell map list` prints.

use super::jsonw::Json;
use super::prog::{holders, pinned, places_json};
use crate::objects::pids::Holder;
use std::io::{self, Write};

/// A map of the list.
#[derive(Clone, Debug, Default)]
pub struct MapRow {
    /// Its id.
    pub id: u32,
    /// Its type, as the field's tools write it.
    pub map_type: String,
    /// Its name.
    pub name: String,
    /// Its flags.
    pub flags: u32,
    /// Bytes of a key.
    pub key: u32,
    /// Bytes of a value.
    pub value: u32,
    /// The most elements.
    pub max_entries: u32,
    /// Bytes that are charged for it.
    pub memlock: Option<u64>,
    /// The type of the programs that may be in it, and whether they run as machine code.
    pub owner: Option<(String, bool)>,
    /// Its BTF object; 0 for none.
    pub btf_id: u32,
    /// Whether user space can no longer write to it.
    pub frozen: Option<bool>,
    /// The network device that holds it; 0 for the kernel itself.
    pub ifindex: u32,
    /// Where it is pinned.
    pub pins: Vec<String>,
    /// Who holds it.
    pub pids: Vec<Holder>,
}

/// One map as text.
pub fn text(out: &mut dyn Write, row: &MapRow) -> io::Result<()> {
    write!(out, "{}: {}  ", row.id, row.map_type)?;
    if !row.name.is_empty() {
        write!(out, "name {}  ", row.name)?;
    }
    write!(out, "flags {:#x}", row.flags)?;
    if row.ifindex != 0 {
        write!(out, "  offloaded_to ifindex {}", row.ifindex)?;
    }
    write!(out, "\n\tkey {}B  value {}B  max_entries {}", row.key, row.value, row.max_entries)?;
    if let Some(memlock) = row.memlock {
        write!(out, "  memlock {memlock}B")?;
    }
    if let Some((owner, jited)) = &row.owner {
        write!(out, "\n\towner_prog_type {owner}  owner{}jited", if *jited { " " } else { " not " })?;
    }
    pinned(out, &row.pins)?;
    let frozen = row.frozen == Some(true);
    if row.btf_id != 0 || frozen {
        write!(out, "\n\t")?;
    }
    if row.btf_id != 0 {
        write!(out, "btf_id {}", row.btf_id)?;
    }
    if frozen {
        write!(out, "{}frozen", if row.btf_id != 0 { "  " } else { "" })?;
    }
    holders(out, &row.pids)?;
    writeln!(out)
}

/// One map as an object.
pub fn json(j: &mut Json<'_>, row: &MapRow) -> io::Result<()> {
    j.begin_object()?;
    j.field("id", row.id)?;
    j.field_str("type", &row.map_type)?;
    if !row.name.is_empty() {
        j.field_str("name", &row.name)?;
    }
    j.field("flags", row.flags)?;
    if row.ifindex != 0 {
        j.field("ifindex", row.ifindex)?;
    }
    j.field("bytes_key", row.key)?;
    j.field("bytes_value", row.value)?;
    j.field("max_entries", row.max_entries)?;
    if let Some(memlock) = row.memlock {
        j.field("bytes_memlock", memlock)?;
    }
    if let Some((owner, jited)) = &row.owner {
        j.field_str("owner_prog_type", owner)?;
        j.field("owner_jited", jited)?;
    }
    if let Some(frozen) = row.frozen {
        // A number, as bpftool writes it.
        j.field("frozen", u8::from(frozen))?;
    }
    if row.btf_id != 0 {
        j.field("btf_id", row.btf_id)?;
    }
    places_json(j, &row.pins, &row.pids)?;
    j.end_object()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn rows() {
        let jumps = MapRow {
            id: 7141,
            map_type: "prog_array".into(),
            name: "jt".into(),
            flags: 0x480,
            key: 4,
            value: 4,
            max_entries: 2,
            memlock: Some(328),
            owner: Some(("raw_tracepoint".into(), true)),
            btf_id: 859,
            frozen: Some(true),
            pins: vec!["/sys/fs/bpf/jt".into()],
            ..MapRow::default()
        };
        let bare =
            MapRow { id: 1, map_type: "queue".into(), value: 4, frozen: Some(false), ..MapRow::default() };
        let (mut text_out, mut json_out) = (Vec::new(), Vec::new());
        let mut j = Json::new(&mut json_out, false);
        j.begin_array().unwrap();
        for row in [jumps, bare] {
            text(&mut text_out, &row).unwrap();
            json(&mut j, &row).unwrap();
        }
        j.end_array().unwrap();
        expect![[r#"
            7141: prog_array  name jt  flags 0x480
            	key 4B  value 4B  max_entries 2  memlock 328B
            	owner_prog_type raw_tracepoint  owner jited
            	pinned /sys/fs/bpf/jt
            	btf_id 859  frozen
            1: queue  flags 0x0
            	key 0B  value 4B  max_entries 0
        "#]]
        .assert_eq(&String::from_utf8(text_out).unwrap());
        expect![[r#"[{"id":7141,"type":"prog_array","name":"jt","flags":1152,"bytes_key":4,"bytes_value":4,"max_entries":2,"bytes_memlock":328,"owner_prog_type":"raw_tracepoint","owner_jited":true,"frozen":1,"btf_id":859,"pinned":["/sys/fs/bpf/jt"]},{"id":1,"type":"queue","flags":0,"bytes_key":0,"bytes_value":4,"max_entries":0,"frozen":0}]"#]].assert_eq(&String::from_utf8(json_out).unwrap());
    }
}
