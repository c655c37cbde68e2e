//! Every request for a machine of each role, and the requests about machines for every user. A
//! request that is not allowed changes nothing in the tracker's state (compared by `--dump`).

use super::roles::{
    Answers, Lab, MEMBERS, OWNER, USERS, owner_gets, reconnect, request_of, send,
    tracker_with_roles,
};
use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{User, new_write};
use pieceful::certificate::{AccountId, MemberKey};
use pieceful::wire::access::{
    AccessAnswer, AccessRequest, KeyRequest, MachineRequest, REQUEST_KINDS, TokenGroup,
};
use pieceful::wire::machine::{MachineSecret, MachineStart, enrolment_context, start_context};
use pieceful::wire::role::Role;
use std::collections::BTreeSet;

/// What anybody but the maker or an owner gets who manages a machine.
const fn maker_gets(kind: &'static str) -> Answers {
    let other = "not-the-owner";
    [other, other, other, other, other, kind]
}

/// The answers to requests about machines, as in the table of `roles`. nik has made the tokens
/// `nik/readers` and `nik/publishers` and the machines `nik/mr`, `nik/mp` and `nik/copied`, which
/// is suspended.
pub(super) const OF_USERS: &[(&str, Answers)] = &[
    ("create_token lab", OWNER),
    ("create_token none", ["unknown-group"; 6]),
    ("enrol readers", ["+"; 6]),
    ("enrol wrong", ["unknown-token"; 6]),
    ("login_machine mr", ["+"; 6]),
    ("login_machine none", ["unknown-machine"; 6]),
    ("login_machine copied", ["machine-suspended"; 6]),
    ("revoke_token nik/readers", maker_gets("+")),
    ("revoke_token nik/none", ["unknown-token"; 6]),
    ("revoke_machine nik/mr", maker_gets("+")),
    ("revoke_machine nik/none", ["unknown-machine"; 6]),
    ("allow_machine nik/copied", maker_gets("+")),
    ("allow_machine nik/mr", maker_gets("not-suspended")),
    ("allow_machine nik/none", ["unknown-machine"; 6]),
    ("list_tokens", ["+"; 6]),
    ("list_tokens lab", OWNER),
    ("list_tokens none", ["unknown-group"; 6]),
    ("list_machines", ["+"; 6]),
    ("list_machines lab", MEMBERS),
    ("list_machines none", ["unknown-group"; 6]),
    ("set_machine_role lab nik/mr publisher", OWNER),
    (
        "set_machine_role lab nik/mr owner",
        owner_gets("bad-request"),
    ),
    (
        "set_machine_role lab nik/none reader",
        owner_gets("unknown-machine"),
    ),
];

/// The answers to a machine that is a reader and to one that is a publisher. `+` means allowed. The
/// machines belong to the group `lab`, and not to the group `own`.
const OF_MACHINES: &[(&str, [&str; 2])] = &[
    ("create_user new", ["+"; 2]),
    ("login", ["+"; 2]),
    ("logout", ["only-users"; 2]),
    ("list_logins", ["only-users"; 2]),
    ("end_login 00000000", ["only-users"; 2]),
    ("change_password right", ["only-users"; 2]),
    ("create_group new", ["only-users"; 2]),
    ("rename_group lab hall", ["not-the-owner"; 2]),
    ("rename_group own hall", ["not-a-member"; 2]),
    ("join_group own", ["only-users"; 2]),
    ("leave_group lab", ["only-users"; 2]),
    ("list_groups", ["+"; 2]),
    ("own_groups", ["+"; 2]),
    ("list_members lab", ["+"; 2]),
    ("list_members own", ["not-a-member"; 2]),
    ("list_requests lab", ["not-the-owner"; 2]),
    ("accept_request lab rita", ["not-the-owner"; 2]),
    ("reject_request lab rita", ["not-the-owner"; 2]),
    ("remove_member lab mayank", ["not-the-owner"; 2]),
    ("set_role lab rea publisher", ["not-the-owner"; 2]),
    (
        "set_machine_role lab nik/mr publisher",
        ["not-the-owner"; 2],
    ),
    ("certify lab", ["+"; 2]),
    ("certify own", ["not-a-member"; 2]),
    ("publish lab fresh", ["not-a-publisher", "+"]),
    ("publish own fresh", ["not-a-member"; 2]),
    ("list_files lab", ["+"; 2]),
    ("list_files own", ["not-a-member"; 2]),
    ("metainfo lab data", ["+"; 2]),
    ("metainfo own data", ["not-a-member"; 2]),
    ("find_version lab data", ["+"; 2]),
    (
        "withdraw lab data",
        ["not-a-publisher", "not-the-publisher"],
    ),
    ("withdraw lab of-mp", ["not-a-publisher", "+"]),
    ("announce data", ["+"; 2]),
    ("cluster", ["+"; 2]),
    ("check_port", ["+"; 2]),
    ("changed_shares lab", ["+"; 2]),
    ("changed_shares own", ["not-a-member"; 2]),
    ("withdrawals lab", ["+"; 2]),
    ("withdrawals own", ["not-a-member"; 2]),
    ("list_holders lab", ["+"; 2]),
    ("list_holders own", ["not-a-member"; 2]),
    ("list_mirrors lab", ["+"; 2]),
    ("list_mirrors own", ["not-a-member"; 2]),
    ("mirroring lab", ["+"; 2]),
    ("mirroring own", ["not-a-member"; 2]),
    ("news", ["+"; 2]),
    ("create_token lab", ["only-users"; 2]),
    ("enrol readers", ["+"; 2]),
    ("login_machine copied", ["machine-suspended"; 2]),
    ("revoke_token nik/readers", ["only-users"; 2]),
    ("revoke_machine nik/mr", ["only-users"; 2]),
    ("allow_machine nik/copied", ["only-users"; 2]),
    ("list_tokens", ["only-users"; 2]),
    ("list_tokens lab", ["only-users"; 2]),
    ("list_machines", ["only-users"; 2]),
    ("list_machines lab", ["+"; 2]),
    ("list_machines own", ["not-a-member"; 2]),
];

