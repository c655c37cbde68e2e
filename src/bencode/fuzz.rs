//! The fuzz function of the reader.

use super::{KeyOrder, Kind, Value, encode_bytes, encode_number};

/// Reads the input in both key orders. Strict bencode has one form: a value that was read with
/// [`KeyOrder::Sorted`] is written as the same bytes.
pub(crate) fn fuzz(input: &[u8]) {
    if let Ok(value) = Value::parse(input, KeyOrder::Sorted) {
        assert_eq!(canonical(&value), input);
    }
    let Ok((value, rest)) = Value::parse_prefix(input, KeyOrder::Any, 1_000) else {
        return;
    };
    assert_eq!([value.raw(), rest].concat(), input);
    let sorted = canonical(&value);
    let again = Value::parse(&sorted, KeyOrder::Sorted);
    assert_eq!(canonical(&again.expect("canonical bencode")), sorted);
}

fn canonical(value: &Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &mut out);
    out
}

fn write(value: &Value<'_>, out: &mut Vec<u8>) {
    match value.kind() {
        Kind::Integer(number) => {
            out.push(b'i');
            encode_number(*number, out);
            out.push(b'e');
        }
        Kind::Bytes(bytes) => encode_bytes(bytes, out),
        Kind::List(items) => {
            out.push(b'l');
            items.iter().for_each(|item| write(item, out));
            out.push(b'e');
        }
        Kind::Dictionary(dictionary) => {
            out.push(b'd');
            for (key, value) in dictionary.entries() {
                encode_bytes(key, out);
                write(value, out);
            }
            out.push(b'e');
        }
    }
}
