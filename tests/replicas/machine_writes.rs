//! The machines of a team: a test enrols and starts them at any tracker that answers, and counts
//! what was acknowledged.

use crate::common::control_connection::{ControlConnection, new_write};
use pieceful::certificate::{AccountId, Fingerprint, MemberKey};
use pieceful::wire::MachineToken;
use pieceful::wire::access::{AccessAnswer, AccessRequest, KeyRequest, MachineRequest};
use pieceful::wire::machine::{MachineSecret, MachineStart, enrolment_context, start_context};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// The most machines of one token.
pub(crate) const MACHINES_OF_TOKEN: usize = 4;

/// A token of which a test has the secret.
struct Token {
    label: String,
    group: String,
    secret: MachineSecret,
    enrolled: usize,
}

/// A machine that has perhaps enrolled.
struct Machine {
    secret: MachineSecret,
    group: String,
    key: MemberKey,
    name: String,
    /// What a tracker answered to its enrolment.
    enrolled: Option<(AccountId, String)>,
    /// The counter of the last start that was sent.
    starts: u64,
}

/// The acknowledged writes about machines.
#[derive(Clone, Debug, Default)]
pub(crate) struct AcknowledgedMachines {
    /// The labels of the tokens.
    tokens: Vec<String>,
    revoked_tokens: Vec<String>,
    /// The labels of the machines, with the counter of the last start that a tracker has accepted.
    starts: BTreeMap<String, u64>,
    revoked: Vec<String>,
    /// The role that each machine was given last.
    roles: BTreeMap<String, &'static str>,
}

