//! Which shares of a group were withdrawn: the question of a peer, and the answer of a tracker.

use super::GroupId;
use crate::bencode::{Item, Value};
use crate::torrent::InfoHash;
use crate::wire::control::{ControlError, MessageFields};

/// The most versions in one question.
pub const MAX_WITHDRAWALS: usize = 100;

/// A version that a member has withdrawn from the catalogue of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// The swarm of the version.
    pub info_hash: InfoHash,
    /// How long ago it was withdrawn, in milliseconds, by the clock of the tracker.
    pub age_ms: u64,
}

/// Those of the versions in a question that members have withdrawn. A version that is listed, that
/// the tracker does not know, that an operator has removed or whose publisher was removed is not
/// among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawals {
    /// The group that was asked about. A later group of the same name has another id.
    pub group: GroupId,
    /// The versions, at most [`MAX_WITHDRAWALS`].
    pub withdrawn: Vec<Withdrawal>,
}

impl Withdrawals {
    pub(super) fn put<'a>(&self, entries: &mut Vec<(&'static str, Item<'a>)>) {
        let withdrawn = self.withdrawn.iter().map(|withdrawal| {
            Item::dictionary([
                ("age", withdrawal.age_ms.into()),
                ("info hash", withdrawal.info_hash.0.to_vec().into()),
            ])
        });
        entries.extend([
            ("group id", self.group.0.to_vec().into()),
            ("withdrawn", Item::List(withdrawn.collect())),
        ]);
    }

    pub(super) fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            group: GroupId(fields.array("group id")?),
            withdrawn: bounded(fields.list("withdrawn", read_withdrawal)?)?,
        })
    }
}

/// Reads the versions of a question.
pub(super) fn read_shares(fields: &mut MessageFields<'_>) -> Result<Vec<InfoHash>, ControlError> {
    bounded(fields.list("shares", |value| {
        let bytes = value.bytes().and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(InfoHash)
            .ok_or(ControlError::WrongValue("shares"))
    })?)
}

fn read_withdrawal(value: &Value<'_>) -> Result<Withdrawal, ControlError> {
    let mut fields = MessageFields::new(value)?;
    let withdrawal = Withdrawal {
        info_hash: InfoHash(fields.array("info hash")?),
        age_ms: fields.u63("age")?,
    };
    fields.check_all_read("withdrawn")?;
    Ok(withdrawal)
}

fn bounded<T>(list: Vec<T>) -> Result<Vec<T>, ControlError> {
    match list.len() {
        0..=MAX_WITHDRAWALS => Ok(list),
        length => Err(ControlError::LongList(length)),
    }
}