/// A machine of nik.
struct Machine {
    key: MemberKey,
    id: AccountId,
    name: &'static str,
}

/// A tracker with users and machines.
struct Site {
    tracker: AccountTracker,
    users: Vec<User>,
    lab: Lab,
    /// The secrets of the tokens `readers` and `publishers`.
    secrets: [MachineSecret; 2],
    machines: Vec<Machine>,
    /// The logins of `mr` and `mp`.
    logins: Vec<User>,
}

impl Site {
    fn new() -> Self {
        let (tracker, users, lab) = tracker_with_roles();
        let secrets = [1, 2].map(|number| MachineSecret([number; 16]));
        let mut site = Self {
            tracker,
            users,
            lab,
            secrets,
            machines: Vec::new(),
            logins: Vec::new(),
        };
        for (at, (name, role)) in [("readers", Role::Reader), ("publishers", Role::Publisher)]
            .into_iter()
            .enumerate()
        {
            let ask = site.create_token(name, site.secrets[at].clone(), "lab", role);
            site.users[5].perform(ask);
        }
        for (name, token) in [("mr", 0), ("mp", 1), ("copied", 0)] {
            site.enrol(name, token);
        }
        for name in ["mr", "mp"] {
            let ask = site.start(name, 1, 1);
            let mut connection = site.tracker.connect();
            match connection.ask(None, ask) {
                Ok(AccessAnswer::MachineLoggedIn { token, label, .. }) => site.logins.push(User {
                    name: label.to_string(),
                    token,
                    connection,
                }),
                other => panic!("{other:?}"),
            }
        }
        let mut connection = site.tracker.connect();
        connection.ask(None, site.start("copied", 1, 1)).unwrap();
        let copy = connection.ask(None, site.start("copied", 1, 2));
        assert_eq!(copy.unwrap_err().kind.as_str(), "machine-suspended");
        let publish = request_of("publish lab of-mp", &site.logins[1], &site.lab);
        site.logins[1].perform(publish);
        site
    }

    fn create_token(
        &self,
        name: &str,
        secret: MachineSecret,
        group: &str,
        role: Role,
    ) -> AccessRequest {
        AccessRequest::Machine(MachineRequest::CreateToken {
            write: new_write(),
            secret: secret.hash(),
            name: name.parse().unwrap(),
            groups: vec![TokenGroup {
                group: group.parse().unwrap(),
                role,
            }],
            machines: 100,
            enrol_seconds: None,
        })
    }

    /// The request by which a new key enrols.
    fn enrolment(&self, key: &MemberKey, secret: &MachineSecret, name: &str) -> AccessRequest {
        let cluster = self.tracker.fingerprint();
        let context = enrolment_context(&cluster, &secret.hash());
        AccessRequest::Machine(MachineRequest::Enrol {
            write: new_write(),
            secret: secret.clone(),
            key: KeyRequest(key.request(&context).unwrap()),
            name: name.parse().unwrap(),
        })
    }

    fn enrol(&mut self, name: &'static str, token: usize) {
        let key = MemberKey::generate().unwrap();
        let ask = self.enrolment(&key, &self.secrets[token], name);
        match self.tracker.connect().ask(None, ask) {
            Ok(AccessAnswer::Enrolled { machine: id, .. }) => {
                self.machines.push(Machine { key, id, name });
            }
            other => panic!("{other:?}"),
        }
    }

    fn start(&self, name: &str, counter: u64, nonce: u8) -> AccessRequest {
        let machine = self.machines.iter().find(|machine| machine.name == name);
        let generated = MemberKey::generate().unwrap();
        let (key, id) = match machine {
            Some(machine) => (&machine.key, machine.id),
            None => (&generated, AccountId([9; 16])),
        };
        let start = MachineStart {
            counter,
            nonce: [nonce; 16],
        };
        let context = start_context(&self.tracker.fingerprint(), &start);
        AccessRequest::Machine(MachineRequest::LogIn {
            write: new_write(),
            machine: id,
            key: KeyRequest(key.request(&context).unwrap()),
            start,
        })
    }

