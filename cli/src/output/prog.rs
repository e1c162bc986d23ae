//! What `tracewell prog list` and `prog run` print.

use super::jsonw::Json;
use crate::objects::pids::Holder;
use std::io::{self, Write};

/// A program of the list.
#[derive(Clone, Debug, Default)]
pub struct ProgRow {
    /// Its id.
    pub id: u32,
    /// Its type, as the field's tools write it.
    pub prog_type: String,
    /// Its name, in full where BTF tells it.
    pub name: String,
    /// The hash of its instructions.
    pub tag: String,
    /// Whether it may use what only GPL programs may use.
    pub gpl: bool,
    /// Nanoseconds and runs, where they are counted.
    pub runs: Option<(u64, u64)>,
    /// Runs that were left out as it was running already.
    pub recursion_misses: u64,
    /// Seconds since 1970, and in text.
    pub loaded_at: Option<(u64, String)>,
    /// The user who loaded it.
    pub uid: u32,
    /// Bytes of its instructions.
    pub xlated: u32,
    /// Bytes of its machine code; 0 where it is interpreted.
    pub jited: u32,
    /// Bytes that are charged for it.
    pub memlock: Option<u64>,
    /// The maps that it uses.
    pub map_ids: Vec<u32>,
    /// Its BTF object; 0 for none.
    pub btf_id: u32,
    /// Where it is pinned.
    pub pins: Vec<String>,
    /// Who holds it.
    pub pids: Vec<Holder>,
}

/// `a,b,c`
fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

/// Pins and holders as text, each on a line of its own.
pub fn places(out: &mut dyn Write, pins: &[String], pids: &[Holder]) -> io::Result<()> {
    pinned(out, pins)?;
    holders(out, pids)
}

/// Pins as text.
pub fn pinned(out: &mut dyn Write, pins: &[String]) -> io::Result<()> {
    pins.iter().try_for_each(|pin| write!(out, "\n\tpinned {pin}"))
}

/// Holders as text.
pub fn holders(out: &mut dyn Write, pids: &[Holder]) -> io::Result<()> {
    if !pids.is_empty() {
        let text: Vec<String> = pids.iter().map(|p| format!("{}({})", p.comm, p.pid)).collect();
        write!(out, "\n\tpids {}", text.join(", "))?;
    }
    Ok(())
}

/// Pins and holders as members of an object.
pub fn places_json(j: &mut Json<'_>, pins: &[String], pids: &[Holder]) -> io::Result<()> {
    if !pins.is_empty() {
        j.key("pinned")?;
        j.begin_array()?;
        pins.iter().try_for_each(|pin| j.str(pin))?;
        j.end_array()?;
    }
    if !pids.is_empty() {
        j.key("pids")?;
        j.begin_array()?;
        for p in pids {
            j.begin_object()?;
            j.field("pid", p.pid)?;
            j.field_str("comm", &p.comm)?;
            j.end_object()?;
        }
        j.end_array()?;
    }
    Ok(())
}

/// One program as text.
pub fn text(out: &mut dyn Write, row: &ProgRow) -> io::Result<()> {
    write!(out, "{}: {}", row.id, row.prog_type)?;
    if !row.name.is_empty() {
        write!(out, "  name {}", row.name)?;
    }
    write!(out, "  tag {}", row.tag)?;
    if row.gpl {
        write!(out, "  gpl")?;
    }
    if let Some((ns, count)) = row.runs {
        write!(out, " run_time_ns {ns} run_cnt {count}")?;
    }
    if row.recursion_misses != 0 {
        write!(out, " recursion_misses {}", row.recursion_misses)?;
    }
    match &row.loaded_at {
        Some((_, text)) => write!(out, "\n\tloaded_at {text}  uid {}", row.uid)?,
        None => write!(out, "\n\tuid {}", row.uid)?,
    }
    write!(out, "\n\txlated {}B", row.xlated)?;
    match row.jited {
        0 => write!(out, "  not jited")?,
        len => write!(out, "  jited {len}B")?,
    }
    if let Some(memlock) = row.memlock {
        write!(out, "  memlock {memlock}B")?;
    }
    if !row.map_ids.is_empty() {
        write!(out, "  map_ids {}", list(&row.map_ids))?;
    }
    pinned(out, &row.pins)?;
    if row.btf_id != 0 {
        write!(out, "\n\tbtf_id {}", row.btf_id)?;
    }
    holders(out, &row.pids)?;
    writeln!(out)
}

