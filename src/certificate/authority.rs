//! A certificate authority and the identities that it issues.

use super::error::CertificateError;
use super::validity::Validity;
use super::x509::{
    CLIENT_AUTH, CertificateParts, LeafNames, NewCertificate, SERVER_AUTH, authority_extensions,
    leaf_extensions, name, sign,
};
use super::{Fingerprint, pem};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt;

/// The common name of a cluster's authority.
pub const CLUSTER_AUTHORITY: &str = "pieceful cluster";

pub(super) const CERTIFICATE_LABEL: &str = "CERTIFICATE";
pub(super) const KEY_LABEL: &str = "PRIVATE KEY";

/// An authority: its self-signed certificate, and the key that signs other certificates.
pub struct Authority {
    certificate: CertificateDer<'static>,
    /// The key as PKCS #8 (RFC 5958).
    key: PrivatePkcs8KeyDer<'static>,
    pair: EcdsaKeyPair,
    /// The authority's name, a complete DER value. Issued certificates have these bytes as their
    /// issuer.
    subject: Vec<u8>,
}

/// A certificate with its key, for use in handshakes.
#[derive(Debug)]
pub struct Identity {
    /// The certificate, then its authority's certificate.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first certificate.
    pub key: PrivateKeyDer<'static>,
}

impl Authority {
    /// Makes an authority with a new key.
    ///
    /// # Errors
    /// [`CertificateError::NoRandomness`].
    pub fn generate(common_name: &str) -> Result<Self, CertificateError> {
        let (key, pair) = new_key()?;
        let subject = name(common_name);
        let point = pair.public_key().as_ref();
        let contents = NewCertificate {
            issuer: &subject,
            subject: &subject,
            point,
            validity: Validity::ALWAYS,
            extensions: &authority_extensions(point),
        };
        let certificate = sign(&pair, &contents)?;
        Ok(Self {
            certificate,
            key,
            pair,
            subject,
        })
    }

