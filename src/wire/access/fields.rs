//! Small values of these messages, and how they are read.

use crate::bencode::{Item, Value};
use crate::wire::control::{ControlError, Fields};
use crate::wire::password::Password;
use std::fmt;

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

pub(super) fn password(value: &Value<'_>, key: &'static str) -> Result<Password, ControlError> {
    let password = value.text().and_then(|text| Password::new(text).ok());
    password.ok_or(ControlError::WrongValue(key))
}

pub(super) fn seen(value: &Value<'_>, key: &'static str) -> Result<Seen, ControlError> {
    let seen = value.bytes().map(<[u8]>::to_vec).and_then(Seen::new);
    seen.ok_or(ControlError::WrongValue(key))
}

/// Where a page begins, if not at the start of the list.
pub(super) fn read_after(fields: &mut Fields<'_>) -> Result<Option<Place>, ControlError> {
    fields.optional("after", place)
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
