//! The names most like a mistyped one.

/// Collects the few names nearest to a wanted one, in bounded memory.
pub(crate) struct Nearest<'w> {
    wanted: &'w str,
    limit: usize,
    best: Vec<(usize, String)>,
}

const KEEP: usize = 3;

impl<'w> Nearest<'w> {
    pub(crate) fn new(wanted: &'w str) -> Self {
        // A third of the letters may differ; more is no likeness.
        Nearest { wanted, limit: (wanted.len() / 3).clamp(1, 4), best: Vec::new() }
    }

    pub(crate) fn offer(&mut self, name: &str) {
        let bare = |s: &str| s.trim_start_matches('_').to_ascii_lowercase();
        let cost = if name.is_empty() || name == self.wanted {
            return;
        } else if bare(name) == bare(self.wanted) {
            0
        } else {
            match distance(self.wanted.as_bytes(), name.as_bytes(), self.limit) {
                Some(d) => d,
                None => return,
            }
        };
        if self.best.iter().any(|(_, n)| n == name) {
            return;
        }
        let at = self.best.partition_point(|(c, n)| (*c, n.as_str()) < (cost, name));
        if at < KEEP {
            self.best.insert(at, (cost, name.to_string()));
            self.best.truncate(KEEP);
        }
    }

    pub(crate) fn into_names(self) -> Vec<String> {
        self.best.into_iter().map(|(_, n)| n).collect()
    }
}

/// Levenshtein distance, given up above `limit`.
fn distance(a: &[u8], b: &[u8], limit: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > limit || a.len() > 256 {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        let mut least = row[0];
        for (j, &y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != y)).min(above + 1).min(row[j] + 1);
            diagonal = above;
            least = least.min(row[j + 1]);
        }
        if least > limit {
            return None;
        }
    }
    Some(row[b.len()]).filter(|d| *d <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_names_come_best_first() {
        let mut near = Nearest::new("mallok");
        for name in ["free", "malloc", "__mallok", "calloc", "malloc", "mallopt", "memcpy"] {
            near.offer(name);
        }
        assert_eq!(near.into_names(), ["__mallok", "malloc", "calloc"]);
    }

    #[test]
    fn distance_gives_up() {
        assert_eq!(distance(b"kitten", b"sitting", 3), Some(3));
        assert_eq!(distance(b"kitten", b"sitting", 2), None);
        assert_eq!(distance(b"", b"ab", 2), Some(2));
    }
}
