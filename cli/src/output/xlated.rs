//! What `tracewell prog dump xlated` prints: the instructions as the verifier left them, with the prototypes of
//! functions and the C lines that they come from in between. Layout and JSON are bpftool's.

use super::jsonw::Json;
use asm::{DisasmOptions, Insn, Names, disassemble_with};
use std::io::{self, Write};

/// The source of an instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The instruction word, or the byte of machine code, where it begins.
    pub at: u64,
    /// The line's text.
    pub text: String,
    /// The file.
    pub file: String,
    /// The line's number.
    pub line: u32,
    /// The column.
    pub col: u32,
}

/// What to print beside the instructions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Show {
    /// The raw words.
    pub opcodes: bool,
    /// File, line and column of source lines.
    pub linum: bool,
}

/// A program's instructions and what is known about them.
pub struct Xlated<'a> {
    /// The instructions.
    pub insns: &'a [Insn],
    /// Names for what they refer to.
    pub names: &'a dyn Names,
    /// Prototypes by the instruction at which the function begins, rising.
    pub functions: &'a [(usize, String)],
    /// Source lines, rising.
    pub lines: &'a [Line],
}

/// What stands at one instruction.
pub struct Row<'a> {
    /// Index of its first word.
    pub at: usize,
    /// Its words: one or two.
    pub words: &'a [Insn],
    /// Its text, with the opcode in front.
    pub text: String,
    /// The prototype of the function that begins here.
    pub function: Option<&'a str>,
    /// The source line that begins here.
    pub line: Option<&'a Line>,
}

impl<'a> Xlated<'a> {
    /// Goes through the instructions.
    pub fn rows(&self) -> impl Iterator<Item = Row<'a>> + use<'a> {
        let options =
            DisasmOptions { names: self.names, opcodes: true, translated: true, ..DisasmOptions::default() };
        let mut starts: Vec<usize> =
            disassemble_with(self.insns, options).map(|(at, _)| at).skip(1).collect();
        starts.push(self.insns.len());
        let (mut functions, mut lines) = (self.functions.iter().peekable(), self.lines.iter().peekable());
        let insns = self.insns;
        disassemble_with(insns, options).zip(starts).map(move |((at, text), end)| {
            let mut function = None;
            while let Some((_, name)) = functions.next_if(|(start, _)| *start <= at) {
                function = Some(name.as_str());
            }
            let mut line = None;
            while let Some(next) = lines.next_if(|line| line.at <= at as u64) {
                line = Some(next);
            }
            Row { at, words: insns.get(at..end).unwrap_or_default(), text, function, line }
        })
    }
}

/// A source line as a comment: `; text [file:f line_num:1 line_col:2]`.
pub fn line_text(line: &Line, linum: bool) -> String {
    let mut text = format!("; {}", line.text.trim_start());
    if linum {
        text += &format!(" [file:{} line_num:{} line_col:{}]", line.file, line.line, line.col);
    }
    text
}

/// A source line as members of an object.
pub fn line_json(j: &mut Json<'_>, line: &Line, linum: bool) -> io::Result<()> {
    j.field_str("src", line.text.trim_start())?;
    if linum {
        j.field_str("file", &line.file)?;
        if line.line != 0 {
            j.field("line_num", line.line)?;
        }
        if line.col != 0 {
            j.field("line_col", line.col)?;
        }
    }
    Ok(())
}

/// As text.
pub fn text(out: &mut dyn Write, program: &Xlated<'_>, show: Show) -> io::Result<()> {
    for row in program.rows() {
        if let Some(function) = row.function {
            writeln!(out, "{function}:")?;
        }
        if let Some(line) = row.line {
            writeln!(out, "{}", line_text(line, show.linum))?;
        }
        writeln!(out, "{:4}: {}", row.at, row.text)?;
        if show.opcodes {
            let bytes: Vec<String> =
                row.words.iter().flat_map(|w| w.to_u64().to_ne_bytes()).map(|b| format!("{b:02x}")).collect();
            writeln!(out, "       {}", bytes.join(" "))?;
        }
    }
    Ok(())
}

