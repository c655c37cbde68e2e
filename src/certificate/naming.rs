//! How certificates name a member: by the name of the user and the id of the account.

use crate::base::hex::{self, Hex};
use ring::digest::{SHA256, digest};
use std::borrow::Cow;
use std::fmt;

/// Longest name, in characters (RFC 5280, appendix A.1, `ub-common-name`).
pub(super) const MAX_NAME_LENGTH: usize = 64;
/// Number of SHA-256 bytes that replace the end of a name that is too long.
const NAME_HASH_LENGTH: usize = 12;
/// Certificates name an account by a URI: this text and 32 hex digits.
const URI: &str = "pieceful:account:";
/// The hashed bytes of a name begin with this, so that the hash of a name is not that of anything
/// else.
const PURPOSE: &[u8] = b"pieceful member name\0";

/// Identifies the account of a member. The name of a member may change when another account has the
/// same name; this id does not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub [u8; 16]);

/// The name of a user in certificates. A name of up to 64 characters is used as it is. A longer one
/// is cut, and followed by `#` and the start of the SHA-256 of the whole name, so that two long
/// names stay different. No user name contains `#`, so a name that was cut is not the name of
/// another user.
pub fn member_name(user: &str) -> Cow<'_, str> {
    if user.len() <= MAX_NAME_LENGTH {
        return Cow::Borrowed(user);
    }
    let hash = digest(&SHA256, user.as_bytes());
    let hash = hash.as_ref().get(..NAME_HASH_LENGTH).unwrap_or_default();
    let hash = Hex(hash).to_string();
    let positions = user.char_indices().map(|(at, _)| at);
    let cut_at = positions
        .take_while(|at| at + 1 + hash.len() <= MAX_NAME_LENGTH)
        .last();
    let (kept, _) = user.split_at(cut_at.unwrap_or(0));
    Cow::Owned(format!("{kept}#{hash}"))
}

impl AccountId {
    /// The id of a user whose certificate names no account: a hash of the user's name. The previous
    /// version of this program issued such certificates.
    pub fn of_name(user: &str) -> Self {
        let hash = digest(&SHA256, &[PURPOSE, member_name(user).as_bytes()].concat());
        let mut id = [0; 16];
        for (byte, found) in id.iter_mut().zip(hash.as_ref()) {
            *byte = *found;
        }
        Self(id)
    }

    /// The URI that names the account in a certificate.
    pub(super) fn to_uri(self) -> String {
        format!("{URI}{self}")
    }

    /// Reads what [`AccountId::to_uri`] wrote. `None` for any other URI.
    pub(super) fn from_uri(uri: &str) -> Option<Self> {
        uri.strip_prefix(URI).and_then(hex::read).map(Self)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_one_account_and_other_uris_name_none() {
        let id = AccountId([0xab; 16]);
        let uri = id.to_uri();
        assert_eq!(uri, format!("pieceful:account:{}", "ab".repeat(16)));
        assert_eq!(AccountId::from_uri(&uri), Some(id));
        let longer = format!("{uri}00");
        for other in ["", "pieceful:account:", &uri[1..], &uri[..40], &longer] {
            assert_eq!(AccountId::from_uri(other), None, "{other}");
        }
    }

    #[test]
    fn a_name_and_its_form_in_certificates_have_the_same_id() {
        let long = "x".repeat(70);
        let id = AccountId::of_name(&long);
        assert_eq!(id, AccountId::of_name(&member_name(&long)));
        assert_ne!(id, AccountId::of_name(&"x".repeat(71)));
    }
}
