//! Secrets that the registry stores and never shows: the hash of a password, the hash of an invite
//! code, the key of a group.

use std::fmt;

/// The maximum length of the text of a password hash, in bytes.
pub const MAX_PASSWORD_HASH: usize = 512;
/// The maximum length of the text of a group key, in bytes.
pub const MAX_GROUP_KEY: usize = 8 << 10;

/// The text of a password hash. The registry does not interpret it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PasswordHash(String);

/// The text has a length that no password hash has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text of a password hash has 1 to {MAX_PASSWORD_HASH} bytes, not {0}")]
pub struct PasswordHashError(usize);

impl PasswordHash {
    /// Wraps the text of a hash.
    ///
    /// # Errors
    /// The text is empty or longer than [`MAX_PASSWORD_HASH`].
    pub fn new(text: impl Into<String>) -> Result<Self, PasswordHashError> {
        let text = text.into();
        match text.len() {
            1..=MAX_PASSWORD_HASH => Ok(Self(text)),
            length => Err(PasswordHashError(length)),
        }
    }

    /// The text, for checking a password.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// The certificate and the private key of a group's authority, as PEM text. The registry does not
/// interpret it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey(String);

/// The text has a length that no group key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text of a group key has 1 to {MAX_GROUP_KEY} bytes, not {0}")]
pub struct GroupKeyError(usize);

impl GroupKey {
    /// Wraps the text of a key.
    ///
    /// # Errors
    /// The text is empty or longer than [`MAX_GROUP_KEY`].
    pub fn new(text: impl Into<String>) -> Result<Self, GroupKeyError> {
        let text = text.into();
        match text.len() {
            1..=MAX_GROUP_KEY => Ok(Self(text)),
            length => Err(GroupKeyError(length)),
        }
    }

    /// The text, for issuing certificates.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupKey(..)")
    }
}

/// A 256-bit hash of an invite code. The code itself is never stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CodeHash(pub [u8; 32]);

impl fmt::Debug for CodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown_and_their_length_is_bounded() {
        let hash = PasswordHash::new("$argon2id$secret").unwrap();
        assert!(!format!("{hash:?} {:?}", CodeHash([7; 32])).contains(['7', '$']));
        let key = GroupKey::new("secret 7").unwrap();
        assert!(!format!("{key:?}").contains('7') && GroupKey::new("").is_err());
        assert!(PasswordHash::new("").is_err());
        assert!(PasswordHash::new("x".repeat(513)).is_err());
    }
}