/// As an array of objects.
pub fn json(j: &mut Json<'_>, program: &Xlated<'_>, show: Show) -> io::Result<()> {
    j.begin_array()?;
    for row in program.rows() {
        j.begin_object()?;
        if let Some(function) = row.function {
            j.field_str("proto", function)?;
        }
        if let Some(line) = row.line {
            line_json(j, line, show.linum)?;
        }
        j.field_str("disasm", &row.text)?;
        if let (true, Some(first)) = (show.opcodes, row.words.first()) {
            j.key("opcodes")?;
            j.begin_object()?;
            j.field_str("code", &format!("0x{:02x}", first.opcode))?;
            j.field_str("src_reg", &format!("0x{:x}", first.src().number()))?;
            j.field_str("dst_reg", &format!("0x{:x}", first.dst().number()))?;
            j.key("off")?;
            j.hex_bytes(&first.off.to_ne_bytes())?;
            j.key("imm")?;
            let mut imm = first.imm.to_ne_bytes().to_vec();
            imm.extend(row.words.get(1).into_iter().flat_map(|w| w.to_u64().to_ne_bytes()));
            j.hex_bytes(&imm)?;
            j.end_object()?;
        }
        j.end_object()?;
    }
    j.end_array()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use asm::{Builder, Helper, NoNames, R0, R1};
    use expect_test::expect;

    /// A program of two functions, six words.
    pub fn insns() -> Vec<Insn> {
        let mut b = Builder::new();
        let out = b.label();
        b.ld_imm64(R1, 0x2_0000_0001).jeq_imm(R1, 0, out).call(Helper::KTIME_GET_NS).bind(out).exit();
        b.mov_imm(R0, 0).exit();
        b.finish().expect("a program").insns
    }

    #[test]
    fn lines_and_prototypes_stand_where_they_begin() {
        let insns = insns();
        let functions = [(0, "int first(void * ctx)".to_string()), (5, "int second(void)".to_string())];
        let line = |at, text: &str, line| Line { at, text: text.into(), file: "a.c".into(), line, col: 3 };
        let lines = [line(0, "\tx = 1;", 7), line(3, "return \"a\";", 9), line(5, "return 0;", 12)];
        let program = Xlated { insns: &insns, names: &NoNames, functions: &functions, lines: &lines };
        let mut out = Vec::new();
        text(&mut out, &program, Show::default()).unwrap();
        writeln!(out, "--").unwrap();
        text(&mut out, &program, Show { opcodes: true, linum: true }).unwrap();
        expect![[r#"
            int first(void * ctx):
            ; x = 1;
               0: (18) r1 = 0x200000001
               2: (15) if r1 == 0x0 goto pc+1
            ; return "a";
               3: (85) call bpf_ktime_get_ns#5
               4: (95) exit
            int second(void):
            ; return 0;
               5: (b7) r0 = 0
               6: (95) exit
            --
            int first(void * ctx):
            ; x = 1; [file:a.c line_num:7 line_col:3]
               0: (18) r1 = 0x200000001
                   18 01 00 00 01 00 00 00 00 00 00 00 02 00 00 00
               2: (15) if r1 == 0x0 goto pc+1
                   15 01 01 00 00 00 00 00
            ; return "a"; [file:a.c line_num:9 line_col:3]
               3: (85) call bpf_ktime_get_ns#5
                   85 00 00 00 05 00 00 00
               4: (95) exit
                   95 00 00 00 00 00 00 00
            int second(void):
            ; return 0; [file:a.c line_num:12 line_col:3]
               5: (b7) r0 = 0
                   b7 00 00 00 00 00 00 00
               6: (95) exit
                   95 00 00 00 00 00 00 00
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap());
        let mut out = Vec::new();
        json(&mut Json::new(&mut out, false), &program, Show { opcodes: true, linum: true }).unwrap();
        let parsed: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let first = &parsed[0];
        assert_eq!(first["proto"], "int first(void * ctx)");
        assert_eq!((&first["src"], &first["line_num"]), (&"x = 1;".into(), &7.into()));
        assert_eq!(first["opcodes"]["imm"].as_array().unwrap().len(), 12);
        assert_eq!(parsed.as_array().unwrap().len(), 6);
    }
}
