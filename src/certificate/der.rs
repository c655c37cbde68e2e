//! The part of DER (ITU-T X.690) that certificates need: encoding a value, and splitting the first
//! value off some bytes.
//!
//! Lengths are below 2^16. Certificates made here are far shorter.

// Tags of X.509 (RFC 5280, appendix A).
pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// The tag of a constructed context-specific value, `[number]`.
pub(super) const fn explicit(number: u8) -> u8 {
    0xa0 | number
}

/// The tag of a primitive context-specific value, `[number] IMPLICIT`.
pub(super) const fn implicit(number: u8) -> u8 {
    0x80 | number
}

/// Encodes a value with this tag. Its content is the concatenation of `parts`.
pub(super) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    let [.., high, low] = length.to_be_bytes();
    match length {
        0..0x80 => out.push(low),
        0x80..0x100 => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// Encodes a bit string of whole bytes.
pub(super) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    value(BIT_STRING, &[&[0], bytes])
}

/// Splits off the first value, if it has this tag. Returns its content, the value with its header,
/// and the bytes after it.
pub(super) fn take(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (found, rest) = input.split_first()?;
    let (length, rest) = match rest.split_first()? {
        (short @ 0..=0x7f, rest) => (usize::from(*short), rest),
        (0x81, rest) => {
            let (length, rest) = rest.split_first()?;
            (usize::from(*length), rest)
        }
        (0x82, rest) => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    let (whole, _) = input.split_at_checked(input.len() - rest.len())?;
    (*found == tag).then_some((content, whole, rest))
}

/// The values in `input`, one after the other: the tag and the content of each. Ends at the first
/// value that is damaged.
pub(super) fn values(mut input: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let tag = *input.first()?;
        let (content, _, rest) = take(tag, input)?;
        input = rest;
        Some((tag, content))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_value_is_split_off_again() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x1234] {
            let content = vec![7; length];
            let mut bytes = value(OCTET_STRING, &[&content]);
            let whole = bytes.clone();
            bytes.push(9);
            let taken = take(OCTET_STRING, &bytes);
            assert_eq!(taken, Some((&content[..], &whole[..], &[9][..])));
            assert_eq!(take(SEQUENCE, &bytes), None);
            assert_eq!(take(OCTET_STRING, &whole[..whole.len() - 1]), None);
        }
        assert_eq!(value(SEQUENCE, &[&[1], &[2, 3]]), [0x30, 3, 1, 2, 3]);
        assert_eq!(bit_string(&[5]), [3, 2, 0, 5]);
        for bad in [
            &b""[..],
            b"\x30",
            b"\x30\x80\0\0",
            b"\x30\x83\0\0\0",
            b"\x30\x82\0",
        ] {
            assert_eq!(take(SEQUENCE, bad), None, "{bad:?}");
        }
    }
}
