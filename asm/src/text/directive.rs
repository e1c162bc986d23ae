//! Lines that begin with a dot.

use super::cursor::in_word;
use super::error::{Fail, Parsed};
use super::statement::Text;
use super::{AsmFunc, AsmMap, AsmMapKind};
use crate::{Insn, LineRecord, SourceLine};

/// What a directive can be called.
pub(super) const NAMES: &[&str] = &[
    "map", "data", "rodata", "bss", "func", "section", "type", "license", "kfunc", "extern", "equ", "set",
    "raw", "byte", "file", "line",
];

/// Directives of compilers' output that say nothing about instructions.
const IGNORED: &[&str] = &[
    "text",
    "globl",
    "global",
    "local",
    "p2align",
    "align",
    "balign",
    "size",
    "ident",
    "addrsig",
    "addrsig_sym",
    "loc",
    "weak",
    "hidden",
    "protected",
];

/// More than this a map's data may not have; the kernel has no larger values either.
const MAX_DATA: usize = 1 << 26;

impl<'a> Text<'a> {
    /// What stands behind the name of a directive.
    pub fn directive(&mut self, name: &str, at: usize) -> Parsed {
        match name {
            "map" => self.map_directive(),
            "data" => self.data_directive(AsmMapKind::Data),
            "rodata" => self.data_directive(AsmMapKind::Rodata),
            "bss" => self.bss(),
            "func" => self.func(),
            "section" => {
                self.c.blanks();
                let quoted = self.c.peek() == Some(b'"');
                let text = self.text_or_words()?;
                if text.starts_with('.') && (!quoted || self.c.eat(",")) {
                    // A section of a compiler's debugging information.
                    return self.skip_line();
                }
                self.out.section = Some(text);
                self.skip_line()
            }
            "type" => {
                let text = self.text_or_words()?;
                // `.type f,@function` is what compilers say of a symbol.
                if self.c.eat(",") {
                    return self.skip_line();
                }
                self.out.prog_type = Some(text);
                Ok(())
            }
            "license" => {
                self.out.license = Some(self.rest_text()?);
                Ok(())
            }
            "kfunc" | "extern" => {
                let (_, name) = self.name("the name of a kernel function")?;
                self.kfuncs.push(name);
                Ok(())
            }
            "equ" | "set" => {
                let (at, name) = self.name("a name")?;
                if self.c.register_of(name).is_some() {
                    return Err(
                        Fail::new(at, name.len(), format!("`{name}` is a register")).hint("use another name")
                    );
                }
                self.c.eat(",");
                self.c.eat("=");
                let value = self.number()?;
                let signed = i64::try_from(value.value).or_else(|_| value.wide().map(|v| v as i64))?;
                self.constants.insert(name, signed);
                Ok(())
            }
            "raw" => self.raw(),
            "byte" => self.bytes(),
            "file" => {
                // Compilers number their files first.
                if self.c.at_number() {
                    return self.skip_line();
                }
                self.file = self.rest_text()?;
                Ok(())
            }
            "line" => self.line_directive(),
            _ if IGNORED.contains(&name) || name.starts_with("cfi_") => self.skip_line(),
            _ => {
                let fail = Fail::new(at, name.len() + 1, format!("no directive `.{name}`"));
                let near = self.near(name, NAMES.iter().copied());
                Err(fail.maybe(near.map(|near| near.replace("mean `", "mean `."))))
            }
        }
    }

    fn skip_line(&mut self) -> Parsed {
        self.c.pos = self.c.end;
        Ok(())
    }

    fn name(&mut self, what: &str) -> Parsed<(usize, &'a str)> {
        let (at, name) = self.c.word();
        if name.is_empty() {
            return Err(self.c.unexpected(format!("{what} is missing")));
        }
        Ok((at, name))
    }

