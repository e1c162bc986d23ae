//! JSON, one object an interval on a line of its own (NDJSON). The fields are documented in
//! `docs/funccount.md` and `docs/stackcount.md`.
//!
//! Objects are written as they go rather than built as a tree first: a wildcard over every kernel function
//! has tens of thousands of rows, and the keys keep the order in which they are documented.

use super::{CountBlock, Frame, Missed, Moment, StackBlock, Style, percent};
use std::io::{self, Write};

/// Writes an object's members, commas included.
pub struct Object<'w> {
    out: &'w mut dyn Write,
    first: bool,
}

impl<'w> Object<'w> {
    /// Begins an object.
    pub fn begin(out: &'w mut dyn Write) -> io::Result<Self> {
        out.write_all(b"{")?;
        Ok(Object { out, first: true })
    }

    /// Writes `"key":` and hands out the writer for the value.
    pub fn key(&mut self, key: &str) -> io::Result<&mut dyn Write> {
        if !self.first {
            self.out.write_all(b",")?;
        }
        self.first = false;
        string(self.out, key)?;
        self.out.write_all(b":")?;
        Ok(self.out)
    }

    /// A member with a string.
    pub fn str(&mut self, key: &str, value: &str) -> io::Result<&mut Self> {
        string(self.key(key)?, value)?;
        Ok(self)
    }

    /// A member with a number, or any other value whose text is valid JSON.
    pub fn raw(&mut self, key: &str, value: impl std::fmt::Display) -> io::Result<&mut Self> {
        write!(self.key(key)?, "{value}")?;
        Ok(self)
    }

    /// Ends the object.
    pub fn end(&mut self) -> io::Result<()> {
        self.out.write_all(b"}")
    }
}

/// A string with its quotes and escapes.
pub fn string(out: &mut dyn Write, text: &str) -> io::Result<()> {
    Ok(serde_json::to_writer(out, text)?)
}

/// An array whose elements `each` writes.
pub fn array<T>(
    out: &mut dyn Write,
    items: impl IntoIterator<Item = T>,
    mut each: impl FnMut(&mut dyn Write, T) -> io::Result<()>,
) -> io::Result<()> {
    out.write_all(b"[")?;
    for (i, item) in items.into_iter().enumerate() {
        if i != 0 {
            out.write_all(b",")?;
        }
        each(out, item)?;
    }
    out.write_all(b"]")
}

fn head<'w>(out: &'w mut dyn Write, tool: &str, moment: &Moment, functions: usize) -> io::Result<Object<'w>> {
    let mut object = Object::begin(out)?;
    object
        .str("tool", tool)?
        .str("time", &moment.utc)?
        .raw("elapsed_us", moment.elapsed_us)?
        .raw("interval_us", moment.interval_us)?
        .raw("functions", functions)?;
    Ok(object)
}

fn tail(mut object: Object<'_>, total: u64, missed: &[Missed]) -> io::Result<()> {
    object.raw("total", total)?;
    let out = object.key("missed")?;
    let mut causes = Object::begin(out)?;
    for m in missed {
        causes.raw(m.key, m.count)?;
    }
    causes.end()?;
    object.end()?;
    writeln!(object.out)
}

/// One interval of funccount.
pub fn counts(out: &mut dyn Write, block: &CountBlock<'_>, style: Style) -> io::Result<()> {
    let mut object = head(out, "funccount", block.moment, block.functions)?;
    array(object.key("counts")?, block.rows, |out, row| {
        let mut one = Object::begin(out)?;
        one.str("func", row.name)?.raw("count", row.count)?;
        if style.percent {
            one.raw("percent", format_args!("{:.4}", percent(row.count, block.total)))?;
        }
        one.end()
    })?;
    tail(object, block.total, block.missed)
}

