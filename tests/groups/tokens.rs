//! Machines without a person: they enrol with a token, prove their key at each start, and do what
//! their role allows. The machines here are the test's own, over real control connections.

use super::fake_member::certify;
use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{ControlConnection, User, group_request, new_write};
use pieceful::certificate::{AccountId, Fingerprint, MemberKey};
use pieceful::net::FrameIoError;
use pieceful::torrent::InfoHash;
use pieceful::wire::PeerId;
use pieceful::wire::access::{
    AccessAnswer, AccessErrorKind, AccessRequest, AnnounceBatch, DecisionOutcome, KeyRequest,
    MachineEntry, MachineRequest, MachineState, SeenDecisions, ShortText, SwarmAnnounce,
    TokenEntry, TokenGroup, TokenState,
};
use pieceful::wire::control::InfoPart;
use pieceful::wire::machine::{MachineSecret, MachineStart, enrolment_context, start_context};
use pieceful::wire::role::Role;
use std::num::NonZeroU16;

/// A machine: its key, and its id once it has enrolled.
struct Machine {
    cluster: Fingerprint,
    key: MemberKey,
    id: Option<AccountId>,
    counter: u64,
}

impl Machine {
    fn new(tracker: &AccountTracker) -> Self {
        let cluster = tracker.fingerprint();
        Self {
            cluster,
            key: MemberKey::generate().unwrap(),
            id: None,
            counter: 0,
        }
    }

    fn enrol(
        &mut self,
        connection: &mut ControlConnection,
        secret: &MachineSecret,
        name: &str,
    ) -> Result<String, AccessErrorKind> {
        let context = enrolment_context(&self.cluster, &secret.hash());
        let ask = MachineRequest::Enrol {
            write: new_write(),
            secret: secret.clone(),
            key: KeyRequest(self.key.request(&context).unwrap()),
            name: name.parse().unwrap(),
        };
        match connection.ask(None, AccessRequest::Machine(ask)) {
            Ok(AccessAnswer::Enrolled { machine, label, .. }) => {
                self.id = Some(machine);
                Ok(label.to_string())
            }
            Err(refused) => Err(refused.kind),
            other => panic!("{other:?}"),
        }
    }

    /// The request for a start with this number.
    fn start(&self, counter: u64, nonce: u8) -> AccessRequest {
        let start = MachineStart {
            counter,
            nonce: [nonce; 16],
        };
        let context = start_context(&self.cluster, &start);
        AccessRequest::Machine(MachineRequest::LogIn {
            write: new_write(),
            machine: self.id.unwrap(),
            key: KeyRequest(self.key.request(&context).unwrap()),
            start,
        })
    }

    /// Starts the machine, and returns its login.
    fn log_in(&mut self, tracker: &AccountTracker) -> Result<User, AccessErrorKind> {
        self.counter += 1;
        self.log_in_as(tracker, self.counter, 1)
    }

    fn log_in_as(
        &self,
        tracker: &AccountTracker,
        counter: u64,
        nonce: u8,
    ) -> Result<User, AccessErrorKind> {
        let mut connection = tracker.connect();
        match connection.ask(None, self.start(counter, nonce)) {
            Ok(AccessAnswer::MachineLoggedIn { token, label, .. }) => Ok(User {
                name: label.to_string(),
                token,
                connection,
            }),
            Err(refused) => Err(refused.kind),
            other => panic!("{other:?}"),
        }
    }
}

/// A tracker with the group `lab`, which olga owns.
fn lab() -> (AccountTracker, User) {
    let tracker = AccountTracker::new();
    let mut olga = tracker.user("olga");
    olga.perform(group_request("create_group lab"));
    (tracker, olga)
}

/// Makes a token for machines of the group `lab`.
fn create_token(user: &mut User, name: &str, role: Role, machines: u32) -> MachineSecret {
    let secret = MachineSecret(new_write().0);
    let group = "lab".parse().unwrap();
    user.perform(AccessRequest::Machine(MachineRequest::CreateToken {
        write: new_write(),
        secret: secret.hash(),
        name: name.parse().unwrap(),
        groups: vec![TokenGroup { group, role }],
        machines,
        enrol_seconds: Some(3600),
    }));
    secret
}

