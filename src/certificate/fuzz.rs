//! The fuzz function of certificates and keys.

use super::der::{self, value};
use super::x509::{CertificateParts, signature_algorithm};
use super::{Authority, GroupCertificate, MemberPublicKey, Use, Validity};
use std::sync::OnceLock;
use std::time::Duration;

/// An authority whose key everybody knows. The seeds of the fuzzer are certificates of this key.
const AUTHORITY: &[u8] = include_bytes!("../../testdata/fuzz/authority.pem");

/// Reads the input as PEM text, as a request for a certificate, as a certificate, and as the part
/// of a certificate that is signed.
pub(crate) fn fuzz(bytes: &[u8]) {
    static OURS: OnceLock<(Authority, GroupCertificate)> = OnceLock::new();
    let (authority, group) = OURS.get_or_init(|| {
        let authority = Authority::from_pem(AUTHORITY).expect("an authority");
        let group = GroupCertificate::from_pem(certificate_of(AUTHORITY)).expect("a certificate");
        (authority, group)
    });
    if let Ok(read) = Authority::from_pem(bytes) {
        let again = Authority::from_pem(read.to_pem().as_bytes()).expect("what was written");
        assert_eq!(again.fingerprint(), read.fingerprint());
    }
    if let Ok(read) = GroupCertificate::from_pem(bytes) {
        let again = GroupCertificate::from_pem(read.to_pem().as_bytes()).expect("what was written");
        assert_eq!(again.fingerprint(), read.fingerprint());
    }
    let _ = MemberPublicKey::from_request(bytes, b"");
    fuzz_der(group, bytes);
    let algorithm = signature_algorithm();
    let signature = der::bit_string(&authority.fuzz_sign(bytes));
    fuzz_der(
        group,
        &value(der::SEQUENCE, &[bytes, &algorithm, &signature]),
    );
}

/// Checks a certificate as that of a member of `group` and as that of another group.
fn fuzz_der(group: &GroupCertificate, certificate: &[u8]) {
    if let Some(parts) = CertificateParts::parse(certificate) {
        let dates = parts.validity.to_der();
        let content = der::take(der::SEQUENCE, &dates).map(|(content, ..)| content);
        assert_eq!(content.and_then(Validity::parse), Some(parts.validity));
    }
    let now = Duration::from_secs(1_800_000_000);
    for usage in [Use::Client, Use::Server] {
        if let Ok(member) = group.check(certificate, usage, now) {
            assert!(!member.user.is_empty() && member.user.bytes().all(|it| it.is_ascii_graphic()));
            assert!(member.validity.not_before <= member.validity.not_after);
        }
    }
    let mut pem = String::new();
    super::pem::write("CERTIFICATE", certificate, &mut pem);
    let _ = GroupCertificate::from_pem(pem.as_bytes());
}

/// The text up to the private key.
fn certificate_of(pem: &[u8]) -> &[u8] {
    let mut starts = pem
        .windows(10)
        .enumerate()
        .filter(|(_, it)| *it == b"-----BEGIN");
    let key = starts.nth(1).map_or(pem.len(), |(at, _)| at);
    pem.get(..key).unwrap_or_default()
}
