//! The ids by which users name their logins.

use crate::base::hex::Hex;
use std::fmt;
use std::str::FromStr;

/// The digits of an id in a list, if no two logins of the list begin with the same ones.
const SHORT: usize = 8;
/// The digits of a whole id.
const WHOLE: usize = 32;

/// The first digits of the id of a login: 8 to 32 hex digits in lower case. It is no secret: a
/// token also has a signature.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoginId(String);

/// The text is not 8 to 32 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a login has 8 to 32 of the digits 0 to 9 and a to f; list_logins shows it")]
pub struct LoginIdError;

impl LoginId {
    /// The id of a login in a list. `is_alone`: no other login of the list has the same first
    /// digits.
    pub fn of_login(id: &[u8; 16], is_alone: bool) -> Self {
        let digits = Hex(id).to_string();
        let shown = if is_alone { SHORT } else { WHOLE };
        Self(digits.chars().take(shown).collect())
    }

    /// Whether the login `id` begins with these digits.
    pub fn is_of(&self, id: &[u8; 16]) -> bool {
        Hex(id).to_string().starts_with(&self.0)
    }
}

impl FromStr for LoginId {
    type Err = LoginIdError;

    fn from_str(text: &str) -> Result<Self, LoginIdError> {
        let is_digit = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        let fits = (SHORT..=WHOLE).contains(&text.len()) && text.bytes().all(is_digit);
        fits.then(|| Self(text.to_owned())).ok_or(LoginIdError)
    }
}

impl fmt::Display for LoginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_the_logins_that_begin_with_its_digits() {
        let one = [0xab; 16];
        let mut other = one;
        other[15] = 0;
        let short = LoginId::of_login(&one, true);
        assert_eq!(short.to_string(), "abababab");
        assert!(short.is_of(&one) && short.is_of(&other) && !short.is_of(&[1; 16]));
        let whole = LoginId::of_login(&one, false);
        assert!(whole.is_of(&one) && !whole.is_of(&other));
        for id in [&short, &whole] {
            assert_eq!(id.to_string().parse().as_ref(), Ok(id));
        }
    }

    #[test]
    fn an_id_has_8_to_32_digits() {
        for bad in ["", "abababa", "ABABABAB", "abababag", "ab ababab"] {
            assert_eq!(bad.parse::<LoginId>(), Err(LoginIdError), "{bad}");
        }
        assert!("a".repeat(32).parse::<LoginId>().is_ok());
        assert!("a".repeat(33).parse::<LoginId>().is_err());
    }
}
