//! Enrolments and starts of machines at two trackers: they have no receipts, and copies are found
//! when the trackers merge.

use super::pair::Pair;
use crate::common::control_connection::{User, group_request, new_write};
use crate::common::waiting::wait_until;
use pieceful::certificate::{AccountId, Fingerprint, MemberKey};
use pieceful::wire::access::{
    AccessAnswer, AccessReplyMessage, AccessRequest, AccessRequestMessage, KeyRequest,
    MachineRequest, MachineState, TokenGroup,
};
use pieceful::wire::machine::{MachineSecret, MachineStart, enrolment_context, start_context};
use pieceful::wire::role::Role;

/// A key with which one machine enrols and starts.
struct Machine {
    cluster: Fingerprint,
    key: MemberKey,
}

impl Machine {
    fn prove(&self, context: &[u8]) -> KeyRequest {
        KeyRequest(self.key.request(context).unwrap())
    }

    fn enrolment(&self, secret: &MachineSecret) -> AccessRequest {
        AccessRequest::Machine(MachineRequest::Enrol {
            write: new_write(),
            key: self.prove(&enrolment_context(&self.cluster, &secret.hash())),
            secret: secret.clone(),
            name: "gpu1".parse().unwrap(),
        })
    }

    fn start(&self, machine: AccountId, nonce: u8) -> AccessRequest {
        let start = MachineStart {
            counter: 1,
            nonce: [nonce; 16],
        };
        AccessRequest::Machine(MachineRequest::LogIn {
            write: new_write(),
            machine,
            key: self.prove(&start_context(&self.cluster, &start)),
            start,
        })
    }
}

/// Makes a token of nik for one machine of his new group `lab`, and a key for the machine.
fn with_token(pair: &Pair) -> (User, MachineSecret, Machine) {
    let mut nik = pair.user(1, "nik");
    nik.perform(group_request("create_group lab"));
    let secret = MachineSecret(new_write().0);
    nik.perform(AccessRequest::Machine(MachineRequest::CreateToken {
        write: new_write(),
        secret: secret.hash(),
        name: "farm".parse().unwrap(),
        groups: vec![TokenGroup {
            group: "lab".parse().unwrap(),
            role: Role::Reader,
        }],
        machines: 1,
        enrol_seconds: None,
    }));
    pair.wait_until_in_sync();
    let cluster = pair.cluster().fingerprint();
    let key = MemberKey::generate().unwrap();
    (nik, secret, Machine { cluster, key })
}

/// Sends a request to a tracker and returns the whole reply.
fn ask(pair: &Pair, number: usize, ask: &AccessRequest) -> AccessReplyMessage {
    let request = AccessRequestMessage {
        id: 9,
        token: None,
        watch: false,
        ask: ask.clone(),
    };
    pair.connect(number).exchange(&request.encode()).unwrap()
}

/// The machine that a tracker has enrolled.
fn enrolled(reply: &AccessReplyMessage) -> AccountId {
    match &reply.result {
        Ok(AccessAnswer::Enrolled { machine, .. }) => *machine,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_repeated_request_of_a_machine_is_not_called_safe_before_another_tracker_has_it() {
    let pair = Pair::new();
    let (_nik, secret, machine) = with_token(&pair);
    pair.split();
    let enrolment = machine.enrolment(&secret);
    let reply = ask(&pair, 1, &enrolment);
    assert!(reply.only_here, "{reply:?}");
    let id = enrolled(&reply);
    let reply = ask(&pair, 1, &enrolment);
    assert!(reply.only_here, "repeated: {reply:?}");
    let start = machine.start(id, 1);
    for what in ["first", "repeated"] {
        let reply = ask(&pair, 1, &start);
        assert!(reply.result.is_ok() && reply.only_here, "{what}: {reply:?}");
    }
    pair.proxy.mend();
    pair.wait_until_in_sync();
    for number in [1, 2] {
        let reply = ask(&pair, number, &start);
        assert!(reply.result.is_ok() && !reply.only_here, "{reply:?}");
    }
    let dump = pair.assert_same();
    assert_eq!(dump["machines"].as_array().unwrap().len(), 1, "{dump}");
}

#[test]
fn copies_that_start_at_two_trackers_are_suspended_and_the_log_says_so() {
    let pair = Pair::new();
    let (mut nik, secret, machine) = with_token(&pair);
    let id = enrolled(&ask(&pair, 1, &machine.enrolment(&secret)));
    pair.wait_until_in_sync();
    pair.split();
    for number in [1, 2] {
        let reply = ask(&pair, number, &machine.start(id, number as u8));
        assert!(reply.result.is_ok(), "{reply:?}");
    }
    pair.proxy.mend();
    let line = "suspended the machine nik/gpu1";
    wait_until(line, || {
        [1, 2].iter().any(|number| pair.log(*number).contains(line))
    });
    pair.wait_until_in_sync();
    let list = MachineRequest::ListMachines {
        group: None,
        after: None,
    };
    match nik.ask(AccessRequest::Machine(list)) {
        Ok(AccessAnswer::Machines(page)) => {
            assert_eq!(page.entries[0].state, MachineState::Suspended);
        }
        other => panic!("{other:?}"),
    }
}
