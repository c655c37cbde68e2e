//! What a user asks trackers about tokens and machines: make, list, revoke, allow.

use super::new_token::{CreatedToken, NewToken};
use super::{Account, AccountError, new_write_id};
use crate::certificate::Fingerprint;
use crate::wire::access::{
    AccessAnswer, AccessRequest, MachineEntry, MachineRequest, TokenEntry, TokenGroup,
};
use crate::wire::machine::{MachineLabel, MachineSecret, SubjectLabel};
use crate::wire::name::{Label, MachineName};
use crate::wire::{JoinLine, MachineToken};
use ring::rand::{SecureRandom, SystemRandom};

impl Account {
    /// Makes a token.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn create_token(&self, new: &NewToken) -> Result<CreatedToken, AccountError> {
        let token = self.draw_token()?;
        let label = self.send_token(new, &token)?;
        Ok(CreatedToken { label, token })
    }

    /// Makes a token, and the join line that carries it with the trackers of TRACKER_INFO.
    ///
    /// # Errors
    /// [`AccountError::NoJoinLine`] if TRACKER_INFO lists too many trackers; otherwise see
    /// [`AccountError`].
    pub fn create_join(&self, new: &NewToken) -> Result<(MachineLabel, JoinLine), AccountError> {
        let token = self.draw_token()?;
        let trackers = self.trackers.info()?.addresses;
        let line = JoinLine::new(token, trackers).map_err(AccountError::NoJoinLine)?;
        let label = self.send_token(new, line.token())?;
        Ok((label, line))
    }

    /// The tokens of a group, or all tokens that the user made.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn tokens(&self, group: Option<&Label>) -> Result<Vec<TokenEntry>, AccountError> {
        self.pages(
            |after| {
                let group = group.cloned();
                AccessRequest::Machine(MachineRequest::ListTokens { group, after })
            },
            |answer| match answer {
                AccessAnswer::Tokens(page) => Some(page),
                _ => None,
            },
        )
    }

    /// The machines of a group, or all machines that enrolled with tokens that the user made.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn machines(&self, group: Option<&Label>) -> Result<Vec<MachineEntry>, AccountError> {
        self.pages(
            |after| {
                let group = group.cloned();
                AccessRequest::Machine(MachineRequest::ListMachines { group, after })
            },
            |answer| match answer {
                AccessAnswer::Machines(page) => Some(page),
                _ => None,
            },
        )
    }

    /// Revokes a token, and so all its machines.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn revoke_token(&self, token: MachineLabel) -> Result<(), AccountError> {
        let write = new_write_id()?;
        let request = MachineRequest::RevokeToken { write, token };
        self.ask_done(&AccessRequest::Machine(request))
    }

    /// Revokes a machine.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn revoke_machine(&self, machine: MachineLabel) -> Result<(), AccountError> {
        let write = new_write_id()?;
        let request = MachineRequest::RevokeMachine { write, machine };
        self.ask_done(&AccessRequest::Machine(request))
    }

    /// Answers the suspension of a machine: its next start is accepted.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn allow_machine(&self, machine: MachineLabel) -> Result<(), AccountError> {
        let write = new_write_id()?;
        let request = MachineRequest::AllowMachine { write, machine };
        self.ask_done(&AccessRequest::Machine(request))
    }

    /// A new secret, for the cluster of this peer.
    fn draw_token(&self) -> Result<MachineToken, AccountError> {
        let cluster: Fingerprint = self.trackers.cluster()?;
        let mut secret = [0; 16];
        let filled = SystemRandom::new().fill(&mut secret);
        filled.map_err(|_| AccountError::NoRandomness)?;
        Ok(MachineToken {
            cluster,
            secret: MachineSecret(secret),
        })
    }

    /// Sends the hash of the secret to the trackers. Returns the label of the token.
    fn send_token(
        &self,
        new: &NewToken,
        token: &MachineToken,
    ) -> Result<MachineLabel, AccountError> {
        let Some(SubjectLabel::User(maker)) = self.user() else {
            self.check_is_of_a_person()?;
            return Err(AccountError::NotLoggedIn);
        };
        let name = new.name.clone().unwrap_or_else(|| random_name(&new.groups));
        let groups = new.groups.iter().map(|group| TokenGroup {
            group: group.clone(),
            role: new.role,
        });
        self.ask_done(&AccessRequest::Machine(MachineRequest::CreateToken {
            write: new_write_id()?,
            secret: token.secret.hash(),
            name: name.clone(),
            groups: groups.collect(),
            machines: new.machines,
            enrol_seconds: new.enrol_seconds,
        }))?;
        Ok(MachineLabel {
            maker,
            name: (&name).into(),
        })
    }
}

/// The name of the first group, and a random part: the user need not think of a name.
fn random_name(groups: &[Label]) -> MachineName {
    let group = groups.first().map_or("token", Label::name);
    let group: String = group.chars().take(50).collect();
    let random: String = (0..6).map(|_| fastrand::lowercase()).collect();
    MachineName::nearest(&format!("{group}-{random}"))
}
