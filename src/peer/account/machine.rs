//! The machine of a peer that belongs to no person: it enrols once, and then logs in by itself.
//!
//! In scope: its key and its counter of starts, the two requests, and what their refusals mean.
//! Out of scope: sending the requests (`machine_login`), and when the next attempt is made
//! (`peer::machine`).
//!
//! The counter has its new value on the disk before it is sent. So after a crash at any moment, the
//! next start has a counter that no tracker has received.

use super::error::{AccountError, MachineError};
use crate::certificate::{Fingerprint, MemberKey};
use crate::peer::{MachineLoginState, MachineStatus};
use crate::storage::{EnrolledMachine, LoginFile, MachineFile, StoredMachine};
use crate::system::lock;
use crate::wire::MachineToken;
use crate::wire::access::{AccessErrorKind, KeyRequest, MachineRequest, TokenGroup, WriteId};
use crate::wire::machine::{
    MAX_STARTS, MachineLabel, MachineStart, enrolment_context, start_context,
};
use crate::wire::name::MachineName;
use ring::rand::{SecureRandom, SystemRandom};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

/// The token that a peer was started with, and the name with which it is to enrol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineOptions {
    /// The token.
    pub token: MachineToken,
    /// The name. A machine that has enrolled keeps its first name.
    pub name: MachineName,
}

/// The machine of a state folder.
#[derive(Debug)]
pub(super) struct Machine {
    file: MachineFile,
    stored: Mutex<StoredMachine>,
    /// `None` if the peer was started without `--token`. Then it cannot enrol.
    token: Option<MachineToken>,
    status: Mutex<MachineStatus>,
    /// Held during an attempt to log in, so that only one is made at a time.
    attempt: Mutex<()>,
}

impl Machine {
    /// The machine of a state folder. Makes its key if the folder has no machine yet. `None` if the
    /// folder has none, and `options` asks for none.
    ///
    /// # Errors
    /// See [`MachineError`].
    pub(super) fn open(
        folder: &Path,
        options: Option<MachineOptions>,
    ) -> Result<Option<Self>, MachineError> {
        let file = MachineFile::new(folder);
        let stored = match &options {
            None => file.load()?,
            Some(options) => check_machine_folder(folder, &options.token)?,
        };
        let stored = match (stored, &options) {
            (None, None) => return Ok(None),
            (Some(stored), _) => stored,
            (None, Some(options)) => {
                let made = StoredMachine {
                    cluster: options.token.cluster,
                    token: options.token.secret.hash(),
                    name: options.name.clone(),
                    key: MemberKey::generate()?,
                    starts: 0,
                    enrolled: None,
                };
                file.store(&made)?;
                made
            }
        };
        let enrolled = stored.enrolled.as_ref();
        Ok(Some(Self {
            status: Mutex::new(MachineStatus {
                label: enrolled.map(|enrolled| enrolled.label.clone()),
                state: MachineLoginState::Waiting,
                trouble: None,
                groups: Vec::new(),
            }),
            file,
            stored: Mutex::new(stored),
            token: options.map(|options| options.token),
            attempt: Mutex::default(),
        }))
    }

    /// The cluster that the machine belongs to.
    pub(super) fn cluster(&self) -> Fingerprint {
        lock(&self.stored).cluster
    }

