//! The machine of a state folder: its key, the token that it enrols with, and how often it has
//! started. One small file with mode 0600.

use super::{FileError, whole_file};
use crate::bencode::{Item, KeyOrder, Value};
use crate::certificate::{AccountId, Fingerprint, MemberKey};
use crate::wire::machine::{MAX_STARTS, MachineLabel, SecretHash};
use crate::wire::name::MachineName;
use std::path::{Path, PathBuf};

/// Name of the file in the state folder.
const FILE_NAME: &str = "machine";
/// Longest accepted file, in bytes.
const MAX_FILE_LENGTH: u64 = 4 << 10;

/// What a state folder keeps of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMachine {
    /// The fingerprint of the cluster that the machine belongs to.
    pub cluster: Fingerprint,
    /// The hash of the secret of its token.
    pub token: SecretHash,
    /// The name that it enrols with.
    pub name: MachineName,
    /// Its key.
    pub key: MemberKey,
    /// The counter of starts: the number of the last start that may have been sent to a tracker.
    pub starts: u64,
    /// What the trackers answered to its enrolment. `None` before that.
    pub enrolled: Option<EnrolledMachine>,
}

/// A machine that has enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolledMachine {
    /// Its id. Trackers find it by this id.
    pub id: AccountId,
    /// Its label at the enrolment. The transfers of this state folder belong to this label, also
    /// after the trackers have given the machine another one.
    pub first_label: MachineLabel,
    /// Its label at its last start.
    pub label: MachineLabel,
}

/// The file with the machine of a state folder.
#[derive(Clone, Debug)]
pub struct MachineFile {
    path: PathBuf,
}

/// Why the machine cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum MachineFileError {
    /// This program did not write the file, or it was changed.
    #[error(
        "{} is damaged, and with it the key of this machine: join again with another --dir",
        .0.display()
    )]
    Damaged(PathBuf),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] FileError),
}

impl MachineFile {
    /// The file in this state folder. Only this process may use the folder.
    pub fn new(folder: &Path) -> Self {
        Self {
            path: folder.join(FILE_NAME),
        }
    }

    /// The machine. `None` if the folder is that of a person or new.
    ///
    /// # Errors
    /// See [`MachineFileError`]. The file is not changed.
    pub fn load(&self) -> Result<Option<StoredMachine>, MachineFileError> {
        let read = whole_file::read(&self.path, MAX_FILE_LENGTH);
        let bytes = read.map_err(FileError::at("read", &self.path))?;
        let damaged = || MachineFileError::Damaged(self.path.clone());
        bytes
            .map(|bytes| decode(&bytes).ok_or_else(damaged))
            .transpose()
    }

    /// Replaces what is stored. The new content is on the disk when this returns, so a crash cannot
    /// bring an older counter back.
    ///
    /// # Errors
    /// [`MachineFileError::Io`].
    pub fn store(&self, machine: &StoredMachine) -> Result<(), MachineFileError> {
        let result = whole_file::replace(&self.path, &encode(machine));
        Ok(result.map_err(FileError::at("write", &self.path))?)
    }
}

fn encode(machine: &StoredMachine) -> Vec<u8> {
    let mut entries = vec![
        ("cluster", Item::from(machine.cluster.as_bytes())),
        ("key", machine.key.pkcs8_bytes().into()),
        ("name", machine.name.as_str().into()),
        ("starts", machine.starts.into()),
        ("token", Item::from(&machine.token.0[..])),
    ];
    if let Some(enrolled) = &machine.enrolled {
        entries.extend([
            ("first label", enrolled.first_label.to_string().into()),
            ("id", Item::from(&enrolled.id.0[..])),
            ("label", enrolled.label.to_string().into()),
        ]);
    }
    Item::dictionary(entries).encode()
}

fn decode(bytes: &[u8]) -> Option<StoredMachine> {
    let value = Value::parse(bytes, KeyOrder::Sorted).ok()?;
    let entries = value.dictionary()?;
    let enrolled = match entries.value("id") {
        None => None,
        Some(id) => Some(EnrolledMachine {
            id: AccountId(id.bytes()?.try_into().ok()?),
            first_label: entries.value("first label")?.text()?.parse().ok()?,
            label: entries.value("label")?.text()?.parse().ok()?,
        }),
    };
    let starts = entries.value("starts")?.integer()?;
    Some(StoredMachine {
        cluster: Fingerprint::from_bytes(entries.value("cluster")?.bytes()?.try_into().ok()?),
        token: SecretHash(entries.value("token")?.bytes()?.try_into().ok()?),
        name: entries.value("name")?.text()?.parse().ok()?,
        key: MemberKey::from_pkcs8(entries.value("key")?.bytes()?)?,
        starts: u64::try_from(starts).ok().filter(|it| *it <= MAX_STARTS)?,
        enrolled,
    })
}

/// The fuzz function of the decoder: what is written is read back.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(bytes: &[u8]) {
    if let Some(machine) = decode(bytes) {
        assert_eq!(decode(&encode(&machine)), Some(machine));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_machine_is_stored_before_and_after_it_has_enrolled_and_its_file_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = MachineFile::new(folder.path());
        assert_eq!(file.load().unwrap(), None);
        let mut machine = StoredMachine {
            cluster: Fingerprint::of(b"cluster"),
            token: SecretHash([7; 32]),
            name: "gpu1".parse().unwrap(),
            key: MemberKey::generate().unwrap(),
            starts: 0,
            enrolled: None,
        };
        file.store(&machine).unwrap();
        assert_eq!(file.load().unwrap().as_ref(), Some(&machine));
        machine.starts = MAX_STARTS;
        machine.enrolled = Some(EnrolledMachine {
            id: AccountId([9; 16]),
            first_label: "ann/gpu1".parse().unwrap(),
            label: "ann/gpu1~00ab12ff".parse().unwrap(),
        });
        file.store(&machine).unwrap();
        assert_eq!(file.load().unwrap().as_ref(), Some(&machine));
        let mode = file.path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // The key that is read back signs like the first one.
        let context = b"context";
        let read = file.load().unwrap().unwrap();
        let request = read.key.request(context).unwrap();
        assert_eq!(request[..65], machine.key.request(context).unwrap()[..65]);
        let shown = format!("{machine:?}");
        assert!(shown.contains("MemberKey { .. }") && shown.contains("SecretHash(..)"));
    }

    #[test]
    fn a_damaged_file_is_reported_and_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let file = MachineFile::new(folder.path());
        let machine = StoredMachine {
            cluster: Fingerprint::of(b""),
            token: SecretHash([0; 32]),
            name: "x".parse().unwrap(),
            key: MemberKey::generate().unwrap(),
            starts: 3,
            enrolled: None,
        };
        let whole = encode(&machine);
        let later = StoredMachine {
            starts: MAX_STARTS + 1,
            ..machine
        };
        for bytes in [&b""[..], b"de", &whole[..whole.len() - 1], &encode(&later)] {
            std::fs::write(&file.path, bytes).unwrap();
            let error = file.load().unwrap_err();
            assert!(matches!(error, MachineFileError::Damaged(_)), "{error}");
            assert_eq!(std::fs::read(&file.path).unwrap(), bytes);
        }
    }
}
