//! Messages of an operator connection. The operator's command has proved in the TLS handshake that
//! it holds the key of the cluster.
//!
//! In scope: the messages and their exact encoding, which is that of [`crate::wire::control`]. Out
//! of scope: the format of a backup.

use super::control::{ControlError, MessageFields, TextLine};
use crate::bencode::{Item, KeyOrder, Value};

/// The maximum number of bytes of a backup in one message.
pub const MAX_BACKUP_PART: usize = 256 << 10;

/// A message of the operator or of the tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorMessage {
    /// The operator requests a backup. The tracker answers with [`OperatorMessage::Part`]s in
    /// order, then [`OperatorMessage::End`].
    Backup,
    /// The next 1 to [`MAX_BACKUP_PART`] bytes of the backup.
    Part(Vec<u8>),
    /// The tracker has sent the whole backup.
    End,
    /// The tracker could not make the backup, for this reason.
    Refused(TextLine),
}

impl OperatorMessage {
    /// Encodes the message as the body of a frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut entries = vec![("type", Item::from(self.kind()))];
        match self {
            Self::Backup | Self::End => {}
            Self::Part(bytes) => entries.push(("bytes", Item::from(bytes.as_slice()))),
            Self::Refused(reason) => entries.push(("message", reason.as_str().into())),
        }
        Item::dictionary(entries).encode()
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn decode(body: &[u8]) -> Result<Self, ControlError> {
        let value = Value::parse(body, KeyOrder::Sorted)?;
        let mut fields = MessageFields::new(&value)?;
        let message = match fields.text("type")? {
            "backup" => Self::Backup,
            "part" => {
                let bytes = fields.value("bytes")?.bytes();
                let bytes = bytes.filter(|bytes| (1..=MAX_BACKUP_PART).contains(&bytes.len()));
                let bytes = bytes.ok_or(ControlError::WrongValue("bytes"))?;
                Self::Part(bytes.to_vec())
            }
            "end" => Self::End,
            "refused" => Self::Refused(fields.line("message")?),
            other => return Err(ControlError::unknown(other)),
        };
        fields.check_all_read(message.kind())?;
        Ok(message)
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Part(_) => "part",
            Self::End => "end",
            Self::Refused(_) => "refused",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_encoded_and_decoded_and_other_bytes_are_refused() {
        for (message, bytes) in [
            (OperatorMessage::Backup, &b"d4:type6:backupe"[..]),
            (
                OperatorMessage::Part(b"x\0".to_vec()),
                b"d5:bytes2:x\x004:type4:parte",
            ),
            (OperatorMessage::End, b"d4:type3:ende"),
            (
                OperatorMessage::Refused(TextLine::new("no")),
                b"d7:message2:no4:type7:refusede",
            ),
        ] {
            assert_eq!(message.encode(), bytes);
            assert_eq!(OperatorMessage::decode(bytes), Ok(message));
        }
        let too_long = OperatorMessage::Part(vec![0; MAX_BACKUP_PART + 1]).encode();
        for bytes in [
            b"d5:bytes0:4:type4:parte".as_slice(),
            b"d4:type3:end1:xi1ee",
            b"d4:type5:emptye",
            b"le",
            &too_long,
        ] {
            assert!(OperatorMessage::decode(bytes).is_err());
        }
    }
}
