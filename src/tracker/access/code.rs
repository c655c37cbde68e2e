//! Invite codes: 80 random bits as 16 characters of Crockford's base32 (without I, L, O, U), in
//! groups of four.

use crate::tracker::registry::CodeHash;
use ring::digest::{SHA256, digest};
use ring::error::Unspecified;
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// The number of characters of a code, without dashes.
const CHARACTERS: usize = 16;

/// How long an invite is valid.
pub const INVITE_LIFETIME: Duration = Duration::from_secs(7 * 86_400);

/// An invite code. It is shown once, when it is created. Only its hash is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteCode([u8; 10]);

/// The text is not an invite code. The error does not contain the text, because the text may be a
/// code with a typing error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an invite code has {CHARACTERS} letters and digits, as in ABCD-EFGH-JKMN-PQRS")]
pub struct InviteCodeError;

impl InviteCode {
    /// A new code.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn generate() -> Result<Self, Unspecified> {
        let mut bits = [0; 10];
        SystemRandom::new().fill(&mut bits)?;
        Ok(Self(bits))
    }

    /// The hash that is stored.
    pub fn hash(&self) -> CodeHash {
        let hash = digest(&SHA256, &self.0);
        CodeHash(hash.as_ref().first_chunk().copied().unwrap_or([0; 32]))
    }

    fn number(&self) -> u128 {
        let bytes = self.0.iter();
        bytes.fold(0, |number, byte| number << 8 | u128::from(*byte))
    }
}

impl fmt::Display for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number();
        for at in 0..CHARACTERS {
            if at > 0 && at % 4 == 0 {
                f.write_str("-")?;
            }
            let digit = usize::try_from(number >> (75 - 5 * at) & 31).unwrap_or_default();
            let character = ALPHABET.get(digit).copied().unwrap_or_default();
            write!(f, "{}", char::from(character))?;
        }
        Ok(())
    }
}

impl fmt::Debug for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteCode(..)")
    }
}

impl FromStr for InviteCode {
    type Err = InviteCodeError;

    /// Accepts upper and lower case, and ignores dashes and blanks. I and L are read as 1, O as 0.
    fn from_str(text: &str) -> Result<Self, InviteCodeError> {
        let (mut number, mut count) = (0u128, 0usize);
        for character in text.chars().filter(|it| *it != '-' && !it.is_whitespace()) {
            let character = match character.to_ascii_uppercase() {
                'I' | 'L' => '1',
                'O' => '0',
                other => other,
            };
            let digit = ALPHABET.iter().position(|it| char::from(*it) == character);
            let digit = digit.and_then(|digit| u128::try_from(digit).ok());
            count += 1;
            if count > CHARACTERS {
                return Err(InviteCodeError);
            }
            number = number << 5 | digit.ok_or(InviteCodeError)?;
        }
        if count < CHARACTERS {
            return Err(InviteCodeError);
        }
        let [_, _, _, _, _, _, bits @ ..] = number.to_be_bytes();
        Ok(Self(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_accepted_as_people_type_them() {
        let code = InviteCode([0, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf]);
        assert_eq!(code.to_string(), "0123-4567-89AB-CDEF");
        for text in [
            "0123-4567-89AB-CDEF",
            "0123456789abcdef",
            " oI23 4567\t89ab-cdef\n",
            "OL23--4567-89ABCDEF",
        ] {
            assert_eq!(text.parse(), Ok(code.clone()), "{text}");
        }
        for bad in [
            "",
            "0123-4567-89AB-CDE",
            "0123-4567-89AB-CDEF0",
            "0123-4567-89AB-CDEU",
            "0123-4567-89AB-CD\u{c9}F",
            &"0".repeat(100_000),
        ] {
            assert_eq!(bad.parse::<InviteCode>(), Err(InviteCodeError));
        }
        assert_eq!(format!("{code:?}"), "InviteCode(..)");
    }

    #[test]
    fn every_code_is_different_and_has_its_own_hash() {
        let codes: Vec<_> = (0..100).map(|_| InviteCode::generate().unwrap()).collect();
        for (at, code) in codes.iter().enumerate() {
            assert_eq!(code.to_string().parse(), Ok(code.clone()));
            let same = |other: &&InviteCode| other.hash() == code.hash();
            assert_eq!(codes.iter().filter(same).count(), 1, "{at}");
        }
    }
}
