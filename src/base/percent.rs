//! `%`-escapes of URLs (RFC 3986, section 2.1).

/// Appends `bytes`. Everything except unreserved characters (section 2.3) is escaped.
pub fn escape_into(bytes: &[u8], out: &mut String) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            escape_byte(byte, out);
        }
    }
}

/// Appends the escape of one byte.
pub fn escape_byte(byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |at: u8| DIGITS.get(usize::from(at)).copied().map_or('0', char::from);
    out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
}

/// `text`, escaped as by [`escape_into`].
pub fn escape(text: &str) -> String {
    let mut out = String::new();
    escape_into(text.as_bytes(), &mut out);
    out
}
