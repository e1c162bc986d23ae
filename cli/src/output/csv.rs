//! Comma-separated values as of RFC 4180, except that records end in LF so that line tools work on them.

use super::{CountBlock, StackBlock, Style, folded, percent};
use std::io::{self, Write};

/// The header of funccount's records.
pub fn count_header(out: &mut dyn Write, style: Style) -> io::Result<()> {
    writeln!(out, "time,func,count{}", if style.percent { ",percent" } else { "" })
}

/// One record a function.
pub fn counts(out: &mut dyn Write, block: &CountBlock<'_>, style: Style) -> io::Result<()> {
    for row in block.rows {
        write!(out, "{},", block.moment.utc)?;
        field(out, row.name)?;
        tail(out, row.count, block.total, style)?;
    }
    Ok(())
}

/// The header of stackcount's records.
pub fn stack_header(out: &mut dyn Write, style: Style) -> io::Result<()> {
    writeln!(out, "time,comm,pid,user,kernel,count{}", if style.percent { ",percent" } else { "" })
}

/// One record a stack; the frames of a stack are joined with semicolons, root first.
pub fn stacks(out: &mut dyn Write, block: &StackBlock<'_>, style: Style) -> io::Result<()> {
    let mut text = Vec::new();
    for row in block.rows {
        write!(out, "{},", block.moment.utc)?;
        field(out, &row.comm)?;
        match row.pid {
            Some(pid) => write!(out, ",{pid}")?,
            None => write!(out, ",")?,
        }
        for frames in [&row.user, &row.kernel] {
            text.clear();
            let half = super::StackRow { user: frames.clone(), ..super::StackRow::default() };
            folded::write_stack(&mut text, &half, false)?;
            write!(out, ",")?;
            // The text begins with the empty command's separator.
            field(out, &String::from_utf8_lossy(text.get(1..).unwrap_or_default()))?;
        }
        tail(out, row.count, block.total, style)?;
    }
    Ok(())
}

fn tail(out: &mut dyn Write, count: u64, total: u64, style: Style) -> io::Result<()> {
    write!(out, ",{count}")?;
    if style.percent {
        write!(out, ",{:.4}", percent(count, total))?;
    }
    writeln!(out)
}

/// A field, quoted where a comma, a quote or a line break would otherwise be read as structure.
fn field(out: &mut dyn Write, text: &str) -> io::Result<()> {
    if text.contains([',', '"', '\n', '\r']) {
        write!(out, "\"{}\"", text.replace('"', "\"\""))
    } else {
        write!(out, "{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::testdata::*;
    use super::*;
    use expect_test::expect;

    #[test]
    fn names_are_quoted() {
        let (moment, mut out) = (moment(), Vec::new());
        let block =
            CountBlock { moment: &moment, functions: 5, rows: ROWS, total: 123_456_823, missed: MISSED };
        let style = Style { percent: true, ..Style::default() };
        count_header(&mut out, style).unwrap();
        counts(&mut out, &block, style).unwrap();
        expect![[r#"
            time,func,count,percent
            2026-11-21T11:34:56.789Z,vfs_open,1,0.0000
            2026-11-21T11:34:56.789Z,"odd,""name""",33,0.0000
            2026-11-21T11:34:56.789Z,a_function_name_longer_than_the_column_is,123456789,100.0000
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn stacks_are_joined() {
        let (moment, mut rows, mut out) = (moment(), stack_rows(), Vec::new());
        rows[0].pid = None;
        rows[0].user.clear();
        let block = StackBlock { moment: &moment, functions: 1, rows: &rows, total: 4, missed: MISSED };
        stack_header(&mut out, Style::default()).unwrap();
        stacks(&mut out, &block, Style::default()).unwrap();
        expect![[r#"
            time,comm,pid,user,kernel,count
            2026-11-21T11:34:56.789Z,lto-wrapper,,,kernel_clone,1
            2026-11-21T11:34:56.789Z,a;b,7,main;read,ksys_read;vfs_read,3
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }
}
