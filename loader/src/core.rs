//! CO-RE: finding what the compiler saw in the types of another kernel.
