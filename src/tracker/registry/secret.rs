//! What the registry keeps and never shows: the text of a password's hash, the hash of an invite code, a group's key.

use std::fmt;

/// The most bytes the text of a password's hash may have.
pub const MAX_PASSWORD_HASH: usize = 512;
/// The most bytes the text of a group's key may have.
pub const MAX_GROUP_KEY: usize = 8 << 10;

/// The text of a password's hash, as whoever hashes and checks passwords writes it; opaque here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PasswordHash(String);

/// A text that cannot be a password's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text of a password's hash has 1 to {MAX_PASSWORD_HASH} bytes, not {0}")]
pub struct PasswordHashError(usize);

impl PasswordHash {
    /// Takes the text of a hash.
    ///
    /// # Errors
    /// It is empty or longer than [`MAX_PASSWORD_HASH`].
    pub fn new(text: impl Into<String>) -> Result<Self, PasswordHashError> {
        let text = text.into();
        match text.len() {
            1..=MAX_PASSWORD_HASH => Ok(Self(text)),
            length => Err(PasswordHashError(length)),
        }
    }

    /// The text, for whoever checks a password against it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// The certificate and key of a group's authority as PEM text, as whoever issues certificates writes it; opaque here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey(String);

/// A text that cannot be a group's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text of a group's key has 1 to {MAX_GROUP_KEY} bytes, not {0}")]
pub struct GroupKeyError(usize);

impl GroupKey {
    /// Takes the text of a key.
    ///
    /// # Errors
    /// It is empty or longer than [`MAX_GROUP_KEY`].
    pub fn new(text: impl Into<String>) -> Result<Self, GroupKeyError> {
        let text = text.into();
        match text.len() {
            1..=MAX_GROUP_KEY => Ok(Self(text)),
            length => Err(GroupKeyError(length)),
        }
    }

    /// The text, for whoever issues certificates.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupKey(..)")
    }
}

/// A 256-bit hash of an invite code; the code itself is never kept.
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