fn kind_of(answer: Result<AccessAnswer, pieceful::wire::access::AccessRefusal>) -> &'static str {
    answer.err().map_or("ok", |refused| refused.kind.as_str())
}

fn certify_request(user: &User, key: &MemberKey) -> AccessRequest {
    AccessRequest::Certify {
        group: "lab".parse().unwrap(),
        request: KeyRequest(key.request(user.token.as_bytes()).unwrap()),
    }
}

fn revoke_machine(label: &str) -> AccessRequest {
    AccessRequest::Machine(MachineRequest::RevokeMachine {
        write: new_write(),
        machine: label.parse().unwrap(),
    })
}

fn allow_machine(label: &str) -> AccessRequest {
    AccessRequest::Machine(MachineRequest::AllowMachine {
        write: new_write(),
        machine: label.parse().unwrap(),
    })
}

fn machines(user: &mut User, group: Option<&str>) -> Vec<MachineEntry> {
    let ask = MachineRequest::ListMachines {
        group: group.map(|group| group.parse().unwrap()),
        after: None,
    };
    match user.ask(AccessRequest::Machine(ask)) {
        Ok(AccessAnswer::Machines(page)) => page.entries,
        other => panic!("{other:?}"),
    }
}

fn tokens(user: &mut User) -> Vec<TokenEntry> {
    let ask = MachineRequest::ListTokens {
        group: None,
        after: None,
    };
    match user.ask(AccessRequest::Machine(ask)) {
        Ok(AccessAnswer::Tokens(page)) => page.entries,
        other => panic!("{other:?}"),
    }
}

/// What has happened to machines and tokens, as a user is told.
fn news(user: &mut User) -> Vec<(DecisionOutcome, String)> {
    let ask = AccessRequest::ListDecisions {
        seen: SeenDecisions::default(),
        with_requests: true,
        after: None,
    };
    match user.ask(ask) {
        Ok(AccessAnswer::Decisions { page, .. }) => {
            let named = |user: Option<_>| {
                user.map_or_else(String::new, |it: pieceful::wire::machine::SubjectLabel| {
                    it.to_string()
                })
            };
            page.entries
                .into_iter()
                .map(|entry| (entry.outcome, named(entry.user)))
                .collect()
        }
        other => panic!("{other:?}"),
    }
}

/// Reads hints until the tracker closes the connection, which it must do.
fn assert_ends(connection: &mut ControlConnection) {
    let end = loop {
        if let Err(error) = connection.next_hint() {
            break error;
        }
    };
    assert!(matches!(end, FrameIoError::Closed), "{end}");
}

#[test]
fn a_machine_enrols_logs_in_and_does_what_its_role_allows() {
    let (tracker, mut olga) = lab();
    let secret = create_token(&mut olga, "farm", Role::Reader, 2);
    let mut gpu1 = Machine::new(&tracker);
    let mut connection = tracker.connect();
    let enrolled = gpu1.enrol(&mut connection, &secret, "gpu1");
    assert_eq!(enrolled.as_deref(), Ok("olga/gpu1"));
    let again = gpu1.enrol(&mut connection, &secret, "other");
    assert_eq!(again.as_deref(), Ok("olga/gpu1"), "the answer was lost");
    let mut login = gpu1.log_in(&tracker).unwrap();
    assert_eq!(login.name, "olga/gpu1");
    let groups = login.groups();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].own_role, Some(Role::Reader));
    assert_eq!(kind_of(login.ask(group_request("list_members lab"))), "ok");
    assert_eq!(kind_of(login.ask(group_request("list_members lab"))), "ok");
    for (typed, kind) in [
        ("create_group hall", "only-users"),
        ("join_group lab", "only-users"),
        ("leave_group lab --yes", "only-users"),
        ("list_requests lab", "not-the-owner"),
    ] {
        assert_eq!(kind_of(login.ask(group_request(typed))), kind, "{typed}");
    }
    certify(&mut login, "lab");
    let announce = SwarmAnnounce {
        info_hash: InfoHash([1; 20]),
        uploaded: 0,
        downloaded: 0,
        left: 0,
        event: None,
    };
    let port = NonZeroU16::new(6881).unwrap();
    let batch = AnnounceBatch::new(PeerId([1; 20]), port, vec![announce]).unwrap();
    let answer = login.ask(AccessRequest::Announce(batch));
    assert!(matches!(answer, Ok(AccessAnswer::Peers(_))), "{answer:?}");
    let listed = machines(&mut olga, Some("lab"));
    let [entry] = &listed[..] else {
        panic!("{listed:?}")
    };
    assert_eq!(entry.state, MachineState::Started);
    assert_eq!(entry.role, Some(Role::Reader));
    assert_eq!(entry.token, "olga/farm".parse().ok());
}

