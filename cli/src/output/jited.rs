//! What `tracewell prog dump jited` prints: machine code as bytes, cut where functions and source lines begin. It is
//! not disassembled.

use super::jsonw::Json;
use super::xlated::{Line, Show, line_json, line_text};
use std::io::{self, Write};

/// The machine code of one function.
#[derive(Clone, Debug, Default)]
pub struct Function<'a> {
    /// Its symbol; empty where the kernel does not tell.
    pub symbol: String,
    /// Its prototype; empty without BTF.
    pub proto: String,
    /// Its address; 0 where the kernel hides it.
    pub addr: u64,
    /// The bytes.
    pub code: &'a [u8],
    /// Source lines, by the byte where they begin, rising.
    pub lines: Vec<Line>,
}

impl Function<'_> {
    /// The code in pieces: where each begins, its source line if one begins there, its bytes.
    fn pieces(&self) -> impl Iterator<Item = (usize, Option<&Line>, &[u8])> {
        let mut cuts: Vec<(usize, Option<&Line>)> = Vec::new();
        if self.lines.first().is_none_or(|line| line.at != 0) {
            cuts.push((0, None));
        }
        let within = self.lines.iter().filter(|line| line.at < self.code.len() as u64);
        cuts.extend(within.map(|line| (line.at as usize, Some(line))));
        let ends: Vec<usize> = cuts.iter().skip(1).map(|cut| cut.0).chain([self.code.len()]).collect();
        cuts.into_iter()
            .zip(ends)
            .map(|((at, line), end)| (at, line, self.code.get(at..end).unwrap_or_default()))
    }
}

/// As text.
pub fn text(out: &mut dyn Write, functions: &[Function<'_>], show: Show) -> io::Result<()> {
    const PER_LINE: usize = 16;
    for (i, function) in functions.iter().enumerate() {
        if i != 0 {
            writeln!(out)?;
        }
        if !function.proto.is_empty() {
            writeln!(out, "{}:", function.proto)?;
        }
        match (function.symbol.as_str(), function.addr) {
            ("", 0) => {}
            ("", addr) => writeln!(out, "{addr:#x}:")?,
            (symbol, 0) => writeln!(out, "{symbol}:")?,
            (symbol, addr) => writeln!(out, "{symbol}: # {addr:#x}")?,
        }
        for (at, line, bytes) in function.pieces() {
            if let Some(line) = line {
                writeln!(out, "{}", line_text(line, show.linum))?;
            }
            for (n, row) in bytes.chunks(PER_LINE).enumerate() {
                let hex: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
                writeln!(out, "{:4x}:\t{}", at + n * PER_LINE, hex.join(" "))?;
            }
        }
    }
    Ok(())
}

/// As an array of functions.
pub fn json(j: &mut Json<'_>, functions: &[Function<'_>], show: Show) -> io::Result<()> {
    j.begin_array()?;
    for function in functions {
        j.begin_object()?;
        if !function.proto.is_empty() {
            j.field_str("proto", &function.proto)?;
        }
        if !function.symbol.is_empty() {
            j.field_str("name", &function.symbol)?;
        }
        if function.addr != 0 {
            j.field_str("addr", &format!("{:#x}", function.addr))?;
        }
        j.key("insns")?;
        j.begin_array()?;
        for (at, line, bytes) in function.pieces() {
            j.begin_object()?;
            if let Some(line) = line {
                line_json(j, line, show.linum)?;
            }
            j.field_str("pc", &format!("{at:#x}"))?;
            j.key("opcodes")?;
            j.hex_bytes(bytes)?;
            j.end_object()?;
        }
        j.end_array()?;
        j.end_object()?;
    }
    j.end_array()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn code_is_cut_at_lines() {
        let code: Vec<u8> = (0..40).collect();
        let line = |at, text: &str| Line { at, text: text.into(), file: "a.c".into(), line: 1, col: 0 };
        let functions = [
            Function {
                symbol: "bpf_prog_1_f".into(),
                proto: "int f(void)".into(),
                addr: 0xffff_ffff_c000_0000,
                code: &code,
                lines: vec![line(4, "a = 1;"), line(30, "return a;"), line(400, "never")],
            },
            Function { code: &code[..3], ..Function::default() },
        ];
        let mut out = Vec::new();
        text(&mut out, &functions, Show { linum: true, opcodes: false }).unwrap();
        json(&mut Json::new(&mut out, false), &functions[1..], Show::default()).unwrap();
        expect![[r#"
            int f(void):
            bpf_prog_1_f: # 0xffffffffc0000000
               0:	00 01 02 03
            ; a = 1; [file:a.c line_num:1 line_col:0]
               4:	04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13
              14:	14 15 16 17 18 19 1a 1b 1c 1d
            ; return a; [file:a.c line_num:1 line_col:0]
              1e:	1e 1f 20 21 22 23 24 25 26 27

               0:	00 01 02
            [{"insns":[{"pc":"0x0","opcodes":["0x00","0x01","0x02"]}]}]"#]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }
}
