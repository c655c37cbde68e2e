//! X.509 v3 certificates (RFC 5280) for ECDSA keys on P-256: put together and signed, and what one says of itself.

use super::CertificateError;
use super::der::{self, value};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1, EcdsaKeyPair, KeyPair, UnparsedPublicKey};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

// Object identifiers, as DER has them (RFC 5480, sections 2.1.1 and 2.1.1.1; RFC 5758, section 3.2; RFC 5280, section 4.2.1).
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];

/// Dates that no clock is outside of: these certificates are trusted by fingerprint, not by date. The end is the one that
/// RFC 5280, section 4.1.2.5, has for certificates without one.
const NOT_BEFORE: &[u8] = b"000101000000Z";
const NOT_AFTER: &[u8] = b"99991231235959Z";

/// A name of one attribute (RFC 5280, section 4.1.2.4).
pub(super) fn name(common_name: &str) -> Vec<u8> {
    let attribute = value(
        der::SEQUENCE,
        &[
            &value(der::OID, &[COMMON_NAME]),
            &value(der::UTF8_STRING, &[common_name.as_bytes()]),
        ],
    );
    value(der::SEQUENCE, &[&value(der::SET, &[&attribute])])
}

/// The subject's public key (RFC 5480, section 2).
pub(super) fn public_key_info(pair: &EcdsaKeyPair) -> Vec<u8> {
    let algorithm = value(
        der::SEQUENCE,
        &[
            &value(der::OID, &[EC_PUBLIC_KEY]),
            &value(der::OID, &[P256]),
        ],
    );
    let point = der::bits(pair.public_key().as_ref());
    value(der::SEQUENCE, &[&algorithm, &point])
}

/// By which a key is found (RFC 7093, section 2, method 1).
fn key_id(pair: &EcdsaKeyPair) -> Vec<u8> {
    let hash = digest(&SHA256, pair.public_key().as_ref());
    hash.as_ref().iter().take(20).copied().collect()
}

fn signature_algorithm() -> Vec<u8> {
    value(der::SEQUENCE, &[&value(der::OID, &[ECDSA_WITH_SHA256])])
}

fn extension(id: &[u8], critical: bool, content: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical {
        &[der::BOOLEAN, 1, 0xff]
    } else {
        &[]
    };
    value(
        der::SEQUENCE,
        &[
            &value(der::OID, &[id]),
            critical,
            &value(der::OCTET_STRING, &[content]),
        ],
    )
}

/// It may sign certificates and nothing else, and none of an authority below it.
pub(super) fn authority_extensions(pair: &EcdsaKeyPair) -> Vec<u8> {
    let constraints = [der::BOOLEAN, 1, 0xff, der::INTEGER, 1, 0];
    [
        extension(
            BASIC_CONSTRAINTS,
            true,
            &value(der::SEQUENCE, &[&constraints]),
        ),
        // keyCertSign and cRLSign, bits 5 and 6.
        extension(KEY_USAGE, true, &[der::BIT_STRING, 2, 1, 0b0000_0110]),
        extension(
            SUBJECT_KEY_ID,
            false,
            &value(der::OCTET_STRING, &[&key_id(pair)]),
        ),
    ]
    .concat()
}

pub(super) fn leaf_extensions(
    pair: &EcdsaKeyPair,
    issuer: &EcdsaKeyPair,
    dns_name: &str,
) -> Vec<u8> {
    let names = value(der::implicit(2), &[dns_name.as_bytes()]);
    let uses = [SERVER_AUTH, CLIENT_AUTH].map(|id| value(der::OID, &[id]));
    let issuer = value(der::implicit(0), &[&key_id(issuer)]);
    [
        // digitalSignature, bit 0.
        extension(KEY_USAGE, true, &[der::BIT_STRING, 2, 7, 0b1000_0000]),
        extension(
            EXTENDED_KEY_USAGE,
            false,
            &value(der::SEQUENCE, &[&uses.concat()]),
        ),
        extension(SUBJECT_ALT_NAME, false, &value(der::SEQUENCE, &[&names])),
        extension(
            SUBJECT_KEY_ID,
            false,
            &value(der::OCTET_STRING, &[&key_id(pair)]),
        ),
        extension(AUTHORITY_KEY_ID, false, &value(der::SEQUENCE, &[&issuer])),
    ]
    .concat()
}

/// A certificate for the key `subject_pair`, signed by `signer` (RFC 5280, section 4.1).
pub(super) fn sign(
    signer: &EcdsaKeyPair,
    issuer: &[u8],
    subject: &[u8],
    subject_pair: &EcdsaKeyPair,
    extensions: &[u8],
) -> Result<CertificateDer<'static>, CertificateError> {
    let random = SystemRandom::new();
    let mut serial = [0u8; 16];
    let filled = random.fill(&mut serial);
    filled.map_err(|_| CertificateError::NoRandomness)?;
    // A positive number without a leading zero.
    serial[0] = serial[0] & 0x7f | 0x40;
    let validity = [
        value(der::UTC_TIME, &[NOT_BEFORE]),
        value(der::GENERALIZED_TIME, &[NOT_AFTER]),
    ];
    let signed = value(
        der::SEQUENCE,
        &[
            &value(der::explicit(0), &[&[der::INTEGER, 1, 2]]),
            &value(der::INTEGER, &[&serial]),
            &signature_algorithm(),
            issuer,
            &value(der::SEQUENCE, &[&validity.concat()]),
            subject,
            &public_key_info(subject_pair),
            &value(der::explicit(3), &[&value(der::SEQUENCE, &[extensions])]),
        ],
    );
    let signature = signer.sign(&random, &signed);
    let signature = signature.map_err(|_| CertificateError::NoRandomness)?;
    let signature = der::bits(signature.as_ref());
    Ok(value(
        der::SEQUENCE,
        &[&signed, &signature_algorithm(), &signature],
    )
    .into())
}

/// What a certificate says of its key and its name, each a whole DER value.
pub(super) fn public_key_and_subject(
    certificate: &CertificateDer<'static>,
) -> Result<(Vec<u8>, Vec<u8>), CertificateError> {
    let mut roots = RootCertStore::empty();
    let added = roots.add(certificate.clone());
    added.map_err(|_| CertificateError::Certificate)?;
    let root = roots.roots.pop().ok_or(CertificateError::Certificate)?;
    Ok((
        value(der::SEQUENCE, &[&root.subject_public_key_info]),
        value(der::SEQUENCE, &[&root.subject]),
    ))
}

/// Checks that an authority's certificate carries its own signature, and nothing after it.
pub(super) fn verify(certificate: &[u8], pair: &EcdsaKeyPair) -> Result<(), CertificateError> {
    let signature = || {
        let (content, _, after) = der::take(der::SEQUENCE, certificate)?;
        let (_, signed, rest) = der::take(der::SEQUENCE, content)?;
        let (_, algorithm, rest) = der::take(der::SEQUENCE, rest)?;
        let (bits, _, end) = der::take(der::BIT_STRING, rest)?;
        let (unused, signature) = bits.split_first()?;
        let ends = *unused == 0 && after.is_empty() && end.is_empty();
        (ends && algorithm == signature_algorithm()).then_some((signed, signature))
    };
    let (signed, signature) = signature().ok_or(CertificateError::Certificate)?;
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key().as_ref());
    let verified = key.verify(signed, signature);
    verified.map_err(|_| CertificateError::Certificate)
}