#[test]
fn another_key_on_a_spent_token_is_refused_and_the_maker_is_told() {
    let (tracker, mut olga) = lab();
    let secret = create_token(&mut olga, "farm", Role::Reader, 1);
    let mut connection = tracker.connect();
    let [mut first, mut second] = [Machine::new(&tracker), Machine::new(&tracker)];
    first.enrol(&mut connection, &secret, "gpu1").unwrap();
    let refused = second.enrol(&mut connection, &secret, "gpu2");
    assert_eq!(refused, Err(AccessErrorKind::TokenSpent));
    let told = [(DecisionOutcome::TokenRefused, "olga/farm".to_owned())];
    assert_eq!(news(&mut olga), told);
    let listed = tokens(&mut olga);
    assert_eq!(listed[0].state, TokenState::Spent);
    assert_eq!((listed[0].enrolled, listed[0].machines), (1, 1));
    let unknown = second.enrol(&mut connection, &MachineSecret([7; 16]), "gpu2");
    assert_eq!(unknown, Err(AccessErrorKind::UnknownToken));
}

#[test]
fn a_proof_of_another_key_cluster_token_or_start_is_refused() {
    let (tracker, mut olga) = lab();
    let secret = create_token(&mut olga, "farm", Role::Reader, 9);
    let mut connection = tracker.connect();
    let mut gpu1 = Machine::new(&tracker);
    gpu1.enrol(&mut connection, &secret, "gpu1").unwrap();
    let mut elsewhere = Machine::new(&tracker);
    elsewhere.cluster = Fingerprint::of(b"another cluster");
    let refused = elsewhere.enrol(&mut connection, &secret, "gpu2");
    assert_eq!(refused, Err(AccessErrorKind::LoginRefused));
    let AccessRequest::Machine(MachineRequest::LogIn { key, machine, .. }) = gpu1.start(1, 1)
    else {
        panic!()
    };
    let start = MachineStart {
        counter: 2,
        nonce: [1; 16],
    };
    let replayed = AccessRequest::Machine(MachineRequest::LogIn {
        write: new_write(),
        machine,
        key,
        start,
    });
    assert_eq!(kind_of(connection.ask(None, replayed)), "login-refused");
    let mut other = Machine::new(&tracker);
    other.id = gpu1.id;
    assert_eq!(
        kind_of(connection.ask(None, other.start(1, 1))),
        "unknown-machine"
    );
    assert!(gpu1.log_in(&tracker).is_ok(), "nothing was recorded");
}

