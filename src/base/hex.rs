//! Hexadecimal text, two digits per byte.

use std::fmt;

/// Bytes to be shown as hexadecimal digits in lower case.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The `N` bytes that `text` encodes, if it is `2 * N` digits of either case.
pub fn read<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, []) = text.as_bytes().as_chunks() else {
        return None;
    };
    let mut bytes = [0; N];
    if pairs.len() != N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = self::byte(*pair)?;
    }
    Some(bytes)
}

/// The byte that two digits encode.
pub fn byte([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_bytes_are_read_back() {
        let text = Hex(&[0, 0x1f, 0xab]).to_string();
        assert_eq!(text, "001fab");
        assert_eq!(read(&text), Some([0, 0x1f, 0xab]));
        assert_eq!(read("001FAB"), Some([0, 0x1f, 0xab]));
        for bad in [
            "", "001fa", "001fab00", "+01fab", "00 fab", "001fag", "001fä",
        ] {
            assert_eq!(read::<3>(bad), None, "{bad}");
        }
    }
}
