//! Small values in the messages about accounts and groups, and functions that read them.

use crate::bencode::{Item, Value};
use crate::torrent::InfoHash;
use crate::wire::control::{ControlError, MessageFields};
use crate::wire::password::Password;
use crate::wire::role::Role;
use std::fmt;

/// The most bytes of a [`Token`].
pub const MAX_TOKEN: usize = 256;
/// A token that a tracker has just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedToken {
    /// The token.
    pub token: Token,
    /// When it expires, by the clock of the tracker, in milliseconds since 1970.
    pub expires: u64,
}

/// The most bytes of a [`SeenDecisions`].
pub const MAX_SEEN_DECISIONS: usize = 64 << 10;
/// The most bytes of a [`ShortText`]. The longest one is a position in a list of versions: two ids
/// with 32 digits, a number with 10, three separators and a name of 255 bytes.
const MAX_SHORT_TEXT: usize = 384;

/// Proves a login to every tracker of the cluster: 1 to [`MAX_TOKEN`] bytes. Only trackers can read
/// them.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Vec<u8>);

impl Token {
    /// A token of these bytes. `None` unless there are 1 to [`MAX_TOKEN`].
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

/// The id of a write: 16 random bytes. A peer makes a new id for each command and sends it in each
/// request of that command. For each user, a tracker carries out only one write with the same id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WriteId(pub [u8; 16]);

impl fmt::Debug for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriteId(..)")
    }
}

/// The decisions that a peer has received about its user: at most [`MAX_SEEN_DECISIONS`] bytes that
/// only trackers can read. Empty at first.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SeenDecisions(Vec<u8>);

impl SeenDecisions {
    /// The value with these bytes. `None` if there are more than [`MAX_SEEN_DECISIONS`].
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= MAX_SEEN_DECISIONS).then_some(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SeenDecisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeenDecisions({} bytes)", self.0.len())
    }
}

/// A text of 1 to 384 bytes without control characters: the position where a page of a list ended,
/// an invite code, or the name of a share.
#[derive(Clone, PartialEq, Eq)]
pub struct ShortText(String);

impl ShortText {
    /// Returns `None` if `text` has a wrong length or a control character.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let fits =
            (1..=MAX_SHORT_TEXT).contains(&text.len()) && !text.chars().any(char::is_control);
        fits.then_some(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShortText(..)")
    }
}

/// Length of a [`KeyRequest`] in bytes.
pub const KEY_REQUEST_LENGTH: usize = 129;

/// A public key, with a proof that the sender has the private key. `certificate::MemberPublicKey`
/// reads it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyRequest(pub [u8; KEY_REQUEST_LENGTH]);

impl fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRequest(..)")
    }
}

pub(super) fn read_password(
    value: &Value<'_>,
    key: &'static str,
) -> Result<Password, ControlError> {
    let password = value.text().and_then(|text| Password::new(text).ok());
    password.ok_or(ControlError::WrongValue(key))
}

pub(super) fn read_seen(
    value: &Value<'_>,
    key: &'static str,
) -> Result<SeenDecisions, ControlError> {
    let seen = value
        .bytes()
        .map(<[u8]>::to_vec)
        .and_then(SeenDecisions::new);
    seen.ok_or(ControlError::WrongValue(key))
}

/// Reads the position after which a page begins. `None` means the start of the list.
pub(super) fn read_after(
    fields: &mut MessageFields<'_>,
) -> Result<Option<ShortText>, ControlError> {
    fields.optional("after", read_short_text)
}

pub(super) fn read_token(value: &Value<'_>, key: &'static str) -> Result<Token, ControlError> {
    let token = value.bytes().and_then(Token::new);
    token.ok_or(ControlError::WrongValue(key))
}

pub(super) fn read_short_text(
    value: &Value<'_>,
    key: &'static str,
) -> Result<ShortText, ControlError> {
    let text = value.text().and_then(ShortText::new);
    text.ok_or(ControlError::WrongValue(key))
}

pub(super) fn read_role(value: &Value<'_>, key: &'static str) -> Result<Role, ControlError> {
    let role = value.text().and_then(Role::parse);
    role.ok_or(ControlError::WrongValue(key))
}

pub(super) fn info_hashes_item(info_hashes: &[InfoHash]) -> Item<'_> {
    let items = info_hashes.iter().map(|hash| Item::from(&hash.0[..]));
    Item::List(items.collect())
}

/// Reads an element of the list `changed`.
pub(super) fn read_changed(value: &Value<'_>) -> Result<InfoHash, ControlError> {
    let bytes = value.bytes().and_then(|bytes| bytes.try_into().ok());
    bytes
        .map(InfoHash)
        .ok_or(ControlError::WrongValue("changed"))
}

/// The dictionary entry `after`: the position after which a page begins.
pub(super) fn after_entry(after: &Option<ShortText>) -> Option<(&'static str, Item<'_>)> {
    let after = after.as_ref()?;
    Some(("after", after.as_str().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_texts_and_lists_of_decisions_have_a_largest_length() {
        for (length, fits) in [(256, true), (257, false)] {
            assert_eq!(Token::new(&vec![0; length]).is_some(), fits);
        }
        for (length, fits) in [(384, true), (385, false)] {
            assert_eq!(ShortText::new("x".repeat(length)).is_some(), fits);
        }
        for (length, fits) in [(64 << 10, true), ((64 << 10) + 1, false)] {
            assert_eq!(SeenDecisions::new(vec![0; length]).is_some(), fits);
        }
    }
}
