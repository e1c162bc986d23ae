//! Nearest names: what the user may have meant.

/// How many names are suggested.
pub const COUNT: usize = 5;

/// Collects the names that are nearest to a wanted one, from any number of candidates, without keeping the rest.
#[derive(Debug)]
pub struct Suggest {
    wanted: Vec<u8>,
    /// Sorted by distance, at most [`COUNT`].
    best: Vec<(u32, String)>,
    /// The two rows of the edit distance, reused.
    rows: (Vec<u32>, Vec<u32>),
}

impl Suggest {
    /// Names near `wanted`; wildcards in it count as nothing.
    pub fn new(wanted: &str) -> Suggest {
        let wanted =
            wanted.bytes().filter(|b| !b"*?[]^$".contains(b)).map(|b| b.to_ascii_lowercase()).collect();
        Suggest { wanted, best: Vec::new(), rows: (Vec::new(), Vec::new()) }
    }

    /// Considers one candidate. `shown` is what is suggested, `name` what is compared.
    pub fn offer(&mut self, name: &[u8], shown: impl FnOnce() -> String) {
        let worst = match self.best.get(COUNT - 1) {
            Some((distance, _)) => *distance,
            None => u32::MAX,
        };
        let Some(distance) = self.distance(name, worst) else { return };
        let shown = shown();
        if self.best.iter().any(|(_, s)| *s == shown) {
            return;
        }
        let at = self.best.partition_point(|(d, s)| (*d, s.len(), s) < (distance, shown.len(), &shown));
        self.best.insert(at, (distance, shown));
        self.best.truncate(COUNT);
    }

    /// The nearest names, best first.
    pub fn into_names(self) -> Vec<String> {
        self.best.into_iter().map(|(_, name)| name).collect()
    }

    /// Smaller is nearer; `None` for names that are too far or not nearer than `worst`.
    fn distance(&mut self, name: &[u8], worst: u32) -> Option<u32> {
        let want = &self.wanted;
        if want.is_empty() || name.is_empty() || name.len() > 256 || want.len() > 256 {
            return None;
        }
        // A name that holds the wanted one is near, the nearer the less it adds; at word borders more so.
        if want.len() >= 3
            && let Some(at) = name.windows(want.len()).position(|w| w.eq_ignore_ascii_case(want))
        {
            let rest = (name.len() - want.len()) as u32;
            let inside = u32::from(at > 0 && name[at - 1] != b'_');
            let score = 8 + rest + 8 * inside;
            return (score < worst).then_some(score);
        }
        // A third of the letters may be wrong, each as bad as several letters that a longer name adds.
        let allowed = (want.len() as u32 / 3).clamp(1, 6);
        let limit = allowed.min(worst.saturating_sub(1) / 8);
        if (name.len().abs_diff(want.len()) as u32) > limit {
            return None;
        }
        let edits = edit_distance(want, name, limit, &mut self.rows)?;
        let score = edits * 8;
        (score < worst).then_some(score)
    }
}

/// Insertions, deletions, substitutions of one byte, if they are at most `limit`. Case does not count.
fn edit_distance(a: &[u8], b: &[u8], limit: u32, rows: &mut (Vec<u32>, Vec<u32>)) -> Option<u32> {
    let (above, row) = (&mut rows.0, &mut rows.1);
    above.clear();
    above.extend(0..=b.len() as u32);
    for (i, &x) in a.iter().enumerate() {
        row.clear();
        row.push(i as u32 + 1);
        let mut least = u32::MAX;
        for (j, &y) in b.iter().enumerate() {
            let same = u32::from(!x.eq_ignore_ascii_case(&y));
            let value = (above[j] + same).min(above[j + 1] + 1).min(row[j] + 1);
            least = least.min(value);
            row.push(value);
        }
        if least > limit && row[0] > limit {
            return None;
        }
        std::mem::swap(above, row);
    }
    above.last().copied().filter(|&d| d <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] = &[
        "vfs_read",
        "vfs_readv",
        "vfs_write",
        "vfs_fsync",
        "ksys_read",
        "kernel_read",
        "do_sys_open",
        "do_sys_openat2",
        "tcp_sendmsg",
        "tcp_sendmsg_locked",
        "udp_sendmsg",
        "ext4_file_open",
        "__x64_sys_read",
    ];

    fn near(wanted: &str) -> String {
        let mut suggest = Suggest::new(wanted);
        for name in NAMES {
            suggest.offer(name.as_bytes(), || (*name).to_owned());
        }
        suggest.into_names().join(" ")
    }

    #[test]
    fn nearest_first() {
        assert_eq!(near("vfs_raed"), "vfs_read");
        assert_eq!(near("vfs_reed"), "vfs_read vfs_readv");
        assert_eq!(near("sys_open"), "do_sys_open do_sys_openat2");
        assert_eq!(near("tcp_sendmesg"), "tcp_sendmsg udp_sendmsg");
        assert_eq!(near("VFS_READ*"), "vfs_read vfs_readv");
        assert_eq!(near("zzzzzz"), "");
        assert_eq!(near("***"), "");
    }

    proptest::proptest! {
        #[test]
        fn any_name_is_fine(wanted in ".{0,40}", name in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)) {
            let mut suggest = Suggest::new(&wanted);
            suggest.offer(&name, String::new);
            let _ = suggest.into_names();
        }

        #[test]
        fn the_distance_is_symmetric_and_zero_for_equals(a in "[a-c_]{0,9}", b in "[a-c_]{0,9}") {
            let mut rows = (Vec::new(), Vec::new());
            let there = edit_distance(a.as_bytes(), b.as_bytes(), 20, &mut rows);
            let back = edit_distance(b.as_bytes(), a.as_bytes(), 20, &mut rows);
            proptest::prop_assert_eq!(there, back);
            proptest::prop_assert_eq!(there == Some(0), a == b);
        }
    }
}
