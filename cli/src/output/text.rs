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
    use super::super::{CountRow, Moment, StackRow};
    use super::*;
    use expect_test::{Expect, expect};

    fn check_counts(style: Style, expected: Expect) {
        let (moment, mut out) = (moment(), Vec::new());
        let block =
            CountBlock { moment: &moment, functions: 5, rows: ROWS, total: 123_456_823, missed: MISSED };
        counts(&mut out, &block, style).unwrap();
        expected.assert_eq(&String::from_utf8(out).unwrap());
    }

    fn check_stacks(style: Style, expected: Expect) {
        let (moment, rows, mut out) = (moment(), stack_rows(), Vec::new());
        let block = StackBlock { moment: &moment, functions: 1, rows: &rows, total: 4, missed: MISSED };
        stacks(&mut out, &block, style).unwrap();
        // A first line without indentation keeps the indentation of the others.
        expected.assert_eq(&format!("begin{}", String::from_utf8(out).unwrap()));
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
                begin
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
                begin
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

    /// What Debian's `funccount-bpfcc -T -i 1 -d 2 -p PID 'c:*stat*'` printed (0.26), its `b'...'` made plain.
    const BCC_FUNCCOUNT: &str = r#"Tracing 57 functions for "c:*stat*"... Hit Ctrl-C to end.

01:58:40
FUNC                                    COUNT
__stat                                     50
__fstatat                                  50

01:58:41
FUNC                                    COUNT
__stat                                     49
__fstatat                                  49
Detaching...
"#;

    /// What `stackcount-bpfcc -sv -d -D 1 -P -T 'c:getppid'` printed, its `b'...'` made plain.
    const BCC_STACKCOUNT: &str = r#"Tracing 1 functions for "c:getppid"... Hit Ctrl-C to end.

01:58:50
    --
  7fbc2ecf34f0     getppid+0x0
  7fbc2f25b000     [unknown]
    python3 [22722]
    50

Detaching...
"#;

    #[test]
    fn same_bytes_as_bccs_funccount() {
        let style = Style { timestamp: true, ..Style::default() };
        let mut out = Vec::new();
        banner(&mut out, 57, "c:*stat*").unwrap();
        for (local, count) in [("01:58:40", 50), ("01:58:41", 49)] {
            let moment = Moment { local: local.into(), ..Moment::default() };
            let rows = [CountRow { name: "__stat", count }, CountRow { name: "__fstatat", count }];
            let block =
                CountBlock { moment: &moment, functions: 57, rows: &rows, total: 2 * count, missed: &[] };
            counts(&mut out, &block, style).unwrap();
        }
        detaching(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), BCC_FUNCCOUNT);
    }

    #[test]
    fn same_bytes_as_bccs_stackcount() {
        let style = Style {
            timestamp: true,
            offset: true,
            verbose: true,
            delimited: true,
            process_line: true,
            ..Style::default()
        };
        let moment = Moment { local: "01:58:50".into(), ..Moment::default() };
        let rows = [StackRow {
            pid: Some(22722),
            comm: "python3".into(),
            kernel: Vec::new(),
            user: vec![
                Frame { addr: 0x7fbc_2ecf_34f0, name: Some("getppid".into()), offset: 0 },
                Frame { addr: 0x7fbc_2f25_b000, name: None, offset: 0 },
            ],
            count: 50,
        }];
        let block = StackBlock { moment: &moment, functions: 1, rows: &rows, total: 50, missed: &[] };
        let mut out = Vec::new();
        banner(&mut out, 1, "c:getppid").unwrap();
        stacks(&mut out, &block, style).unwrap();
        detaching(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), BCC_STACKCOUNT);
    }
}
