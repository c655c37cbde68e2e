//! Requests about machines and their tokens.
//!
//! In scope: the proofs of keys, enrolments, the log-ins of machines, and who may ask for what. Out
//! of scope: the rules (`registry`), and everything that a machine does once it is logged in: it
//! sends the same requests as a user, with a login of its own.
//!
//! Enrolments and log-ins have no receipts. The secret and the key make an enrolment idempotent,
//! and the counter and the nonce make a log-in idempotent. A log-in is a write: a request that is
//! carried out after the machine has given it up would look like a start of a copy. So it is
//! carried out only while its connection is open.

use super::{
    CompletedRequest, IdempotencyKey, IdempotentWrites, Logins, PAGE_LENGTH, RequestContext,
    from_refusal, from_write_error, lists, not_of_this_kind, refused, views,
};
use crate::base::AddressPrefix;
use crate::certificate::{AccountId, Fingerprint, MemberPublicKey};
use crate::system::since_1970;
use crate::tracker::registry::{
    Author, Cursor, KeyHash, Label, NewToken, Refusal, Registry, Role, Row, RowId, StartResult,
    Update,
};
use crate::tracker::replication::ReplicaError;
use crate::tracker::store::{Durability, RegistryStore, WriteError};
use crate::wire::access::{
    AccessAnswer, AccessErrorKind, AccessRefusal, KeyRequest, MAX_TOKENS_IN_PAGE, MachineRequest,
    TokenGroup, WriteId,
};
use crate::wire::machine::{
    MachineLabel, MachineSecret, MachineStart, SecretHash, enrolment_context, start_context,
};
use crate::wire::name::MachineName;
use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Answers the requests about machines.
#[derive(Debug)]
pub(super) struct Machines {
    store: Arc<RegistryStore>,
    logins: Arc<Logins>,
    /// The fingerprint of the cluster, which the proofs of keys name.
    cluster: Fingerprint,
}

impl Machines {
    pub(super) fn new(
        store: Arc<RegistryStore>,
        logins: Arc<Logins>,
        cluster: Fingerprint,
    ) -> Self {
        Self {
            store,
            logins,
            cluster,
        }
    }

    /// Answers a machine that is not logged in.
    pub(super) fn answer_machine(
        &self,
        request: &MachineRequest,
        from: IpAddr,
    ) -> Result<CompletedRequest, AccessRefusal> {
        match request {
            MachineRequest::Enrol {
                write,
                secret,
                key,
                name,
            } => self.enrol(*write, secret, key, name, from),
            MachineRequest::LogIn {
                write,
                machine,
                key,
                start,
            } => self.log_in(*write, RowId(machine.0), key, start, from),
            _ => Err(not_of_this_kind()),
        }
    }

    /// Carries out a write of a user.
    pub(super) fn answer_write(
        &self,
        writes: &IdempotentWrites,
        context: &RequestContext<'_>,
        key: &IdempotencyKey,
        request: &MachineRequest,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let account = context.login.account;
        let write =
            |what: &str, operation: &dyn Fn(&Registry, Duration) -> Result<Update, Refusal>| {
                writes.write(context, key, what, operation)
            };
        match request {
            MachineRequest::CreateToken {
                secret,
                name,
                groups,
                machines,
                enrol_seconds,
                ..
            } => {
                let seconds = enrol_seconds.map(u64::from);
                let new = |id| NewToken {
                    id,
                    secret: *secret,
                    name: name.clone(),
                    groups: groups.iter().map(group_and_role).collect(),
                    machines: *machines,
                    enrols_for: seconds.map(Duration::from_secs),
                };
                write(&format!("makes the token {name}"), &|registry, now| {
                    let new = new(token_id(registry, key, request)?);
                    registry.create_token(account, new, now)
                })
            }
            MachineRequest::RevokeToken { token, .. } => {
                write(&format!("revokes the token {token}"), &|registry, now| {
                    registry.revoke_token(account, token, now)
                })
            }
            MachineRequest::RevokeMachine { machine, .. } => write(
                &format!("revokes the machine {machine}"),
                &|registry, now| registry.revoke_machine(account, machine, now),
            ),
            MachineRequest::AllowMachine { machine, .. } => write(
                &format!("allows the machine {machine}"),
                &|registry, now| registry.allow_machine(account, machine, now),
            ),
            _ => Err(not_of_this_kind()),
        }
    }

