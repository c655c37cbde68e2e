//! Small values of these messages, and how they are read.

use crate::bencode::{Item, Value};
use crate::wire::control::{ControlError, Fields};
use crate::wire::password::Password;
use std::fmt;
use std::str::FromStr;

/// The most bytes of a token.
pub const MAX_TOKEN: usize = 256;
/// The most bytes that say what has been seen.
pub const MAX_SEEN: usize = 64 << 10;
/// The most bytes of a place.
const MAX_PLACE: usize = 320;

/// What proves a session to any tracker: 1 to [`MAX_TOKEN`] bytes that mean nothing to whoever holds them.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Vec<u8>);

impl Token {
    /// Takes the bytes; none if there are too few or too many.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=MAX_TOKEN)
            .contains(&bytes.len())
            .then(|| Self(bytes.to_vec()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// One write: 16 random bytes that a peer draws for each command, and sends again with each request that belongs to it. What was
/// done under them in the name of an account is not done again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WriteId(pub [u8; 16]);

impl fmt::Debug for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriteId(..)")
    }
}

/// What a peer has seen of the decisions about its user: bytes of the tracker's making, at most [`MAX_SEEN`]; none at first.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Seen(Vec<u8>);

impl Seen {
    /// Takes the bytes; none if there are too many.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= MAX_SEEN).then_some(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seen({} bytes)", self.0.len())
    }
}

/// A short text that one side hands to the other as it is: where a page ended, an invite code, the name
/// of a share. 1 to 320 bytes without
/// control characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    /// Takes the text, if it is one.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let fits = (1..=MAX_PLACE).contains(&text.len()) && !text.chars().any(char::is_control);
        fits.then_some(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place(..)")
    }
}

/// The bytes of a [`KeyRequest`].
pub const KEY_REQUEST: usize = 129;

/// A public key with the proof that the private one is at hand; read by `certificate::MemberPublicKey`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyRequest(pub [u8; KEY_REQUEST]);

impl fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRequest(..)")
    }
}

impl<'a> Fields<'a> {
    pub(super) fn key_request(&mut self, key: &'static str) -> Result<KeyRequest, ControlError> {
        let bytes = self.value(key)?.bytes();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(KeyRequest).ok_or(ControlError::WrongValue(key))
    }

    pub(super) fn write(&mut self) -> Result<WriteId, ControlError> {
        let bytes = self.value("write")?.bytes();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(WriteId).ok_or(ControlError::WrongValue("write"))
    }

    pub(super) fn place(&mut self, key: &'static str) -> Result<Place, ControlError> {
        place(self.value(key)?, key)
    }

    pub(super) fn bytes(
        &mut self,
        key: &'static str,
        most: usize,
    ) -> Result<Vec<u8>, ControlError> {
        let bytes = self.value(key)?.bytes();
        let bytes = bytes.filter(|bytes| (1..=most).contains(&bytes.len()));
        bytes
            .map(<[u8]>::to_vec)
            .ok_or(ControlError::WrongValue(key))
    }

    /// A name or label, by its own rule.
    pub(super) fn parsed<T: FromStr>(&mut self, key: &'static str) -> Result<T, ControlError> {
        parsed(self.value(key)?, key)
    }

    pub(super) fn password(&mut self, key: &'static str) -> Result<Password, ControlError> {
        Password::new(self.text(key)?).map_err(|_| ControlError::WrongValue(key))
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Result<bool, ControlError> {
        match self.number::<u8>(key)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ControlError::WrongValue(key)),
        }
    }

    pub(super) fn after(&mut self) -> Result<Option<Place>, ControlError> {
        self.optional("after", |value| place(value, "after"))
    }

    pub(super) fn seen(&mut self) -> Result<Seen, ControlError> {
        let seen = self.value("seen")?.bytes();
        let seen = seen.and_then(|bytes| Seen::new(bytes.to_vec()));
        seen.ok_or(ControlError::WrongValue("seen"))
    }

    /// A time in milliseconds since 1970, or a count of bytes.
    pub(super) fn large(&mut self, key: &'static str) -> Result<u64, ControlError> {
        let number = self.value(key)?.integer();
        let number = number.and_then(|number| u64::try_from(number).ok());
        number.ok_or(ControlError::WrongValue(key))
    }
}

pub(super) fn parsed<T: FromStr>(value: &Value<'_>, key: &'static str) -> Result<T, ControlError> {
    let text = value.text().ok_or(ControlError::WrongValue(key))?;
    text.parse().map_err(|_| ControlError::WrongValue(key))
}

pub(super) fn token(value: &Value<'_>, key: &'static str) -> Result<Token, ControlError> {
    let token = value.bytes().and_then(Token::new);
    token.ok_or(ControlError::WrongValue(key))
}

pub(super) fn place(value: &Value<'_>, key: &'static str) -> Result<Place, ControlError> {
    let place = value.text().and_then(Place::new);
    place.ok_or(ControlError::WrongValue(key))
}

/// The entry that says where a page begins.
pub(super) fn after(after: &Option<Place>) -> Option<(&'static str, Item<'_>)> {
    let after = after.as_ref()?;
    Some(("after", after.as_str().into()))
}
