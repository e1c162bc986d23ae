//! Values as bytes, and global variables of an object before it is loaded.

use crate::spec::{MapKind, MapSpec, Object, Variable};
use crate::{Error, Result};

/// A value that is the same bytes in a BPF program and here: numbers, arrays of them, and structures made by
/// [`pod_struct!`](crate::pod_struct).
///
/// Numbers are in this machine's byte order, as in the kernel's maps. No `unsafe` is needed to implement it, and every
/// sequence of bytes is a value.
pub trait Pod: Sized {
    /// Bytes of the value.
    const SIZE: usize;
    /// Its alignment in a C structure of a BPF program.
    const ALIGN: usize;

    /// The value in the first [`SIZE`](Self::SIZE) bytes; bytes that are missing count as zero.
    fn from_bytes(bytes: &[u8]) -> Self;

    /// Writes the value into the first [`SIZE`](Self::SIZE) bytes; what does not fit is left out.
    fn write_bytes(&self, bytes: &mut [u8]);

    /// The value's bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; Self::SIZE];
        self.write_bytes(&mut bytes);
        bytes
    }
}

macro_rules! numbers {
    ($($ty:ty)*) => { $(
        impl Pod for $ty {
            const SIZE: usize = size_of::<$ty>();
            const ALIGN: usize = size_of::<$ty>();

            fn from_bytes(bytes: &[u8]) -> $ty {
                let mut own = [0; size_of::<$ty>()];
                let len = bytes.len().min(own.len());
                own[..len].copy_from_slice(&bytes[..len]);
                <$ty>::from_ne_bytes(own)
            }

            fn write_bytes(&self, bytes: &mut [u8]) {
                let own = self.to_ne_bytes();
                let len = bytes.len().min(own.len());
                bytes[..len].copy_from_slice(&own[..len]);
            }
        }
    )* };
}

numbers! { u8 i8 u16 i16 u32 i32 u64 i64 u128 i128 f32 f64 }

impl Pod for bool {
    const SIZE: usize = 1;
    const ALIGN: usize = 1;

    /// Any byte but zero is true.
    fn from_bytes(bytes: &[u8]) -> bool {
        bytes.first().is_some_and(|byte| *byte != 0)
    }

    fn write_bytes(&self, bytes: &mut [u8]) {
        u8::from(*self).write_bytes(bytes);
    }
}

impl<T: Pod, const N: usize> Pod for [T; N] {
    const SIZE: usize = T::SIZE * N;
    const ALIGN: usize = T::ALIGN;

    fn from_bytes(bytes: &[u8]) -> [T; N] {
        std::array::from_fn(|index| T::from_bytes(bytes.get(index * T::SIZE..).unwrap_or_default()))
    }

    fn write_bytes(&self, bytes: &mut [u8]) {
        for (index, value) in self.iter().enumerate() {
            if let Some(rest) = bytes.get_mut(index * T::SIZE..) {
                value.write_bytes(rest);
            }
        }
    }
}