impl AcknowledgedMachines {
    /// The number of writes of each kind.
    pub(crate) fn counts(&self) -> [(&'static str, usize); 6] {
        let started = self.starts.values().filter(|counter| **counter > 0);
        [
            ("tokens", self.tokens.len()),
            ("revoked tokens", self.revoked_tokens.len()),
            ("enrolments", self.starts.len()),
            ("starts", started.count()),
            ("revoked machines", self.revoked.len()),
            ("roles of machines", self.roles.len()),
        ]
    }

    /// Asserts that the dump has every acknowledged write.
    pub(crate) fn check(&self, dump: &Value) {
        let rows = |kind: &str| dump[kind].as_array().unwrap().clone();
        let (tokens, machines) = (rows("tokens"), rows("machines"));
        let labelled = |rows: &[Value], label: &str| {
            let found = rows.iter().find(|row| {
                // A revoked token has its name with a tag.
                let name = row["label"].as_str().unwrap();
                name == label || name.split_once('~').is_some_and(|(name, _)| name == label)
            });
            found.cloned().unwrap_or_else(|| panic!("{label} is gone"))
        };
        for label in &self.tokens {
            let token = labelled(&tokens, label);
            let is_revoked = self.revoked_tokens.contains(label);
            assert!(
                !is_revoked || !token["revoked"].is_null(),
                "{label} is back"
            );
        }
        for (label, counter) in &self.starts {
            let machine = labelled(&machines, label);
            let found = machine["starts"]["counter"].as_u64().unwrap_or(0);
            assert!(
                found >= *counter,
                "start {counter} of {label} is lost: {machine}"
            );
            assert!(
                machine["suspended"].is_null(),
                "{label} is no copy: {machine}"
            );
            let is_revoked = self.revoked.contains(label);
            assert!(
                !is_revoked || !machine["revoked"].is_null(),
                "{label} is back"
            );
            if let Some(role) = self.roles.get(label) {
                assert_eq!(machine["roles"][0][2], *role, "{machine}");
            }
        }
        let all = tokens.iter().chain(&machines);
        for row in all.filter(|row| row["revoked"].is_null()) {
            let label = row["label"].as_str().unwrap();
            assert!(!label.contains('~'), "{label} was made twice");
        }
    }
}

/// The tokens and machines of a team.
pub(crate) struct MachinesOfTeam {
    /// A TRACKER_INFO with the trackers' present addresses.
    info: PathBuf,
    cluster: Option<Fingerprint>,
    tokens: Vec<Token>,
    machines: Vec<Machine>,
    pub(crate) acknowledged: AcknowledgedMachines,
    rng: fastrand::Rng,
}

impl MachinesOfTeam {
    pub(crate) fn new(info: PathBuf, seed: u64) -> Self {
        Self {
            info,
            cluster: None,
            tokens: Vec::new(),
            machines: Vec::new(),
            acknowledged: AcknowledgedMachines::default(),
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// `create_token` has succeeded in this group.
    pub(crate) fn on_token(&mut self, created: &Value, group: String) {
        let text: MachineToken = created["text"].as_str().unwrap().parse().unwrap();
        let label = created["token"].as_str().unwrap().to_owned();
        self.cluster = Some(text.cluster);
        self.acknowledged.tokens.push(label.clone());
        self.tokens.push(Token {
            label,
            group,
            secret: text.secret,
            enrolled: 0,
        });
    }

    /// A token to revoke. Its machines are left alone from now on.
    pub(crate) fn take_token(&mut self) -> Option<String> {
        let last = self.tokens.len().checked_sub(1)?;
        let token = self.tokens.swap_remove(self.rng.usize(..=last));
        let secret = token.secret;
        self.machines.retain(|machine| machine.secret != secret);
        Some(token.label)
    }

    pub(crate) fn on_revoked_token(&mut self, label: String) {
        self.acknowledged.revoked_tokens.push(label);
    }

    /// The label of a machine to revoke. It is left alone from now on.
    pub(crate) fn take_machine(&mut self) -> Option<String> {
        let at = self.machines.iter().position(|it| it.enrolled.is_some())?;
        Some(self.machines.swap_remove(at).enrolled?.1)
    }

    pub(crate) fn on_revoked(&mut self, label: String) {
        self.acknowledged.revoked.push(label);
    }

    /// A group, a machine that gets another role in it, and the role.
    pub(crate) fn machine_and_role(&mut self) -> Option<(String, String, &'static str)> {
        let enrolled = self.machines.iter().filter(|it| it.enrolled.is_some());
        let enrolled: Vec<&Machine> = enrolled.collect();
        let machine = self.rng.choice(enrolled)?;
        let (_, label) = machine.enrolled.clone()?;
        // If no answer comes, its role is unknown.
        self.acknowledged.roles.remove(&label);
        let role = *self.rng.choice(&["reader", "publisher"])?;
        Some((machine.group.clone(), label, role))
    }

    pub(crate) fn on_role(&mut self, label: String, role: &'static str) {
        self.acknowledged.roles.insert(label, role);
    }

    /// Enrols a machine, or starts one.
    pub(crate) fn enrol_or_start(&mut self) {
        let waiting = self.machines.iter().position(|it| it.enrolled.is_none());
        let open = self.tokens.iter_mut();
        let mut open = open.filter(|token| token.enrolled < MACHINES_OF_TOKEN);
        match (waiting, open.next()) {
            // A machine without an answer repeats its enrolment.
            (Some(at), _) => self.enrol(at),
            (None, Some(token)) if self.rng.bool() || self.machines.is_empty() => {
                token.enrolled += 1;
                let number = token.enrolled;
                let (_, name) = token.label.split_once('/').unwrap();
                self.machines.push(Machine {
                    secret: token.secret.clone(),
                    group: token.group.clone(),
                    key: MemberKey::generate().unwrap(),
                    name: format!("{name}.{number}"),
                    enrolled: None,
                    starts: 0,
                });
                self.enrol(self.machines.len() - 1);
            }
            _ if self.machines.is_empty() => {}
            _ => {
                let at = self.rng.usize(..self.machines.len());
                self.start(at);
            }
        }
    }

    fn enrol(&mut self, at: usize) {
        let (machine, cluster) = (&self.machines[at], self.cluster.unwrap());
        let context = enrolment_context(&cluster, &machine.secret.hash());
        let ask = MachineRequest::Enrol {
            write: new_write(),
            secret: machine.secret.clone(),
            key: KeyRequest(machine.key.request(&context).unwrap()),
            name: machine.name.parse().unwrap(),
        };
        if let Some(AccessAnswer::Enrolled { machine, label, .. }) = self.ask(ask) {
            let label = label.to_string();
            self.acknowledged.starts.insert(label.clone(), 0);
            self.machines[at].enrolled = Some((machine, label));
        }
    }

    fn start(&mut self, at: usize) {
        let cluster = self.cluster.unwrap();
        let machine = &mut self.machines[at];
        let Some((id, label)) = machine.enrolled.clone() else {
            return;
        };
        machine.starts += 1;
        let start = MachineStart {
            counter: machine.starts,
            nonce: new_write().0,
        };
        let context = start_context(&cluster, &start);
        let ask = MachineRequest::LogIn {
            write: new_write(),
            machine: id,
            key: KeyRequest(machine.key.request(&context).unwrap()),
            start,
        };
        if let Some(AccessAnswer::MachineLoggedIn { .. }) = self.ask(ask) {
            self.acknowledged.starts.insert(label, start.counter);
        }
    }

    /// The answer of the first tracker that answers. `None` if none does, or if it refuses.
    fn ask(&self, ask: MachineRequest) -> Option<AccessAnswer> {
        let info = fs::read_to_string(&self.info).unwrap();
        let addresses = info.lines().filter_map(|line| line.parse().ok());
        addresses.into_iter().find_map(|address| {
            let mut connection = ControlConnection::open(address)?;
            let answer = connection.try_ask(None, AccessRequest::Machine(ask.clone()));
            answer.ok()?.ok()
        })
    }
}
