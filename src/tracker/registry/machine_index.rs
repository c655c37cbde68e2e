//! What is derived from the rows of tokens and machines: where they are found, and their names.
//!
//! The index is a function of the set of rows: a machine whose token is not known yet gets its name
//! when the token arrives.

use super::changes::write_hash;
use super::{Machine, MachineName, MachineToken, NameClaims, Row, RowId, Rows};
use crate::wire::machine::SecretHash;
use std::collections::{BTreeSet, HashMap};

/// The tokens and machines of one maker, by name. A revoked token has given up its name, because a
/// maker can make another one of this name. A revoked machine keeps its name: otherwise a repeated
/// command would concern the next machine of this name.
#[derive(Debug, Default)]
pub(super) struct MakerNames {
    pub(super) tokens: NameClaims<MachineName>,
    pub(super) machines: NameClaims<MachineName>,
}

/// Where the tokens and machines are found.
#[derive(Debug, Default)]
pub(super) struct MachineIndex {
    secrets: HashMap<SecretHash, BTreeSet<RowId>>,
    /// The machines of each token, known or not.
    machines: HashMap<RowId, BTreeSet<RowId>>,
    /// The tokens of each maker.
    made: HashMap<RowId, BTreeSet<RowId>>,
    /// The tokens of each group.
    tokens: HashMap<RowId, BTreeSet<RowId>>,
    names: HashMap<RowId, MakerNames>,
}

/// What a changed row means for the members of groups.
#[derive(Debug, Default)]
pub(super) struct MachineChange {
    /// The groups of the token or machine.
    pub(super) groups: Vec<RowId>,
    /// What to add to the groups' change numbers `ended`, with XOR.
    pub(super) number: u64,
    /// The maker, and the machines concerned.
    pub(super) subjects: Vec<RowId>,
}

impl MachineIndex {
    /// The tokens with a secret. There is more than one only if somebody used a secret twice.
    pub(super) fn with_secret(&self, secret: &SecretHash) -> impl Iterator<Item = RowId> {
        self.secrets.get(secret).into_iter().flatten().copied()
    }

    /// The machines that have enrolled with a token.
    pub(super) fn machines_of(&self, token: RowId) -> impl Iterator<Item = RowId> {
        self.machines.get(&token).into_iter().flatten().copied()
    }

    /// The number of machines that have enrolled with a token.
    pub(super) fn machine_count(&self, token: RowId) -> usize {
        self.machines.get(&token).map_or(0, BTreeSet::len)
    }

    /// The tokens that an account has made.
    pub(super) fn made_by(&self, maker: RowId) -> impl Iterator<Item = RowId> {
        self.made.get(&maker).into_iter().flatten().copied()
    }

    /// The machines that have enrolled with the tokens of an account.
    pub(super) fn made_machines(&self, maker: RowId) -> Vec<RowId> {
        let tokens = self.made_by(maker);
        tokens.flat_map(|token| self.machines_of(token)).collect()
    }

    /// The tokens of a group.
    pub(super) fn tokens_of(&self, group: RowId) -> impl Iterator<Item = RowId> {
        self.tokens.get(&group).into_iter().flatten().copied()
    }

    /// The names of the tokens and machines of a maker.
    pub(super) fn names_of(&self, maker: RowId) -> Option<&MakerNames> {
        self.names.get(&maker)
    }

    /// Updates the index for a row that was inserted or changed.
    pub(super) fn update_row(
        &mut self,
        rows: &Rows,
        before: Option<&Row>,
        row: &Row,
    ) -> MachineChange {
        match (before, row) {
            (before, Row::Token(row)) => {
                let before = match before {
                    Some(Row::Token(before)) => Some(before),
                    _ => None,
                };
                self.update_token(rows, before, row)
            }
            (before, Row::Machine(row)) => {
                let before = match before {
                    Some(Row::Machine(before)) => Some(before),
                    _ => None,
                };
                self.update_machine(rows, before, row)
            }
            _ => MachineChange::default(),
        }
    }

    fn update_token(
        &mut self,
        rows: &Rows,
        before: Option<&MachineToken>,
        row: &MachineToken,
    ) -> MachineChange {
        let id = row.id;
        self.secrets.entry(row.secret).or_default().insert(id);
        self.made.entry(row.maker).or_default().insert(id);
        for group in row.groups.keys() {
            self.tokens.entry(*group).or_default().insert(id);
        }
        let names = self.names.entry(row.maker).or_default();
        match row.revoked {
            None => names.tokens.claim(&row.name, id, row.created.stamp),
            Some(_) => names.tokens.release(&row.name, id),
        }
        let known: Vec<RowId> = self.machines_of(id).collect();
        let mut number = before.map_or(0, token_number) ^ token_number(row);
        if before.is_none() {
            for machine in known.iter().filter_map(|id| machine(rows, *id)) {
                number ^= machine_number(machine);
                self.claim_name(row.maker, machine);
            }
        }
        let is_ended =
            before.is_some_and(|before| before.revoked.is_none()) && row.revoked.is_some();
        let mut subjects = if is_ended { known } else { Vec::new() };
        subjects.push(row.maker);
        MachineChange {
            groups: row.groups.keys().copied().collect(),
            number,
            subjects,
        }
    }

    fn update_machine(
        &mut self,
        rows: &Rows,
        before: Option<&Machine>,
        row: &Machine,
    ) -> MachineChange {
        self.machines.entry(row.token).or_default().insert(row.id);
        let Some(Row::Token(token)) = rows.get(&row.token) else {
            return MachineChange::default();
        };
        if let Some(before) = before {
            let names = self.names.entry(token.maker).or_default();
            names.machines.release(&before.name.value, row.id);
        }
        self.claim_name(token.maker, row);
        let number = before.map_or(0, machine_number) ^ machine_number(row);
        let mut subjects = vec![row.id];
        // A start alone is no news.
        if number != 0 {
            subjects.push(token.maker);
        }
        MachineChange {
            groups: token.groups.keys().copied().collect(),
            number,
            subjects,
        }
    }

    fn claim_name(&mut self, maker: RowId, machine: &Machine) {
        let names = self.names.entry(maker).or_default();
        let name = &machine.name;
        names
            .machines
            .claim(&name.value, machine.id, name.version.stamp);
    }
}

/// The machine with this id.
fn machine(rows: &Rows, id: RowId) -> Option<&Machine> {
    match rows.get(&id) {
        Some(Row::Machine(row)) => Some(row),
        _ => None,
    }
}

/// What a token contributes to the numbers of its groups.
fn token_number(row: &MachineToken) -> u64 {
    let revoked = row.revoked.as_ref();
    revoked.map_or(0, |field| write_hash(row.id, field.version))
}

/// What a machine contributes to the numbers of its groups. Each write to it has another version.
fn machine_number(row: &Machine) -> u64 {
    let suspended = row.suspended.iter().map(|field| field.version);
    let people = [&row.answered, &row.revoked].into_iter().flatten();
    let versions = suspended.chain(people.map(|field| field.version));
    versions.fold(0, |number, version| number ^ write_hash(row.id, version))
}
