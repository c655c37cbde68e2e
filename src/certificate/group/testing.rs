//! Groups and members for tests, rightful and not.

use super::*;
use std::time::SystemTime;

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// The time since 1970.
pub(crate) fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
}

/// A certificate and its key, whatever is wrong with it.
pub(crate) struct Shown {
    pub(crate) leaf: Vec<u8>,
    pub(crate) key: MemberKey,
}

/// A key with the request for it that `user` made.
pub(crate) fn key() -> (MemberKey, MemberPublicKey) {
    let key = MemberKey::generate().unwrap();
    let request = key.request(b"test").unwrap();
    (key, MemberPublicKey::proven(&request, b"test").unwrap())
}

/// What a tracker gave a member at that time.
pub(crate) fn issued(authority: &GroupAuthority, user: &str, now: Duration) -> Shown {
    let (key, public) = key();
    let leaf = authority.issue(user, &public, now, DAY).unwrap();
    Shown { leaf, key }
}

/// A leaf for one use alone.
pub(crate) fn issued_for(authority: &GroupAuthority, usage: Use) -> Shown {
    let (key, public) = key();
    let uses = match usage {
        Use::Client => [CLIENT_AUTH],
        Use::Server => [SERVER_AUTH],
    };
    let leaf = authority.issue_for("eve", &public, now(), DAY, &uses);
    let leaf = leaf.unwrap();
    Shown { leaf, key }
}

/// An authority's own certificate, shown as if it were a leaf.
pub(crate) fn itself(authority: &GroupAuthority) -> Shown {
    Shown {
        leaf: authority.0.certificate().to_vec(),
        key: authority.0.member_key(),
    }
}

/// A member of a group, from now on.
pub(crate) fn member(authority: &GroupAuthority, user: &str) -> GroupIdentity {
    let Shown { leaf, key } = issued(authority, user, now());
    GroupIdentity::new(authority.certificate().unwrap(), leaf, &key, now()).unwrap()
}

/// Somebody who shows a certificate to members of the group, whatever it is.
pub(crate) fn pretender(group: &GroupAuthority, shown: Shown) -> GroupIdentity {
    GroupIdentity {
        group: group.certificate().unwrap(),
        leaf: shown.leaf.into(),
        key: Arc::new(shown.key.pkcs8().clone_key()),
        member: Member {
            user: "eve".into(),
            validity: Validity::ALWAYS,
        },
    }
}
