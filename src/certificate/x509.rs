//! X.509 v3 certificates (RFC 5280) for ECDSA keys on P-256: building, signing and parsing them.

use super::der::{self, value};
use super::error::CertificateError;
use super::validity::Validity;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1, EcdsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::CertificateDer;

// Object identifiers in DER (RFC 5480, sections 2.1.1 and 2.1.1.1; RFC 5758, section 3.2; RFC 5280,
// section 4.2.1).
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
// Tags of alternative names (RFC 5280, section 4.2.1.6).
const DNS_NAME: u8 = der::implicit(2);
const URI: u8 = der::implicit(6);
pub(super) const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
pub(super) const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];

/// The length of an uncompressed point on P-256 (SEC 1, section 2.3.3).
pub(super) const POINT_LENGTH: usize = 65;

/// What [`sign`] needs to make a certificate. [`sign`] adds the serial number and the signature.
pub(super) struct NewCertificate<'a> {
    /// The signer's name, a complete DER value.
    pub(super) issuer: &'a [u8],
    /// The owner's name, a complete DER value.
    pub(super) subject: &'a [u8],
    /// The owner's public key, an uncompressed point.
    pub(super) point: &'a [u8],
    pub(super) validity: Validity,
    /// Encoded extensions, concatenated.
    pub(super) extensions: &'a [u8],
}

/// The names in a leaf certificate.
pub(super) struct LeafNames<'a> {
    /// The common name of the owner.
    pub(super) common: &'a str,
    /// The alternative name that is a DNS name.
    pub(super) dns: &'a str,
    /// The alternative name that is a URI.
    pub(super) uri: Option<&'a str>,
}

/// Encodes a name with one attribute, the common name (RFC 5280, section 4.1.2.4).
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

/// Encodes the owner's public key (RFC 5480, section 2).
pub(super) fn public_key_info(point: &[u8]) -> Vec<u8> {
    let algorithm = value(
        der::SEQUENCE,
        &[
            &value(der::OID, &[EC_PUBLIC_KEY]),
            &value(der::OID, &[P256]),
        ],
    );
    value(der::SEQUENCE, &[&algorithm, &der::bit_string(point)])
}

/// The key identifier (RFC 7093, section 2, method 1).
fn key_id(point: &[u8]) -> Vec<u8> {
    let hash = digest(&SHA256, point);
    hash.as_ref().iter().take(20).copied().collect()
}

pub(super) fn signature_algorithm() -> Vec<u8> {
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

/// The extensions of an authority: it may sign leaf certificates and revocation lists, and nothing
/// else.
pub(super) fn authority_extensions(point: &[u8]) -> Vec<u8> {
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
            &value(der::OCTET_STRING, &[&key_id(point)]),
        ),
    ]
    .concat()
}

/// The extensions of a leaf: its key may sign handshakes for these `uses`, and nothing else.
/// `point` is that key, `signer_point` the key of the authority that signs the leaf.
pub(super) fn leaf_extensions(
    point: &[u8],
    signer_point: &[u8],
    names: &LeafNames<'_>,
    uses: &[&[u8]],
) -> Vec<u8> {
    let dns = value(DNS_NAME, &[names.dns.as_bytes()]);
    let uri = names.uri.map(|uri| value(URI, &[uri.as_bytes()]));
    let names = [dns, uri.unwrap_or_default()].concat();
    let uses: Vec<_> = uses.iter().map(|id| value(der::OID, &[id])).collect();
    let signer_id = value(der::implicit(0), &[&key_id(signer_point)]);
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
            &value(der::OCTET_STRING, &[&key_id(point)]),
        ),
        extension(
            AUTHORITY_KEY_ID,
            false,
            &value(der::SEQUENCE, &[&signer_id]),
        ),
    ]
    .concat()
}

/// Makes a certificate, signed by `signer` (RFC 5280, section 4.1).
pub(super) fn sign(
    signer: &EcdsaKeyPair,
    certificate: &NewCertificate<'_>,
) -> Result<CertificateDer<'static>, CertificateError> {
    let random = SystemRandom::new();
    let mut serial = [0u8; 16];
    let filled = random.fill(&mut serial);
    filled.map_err(|_| CertificateError::NoRandomness)?;
    // A positive number without a leading zero.
    serial[0] = serial[0] & 0x7f | 0x40;
    let signed = value(
        der::SEQUENCE,
        &[
            &value(der::explicit(0), &[&[der::INTEGER, 1, 2]]),
            &value(der::INTEGER, &[&serial]),
            &signature_algorithm(),
            certificate.issuer,
            &certificate.validity.to_der(),
            certificate.subject,
            &public_key_info(certificate.point),
            &value(
                der::explicit(3),
                &[&value(der::SEQUENCE, &[certificate.extensions])],
            ),
        ],
    );
    let signature = signer.sign(&random, &signed);
    let signature = signature.map_err(|_| CertificateError::NoRandomness)?;
    let signature = der::bit_string(signature.as_ref());
    Ok(value(
        der::SEQUENCE,
        &[&signed, &signature_algorithm(), &signature],
    )
    .into())
}

