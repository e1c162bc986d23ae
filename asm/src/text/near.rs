//! Names that look like a wrong one.

/// How many single letters are to be changed, added, left out or exchanged with their neighbour; more than `most` is
/// `None`.
fn distance(a: &[u8], b: &[u8], most: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > most {
        return None;
    }
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i - 1] == *y && b[j - 1] == *x {
                best = best.min(before[j - 1] + 1);
            }
            row[j + 1] = best;
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().filter(|found| *found <= most)
}

/// The name nearest to `wrong`, when one is near enough to be meant.
pub(super) fn nearest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    if wrong.len() > 64 {
        return None;
    }
    let most = match wrong.len() {
        0..=2 => 0,
        3..=5 => 1,
        6..=10 => 2,
        _ => 3,
    };
    let near = |name: &'n str| Some((distance(wrong.as_bytes(), name.as_bytes(), most)?, name));
    names.into_iter().filter_map(near).filter(|(d, _)| *d > 0).min_by_key(|(d, _)| *d).map(|(_, name)| name)
}

/// `did you mean ...?`
pub(super) fn did_you_mean<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
    nearest(wrong, names).map(|name| format!("did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names() {
        assert_eq!(nearest("exti", ["exit", "call"]), Some("exit"));
        assert_eq!(nearest("ldxwd", ["ldxw", "ldxdw"]), Some("ldxw"));
        assert_eq!(nearest("bpf_map_lokup_elem", ["bpf_map_lookup_elem"]), Some("bpf_map_lookup_elem"));
        assert_eq!(nearest("xy", ["xx"]), None);
        assert_eq!(nearest("nothing", ["exit"]), None);
    }
}
