//! What `tracewell map dump` and `map lookup` print of an element.

use super::jsonw::Json;
use super::value::{Style, value};
use crate::objects::hex;
use bpf_sys::percpu;
use btf::{Btf, TypeId};
use std::io::{self, Write};

/// What decides how the elements of a map look.
pub struct Shape<'a> {
    /// Whether a value is one for each processor.
    pub per_cpu: bool,
    /// Whether a value is the id of a map.
    pub inner_maps: bool,
    /// Bytes of one value.
    pub value_size: usize,
    /// The types, where the map has some: key and value.
    pub types: Option<(&'a Btf<'a>, Option<TypeId>, TypeId)>,
}

impl Shape<'_> {
    fn typed(
        &self,
        j: &mut Json<'_>,
        btf: &Btf<'_>,
        types: (Option<TypeId>, TypeId),
        element: (&[u8], &[u8]),
        style: Style,
    ) -> io::Result<()> {
        j.begin_object()?;
        if let Some(key) = types.0 {
            j.key("key")?;
            value(j, btf, key, element.0, style)?;
        }
        if self.per_cpu {
            self.each_cpu(j, element.1, |j, one| value(j, btf, types.1, one, style))?;
        } else {
            j.key("value")?;
            value(j, btf, types.1, element.1, style)?;
        }
        j.end_object()
    }

    fn each_cpu(
        &self,
        j: &mut Json<'_>,
        values: &[u8],
        mut each: impl FnMut(&mut Json<'_>, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        j.key("values")?;
        j.begin_array()?;
        for (cpu, one) in percpu::split(values, self.value_size).enumerate() {
            j.begin_object()?;
            j.field("cpu", cpu)?;
            j.key("value")?;
            each(j, one)?;
            j.end_object()?;
        }
        j.end_array()
    }

    /// An element as an object: bytes, and `formatted` where there are types.
    pub fn json(&self, j: &mut Json<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
        j.begin_object()?;
        j.key("key")?;
        j.hex_bytes(key)?;
        if self.per_cpu {
            self.each_cpu(j, value, |j, one| j.hex_bytes(one))?;
        } else {
            j.key("value")?;
            j.hex_bytes(value)?;
        }
        if let Some((btf, key_type, value_type)) = self.types {
            j.key("formatted")?;
            self.typed(j, btf, (key_type, value_type), (key, value), Style::Strict)?;
        }
        j.end_object()
    }

    /// An element for people, where there are types.
    pub fn plain(&self, j: &mut Json<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
        match self.types {
            Some((btf, key_type, value_type)) => {
                self.typed(j, btf, (key_type, value_type), (key, value), Style::Plain)
            }
            None => Ok(()),
        }
    }

    /// An element as bytes.
    pub fn bytes(&self, out: &mut dyn Write, key: &[u8], value: &[u8]) -> io::Result<()> {
        if self.per_cpu {
            if !key.is_empty() {
                writeln!(out, "key:")?;
                hex(out, key)?;
                writeln!(out)?;
            }
            for (cpu, one) in percpu::split(value, self.value_size).enumerate() {
                write!(out, "value (CPU {cpu:02}):{}", if one.len() > 16 { '\n' } else { ' ' })?;
                hex(out, one)?;
                writeln!(out)?;
            }
            return Ok(());
        }
        let broken = key.len() > 16 || value.len() > 16;
        let gap = if broken { '\n' } else { ' ' };
        if !key.is_empty() {
            write!(out, "key:{gap}")?;
            hex(out, key)?;
            write!(out, "{}", if key.len() + value.len() <= 24 && !broken { "  " } else { "\n" })?;
        }
        match value.first_chunk::<4>() {
            Some(id) if self.inner_maps => write!(out, "inner_map_id:{gap}{} ", u32::from_ne_bytes(*id))?,
            _ => {
                write!(out, "value:{gap}")?;
                hex(out, value)?;
            }
        }
        writeln!(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn bytes_take_as_few_lines_as_fit() {
        let mut shape = Shape { per_cpu: false, inner_maps: false, value_size: 4, types: None };
        let mut out = Vec::new();
        shape.bytes(&mut out, &[1, 0, 0, 0], &[2, 0, 0, 0]).unwrap();
        shape.bytes(&mut out, &[1; 4], &[2; 17]).unwrap();
        shape.bytes(&mut out, &[1; 16], &[2; 16]).unwrap();
        shape.bytes(&mut out, &[], &[3; 4]).unwrap();
        shape.per_cpu = true;
        shape.bytes(&mut out, &[1, 0, 0, 0], &[7; 16]).unwrap();
        shape.json(&mut Json::new(&mut out, false), &[1], &[7; 16]).unwrap();
        expect![[r#"
            key: 01 00 00 00  value: 02 00 00 00
            key:
            01 01 01 01
            value:
            02 02 02 02 02 02 02 02  02 02 02 02 02 02 02 02
            02
            key: 01 01 01 01 01 01 01 01  01 01 01 01 01 01 01 01
            value: 02 02 02 02 02 02 02 02  02 02 02 02 02 02 02 02
            value: 03 03 03 03
            key:
            01 00 00 00
            value (CPU 00): 07 07 07 07
            value (CPU 01): 07 07 07 07
            {"key":["0x01"],"values":[{"cpu":0,"value":["0x07","0x07","0x07","0x07"]},{"cpu":1,"value":["0x07","0x07","0x07","0x07"]}]}"#]].assert_eq(&String::from_utf8(out).unwrap());
    }
}
