//! Programs: load, run, pin, ask. See bpf(2).

mod info;
mod load;
mod load_error;
mod stream;
mod task_fd;
mod test_run;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

pub use info::{ProgInfo, ProgSummary, RunStats};
pub use load::{ProgFlags, ProgLoad, Records};
pub use load_error::ProgLoadError;
pub use stream::Stream;
pub use task_fd::{TaskFd, TaskFdType, task_fd_query};
pub use test_run::{TestFlags, TestRun, TestRunOut};

use crate::abi::Cmd;
use crate::abi::attr;
pub use crate::abi::types::{AttachType, ProgType};
use crate::abi::util::fd_field;
use crate::error::{Error, Result};
use crate::object::{self, Kind};
use crate::syscall;

/// A loaded program. It stays loaded while a descriptor, a pin or something it is attached to holds it.
#[derive(Debug)]
pub struct Prog {
    fd: OwnedFd,
}

impl Prog {
    /// The program behind a descriptor.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where the descriptor is no program's.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        object::expect(fd.as_fd(), Kind::Prog)?;
        Ok(Prog { fd })
    }

    /// The program with this id. Needs CAP_SYS_ADMIN. Since Linux 4.13.
    #[doc(alias = "BPF_PROG_GET_FD_BY_ID")]
    pub fn from_id(id: u32) -> Result<Self> {
        Ok(Prog { fd: object::by_id(Kind::Prog, id)? })
    }

    /// The program pinned at `path` of a BPF file system.
    #[doc(alias = "BPF_OBJ_GET")]
    pub fn open_pinned(path: impl AsRef<Path>) -> Result<Self> {
        Self::from_fd(object::open_pinned(path.as_ref())?)
    }

    /// Pins the program at `path`, which must be in a BPF file system.
    #[doc(alias = "BPF_OBJ_PIN")]
    pub fn pin(&self, path: impl AsRef<Path>) -> Result<()> {
        object::pin(self.as_fd(), path.as_ref())
    }

    /// A second handle on the same program.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Prog { fd: object::duplicate(&self.fd, Kind::Prog)? })
    }

    /// Keeps `map` alive as long as the program, though no instruction names it. Since Linux 5.10.
    #[doc(alias = "BPF_PROG_BIND_MAP")]
    pub fn bind_map(&self, map: impl AsFd) -> Result<()> {
        let mut attr =
            attr::ProgBindMap { prog_fd: fd_field(self.as_fd()), map_fd: fd_field(map.as_fd()), flags: 0 };
        // SAFETY: the command takes descriptors only.
        match unsafe { syscall::bpf(Cmd::PROG_BIND_MAP, &mut attr) } {
            Ok(_) => Ok(()),
            Err(errno) => Err(Error::sys("bpf(BPF_PROG_BIND_MAP)", "bind a map to a program", errno)),
        }
    }
}

impl AsFd for Prog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Prog> for OwnedFd {
    fn from(prog: Prog) -> Self {
        prog.fd
    }
}
