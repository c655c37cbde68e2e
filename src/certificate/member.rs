//! A member's key pair. The private key never leaves the member's machine.

use super::CertificateError;
use super::authority::{KEY_LABEL, key_pair, new_key};
use super::pem;
use super::x509::POINT_LENGTH;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::fmt;

/// Length, in bytes, of a request for a certificate: a public key and a signature.
pub const KEY_REQUEST_LENGTH: usize = POINT_LENGTH + 64;
/// The signed bytes of a request begin with this, so that no signature made for another purpose
/// passes as a request.
const PURPOSE: &[u8] = b"pieceful member key\0";

/// A member's key pair on P-256.
#[derive(PartialEq, Eq)]
pub struct MemberKey {
    /// The key pair, encoded as PKCS #8 (RFC 5958).
    pkcs8: PrivatePkcs8KeyDer<'static>,
    /// The public key, as an uncompressed point on the curve.
    point: [u8; POINT_LENGTH],
}

/// The public half of a key. Its owner has proved to have the private half.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MemberPublicKey(pub(super) [u8; POINT_LENGTH]);

/// Why no certificate is issued for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRequestError {
    /// The request has the wrong length.
    #[error("a request for a certificate has {KEY_REQUEST_LENGTH} bytes, not {0}")]
    Length(usize),
    /// The public key in the request is not a point on the curve, or its private key did not sign
    /// this request with this context.
    #[error("the request for a certificate is not signed by the key in it")]
    NotProven,
}

impl MemberKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// [`CertificateError::NoRandomness`].
    pub fn generate() -> Result<Self, CertificateError> {
        let (pkcs8, pair) = new_key()?;
        let point = pair.public_key().as_ref().try_into();
        let point = point.map_err(|_| CertificateError::Key)?;
        Ok(Self { pkcs8, point })
    }

    /// The key pair that [`MemberKey::pkcs8_bytes`] returned. `None` if the bytes are no key pair
    /// on P-256.
    pub fn from_pkcs8(bytes: &[u8]) -> Option<Self> {
        let point = key_pair(bytes)?.public_key().as_ref().try_into().ok()?;
        let pkcs8 = bytes.to_vec().into();
        Some(Self { pkcs8, point })
    }

    /// The key pair, encoded as PKCS #8 (RFC 5958), to store it.
    pub fn pkcs8_bytes(&self) -> &[u8] {
        self.pkcs8.secret_pkcs8_der()
    }

    /// Makes a request for a certificate: the public key and a signature by the private key.
    /// `context` says for whom and for what the request is, so that no one else can use it.
    ///
    /// # Errors
    /// [`CertificateError::NoRandomness`].
    pub fn request(&self, context: &[u8]) -> Result<[u8; KEY_REQUEST_LENGTH], CertificateError> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, self.pkcs8.secret_pkcs8_der(), &random);
        let pair = pair.map_err(|_| CertificateError::Key)?;
        let signature = pair.sign(&random, &bytes_to_sign(&self.point, context));
        let signature = signature.map_err(|_| CertificateError::NoRandomness)?;
        let request = [&self.point, signature.as_ref()].concat().try_into();
        request.map_err(|_| CertificateError::Key)
    }

    /// The private key as text (PKCS #8), for another program of the same person.
    pub fn to_pem(&self) -> String {
        let mut text = String::new();
        pem::write(KEY_LABEL, self.pkcs8.secret_pkcs8_der(), &mut text);
        text
    }

    #[cfg(test)]
    pub(super) fn from_parts(
        pkcs8: PrivatePkcs8KeyDer<'static>,
        point: [u8; POINT_LENGTH],
    ) -> Self {
        Self { pkcs8, point }
    }

    pub(super) fn point(&self) -> &[u8] {
        &self.point
    }

    pub(super) fn pkcs8(&self) -> &PrivatePkcs8KeyDer<'static> {
        &self.pkcs8
    }
}

impl Clone for MemberKey {
    fn clone(&self) -> Self {
        Self {
            pkcs8: self.pkcs8.clone_key(),
            point: self.point,
        }
    }
}

impl fmt::Debug for MemberKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberKey").finish_non_exhaustive()
    }
}

impl MemberPublicKey {
    /// Returns the public key in a request, after checking that its private key signed the request
    /// with this `context`. The returned point is on the curve, because no signature verifies with
    /// any other point.
    ///
    /// # Errors
    /// See [`KeyRequestError`].
    pub fn from_request(request: &[u8], context: &[u8]) -> Result<Self, KeyRequestError> {
        let wrong_length = KeyRequestError::Length(request.len());
        if request.len() != KEY_REQUEST_LENGTH {
            return Err(wrong_length);
        }
        let (point, signature) = request
            .split_first_chunk::<POINT_LENGTH>()
            .ok_or(wrong_length)?;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        let verified = key.verify(&bytes_to_sign(point, context), signature);
        verified.map_err(|_| KeyRequestError::NotProven)?;
        Ok(Self(*point))
    }

    /// SHA-256 of the key.
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(digest(&SHA256, &self.0).as_ref()) {
            *to = *from;
        }
        hash
    }
}

impl fmt::Debug for MemberPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberPublicKey").finish_non_exhaustive()
    }
}

/// The bytes that are signed for a request. The point has a fixed length and the context comes
/// last, so they differ for requests with different points or contexts.
fn bytes_to_sign(point: &[u8; POINT_LENGTH], context: &[u8]) -> Vec<u8> {
    [PURPOSE, point, context].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_accepted_only_with_its_own_key_and_context() {
        let key = MemberKey::generate().unwrap();
        let request = key.request(b"alice").unwrap();
        let proven = MemberPublicKey::from_request(&request, b"alice").unwrap();
        assert_eq!(proven.0, key.point);
        let refused = |request: &[u8], context| {
            MemberPublicKey::from_request(request, context) == Err(KeyRequestError::NotProven)
        };
        assert!(refused(&request, b"bob"));
        let other = MemberKey::generate().unwrap();
        let swapped = [&other.point[..], &request[POINT_LENGTH..]].concat();
        assert!(refused(&swapped, b"alice"));
        for at in 0..KEY_REQUEST_LENGTH {
            let mut changed = request;
            changed[at] ^= 1;
            assert!(refused(&changed, b"alice"), "byte {at}");
        }
        assert!(refused(&[0; KEY_REQUEST_LENGTH], b"alice"));
    }

    #[test]
    fn a_request_of_another_length_is_refused() {
        let request = MemberKey::generate().unwrap().request(b"").unwrap();
        let longer = [&request[..], &[0]].concat();
        for bad in [&[][..], &request[..KEY_REQUEST_LENGTH - 1], &longer] {
            let error = MemberPublicKey::from_request(bad, b"").unwrap_err();
            assert_eq!(error, KeyRequestError::Length(bad.len()));
        }
    }

    #[test]
    fn debug_output_does_not_contain_the_key() {
        let key = MemberKey::generate().unwrap();
        assert_eq!(format!("{key:?}"), "MemberKey { .. }");
    }
}