#[test]
fn a_copied_machine_is_suspended_and_its_maker_decides() {
    let (tracker, mut olga) = lab();
    let secret = create_token(&mut olga, "farm", Role::Reader, 1);
    let mut gpu1 = Machine::new(&tracker);
    gpu1.enrol(&mut tracker.connect(), &secret, "gpu1").unwrap();
    for _ in 0..3 {
        gpu1.log_in(&tracker).unwrap();
    }
    let mut login = gpu1.log_in_as(&tracker, 4, 1).unwrap();
    let repeated = gpu1.log_in_as(&tracker, 4, 1);
    assert!(repeated.is_ok(), "the answer was lost");
    login.connection.ask_for_hints();
    assert_eq!(kind_of(login.ask(group_request("list_members lab"))), "ok");
    let copy = gpu1.log_in_as(&tracker, 4, 2);
    assert_eq!(copy.err(), Some(AccessErrorKind::MachineSuspended));
    // The connection of the machine ends without a further request.
    assert_ends(&mut login.connection);
    let again = gpu1.enrol(&mut tracker.connect(), &secret, "gpu1");
    assert_eq!(again, Err(AccessErrorKind::MachineSuspended));
    let key = MemberKey::generate().unwrap();
    login.connection = tracker.connect();
    let request = certify_request(&login, &key);
    assert_eq!(kind_of(login.ask(request)), "machine-suspended");
    let suspended = (DecisionOutcome::MachineSuspended, "olga/gpu1".to_owned());
    assert!(news(&mut olga).contains(&suspended));
    assert_eq!(machines(&mut olga, None)[0].state, MachineState::Suspended);
    olga.perform(allow_machine("olga/gpu1"));
    assert_eq!(
        kind_of(login.ask(group_request("list_members lab"))),
        "session-ended"
    );
    let mut login = gpu1.log_in_as(&tracker, 1, 3).unwrap();
    assert_eq!(kind_of(login.ask(group_request("list_members lab"))), "ok");
    let tracker = AccountTracker::restart(tracker.kill());
    let copy = gpu1.log_in_as(&tracker, 1, 4);
    assert_eq!(copy.err(), Some(AccessErrorKind::MachineSuspended));
}

#[test]
fn a_revoked_machine_gets_no_certificate_and_the_members_learn_of_it() {
    let (tracker, mut olga) = lab();
    let secret = create_token(&mut olga, "farm", Role::Publisher, 2);
    let mut connection = tracker.connect();
    let mut logins = ["gpu1", "gpu2"].map(|name| {
        let mut machine = Machine::new(&tracker);
        machine.enrol(&mut connection, &secret, name).unwrap();
        let login = machine.log_in(&tracker).unwrap();
        (machine, login)
    });
    let key = MemberKey::generate().unwrap();
    let [(gpu1, first), (_, second)] = &mut logins;
    let request = certify_request(first, &key);
    assert_eq!(kind_of(first.ask(request)), "ok");
    olga.perform(revoke_machine("olga/gpu1"));
    let request = certify_request(first, &key);
    assert_eq!(kind_of(first.ask(request)), "machine-revoked");
    let start = first.connection.ask(None, gpu1.start(9, 9));
    assert_eq!(kind_of(start), "machine-revoked");
    let request = certify_request(second, &key);
    let answer = second.ask(request);
    let Ok(AccessAnswer::Certificate { barred, .. }) = answer else {
        panic!("{answer:?}")
    };
    let barred: Vec<_> = barred
        .iter()
        .map(|bar| (bar.account, bar.is_lifted))
        .collect();
    assert_eq!(barred, [(gpu1.id.unwrap(), false)]);
    olga.perform(AccessRequest::Machine(MachineRequest::RevokeToken {
        write: new_write(),
        token: "olga/farm".parse().unwrap(),
    }));
    assert_eq!(
        kind_of(second.ask(group_request("list_members lab"))),
        "token-ended"
    );
}

#[test]
fn a_machine_ends_with_the_membership_of_its_maker() {
    let (tracker, mut olga) = lab();
    let mut nik = tracker.user("nik");
    nik.perform(group_request("join_group lab"));
    olga.perform(group_request("accept_request lab nik"));
    let role = |user: &str, role| AccessRequest::SetRole {
        write: new_write(),
        group: "lab".parse().unwrap(),
        user: user.parse().unwrap(),
        role,
    };
    olga.perform(role("nik", Role::Owner));
    let secret = create_token(&mut nik, "farm", Role::Publisher, 1);
    let mut gpu1 = Machine::new(&tracker);
    gpu1.enrol(&mut tracker.connect(), &secret, "gpu1").unwrap();
    let mut login = gpu1.log_in(&tracker).unwrap();
    olga.perform(role("nik", Role::Reader));
    assert_eq!(login.groups()[0].own_role, Some(Role::Reader));
    olga.perform(role("nik", Role::Publisher));
    olga.perform(role("nik/gpu1", Role::Reader));
    assert_eq!(login.groups()[0].own_role, Some(Role::Reader));
    olga.perform(group_request("remove_member lab nik"));
    assert_eq!(
        kind_of(login.ask(group_request("list_members lab"))),
        "token-ended"
    );
    nik.perform(group_request("join_group lab"));
    olga.perform(group_request("accept_request lab nik"));
    assert_eq!(
        gpu1.log_in(&tracker).err(),
        Some(AccessErrorKind::TokenEnded)
    );
}

