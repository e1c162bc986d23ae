//! The picture of `--live`: one screen, redrawn in place. This module only makes the bytes; taking and
//! giving back the terminal is `term.rs`'s work.

use super::{CountBlock, Moment, StackBlock, Style, percent};
use std::io::{self, Write};

/// Rows and columns of the terminal.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Lines.
    pub rows: usize,
    /// Characters a line.
    pub cols: usize,
}

/// Moves to the top left corner.
const HOME: &str = "\x1b[H";
/// Clears to the end of the line.
const EOL: &str = "\x1b[K";
/// Clears to the end of the screen.
const EOS: &str = "\x1b[J";

/// Writes lines until the screen is full: each is cut to the width, and the last has no line break, which
/// would scroll the screen.
struct Screen<'w> {
    out: &'w mut dyn Write,
    size: Size,
    used: usize,
}

impl<'w> Screen<'w> {
    fn begin(out: &'w mut dyn Write, size: Size) -> io::Result<Self> {
        out.write_all(HOME.as_bytes())?;
        Ok(Screen { out, size, used: 0 })
    }

    fn left(&self) -> usize {
        self.size.rows.saturating_sub(self.used)
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        if self.left() == 0 {
            return Ok(());
        }
        if self.used != 0 {
            self.out.write_all(b"\r\n")?;
        }
        let end = text.char_indices().nth(self.size.cols).map_or(text.len(), |(at, _)| at);
        // Names come from ELF files and other processes' command names; control characters in them must
        // not reach the terminal.
        let shown: String =
            text[..end].chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        self.out.write_all(shown.as_bytes())?;
        self.out.write_all(EOL.as_bytes())?;
        self.used += 1;
        Ok(())
    }

    fn end(self) -> io::Result<()> {
        self.out.write_all(EOS.as_bytes())
    }
}

fn title(moment: &Moment, tool: &str, patterns: &str, functions: usize, total: u64) -> String {
    let secs = moment.elapsed_us / 1_000_000;
    let rate =
        if moment.interval_us == 0 { 0.0 } else { total as f64 * 1_000_000.0 / moment.interval_us as f64 };
    format!(
        "{}  {tool} \"{patterns}\"  {functions} functions  {rate:.0} events/s  {:02}:{:02}:{:02}",
        moment.local,
        secs / 3600,
        secs / 60 % 60,
        secs % 60
    )
}

/// funccount: the largest counts first, because the bottom of a screen is what gets cut.
pub fn counts(out: &mut dyn Write, block: &CountBlock<'_>, patterns: &str, size: Size) -> io::Result<()> {
    let mut screen = Screen::begin(out, size)?;
    screen.line(&title(block.moment, "funccount", patterns, block.functions, block.total))?;
    for m in block.missed.iter().filter(|m| m.count != 0) {
        screen.line(&format!("{} events {}", m.count, m.text))?;
    }
    screen.line("")?;
    screen.line(&format!("{:<36} {:>10} {:>8}", "FUNC", "COUNT", "PERCENT"))?;
    for row in block.rows.iter().rev().take(screen.left()) {
        let share = percent(row.count, block.total);
        screen.line(&format!("{:<36} {:>10} {share:>7.2}%", row.name, row.count))?;
    }
    screen.end()
}

/// stackcount: the most frequent stacks first, whole as long as they fit.
pub fn stacks(
    out: &mut dyn Write,
    block: &StackBlock<'_>,
    patterns: &str,
    style: Style,
    size: Size,
) -> io::Result<()> {
    let mut screen = Screen::begin(out, size)?;
    screen.line(&title(block.moment, "stackcount", patterns, block.functions, block.total))?;
    for m in block.missed.iter().filter(|m| m.count != 0) {
        screen.line(&format!("{} events {}", m.count, m.text))?;
    }
    for row in block.rows.iter().rev() {
        if screen.left() < 2 {
            break;
        }
        screen.line("")?;
        let share = percent(row.count, block.total);
        match (style.process_line, row.pid) {
            (true, Some(pid)) => {
                screen.line(&format!("{:>10} {share:>7.2}%  {} [{pid}]", row.count, row.comm))?
            }
            _ => screen.line(&format!("{:>10} {share:>7.2}%", row.count))?,
        }
        for frame in row.kernel.iter().chain(&row.user) {
            screen.line(&format!("    {}", frame.name.as_deref().unwrap_or("[unknown]")))?;
        }
    }
    screen.end()
}

#[cfg(test)]
mod tests {
    use super::super::testdata::*;
    use super::*;
    use expect_test::{Expect, expect};

    fn check(out: Vec<u8>, size: Size, expected: Expect) {
        let text = String::from_utf8(out).unwrap();
        assert!(text.matches('\n').count() < size.rows, "the screen must not scroll");
        expected.assert_eq(&text.replace('\x1b', "ESC").replace('\r', ""));
    }

    #[test]
    fn largest_first_and_cut() {
        let (moment, mut out, size) = (moment(), Vec::new(), Size { rows: 6, cols: 30 });
        let block =
            CountBlock { moment: &moment, functions: 5, rows: ROWS, total: 123_456_823, missed: MISSED };
        counts(&mut out, &block, "vfs_*", size).unwrap();
        check(
            out,
            size,
            expect![[r#"
            ESC[H12:34:56  funccount "vfs_*"  5ESC[K
            3 events were missedESC[K
            ESC[K
            FUNC                          ESC[K
            a_function_name_longer_than_thESC[K
            odd,"name"                    ESC[KESC[J"#]],
        );
    }

    #[test]
    fn stacks_fill_the_screen() {
        let (moment, rows, mut out) = (moment(), stack_rows(), Vec::new());
        let size = Size { rows: 9, cols: 80 };
        let block = StackBlock { moment: &moment, functions: 1, rows: &rows, total: 4, missed: &[] };
        let style = Style { process_line: true, ..Style::default() };
        stacks(&mut out, &block, "vfs_read", style, size).unwrap();
        check(
            out,
            size,
            expect![[r#"
            ESC[H12:34:56  stackcount "vfs_read"  1 functions  4 events/s  00:00:02ESC[K
            ESC[K
                     3   75.00%  a;b [7]ESC[K
                vfs_readESC[K
                ksys_readESC[K
                readESC[K
                mainESC[K
            ESC[K
                     1   25.00%  lto-wrapper [31009]ESC[KESC[J"#]],
        );
    }

    #[test]
    fn control_characters_stay_out_of_the_terminal() {
        let (moment, mut out, size) = (moment(), Vec::new(), Size { rows: 5, cols: 80 });
        let rows = [super::super::CountRow { name: "bad\x1b[2Jname", count: 1 }];
        let block = CountBlock { moment: &moment, functions: 1, rows: &rows, total: 1, missed: &[] };
        counts(&mut out, &block, "*", size).unwrap();
        assert!(!String::from_utf8(out).unwrap().contains("\x1b[2J"));
    }
}