    /// Reads the text that [`Authority::to_pem`] wrote. Detects every change of the two PEM
    /// sections except changes of white space. Text outside of the sections is ignored.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn from_pem(text: &[u8]) -> Result<Self, CertificateError> {
        let (mut certificates, mut keys) = (Vec::new(), Vec::new());
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
            match section.map_err(|_| CertificateError::NotPem)? {
                (SectionKind::Certificate, der) => certificates.push(der),
                (SectionKind::PrivateKey, der) => keys.push(der),
                _ => return Err(CertificateError::WrongSections),
            }
        }
        let (certificate, key) = match (certificates.pop(), keys.pop()) {
            (None, None) => return Err(CertificateError::NotPem),
            (Some(certificate), Some(key)) if certificates.is_empty() && keys.is_empty() => {
                (certificate, key)
            }
            _ => return Err(CertificateError::WrongSections),
        };
        let pair = key_pair(&key).ok_or(CertificateError::Key)?;
        let certificate = CertificateDer::from(certificate);
        let parts = CertificateParts::parse(&certificate).ok_or(CertificateError::Certificate)?;
        let point = parts.point.ok_or(CertificateError::Certificate)?;
        if point != pair.public_key().as_ref() {
            return Err(CertificateError::OtherKey);
        }
        if !parts.is_signed_by(point) {
            return Err(CertificateError::Certificate);
        }
        let subject = parts.subject.to_vec();
        Ok(Self {
            certificate,
            key: key.into(),
            pair,
            subject,
        })
    }

    /// Certificate and key as text. Anyone who has this text can sign as this authority.
    pub fn to_pem(&self) -> String {
        let mut text = String::new();
        pem::write(CERTIFICATE_LABEL, &self.certificate, &mut text);
        pem::write(KEY_LABEL, self.key.secret_pkcs8_der(), &mut text);
        text
    }

    /// The fingerprint of its certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// Issues an identity with a new key under this DNS name, for servers and clients. It never
    /// expires.
    ///
    /// # Errors
    /// [`CertificateError::NoRandomness`].
    pub fn issue(&self, dns_name: &str) -> Result<Identity, CertificateError> {
        let (key, pair) = new_key()?;
        let point = pair.public_key().as_ref();
        let uses = [SERVER_AUTH, CLIENT_AUTH];
        let names = LeafNames {
            common: dns_name,
            dns: dns_name,
            uri: None,
        };
        let leaf = self.sign_leaf(point, &names, Validity::ALWAYS, &uses)?;
        Ok(Identity {
            chain: vec![leaf, self.certificate.clone()],
            key: key.into(),
        })
    }

    /// A secret key that only holders of the authority's private key can derive. Each label has a
    /// different secret key (HKDF with SHA-256, RFC 5869, over the private key's PKCS #8 bytes).
    pub fn derive_key(&self, label: &str) -> [u8; 32] {
        let (mut key, info) = ([0; 32], [label.as_bytes()]);
        let secret = Salt::new(HKDF_SHA256, &[]).extract(self.key.secret_pkcs8_der());
        let derived = secret.expand(&info, HKDF_SHA256);
        let filled = derived.and_then(|block| block.fill(&mut key));
        // After a failure the key would be all zeros, which anyone can guess.
        assert!(filled.is_ok(), "one block of HKDF is never too long");
        key
    }

    /// Its certificate.
    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Signs any bytes.
    #[cfg(any(test, fuzzing))]
    pub(super) fn fuzz_sign(&self, bytes: &[u8]) -> Vec<u8> {
        let signature = self.pair.sign(&SystemRandom::new(), bytes);
        signature.expect("random numbers").as_ref().to_vec()
    }

    /// The authority's own key, in the type of a member's key.
    #[cfg(test)]
    pub(super) fn member_key(&self) -> super::MemberKey {
        let point = self.pair.public_key().as_ref().try_into().unwrap();
        super::MemberKey::from_parts(self.key.clone_key(), point)
    }

    /// Signs a leaf certificate for the public key `point`.
    pub(super) fn sign_leaf(
        &self,
        point: &[u8],
        names: &LeafNames<'_>,
        validity: Validity,
        uses: &[&[u8]],
    ) -> Result<CertificateDer<'static>, CertificateError> {
        let signer_point = self.pair.public_key().as_ref();
        let contents = NewCertificate {
            issuer: &self.subject,
            subject: &name(names.common),
            point,
            validity,
            extensions: &leaf_extensions(point, signer_point, names, uses),
        };
        sign(&self.pair, &contents)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authority")
            .field(&self.fingerprint())
            .finish()
    }
}

pub(super) fn new_key() -> Result<(PrivatePkcs8KeyDer<'static>, EcdsaKeyPair), CertificateError> {
    let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_ASN1_SIGNING);
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random);
    let key = key.map_err(|_| CertificateError::NoRandomness)?;
    let pair = key_pair(key.as_ref()).ok_or(CertificateError::Key)?;
    Ok((key.as_ref().to_vec().into(), pair))
}