    /// A string in quotes, with escapes, as bytes.
    fn string(&mut self) -> Parsed<Vec<u8>> {
        let start = self.c.pos;
        self.c.pos += 1;
        let mut out = Vec::new();
        loop {
            let open = || Fail::new(start, 1, "this string has no end").hint("close it with `\"`");
            let b = self.c.peek().ok_or_else(open)?;
            self.c.pos += 1;
            match b {
                b'"' => return Ok(out),
                b'\\' => {
                    let escape = self.c.peek().ok_or_else(open)?;
                    self.c.pos += 1;
                    out.push(match escape {
                        b'n' => b'\n',
                        b't' => b'\t',
                        b'r' => b'\r',
                        b'0' => 0,
                        b'\\' | b'"' | b'\'' => escape,
                        b'x' => {
                            let digits = self.c.rest().get(..2).and_then(|d| u8::from_str_radix(d, 16).ok());
                            let fail = || Fail::new(self.c.pos - 2, 2, "`\\x` needs two hexadecimal digits");
                            let byte = digits.ok_or_else(fail)?;
                            self.c.pos += 2;
                            byte
                        }
                        _ => {
                            self.c.pos -= 1;
                            let fail = Fail::new(self.c.pos - 1, 2, "no such escape");
                            return Err(fail.hint("there are \\n \\t \\r \\0 \\\\ \\\" \\x00"));
                        }
                    });
                }
                b => out.push(b),
            }
        }
    }

    fn quoted(&mut self) -> Parsed<Option<String>> {
        self.c.blanks();
        if self.c.peek() != Some(b'"') {
            return Ok(None);
        }
        let at = self.c.pos;
        let bytes = self.string()?;
        let len = self.c.pos - at;
        String::from_utf8(bytes).map(Some).map_err(|_| Fail::new(at, len, "this string is no UTF-8"))
    }

    /// A string, or everything up to a blank, comma or the end.
    fn text_or_words(&mut self) -> Parsed<String> {
        if let Some(text) = self.quoted()? {
            return Ok(text);
        }
        let rest = self.c.rest();
        let text = rest.split([' ', '\t', '\r', ',', ';', '#']).next().unwrap_or("");
        if text.is_empty() {
            return Err(self.c.unexpected("a name is missing"));
        }
        self.c.pos += text.len();
        Ok(text.to_owned())
    }

    /// A string, or everything up to a comment.
    fn rest_text(&mut self) -> Parsed<String> {
        if let Some(text) = self.quoted()? {
            return Ok(text);
        }
        let rest = self.c.rest();
        let len = rest.find([';', '#']).unwrap_or(rest.len());
        let text = rest.get(..len).unwrap_or("").split("//").next().unwrap_or("");
        self.c.pos += text.len();
        match text.trim() {
            "" => Err(self.c.unexpected("a text is missing")),
            text => Ok(text.to_owned()),
        }
    }

    fn declare(&mut self, name: &'a str, at: usize, map: AsmMap) -> Parsed {
        if let Some(first) = self.maps.get(name) {
            let fail = Fail::new(at, name.len(), format!("`{name}` is already the name of map {first}"));
            return Err(fail.hint("give each map a name of its own"));
        }
        self.maps.insert(name, self.out.maps.len());
        self.out.maps.push(map);
        Ok(())
    }

    /// `.map NAME type=hash key=4 value=8 entries=16`
    fn map_directive(&mut self) -> Parsed {
        const KEYS: &[&str] = &["type", "key", "value", "entries", "flags", "extra", "inner"];
        let (at, name) = self.name("the name of the map")?;
        let mut map = AsmMap { name: name.to_owned(), ..AsmMap::default() };
        let mut inner = None;
        loop {
            self.c.eat(",");
            if self.c.at_end() {
                break;
            }
            let (key_at, key) = self.c.word();
            if key.is_empty() {
                return Err(self.c.unexpected("a property of the map is missing").hint("write type=hash"));
            }
            if !KEYS.contains(&key) {
                let fail = Fail::new(key_at, key.len(), format!("maps have no `{key}`"));
                let near = self.near(key, KEYS.iter().copied());
                return Err(fail.maybe(near.or_else(|| Some(format!("they have {}", KEYS.join(", "))))));
            }
            self.c.expect("=", &format!("{key}=..."))?;
            const BITS: &str = "0 to 4294967295";
            match key {
                "type" => {
                    let (_, word) = self.name("a map type")?;
                    map.map_type = word.to_owned();
                }
                "inner" => {
                    let (at, word) = self.name("the name of a map")?;
                    inner = Some((word, at));
                }
                "key" => map.key_size = self.number()?.fit("a size", BITS)?,
                "value" => map.value_size = self.number()?.fit("a size", BITS)?,
                "entries" => map.max_entries = self.number()?.fit("a number of entries", BITS)?,
                "flags" => map.flags = self.number()?.fit("a set of flags", BITS)?,
                _ => map.extra = self.number()?.wide()?,
            }
        }
        if map.map_type.is_empty() {
            let fail = Fail::new(at, name.len(), format!("map `{name}` has no type"));
            return Err(fail.hint("write type=hash key=4 value=8 entries=16"));
        }
        if let Some((inner, at)) = inner {
            self.inner.push((self.out.maps.len(), inner, at));
        }
        self.declare(name, at, map)
    }

