use super::testing::*;
use super::*;
use proptest::prelude::*;
use std::process::Command;
use std::sync::LazyLock;

const ISSUED_AT: Duration = Duration::from_secs(1_800_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn group() -> GroupAuthority {
    GroupAuthority::generate("5f3a").unwrap()
}

#[test]
fn a_certificate_is_accepted_for_both_uses_while_it_is_valid() {
    let ours = group();
    let group = ours.certificate().unwrap();
    let LeafWithKey { leaf, .. } = issued(&ours, "alice", ISSUED_AT);
    let (begin, end) = (ISSUED_AT - BACKDATED, ISSUED_AT + DAY);
    for usage in [Use::Client, Use::Server] {
        for time in [begin, ISSUED_AT, end] {
            let member = group.check(&leaf, usage, time).unwrap();
            assert_eq!(member.user, "alice");
            assert_eq!(member.validity.not_after.since_1970(), end);
        }
        let error = group.check(&leaf, usage, begin - SECOND).unwrap_err();
        assert_eq!(error, MemberError::NotYetValid(Date::new(begin).unwrap()));
        let error = group.check(&leaf, usage, end + SECOND).unwrap_err();
        assert_eq!(error, MemberError::Expired(Date::new(end).unwrap()));
        assert_eq!(error.to_string(), "it expired on 2027-01-16 08:00:00 UTC");
    }
}

#[test]
fn a_certificate_names_the_account_and_one_of_the_previous_version_stands_for_its_name() {
    let (ours, (_, public)) = (group(), key());
    let check = |leaf: &[u8]| {
        let group = ours.certificate().unwrap();
        group.check(leaf, Use::Server, ISSUED_AT).unwrap()
    };
    let long = "x".repeat(70);
    for user in ["nik", &long] {
        let LeafWithKey { leaf, .. } = issued(&ours, user, ISSUED_AT);
        let member = check(&leaf);
        assert_eq!(
            (&*member.user, member.account),
            (&*member_name(user), ACCOUNT)
        );
        let uses = [SERVER_AUTH, CLIENT_AUTH];
        let unnamed = ours.issue_for(user, None, &public, ISSUED_AT, DAY, &uses);
        assert_eq!(check(&unnamed.unwrap()).account, AccountId::of_name(user));
    }
}

#[test]
fn each_kind_of_wrong_certificate_is_refused_with_its_own_reason() {
    let ours = group();
    let refusal = |shown: &LeafWithKey, usage| {
        let group = ours.certificate().unwrap();
        group.check(&shown.leaf, usage, now()).unwrap_err()
    };
    let other = GroupAuthority::generate("77aa").unwrap();
    let same_name = group();
    let cluster = GroupAuthority(Authority::generate(CLUSTER_AUTHORITY).unwrap());
    let unprintable = GroupAuthority(Authority::generate("\u{202e}\n").unwrap());
    let long_ago = now() - 3 * DAY;
    let by = |authority: &GroupAuthority, at| issued(authority, "eve", at);
    for usage in [Use::Client, Use::Server] {
        let opposite = match usage {
            Use::Client => Use::Server,
            Use::Server => Use::Client,
        };
        for (shown, expected) in [
            (
                by(&other, now()),
                MemberError::OtherAuthority(Some("77aa".into())),
            ),
            // The wrong authority is reported even if the certificate has also expired.
            (
                by(&other, long_ago),
                MemberError::OtherAuthority(Some("77aa".into())),
            ),
            (by(&unprintable, now()), MemberError::OtherAuthority(None)),
            (by(&same_name, now()), MemberError::NotSigned),
            (by(&cluster, now()), MemberError::Cluster),
            (authority_as_leaf(&other), MemberError::SelfSigned),
            (authority_as_leaf(&ours), MemberError::Kind),
            (issued_for(&ours, opposite), MemberError::WrongUse(usage)),
        ] {
            assert_eq!(refusal(&shown, usage), expected);
        }
        let right = issued_for(&ours, usage).leaf;
        assert!(
            ours.certificate()
                .unwrap()
                .check(&right, usage, now())
                .is_ok()
        );
    }
}

#[test]
fn an_authority_and_its_public_half_are_read_as_they_were_written() {
    let ours = group();
    let read = GroupAuthority::from_pem(ours.to_pem().as_bytes()).unwrap();
    let public = ours.certificate().unwrap();
    let text = public.to_pem();
    assert!(!text.contains("PRIVATE"));
    let public_read = GroupCertificate::from_pem(text.as_bytes()).unwrap();
    assert_eq!(public_read.fingerprint(), public.fingerprint());
    let LeafWithKey { leaf, .. } = issued(&read, "alice", ISSUED_AT);
    assert!(public_read.check(&leaf, Use::Server, ISSUED_AT).is_ok());
    let refused = |text: &str| GroupCertificate::from_pem(text.as_bytes()).unwrap_err();
    assert_eq!(refused(""), CertificateError::NotPem);
    assert_eq!(refused(&text[..text.len() - 9]), CertificateError::NotPem);
    assert_eq!(
        refused(&(text.clone() + &text)),
        CertificateError::WrongSections
    );
    assert_eq!(refused(&ours.to_pem()), CertificateError::WrongSections);
    let mut leaf_text = String::new();
    pem::write(CERTIFICATE_LABEL, &leaf, &mut leaf_text);
    assert_eq!(refused(&leaf_text), CertificateError::Certificate);
}

#[test]
fn invalid_names_and_dates_are_not_issued() {
    let (ours, (_, public)) = (group(), key());
    let long = format!("{}\n", "x".repeat(64));
    for bad in ["", "a b", "a\n", "ä", &long] {
        let error = ours
            .issue(bad, ACCOUNT, &public, ISSUED_AT, DAY)
            .unwrap_err();
        assert_eq!(error, CertificateError::Name, "{bad:?}");
        assert!(GroupAuthority::generate(bad).is_err());
    }
    assert!(GroupAuthority::generate(&"x".repeat(65)).is_err());
    let longest = "x".repeat(64);
    assert!(
        ours.issue(&longest, ACCOUNT, &public, ISSUED_AT, DAY)
            .is_ok()
    );
    let error = ours
        .issue("x", ACCOUNT, &public, ISSUED_AT, Duration::MAX)
        .unwrap_err();
    assert_eq!(error, CertificateError::Date);
    // There is no date before 1970, so the certificate is valid from 1970 on.
    assert!(
        ours.issue("x", ACCOUNT, &public, Duration::ZERO, DAY)
            .is_ok()
    );
}

#[test]
fn names_that_are_too_long_are_shortened_to_different_names() {
    let (group, name) = (group(), "x".repeat(64));
    assert_eq!(member_name(&name), name);
    let labels = ["~00ab12ff", "~00ab12fe"].map(|tag| format!("{name}{tag}"));
    let named = labels.each_ref().map(|label| {
        let LeafWithKey { leaf, key } = issued(&group, label, now());
        let certificate = group.certificate().unwrap();
        let identity = GroupIdentity::new(certificate, leaf, &key, now()).unwrap();
        identity.member().user.clone()
    });
    for (label, named) in labels.iter().zip(&named) {
        assert_eq!((named.len(), &**named), (64, &*member_name(label)));
        assert!(named.starts_with(&"x".repeat(39)) && named.contains('#'));
    }
    assert_ne!(named[0], named[1]);
}

#[test]
fn an_identity_needs_the_members_own_key_and_both_uses() {
    let ours = group();
    let new = |leaf, key: &MemberKey, now| {
        GroupIdentity::new(ours.certificate().unwrap(), leaf, key, now)
    };
    let LeafWithKey { leaf, key: own } = issued(&ours, "alice", ISSUED_AT);
    assert_eq!(
        new(leaf.clone(), &own, ISSUED_AT).unwrap().member().user,
        "alice"
    );
    let error = new(leaf.clone(), &key().0, ISSUED_AT).unwrap_err();
    assert_eq!(error, MemberError::OtherKey);
    assert!(new(leaf, &own, ISSUED_AT + 2 * DAY).is_err());
    let client_only = issued_for(&ours, Use::Client);
    let error = new(client_only.leaf, &client_only.key, now()).unwrap_err();
    assert_eq!(error, MemberError::WrongUse(Use::Server));
}

/// Runs openssl in a folder. Returns `None` if openssl is not installed.
fn openssl(folder: &std::path::Path, arguments: &[&str]) -> Option<(bool, String)> {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .ok()?;
    let text = [output.stdout, output.stderr].concat();
    Some((
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

#[test]
fn openssl_reads_and_verifies_members_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (group(), group());
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let mut leaf = String::new();
    let shown = issued(&ours, "alice", now());
    pem::write(CERTIFICATE_LABEL, &shown.leaf, &mut leaf);
    write("leaf.pem", &leaf);
    write("group.pem", &ours.certificate().unwrap().to_pem());
    write("other.pem", &other.certificate().unwrap().to_pem());
    let verify = |authority, purpose| {
        let arguments = [
            "verify",
            "-x509_strict",
            "-CAfile",
            authority,
            "-purpose",
            purpose,
            "leaf.pem",
        ];
        openssl(folder.path(), &arguments)
    };
    for purpose in ["sslclient", "sslserver"] {
        let Some((verified, output)) = verify("group.pem", purpose) else {
            return println!("skipped: no openssl command here");
        };
        assert!(verified, "{output}");
        assert!(!verify("other.pem", purpose).unwrap().0);
    }
    let (_, text) = openssl(
        folder.path(),
        &["x509", "-noout", "-text", "-in", "leaf.pem"],
    )
    .unwrap();
    for part in [
        "CN = alice",
        "DNS:*",
        "URI:pieceful:account:07070707",
        "TLS Web Client Authentication",
        "prime256v1",
    ] {
        assert!(
            text.replace("CN=", "CN = ").contains(part),
            "{part}: {text}"
        );
    }
}

static OURS: LazyLock<GroupAuthority> = LazyLock::new(group);
static LEAF: LazyLock<Vec<u8>> = LazyLock::new(|| issued(&OURS, "alice", ISSUED_AT).leaf);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// A certificate that was cut, extended or overwritten is refused without a panic.
    #[test]
    fn a_changed_certificate_is_refused(
        start in 0..600usize,
        removed in 0..=6usize,
        inserted in prop::collection::vec(any::<u8>(), 0..6),
    ) {
        let start = start.min(LEAF.len());
        let end = (start + removed).min(LEAF.len());
        let changed = [&LEAF[..start], &inserted, &LEAF[end..]].concat();
        prop_assume!(changed != *LEAF);
        let group = OURS.certificate().unwrap();
        prop_assert!(group.check(&changed, Use::Client, ISSUED_AT).is_err());
        prop_assert!(group.check(&changed, Use::Server, ISSUED_AT).is_err());
    }

    /// Any byte may get any other value. So every DER length may become any other length.
    #[test]
    fn a_changed_byte_is_refused(at in 0..600usize, flip in 1..=255u8) {
        let mut changed = LEAF.clone();
        let at = at % changed.len();
        changed[at] ^= flip;
        let _ = CertificateParts::parse(&changed).and_then(|parts| Member::of(&parts));
        let group = OURS.certificate().unwrap();
        prop_assert!(group.check(&changed, Use::Server, ISSUED_AT).is_err());
        let mut text = String::new();
        pem::write(CERTIFICATE_LABEL, &changed, &mut text);
        prop_assert!(GroupCertificate::from_pem(text.as_bytes()).is_err());
    }

    #[test]
    fn bytes_that_are_no_certificate_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let group = OURS.certificate().unwrap();
        prop_assert!(group.check(&bytes, Use::Server, ISSUED_AT).is_err());
        prop_assert!(CertificateParts::parse(&bytes).is_none());
        prop_assert!(GroupCertificate::from_pem(&bytes).is_err());
    }
}