    /// Answers a list.
    pub(super) fn answer_read(
        &self,
        account: RowId,
        request: MachineRequest,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let store = &self.store;
        match request {
            MachineRequest::ListTokens { group, after } => {
                let query = |it: &Registry, after: Option<&Cursor>| {
                    let limits = (since_1970(), MAX_TOKENS_IN_PAGE);
                    it.tokens(account, group.as_ref(), after, limits)
                };
                lists::list(store, after, views::token, query).map(AccessAnswer::Tokens)
            }
            MachineRequest::ListMachines { group, after } => {
                let query = |it: &Registry, after: Option<&Cursor>| {
                    it.machines(account, group.as_ref(), after, PAGE_LENGTH)
                };
                lists::list(store, after, views::machine, query).map(AccessAnswer::Machines)
            }
            _ => Err(not_of_this_kind()),
        }
    }

    fn enrol(
        &self,
        write: WriteId,
        secret: &MachineSecret,
        key: &KeyRequest,
        name: &MachineName,
        from: IpAddr,
    ) -> Result<CompletedRequest, AccessRefusal> {
        let secret = secret.hash();
        // Strangers must not make the tracker check signatures.
        let known = self.store.read(|it| it.check_secret(&secret));
        known.map_err(from_refusal)?;
        let key = proven_key(key, &enrolment_context(&self.cluster, &secret))?;
        let enrolled = || {
            self.store
                .read(|it| it.enrolled(&secret, &key, since_1970()))
        };
        let found = match enrolled() {
            Err(Refusal::TokenSpent) => {
                self.note_refusal(&secret, from);
                return Err(from_refusal(Refusal::TokenSpent));
            }
            found => found.map_err(from_refusal)?,
        };
        let mut durability = None;
        if found.is_none() {
            let written = self.store.write(|registry, now| {
                let update = registry.enrol(&secret, key, name.clone(), now)?;
                let machine = update.rows().first().map(Row::id);
                Ok(audited(registry, update, machine, write, from, now))
            });
            durability = match written {
                Err(WriteError::Replica(ReplicaError::Refused(Refusal::IdInUse(_)))) => None,
                written => Some(written.map_err(from_write_error)?),
            };
        }
        // The same request may have enrolled the machine over another connection meanwhile.
        let id = enrolled().map_err(from_refusal)?;
        let id = id.ok_or_else(|| from_refusal(Refusal::UnknownMachine))?;
        let durability = match durability {
            Some(durability) => durability,
            None => self.confirm_previous(id)?,
        };
        let (label, groups) = self.label_and_groups(id)?;
        if found.is_none() {
            let source = AddressPrefix::of(from);
            log::info!(source:%; "the machine {label} enrolled from {from}");
        }
        let machine = AccountId(id.0);
        let answer = AccessAnswer::Enrolled {
            machine,
            label,
            groups,
        };
        Ok(CompletedRequest {
            durability,
            ..CompletedRequest::from(answer)
        })
    }

    /// Notes for the maker that another machine wanted to enrol with a spent token.
    fn note_refusal(&self, secret: &SecretHash, from: IpAddr) {
        let source = AddressPrefix::of(from);
        log::warn!(source:%; "refused a machine at {from}: its token is spent");
        let is_due = |it: &Registry| it.note_refusal(secret, since_1970());
        if !matches!(self.store.read(is_due), Ok(Some(_))) {
            return;
        }
        let noted = self.store.write(|registry, now| {
            let noted = registry.note_refusal(secret, now)?;
            noted.ok_or(Refusal::TokenSpent)
        });
        if let Err(error) = noted {
            log::warn!("cannot note the refusal of a machine: {error}");
        }
    }

    fn log_in(
        &self,
        write: WriteId,
        machine: RowId,
        key: &KeyRequest,
        start: &MachineStart,
        from: IpAddr,
    ) -> Result<CompletedRequest, AccessRefusal> {
        let known = self.store.read(|it| it.check_machine_id(machine));
        known.map_err(from_refusal)?;
        let key = proven_key(key, &start_context(&self.cluster, start))?;
        let credential = || {
            let found = |it: &Registry| it.credential_of_start(machine, &key, start);
            self.store.read(found).map_err(from_refusal)
        };
        let durability = match credential()? {
            None => self.start(write, machine, &key, start, from)?,
            Some(_) => self.confirm_previous(machine)?,
        };
        let (label, groups) = self.label_and_groups(machine)?;
        let credential = credential()?.ok_or_else(|| from_refusal(Refusal::LoginEnded))?;
        let token = self.logins.begin_machine_login(machine, credential)?;
        let source = AddressPrefix::of(from);
        log::info!(source:%; "the machine {label} at {from} logs in");
        let answer = AccessAnswer::MachineLoggedIn {
            token,
            label,
            groups,
        };
        Ok(CompletedRequest {
            durability,
            ..CompletedRequest::from(answer)
        })
    }

