//! A password of a user.

use std::fmt;
use std::str::FromStr;

/// The largest number of bytes of a password.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// The smallest number of characters of a new password: the minimum of NIST SP 800-63B. An account
/// that already has a shorter password can still log in with it.
pub const MIN_NEW_PASSWORD_CHARACTERS: usize = 8;

/// A text of 1 to [`MAX_PASSWORD_BYTES`] bytes without control characters. `Debug` does not show
/// it, and its memory is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

/// Text that cannot be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The text is empty.
    #[error("a password cannot be empty")]
    Empty,
    /// A new password with fewer than [`MIN_NEW_PASSWORD_CHARACTERS`] characters.
    #[error("a new password must have at least {MIN_NEW_PASSWORD_CHARACTERS} characters")]
    Short,
    /// More than [`MAX_PASSWORD_BYTES`] bytes.
    #[error("a password may have at most {MAX_PASSWORD_BYTES} bytes")]
    Long,
    /// A control character, which cannot be typed.
    #[error("a password cannot contain control characters")]
    Control,
}

impl Password {
    /// Checks `text` as a password.
    ///
    /// # Errors
    /// See [`PasswordError`]. The error does not contain the text.
    pub fn new(text: impl Into<String>) -> Result<Self, PasswordError> {
        let password = Self(text.into());
        match password.0.len() {
            0 => Err(PasswordError::Empty),
            1..=MAX_PASSWORD_BYTES if password.0.chars().any(char::is_control) => {
                Err(PasswordError::Control)
            }
            1..=MAX_PASSWORD_BYTES => Ok(password),
            _ => Err(PasswordError::Long),
        }
    }

    /// Checks that this password is long enough to be a new one.
    ///
    /// # Errors
    /// [`PasswordError::Short`].
    pub fn check_new(&self) -> Result<(), PasswordError> {
        match self.0.chars().count() {
            0..MIN_NEW_PASSWORD_CHARACTERS => Err(PasswordError::Short),
            _ => Ok(()),
        }
    }

    /// The text, for code that hashes or sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Password {
    type Err = PasswordError;

    fn from_str(text: &str) -> Result<Self, PasswordError> {
        Self::new(text)
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        // Best effort without `unsafe`: the bytes are overwritten before their memory is freed.
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        std::hint::black_box(&bytes);
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_password_is_refused_and_debug_output_does_not_show_a_password() {
        assert_eq!(Password::new(""), Err(PasswordError::Empty));
        assert_eq!(
            Password::new("x".repeat(MAX_PASSWORD_BYTES + 1)),
            Err(PasswordError::Long)
        );
        assert_eq!(Password::new("a\nb"), Err(PasswordError::Control));
        for (text, is_long_enough) in [("7 chars", false), ("üüüüüüü", false), ("8 chars!", true)]
        {
            let checked = Password::new(text).unwrap().check_new();
            assert_eq!(checked.is_ok(), is_long_enough, "{text}");
        }
        let password = Password::new("ü secret").unwrap();
        assert_eq!(password.expose(), "ü secret");
        assert!(!format!("{password:?}").contains("secret"));
    }
}
