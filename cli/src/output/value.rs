//! Values that were read through BTF, as JSON: what maps hold and what programs send. Spelling is bpftool's:
//! enumerators by name, printable `char` arrays as strings, other characters as numbers. But bit fields are numbers, and
//! members of anonymous structs and unions stand beside the others, as in C, so that no two members have one name.

use super::jsonw::Json;
use btf::value::{Entry, Value, decode};
use btf::{Btf, Kind, TypeId};
use std::io;

/// How values look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// JSON for programs: addresses are numbers.
    Strict,
    /// For people: addresses are hexadecimal.
    Plain,
}

/// Writes the value that these bytes are.
pub fn value(j: &mut Json<'_>, btf: &Btf<'_>, id: TypeId, bytes: &[u8], style: Style) -> io::Result<()> {
    let tree = decode(btf, id, bytes);
    let section = btf.type_by_id(id).filter(|ty| ty.kind() == Kind::Datasec);
    match (section, &tree) {
        // Variables, each an object of its own, under the section's name.
        (Some(section), Value::Struct(variables)) => {
            j.begin_object()?;
            j.key(section.name())?;
            j.begin_array()?;
            for variable in variables {
                j.begin_object()?;
                j.key(variable.name)?;
                write(j, &variable.value, style)?;
                j.end_object()?;
            }
            j.end_array()?;
            j.end_object()
        }
        _ => write(j, &tree, style),
    }
}

/// Writes a value. What the bytes were too short for is `null`; numbers that JSON's readers would round are strings.
pub fn write(j: &mut Json<'_>, value: &Value<'_>, style: Style) -> io::Result<()> {
    match value {
        Value::Signed(n) => match i64::try_from(*n) {
            Ok(n) => j.raw(n),
            Err(_) => j.str(&n.to_string()),
        },
        Value::Unsigned(n) => match u64::try_from(*n) {
            Ok(n) => j.raw(n),
            Err(_) => j.str(&format!("{n:#x}")),
        },
        Value::Bool(truth) => j.raw(truth),
        // `char` is signed in BPF.
        Value::Char(byte) => j.raw(*byte as i8),
        Value::Enum { name: Some(name), .. } => j.str(name),
        Value::Enum { name: None, value } => j.raw(value),
        // Debug is the form with an exponent where that is shorter.
        Value::Float(n) if n.is_finite() => j.raw(format_args!("{n:?}")),
        Value::Float(n) => j.str(&n.to_string()),
        Value::Pointer(address) if style == Style::Plain => j.raw(format_args!("{address:#x}")),
        Value::Pointer(address) => j.raw(address),
        Value::Text(text) => j.str(&String::from_utf8_lossy(text)),
        Value::Array { elements, .. } => {
            j.begin_array()?;
            elements.iter().try_for_each(|element| write(j, element, style))?;
            j.end_array()
        }
        Value::Struct(entries) | Value::Union(entries) => {
            j.begin_object()?;
            members(j, entries, style)?;
            j.end_object()
        }
        Value::Bytes(bytes) => j.hex_bytes(bytes),
        _ => j.raw("null"),
    }
}

fn members(j: &mut Json<'_>, entries: &[Entry<'_>], style: Style) -> io::Result<()> {
    for Entry { name, value } in entries {
        match (*name, value) {
            ("", Value::Struct(inner) | Value::Union(inner)) => members(j, inner, style)?,
            // An unnamed bit field is padding.
            ("", _) => {}
            (name, value) => {
                j.key(name)?;
                write(j, value, style)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn all_kinds_of_values() {
        let entry = |name, value| Entry { name, value };
        let value = Value::Struct(vec![
            entry("small", Value::Signed(-3)),
            entry("large", Value::Unsigned(u128::from(u64::MAX))),
            entry("huge", Value::Unsigned(1 << 100)),
            entry("", Value::Union(vec![entry("a", Value::Bool(true)), entry("b", Value::Char(0xff))])),
            entry("", Value::Unsigned(1)),
            entry("color", Value::Enum { name: Some("RED"), value: 0 }),
            entry("odd", Value::Enum { name: None, value: 9 }),
            entry("f", Value::Float(0.5)),
            entry("inf", Value::Float(f64::INFINITY)),
            entry("p", Value::Pointer(0xffff_8880_0000_0010)),
            entry("comm", Value::Text(b"ca\"t".to_vec())),
            entry("list", Value::Array { elements: vec![Value::Signed(1), Value::Missing], missing: 3 }),
            entry("bytes", Value::Bytes(vec![1, 255])),
        ]);
        let mut out = Vec::new();
        for style in [Style::Strict, Style::Plain] {
            let mut j = Json::new(&mut out, false);
            write(&mut j, &value, style).unwrap();
            j.finish().unwrap();
        }
        let text = String::from_utf8(out).unwrap();
        serde_json::from_str::<serde_json::Value>(text.lines().next().unwrap()).unwrap();
        expect![[r#"
            {"small":-3,"large":18446744073709551615,"huge":"0x10000000000000000000000000","a":true,"b":-1,"color":"RED","odd":9,"f":0.5,"inf":"inf","p":18446612682070032400,"comm":"ca\"t","list":[1,null],"bytes":["0x01","0xff"]}
            {"small":-3,"large":18446744073709551615,"huge":"0x10000000000000000000000000","a":true,"b":-1,"color":"RED","odd":9,"f":0.5,"inf":"inf","p":0xffff888000000010,"comm":"ca\"t","list":[1,null],"bytes":["0x01","0xff"]}
        "#]].assert_eq(&text);
    }
}