/// The fields of a certificate. They are not to be trusted before the signature is checked.
#[derive(Debug)]
pub(super) struct CertificateParts<'a> {
    /// The signer's name, a complete DER value.
    pub(super) issuer: &'a [u8],
    /// The owner's name, a complete DER value.
    pub(super) subject: &'a [u8],
    pub(super) validity: Validity,
    /// The public key, an uncompressed point. `None` if it is not on P-256.
    pub(super) point: Option<&'a [u8]>,
    /// Encoded extensions, concatenated. Empty if there are none.
    extensions: &'a [u8],
    /// The bytes that the signature covers.
    signed: &'a [u8],
    signature: &'a [u8],
    /// Whether the signature algorithm is ECDSA with SHA-256.
    by_ecdsa: bool,
}

impl<'a> CertificateParts<'a> {
    /// Parses a certificate of version 3. Nothing may follow it.
    pub(super) fn parse(certificate: &'a [u8]) -> Option<Self> {
        let (content, _, after) = der::take(der::SEQUENCE, certificate)?;
        let (inner, signed, rest) = der::take(der::SEQUENCE, content)?;
        let (_, algorithm, rest) = der::take(der::SEQUENCE, rest)?;
        let (bits, _, end) = der::take(der::BIT_STRING, rest)?;
        let (unused, signature) = bits.split_first()?;
        if *unused != 0 || !after.is_empty() || !end.is_empty() {
            return None;
        }
        let (version, _, rest) = der::take(der::explicit(0), inner)?;
        let (_, _, rest) = der::take(der::INTEGER, rest)?;
        let (_, inner_algorithm, rest) = der::take(der::SEQUENCE, rest)?;
        let (_, issuer, rest) = der::take(der::SEQUENCE, rest)?;
        let (validity, _, rest) = der::take(der::SEQUENCE, rest)?;
        let (_, subject, rest) = der::take(der::SEQUENCE, rest)?;
        let (_, key, rest) = der::take(der::SEQUENCE, rest)?;
        let extensions = der::take(der::explicit(3), rest)
            .and_then(|(list, ..)| der::take(der::SEQUENCE, list))
            .map(|(extensions, ..)| extensions);
        if version != [der::INTEGER, 1, 2] || algorithm != inner_algorithm {
            return None;
        }
        let point = key
            .len()
            .checked_sub(POINT_LENGTH)
            .and_then(|at| key.get(at..));
        Some(Self {
            issuer,
            subject,
            validity: Validity::parse(validity)?,
            point: point.filter(|point| public_key_info(point) == key),
            extensions: extensions.unwrap_or_default(),
            signed,
            signature,
            by_ecdsa: algorithm == signature_algorithm(),
        })
    }

    /// Whether the private half of the key `point` signed the certificate.
    pub(super) fn is_signed_by(&self, point: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
        self.by_ecdsa && key.verify(self.signed, self.signature).is_ok()
    }

    /// The alternative names that are URIs.
    pub(super) fn uris(&self) -> impl Iterator<Item = &'a str> {
        let names = der::values(self.extensions)
            .find_map(|(_, extension)| alternative_names(extension))
            .unwrap_or_default();
        let uris = der::values(names).filter(|(tag, _)| *tag == URI);
        uris.filter_map(|(_, uri)| std::str::from_utf8(uri).ok())
    }
}

/// The alternative names in the content of an extension. `None` if it is another extension.
fn alternative_names(extension: &[u8]) -> Option<&[u8]> {
    let (id, _, rest) = der::take(der::OID, extension)?;
    let rest = der::take(der::BOOLEAN, rest).map_or(rest, |(_, _, after_critical)| after_critical);
    let (content, ..) = der::take(der::OCTET_STRING, rest)?;
    let (names, ..) = der::take(der::SEQUENCE, content).filter(|_| id == SUBJECT_ALT_NAME)?;
    Some(names)
}

/// The text of a name that [`name`] encoded. `None` for any other name.
pub(super) fn common_name(name_der: &[u8]) -> Option<&str> {
    let (sets, _, _) = der::take(der::SEQUENCE, name_der)?;
    let (attribute, _, _) = der::take(der::SET, sets)?;
    let (pair, _, _) = der::take(der::SEQUENCE, attribute)?;
    let (_, _, text) = der::take(der::OID, pair)?;
    let (text, _, _) = der::take(der::UTF8_STRING, text)?;
    let text = std::str::from_utf8(text).ok()?;
    (name(text) == name_der).then_some(text)
}
