use super::testing::*;
use super::*;
use proptest::prelude::*;
use std::process::Command;
use std::sync::LazyLock;

const NOON: Duration = Duration::from_secs(1_800_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn group() -> GroupAuthority {
    GroupAuthority::generate("5f3a").unwrap()
}

#[test]
fn a_member_is_named_for_both_uses_while_the_certificate_holds() {
    let ours = group();
    let group = ours.certificate().unwrap();
    let Shown { leaf, .. } = issued(&ours, "alice", NOON);
    let (begin, end) = (NOON - BEFORE, NOON + DAY);
    for usage in [Use::Client, Use::Server] {
        for time in [begin, NOON, end] {
            let member = group.check(&leaf, usage, time).unwrap();
            assert_eq!(member.user, "alice");
            assert_eq!(member.validity.not_after.since_1970(), end);
        }
        let error = group.check(&leaf, usage, begin - SECOND).unwrap_err();
        assert_eq!(error, MemberError::NotYetValid(Date::new(begin).unwrap()));
        let error = group.check(&leaf, usage, end + SECOND).unwrap_err();
        assert_eq!(error, MemberError::Expired(Date::new(end).unwrap()));
        assert_eq!(error.to_string(), "it held until 2027-01-16 08:00:00 UTC");
    }
}

#[test]
fn whoever_else_signed_it_each_has_its_reason() {
    let ours = group();
    let checked = |shown: &Shown, usage| {
        let group = ours.certificate().unwrap();
        group.check(&shown.leaf, usage, now()).unwrap_err()
    };
    let other = GroupAuthority::generate("77aa").unwrap();
    let same_name = group();
    let cluster = GroupAuthority(Authority::generate(CLUSTER_AUTHORITY).unwrap());
    let hidden = GroupAuthority(Authority::generate("\u{202e}\n").unwrap());
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
            // Whose it is counts before its dates do.
            (
                by(&other, long_ago),
                MemberError::OtherAuthority(Some("77aa".into())),
            ),
            (by(&hidden, now()), MemberError::OtherAuthority(None)),
            (by(&same_name, now()), MemberError::NotSigned),
            (by(&cluster, now()), MemberError::Cluster),
            (itself(&other), MemberError::SelfSigned),
            (itself(&ours), MemberError::Kind),
            (issued_for(&ours, opposite), MemberError::WrongUse(usage)),
        ] {
            assert_eq!(checked(&shown, usage), expected);
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
    let Shown { leaf, .. } = issued(&read, "alice", NOON);
    assert!(public_read.check(&leaf, Use::Server, NOON).is_ok());
    let refused = |text: &str| GroupCertificate::from_pem(text.as_bytes()).unwrap_err();
    assert_eq!(refused(""), CertificateError::NotPem);
    assert_eq!(refused(&text[..text.len() - 9]), CertificateError::NotPem);
    assert_eq!(refused(&(text.clone() + &text)), CertificateError::Contents);
    assert_eq!(refused(&ours.to_pem()), CertificateError::Contents);
    let mut leaf_text = String::new();
    pem::write(CERTIFICATE_LABEL, &leaf, &mut leaf_text);
    assert_eq!(refused(&leaf_text), CertificateError::Certificate);
}

#[test]
fn names_and_dates_that_no_certificate_carries_are_not_issued() {
    let (ours, (_, public)) = (group(), key());
    let long = format!("{}\n", "x".repeat(64));
    for bad in ["", "a b", "a\n", "ä", &long] {
        let error = ours.issue(bad, &public, NOON, DAY).unwrap_err();
        assert_eq!(error, CertificateError::Name, "{bad:?}");
        assert!(GroupAuthority::generate(bad).is_err());
    }
    assert!(GroupAuthority::generate(&"x".repeat(65)).is_err());
    assert!(ours.issue(&"x".repeat(64), &public, NOON, DAY).is_ok());
    let error = ours.issue("x", &public, NOON, Duration::MAX).unwrap_err();
    assert_eq!(error, CertificateError::Date);
    // An hour before 1970 began there is no date: it holds from the beginning.
    assert!(ours.issue("x", &public, Duration::ZERO, DAY).is_ok());
}

#[test]
fn a_name_that_no_certificate_has_room_for_is_shortened_to_one_that_is_nobody_elses() {
    let (group, name) = (group(), "x".repeat(64));
    assert_eq!(member_name(&name), name);
    let labels = ["~00ab12ff", "~00ab12fe"].map(|tag| format!("{name}{tag}"));
    let named = labels.each_ref().map(|label| {
        let Shown { leaf, key } = issued(&group, label, now());
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
fn an_identity_is_a_members_own() {
    let ours = group();
    let new = |leaf, key: &MemberKey, now| {
        GroupIdentity::new(ours.certificate().unwrap(), leaf, key, now)
    };
    let Shown { leaf, key: own } = issued(&ours, "alice", NOON);
    assert_eq!(
        new(leaf.clone(), &own, NOON).unwrap().member().user,
        "alice"
    );
    let error = new(leaf.clone(), &key().0, NOON).unwrap_err();
    assert_eq!(error, MemberError::OtherKey);
    assert!(new(leaf, &own, NOON + 2 * DAY).is_err());
    let half = issued_for(&ours, Use::Client);
    let error = new(half.leaf, &half.key, now()).unwrap_err();
    assert_eq!(error, MemberError::WrongUse(Use::Server));
}

/// Runs openssl in a folder; `None` where there is none.
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
fn openssl_reads_and_verifies_them() {
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
        let Some((verified, told)) = verify("group.pem", purpose) else {
            return println!("skipped: no openssl command here");
        };
        assert!(verified, "{told}");
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
static LEAF: LazyLock<Vec<u8>> = LazyLock::new(|| issued(&OURS, "alice", NOON).leaf);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Cut, grown, overwritten: whatever it is then, it is no member's, and is refused without a panic.
    #[test]
    fn a_changed_certificate_is_refused(
        at in 0..600usize,
        end in 0..600usize,
        new in prop::collection::vec(any::<u8>(), 0..6),
    ) {
        let (at, end) = (at.min(LEAF.len()), end.min(LEAF.len()));
        let (at, end) = (at.min(end), at.max(end).min(at.min(end) + 6));
        let changed = [&LEAF[..at], &new, &LEAF[end..]].concat();
        prop_assume!(changed != *LEAF);
        let group = OURS.certificate().unwrap();
        prop_assert!(group.check(&changed, Use::Client, NOON).is_err());
        prop_assert!(group.check(&changed, Use::Server, NOON).is_err());
    }

    /// Every length that DER can tell, anywhere in what is read.
    #[test]
    fn a_changed_byte_is_refused(at in 0..600usize, flip in 1..=255u8) {
        let mut changed = LEAF.clone();
        let at = at % changed.len();
        changed[at] ^= flip;
        let _ = Parts::of(&changed).and_then(|parts| Member::of(&parts));
        let group = OURS.certificate().unwrap();
        prop_assert!(group.check(&changed, Use::Server, NOON).is_err());
        let mut text = String::new();
        pem::write(CERTIFICATE_LABEL, &changed, &mut text);
        prop_assert!(GroupCertificate::from_pem(text.as_bytes()).is_err());
    }

    #[test]
    fn bytes_that_are_no_certificate_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let group = OURS.certificate().unwrap();
        prop_assert!(group.check(&bytes, Use::Server, NOON).is_err());
        prop_assert!(Parts::of(&bytes).is_none());
        prop_assert!(GroupCertificate::from_pem(&bytes).is_err());
    }
}