/// Defines a structure with the layout that a C compiler gives it for BPF, padding included, and implements
/// [`Pod`](crate::globals::Pod) for it.
///
/// ```
/// loader::pod_struct! {
///     /// What the program sends.
///     #[derive(Clone, Debug, Default, PartialEq)]
///     pub struct Event {
///         /// Process.
///         pub pid: u32,
///         /// Nanoseconds; four bytes of padding are in front of it.
///         pub time: u64,
///         /// Name.
///         pub comm: [u8; 16],
///     }
/// }
/// use loader::globals::Pod;
/// assert_eq!((Event::SIZE, Event::ALIGN), (32, 8));
/// let event = Event { pid: 7, time: 1, ..Event::default() };
/// assert_eq!(Event::from_bytes(&event.to_bytes()), event);
/// ```
#[macro_export]
macro_rules! pod_struct {
    ($(#[$meta:meta])* $vis:vis struct $Name:ident { $($(#[$fmeta:meta])* $fvis:vis $field:ident: $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        $vis struct $Name { $($(#[$fmeta])* $fvis $field: $ty,)* }

        impl $crate::globals::Pod for $Name {
            const ALIGN: usize = {
                let mut align = 1;
                $(if <$ty as $crate::globals::Pod>::ALIGN > align { align = <$ty as $crate::globals::Pod>::ALIGN; })*
                align
            };
            const SIZE: usize = {
                let mut at: usize = 0;
                $(
                    at = at.next_multiple_of(<$ty as $crate::globals::Pod>::ALIGN);
                    at += <$ty as $crate::globals::Pod>::SIZE;
                )*
                at.next_multiple_of(Self::ALIGN)
            };

            fn from_bytes(bytes: &[u8]) -> Self {
                let mut at: usize = 0;
                $(
                    at = at.next_multiple_of(<$ty as $crate::globals::Pod>::ALIGN);
                    let $field = <$ty as $crate::globals::Pod>::from_bytes(bytes.get(at..).unwrap_or_default());
                    at += <$ty as $crate::globals::Pod>::SIZE;
                )*
                let _ = at;
                $Name { $($field),* }
            }

            fn write_bytes(&self, bytes: &mut [u8]) {
                let mut at: usize = 0;
                $(
                    at = at.next_multiple_of(<$ty as $crate::globals::Pod>::ALIGN);
                    if let Some(rest) = bytes.get_mut(at..) {
                        <$ty as $crate::globals::Pod>::write_bytes(&self.$field, rest);
                    }
                    at += <$ty as $crate::globals::Pod>::SIZE;
                )*
                let _ = at;
            }
        }
    };
}

/// A variable and the index of the data map that holds it.
pub(crate) fn find<'o>(object: &'o Object, name: &str) -> Result<(usize, &'o Variable)> {
    let data_maps = || object.maps.iter().enumerate().filter(|(_, map)| !map.variables.is_empty());
    data_maps()
        .find_map(|(index, map)| Some((index, map.variables.iter().find(|variable| variable.name == name)?)))
        .ok_or_else(|| {
            let names: Vec<&str> =
                data_maps().flat_map(|(_, map)| map.variables.iter().map(|v| v.name.as_str())).collect();
            let what = if names.is_empty() {
                "the object has no global variables".to_owned()
            } else {
                format!("no such global variable; there are {}", names.join(", "))
            };
            Error::Name { name: name.to_owned(), what }
        })
}

/// Refuses a Rust type whose size is not the variable's.
pub(crate) fn check_size(variable: &Variable, size: usize) -> Result<()> {
    if variable.size as usize == size {
        return Ok(());
    }
    let what = format!(
        "the variable has {} bytes, the value {size}: use the type that the program declares it with",
        variable.size
    );
    Err(Error::Name { name: variable.name.clone(), what })
}

fn outside(variable: &Variable, map: &MapSpec) -> Error {
    Error::Name {
        name: variable.name.clone(),
        what: format!(
            "lies at {}..{} of `{}`, which has {} bytes: the object is damaged",
            variable.offset,
            u64::from(variable.offset) + u64::from(variable.size),
            map.name,
            map.data.as_ref().map_or(0, Vec::len)
        ),
    }
}

