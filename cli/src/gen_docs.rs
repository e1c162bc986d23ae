//! Completions and manual pages, generated from the one definition of the command line.

use crate::args;
use anyhow::{Context, Result, bail};
use clap::Command;
use clap_complete::aot::{Shell, generate};
use std::io::Write;
use std::path::Path;

/// `tracewell completions SHELL`.
pub fn completions(out: &mut dyn Write, shell: &str) -> Result<()> {
    let shell = match shell {
        "bash" => Shell::Bash,
        "elvish" => Shell::Elvish,
        "fish" => Shell::Fish,
        "powershell" => Shell::PowerShell,
        "zsh" => Shell::Zsh,
        other => bail!("no completions for the shell {other}; there are {}", args::SHELLS.join(", ")),
    };
    let mut text = Vec::new();
    generate(shell, &mut args::tracewell(args::For::Documents), "tracewell", &mut text);
    out.write_all(&text)?;
    Ok(())
}

/// `tracewell man [DIR]`.
pub fn man(out: &mut dyn Write, dir: Option<&Path>) -> Result<()> {
    let Some(dir) = dir else {
        page(args::tracewell(args::For::Documents), out)?;
        return Ok(());
    };
    let mut all = args::tracewell(args::For::Documents);
    all.build();
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let subcommands: Vec<Command> =
        all.get_subcommands().filter(|c| c.get_name() != "help").cloned().collect();
    for command in std::iter::once(all).chain(subcommands) {
        let name = match command.get_name() {
            "tracewell" => "tracewell".to_string(),
            sub => format!("tracewell-{sub}"),
        };
        let path = dir.join(format!("{name}.1"));
        let mut text = Vec::new();
        page(command.display_name(name), &mut text)?;
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn page(command: Command, out: &mut dyn Write) -> std::io::Result<()> {
    clap_mangen::Man::new(command).render(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_has_completions_that_know_the_tools() {
        for shell in args::SHELLS {
            let mut text = Vec::new();
            completions(&mut text, shell).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("funccount") && text.contains("stackcount"), "{shell}");
            assert!(!text.contains("attach-mode"), "{shell} shows a hidden option");
        }
    }

    #[test]
    fn manual_pages_are_roff() {
        let mut text = Vec::new();
        man(&mut text, None).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains(".TH tracewell 1"), "{text}");
        assert!(text.contains("stackcount"));
    }
}
