//! What `tracewell prog dump xlated PROG visual` prints: the control flow graph, in the language of dot(1).

use super::xlated::{Row, Xlated};
use asm::{CallTarget, Insn, Instruction, decode_translated};
use std::collections::BTreeSet;
use std::io::{self, Write};

/// How an instruction passes on control.
enum Flow {
    /// To the next one only.
    Next,
    /// Nowhere: the function ends.
    End,
    /// To this one only.
    Jump(usize),
    /// To this one or the next.
    Branch(usize),
}

fn target(at: usize, off: i64) -> Option<usize> {
    usize::try_from(i64::try_from(at).ok()?.checked_add(1)?.checked_add(off)?).ok()
}

fn flow(at: usize, words: &[Insn]) -> Flow {
    let Ok((instruction, _)) = decode_translated(words) else { return Flow::Next };
    match instruction {
        Instruction::Exit => Flow::End,
        Instruction::Jump { off } => target(at, off.into()).map_or(Flow::End, Flow::Jump),
        Instruction::JumpLong { off } => target(at, off.into()).map_or(Flow::End, Flow::Jump),
        Instruction::JumpIf { off, .. } => target(at, off.into()).map_or(Flow::Next, Flow::Branch),
        Instruction::MayGoto { off } => target(at, off.into()).map_or(Flow::Next, Flow::Branch),
        // Where to is in a table that is not part of the program.
        Instruction::JumpReg { .. } => Flow::End,
        _ => Flow::Next,
    }
}

/// Text inside of a record's label, where these characters have a meaning.
fn label(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '{' | '}' | '<' | '>' | '|' | '"' | '\\' | ' ') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Prints the graph: a cluster a function, a node a block.
pub fn dot(out: &mut dyn Write, program: &Xlated<'_>) -> io::Result<()> {
    let rows: Vec<Row<'_>> = program.rows().collect();
    // Functions begin where BTF says so and where calls go to.
    let mut entries: BTreeSet<usize> = program.functions.iter().map(|(at, _)| *at).collect();
    let mut leaders = BTreeSet::new();
    entries.insert(0);
    for row in &rows {
        let next = row.at + row.words.len();
        match flow(row.at, row.words) {
            Flow::Next => {}
            Flow::End => leaders.extend([next]),
            Flow::Jump(to) | Flow::Branch(to) => leaders.extend([to, next]),
        }
        if let Ok((Instruction::Call(CallTarget::Local(off)), _)) = decode_translated(row.words) {
            entries.extend(target(row.at, off.into()));
        }
    }
    leaders.extend(&entries);
    writeln!(out, "digraph \"DOT graph for eBPF program\" {{")?;
    let bounds: Vec<usize> = entries.iter().copied().filter(|at| *at < program.insns.len()).collect();
    for (n, start) in bounds.iter().enumerate() {
        let end = bounds.get(n + 1).copied().unwrap_or(program.insns.len());
        let inside: Vec<&Row<'_>> = rows.iter().filter(|row| (*start..end).contains(&row.at)).collect();
        function(out, n, &inside, &leaders)?;
    }
    writeln!(out, "}}")
}

