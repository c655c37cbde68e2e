//! The id of a member's account: what certificates name beside the user.

use super::member_name;
use crate::base::hex::{self, Hex};
use ring::digest::{SHA256, digest};
use std::fmt;

/// Certificates name an account by a URI: this text and 32 hex digits.
const URI: &str = "pieceful:account:";
/// The hashed bytes of a name begin with this, so that the hash of a name is not that of anything
/// else.
const PURPOSE: &[u8] = b"pieceful member name\0";

/// Identifies the account of a member. The name of a member may change when another account has the
/// same name; this id does not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub [u8; 16]);

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
