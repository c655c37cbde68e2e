//! The requests about machines and their tokens.
//!
//! # A machine's way to its groups
//! 1. The maker's peer draws a [`MachineSecret`] and sends its hash, with
//!    [`MachineRequest::CreateToken`]. The secret leaves that peer only in the token's file or in a
//!    join line.
//! 2. The machine makes a key and enrols: [`MachineRequest::Enrol`]. The answer has the machine's
//!    id. The same secret with the same key enrols the same machine again, at any tracker and at
//!    any time, so a machine that has lost the answer repeats the request.
//! 3. At each start, and whenever its login has ended, the machine adds 1 to its counter of starts
//!    on its disk, and then logs in: [`MachineRequest::LogIn`]. A request that is repeated because
//!    no answer came has the same counter and the same nonce. With the token of the answer the
//!    machine sends the same requests as a user: announces, certificates, lists, publishing.
//!
//! The refusals of an enrolment and of a log-in: `unknown-token`, `token-spent`, `token-ended`,
//! `unknown-machine`, `machine-suspended`, `machine-revoked`, `login-refused` (the signature is
//! wrong), and those of any request. After `token-spent`, `token-ended`, `machine-revoked` and
//! `login-refused` a machine never asks again, so a tracker sends them only if a row says so. A
//! tracker that lacks a row sends `unknown-token` or `unknown-machine`.

use super::fields::{self, KeyRequest, ShortText, WriteId};
use super::machine::{self, TokenGroup};
use crate::bencode::Item;
use crate::certificate::AccountId;
use crate::wire::control::{ControlError, MessageFields, read_parsed};
use crate::wire::machine::{MAX_STARTS, MachineLabel, MachineSecret, MachineStart, SecretHash};
use crate::wire::name::{Label, MachineName};

/// The most machines that can enrol with one token.
pub const MAX_MACHINES_OF_TOKEN: u32 = 1000;

/// A request about machines or tokens. The answer is [`super::AccessAnswer::Done`] if the variant
/// names no other one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineRequest {
    /// Makes a token with which machines can enrol. The user must own all its groups.
    CreateToken {
        /// Idempotency key.
        write: WriteId,
        /// The hash of the token's secret.
        secret: SecretHash,
        /// The name of the token. No other token of the user that was not revoked may have it.
        name: MachineName,
        /// The groups, 1 to [`super::MAX_TOKEN_GROUPS`], with the role of the machines: reader or
        /// publisher.
        groups: Vec<TokenGroup>,
        /// The largest number of machines: 1 to [`MAX_MACHINES_OF_TOKEN`].
        machines: u32,
        /// For how many seconds from now on machines can enrol. `None`: until it is revoked.
        enrol_seconds: Option<u32>,
    },
    /// Enrols a machine. Needs no login. The answer is [`super::AccessAnswer::Enrolled`].
    Enrol {
        /// The id of the write. The secret and the key make it idempotent.
        write: WriteId,
        /// The secret of the token.
        secret: MachineSecret,
        /// The public key, signed for [`crate::wire::machine::enrolment_context`].
        key: KeyRequest,
        /// The name of the machine. A repeated enrolment does not change it.
        name: MachineName,
    },
    /// Logs a machine in. Needs no login. The answer is
    /// [`super::AccessAnswer::MachineLoggedIn`].
    LogIn {
        /// The id of the write. The start makes it idempotent.
        write: WriteId,
        /// The id of the machine.
        machine: AccountId,
        /// The public key, signed for [`crate::wire::machine::start_context`].
        key: KeyRequest,
        /// The start.
        start: MachineStart,
    },
    /// Revokes a token: its machines may do nothing any more. For its maker and the owners of its
    /// groups. An owner of one of several groups is enough.
    RevokeToken {
        /// Idempotency key.
        write: WriteId,
        /// The token.
        token: MachineLabel,
    },
    /// Revokes a machine: it may do nothing any more. For its maker and, like a token, the owners
    /// of its groups.
    RevokeMachine {
        /// Idempotency key.
        write: WriteId,
        /// The machine.
        machine: MachineLabel,
    },
    /// Answers a suspension: the next start of the machine is accepted, whatever its counter is.
    /// For its maker. A user who is not the maker must own all groups of the token.
    AllowMachine {
        /// Idempotency key.
        write: WriteId,
        /// The machine.
        machine: MachineLabel,
    },
    /// Lists tokens. The answer is [`super::AccessAnswer::Tokens`].
    ListTokens {
        /// All tokens of this group, for its owners. `None`: all tokens that the user made.
        group: Option<Label>,
        /// The position where the previous page ended.
        after: Option<ShortText>,
    },
    /// Lists machines. The answer is [`super::AccessAnswer::Machines`].
    ListMachines {
        /// All machines of this group, for its members. `None`: all machines that enrolled with
        /// tokens that the user made.
        group: Option<Label>,
        /// The position where the previous page ended.
        after: Option<ShortText>,
    },
}