    /// `.data NAME = u32 1, 2, "text", hex 00ff`, `.data NAME += 3`
    fn data_directive(&mut self, kind: AsmMapKind) -> Parsed {
        let (at, name) = self.name("a name for the data")?;
        let more = self.c.eat("+=");
        if !more {
            self.c.eat("=");
        }
        let mut data = Vec::new();
        let mut unit = 1;
        loop {
            self.c.eat(",");
            if self.c.at_end() {
                break;
            }
            if self.c.peek() == Some(b'"') {
                data.extend(self.string()?);
                continue;
            }
            let (word_at, word) = self.c.word_ahead();
            let size = match word {
                "u8" => 1,
                "u16" => 2,
                "u32" => 4,
                "u64" => 8,
                "hex" => {
                    self.c.pos = word_at + 3;
                    self.hex(&mut data)?;
                    continue;
                }
                _ => 0,
            };
            if size != 0 {
                self.c.pos = word_at + word.len();
                unit = size;
                continue;
            }
            let number = self.number()?;
            let wide = number.wide()?;
            let fits = number.value < 1 << (unit * 8) && number.value >= -(1 << (unit * 8 - 1));
            if !fits {
                let fail = number.fail(format!("{} does not fit {unit} bytes", number.value));
                return Err(fail.hint("write u16, u32 or u64 in front of larger numbers"));
            }
            // The machine's order, as programs read it.
            match unit {
                1 => data.push(wide as u8),
                2 => data.extend((wide as u16).to_ne_bytes()),
                4 => data.extend((wide as u32).to_ne_bytes()),
                _ => data.extend(wide.to_ne_bytes()),
            }
        }
        if data.is_empty() {
            return Err(self.c.unexpected("the data is missing").hint("write u32 5, or \"text\""));
        }
        if more {
            return self.append(name, at, kind, data);
        }
        self.declare(name, at, value_map(name, kind, data.len() as u32, Some(data)))
    }

    /// Data that goes on from another line.
    fn append(&mut self, name: &str, at: usize, kind: AsmMapKind, data: Vec<u8>) -> Parsed {
        let map =
            self.maps.get(name).and_then(|map| self.out.maps.get_mut(*map)).filter(|map| map.kind == kind);
        let Some(AsmMap { value_size, data: Some(before), .. }) = map else {
            let fail = Fail::new(at, name.len(), format!("there is no `{name}` yet to add to"));
            return Err(fail.hint("begin with `=`"));
        };
        before.extend(data);
        if before.len() > MAX_DATA {
            return Err(Fail::new(at, name.len(), format!("`{name}` is longer than {MAX_DATA} bytes")));
        }
        *value_size = before.len() as u32;
        Ok(())
    }

