//! The `format` file of an event: which field lies where.

/// The layout of an event's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// The event's name.
    pub name: String,
    /// Its id, for `perf_event_open`.
    pub id: u64,
    /// All fields in order, those common to all events first (their names begin with `common_`).
    pub fields: Vec<Field>,
}

/// One field of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The C type, without `__data_loc`, with the array's brackets: `char[16]`, `const char *`.
    pub ty: String,
    /// The name.
    pub name: String,
    /// Bytes from the start of the record.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// Whether an integer is signed.
    pub signed: bool,
    /// Elements, when it is an array of known length.
    pub array: Option<u32>,
    /// Whether the record holds the place of the data instead of the data: 16 bits of offset (low half) and 16 bits
    /// of length (high half). The offset of `__rel_loc` counts from the end of the field.
    pub dynamic: Option<Dynamic>,
}

/// How the place of dynamic data is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dynamic {
    /// `__data_loc`: from the start of the record.
    DataLoc,
    /// `__rel_loc`: from the end of the field. Since Linux 5.17.
    RelLoc,
}

impl Format {
    /// Parses the file. Fields that cannot be understood are left out; `None` when there is no name and id.
    pub fn parse(text: &str) -> Option<Format> {
        let (mut name, mut id, mut fields) = (None, None, Vec::new());
        for line in text.lines() {
            let line = line.trim();
            if let Some(rest) = line.strip_prefix("name:") {
                name = Some(rest.trim().to_owned());
            } else if let Some(rest) = line.strip_prefix("ID:") {
                id = rest.trim().parse().ok();
            } else if line.starts_with("field:") || line.starts_with("field special:") {
                fields.extend(Field::parse(line));
            } else if line.starts_with("print fmt:") {
                break;
            }
        }
        Some(Format { name: name?, id: id?, fields })
    }

    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The fields of this event alone, without those that all events have.
    pub fn own_fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| !field.name.starts_with("common_"))
    }
}

impl Field {
    fn parse(line: &str) -> Option<Field> {
        let mut declaration = None;
        let (mut offset, mut size, mut signed) = (None, None, false);
        for item in line.split(';') {
            let Some((key, value)) = item.split_once(':') else { continue };
            let value = value.trim();
            match key.trim() {
                "field" | "field special" => declaration = Some(value),
                "offset" => offset = value.parse().ok(),
                "size" => size = value.parse().ok(),
                "signed" => signed = value == "1",
                _ => {}
            }
        }
        let mut declaration = declaration?;
        let mut dynamic = None;
        for (word, kind) in [("__data_loc ", Dynamic::DataLoc), ("__rel_loc ", Dynamic::RelLoc)] {
            if let Some(rest) = declaration.strip_prefix(word) {
                declaration = rest;
                dynamic = Some(kind);
            }
        }
        // The name is the last word; an array's length follows it: `char comm[16]`.
        let (front, brackets) = match declaration.rfind('[') {
            // `__data_loc char[] name`: the brackets belong to the type.
            Some(at) if declaration.ends_with(']') => declaration.split_at(at),
            _ => (declaration, ""),
        };
        let split = front.trim_end().rfind(|c: char| c.is_ascii_whitespace() || c == '*')? + 1;
        let (ty, name) = front.split_at(split);
        let array =
            brackets.strip_prefix('[').and_then(|b| b.strip_suffix(']')).and_then(|n| n.trim().parse().ok());
        Some(Field {
            ty: format!("{}{brackets}", ty.trim()),
            name: name.trim().to_owned(),
            offset: offset?,
            size: size?,
            signed,
            array,
            dynamic,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn fields() {
        let text = "name: sched_process_exec\nID: 300\nformat:\n\
            \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
            \tfield:__data_loc char[] filename;\toffset:8;\tsize:4;\tsigned:0;\n\
            \tfield:char comm[16];\toffset:12;\tsize:16;\tsigned:0;\n\
            \tfield:const char * where;\toffset:32;\tsize:8;\tsigned:0;\n\
            \tfield:const char *const *argv;\toffset:40;\tsize:8;\tsigned:0;\n\
            \tfield:__rel_loc u8[] blob;\toffset:48;\tsize:4;\tsigned:0;\n\
            \tfield:long state;\toffset:52;\tsize:8;\tsigned:1;\n\
            \tfield:broken;\n\nprint fmt: \"field:int x; offset:1; size:2;\"\n";
        let format = Format::parse(text).unwrap();
        assert_eq!((&*format.name, format.id), ("sched_process_exec", 300));
        let shown: Vec<String> = format
            .own_fields()
            .map(|f| {
                format!(
                    "{} {} @{}+{} {} {:?} {:?}",
                    f.ty, f.name, f.offset, f.size, f.signed, f.array, f.dynamic
                )
            })
            .collect();
        expect![[r#"
            [
                "char[] filename @8+4 false None Some(DataLoc)",
                "char[16] comm @12+16 false Some(16) None",
                "const char * where @32+8 false None None",
                "const char *const * argv @40+8 false None None",
                "u8[] blob @48+4 false None Some(RelLoc)",
                "long state @52+8 true None None",
            ]
        "#]]
        .assert_debug_eq(&shown);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_fine(text in "(name:|ID:|field:|\\PC|[;:\\[\\]*\n\t 0-9]){0,60}") {
            let _ = Format::parse(&text);
            let _ = Format::parse(&format!("name: x\nID: 1\nfield:{text}"));
        }
    }
}
