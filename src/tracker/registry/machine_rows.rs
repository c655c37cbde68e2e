//! The rows of tokens and machines, and how two states of one row merge.

use super::{
    GivenRole, MachineName, Origin, Register, Role, RowId, Stamp, Version, merge_optional,
};
use crate::wire::machine::{MachineStart, SecretHash};
use ring::digest::{Context, SHA256};
use std::collections::BTreeMap;
use std::fmt;

/// Lets machines enrol. All its struct members are attributes, except `revoked` and `refused`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineToken {
    /// The id of the row.
    pub id: RowId,
    /// The write that created the row.
    pub created: Version,
    /// The account that made it.
    pub maker: RowId,
    /// The hash of its secret.
    pub secret: SecretHash,
    /// Its name.
    pub name: MachineName,
    /// Its groups, with the role of its machines in each.
    pub groups: BTreeMap<RowId, Role>,
    /// The largest number of machines.
    pub machines: u64,
    /// Until when machines can enrol, in milliseconds since 1970. `None`: until it is revoked. Like
    /// `created`, it comes from the later creation.
    pub enrols_until: Option<u64>,
    /// The account that revoked it; the last writer wins. It is final.
    pub revoked: Option<Register<RowId>>,
    /// The write that last noted that another machine wanted to enrol when the token was spent; the
    /// last writer wins.
    pub refused: Option<Register<()>>,
}

/// A machine that has enrolled. Its id is derived from the token and the key, so that an enrolment
/// that is repeated, even at another tracker, makes no second row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The id of the row: [`Machine::id_of`].
    pub id: RowId,
    /// The write that created the row.
    pub created: Version,
    /// The token with which it enrolled.
    pub token: RowId,
    /// The hash of its public key.
    pub key: KeyHash,
    /// The claimed name; the first writer wins.
    pub name: Register<MachineName>,
    /// Its latest start; see `Starts::merge`.
    pub starts: Option<Starts>,
    /// The write that last suspended it; the last writer wins.
    pub suspended: Option<Register<()>>,
    /// The account that last allowed it again; the last writer wins.
    pub answered: Option<Register<RowId>>,
    /// The account that revoked it; the last writer wins. It is final.
    pub revoked: Option<Register<RowId>>,
    /// The roles that it was given, by group; the last writer wins.
    pub roles: BTreeMap<RowId, Register<GivenRole>>,
}

/// SHA-256 of the public key of a machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyHash(pub [u8; 32]);

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

/// The latest start of a machine. Of two starts the one with the larger counter is the later one,
/// but an answer to a suspension begins a new count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Starts {
    /// The answer to a suspension that was known when the start was accepted.
    pub after: Option<Stamp>,
    /// The counter of the start.
    pub counter: u64,
    /// The nonces of the starts with this counter, each with the write that accepted it: one, or
    /// the two smallest if several trackers accepted starts of several copies of the machine.
    pub nonces: BTreeMap<[u8; 16], Version>,
}

/// The most nonces of one counter that are kept: enough to know that there are several.
const KEPT_NONCES: usize = 2;

impl Starts {
    /// A start that is accepted under the answer `after`.
    pub(super) fn new(after: Option<Stamp>, start: &MachineStart, version: Version) -> Self {
        Self {
            after,
            counter: start.counter,
            nonces: BTreeMap::from([(start.nonce, version)]),
        }
    }

    /// Whether this is exactly the latest start.
    pub(super) fn is(&self, start: &MachineStart) -> bool {
        self.counter == start.counter && self.nonces.keys().eq([&start.nonce])
    }

    /// A hash of the nonce and of the answer that the start followed.
    fn mark(&self, nonce: &[u8; 16]) -> Origin {
        let mut hash = Context::new(&SHA256);
        hash.update(b"pieceful start v1");
        hash.update(nonce);
        if let Some(after) = &self.after {
            hash.update(&after.wall().to_be_bytes());
            hash.update(&after.counter().to_be_bytes());
            hash.update(&after.origin().0);
        }
        let mark = hash.finish().as_ref().first_chunk().copied();
        Origin(mark.unwrap_or_default())
    }

    /// The later one of two states wins. Of two with the same counter, the nonces are united.
    fn merge(self, other: Self) -> Self {
        let key = |starts: &Self| (starts.after, starts.counter);
        match key(&self).cmp(&key(&other)) {
            std::cmp::Ordering::Less => other,
            std::cmp::Ordering::Greater => self,
            std::cmp::Ordering::Equal => {
                let mut nonces = self.nonces;
                for (nonce, version) in &other.nonces {
                    let known = nonces.entry(*nonce).or_insert(*version);
                    *known = (*known).min(*version);
                }
                Self {
                    nonces: nonces.into_iter().take(KEPT_NONCES).collect(),
                    ..other
                }
            }
        }
    }
}