#[test]
fn a_machine_that_reads_may_not_publish_or_decide_anything() {
    let (tracker, mut olga) = lab();
    let mut nik = tracker.user("nik");
    nik.perform(group_request("join_group lab"));
    let secret = create_token(&mut olga, "farm", Role::Reader, 1);
    let mut gpu1 = Machine::new(&tracker);
    gpu1.enrol(&mut tracker.connect(), &secret, "gpu1").unwrap();
    let mut login = gpu1.log_in(&tracker).unwrap();
    let groups = login.groups();
    assert_eq!(groups[0].own_role, Some(Role::Reader));
    let (group, share) = ("lab".parse().unwrap(), ShortText::new("a.bin").unwrap());
    let publish = AccessRequest::Publish {
        write: new_write(),
        group,
        part: InfoPart::of(b"d4:infoe", 0).unwrap(),
        update: false,
        note: None,
    };
    let withdraw = AccessRequest::Withdraw {
        write: new_write(),
        group: "lab".parse().unwrap(),
        name: share,
        seen: InfoHash([0; 20]),
    };
    let create = AccessRequest::Machine(MachineRequest::CreateToken {
        write: new_write(),
        secret: MachineSecret(new_write().0).hash(),
        name: "own".parse().unwrap(),
        groups: vec![TokenGroup {
            group: "lab".parse().unwrap(),
            role: Role::Reader,
        }],
        machines: 1,
        enrol_seconds: None,
    });
    let revoke = AccessRequest::Machine(MachineRequest::RevokeToken {
        write: new_write(),
        token: "olga/farm".parse().unwrap(),
    });
    for (ask, kind) in [
        (publish, "not-a-publisher"),
        (withdraw, "not-a-publisher"),
        (group_request("accept_request lab nik"), "not-the-owner"),
        (group_request("reject_request lab nik"), "not-the-owner"),
        (group_request("remove_member lab olga"), "not-the-owner"),
        (group_request("set_role lab olga reader"), "not-the-owner"),
        (group_request("rename_group lab hall"), "not-the-owner"),
        (create, "only-users"),
        (revoke, "only-users"),
        (revoke_machine("olga/gpu1"), "only-users"),
        (allow_machine("olga/gpu1"), "only-users"),
    ] {
        assert_eq!(kind_of(login.ask(ask.clone())), kind, "{ask:?}");
    }
    assert_eq!(olga.groups()[0].own_role, Some(Role::Owner));
    assert_eq!(machines(&mut olga, None)[0].state, MachineState::Started);
    olga.perform(group_request("accept_request lab nik"));
}

#[test]
fn a_connection_ends_after_three_wrong_secrets_or_proofs_of_machines() {
    let (tracker, mut olga) = lab();
    let secret = create_token(&mut olga, "farm", Role::Reader, 1);
    let mut connection = tracker.connect();
    let mut stranger = Machine::new(&tracker);
    for number in 0..2 {
        let refused = stranger.enrol(&mut connection, &MachineSecret([number; 16]), "gpu1");
        assert_eq!(refused, Err(AccessErrorKind::UnknownToken));
    }
    stranger.id = Some(AccountId([7; 16]));
    let refused = connection.ask(None, stranger.start(1, 1));
    assert_eq!(kind_of(refused), "unknown-machine");
    let unanswered = connection.try_ask(None, stranger.start(1, 1));
    assert!(unanswered.is_err(), "{unanswered:?}");
    let enrolled = stranger.enrol(&mut tracker.connect(), &secret, "gpu1");
    assert_eq!(enrolled.as_deref(), Ok("olga/gpu1"), "another connection");
}
