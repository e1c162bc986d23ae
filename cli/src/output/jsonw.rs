//! JSON that is written as it goes, on one line or indented: what the commands about loaded objects print. A map of a
//! million entries never stands in memory as a whole.

use std::fmt::Display;
use std::io::{self, Write};

/// A writer of one JSON document. Commas, line breaks and indentation are its business.
pub struct Json<'w> {
    out: &'w mut dyn Write,
    pretty: bool,
    /// For each open array or object: whether something stands in it.
    open: Vec<bool>,
    after_key: bool,
}

impl<'w> Json<'w> {
    /// A document on `out`; `pretty` puts each member and element on a line of its own.
    pub fn new(out: &'w mut dyn Write, pretty: bool) -> Self {
        Json { out, pretty, open: Vec::new(), after_key: false }
    }

    /// Comma and line break before a value or key.
    fn separate(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.after_key) {
            return Ok(());
        }
        let Some(filled) = self.open.last_mut() else { return Ok(()) };
        if std::mem::replace(filled, true) {
            self.out.write_all(b",")?;
        }
        self.line()
    }

    fn line(&mut self) -> io::Result<()> {
        if self.pretty {
            self.out.write_all(b"\n")?;
            for _ in &self.open {
                self.out.write_all(b"    ")?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, bracket: &[u8]) -> io::Result<()> {
        self.separate()?;
        self.open.push(false);
        self.out.write_all(bracket)
    }

    fn end(&mut self, bracket: &[u8]) -> io::Result<()> {
        if self.open.pop() == Some(true) {
            self.line()?;
        }
        self.out.write_all(bracket)
    }

    /// `{`
    pub fn begin_object(&mut self) -> io::Result<()> {
        self.begin(b"{")
    }

    /// `}`
    pub fn end_object(&mut self) -> io::Result<()> {
        self.end(b"}")
    }

    /// `[`
    pub fn begin_array(&mut self) -> io::Result<()> {
        self.begin(b"[")
    }

    /// `]`
    pub fn end_array(&mut self) -> io::Result<()> {
        self.end(b"]")
    }

    /// A member's name; its value is what is written next.
    pub fn key(&mut self, key: &str) -> io::Result<()> {
        self.separate()?;
        serde_json::to_writer(&mut *self.out, key)?;
        self.out.write_all(if self.pretty { b": " } else { b":" })?;
        self.after_key = true;
        Ok(())
    }

    /// A string.
    pub fn str(&mut self, text: &str) -> io::Result<()> {
        self.separate()?;
        Ok(serde_json::to_writer(&mut *self.out, text)?)
    }

    /// A number, `true`, `false` or `null`: whatever prints as JSON.
    pub fn raw(&mut self, value: impl Display) -> io::Result<()> {
        self.separate()?;
        write!(self.out, "{value}")
    }

    /// A member with a string.
    pub fn field_str(&mut self, key: &str, text: &str) -> io::Result<()> {
        self.key(key)?;
        self.str(text)
    }

    /// A member with a number or truth value.
    pub fn field(&mut self, key: &str, value: impl Display) -> io::Result<()> {
        self.key(key)?;
        self.raw(value)
    }

    /// Bytes as bpftool writes them: an array of strings such as `"0x1f"`.
    pub fn hex_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.begin_array()?;
        for byte in bytes {
            self.separate()?;
            write!(self.out, "\"0x{byte:02x}\"")?;
        }
        self.end_array()
    }

    /// A member with an array of numbers.
    pub fn field_numbers<T: Display>(
        &mut self,
        key: &str,
        numbers: impl IntoIterator<Item = T>,
    ) -> io::Result<()> {
        self.key(key)?;
        self.begin_array()?;
        for number in numbers {
            self.raw(number)?;
        }
        self.end_array()
    }

    /// The line break behind the document.
    pub fn finish(&mut self) -> io::Result<()> {
        debug_assert!(self.open.is_empty());
        self.out.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn both_forms_are_the_same_document() {
        let text = |pretty| {
            let mut out = Vec::new();
            let mut j = Json::new(&mut out, pretty);
            j.begin_array().unwrap();
            j.begin_object().unwrap();
            j.field("id", 7).unwrap();
            j.field_str("name", "a \"b\"\n").unwrap();
            j.field_numbers("maps", [1, 2]).unwrap();
            j.key("bytes").unwrap();
            j.hex_bytes(&[0, 255]).unwrap();
            j.key("none").unwrap();
            j.begin_object().unwrap();
            j.end_object().unwrap();
            j.end_object().unwrap();
            j.raw("null").unwrap();
            j.end_array().unwrap();
            j.finish().unwrap();
            String::from_utf8(out).unwrap()
        };
        let (compact, pretty) = (text(false), text(true));
        expect![[r#"
            [{"id":7,"name":"a \"b\"\n","maps":[1,2],"bytes":["0x00","0xff"],"none":{}},null]
        "#]]
        .assert_eq(&compact);
        expect![[r#"
            [
                {
                    "id": 7,
                    "name": "a \"b\"\n",
                    "maps": [
                        1,
                        2
                    ],
                    "bytes": [
                        "0x00",
                        "0xff"
                    ],
                    "none": {}
                },
                null
            ]
        "#]]
        .assert_eq(&pretty);
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(parse(&compact), parse(&pretty));
    }
}
