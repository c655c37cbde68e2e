//! Joins a cluster with a join line, without a running peer: writes what the line says into the
//! state folder, makes the key of the machine, and enrols it.
//!
//! Each step can be repeated, so a join that was cut short is simply run again.

use super::{
    Account, AccountError, FirstUseNotice, MachineOptions, RunningCommands, check_machine_folder,
    refuses_for_good,
};
use crate::storage::{JoinFileError, JoinFiles, MachineFile, MachineFileError, StateFolder};
use crate::wire::JoinLine;
use crate::wire::access::TokenGroup;
use crate::wire::machine::MachineLabel;
use crate::wire::name::MachineName;
use std::path::Path;
use std::sync::Arc;

/// Why a machine cannot join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The files in the state folder cannot be written.
    #[error(transparent)]
    Files(#[from] JoinFileError),
    /// The machine cannot enrol.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The file with the machine cannot be read.
    #[error(transparent)]
    Machine(#[from] MachineFileError),
}

impl JoinError {
    /// Whether the same join may succeed if it is run again.
    pub fn may_succeed_later(&self) -> bool {
        matches!(
            self,
            Self::Account(AccountError::NoFinalAnswer(_) | AccountError::Interrupted)
        )
    }

    /// Whether the trackers refuse the machine for good.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Account(error) => error.refusal().is_some_and(refuses_for_good),
            _ => false,
        }
    }

    /// The `kind` of the error in JSON output.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Files(JoinFileError::OtherContents(_)) => "already",
            Self::Files(_) | Self::Machine(_) => "record",
            Self::Account(error) => error.kind(),
        }
    }
}

/// A join that a person may interrupt.
#[derive(Debug, Default)]
pub struct Joining {
    commands: Arc<RunningCommands>,
}

/// The label of the machine in the state folder at `folder`, if it has enrolled with this line.
/// Changes nothing, so a running peer may use the folder.
///
/// # Errors
/// [`JoinError::Account`]: the folder is that of a person or of another machine, or cannot be read.
pub fn joined_before(line: &JoinLine, folder: &Path) -> Result<Option<MachineLabel>, JoinError> {
    let stored = check_machine_folder(folder, line.token()).map_err(AccountError::from)?;
    let enrolled = stored.and_then(|stored| stored.enrolled);
    Ok(enrolled.map(|enrolled| enrolled.label))
}

impl Joining {
    /// Ends the join early.
    pub fn interrupt(&self) {
        self.commands.close();
    }

    /// Joins. Returns the label of the machine, and its groups.
    ///
    /// # Errors
    /// See [`JoinError`]. The same join may be run again.
    pub fn join(
        &self,
        line: &JoinLine,
        folder: &StateFolder,
        name: MachineName,
    ) -> Result<(MachineLabel, Vec<TokenGroup>), JoinError> {
        let _command = self.commands.begin(None);
        let options = MachineOptions {
            token: line.token().clone(),
            name,
        };
        let files = JoinFiles::of(folder.path());
        // Before anything is written into the folder of a person or of another machine.
        let stored = check_machine_folder(folder.path(), &options.token);
        let stored = stored.map_err(AccountError::from)?;
        // A machine that has not enrolled with its line gives way to this one.
        let replaces = stored.is_none() && MachineFile::new(folder.path()).load()?.is_some();
        files.write(line, replaces)?;
        let account = Account::open(
            files.tracker_info,
            folder.path(),
            // The line has the fingerprint, so no cluster is met for the first time.
            FirstUseNotice::new(|_| {}),
            Arc::clone(&self.commands),
            Some(options),
        )?;
        let groups = account.enrol_machine()?;
        let label = account.machine().and_then(|machine| machine.label);
        Ok((label.ok_or(AccountError::NoToken)?, groups))
    }
}