impl MachineToken {
    /// Whether both rows have the same attributes, except those that a repeated command may change.
    pub(super) fn is_same_row(&self, other: &Self) -> bool {
        (self.maker, self.secret, &self.name) == (other.maker, other.secret, &other.name)
            && (&self.groups, self.machines) == (&other.groups, other.machines)
    }

    pub(super) fn merge(self, other: Self) -> Self {
        let (created, enrols_until) =
            (self.created, self.enrols_until).max((other.created, other.enrols_until));
        Self {
            created,
            enrols_until,
            revoked: merge_optional(self.revoked, other.revoked, Ord::max),
            refused: merge_optional(self.refused, other.refused, Ord::max),
            ..self
        }
    }

    /// The versions of its fields.
    pub(super) fn field_versions(&self) -> impl Iterator<Item = Version> {
        let revoked = self.revoked.iter().map(|field| field.version);
        revoked.chain(self.refused.iter().map(|field| field.version))
    }
}

impl Machine {
    /// The id of the machine that enrols with this token and this key.
    pub fn id_of(token: RowId, key: &KeyHash) -> RowId {
        let mut hash = Context::new(&SHA256);
        hash.update(b"pieceful machine v1");
        hash.update(&token.0);
        hash.update(&key.0);
        let id = hash.finish().as_ref().first_chunk().copied();
        RowId(id.unwrap_or_default())
    }

    pub(super) fn is_same_row(&self, other: &Self) -> bool {
        (self.token, self.key) == (other.token, other.key)
    }

    pub(super) fn merge(self, other: Self) -> Self {
        let starts = match (self.starts, other.starts) {
            (Some(ours), Some(theirs)) => Some(ours.merge(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        let mut roles = self.roles;
        for (group, theirs) in other.roles {
            let role = match roles.remove(&group) {
                Some(ours) => ours.max(theirs),
                None => theirs,
            };
            roles.insert(group, role);
        }
        Self {
            created: self.created.max(other.created),
            name: self.name.min(other.name),
            starts,
            suspended: merge_optional(self.suspended, other.suspended, Ord::max),
            answered: merge_optional(self.answered, other.answered, Ord::max),
            revoked: merge_optional(self.revoked, other.revoked, Ord::max),
            roles,
            id: self.id,
            token: self.token,
            key: self.key,
        }
    }

    /// The versions of its fields.
    pub(super) fn field_versions(&self) -> impl Iterator<Item = Version> {
        let starts = self.starts.iter().flat_map(|starts| starts.nonces.values());
        let suspended = self.suspended.iter().map(|field| field.version);
        let people = [&self.answered, &self.revoked].into_iter().flatten();
        let roles = self.roles.values().map(|field| field.version);
        [self.name.version]
            .into_iter()
            .chain(starts.copied())
            .chain(suspended)
            .chain(people.map(|field| field.version))
            .chain(roles)
    }

    /// The stamp of the last answer to a suspension.
    pub(super) fn answer(&self) -> Option<Stamp> {
        self.answered.as_ref().map(|field| field.version.stamp)
    }

    /// The write that suspended the machine, if nobody has answered it since.
    pub(super) fn suspension(&self) -> Option<Version> {
        let suspended = self.suspended.as_ref()?.version;
        (Some(suspended.stamp) > self.answer()).then_some(suspended)
    }

    /// The starts since the last answer to a suspension. Earlier ones no longer count.
    pub(super) fn present_starts(&self) -> Option<&Starts> {
        let starts = self.starts.as_ref();
        starts.filter(|starts| starts.after >= self.answer())
    }

    /// Whether starts of two copies of the machine are known, and it was not suspended for them.
    pub(super) fn must_be_suspended(&self) -> bool {
        let clashes = self.present_starts().is_some_and(|it| it.nonces.len() > 1);
        clashes && self.suspension().is_none()
    }

    /// What the logins of the latest start are bound to, like [`Account::credential`]: a stamp made
    /// of the counter, the nonce and the answer before it. So the same start after another answer
    /// is another one. `None` if no login of the machine is valid.
    ///
    /// [`Account::credential`]: super::Account::credential
    pub(super) fn credential(&self) -> Option<Stamp> {
        let starts = self.present_starts()?;
        let mut nonces = starts.nonces.keys();
        match (nonces.next(), nonces.next()) {
            (Some(nonce), None) => Stamp::new(starts.counter, 0, starts.mark(nonce)),
            _ => None,
        }
    }
}
