//! What `/proc/self/fdinfo` says about an object beyond what bpf(2) tells.

use std::os::fd::{AsFd, AsRawFd};

/// The fields of one descriptor; those that the kernel does not write are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FdInfo {
    /// Bytes that are charged for it.
    pub memlock: Option<u64>,
    /// Whether a map is frozen.
    pub frozen: Option<bool>,
    /// The type of programs that may be in a map of programs.
    pub owner_prog_type: Option<u32>,
    /// Whether those run as machine code.
    pub owner_jited: Option<bool>,
}

/// Reads them; nothing where `/proc` is not there.
pub fn read(fd: impl AsFd) -> FdInfo {
    let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
    parse(&std::fs::read_to_string(path).unwrap_or_default())
}

fn parse(text: &str) -> FdInfo {
    let mut info = FdInfo::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let number = value.trim().parse::<u64>().ok();
        match key {
            "memlock" => info.memlock = number,
            "frozen" => info.frozen = number.map(|n| n != 0),
            "owner_prog_type" => info.owner_prog_type = number.and_then(|n| u32::try_from(n).ok()),
            "owner_jited" => info.owner_jited = number.map(|n| n != 0),
            _ => {}
        }
    }
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let text = "pos:\t0\nmap_type:\t3\nmemlock:\t328\nmap_id:\t7\nfrozen:\t0\nowner_prog_type:\t17\nowner_jited:\t1\n";
        let want = FdInfo {
            memlock: Some(328),
            frozen: Some(false),
            owner_prog_type: Some(17),
            owner_jited: Some(true),
        };
        assert_eq!(parse(text), want);
        assert_eq!(parse(""), FdInfo::default());
    }
}
