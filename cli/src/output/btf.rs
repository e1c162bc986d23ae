//! BTF objects, what was found in them, and layouts.

use super::jsonw::Json;
use btf::find::Found;
use btf::layout::{Layout, Slot};
use btf::raw::kind_name;
use std::io::{self, Write};

/// A BTF object in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BtfRow {
    /// Its id.
    pub id: u32,
    /// Bytes.
    pub size: u32,
    /// Programs that came with it.
    pub progs: Vec<u32>,
    /// Maps that came with it.
    pub maps: Vec<u32>,
    /// The kernel's own, or a module's.
    pub kernel: bool,
    /// `vmlinux` or a module's name.
    pub name: String,
}

/// A line as bpftool's.
pub fn text(out: &mut dyn Write, row: &BtfRow) -> io::Result<()> {
    let name = match (row.name.as_str(), row.kernel) {
        ("", _) => "<anon>".to_string(),
        (name, true) => format!("[{name}]"),
        (name, false) => name.to_string(),
    };
    write!(out, "{}: name {name}  size {}B", row.id, row.size)?;
    for (what, ids) in [("prog_ids", &row.progs), ("map_ids", &row.maps)] {
        if !ids.is_empty() {
            let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
            write!(out, "  {what} {}", ids.join(","))?;
        }
    }
    writeln!(out)
}

/// An object as bpftool's.
pub fn json(j: &mut Json<'_>, row: &BtfRow) -> io::Result<()> {
    j.begin_object()?;
    j.field("id", row.id)?;
    j.field("size", row.size)?;
    for (what, ids) in [("prog_ids", &row.progs), ("map_ids", &row.maps)] {
        j.key(what)?;
        j.begin_array()?;
        ids.iter().try_for_each(|id| j.raw(id))?;
        j.end_array()?;
    }
    j.field("kernel", row.kernel)?;
    if !row.name.is_empty() {
        j.field_str("name", &row.name)?;
    }
    j.end_object()
}

/// `[114] STRUCT size=3264  struct task_struct`
pub fn found_text(out: &mut dyn Write, found: &Found<'_>) -> io::Result<()> {
    write!(out, "[{}] {}", found.id.0, kind_name(found.kind))?;
    if let Some(size) = found.size {
        write!(out, " size={size}")?;
    }
    writeln!(out, "  {}", found.declaration)
}

/// The same as an object.
pub fn found_json(j: &mut Json<'_>, found: &Found<'_>) -> io::Result<()> {
    j.begin_object()?;
    j.field("id", found.id.0)?;
    j.field_str("kind", kind_name(found.kind))?;
    j.field_str("name", found.name)?;
    if let Some(size) = found.size {
        j.field("size", size)?;
    }
    if let Some(value) = found.value {
        j.field("value", value)?;
    }
    j.field_str("declaration", &found.declaration)?;
    j.end_object()
}

/// A layout: bytes, but where the key says bits.
pub fn layout_json(j: &mut Json<'_>, layout: &Layout<'_>) -> io::Result<()> {
    let totals = layout.totals();
    j.begin_object()?;
    j.field("id", layout.id.0)?;
    j.field_str("kind", if layout.union { "UNION" } else { "STRUCT" })?;
    j.field_str("name", layout.name)?;
    j.field("size", layout.size)?;
    j.field("cachelines", totals.cache_lines)?;
    j.field("sum_members", totals.member_bytes)?;
    j.field("holes", totals.holes)?;
    j.field("sum_holes", totals.hole_bytes)?;
    j.field("sum_bitfield_bits", totals.bitfield_bits)?;
    j.field("bit_holes", totals.bit_holes)?;
    j.field("sum_bit_hole_bits", totals.bit_hole_bits)?;
    j.field("padding", layout.padding)?;
    j.field("bit_padding_bits", layout.bit_padding)?;
    j.field("paddings", totals.paddings)?;
    j.field("sum_paddings", totals.padding_bytes)?;
    j.key("members")?;
    j.begin_array()?;
    layout.slots.iter().try_for_each(|slot| slot_json(j, slot))?;
    j.end_array()?;
    j.end_object()
}

fn slot_json(j: &mut Json<'_>, slot: &Slot<'_>) -> io::Result<()> {
    j.begin_object()?;
    j.field_str("name", slot.name)?;
    j.field("type_id", slot.type_id.0)?;
    j.field_str("type", &slot.type_text)?;
    j.field_str("declarator", &slot.declarator)?;
    j.field("offset", slot.bit_offset / 8)?;
    j.field("size", slot.size)?;
    if slot.bitfield {
        j.field("offset_bits", slot.bit_offset)?;
        j.field("size_bits", slot.bit_size)?;
    }
    for (key, value) in
        [("hole", slot.hole), ("hole_bits", slot.bit_hole), ("inner_padding", slot.inner_padding)]
    {
        if value > 0 {
            j.field(key, value)?;
        }
    }
    if let Some(inner) = &slot.inner {
        j.key("layout")?;
        layout_json(j, inner)?;
    }
    j.end_object()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn rows_are_bpftools() {
        let rows = [
            BtfRow { id: 1, size: 5515236, kernel: true, name: "vmlinux".into(), ..BtfRow::default() },
            BtfRow { id: 859, size: 4024, progs: vec![8, 11], maps: vec![3], ..BtfRow::default() },
        ];
        let (mut out, mut objects) = (Vec::new(), Vec::new());
        rows.iter().for_each(|row| text(&mut out, row).unwrap());
        let mut j = Json::new(&mut objects, false);
        j.begin_array().unwrap();
        rows.iter().for_each(|row| json(&mut j, row).unwrap());
        j.end_array().unwrap();
        j.finish().unwrap();
        out.extend(objects);
        expect![[r#"
            1: name [vmlinux]  size 5515236B
            859: name <anon>  size 4024B  prog_ids 8,11  map_ids 3
            [{"id":1,"size":5515236,"prog_ids":[],"map_ids":[],"kernel":true,"name":"vmlinux"},{"id":859,"size":4024,"prog_ids":[8,11],"map_ids":[3],"kernel":false}]
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }
}
