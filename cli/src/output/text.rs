//! BCC's text.

use super::{CountBlock, Frame, StackBlock, Style, percent};
use std::io::{self, Write};

/// The line before the first block.
pub fn banner(out: &mut dyn Write, functions: usize, patterns: &str) -> io::Result<()> {
    writeln!(out, "Tracing {functions} functions for \"{patterns}\"... Hit Ctrl-C to end.")
}

/// The line after the last block.
pub fn detaching(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "Detaching...")
}

/// One interval of funccount: a blank line, the time if asked for, the table.
pub fn counts(out: &mut dyn Write, block: &CountBlock<'_>, style: Style) -> io::Result<()> {
    writeln!(out)?;
    if style.timestamp {
        writeln!(out, "{:<8}", block.moment.local)?;
    }
    count_table(out, block, style)
}

/// The header and the rows.
pub fn count_table(out: &mut dyn Write, block: &CountBlock<'_>, style: Style) -> io::Result<()> {
    if style.percent {
        writeln!(out, "{:<36} {:>8} {:>8}", "FUNC", "COUNT", "PERCENT")?;
        for row in block.rows {
            let share = percent(row.count, block.total);
            writeln!(out, "{:<36} {:>8} {share:>7.2}%", row.name, row.count)?;
        }
    } else {
        writeln!(out, "{:<36} {:>8}", "FUNC", "COUNT")?;
        for row in block.rows {
            writeln!(out, "{:<36} {:>8}", row.name, row.count)?;
        }
    }
    Ok(())
}

/// One interval of stackcount: a blank line, the time if asked for, one paragraph a stack.
pub fn stacks(out: &mut dyn Write, block: &StackBlock<'_>, style: Style) -> io::Result<()> {
    writeln!(out)?;
    if style.timestamp {
        writeln!(out, "{:<8}", block.moment.local)?;
    }
    for row in block.rows {
        for frame in &row.kernel {
            write_frame(out, frame, style)?;
        }
        if style.delimited {
            writeln!(out, "    --")?;
        }
        for frame in &row.user {
            write_frame(out, frame, style)?;
        }
        if let (true, Some(pid)) = (style.process_line, row.pid) {
            writeln!(out, "    {} [{pid}]", row.comm)?;
        }
        write!(out, "    {}", row.count)?;
        if style.percent {
            write!(out, " ({:.2}%)", percent(row.count, block.total))?;
        }
        writeln!(out, "\n")?;
    }
    Ok(())
}

fn write_frame(out: &mut dyn Write, frame: &Frame, style: Style) -> io::Result<()> {
    write!(out, "  ")?;
    if style.verbose {
        write!(out, "{:<16x} ", frame.addr)?;
    }
    match &frame.name {
        Some(name) if style.offset => writeln!(out, "{name}+{:#x}", frame.offset),
        Some(name) => writeln!(out, "{name}"),
        None => writeln!(out, "[unknown]"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testdata::*;
    use super::*;
    use expect_test::{Expect, expect};

    fn check_counts(style: Style, expected: Expect) {
        let (moment, mut out) = (moment(), Vec::new());
        let block =
            CountBlock { moment: &moment, functions: 5, rows: ROWS, total: 123_456_823, missed: MISSED };
        counts(&mut out, &block, style).unwrap();
        expected.assert_eq(&String::from_utf8(out).unwrap());
    }

    fn check_stacks(style: Style, mut expected: Expect) {
        // The blanks at the lines' beginnings are part of the format.
        expected.indent(false);
        let (moment, rows, mut out) = (moment(), stack_rows(), Vec::new());
        let block = StackBlock { moment: &moment, functions: 1, rows: &rows, total: 4, missed: MISSED };
        stacks(&mut out, &block, style).unwrap();
        expected.assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn funccount_table_is_bccs() {
        check_counts(
            Style::default(),
            expect![[r#"

            FUNC                                    COUNT
            vfs_open                                    1
            odd,"name"                                 33
            a_function_name_longer_than_the_column_is 123456789
        "#]],
        );
    }

    #[test]
    fn funccount_with_time_and_percent() {
        check_counts(
            Style { timestamp: true, percent: true, ..Style::default() },
            expect![[r#"

            12:34:56
            FUNC                                    COUNT  PERCENT
            vfs_open                                    1    0.00%
            odd,"name"                                 33    0.00%
            a_function_name_longer_than_the_column_is 123456789  100.00%
        "#]],
        );
    }

    #[test]
    fn stackcount_paragraphs_are_bccs() {
        check_stacks(
            Style::default(),
            expect![[r#"

              kernel_clone
              [unknown]
                1

              vfs_read
              ksys_read
              read
              main
                3

        "#]],
        );
    }

    #[test]
    fn stackcount_with_everything() {
        let style = Style {
            timestamp: true,
            percent: true,
            offset: true,
            verbose: true,
            delimited: true,
            process_line: true,
        };
        check_stacks(
            style,
            expect![[r#"

            12:34:56
              ffffffff81000266 kernel_clone+0x266
                --
              7f9d38b9ef89     [unknown]
                lto-wrapper [31009]
                1 (25.00%)

              ffffffff81000010 vfs_read+0x0
              ffffffff81000020 ksys_read+0x5f
                --
              401000           read+0xd
              402000           main+0x20
                a;b [7]
                3 (75.00%)

        "#]],
        );
    }

    #[test]
    fn banner_and_end() {
        let mut out = Vec::new();
        banner(&mut out, 4, "t:sched:sched_wak*").unwrap();
        detaching(&mut out).unwrap();
        expect![[r#"
            Tracing 4 functions for "t:sched:sched_wak*"... Hit Ctrl-C to end.
            Detaching...
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }
}
