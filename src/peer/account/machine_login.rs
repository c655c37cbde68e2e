//! The requests by which the machine of a peer enrols and logs in.

use super::machine::Machine;
use super::{Account, AccountError, new_write_id};
use crate::peer::MachineStatus;
use crate::storage::{EnrolledMachine, StoredLogin};
use crate::system::lock;
use crate::wire::access::{
    AccessAnswer, AccessRefusal, AccessRequest, MachineRequest, SeenDecisions, TokenGroup,
};

impl Account {
    /// The machine of this peer. `None` if the peer is that of a person.
    pub fn machine(&self) -> Option<MachineStatus> {
        self.machine.as_ref().map(Machine::status)
    }

    /// The user or machine that is logged in, by its present label.
    pub fn shown_user(&self) -> Option<String> {
        let user = self.user()?;
        let label = self.machine().and_then(|machine| machine.label);
        Some(label.map_or_else(|| user.to_string(), |label| label.to_string()))
    }

    /// Enrols the machine of this peer, if it has not enrolled. Does nothing at a person's peer.
    ///
    /// # Errors
    /// No tracker answers, a tracker refuses, or the answer cannot be stored.
    pub(in crate::peer) fn enrol_machine(&self) -> Result<Vec<TokenGroup>, AccountError> {
        let Some(machine) = &self.machine else {
            return Ok(Vec::new());
        };
        let Some(request) = machine.enrolment(new_write_id()?)? else {
            return Ok(Vec::new());
        };
        match self.ask_repeatedly(request)? {
            AccessAnswer::Enrolled {
                machine: id,
                label,
                groups,
            } => {
                log::info!("this machine has enrolled as {label}");
                let first_label = label.clone();
                machine.on_enrolled(EnrolledMachine {
                    id,
                    first_label,
                    label,
                })?;
                Ok(groups)
            }
            _ => Err(AccountError::OtherAnswer("enrol")),
        }
    }

    /// Logs the machine of this peer in, if it is not logged in. Enrols it before that, if needed.
    /// Does nothing at a person's peer.
    ///
    /// # Errors
    /// No tracker answers, a tracker refuses, or the counter of starts cannot be stored. The status
    /// of the machine says so too.
    pub(in crate::peer) fn log_in_machine(&self) -> Result<(), AccountError> {
        let Some(machine) = &self.machine else {
            return Ok(());
        };
        let _attempt = machine.begin_attempt();
        if self.user().is_some() {
            return Ok(());
        }
        let result = self.enrol_and_log_in(machine);
        if let Err(error) = &result {
            machine.on_trouble(error);
        }
        result
    }

    fn enrol_and_log_in(&self, machine: &Machine) -> Result<(), AccountError> {
        self.enrol_machine()?;
        let (number, request) = machine.begin_start(new_write_id()?)?;
        let AccessAnswer::MachineLoggedIn {
            token,
            label,
            groups,
        } = self.ask_repeatedly(request)?
        else {
            return Err(AccountError::OtherAnswer("login_machine"));
        };
        log::info!("a tracker has accepted start {number} of the machine {label}");
        let first_label = machine.on_logged_in(label, groups);
        *lock(&self.login) = Some(StoredLogin {
            user: first_label.ok_or(AccountError::NotLoggedIn)?.into(),
            token: Some(token),
            // Nobody need know when the login of a machine ends.
            times: None,
            was_ended: false,
            seen: SeenDecisions::default(),
            earlier_users: Vec::new(),
        });
        self.wake_watching();
        Ok(())
    }

    /// Makes a request of the machine that changes nothing: its reply renews the login, or says
    /// that it is over.
    pub(in crate::peer) fn keep_machine_alive(&self) {
        let ask = AccessRequest::Machine(MachineRequest::ListMachines {
            group: None,
            after: None,
        });
        let asked = self
            .current_login()
            .and_then(|login| self.ask(&ask, Some(&login)));
        if let Err(error) = asked {
            log::debug!("the login of the machine was not renewed: {error}");
        }
    }

    /// Makes a request that may be repeated without harm, with another id too. So its outcome need
    /// not be known.
    fn ask_repeatedly(&self, request: MachineRequest) -> Result<AccessAnswer, AccountError> {
        match self.ask(&AccessRequest::Machine(request), None) {
            Err(AccountError::UnknownOutcome { troubles, .. }) => {
                Err(AccountError::NoFinalAnswer(troubles))
            }
            answer => answer,
        }
    }

    /// A tracker has refused a request with the token of the machine's login. Does nothing at a
    /// person's peer.
    pub(super) fn on_machine_refused(&self, refused: &AccessRefusal) {
        if let Some(machine) = &self.machine {
            machine.on_trouble(&AccountError::Refused(refused.clone()));
        }
    }
}
