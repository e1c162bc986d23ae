//! Bytes through types and back.

mod common;

use btf::value::{Value, decode, encode};
use btf::*;
use common::*;
use expect_test::{Expect, expect};

/// A struct with one member of each sort, and its id.
fn sample(endian: Endian) -> (Vec<u8>, u32) {
    let mut w = Writer::new(endian);
    let int = w.add("int", INT, 0, 4, &[(1 << 24) | 32]);
    let char = w.add("char", INT, 0, 1, &[8]);
    let bool = w.add("_Bool", INT, 0, 1, &[(4 << 24) | 8]);
    let uint = w.add("unsigned int", INT, 0, 4, &[32]);
    let text = w.add("", ARRAY, 0, 0, &[char, int, 8]);
    let list = w.add("", ARRAY, 0, 0, &[uint, int, 12]);
    let (zero, listen) = (w.string("TCP_ZERO"), w.string("TCP_LISTEN"));
    let state = w.add("tcp_state", ENUM, 2, 4, &[zero, 0, listen, 10]);
    let pointer = w.add("", PTR, 0, 0, &[]);
    let double = w.add("double", FLOAT, 0, 8, &[]);
    let (low, high) = (w.string("low"), w.string("high"));
    let inner = w.add("", STRUCT | FLAG, 2, 4, &[low, uint, 3 << 24, high, int, (5 << 24) | 3]);
    let names: Vec<u32> =
        ["pid", "comm", "ok", "state", "", "next", "load", "list"].iter().map(|n| w.string(n)).collect();
    let offsets = [0, 32, 96, 128, 160, 192, 256, 320];
    let types = [int, text, bool, state, inner, pointer, double, list];
    let words: Vec<u32> = (0..8).flat_map(|at| [names[at], types[at], offsets[at]]).collect();
    let id = w.add("event", STRUCT, 8, 88, &words);
    (w.finish(), id)
}

fn check(text: &str, expected: Expect) {
    let (data, id) = sample(Endian::Little);
    let btf = Btf::parse(&data).expect("valid");
    let shown = match encode(&btf, TypeId(id), text) {
        Ok(bytes) => decode(&btf, TypeId(id), &bytes).to_string(),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&shown);
}

#[test]
fn text_to_bytes_to_text() {
    check(
        r#"{.pid = -7, .comm = "cat", .ok = true, .state = TCP_LISTEN, .low = 5, .high = -1, .next = 0xff00, .load = 1.5, .list = {1, 2, [4 ... 11] = 3}}"#,
        expect![[
            r#"{.pid = -7, .comm = "cat", .ok = true, .state = TCP_LISTEN, .low = 5, .high = -1, .next = 0xff00, .load = 1.5, .list = {1, 2, 0, 0, [4 ... 11] = 3}}"#
        ]],
    );
    check(
        "{ 1, .list[2] = 7 , .comm = {'a', 0, 'b'} /* not text */ }",
        expect![[
            r#"{.pid = 1, .comm = "a", .ok = false, .state = TCP_ZERO, .low = 0, .high = 0, .next = 0x0, .load = 0.0, .list = {0, 0, 7, [3 ... 11] = 0}}"#
        ]],
    );
}

#[test]
fn what_does_not_fit() {
    check(
        "{.pid = 3000000000}",
        expect!["value at character 8: 3000000000 does not fit into 32 signed bits"],
    );
    check("{.low = 8}", expect!["value at character 7: 8 does not fit into 3 unsigned bits"]);
    check(
        "{.state = OPEN}",
        expect![[
            r#"value at character 10: "OPEN" is no value of this enumeration; it has TCP_ZERO, TCP_LISTEN"#
        ]],
    );
    check(
        "{.comm = \"longer than eight\"}",
        expect!["value at character 9: a text of 17 bytes does not fit into 8"],
    );
    check(
        "{.pidd = 1}",
        expect![
            "value at character 2: event has no member pidd; it has pid, comm, ok, state, next, load, list"
        ],
    );
    check("{.list = {[12] = 1}}", expect!["value at character 11: an index from 0 to 11 is expected"]);
    check("{.pid = 1", expect!["value at character 9: `,` or `}` is expected"]);
    check("{.pid = 1} 2", expect!["value at character 11: the value ends here; what follows is too much"]);
    check(
        "5",
        expect!["value at character 0: `{` is expected: event is a struct or union, as in {.pid = 1}"],
    );
    check("{.pid = }", expect![[r#"value at character 8: a whole number is expected, not """#]]);
}

#[test]
fn both_byte_orders_agree() {
    let text = r#"{.pid = -2, .comm = "x", .low = 6, .high = -9, .next = 0x1234, .list = {9}}"#;
    let shown = [Endian::Little, Endian::Big].map(|endian| {
        let (data, id) = sample(endian);
        let btf = Btf::parse(&data).expect("valid");
        let bytes = encode(&btf, TypeId(id), text).expect("encodes");
        if endian == Endian::Big {
            assert_eq!(bytes[..4], (-2_i32).to_be_bytes());
        }
        decode(&btf, TypeId(id), &bytes).to_string()
    });
    assert_eq!(shown[0], shown[1]);
}

#[test]
fn members_and_pretty_print() {
    let (data, id) = sample(Endian::Little);
    let btf = Btf::parse(&data).expect("valid");
    let bytes = encode(&btf, TypeId(id), "{.pid = 4, .low = 3, .list = {[0 ... 11] = 1}}").expect("encodes");
    let value = decode(&btf, TypeId(id), &bytes);
    assert_eq!(value.member("low").and_then(Value::as_i128), Some(3));
    assert_eq!(value.member("nothing"), None);
    expect![[r#"
        {
            .pid = 4,
            .comm = "",
            .ok = false,
            .state = TCP_ZERO,
            .low = 3,
            .high = 0,
            .next = 0x0,
            .load = 0.0,
            .list = {[0 ... 11] = 1},
        }
    "#]]
    .assert_eq(&format!("{value:#}\n"));
    let short = decode(&btf, TypeId(id), &bytes[..14]).to_string();
    expect![[r#"{.pid = 4, .comm = "", .ok = false, .state = /* no data */, /* no data */, .next = /* no data */, .load = /* no data */, .list = /* no data */}"#]]
        .assert_eq(&short);
}

#[test]
fn endless_arrays_and_cycles() {
    let mut w = Writer::new(Endian::Little);
    let empty = w.add("empty", STRUCT, 0, 0, &[]);
    let int = w.add("int", INT, 0, 4, &[(1 << 24) | 32]);
    let billions = w.add("", ARRAY, 0, 0, &[empty, int, u32::MAX]);
    let large = w.add("", ARRAY, 0, 0, &[int, int, 1_000_000_000]);
    let next = w.add("loop", STRUCT, 1, 4, &[0, int + 3, 0]);
    let data = w.finish();
    let btf = Btf::parse(&data).expect("valid");
    assert_eq!(
        decode(&btf, TypeId(billions), &[]),
        Value::Array { elements: vec![], missing: u32::MAX.into() }
    );
    assert_eq!(decode(&btf, TypeId(large), &[1, 0, 0, 0]).to_string(), "{1 /* and 999999999 more */}");
    assert!(decode(&btf, TypeId(next), &[0; 4]).to_string().contains("no data"));
    let error = encode(&btf, TypeId(large), "{1}").expect_err("too large");
    expect!["BTF type 4: its values are larger than 64 MiB"].assert_eq(&error.to_string());
}
