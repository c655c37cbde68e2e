//! The SHA-256 of a certificate, as a text that people can compare.

use crate::base::hex::{self, Hex};
use ring::digest;
use std::fmt;
use std::str::FromStr;

/// SHA-256 of a certificate's DER, written `sha256:` and 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

/// The text is not a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is written as sha256:HEX, where HEX is 64 hex digits")]
pub struct FingerprintError;

impl Fingerprint {
    /// The fingerprint of a certificate.
    pub fn of(certificate: &[u8]) -> Self {
        let mut bytes = [0; 32];
        let hash = digest::digest(&digest::SHA256, certificate);
        for (byte, found) in bytes.iter_mut().zip(hash.as_ref()) {
            *byte = *found;
        }
        Self(bytes)
    }

    /// The fingerprint with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The SHA-256.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digits = text.strip_prefix("sha256:");
        digits.and_then(hex::read).map(Self).ok_or(FingerprintError)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", Hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_fingerprint_is_parsed_and_other_texts_are_refused() {
        // FIPS 180-2, appendix B.1.
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let abc = Fingerprint::of(b"abc");
        assert_eq!(abc.to_string(), text);
        let upper = text.to_uppercase().replace("SHA256", "sha256");
        assert_eq!((text.parse(), upper.parse()), (Ok(abc), Ok(abc)));
        let odd = text.get(..text.len() - 1).unwrap();
        let long = format!("{text}0");
        let sign = text.replace("ba78", "+a78");
        for bad in ["", "sha256:", &text[7..], odd, &long, &sign] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(FingerprintError), "{bad}");
        }
    }
}
