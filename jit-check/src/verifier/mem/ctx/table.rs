//! What a table of context fields says.

use crate::kernel::Version;
use bpf_sys::prog::AttachType;

/// Which sizes an access to a field may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Width {
    /// None: the field is hidden.
    None,
    /// This many bytes.
    Just(u8),
    /// This many or fewer, anywhere in the field: the kernel loads the whole and cuts.
    Narrow(u8),
    /// This many or fewer, from the field's first byte only.
    NarrowFirst(u8),
    /// The first number, or up to the second, anywhere in the field.
    Either(u8, u8),
    /// Two or four, anywhere in the field.
    Halves,
    /// Up to four bytes, or eight that are aligned in the struct and end in the field: parts of IPv6 addresses.
    Wide,
    /// Just four, or eight as in `Wide`.
    WideStore,
    /// Any that ends in the field.
    Within,
}

/// When a field may be accessed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum When {
    Always,
    /// At these attach types.
    At(&'static [AttachType]),
    /// With `CAP_BPF`.
    Capable,
}

/// What a load of the field gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Gives {
    Number,
    Packet,
    PacketMeta,
    PacketEnd,
    Socket,
    SocketOrNull,
    SockCommonOrNull,
    FlowKeys,
    /// A trusted pointer to this struct of the kernel.
    Trusted(&'static str),
}

/// Reading or writing a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rule {
    pub width: Width,
    pub when: When,
}

/// No access.
const NEVER: Rule = Rule { width: Width::None, when: When::Always };

/// A field of a context, or of a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// Name in the UAPI struct; empty for padding that may be read.
    pub name: &'static str,
    /// First byte.
    pub at: u16,
    /// Bytes.
    pub len: u16,
    pub read: Rule,
    pub write: Rule,
    pub gives: Gives,
    /// Whether sign-extending loads are refused.
    pub unsigned: bool,
    /// The oldest kernel that has it.
    pub since: Option<Version>,
}

impl Field {
    /// A field that may not be accessed; the other methods say what may be done.
    pub const fn new(name: &'static str, at: u16, len: u16) -> Field {
        Field { name, at, len, read: NEVER, write: NEVER, gives: Gives::Number, unsigned: false, since: None }
    }

    /// Loads of these sizes.
    pub const fn read(mut self, width: Width) -> Field {
        self.read.width = width;
        self
    }

    /// Stores of these sizes.
    pub const fn write(mut self, width: Width) -> Field {
        self.write.width = width;
        self
    }

    /// Loads and stores under this condition only.
    pub const fn when(mut self, when: When) -> Field {
        self.read.when = when;
        self.write.when = when;
        self
    }

    /// Stores under this condition only.
    pub const fn write_when(mut self, when: When) -> Field {
        self.write.when = when;
        self
    }

    /// Whole loads give a pointer.
    pub const fn gives(mut self, gives: Gives) -> Field {
        self.gives = gives;
        self
    }

    /// Sign-extending loads are refused.
    pub const fn unsigned(mut self) -> Field {
        self.unsigned = true;
        self
    }

    /// Older kernels don't have it.
    pub const fn since(mut self, major: u16, minor: u16) -> Field {
        self.since = Some(Version(major, minor));
        self
    }

    /// A number of four bytes that can be loaded whole.
    pub const fn word(name: &'static str, at: u16) -> Field {
        Field::new(name, at, 4).read(Width::Just(4))
    }

    /// A number of four bytes that can be loaded in parts.
    pub const fn narrow(name: &'static str, at: u16) -> Field {
        Field::new(name, at, 4).read(Width::Narrow(4))
    }

    /// A pointer of eight bytes.
    pub const fn pointer(name: &'static str, at: u16, gives: Gives) -> Field {
        Field::new(name, at, 8).read(Width::Just(8)).gives(gives)
    }
}

/// A struct's fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    /// Name of the UAPI struct.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests look it up"))]
    pub name: &'static str,
    pub fields: &'static [Field],
}

/// An access to a context.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CtxAccess {
    pub off: i32,
    pub size: u32,
    pub write: bool,
    pub sign_extends: bool,
    pub version: Version,
    pub attach: Option<AttachType>,
    pub capable: bool,
}

impl Table {
    /// What the access gives; `None` where it is refused.
    pub fn check(&self, access: &CtxAccess) -> Option<Gives> {
        let field = self.find(access)?;
        field.check(access)
    }

    /// The field in which the access begins. Accesses are aligned to their size.
    pub fn find(&self, access: &CtxAccess) -> Option<&'static Field> {
        let off = u32::try_from(access.off).ok()?;
        if access.size == 0 || !off.is_multiple_of(access.size) {
            return None;
        }
        let here = |field: &&Field| (u32::from(field.at)..u32::from(field.at + field.len)).contains(&off);
        let known = |field: &&Field| field.since.is_none_or(|since| access.version >= since);
        self.fields.iter().filter(here).find(known)
    }
}

impl Field {
    /// What the access, which begins in this field, gives; `None` where it is refused.
    pub fn check(&self, access: &CtxAccess) -> Option<Gives> {
        let rule = if access.write { self.write } else { self.read };
        let (off, size) = (u32::try_from(access.off).ok()?, access.size);
        let end = u32::from(self.at + self.len);
        let wide = size == 8 && off.is_multiple_of(8) && off + 8 <= end;
        let fits = match rule.width {
            Width::None => false,
            Width::Just(n) => size == u32::from(n),
            Width::Narrow(n) => size <= u32::from(n),
            Width::NarrowFirst(n) => {
                size <= u32::from(n) && (off == u32::from(self.at) || size == u32::from(n))
            }
            Width::Either(whole, n) => size == u32::from(whole) || size <= u32::from(n),
            Width::Halves => size == 2 || size == 4,
            Width::Wide => size <= 4 || wide,
            Width::WideStore => size == 4 || wide,
            Width::Within => off + size <= end,
        };
        let allowed = match rule.when {
            When::Always => true,
            When::At(types) => access.attach.is_some_and(|attach| types.contains(&attach)),
            When::Capable => access.capable,
        };
        (fits && allowed && !(self.unsigned && access.sign_extends)).then_some(self.gives)
    }
}
