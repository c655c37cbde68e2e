//! The messages about machines, and their bytes.

use super::*;
use crate::certificate::AccountId;
use crate::wire::control::ControlError;
use crate::wire::machine::{MAX_STARTS, MachineLabel, MachineSecret, MachineStart, SecretHash};
use crate::wire::role::Role;

const WRITE: WriteId = WriteId([b'w'; 16]);

fn lab(role: Role) -> TokenGroup {
    TokenGroup {
        group: "lab".parse().unwrap(),
        role,
    }
}

fn gpu1() -> MachineLabel {
    "ann/gpu1".parse().unwrap()
}

fn create_token(groups: usize, machines: u32) -> AccessRequest {
    AccessRequest::Machine(MachineRequest::CreateToken {
        write: WRITE,
        secret: SecretHash([b's'; 32]),
        name: "farm".parse().unwrap(),
        groups: vec![lab(Role::Reader); groups],
        machines,
        enrol_seconds: Some(60),
    })
}

fn log_in(counter: u64) -> AccessRequest {
    AccessRequest::Machine(MachineRequest::LogIn {
        write: WRITE,
        machine: AccountId([b'm'; 16]),
        key: KeyRequest([b'k'; KEY_REQUEST_LENGTH]),
        start: MachineStart {
            counter,
            nonce: [b'n'; 16],
        },
    })
}

/// Every kind of request about machines, and its bytes with the id 7 and the token `t\0k`.
pub(super) fn requests() -> Vec<(AccessRequest, &'static [u8])> {
    fn of_machine(request: MachineRequest, bytes: &'static [u8]) -> (AccessRequest, &'static [u8]) {
        (AccessRequest::Machine(request), bytes)
    }
    vec![
        (create_token(1, 6), b"d6:groupsld5:group3:lab4:role6:readeree2:idi7e8:machinesi6e4:name4:farm8:protocoli5e7:secondsi60e6:secret32:ssssssssssssssssssssssssssssssss5:token3:t\0k4:type12:create_token5:write16:wwwwwwwwwwwwwwwwe"),
        of_machine(
            MachineRequest::Enrol {
                write: WRITE,
                secret: MachineSecret([b's'; 16]),
                key: KeyRequest([b'k'; KEY_REQUEST_LENGTH]),
                name: "gpu1".parse().unwrap(),
            },
            b"d2:idi7e3:key129:kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk4:name4:gpu18:protocoli5e6:secret16:ssssssssssssssss5:token3:t\0k4:type5:enrol5:write16:wwwwwwwwwwwwwwwwe",
        ),
        (log_in(258), b"d7:counteri258e2:idi7e3:key129:kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk7:machine16:mmmmmmmmmmmmmmmm5:nonce16:nnnnnnnnnnnnnnnn8:protocoli5e5:token3:t\0k4:type13:login_machine5:write16:wwwwwwwwwwwwwwwwe"),
        of_machine(
            MachineRequest::RevokeToken {
                write: WRITE,
                token: "ann/farm".parse().unwrap(),
            },
            b"d2:idi7e13:machine token8:ann/farm8:protocoli5e5:token3:t\0k4:type12:revoke_token5:write16:wwwwwwwwwwwwwwwwe",
        ),
        of_machine(
            MachineRequest::RevokeMachine {
                write: WRITE,
                machine: gpu1(),
            },
            b"d2:idi7e7:machine8:ann/gpu18:protocoli5e5:token3:t\0k4:type14:revoke_machine5:write16:wwwwwwwwwwwwwwwwe",
        ),
        of_machine(
            MachineRequest::AllowMachine {
                write: WRITE,
                machine: gpu1(),
            },
            b"d2:idi7e7:machine8:ann/gpu18:protocoli5e5:token3:t\0k4:type13:allow_machine5:write16:wwwwwwwwwwwwwwwwe",
        ),
        of_machine(
            MachineRequest::ListTokens {
                group: None,
                after: ShortText::new("x"),
            },
            b"d5:after1:x2:idi7e8:protocoli5e5:token3:t\0k4:type11:list_tokense",
        ),
        of_machine(
            MachineRequest::ListMachines {
                group: "lab".parse().ok(),
                after: None,
            },
            b"d5:group3:lab2:idi7e8:protocoli5e5:token3:t\0k4:type13:list_machinese",
        ),
    ]
}

fn page<T>(entries: Vec<T>) -> ListPage<T> {
    ListPage {
        entries,
        next: None,
    }
}

