//! Groups, members and strangers for tests.

use super::*;
use std::time::SystemTime;

pub(crate) const DAY: Duration = Duration::from_secs(86_400);
/// The account in all certificates.
pub(crate) const ACCOUNT: AccountId = AccountId([7; 16]);

/// The time since 1970.
pub(crate) fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
}

/// A certificate and its key, valid or not.
pub(crate) struct LeafWithKey {
    pub(crate) leaf: Vec<u8>,
    pub(crate) key: MemberKey,
}

/// A new key, and its public half as a tracker receives it.
pub(crate) fn key() -> (MemberKey, MemberPublicKey) {
    let key = MemberKey::generate().unwrap();
    let request = key.request(b"test").unwrap();
    (
        key,
        MemberPublicKey::from_request(&request, b"test").unwrap(),
    )
}

/// A member's certificate as a tracker issues it at the time `now`.
pub(crate) fn issued(authority: &GroupAuthority, user: &str, now: Duration) -> LeafWithKey {
    let (key, public) = key();
    let leaf = authority.issue(user, ACCOUNT, &public, now, DAY).unwrap();
    LeafWithKey { leaf, key }
}

/// A certificate for one side of a connection only.
pub(crate) fn issued_for(authority: &GroupAuthority, usage: Use) -> LeafWithKey {
    let (key, public) = key();
    let uses = match usage {
        Use::Client => [CLIENT_AUTH],
        Use::Server => [SERVER_AUTH],
    };
    let leaf = authority.issue_for("eve", Some(ACCOUNT), &public, now(), DAY, &uses);
    let leaf = leaf.unwrap();
    LeafWithKey { leaf, key }
}

/// An authority's own certificate, presented as if it were a leaf.
pub(crate) fn authority_as_leaf(authority: &GroupAuthority) -> LeafWithKey {
    LeafWithKey {
        leaf: authority.0.certificate().to_vec(),
        key: authority.0.member_key(),
    }
}

/// A member of this group, with a certificate that is valid now.
pub(crate) fn member(authority: &GroupAuthority, user: &str) -> GroupIdentity {
    let LeafWithKey { leaf, key } = issued(authority, user, now());
    GroupIdentity::new(authority.certificate().unwrap(), leaf, &key, now()).unwrap()
}

/// A stranger who presents this certificate to members of the group.
pub(crate) fn pretender(group: &GroupAuthority, shown: LeafWithKey) -> GroupIdentity {
    GroupIdentity {
        group: group.certificate().unwrap(),
        leaf: shown.leaf.into(),
        key: Arc::new(shown.key.pkcs8().clone_key()),
        member: Member {
            user: "eve".into(),
            account: ACCOUNT,
            validity: Validity::ALWAYS,
        },
    }
}