    /// Records a start, or suspends the machine.
    fn start(
        &self,
        write: WriteId,
        machine: RowId,
        key: &KeyHash,
        start: &MachineStart,
        from: IpAddr,
    ) -> Result<Durability, AccessRefusal> {
        let is_suspended = Cell::new(false);
        let written = self.store.write(|registry, now| {
            let update = match registry.start_machine(machine, key, start, now)? {
                StartResult::Accepted(update) => update,
                StartResult::Suspended(update) => {
                    is_suspended.set(true);
                    update
                }
            };
            Ok(audited(registry, update, Some(machine), write, from, now))
        });
        let durability = match written {
            // The same start was recorded over another connection meanwhile.
            Err(WriteError::Replica(ReplicaError::Refused(Refusal::IdInUse(_)))) => {
                return self.confirm_previous(machine);
            }
            written => written.map_err(from_write_error)?,
        };
        if is_suspended.get() {
            let (name, source) = (
                views::log_name(&self.store, machine),
                AddressPrefix::of(from),
            );
            log::warn!(
                source:%;
                "suspended the machine {name}: a start from {from} has a number that was used \
                 before, so copies of its files may be in use"
            );
            return Err(from_refusal(Refusal::MachineSuspended));
        }
        Ok(durability)
    }

    /// How durable the enrolment and the latest start of a machine are. Writes the row again, as
    /// [`IdempotentWrites::confirm_previous`] does with a receipt.
    fn confirm_previous(&self, machine: RowId) -> Result<Durability, AccessRefusal> {
        let renewed = self.store.write(|it, now| it.renew_machine(machine, now));
        renewed.map_err(from_write_error)
    }

    /// The name and the groups of a machine that may do something.
    fn label_and_groups(
        &self,
        machine: RowId,
    ) -> Result<(MachineLabel, Vec<TokenGroup>), AccessRefusal> {
        self.store.read(|registry| {
            let label = registry.label_of_machine(machine);
            let label = label.ok_or_else(|| from_refusal(Refusal::UnknownToken))?;
            let groups = registry.usable_groups(machine).map_err(from_refusal)?;
            let named = |(group, role)| {
                let group = registry.group_label(group)?;
                Some(TokenGroup { group, role })
            };
            Ok((label, groups.into_iter().filter_map(named).collect()))
        })
    }
}

/// The id of a new token. It depends on all attributes of the row: if the label of a group means
/// another group at another tracker, a repeated request makes another row there.
fn token_id(
    registry: &Registry,
    key: &IdempotencyKey,
    request: &MachineRequest,
) -> Result<RowId, Refusal> {
    let mut attributes: Vec<Vec<u8>> = Vec::new();
    if let MachineRequest::CreateToken {
        secret,
        name,
        groups,
        machines,
        ..
    } = request
    {
        attributes.extend([secret.0.to_vec(), name.as_str().into()]);
        attributes.push(machines.to_be_bytes().to_vec());
        for entry in groups {
            let RowId(group) = registry.group_id(&entry.group)?;
            attributes.extend([group.to_vec(), entry.role.as_str().into()]);
        }
    }
    let attributes: Vec<&[u8]> = attributes.iter().map(Vec::as_slice).collect();
    Ok(key.token(&attributes))
}

/// The hash of the public key in a request, after checking that its private key signed `context`.
fn proven_key(request: &KeyRequest, context: &[u8]) -> Result<KeyHash, AccessRefusal> {
    match MemberPublicKey::from_request(&request.0, context) {
        Ok(key) => Ok(KeyHash(key.hash())),
        Err(error) => Err(refused(AccessErrorKind::LoginRefused, error)),
    }
}

/// Adds the entry of the audit log to a write of a machine.
fn audited(
    registry: &Registry,
    update: Update,
    machine: Option<RowId>,
    write: WriteId,
    from: IpAddr,
    now: Duration,
) -> Update {
    let Some(machine) = machine else {
        return update;
    };
    let seed = IdempotencyKey::of_account(machine, write).audit();
    let author = Author {
        account: Some(machine),
        from: Some(from),
    };
    registry.with_audit(update, seed, author, now)
}

fn group_and_role(entry: &TokenGroup) -> (Label, Role) {
    (entry.group.clone(), entry.role)
}
