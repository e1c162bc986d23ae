//! What this kernel can do, found out by trying.

pub(crate) mod attr_size;
