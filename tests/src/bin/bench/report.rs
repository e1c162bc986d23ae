//! The table of figures: ours, theirs, and the ratio.

/// Rows in the order in which they were measured.
pub struct Report {
    kernel: String,
    rows: Vec<(String, Option<f64>, Vec<(String, Option<f64>)>)>,
    notes: Vec<String>,
}

impl Report {
    pub fn new(kernel: &str) -> Self {
        Self { kernel: kernel.to_owned(), rows: Vec::new(), notes: Vec::new() }
    }

    /// A figure of ours beside those of other tools; None is a tool that is not there or could not do it.
    pub fn row(&mut self, what: &str, ours: Option<f64>, theirs: &[(&str, Option<f64>)]) {
        let theirs = theirs.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
        self.rows.push((what.to_owned(), ours, theirs));
    }

    /// A line that belongs below the table.
    pub fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    pub fn print(&self) {
        println!("BENCH Linux {}", self.kernel);
        println!("BENCH | what | tracewell | other | theirs / ours |");
        println!("BENCH | --- | ---: | ---: | ---: |");
        for (what, ours, theirs) in &self.rows {
            let ours_text = ours.map_or("could not".to_owned(), number);
            if theirs.is_empty() {
                println!("BENCH | {what} | {ours_text} | | |");
            }
            for (name, value) in theirs {
                let value_text = value.map_or("not available".to_owned(), number);
                let ratio = match (ours, value) {
                    (Some(a), Some(b)) if *a > 0.0 => format!("{:.2}", b / a),
                    _ => String::new(),
                };
                println!("BENCH | {what} | {ours_text} | {name} {value_text} | {ratio} |");
            }
        }
        for note in &self.notes {
            println!("BENCH {note}");
        }
    }
}

fn number(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