    /// Digits, with blanks between bytes or not.
    fn hex(&mut self, data: &mut Vec<u8>) -> Parsed {
        loop {
            self.c.blanks();
            let rest = self.c.rest();
            let len = rest.bytes().take_while(|b| in_word(*b)).count();
            let digits = rest.get(..len).unwrap_or("");
            if len == 0 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) || digits.starts_with(['u', 'h']) {
                return Ok(());
            }
            if len % 2 != 0 {
                return Err(Fail::new(self.c.pos, len, "bytes have two hexadecimal digits each"));
            }
            for pair in digits.as_bytes().chunks_exact(2) {
                let digit = |b: u8| char::from(b).to_digit(16).unwrap_or(0) as u8;
                data.push(digit(pair[0]) * 16 + digit(pair[1]));
            }
            self.c.pos += len;
        }
    }

    /// `.bss NAME SIZE`
    fn bss(&mut self) -> Parsed {
        let (at, name) = self.name("a name for the data")?;
        self.c.eat("=");
        let size = self.number()?;
        let bytes: u32 = size.fit("a size", "1 to 67108864 bytes")?;
        if bytes == 0 || bytes as usize > MAX_DATA {
            return Err(size.fail(format!("{bytes} is out of range: a size is 1 to {MAX_DATA} bytes")));
        }
        self.declare(name, at, value_map(name, AsmMapKind::Bss, bytes, None))
    }

    /// `.func NAME`
    fn func(&mut self) -> Parsed {
        let (at, name) = self.name("the name of the function")?;
        self.c.eat(":");
        self.label(name, at)?;
        let insn = self.here();
        if let Some(other) = self.out.funcs.iter().find(|func| func.insn == insn) {
            let fail = Fail::new(at, name.len(), format!("function `{}` begins here as well", other.name));
            return Err(fail.hint("write its instructions first"));
        }
        self.out.funcs.push(AsmFunc { name: name.to_owned(), insn });
        Ok(())
    }

    /// `.raw 0x95 0xb7`: words of the little-endian form as numbers.
    fn raw(&mut self) -> Parsed {
        loop {
            let word = self.number()?.wide()?;
            self.out.program.insns.push(Insn::from_bytes_le(word.to_le_bytes()));
            self.c.eat(",");
            if self.c.at_end() {
                return Ok(());
            }
        }
    }

    /// `.byte 0xb7, 0, …`: words of the little-endian form byte by byte.
    fn bytes(&mut self) -> Parsed {
        let at = self.c.pos;
        let mut bytes = Vec::new();
        loop {
            let number = self.number()?;
            bytes.push(number.fit("a byte", "0 to 255")?);
            self.c.eat(",");
            if self.c.at_end() {
                break;
            }
        }
        let (words, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            let fail =
                Fail::new(at, self.c.pos - at, format!("{} bytes are no whole instructions", bytes.len()));
            return Err(fail.hint("give eight bytes for each word"));
        }
        self.out.program.insns.extend(words.iter().copied().map(Insn::from_bytes_le));
        Ok(())
    }

    /// `.line NUMBER [COLUMN] ["FILE"] ["TEXT"]`
    fn line_directive(&mut self) -> Parsed {
        if self.c.eat_word("none") || self.c.eat_word("auto") {
            self.auto_lines = self.c.text.get(..self.c.pos).is_some_and(|t| t.ends_with("auto"));
            return Ok(());
        }
        const BITS: &str = "0 to 4294967295";
        let line = self.number()?.fit("a line", BITS)?;
        let column = if self.at_number() { self.number()?.fit("a column", BITS)? } else { 0 };
        let first = self.quoted()?;
        self.c.eat(",");
        let (file, text) = match (first, self.quoted()?) {
            (Some(file), Some(text)) => (file, text),
            (Some(text), None) => (self.file.clone(), text),
            (None, _) => (self.file.clone(), String::new()),
        };
        let source = SourceLine { file, line, column, text };
        let insn = self.here();
        if self.auto_lines {
            self.source = Some(source);
        } else {
            self.out.program.lines.push(LineRecord { insn, source });
        }
        Ok(())
    }
}

fn value_map(name: &str, kind: AsmMapKind, size: u32, data: Option<Vec<u8>>) -> AsmMap {
    AsmMap {
        name: name.to_owned(),
        kind,
        map_type: "array".to_owned(),
        key_size: 4,
        value_size: size,
        max_entries: 1,
        data,
        ..AsmMap::default()
    }
}
