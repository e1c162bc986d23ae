//! The ids of everything that is loaded. Needs CAP_SYS_ADMIN (or CAP_BPF for some). Since Linux 4.13.

use crate::error::Result;
use crate::object::{self, Kind};

/// Ids in rising order; what comes and goes meanwhile may be missed.
#[derive(Debug, Clone)]
pub struct Ids {
    kind: Kind,
    last: u32,
    done: bool,
}

impl Ids {
    fn new(kind: Kind) -> Self {
        Ids { kind, last: 0, done: false }
    }
}

impl Iterator for Ids {
    type Item = Result<u32>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        match object::next_id(self.kind, self.last) {
            Ok(Some(id)) => {
                self.last = id;
                Some(Ok(id))
            }
            Ok(None) => {
                self.done = true;
                None
            }
            Err(error) => {
                self.done = true;
                Some(Err(error))
            }
        }
    }
}

/// The ids of all programs. Since Linux 4.13.
#[doc(alias = "BPF_PROG_GET_NEXT_ID")]
pub fn progs() -> Ids {
    Ids::new(Kind::Prog)
}

/// The ids of all maps. Since Linux 4.13.
#[doc(alias = "BPF_MAP_GET_NEXT_ID")]
pub fn maps() -> Ids {
    Ids::new(Kind::Map)
}

/// The ids of all links. Since Linux 5.8.
#[doc(alias = "BPF_LINK_GET_NEXT_ID")]
pub fn links() -> Ids {
    Ids::new(Kind::Link)
}

/// The ids of all BTF objects. Since Linux 5.1.
#[doc(alias = "BPF_BTF_GET_NEXT_ID")]
pub fn btfs() -> Ids {
    Ids::new(Kind::Btf)
}
