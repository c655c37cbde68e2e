//! Tokens and machines in a dump.

use super::texts::{version_and_account, version_text};
use crate::base::hex::Hex;
use crate::tracker::registry::{Machine, MachineToken, Registry, RowId};
use serde::Serialize;

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenDump {
    /// Its id.
    pub id: String,
    /// Its name, with its maker, and with a tag if another token has the name. `None` until the
    /// maker is known.
    pub label: Option<String>,
    /// The account that made it.
    pub maker: String,
    /// The write that created it.
    pub created: String,
    /// Its groups, with the role of its machines in each.
    pub groups: Vec<(String, &'static str)>,
    /// The largest number of machines.
    pub machines: u64,
    /// Until when machines can enrol, in milliseconds since 1970.
    pub enrols_until: Option<u64>,
    /// The write that revoked it, and the account that did.
    pub revoked: Option<(String, String)>,
    /// The write that last noted a refused machine.
    pub refused: Option<String>,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MachineDump {
    /// Its id.
    pub id: String,
    /// Its name, with its maker, and with a tag if another machine has the name. `None` until its
    /// token and the maker are known.
    pub label: Option<String>,
    /// The token with which it enrolled.
    pub token: String,
    /// The write that created it.
    pub created: String,
    /// The write that set its name.
    pub named: String,
    /// Its latest start.
    pub starts: Option<StartsDump>,
    /// The write that last suspended it.
    pub suspended: Option<String>,
    /// The write that last allowed it again, and the account that did.
    pub answered: Option<(String, String)>,
    /// The write that revoked it, and the account that did.
    pub revoked: Option<(String, String)>,
    /// Each group in which it was given a role, the write, the role, and the account that gave it.
    pub roles: Vec<(String, String, &'static str, String)>,
}

/// The latest start of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StartsDump {
    /// Whether it was the first start after an answer to a suspension.
    pub after_answer: bool,
    /// Its counter.
    pub counter: u64,
    /// Its nonce, with the write that accepted it; two if copies of the machine were started.
    pub nonces: Vec<(String, String)>,
}

pub(super) fn token(registry: &Registry, row: &MachineToken) -> TokenDump {
    let groups = row.groups.iter();
    TokenDump {
        id: row.id.to_string(),
        label: registry
            .label_of_token(row.id)
            .map(|label| label.to_string()),
        maker: row.maker.to_string(),
        created: version_text(row.created),
        groups: groups
            .map(|(group, role)| (group.to_string(), role.as_str()))
            .collect(),
        machines: row.machines,
        enrols_until: row.enrols_until,
        revoked: row.revoked.as_ref().map(version_and_account),
        refused: row
            .refused
            .as_ref()
            .map(|field| version_text(field.version)),
    }
}

pub(super) fn machine(registry: &Registry, row: &Machine) -> MachineDump {
    let label = registry.label_of_machine(row.id);
    let suspended = row.suspended.as_ref();
    let roles = row.roles.iter().map(|(group, given)| {
        let (role, by) = (given.value.role.as_str(), given.value.by.to_string());
        (group.to_string(), version_text(given.version), role, by)
    });
    let starts = row.starts.as_ref().map(|starts| StartsDump {
        after_answer: starts.after.is_some(),
        counter: starts.counter,
        nonces: starts
            .nonces
            .iter()
            .map(|(nonce, version)| (Hex(nonce).to_string(), version_text(*version)))
            .collect(),
    });
    MachineDump {
        id: row.id.to_string(),
        label: label.map(|label| label.to_string()),
        token: RowId::to_string(&row.token),
        created: version_text(row.created),
        named: version_text(row.name.version),
        starts,
        suspended: suspended.map(|field| version_text(field.version)),
        answered: row.answered.as_ref().map(version_and_account),
        revoked: row.revoked.as_ref().map(version_and_account),
        roles: roles.collect(),
    }
}
