//! The table of figures: ours, theirs, and the ratio.

/// A table that is printed row by row, so that a run that is cut short has shown what it measured.
pub struct Report;

impl Report {
    pub fn new(kernel: &str) -> Self {
        println!("BENCH Linux {kernel}");
        println!("BENCH | what | tracewell | other | theirs / ours |");
        println!("BENCH | --- | ---: | ---: | ---: |");
        Self
    }

    /// A figure of ours beside those of other tools; None is a tool that is not there or could not do it.
    pub fn row(&mut self, what: &str, ours: Option<f64>, theirs: &[(&str, Option<f64>)]) {
        let ours_text = ours.map_or("could not".to_owned(), number);
        if theirs.is_empty() {
            println!("BENCH | {what} | {ours_text} | | |");
        }
        for (name, value) in theirs {
            let value_text = value.map_or("not available".to_owned(), number);
            let ratio = match (ours, value) {
                (Some(a), Some(b)) if a > 0.0 => format!("{:.2}", b / a),
                _ => String::new(),
            };
            println!("BENCH | {what} | {ours_text} | {name} {value_text} | {ratio} |");
        }
    }

    /// A line of prose among the rows.
    pub fn note(&mut self, text: &str) {
        println!("BENCH {text}");
    }
}

fn number(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