    /// The request of a command of this user or machine.
    fn request(&self, typed: &str, user: &User) -> AccessRequest {
        let words: Vec<&str> = typed.split(' ').collect();
        let write = new_write();
        let group = || words.get(1).map(|group| group.parse().unwrap());
        AccessRequest::Machine(match words[..] {
            ["create_token", group] => {
                let secret = MachineSecret(new_write().0);
                return self.create_token("another", secret, group, Role::Reader);
            }
            ["enrol", token] => {
                let secret = match token {
                    "readers" => self.secrets[0].clone(),
                    _ => MachineSecret([9; 16]),
                };
                let key = MemberKey::generate().unwrap();
                return self.enrolment(&key, &secret, "new");
            }
            ["login_machine", name] => return self.start(name, 7, 7),
            ["revoke_token", token] => MachineRequest::RevokeToken {
                write,
                token: token.parse().unwrap(),
            },
            ["revoke_machine", machine] => MachineRequest::RevokeMachine {
                write,
                machine: machine.parse().unwrap(),
            },
            ["allow_machine", machine] => MachineRequest::AllowMachine {
                write,
                machine: machine.parse().unwrap(),
            },
            ["list_tokens", ..] => MachineRequest::ListTokens {
                group: group(),
                after: None,
            },
            ["list_machines", ..] => MachineRequest::ListMachines {
                group: group(),
                after: None,
            },
            ["set_machine_role", group, machine, role] => {
                return AccessRequest::SetRole {
                    write,
                    group: group.parse().unwrap(),
                    user: machine.parse().unwrap(),
                    role: match role {
                        "reader" => Role::Reader,
                        "publisher" => Role::Publisher,
                        _ => Role::Owner,
                    },
                };
            }
            ["login"] => {
                let rea = self.users.iter().find(|user| user.name == "rea").unwrap();
                return request_of("login", rea, &self.lab);
            }
            _ => return request_of(typed, user, &self.lab),
        })
    }

    /// Sends a request as a user, or as one of the machines, which come after the users. Returns
    /// the kind of the refusal, or `+`.
    fn ask(&mut self, at: usize, typed: &str) -> &'static str {
        let user = self.users.iter().chain(&self.logins).nth(at).unwrap();
        let request = self.request(typed, user);
        let all = self.users.iter_mut().chain(&mut self.logins);
        let answer = send(all.into_iter().nth(at).unwrap(), request);
        answer.err().map_or("+", |refused| refused.kind.as_str())
    }

    /// Restarts the tracker. Returns what `--dump` prints.
    fn restart(self) -> (Self, String) {
        let (sandbox, dump) = self.tracker.stop_and_dump();
        let mut site = Self {
            tracker: AccountTracker::restart(sandbox),
            ..self
        };
        reconnect(&site.tracker, &mut site.users);
        reconnect(&site.tracker, &mut site.logins);
        (site, dump)
    }
}

/// All rows of both tables: the command, who sends it, and the expected answer.
fn rows() -> impl Iterator<Item = (&'static str, usize, &'static str)> {
    let of_users = OF_USERS.iter().flat_map(|(typed, answers)| {
        let answers = answers.iter().enumerate();
        answers.map(move |(at, answer)| (*typed, at, *answer))
    });
    let of_machines = OF_MACHINES.iter().flat_map(|(typed, answers)| {
        let answers = answers.iter().enumerate();
        answers.map(move |(at, answer)| (*typed, USERS.len() + at, *answer))
    });
    of_users.chain(of_machines)
}

#[test]
fn the_table_of_machines_has_a_row_for_every_kind_of_request() {
    let kinds = OF_MACHINES.iter();
    let kinds: BTreeSet<&str> = kinds
        .filter_map(|(typed, _)| typed.split(' ').next())
        .collect();
    for kind in REQUEST_KINDS {
        assert!(kinds.contains(kind), "the table has no row for {kind}");
    }
}

#[test]
fn requests_that_are_forbidden_to_machines_or_about_them_change_nothing() {
    let (mut site, before) = Site::new().restart();
    let mut wrong = Vec::new();
    for (typed, at, expected) in rows().filter(|(_, _, expected)| *expected != "+") {
        let found = site.ask(at, typed);
        if found != expected {
            wrong.push(format!("{at} {typed}: {found} instead of {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(site.restart().1, before);
}

#[test]
fn requests_that_are_allowed_to_machines_or_about_them_are_carried_out() {
    let mut shared = Site::new();
    let mut wrong = Vec::new();
    for (typed, at, _) in rows().filter(|(_, _, expected)| *expected == "+") {
        let words = [
            "revoke",
            "allow",
            "publish",
            "withdraw",
            "logout",
            "login_machine",
            "create",
        ];
        let changes = words.iter().any(|word| typed.starts_with(word));
        let found = match changes {
            true => Site::new().ask(at, typed),
            false => shared.ask(at, typed),
        };
        if found != "+" {
            wrong.push(format!("{at} {typed}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