/// One program as an object.
pub fn json(j: &mut Json<'_>, row: &ProgRow) -> io::Result<()> {
    j.begin_object()?;
    j.field("id", row.id)?;
    j.field_str("type", &row.prog_type)?;
    if !row.name.is_empty() {
        j.field_str("name", &row.name)?;
    }
    j.field_str("tag", &row.tag)?;
    j.field("gpl_compatible", row.gpl)?;
    if let Some((ns, count)) = row.runs {
        j.field("run_time_ns", ns)?;
        j.field("run_cnt", count)?;
    }
    if row.recursion_misses != 0 {
        j.field("recursion_misses", row.recursion_misses)?;
    }
    if let Some((unix, _)) = row.loaded_at {
        j.field("loaded_at", unix)?;
    }
    j.field("uid", row.uid)?;
    j.field("bytes_xlated", row.xlated)?;
    j.field("jited", row.jited != 0)?;
    if row.jited != 0 {
        j.field("bytes_jited", row.jited)?;
    }
    if let Some(memlock) = row.memlock {
        j.field("bytes_memlock", memlock)?;
    }
    if !row.map_ids.is_empty() {
        j.field_numbers("map_ids", &row.map_ids)?;
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
        let full = ProgRow {
            id: 5108,
            prog_type: "raw_tracepoint".into(),
            name: "rawtp".into(),
            tag: "5ecc6ee1f54a2d66".into(),
            gpl: true,
            runs: Some((1200, 3)),
            recursion_misses: 1,
            loaded_at: Some((1_795_237_663, "2026-11-21T05:07:43+0000".into())),
            uid: 0,
            xlated: 552,
            jited: 379,
            memlock: Some(4096),
            map_ids: vec![7139, 7140],
            btf_id: 859,
            pins: vec!["/sys/fs/bpf/a".into()],
            pids: vec![Holder { pid: 1, comm: "init".into() }, Holder { pid: 9, comm: "b".into() }],
        };
        let bare = ProgRow { id: 1, prog_type: "xdp".into(), tag: "00".into(), ..ProgRow::default() };
        let (mut text_out, mut json_out) = (Vec::new(), Vec::new());
        let mut j = Json::new(&mut json_out, false);
        j.begin_array().unwrap();
        for row in [full, bare] {
            text(&mut text_out, &row).unwrap();
            json(&mut j, &row).unwrap();
        }
        j.end_array().unwrap();
        expect![[r#"
            5108: raw_tracepoint  name rawtp  tag 5ecc6ee1f54a2d66  gpl run_time_ns 1200 run_cnt 3 recursion_misses 1
            	loaded_at 2026-11-21T05:07:43+0000  uid 0
            	xlated 552B  jited 379B  memlock 4096B  map_ids 7139,7140
            	pinned /sys/fs/bpf/a
            	btf_id 859
            	pids init(1), b(9)
            1: xdp  tag 00
            	uid 0
            	xlated 0B  not jited
        "#]]
        .assert_eq(&String::from_utf8(text_out).unwrap());
        expect![[r#"[{"id":5108,"type":"raw_tracepoint","name":"rawtp","tag":"5ecc6ee1f54a2d66","gpl_compatible":true,"run_time_ns":1200,"run_cnt":3,"recursion_misses":1,"loaded_at":1795237663,"uid":0,"bytes_xlated":552,"jited":true,"bytes_jited":379,"bytes_memlock":4096,"map_ids":[7139,7140],"btf_id":859,"pinned":["/sys/fs/bpf/a"],"pids":[{"pid":1,"comm":"init"},{"pid":9,"comm":"b"}]},{"id":1,"type":"xdp","tag":"00","gpl_compatible":false,"uid":0,"bytes_xlated":0,"jited":false}]"#]]
        .assert_eq(&String::from_utf8(json_out).unwrap());
    }
}