impl Object {
    /// The global variable of this name.
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        find(self, name).ok().map(|(_, variable)| variable)
    }

    /// A global variable's initial value.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] where there is no such variable or its size is not the type's.
    pub fn get<T: Pod>(&self, name: &str) -> Result<T> {
        let (map, variable) = find(self, name)?;
        check_size(variable, T::SIZE)?;
        let (map, start) = (&self.maps[map], variable.offset as usize);
        match (&map.data, map.kind) {
            (Some(data), _) => data.get(start..).and_then(|rest| rest.get(..T::SIZE)).map(T::from_bytes),
            // A section of zeroes has no content in the file.
            (None, MapKind::Bss) => Some(T::from_bytes(&[])),
            (None, _) => None,
        }
        .ok_or_else(|| outside(variable, map))
    }

    /// Sets a global variable's initial value: the only time for constants, which are frozen when they are loaded.
    ///
    /// ```no_run
    /// # fn f(mut object: loader::Object) -> loader::Result<()> {
    /// object.set("target_pid", 4711_u32)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get), and for kernel configuration, which the kernel has the say of.
    pub fn set<T: Pod>(&mut self, name: &str, value: T) -> Result<()> {
        let (index, variable) = find(self, name)?;
        check_size(variable, T::SIZE)?;
        let variable = variable.clone();
        let map = &mut self.maps[index];
        if map.kind == MapKind::Kconfig {
            let what = "is the kernel's configuration, which is filled in when the object is relocated";
            return Err(Error::Name { name: name.to_owned(), what: what.to_owned() });
        }
        if map.data.is_none() && map.kind == MapKind::Bss {
            map.data = Some(vec![0; map.value_size as usize]);
        }
        let start = variable.offset as usize;
        let place = map.data.as_mut().and_then(|data| data.get_mut(start..)?.get_mut(..T::SIZE));
        match place {
            Some(place) => {
                value.write_bytes(place);
                Ok(())
            }
            None => Err(outside(&variable, &self.maps[index])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::pod_struct! {
        #[derive(Clone, Debug, PartialEq)]
        struct Mixed {
            flag: bool,
            number: u16,
            pair: [i32; 2],
            last: u64,
            tail: u8,
        }
    }

    #[test]
    fn structures_have_the_layout_of_c() {
        assert_eq!((Mixed::SIZE, Mixed::ALIGN), (32, 8));
        let value = Mixed { flag: true, number: 0x0203, pair: [-1, 5], last: 9, tail: 7 };
        let bytes = value.to_bytes();
        assert_eq!(bytes.len(), 32);
        let words: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b)).collect();
        assert_eq!(words, [0xffff_ffff_0203_0001, 5, 9, 7]);
        assert_eq!(Mixed::from_bytes(&bytes), value);
        // Bytes that are missing count as zero.
        assert_eq!(Mixed::from_bytes(&bytes[..4]).pair, [0, 0]);
    }

    fn object() -> Object {
        let mut object = Object::new("test");
        let mut rodata = MapSpec::new_data(".rodata", MapKind::Rodata, vec![1, 0, 0, 0, 2, 3]);
        let variable =
            |name: &str, offset, size| Variable { name: name.to_owned(), offset, size, type_id: None };
        rodata.variables = vec![variable("pid", 0, 4), variable("pair", 4, 2), variable("bad", 4, 8)];
        let mut bss = MapSpec::new_data(".bss", MapKind::Bss, vec![]);
        bss.data = None;
        bss.value_size = 8;
        bss.variables = vec![variable("count", 0, 8)];
        object.maps = vec![rodata, bss];
        object
    }

    #[test]
    fn variables_are_set_by_name() {
        let mut object = object();
        assert_eq!(object.get::<u32>("pid").unwrap(), 1);
        assert_eq!(object.get::<[u8; 2]>("pair").unwrap(), [2, 3]);
        assert_eq!(object.get::<u64>("count").unwrap(), 0);
        object.set("pid", 77_u32).unwrap();
        object.set("count", 5_u64).unwrap();
        assert_eq!(object.get::<i32>("pid").unwrap(), 77);
        assert_eq!(object.get::<u64>("count").unwrap(), 5);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let object = object();
        let error = |result: Result<u64>| result.unwrap_err().to_string();
        assert_eq!(
            error(object.get("pids")),
            "`pids`: no such global variable; there are pid, pair, bad, count"
        );
        assert_eq!(
            error(object.get("pid")),
            "`pid`: the variable has 4 bytes, the value 8: use the type that the program declares it with"
        );
        assert_eq!(
            error(object.get("bad")),
            "`bad`: lies at 4..12 of `.rodata`, which has 6 bytes: the object is damaged"
        );
    }
}
