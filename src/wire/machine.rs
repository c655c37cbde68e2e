//! Machines and tokens: their labels, the secret of a token, and what a machine's key signs.
//!
//! A *machine* is a peer that belongs to no person. Its owner, the *maker*, is the user who made
//! the token with which the machine enrolled. A machine makes a key pair, enrols it once with the
//! secret of the token, and proves the key at each start.

use super::name::{Label, LabelError};
use crate::certificate::Fingerprint;
use ring::digest::{SHA256, digest};
use std::fmt;
use std::str::FromStr;

/// The signed bytes of an enrolment begin with this.
const ENROL_PURPOSE: &[u8] = b"pieceful machine enrolment\0";
/// The signed bytes of a start begin with this.
const START_PURPOSE: &[u8] = b"pieceful machine start\0";

/// The largest counter of starts. A machine that adds 1 at each start never reaches it.
pub const MAX_STARTS: u64 = 1_000_000_000;

/// The text by which people identify a machine or a token: `MAKER/NAME`, where MAKER is the label
/// of the user who made the token. Of several machines of one maker with the same name, the one
/// that enrolled first has the plain name, and the others have a tag: `MAKER/NAME~TAG`. The same
/// holds for tokens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineLabel {
    /// The user who made the token.
    pub maker: Label,
    /// The name of the machine or the token, with a tag if another one has that name.
    pub name: Label,
}

/// The label of a user or of a machine.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectLabel {
    /// A user.
    User(Label),
    /// A machine, or a token.
    Machine(MachineLabel),
}

/// Why a text is not the label of a machine or a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineLabelError {
    /// There is no `/`.
    #[error("a machine or a token is named MAKER/NAME, as the lists show it")]
    NoMaker,
    /// The part before or after the `/` is not a label.
    #[error(transparent)]
    Label(#[from] LabelError),
}

impl FromStr for MachineLabel {
    type Err = MachineLabelError;

    fn from_str(text: &str) -> Result<Self, MachineLabelError> {
        let (maker, name) = text.split_once('/').ok_or(MachineLabelError::NoMaker)?;
        Ok(Self {
            maker: maker.parse()?,
            name: name.parse()?,
        })
    }
}

impl fmt::Display for MachineLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.maker, self.name)
    }
}

impl fmt::Debug for MachineLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SubjectLabel {
    type Err = MachineLabelError;

    fn from_str(text: &str) -> Result<Self, MachineLabelError> {
        match text.contains('/') {
            true => text.parse().map(Self::Machine),
            false => Ok(Self::User(text.parse()?)),
        }
    }
}

impl From<Label> for SubjectLabel {
    fn from(user: Label) -> Self {
        Self::User(user)
    }
}

impl From<MachineLabel> for SubjectLabel {
    fn from(machine: MachineLabel) -> Self {
        Self::Machine(machine)
    }
}

impl fmt::Display for SubjectLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(label) => label.fmt(f),
            Self::Machine(label) => label.fmt(f),
        }
    }
}

impl fmt::Debug for SubjectLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The secret of a token: 128 random bits. The peer of the maker draws it. A machine shows it once,
/// when it enrols.
#[derive(Clone, PartialEq, Eq)]
pub struct MachineSecret(pub [u8; 16]);

/// SHA-256 of a [`MachineSecret`]. Trackers store it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretHash(pub [u8; 32]);

impl MachineSecret {
    /// The hash that trackers store.
    pub fn hash(&self) -> SecretHash {
        SecretHash(sha256(&self.0))
    }
}

impl fmt::Debug for MachineSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MachineSecret(..)")
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

/// One start of a machine. The machine adds 1 to the counter at each start, and has the new value
/// on its disk before it sends it. It draws a new nonce for each start. So two starts with the same
/// counter and different nonces show that two copies of the machine's files are in use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MachineStart {
    /// The number of the start: 1, 2, 3, ... up to [`MAX_STARTS`]. Numbers may be missing.
    pub counter: u64,
    /// 16 random bytes.
    pub nonce: [u8; 16],
}

impl fmt::Debug for MachineStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MachineStart({}, ..)", self.counter)
    }
}

/// The context that a machine's key signs to enrol (see
/// [`MemberKey::request`](crate::certificate::MemberKey::request)). It names the cluster and the
/// token, so that the signature is useless in another cluster and for another token. `cluster` is
/// the fingerprint in TRACKER_INFO.
pub fn enrolment_context(cluster: &Fingerprint, secret: &SecretHash) -> Vec<u8> {
    [ENROL_PURPOSE, cluster.as_bytes(), &secret.0].concat()
}

/// The context that a machine's key signs for a start. It names the cluster and the start, so that
/// the signature is useless in another cluster and for a later start. Only trackers of the cluster
/// see it, because the peer checks their certificate before it sends anything.
pub fn start_context(cluster: &Fingerprint, start: &MachineStart) -> Vec<u8> {
    let counter = start.counter.to_be_bytes();
    [START_PURPOSE, cluster.as_bytes(), &counter, &start.nonce].concat()
}

/// SHA-256 of `bytes`.
fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_users_and_machines_are_written_and_read() {
        for text in ["ann", "ann~00ab12ff"] {
            let label: SubjectLabel = text.parse().unwrap();
            assert_eq!(label, SubjectLabel::User(text.parse().unwrap()));
            assert_eq!(label.to_string(), text);
        }
        for text in ["ann/gpu1", "ann~00ab12ff/gpu1~00ab12fe", "a/-x"] {
            let label: SubjectLabel = text.parse().unwrap();
            assert_eq!(label, SubjectLabel::Machine(text.parse().unwrap()));
            assert_eq!(label.to_string(), text);
        }
        for bad in ["", "/", "ann/", "/gpu1", "ann/gpu/1", "ann/g u", "ann~1/x"] {
            assert!(bad.parse::<SubjectLabel>().is_err(), "{bad}");
            assert!(bad.parse::<MachineLabel>().is_err(), "{bad}");
        }
        let no_maker = "ann".parse::<MachineLabel>();
        assert_eq!(no_maker, Err(MachineLabelError::NoMaker));
    }

    #[test]
    fn what_is_signed_differs_for_each_purpose_cluster_token_and_start() {
        let (one, other) = (Fingerprint::of(b"1"), Fingerprint::of(b"2"));
        let start = |counter, nonce| MachineStart {
            counter,
            nonce: [nonce; 16],
        };
        let hash = |secret| MachineSecret([secret; 16]).hash();
        let contexts = [
            enrolment_context(&one, &hash(1)),
            enrolment_context(&other, &hash(1)),
            enrolment_context(&one, &hash(2)),
            start_context(&one, &start(1, 1)),
            start_context(&other, &start(1, 1)),
            start_context(&one, &start(2, 1)),
            start_context(&one, &start(1, 2)),
        ];
        for (at, context) in contexts.iter().enumerate() {
            assert!(!contexts[..at].contains(context), "{at}");
        }
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let secret = MachineSecret([0x77; 16]);
        let start = MachineStart {
            counter: 3,
            nonce: [0x77; 16],
        };
        let text = format!("{secret:?} {:?} {start:?}", secret.hash());
        let shown = "MachineSecret(..) SecretHash(..) MachineStart(3, ..)";
        assert_eq!(text, shown);
    }
}