    /// Waits until no other attempt to log in is under way. An attempt is over when the guard is
    /// dropped.
    pub(super) fn begin_attempt(&self) -> MutexGuard<'_, ()> {
        lock(&self.attempt)
    }

    /// What the trackers say about the machine.
    pub(super) fn status(&self) -> MachineStatus {
        lock(&self.status).clone()
    }

    /// The enrolment request, if the machine has to enrol.
    pub(super) fn enrolment(&self, write: WriteId) -> Result<Option<MachineRequest>, AccountError> {
        let stored = lock(&self.stored);
        if stored.enrolled.is_some() {
            return Ok(None);
        }
        let token = self.token.as_ref().ok_or(AccountError::NoToken)?;
        let context = enrolment_context(&stored.cluster, &stored.token);
        Ok(Some(MachineRequest::Enrol {
            write,
            secret: token.secret.clone(),
            key: prove(&stored.key, &context)?,
            name: stored.name.clone(),
        }))
    }

    /// Stores what the trackers answered to the enrolment.
    pub(super) fn on_enrolled(&self, enrolled: EnrolledMachine) -> Result<(), MachineError> {
        let label = Some(enrolled.label.clone());
        let mut status = lock(&self.status);
        *status = MachineStatus {
            label,
            ..status.clone()
        };
        drop(status);
        let mut stored = lock(&self.stored);
        let changed = StoredMachine {
            enrolled: Some(enrolled),
            ..stored.clone()
        };
        self.file.store(&changed)?;
        *stored = changed;
        Ok(())
    }

    /// Begins a start: raises the counter on the disk, and only then returns the counter and the
    /// request.
    pub(super) fn begin_start(
        &self,
        write: WriteId,
    ) -> Result<(u64, MachineRequest), AccountError> {
        let mut stored = lock(&self.stored);
        let enrolled = stored.enrolled.as_ref().ok_or(AccountError::NotLoggedIn)?;
        let machine = enrolled.id;
        let counter = stored.starts.saturating_add(1);
        if counter > MAX_STARTS {
            return Err(MachineError::TooManyStarts.into());
        }
        let mut nonce = [0; 16];
        let filled = SystemRandom::new().fill(&mut nonce);
        filled.map_err(|_| AccountError::NoRandomness)?;
        let start = MachineStart { counter, nonce };
        let context = start_context(&stored.cluster, &start);
        let request = MachineRequest::LogIn {
            write,
            machine,
            key: prove(&stored.key, &context)?,
            start,
        };
        let changed = StoredMachine {
            starts: counter,
            ..stored.clone()
        };
        self.file.store(&changed).map_err(MachineError::from)?;
        *stored = changed;
        Ok((counter, request))
    }

    /// The trackers have logged the machine in. Returns its first label, to which its transfers
    /// belong.
    pub(super) fn on_logged_in(
        &self,
        label: MachineLabel,
        groups: Vec<TokenGroup>,
    ) -> Option<MachineLabel> {
        *lock(&self.status) = MachineStatus {
            label: Some(label.clone()),
            state: MachineLoginState::LoggedIn,
            trouble: None,
            groups,
        };
        let mut stored = lock(&self.stored);
        let enrolled = stored.enrolled.clone()?;
        let first_label = enrolled.first_label.clone();
        if enrolled.label != label {
            log::info!("the trackers now call this machine {label}");
            *stored = StoredMachine {
                enrolled: Some(EnrolledMachine { label, ..enrolled }),
                ..stored.clone()
            };
            // The trackers send the label again at the next start.
            if let Err(error) = self.file.store(&stored) {
                log::warn!("{error}");
            }
        }
        Some(first_label)
    }

    /// An attempt to log in has failed, or the login has ended.
    pub(super) fn on_trouble(&self, error: &AccountError) {
        let mut status = lock(&self.status);
        *status = MachineStatus {
            state: state_after(error),
            trouble: Some(error.to_string()),
            ..status.clone()
        };
    }
}

/// Whether a refusal means that the login of a machine is over, whatever other trackers say.
pub(super) fn ends_machine_login(kind: AccessErrorKind) -> bool {
    use AccessErrorKind::{MachineRevoked, MachineSuspended, TokenEnded};
    matches!(kind, MachineRevoked | MachineSuspended | TokenEnded)
}

/// The state after this error.
fn state_after(error: &AccountError) -> MachineLoginState {
    match error.refusal() {
        Some(AccessErrorKind::MachineSuspended) => MachineLoginState::Suspended,
        Some(kind) if refuses_for_good(kind) => MachineLoginState::Refused,
        _ => MachineLoginState::Waiting,
    }
}

/// Whether the trackers refuse a machine for good: a row says so, and no later row takes it back.
pub(in crate::peer) fn refuses_for_good(kind: AccessErrorKind) -> bool {
    matches!(
        kind,
        AccessErrorKind::MachineRevoked
            | AccessErrorKind::LoginRefused
            | AccessErrorKind::TokenEnded
            | AccessErrorKind::TokenSpent
    )
}

