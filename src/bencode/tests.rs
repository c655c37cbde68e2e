//! Tables of good and bad inputs, and properties of the reader and writer.

use super::*;
use proptest::prelude::*;

#[test]
fn good_inputs_are_read_and_written_back_unchanged() {
    for input in [
        "i0e",
        "i-1e",
        "i9223372036854775807e",
        "i-9223372036854775808e",
        "0:",
        "4:spam",
        "le",
        "de",
        "d1:ai1e1:bl1:x0:ee",
        "lld0:0:eee",
    ] {
        let value = Value::parse(input.as_bytes(), KeyOrder::Sorted).unwrap();
        assert_eq!(value.raw(), input.as_bytes());
        assert_eq!(item_of(&value).encode(), input.as_bytes());
    }
}

#[test]
fn each_bad_input_is_refused_with_the_right_error() {
    let deep = "l".repeat(20_000);
    let many = format!("l{}e", "i0e".repeat(MAX_VALUES));
    let table: &[(&str, Error)] = &[
        ("", Error::Truncated(0)),
        ("i", Error::Truncated(1)),
        ("i1", Error::Truncated(2)),
        ("ie", Error::Number(1)),
        ("i-e", Error::Number(1)),
        ("i-0e", Error::Number(1)),
        ("i007e", Error::Number(1)),
        ("i00e", Error::Number(1)),
        ("i1-2e", Error::Number(1)),
        ("i+1e", Error::Unexpected(1)),
        ("i 1e", Error::Unexpected(1)),
        ("i9223372036854775808e", Error::Number(1)),
        ("i99999999999999999999999999999e", Error::Number(1)),
        ("5:spam", Error::Truncated(6)),
        ("99999999999:", Error::Truncated(12)),
        ("99999999999999999999999:", Error::Number(0)),
        ("04:spam", Error::Number(0)),
        ("4spam", Error::Unexpected(1)),
        ("-4:spam", Error::Unexpected(0)),
        ("l", Error::Truncated(1)),
        ("li1e", Error::Truncated(4)),
        ("d1:a", Error::Truncated(4)),
        ("d1:ae", Error::Unexpected(4)),
        ("di1ei1ee", Error::Unexpected(1)),
        ("d1:bi1e1:ai1ee", Error::Unsorted(7)),
        ("d1:ai1e1:ai1ee", Error::DuplicateKey(7)),
        ("x", Error::Unexpected(0)),
        ("i1ei2e", Error::Trailing(3)),
        ("le ", Error::Trailing(2)),
        (&deep, Error::TooDeep(MAX_DEPTH)),
        (&many, Error::TooMany(MAX_VALUES)),
    ];
    for (input, error) in table {
        let shown: String = input.chars().take(40).collect();
        assert_eq!(
            Value::parse(input.as_bytes(), KeyOrder::Sorted)
                .as_ref()
                .err(),
            Some(error),
            "{shown}"
        );
    }
}

#[test]
fn unsorted_keys_are_accepted_if_allowed_and_duplicates_never() {
    let value = Value::parse(b"d1:bi2e1:ai1ee", KeyOrder::Any).unwrap();
    let dictionary = value.dictionary().unwrap();
    assert_eq!(dictionary.value("a").and_then(Value::integer), Some(1));
    assert_eq!(dictionary.value("b").and_then(Value::integer), Some(2));
    assert_eq!(dictionary.value("c"), None);
    assert!(matches!(
        Value::parse(b"d1:bi2e1:ai1e1:bi3ee", KeyOrder::Any),
        Err(Error::DuplicateKey(_))
    ));
}

#[test]
fn parsing_a_prefix_returns_the_bytes_after_it() {
    let (value, rest) = Value::parse_prefix(b"de\xff\x00", KeyOrder::Sorted, 1).unwrap();
    assert_eq!((value.raw(), rest), (&b"de"[..], &b"\xff\x00"[..]));
    let too_many = Value::parse_prefix(b"leff", KeyOrder::Sorted, 0);
    assert_eq!(too_many, Err(Error::TooMany(0)));
}

fn item_of<'a>(value: &Value<'a>) -> Item<'a> {
    match value.kind() {
        Kind::Integer(number) => Item::Integer(*number),
        Kind::Bytes(bytes) => (*bytes).into(),
        Kind::List(items) => Item::List(items.iter().map(item_of).collect()),
        Kind::Dictionary(dictionary) => Item::dictionary(
            dictionary
                .entries()
                .map(|(key, value)| (std::str::from_utf8(key).unwrap(), item_of(value))),
        ),
    }
}

fn any_item() -> impl Strategy<Value = Item<'static>> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Item::Integer),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Item::from)
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        let keys = prop::sample::subsequence(vec!["", "a", "info", "name", "zz"], 0..5);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Item::List),
            (keys, prop::collection::vec(inner, 5))
                .prop_map(|(keys, items)| Item::dictionary(keys.into_iter().zip(items))),
        ]
    })
}

proptest! {
    #[test]
    fn written_values_are_read_back(item in any_item()) {
        let bytes = item.encode();
        let value = Value::parse(&bytes, KeyOrder::Sorted).unwrap();
        prop_assert_eq!(item_of(&value), item);
    }

    #[test]
    fn any_bytes_are_refused_or_are_canonical(bytes in prop::collection::vec(prop::sample::select(&b"ilde0123456789:-ax"[..]), 0..64)) {
        if let Ok(value) = Value::parse(&bytes, KeyOrder::Sorted) {
            prop_assert_eq!(item_of(&value).encode(), bytes);
        }
    }
}
