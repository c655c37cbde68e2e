//! A member's key: made where the member is, only its public half leaves.

use super::CertificateError;
use super::authority::new_key;
use super::x509::POINT;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::fmt;

/// The length of a request for a certificate, in bytes: a point and a signature.
pub const KEY_REQUEST: usize = POINT + 64;
/// What the signature of a request begins over, so that none made for anything else passes for it.
const PURPOSE: &[u8] = b"pieceful member key\0";

/// A member's key pair on P-256.
pub struct MemberKey {
    /// As PKCS #8 (RFC 5958).
    pkcs8: PrivatePkcs8KeyDer<'static>,
    point: [u8; POINT],
}

/// The public half of a key whose owner has shown that the other half is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MemberPublicKey(pub(super) [u8; POINT]);

/// Why no certificate is issued for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRequestError {
    /// It has another length.
    #[error("a request for a certificate has {KEY_REQUEST} bytes, not {0}")]
    Length(usize),
    /// No point on the curve, or no signature by its private half in this context.
    #[error("the request for a certificate is not signed by the key it names")]
    NotProven,
}

impl MemberKey {
    /// A new key.
    ///
    /// # Errors
    /// [`CertificateError::NoRandomness`].
    pub fn generate() -> Result<Self, CertificateError> {
        let (pkcs8, pair) = new_key()?;
        let point = pair.public_key().as_ref().try_into();
        let point = point.map_err(|_| CertificateError::Key)?;
        Ok(Self { pkcs8, point })
    }

    /// Asks for a certificate: the public key, and a signature by the private one. `context` says for whom and where it
    /// is asked for, so that nobody else can pass the request off as his own.
    ///
    /// # Errors
    /// [`CertificateError::NoRandomness`].
    pub fn request(&self, context: &[u8]) -> Result<[u8; KEY_REQUEST], CertificateError> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, self.pkcs8.secret_pkcs8_der(), &random);
        let pair = pair.map_err(|_| CertificateError::Key)?;
        let signature = pair.sign(&random, &signed(&self.point, context));
        let signature = signature.map_err(|_| CertificateError::NoRandomness)?;
        let request = [&self.point, signature.as_ref()].concat().try_into();
        request.map_err(|_| CertificateError::Key)
    }

    #[cfg(test)]
    pub(super) fn from_parts(pkcs8: PrivatePkcs8KeyDer<'static>, point: [u8; POINT]) -> Self {
        Self { pkcs8, point }
    }

    pub(super) fn point(&self) -> &[u8] {
        &self.point
    }

    pub(super) fn pkcs8(&self) -> &PrivatePkcs8KeyDer<'static> {
        &self.pkcs8
    }
}

impl fmt::Debug for MemberKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberKey").finish_non_exhaustive()
    }
}

impl MemberPublicKey {
    /// Takes a request that was made in this context. Its point is on the curve, as no signature verifies by any other.
    ///
    /// # Errors
    /// See [`KeyRequestError`].
    pub fn proven(request: &[u8], context: &[u8]) -> Result<Self, KeyRequestError> {
        let length = KeyRequestError::Length(request.len());
        if request.len() != KEY_REQUEST {
            return Err(length);
        }
        let (point, signature) = request.split_first_chunk::<POINT>().ok_or(length)?;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        let verified = key.verify(&signed(point, context), signature);
        verified.map_err(|_| KeyRequestError::NotProven)?;
        Ok(Self(*point))
    }
}

impl fmt::Debug for MemberPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberPublicKey").finish_non_exhaustive()
    }
}

/// The context comes last and the point has one length: no two requests sign the same bytes.
fn signed(point: &[u8; POINT], context: &[u8]) -> Vec<u8> {
    [PURPOSE, point, context].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_good_for_its_key_and_context_alone() {
        let key = MemberKey::generate().unwrap();
        let request = key.request(b"alice").unwrap();
        let proven = MemberPublicKey::proven(&request, b"alice").unwrap();
        assert_eq!(proven.0, key.point);
        let refused = |request: &[u8], context| {
            MemberPublicKey::proven(request, context) == Err(KeyRequestError::NotProven)
        };
        assert!(refused(&request, b"bob"));
        let other = MemberKey::generate().unwrap();
        let swapped = [&other.point[..], &request[POINT..]].concat();
        assert!(refused(&swapped, b"alice"));
        for at in 0..KEY_REQUEST {
            let mut changed = request;
            changed[at] ^= 1;
            assert!(refused(&changed, b"alice"), "byte {at}");
        }
        assert!(refused(&[0; KEY_REQUEST], b"alice"));
    }

    #[test]
    fn a_request_of_another_length_is_none() {
        let request = MemberKey::generate().unwrap().request(b"").unwrap();
        let longer = [&request[..], &[0]].concat();
        for bad in [&[][..], &request[..KEY_REQUEST - 1], &longer] {
            let error = MemberPublicKey::proven(bad, b"").unwrap_err();
            assert_eq!(error, KeyRequestError::Length(bad.len()));
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = MemberKey::generate().unwrap();
        assert_eq!(format!("{key:?}"), "MemberKey { .. }");
    }
}
