//! The macro behind the numbered lists of the ABI.

/// Defines an enum of the ABI: its numbers, the kernel's names and the release that brought each.
///
/// A number that this list does not know is kept as `Other(number)`, so that what a newer kernel reports survives.
macro_rules! abi_enum {
    (
        $(#[$meta:meta])*
        pub enum $Name:ident, prefix $prefix:literal {
            $( $Variant:ident = $value:literal, $abi:literal, $since:literal, $doc:literal; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $Name {
            $(
                #[doc = concat!($doc, " Since Linux ", $since, ".")]
                #[doc(alias = $abi)]
                $Variant,
            )*
            /// A number that this crate does not know.
            Other(u32),
        }

        impl $Name {
            /// Every value that this crate knows, in the order of their numbers.
            pub const ALL: &'static [$Name] = &[ $( $Name::$Variant, )* ];

            /// The number in the ABI.
            pub const fn raw(self) -> u32 {
                match self {
                    $( $Name::$Variant => $value, )*
                    $Name::Other(raw) => raw,
                }
            }

            /// The value with this number; `Other` where this crate does not know it.
            pub const fn from_raw(raw: u32) -> Self {
                match raw {
                    $( $value => $Name::$Variant, )*
                    raw => $Name::Other(raw),
                }
            }

            /// The name in the kernel's header; `None` for `Other`.
            pub const fn abi_name(self) -> Option<&'static str> {
                match self {
                    $( $Name::$Variant => Some($abi), )*
                    $Name::Other(_) => None,
                }
            }

            /// The release that brought it; `None` for `Other`.
            pub const fn since(self) -> Option<&'static str> {
                match self {
                    $( $Name::$Variant => Some($since), )*
                    $Name::Other(_) => None,
                }
            }

            /// The name in lower case without the header's prefix, as the field's tools print it.
            pub fn name(self) -> String {
                match self.abi_name() {
                    Some(abi) => abi.strip_prefix($prefix).unwrap_or(abi).to_ascii_lowercase(),
                    None => format!("type {}", self.raw()),
                }
            }

            /// The value with the name that [`name`](Self::name) or the kernel's header gives it.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.abi_name() == Some(name) || v.name() == name)
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.name())
            }
        }

        impl std::fmt::Debug for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $( $Name::$Variant => f.write_str(stringify!($Variant)), )*
                    $Name::Other(raw) => write!(f, "Other({raw})"),
                }
            }
        }
    };
}

pub(crate) use abi_enum;