impl MachineRequest {
    /// Whether the request needs the token of a login.
    pub fn needs_login(&self) -> bool {
        !matches!(self, Self::Enrol { .. } | Self::LogIn { .. })
    }

    /// The id of the write, if the request changes the registry.
    pub fn write_id(&self) -> Option<WriteId> {
        match self {
            Self::CreateToken { write, .. }
            | Self::Enrol { write, .. }
            | Self::LogIn { write, .. }
            | Self::RevokeToken { write, .. }
            | Self::RevokeMachine { write, .. }
            | Self::AllowMachine { write, .. } => Some(*write),
            Self::ListTokens { .. } | Self::ListMachines { .. } => None,
        }
    }

    /// Puts the parameters, except the id of the write.
    pub(super) fn put<'a>(&'a self, entries: &mut Vec<(&'static str, Item<'a>)>) {
        match self {
            Self::CreateToken {
                secret,
                name,
                groups,
                machines,
                enrol_seconds,
                ..
            } => {
                entries.extend([
                    ("groups", machine::groups_item(groups)),
                    ("machines", (*machines).into()),
                    ("name", name.as_str().into()),
                    ("secret", Item::from(&secret.0[..])),
                ]);
                entries.extend(enrol_seconds.map(|seconds| ("seconds", seconds.into())));
            }
            Self::Enrol {
                secret, key, name, ..
            } => entries.extend([
                ("key", Item::from(&key.0[..])),
                ("name", name.as_str().into()),
                ("secret", Item::from(&secret.0[..])),
            ]),
            Self::LogIn {
                machine,
                key,
                start,
                ..
            } => entries.extend([
                ("counter", Item::from(start.counter)),
                ("key", Item::from(&key.0[..])),
                ("machine", Item::from(&machine.0[..])),
                ("nonce", Item::from(&start.nonce[..])),
            ]),
            Self::RevokeToken { token, .. } => {
                entries.push(("machine token", token.to_string().into()))
            }
            Self::RevokeMachine { machine, .. } | Self::AllowMachine { machine, .. } => {
                entries.push(("machine", machine.to_string().into()))
            }
            Self::ListTokens { group, after } | Self::ListMachines { group, after } => {
                let group = group.as_ref();
                entries.extend(group.map(|group| ("group", group.to_string().into())));
                entries.extend(fields::after_entry(after));
            }
        }
    }

    /// Reads a request of this kind.
    pub(super) fn read(kind: &str, fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(match kind {
            "create_token" => Self::CreateToken {
                write: WriteId(fields.array("write")?),
                secret: SecretHash(fields.array("secret")?),
                name: fields.parsed("name")?,
                groups: machine::read_groups(fields)?,
                machines: match fields.number("machines")? {
                    number @ 1..=MAX_MACHINES_OF_TOKEN => number,
                    _ => return Err(ControlError::WrongValue("machines")),
                },
                enrol_seconds: fields.optional("seconds", |value, key| {
                    let seconds = value.integer().map(u32::try_from).and_then(Result::ok);
                    seconds.ok_or(ControlError::WrongValue(key))
                })?,
            },
            "enrol" => Self::Enrol {
                write: WriteId(fields.array("write")?),
                secret: MachineSecret(fields.array("secret")?),
                key: KeyRequest(fields.array("key")?),
                name: fields.parsed("name")?,
            },
            "login_machine" => Self::LogIn {
                write: WriteId(fields.array("write")?),
                machine: AccountId(fields.array("machine")?),
                key: KeyRequest(fields.array("key")?),
                start: MachineStart {
                    counter: match fields.u63("counter")? {
                        counter @ 1..=MAX_STARTS => counter,
                        _ => return Err(ControlError::WrongValue("counter")),
                    },
                    nonce: fields.array("nonce")?,
                },
            },
            "revoke_token" => Self::RevokeToken {
                write: WriteId(fields.array("write")?),
                token: fields.parsed("machine token")?,
            },
            "revoke_machine" => Self::RevokeMachine {
                write: WriteId(fields.array("write")?),
                machine: fields.parsed("machine")?,
            },
            "allow_machine" => Self::AllowMachine {
                write: WriteId(fields.array("write")?),
                machine: fields.parsed("machine")?,
            },
            "list_tokens" => Self::ListTokens {
                group: fields.optional("group", read_parsed)?,
                after: fields::read_after(fields)?,
            },
            "list_machines" => Self::ListMachines {
                group: fields.optional("group", read_parsed)?,
                after: fields::read_after(fields)?,
            },
            other => return Err(ControlError::unknown(other)),
        })
    }
}
