//! Which processes hold an object open: by the descriptors that `/proc` shows. Only root sees those of others.

use std::collections::HashMap;

/// A process that holds an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Its command name.
    pub comm: String,
}

/// The kinds of objects that are looked for, by what their descriptors are called and where their ids stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Programs.
    Prog,
    /// Maps.
    Map,
    /// Links.
    Link,
}

impl Kind {
    fn inode(self) -> &'static str {
        match self {
            Kind::Prog => "anon_inode:bpf-prog",
            Kind::Map => "anon_inode:bpf-map",
            Kind::Link => "anon_inode:bpf_link",
        }
    }

    fn field(self) -> &'static str {
        match self {
            Kind::Prog => "prog_id:",
            Kind::Map => "map_id:",
            Kind::Link => "link_id:",
        }
    }
}

/// The holders of all objects of a kind, by the objects' ids; this process itself is left out.
pub fn holders(kind: Kind) -> HashMap<u32, Vec<Holder>> {
    let mut all: HashMap<u32, Vec<Holder>> = HashMap::new();
    let own = std::process::id();
    let Ok(processes) = std::fs::read_dir("/proc") else { return all };
    let pids = processes.flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids.filter(|pid| *pid != own) {
        // A process that ends meanwhile, or is not ours to look at, has nothing to show.
        let Ok(fds) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let mut comm = None;
        for fd in fds.flatten() {
            let Ok(target) = std::fs::read_link(fd.path()) else { continue };
            let target = target.to_string_lossy();
            // `anon_inode:[x]` has been written with and without brackets.
            let plain: String = target.chars().filter(|c| !matches!(c, '[' | ']')).collect();
            if plain != kind.inode() && plain != kind.inode().replace('_', "-") {
                continue;
            }
            let path = format!("/proc/{pid}/fdinfo/{}", fd.file_name().to_string_lossy());
            let Ok(text) = std::fs::read_to_string(path) else { continue };
            let Some(id) = text
                .lines()
                .find_map(|line| line.strip_prefix(kind.field()))
                .and_then(|id| id.trim().parse().ok())
            else {
                continue;
            };
            let comm = comm.get_or_insert_with(|| {
                let text = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                text.trim_end().to_string()
            });
            let holder = Holder { pid, comm: comm.clone() };
            let list = all.entry(id).or_default();
            if list.last() != Some(&holder) {
                list.push(holder);
            }
        }
    }
    all.values_mut().for_each(|list| list.sort());
    all
}