/// One interval of stackcount.
pub fn stacks(out: &mut dyn Write, block: &StackBlock<'_>, style: Style) -> io::Result<()> {
    let mut object = head(out, "stackcount", block.moment, block.functions)?;
    array(object.key("stacks")?, block.rows, |out, row| {
        let mut one = Object::begin(out)?;
        one.raw("count", row.count)?;
        if style.percent {
            one.raw("percent", format_args!("{:.4}", percent(row.count, block.total)))?;
        }
        if let Some(pid) = row.pid {
            one.raw("pid", pid)?.str("comm", &row.comm)?;
        }
        array(one.key("kernel")?, &row.kernel, frame)?;
        array(one.key("user")?, &row.user, frame)?;
        one.end()
    })?;
    tail(object, block.total, block.missed)
}

/// Addresses are strings: most JSON readers keep numbers as doubles, which lose the low bits of an address.
fn frame(out: &mut dyn Write, frame: &Frame) -> io::Result<()> {
    let mut one = Object::begin(out)?;
    one.raw("addr", format_args!("\"{:#x}\"", frame.addr))?;
    if let Some(name) = &frame.name {
        one.str("name", name)?.raw("offset", frame.offset)?;
    }
    one.end()
}

#[cfg(test)]
mod tests {
    use super::super::testdata::*;
    use super::*;
    use expect_test::{Expect, expect};

    fn check(out: Vec<u8>, expected: Expect) {
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "one line an interval");
        serde_json::from_str::<serde_json::Value>(&text).expect("valid JSON");
        expected.assert_eq(&text);
    }

    #[test]
    fn funccount_object() {
        let (moment, mut out) = (moment(), Vec::new());
        let block =
            CountBlock { moment: &moment, functions: 5, rows: ROWS, total: 123_456_823, missed: MISSED };
        counts(&mut out, &block, Style { percent: true, ..Style::default() }).unwrap();
        check(
            out,
            expect![[r#"
            {"tool":"funccount","time":"2026-11-21T11:34:56.789Z","elapsed_us":2000123,"interval_us":1000050,"functions":5,"counts":[{"func":"vfs_open","count":1,"percent":0.0000},{"func":"odd,\"name\"","count":33,"percent":0.0000},{"func":"a_function_name_longer_than_the_column_is","count":123456789,"percent":100.0000}],"total":123456823,"missed":{"recursion":3,"map_full":0}}
        "#]],
        );
    }

    #[test]
    fn stackcount_object() {
        let (moment, rows, mut out) = (moment(), stack_rows(), Vec::new());
        let block = StackBlock { moment: &moment, functions: 1, rows: &rows, total: 4, missed: MISSED };
        stacks(&mut out, &block, Style::default()).unwrap();
        check(
            out,
            expect![[r#"
            {"tool":"stackcount","time":"2026-11-21T11:34:56.789Z","elapsed_us":2000123,"interval_us":1000050,"functions":1,"stacks":[{"count":1,"pid":31009,"comm":"lto-wrapper","kernel":[{"addr":"0xffffffff81000266","name":"kernel_clone","offset":614}],"user":[{"addr":"0x7f9d38b9ef89"}]},{"count":3,"pid":7,"comm":"a;b","kernel":[{"addr":"0xffffffff81000010","name":"vfs_read","offset":0},{"addr":"0xffffffff81000020","name":"ksys_read","offset":95}],"user":[{"addr":"0x401000","name":"read","offset":13},{"addr":"0x402000","name":"main","offset":32}]}],"total":4,"missed":{"recursion":3,"map_full":0}}
        "#]],
        );
    }

    #[test]
    fn empty_interval() {
        let (moment, mut out) = (moment(), Vec::new());
        let block = CountBlock { moment: &moment, functions: 5, rows: &[], total: 0, missed: &[] };
        counts(&mut out, &block, Style::default()).unwrap();
        check(
            out,
            expect![[r#"
            {"tool":"funccount","time":"2026-11-21T11:34:56.789Z","elapsed_us":2000123,"interval_us":1000050,"functions":5,"counts":[],"total":0,"missed":{}}
        "#]],
        );
    }
}