fn function(out: &mut dyn Write, n: usize, rows: &[&Row<'_>], leaders: &BTreeSet<usize>) -> io::Result<()> {
    let Some(first) = rows.first() else { return Ok(()) };
    writeln!(out, "subgraph \"cluster_{n}\" {{")?;
    writeln!(out, "\tstyle=\"dashed\";\n\tcolor=\"black\";\n\tlabel=\"func_{n} ()\";")?;
    for (name, text) in [("entry", "ENTRY"), ("exit", "EXIT")] {
        writeln!(out, "\tfn_{n}_{name} [shape=Mdiamond,style=filled,label=\"{text}\"];")?;
    }
    let mut edges = vec![format!("fn_{n}_entry:s -> fn_{n}_bb_{}:n", first.at)];
    let mut block = first.at;
    let mut lines: Vec<String> = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        if let Some(function) = row.function {
            lines.push(format!("; {function}:"));
        }
        if let Some(line) = row.line {
            lines.push(super::xlated::line_text(line, false));
        }
        lines.push(format!("{}: {}", row.at, row.text));
        let next = rows.get(i + 1).map(|row| row.at);
        let ends = next.is_none_or(|next| leaders.contains(&next));
        if !ends {
            continue;
        }
        let text: Vec<String> = lines.drain(..).map(|line| label(&line) + "\\l").collect();
        writeln!(out, "\tfn_{n}_bb_{block} [shape=record,style=filled,label=\"{{{}}}\"];", text.join("|"))?;
        let falls = |edges: &mut Vec<String>| match next {
            Some(next) => edges.push(format!("fn_{n}_bb_{block}:s -> fn_{n}_bb_{next}:n")),
            None => edges.push(format!("fn_{n}_bb_{block}:s -> fn_{n}_exit:n")),
        };
        match flow(row.at, row.words) {
            Flow::Next => falls(&mut edges),
            Flow::End => edges.push(format!("fn_{n}_bb_{block}:s -> fn_{n}_exit:n")),
            Flow::Jump(to) => edges.push(format!("fn_{n}_bb_{block}:s -> fn_{n}_bb_{to}:n")),
            Flow::Branch(to) => {
                falls(&mut edges);
                edges.push(format!("fn_{n}_bb_{block}:s -> fn_{n}_bb_{to}:n"));
            }
        }
        block = next.unwrap_or(block);
    }
    for edge in edges {
        writeln!(out, "\t{edge} [style=\"solid,bold\",color=black];")?;
    }
    writeln!(out, "}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use asm::NoNames;
    use expect_test::expect;

    #[test]
    fn blocks_and_edges() {
        let insns = super::super::xlated::tests::insns();
        let functions = [(5, "int second(void)".to_string())];
        let program = Xlated { insns: &insns, names: &NoNames, functions: &functions, lines: &[] };
        let mut out = Vec::new();
        dot(&mut out, &program).unwrap();
        expect![[r#"
            digraph "DOT graph for eBPF program" {
            subgraph "cluster_0" {
            	style="dashed";
            	color="black";
            	label="func_0 ()";
            	fn_0_entry [shape=Mdiamond,style=filled,label="ENTRY"];
            	fn_0_exit [shape=Mdiamond,style=filled,label="EXIT"];
            	fn_0_bb_0 [shape=record,style=filled,label="{0:\ (18)\ r1\ =\ 0x200000001\l|2:\ (15)\ if\ r1\ ==\ 0x0\ goto\ pc+1\l}"];
            	fn_0_bb_3 [shape=record,style=filled,label="{3:\ (85)\ call\ bpf_ktime_get_ns#5\l}"];
            	fn_0_bb_4 [shape=record,style=filled,label="{4:\ (95)\ exit\l}"];
            	fn_0_entry:s -> fn_0_bb_0:n [style="solid,bold",color=black];
            	fn_0_bb_0:s -> fn_0_bb_3:n [style="solid,bold",color=black];
            	fn_0_bb_0:s -> fn_0_bb_4:n [style="solid,bold",color=black];
            	fn_0_bb_3:s -> fn_0_bb_4:n [style="solid,bold",color=black];
            	fn_0_bb_4:s -> fn_0_exit:n [style="solid,bold",color=black];
            }
            subgraph "cluster_1" {
            	style="dashed";
            	color="black";
            	label="func_1 ()";
            	fn_1_entry [shape=Mdiamond,style=filled,label="ENTRY"];
            	fn_1_exit [shape=Mdiamond,style=filled,label="EXIT"];
            	fn_1_bb_5 [shape=record,style=filled,label="{;\ int\ second(void):\l|5:\ (b7)\ r0\ =\ 0\l|6:\ (95)\ exit\l}"];
            	fn_1_entry:s -> fn_1_bb_5:n [style="solid,bold",color=black];
            	fn_1_bb_5:s -> fn_1_exit:n [style="solid,bold",color=black];
            }
            }
        "#]].assert_eq(&String::from_utf8(out).unwrap());
    }
}