/// Checks that a folder may be that of a machine with this token. Returns the machine in it, if it
/// has one. A machine with another token that has not enrolled does not count: it gives way.
/// Changes nothing.
///
/// # Errors
/// See [`MachineError`].
pub(in crate::peer) fn check_machine_folder(
    folder: &Path,
    token: &MachineToken,
) -> Result<Option<StoredMachine>, MachineError> {
    match MachineFile::new(folder).load()? {
        Some(stored) if stored.token != token.secret.hash() => match stored.enrolled {
            Some(_) => Err(MachineError::OtherToken(folder.to_owned())),
            None => Ok(None),
        },
        None if LoginFile::new(folder).exists() => Err(MachineError::OfAPerson(folder.to_owned())),
        stored => Ok(stored),
    }
}

fn prove(key: &MemberKey, context: &[u8]) -> Result<KeyRequest, MachineError> {
    Ok(KeyRequest(key.request(context)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::AccountId;
    use crate::wire::access::AccessRefusal;
    use crate::wire::control::TextLine;
    use crate::wire::machine::MachineSecret;

    fn open(folder: &Path) -> Machine {
        let token = MachineToken {
            cluster: Fingerprint::of(b"cluster"),
            secret: MachineSecret([3; 16]),
        };
        let name = "m1".parse().unwrap();
        let opened = Machine::open(folder, Some(MachineOptions { token, name }));
        opened.unwrap().unwrap()
    }

    fn enrol(machine: &Machine) {
        let label: MachineLabel = "ann/m1".parse().unwrap();
        let enrolled = EnrolledMachine {
            id: AccountId([5; 16]),
            first_label: label.clone(),
            label,
        };
        machine.on_enrolled(enrolled).unwrap();
    }

    fn start(machine: &Machine) -> MachineStart {
        match machine.begin_start(WriteId([0; 16])).unwrap() {
            (number, MachineRequest::LogIn { start, .. }) => {
                assert_eq!(number, start.counter);
                start
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_start_has_a_new_number_that_is_on_the_disk_before_the_request_exists() {
        let folder = tempfile::tempdir().unwrap();
        let stored = || {
            let machine = MachineFile::new(folder.path()).load().unwrap();
            machine.unwrap().starts
        };
        let machine = open(folder.path());
        assert!(
            machine.begin_start(WriteId([0; 16])).is_err(),
            "it has not enrolled"
        );
        enrol(&machine);
        let first = start(&machine);
        assert_eq!((first.counter, stored()), (1, 1));
        let second = start(&machine);
        assert_eq!((second.counter, stored()), (2, 2));
        assert_ne!(first.nonce, second.nonce);
        drop(machine);
        // After a restart, also without the token.
        let machine = Machine::open(folder.path(), None).unwrap().unwrap();
        assert!(machine.enrolment(WriteId([0; 16])).unwrap().is_none());
        assert_eq!((start(&machine).counter, stored()), (3, 3));
    }

    #[test]
    fn transfers_belong_to_the_first_label_after_the_machine_got_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let machine = open(folder.path());
        enrol(&machine);
        let (first, later) = ("ann/m1", "ann/m1~00ab12ff");
        for label in [later, first, later] {
            let returned = machine.on_logged_in(label.parse().unwrap(), Vec::new());
            assert_eq!(returned, Some(first.parse().unwrap()));
            assert_eq!(machine.status().label, Some(label.parse().unwrap()));
        }
        drop(machine);
        let machine = open(folder.path());
        assert_eq!(machine.status().label, Some(later.parse().unwrap()));
    }

    #[test]
    fn a_refusal_decides_whether_the_machine_asks_again() {
        use MachineLoginState::{Refused, Suspended, Waiting};
        for (kind, after) in [
            ("machine-suspended", Suspended),
            ("machine-revoked", Refused),
            ("token-ended", Refused),
            ("token-spent", Refused),
            ("unknown-token", Waiting),
            ("session-ended", Waiting),
            ("busy", Waiting),
        ] {
            let error = AccountError::Refused(AccessRefusal {
                kind: AccessErrorKind::parse(kind).unwrap(),
                message: TextLine::new("no"),
                retry_seconds: None,
            });
            assert_eq!(state_after(&error), after, "{kind}");
        }
    }
}