pub(super) fn key_pair(pkcs8: &[u8]) -> Option<EcdsaKeyPair> {
    let random = SystemRandom::new();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, &random).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::{ServerName, UnixTime};
    use std::sync::Arc;
    use std::time::Duration;

    fn accepts(trusted: &Authority, identity: &Identity, name: &str, now: Duration) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        let name = ServerName::try_from(name).unwrap();
        let now = UnixTime::since_unix_epoch(now);
        verifier
            .verify_server_cert(&identity.chain[0], &[], &name, &[], now)
            .is_ok()
    }

    #[test]
    fn an_issued_certificate_is_valid_at_any_time_and_only_under_its_authority() {
        let ours = Authority::generate("ours").unwrap();
        let identity = ours.issue("tracker").unwrap();
        for years in [31, 56, 130, 7000] {
            let now = Duration::from_secs(years * 365 * 86_400);
            assert!(accepts(&ours, &identity, "tracker", now), "{years}");
        }
        let now = Duration::from_secs(1_800_000_000);
        assert!(!accepts(&ours, &identity, "other", now));
        // Another authority, with the same name.
        let other = Authority::generate("ours").unwrap();
        assert!(!accepts(&other, &identity, "tracker", now));
        assert_ne!(ours.fingerprint(), other.fingerprint());
        assert_eq!(Fingerprint::of(&identity.chain[1]), ours.fingerprint());
    }

    #[test]
    fn an_authority_is_read_as_it_was_written() {
        let made = Authority::generate("ours").unwrap();
        let text = made.to_pem();
        let read = Authority::from_pem(text.as_bytes()).unwrap();
        assert_eq!(read.fingerprint(), made.fingerprint());
        assert_eq!(read.to_pem(), text);
        let now = Duration::from_secs(1_800_000_000);
        assert!(accepts(
            &made,
            &read.issue("tracker").unwrap(),
            "tracker",
            now
        ));
        assert!(!format!("{read:?}").contains(text.lines().nth(1).unwrap()));
    }

    #[test]
    fn a_derived_key_depends_on_the_private_key_and_the_label() {
        let (one, other) = (
            Authority::generate("a").unwrap(),
            Authority::generate("a").unwrap(),
        );
        let copy = Authority::from_pem(one.to_pem().as_bytes()).unwrap();
        assert_eq!(one.derive_key("x"), copy.derive_key("x"));
        let mut expected = [0; 32];
        let salt = Salt::new(HKDF_SHA256, &[]);
        let secret = salt.extract(one.key.secret_pkcs8_der());
        let output = secret.expand(&[b"x"], HKDF_SHA256).unwrap();
        output.fill(&mut expected).unwrap();
        assert_eq!(one.derive_key("x"), expected);
        assert_ne!(one.derive_key("x"), one.derive_key("y"));
        assert_ne!(one.derive_key("x"), other.derive_key("x"));
    }

    #[test]
    fn each_defect_has_its_error() {
        let (ours, other) = (
            Authority::generate("a").unwrap(),
            Authority::generate("a").unwrap(),
        );
        let (text, other) = (ours.to_pem(), other.to_pem());
        let split = |text: &str| {
            let at = text.find("-----BEGIN PRIVATE").unwrap();
            (text[..at].to_owned(), text[at..].to_owned())
        };
        let ((certificate, key), (_, other_key)) = (split(&text), split(&other));
        let cut = text[..text.len() - 20].to_owned();
        let other_label = key.replace("PRIVATE KEY", "EC PRIVATE KEY");
        for (text, expected) in [
            (String::new(), CertificateError::NotPem),
            ("hello\n".into(), CertificateError::NotPem),
            (cut, CertificateError::NotPem),
            (certificate.clone(), CertificateError::WrongSections),
            (key.clone(), CertificateError::WrongSections),
            (format!("{text}{text}"), CertificateError::WrongSections),
            (
                format!("{certificate}{other_label}"),
                CertificateError::WrongSections,
            ),
            (
                format!("{certificate}{other_key}"),
                CertificateError::OtherKey,
            ),
        ] {
            let error = Authority::from_pem(text.as_bytes()).unwrap_err();
            assert_eq!(error, expected, "{text}");
        }
    }

    #[test]
    fn every_changed_byte_is_detected() {
        let ours = Authority::generate("a").unwrap();
        let is_accepted = |certificate: &[u8], key: &[u8]| {
            let mut text = String::new();
            pem::write(CERTIFICATE_LABEL, certificate, &mut text);
            pem::write(KEY_LABEL, key, &mut text);
            Authority::from_pem(text.as_bytes()).is_ok()
        };
        let key = ours.key.secret_pkcs8_der();
        assert!(is_accepted(&ours.certificate, key));
        for at in 0..ours.certificate.len() {
            let mut changed = ours.certificate.to_vec();
            changed[at] ^= 1;
            assert!(!is_accepted(&changed, key), "byte {at} of the certificate");
        }
        for at in 0..key.len() {
            let mut changed = key.to_vec();
            changed[at] ^= 1;
            assert!(
                !is_accepted(&ours.certificate, &changed),
                "byte {at} of the key"
            );
        }
    }
}
