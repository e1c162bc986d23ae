//! What programs may return.

use super::super::env::{EACCES, EINVAL, ENOTSUPP, Env, Reject, Res, reject};
use super::super::reg::{Base, Reg};
use super::super::state::RetRange;
use super::super::states::Use;
use bpf_sys::prog::{AttachType, ProgType};

const fn range(min: i32, max: i32) -> Option<RetRange> {
    Some(RetRange { min, max })
}

impl<'a> Env<'a> {
    /// Says what a register is known to be and what it had to be.
    pub(in crate::verifier) fn say_invalid_scalar(
        &mut self,
        reg: &Reg,
        range: RetRange,
        when: &str,
        name: &str,
    ) {
        let mut unknown = true;
        self.say(format_args!("{when} the register {name} has"));
        if reg.smin > i64::MIN {
            self.say(format_args!(" smin={}", reg.smin));
            unknown = false;
        }
        if reg.smax < i64::MAX {
            self.say(format_args!(" smax={}", reg.smax));
            unknown = false;
        }
        if unknown {
            self.say(format_args!(" unknown scalar value"));
        }
        self.say(format_args!(" should have been in [{}, {}]\n", range.min, range.max));
    }

    /// The value that the program (or a function walked on its own, or a callback) ends with.
    pub(in crate::verifier) fn check_return_code(&mut self, regno: u8, name: &str) -> Res {
        let ty = self.prog_type();
        let attach = self.program.expected_attach_type;
        let frame = &self.cur.frames[0];
        let (is_subprog, is_async, is_exception) =
            (frame.subprogno != 0, frame.in_async_callback, frame.in_exception_callback);
        if !is_subprog || is_exception {
            let may_be_void = match ty {
                ProgType::Lsm => attach != Some(AttachType::LsmCgroup),
                ProgType::StructOps => true,
                _ => false,
            };
            if may_be_void && self.attach.returns_void {
                return Ok(());
            }
        }
        let from = self.cur.frames[0].subprogno;
        let void_subprog = is_subprog && !is_async && self.subprogs[from as usize].returns_void;
        if void_subprog && !is_exception {
            return Ok(());
        }
        self.check_reg_arg(regno, Use::Src)?;
        let reg = *self.reg(regno);
        if !self.allow_ptr_leaks && reg.base != Base::Scalar {
            reject!(self, EACCES, "R{regno} leaks addr as return value");
        }
        let mut when = "At program exit";
        let mut is_32bit = false;
        let allowed = if is_async {
            when = "At async callback return";
            range(0, 0)
        } else if is_subprog && !is_exception {
            if !reg.is(Base::Scalar) {
                let shown = reg.type_name();
                reject!(
                    self,
                    EINVAL,
                    "At subprogram exit the register R{regno} is not a scalar value ({shown})"
                );
            }
            return Ok(());
        } else {
            let (allowed, narrow) = self.return_range(ty, attach)?;
            is_32bit = narrow;
            allowed
        };
        let Some(allowed) = allowed else { return Ok(()) };
        if !reg.is(Base::Scalar) {
            let shown = reg.type_name();
            reject!(self, EINVAL, "{when} the register R{regno} is not a known value ({shown})");
        }
        self.mark_chain_precision(regno)?;
        let reg = *self.reg(regno);
        let (low, high) = match is_32bit {
            true => (i64::from(reg.s32_min), i64::from(reg.s32_max)),
            false => (reg.smin, reg.smax),
        };
        if low < i64::from(allowed.min) || high > i64::from(allowed.max) {
            self.say_invalid_scalar(&reg, allowed, when, name);
            let void_hook = !is_subprog
                && ty == ProgType::Lsm
                && attach == Some(AttachType::LsmCgroup)
                && self.attach.returns_void;
            if void_hook {
                self.say(format_args!(
                    "Note, BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!\n"
                ));
            }
            return Err(Reject(EINVAL));
        }
        Ok(())
    }

    /// What programs of this type may return (everything: `None`), and whether only the lower half counts.
    fn return_range(&self, ty: ProgType, attach: Option<AttachType>) -> Res<(Option<RetRange>, bool)> {
        use AttachType as At;
        let bool_range = range(0, 1);
        let allowed = match ty {
            ProgType::CgroupSockAddr => match attach {
                Some(
                    At::CgroupUdp4Recvmsg
                    | At::CgroupUdp6Recvmsg
                    | At::CgroupUnixRecvmsg
                    | At::CgroupInet4Getpeername
                    | At::CgroupInet6Getpeername
                    | At::CgroupUnixGetpeername
                    | At::CgroupInet4Getsockname
                    | At::CgroupInet6Getsockname
                    | At::CgroupUnixGetsockname,
                ) => range(1, 1),
                Some(At::CgroupInet4Bind | At::CgroupInet6Bind) if self.since(5, 13) => range(0, 3),
                _ => bool_range,
            },
            ProgType::CgroupSkb if attach == Some(At::CgroupInetEgress) => range(0, 3),
            ProgType::CgroupSkb
            | ProgType::CgroupSock
            | ProgType::SockOps
            | ProgType::CgroupDevice
            | ProgType::CgroupSysctl
            | ProgType::CgroupSockopt
            | ProgType::SkLookup
            | ProgType::Netfilter => bool_range,
            ProgType::Tracing => match attach {
                Some(At::TraceFentry | At::TraceFexit) => range(0, 0),
                Some(At::TraceRawTp | At::ModifyReturn) => None,
                Some(At::TraceIter) => bool_range,
                _ => return Err(Reject(ENOTSUPP)),
            },
            ProgType::Kprobe if matches!(attach, Some(At::TraceKprobeSession | At::TraceUprobeSession)) => {
                bool_range
            }
            ProgType::Lsm if attach == Some(At::LsmCgroup) => {
                if self.attach.returns_void {
                    range(1, 1)
                } else {
                    bool_range
                }
            }
            ProgType::Lsm => return Ok((self.lsm_return_range(), true)),
            _ => None,
        };
        Ok((allowed, false))
    }
}
