//! Writing PEM (RFC 7468). rustls does the reading.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Characters per line of base64.
const LINE_LENGTH: usize = 64;

/// Appends one section.
pub(super) fn write(label: &str, der: &[u8], out: &mut String) {
    out.push_str(&format!("-----BEGIN {label}-----\n"));
    // Three bytes become four characters.
    for line in der.chunks(LINE_LENGTH / 4 * 3) {
        STANDARD.encode_string(line, out);
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    #[test]
    fn sections_of_every_length_are_read_as_they_were_written() {
        for length in 0..200u8 {
            let der: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(37)).collect();
            let mut text = String::new();
            write("CERTIFICATE", &der, &mut text);
            assert!(text.lines().all(|line| line.len() <= LINE_LENGTH));
            let read = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
            assert_eq!(read.as_ref(), der, "{text}");
        }
    }
}
