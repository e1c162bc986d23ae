//! Layouts as pahole prints them.

use super::{Layout, Slot};
use std::fmt::{self, Display, Formatter};

/// Columns of the type and of the name.
const TYPE_WIDTH: usize = 26;
const NAME_WIDTH: usize = 21;

impl Display for Layout<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        let mut line = 0;
        self.body(f, 1, &mut line)?;
        self.summary(f)?;
        f.write_str("};\n")
    }
}

impl Layout<'_> {
    fn head(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.union { "union" } else { "struct" })?;
        if !self.name.is_empty() {
            write!(f, " {}", self.name)?;
        }
        f.write_str(" {\n")
    }

    /// `line` is the last cache line that was begun.
    fn body(&self, f: &mut Formatter<'_>, level: usize, line: &mut u64) -> fmt::Result {
        let last = self.slots.len();
        for (at, slot) in self.slots.iter().enumerate() {
            boundary(f, slot.bit_offset / 8, self.cache_line, level, line)?;
            indent(f, level)?;
            match &slot.inner {
                Some(inner) => {
                    inner.head(f)?;
                    inner.body(f, level + 1, line)?;
                    indent(f, level)?;
                    // What stands behind the name of the type goes with the closing bracket.
                    let stars = slot
                        .type_text
                        .rfind(|c| c != '*' && c != ' ')
                        .map_or("", |at| slot.type_text.get(at + 1..).unwrap_or("").trim_start());
                    let space = if slot.declarator.is_empty() && stars.is_empty() { "" } else { " " };
                    let text = format!("}}{space}{stars}{};", slot.declarator);
                    let width = (TYPE_WIDTH + NAME_WIDTH + 1).saturating_sub((level - 1) * 8);
                    write!(f, "{text:width$} ")?;
                }
                None => slot.line(f, level)?,
            }
            slot.place(f)?;
            let paragraph = slot.hole > 0 || slot.bit_hole > 0 || slot.inner_padding > 0;
            if paragraph {
                f.write_str("\n")?;
            }
            if slot.inner_padding > 0 {
                let bytes = plural(slot.inner_padding, "byte");
                remark(f, level, &format!("last struct has {} {bytes} of padding", slot.inner_padding))?;
            }
            if slot.bit_hole > 0 {
                let bits = plural(slot.bit_hole, "bit");
                remark(f, level, &format!("{} {bits} hole, try to pack", slot.bit_hole))?;
            }
            if slot.hole > 0 {
                let bytes = plural(slot.hole, "byte");
                remark(f, level, &format!("{} {bytes} hole, try to pack", slot.hole))?;
            }
            if paragraph && at + 1 < last {
                f.write_str("\n")?;
            }
        }
        Ok(())
    }

    fn summary(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.union {
            return Ok(());
        }
        let totals = self.totals();
        let line = |f: &mut Formatter<'_>, text: String| writeln!(f, "\t/* {text} */");
        f.write_str("\n")?;
        let members = self.slots.len();
        line(f, format!("size: {}, cachelines: {}, members: {members}", self.size, totals.cache_lines))?;
        if totals.holes > 0 {
            let bytes = totals.member_bytes;
            line(
                f,
                format!("sum members: {bytes}, holes: {}, sum holes: {}", totals.holes, totals.hole_bytes),
            )?;
        } else if totals.bit_holes > 0 {
            line(f, format!("sum members: {}", totals.member_bytes))?;
        }
        if totals.bit_holes > 0 {
            line(
                f,
                format!(
                    "sum bitfield members: {} bits, bit holes: {}, sum bit holes: {} bits",
                    totals.bitfield_bits, totals.bit_holes, totals.bit_hole_bits
                ),
            )?;
        }
        if self.padding > 0 {
            line(f, format!("padding: {}", self.padding))?;
        }
        if self.bit_padding > 0 {
            line(f, format!("bit_padding: {} bits", self.bit_padding))?;
        }
        if totals.paddings > 0 {
            line(f, format!("paddings: {}, sum paddings: {}", totals.paddings, totals.padding_bytes))?;
        }
        let rest = self.size.checked_rem(self.cache_line).unwrap_or(0);
        if rest > 0 {
            line(f, format!("last cacheline: {rest} bytes"))?;
        }
        Ok(())
    }
}

impl Slot<'_> {
    fn line(&self, f: &mut Formatter<'_>, level: usize) -> fmt::Result {
        let width = TYPE_WIDTH.saturating_sub((level - 1) * 8);
        // pahole sets off the stars of pointers.
        let stars = self.type_text.len() - self.type_text.trim_end_matches('*').len();
        let (base, stars) = self.type_text.split_at(self.type_text.len() - stars);
        let spaced: Vec<&str> = stars.split("").filter(|star| !star.is_empty()).collect();
        let text = format!("{base}{}", spaced.join(" "));
        let mut name = self.declarator.clone();
        if self.bitfield {
            name = format!("{name}:{}", self.bit_size);
        }
        let line = format!("{text:width$} {name};");
        // A long type takes from the column of the name.
        let width = width + 1 + NAME_WIDTH;
        write!(f, "{line:width$} ")
    }

    /// Offset and size; of bit fields the offset of their type, and the bits from there on.
    fn place(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.bitfield {
            return writeln!(f, "/* {:5} {:5} */", self.bit_offset / 8, self.size);
        }
        let unit = self.size.saturating_mul(8).max(8);
        let start = self.bit_offset / unit * unit;
        writeln!(f, "/* {:5}:{:2} {:2} */", start / 8, self.bit_offset - start, self.size)
    }
}

fn plural(count: u64, word: &str) -> String {
    if count == 1 { word.to_string() } else { format!("{word}s") }
}

fn remark(f: &mut Formatter<'_>, level: usize, text: &str) -> fmt::Result {
    indent(f, level)?;
    writeln!(f, "/* XXX {text} */")
}

fn boundary(f: &mut Formatter<'_>, offset: u64, size: u64, level: usize, line: &mut u64) -> fmt::Result {
    let here = offset.checked_div(size).unwrap_or(0);
    if here <= *line {
        return Ok(());
    }
    *line = here;
    indent(f, level)?;
    write!(f, "/* --- cacheline {here} boundary ({} bytes)", here * size)?;
    match offset - here * size {
        0 => f.write_str(" --- */\n"),
        past => writeln!(f, " was {past} {} ago --- */", plural(past, "byte")),
    }
}

fn indent(f: &mut Formatter<'_>, level: usize) -> fmt::Result {
    (0..level).try_for_each(|_| f.write_str("\t"))
}