/// Every kind of answer about machines, and the bytes of its reply with the id 7.
pub(super) fn replies() -> Vec<(AccessAnswer, &'static [u8])> {
    vec![
        (
            AccessAnswer::Enrolled {
                machine: AccountId([b'm'; 16]),
                label: gpu1(),
                groups: vec![lab(Role::Reader)],
            },
            b"d6:groupsld5:group3:lab4:role6:readeree2:idi7e5:label8:ann/gpu17:machine16:mmmmmmmmmmmmmmmm8:protocoli5e4:type8:enrollede",
        ),
        (
            AccessAnswer::MachineLoggedIn {
                token: Token::new(b"t\0k").unwrap(),
                label: gpu1(),
                groups: vec![lab(Role::Publisher)],
            },
            b"d6:groupsld5:group3:lab4:role9:publisheree2:idi7e5:label8:ann/gpu18:protocoli5e5:token3:t\0k4:type15:machine-sessione",
        ),
        (
            AccessAnswer::Tokens(page(vec![TokenEntry {
                label: "ann/farm".parse().unwrap(),
                groups: vec![lab(Role::Reader)],
                state: TokenState::Open,
                enrolled: 2,
                machines: 6,
                made_at: 5,
                enrols_until: Some(9),
            }])),
            b"d7:entriesld2:ati5e8:enrolledi2e6:groupsld5:group3:lab4:role6:readeree5:label8:ann/farm8:machinesi6e5:state4:open5:untili9eee2:idi7e8:protocoli5e4:type6:tokense",
        ),
        (
            AccessAnswer::Machines(page(vec![
                MachineEntry {
                    label: gpu1(),
                    token: "ann/farm".parse().ok(),
                    role: Some(Role::Reader),
                    state: MachineState::Suspended,
                    enrolled_at: 5,
                    started_at: Some(9),
                },
                MachineEntry {
                    label: gpu1(),
                    token: None,
                    role: None,
                    state: MachineState::TokenEnded,
                    enrolled_at: 5,
                    started_at: None,
                },
            ])),
            b"d7:entriesld2:ati5e5:label8:ann/gpu14:role6:reader7:startedi9e5:state9:suspended5:token8:ann/farmed2:ati5e5:label8:ann/gpu15:state11:token-endedee2:idi7e8:protocoli5e4:type8:machinese",
        ),
    ]
}

#[test]
fn groups_machines_and_counters_beyond_their_limits_are_refused() {
    let decoded = |ask: AccessRequest| {
        let message = AccessRequestMessage {
            id: 7,
            token: None,
            watch: false,
            ask,
        };
        AccessRequestMessage::decode(&message.encode()).map(drop)
    };
    let wrong = |key| Err(ControlError::WrongValue(key));
    for (groups, result) in [(0, wrong("groups")), (16, Ok(())), (17, wrong("groups"))] {
        assert_eq!(decoded(create_token(groups, 1)), result, "{groups}");
    }
    for (machines, result) in [
        (0, wrong("machines")),
        (1000, Ok(())),
        (1001, wrong("machines")),
    ] {
        assert_eq!(decoded(create_token(1, machines)), result, "{machines}");
    }
    let counters = [
        (0, wrong("counter")),
        (MAX_STARTS, Ok(())),
        (MAX_STARTS + 1, wrong("counter")),
    ];
    for (counter, result) in counters {
        assert_eq!(decoded(log_in(counter)), result, "{counter}");
    }
}

#[test]
fn pages_of_the_longest_entries_fit_into_a_frame() {
    let name = format!("{}~00ab12ff", "x".repeat(64));
    let label: MachineLabel = format!("{name}/{name}").parse().unwrap();
    let group = TokenGroup {
        group: name.parse().unwrap(),
        role: Role::Publisher,
    };
    let (number, time) = (u32::MAX, (1 << 63) - 1);
    let token = TokenEntry {
        label: label.clone(),
        groups: vec![group; MAX_TOKEN_GROUPS],
        state: TokenState::MakerLeft,
        enrolled: number,
        machines: number,
        made_at: time,
        enrols_until: Some(time),
    };
    let machine = MachineEntry {
        label: label.clone(),
        token: Some(label),
        role: Some(Role::Publisher),
        state: MachineState::TokenEnded,
        enrolled_at: time,
        started_at: Some(time),
    };
    for answer in [
        AccessAnswer::Tokens(page(vec![token; MAX_TOKENS_IN_PAGE])),
        AccessAnswer::Machines(page(vec![machine; MAX_PAGE])),
    ] {
        let reply = AccessReplyMessage {
            id: 7,
            renewed: None,
            only_here: false,
            result: Ok(answer),
        };
        let bytes = reply.encode();
        assert!(bytes.len() < usize::try_from(MAX_FRAME).unwrap());
        assert_eq!(AccessReplyMessage::decode(&bytes), Ok(reply));
    }
}
