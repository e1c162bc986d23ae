//! Folded stacks: `frame;frame COUNT`, root first, one line each.

use super::{CountBlock, Frame, StackBlock, StackRow, Style};
use std::io::{self, Write};

/// funccount's rows as stacks of one frame.
pub fn counts(out: &mut dyn Write, block: &CountBlock<'_>, style: Style) -> io::Result<()> {
    if style.timestamp {
        writeln!(out, "{:<8}", block.moment.local)?;
    }
    for row in block.rows {
        writeln!(out, "{} {}", row.name, row.count)?;
    }
    Ok(())
}

/// stackcount's `-f`: `comm;user;-;kernel N`, `-` only with `-d`, `comm` empty where processes are merged.
pub fn stacks(out: &mut dyn Write, block: &StackBlock<'_>, style: Style) -> io::Result<()> {
    if style.timestamp {
        writeln!(out, "{:<8}", block.moment.local)?;
    }
    for row in block.rows {
        write_stack(out, row, style.delimited)?;
        writeln!(out, " {}", row.count)?;
    }
    Ok(())
}

/// The stack of one row without its count.
pub fn write_stack(out: &mut dyn Write, row: &StackRow, delimited: bool) -> io::Result<()> {
    // A semicolon inside a command name would split the frame in two.
    write!(out, "{}", row.comm.replace(';', ":"))?;
    for frame in row.user.iter().rev() {
        write_frame(out, frame)?;
    }
    if delimited {
        write!(out, ";-")?;
    }
    for frame in row.kernel.iter().rev() {
        write_frame(out, frame)?;
    }
    Ok(())
}

fn write_frame(out: &mut dyn Write, frame: &Frame) -> io::Result<()> {
    write!(out, ";{}", frame.name.as_deref().unwrap_or("[unknown]"))
}

#[cfg(test)]
mod tests {
    use super::super::testdata::*;
    use super::*;
    use expect_test::{Expect, expect};

    fn check(style: Style, merged: bool, expected: Expect) {
        let (moment, mut rows, mut out) = (moment(), stack_rows(), Vec::new());
        if merged {
            rows.iter_mut().for_each(|r| r.comm.clear());
        }
        let block = StackBlock { moment: &moment, functions: 1, rows: &rows, total: 4, missed: MISSED };
        stacks(&mut out, &block, style).unwrap();
        expected.assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn root_first_with_the_command() {
        check(
            Style::default(),
            false,
            expect![[r#"
            lto-wrapper;[unknown];kernel_clone 1
            a:b;main;read;ksys_read;vfs_read 3
        "#]],
        );
    }

    #[test]
    fn merged_with_delimiter_and_time() {
        check(
            Style { delimited: true, timestamp: true, ..Style::default() },
            true,
            expect![[r#"
            12:34:56
            ;[unknown];-;kernel_clone 1
            ;main;read;-;ksys_read;vfs_read 3
        "#]],
        );
    }

    #[test]
    fn functions_are_stacks_of_one_frame() {
        let (moment, mut out) = (moment(), Vec::new());
        let block = CountBlock { moment: &moment, functions: 5, rows: ROWS, total: 1, missed: MISSED };
        counts(&mut out, &block, Style::default()).unwrap();
        expect![[r#"
            vfs_open 1
            odd,"name" 33
            a_function_name_longer_than_the_column_is 123456789
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }
}
