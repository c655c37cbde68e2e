use super::*;
use crate::certificate::AccountId;
use crate::torrent::InfoHash;
use crate::wire::control::{ControlError, TextLine};
use crate::wire::name::Label;
use crate::wire::password::Password;
use crate::wire::role::Role;
use crate::wire::{CompactAddresses, PeerId};
use proptest::prelude::*;
use std::num::NonZeroU16;

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

fn password(text: &str) -> Password {
    Password::new(text).unwrap()
}

fn token() -> Token {
    Token::new(b"t\0k").unwrap()
}

/// `count` equal announces.
fn announces(count: usize) -> AnnounceBatch {
    let announce = SwarmAnnounce {
        info_hash: InfoHash([b'h'; 20]),
        uploaded: 1 << 40,
        downloaded: 2,
        left: 3,
        event: Some(GroupAnnounceEvent::Started),
    };
    let (id, port) = (PeerId([b'p'; 20]), NonZeroU16::new(6881).unwrap());
    AnnounceBatch::new(id, port, vec![announce; count]).unwrap()
}

fn eves_bar() -> Bar {
    Bar {
        account: AccountId([b'e'; 16]),
        stand_in: AccountId([b'n'; 16]),
        at: BarTime {
            wall: 258,
            counter: 1,
        },
        is_lifted: true,
    }
}

const WRITE: WriteId = WriteId([b'w'; 16]);

/// Every kind of request, and its bytes.
fn requests() -> Vec<(AccessRequest, &'static [u8])> {
    let mut requests = requests_of_users();
    requests.extend(catalogue_tests::requests());
    requests.extend(login_tests::requests());
    requests.extend(machine_tests::requests());
    requests.extend(holder_tests::requests());
    requests
}

fn requests_of_users() -> Vec<(AccessRequest, &'static [u8])> {
    let user = || "nik".parse().unwrap();
    let short_text = |text: &str| ShortText::new(text).unwrap();
    vec![
        (
            AccessRequest::CreateUser {
                write: WRITE,
                user: user(),
                password: password("p w"),
                invite: None,
            },
            b"d2:idi7e8:password3:p w8:protocoli5e5:token3:t\0k4:type11:create_user4:user3:nik5:write16:wwwwwwwwwwwwwwwwe",
        ),
        (
            AccessRequest::CreateUser {
                write: WRITE,
                user: user(),
                password: password("p"),
                invite: Some(short_text("ab-cd")),
            },
            b"d2:idi7e6:invite5:ab-cd8:password1:p8:protocoli5e5:token3:t\0k4:type11:create_user4:user3:nik5:write16:wwwwwwwwwwwwwwwwe",
        ),
        (
            AccessRequest::Login {
                attempt: WRITE,
                user: label("nik~00ab12ff"),
                password: password("p"),
                host: "gpu1".parse().ok(),
            },
            b"d7:attempt16:wwwwwwwwwwwwwwww4:host4:gpu12:idi7e8:password1:p8:protocoli5e5:token3:t\0k4:type5:login4:user12:nik~00ab12ffe",
        ),
        (
            AccessRequest::Logout { write: WRITE },
            b"d2:idi7e8:protocoli5e5:token3:t\0k4:type6:logout5:write16:wwwwwwwwwwwwwwwwe"),
        (
            AccessRequest::CheckPort {
                port: NonZeroU16::new(6881).unwrap(),
            },
            b"d2:idi7e4:porti6881e8:protocoli5e5:token3:t\0k4:type10:check_porte",
        ),
        (AccessRequest::Cluster, b"d2:idi7e8:protocoli5e5:token3:t\0k4:type7:clustere"),
        (
            AccessRequest::ChangePassword {
                write: WRITE,
                old: password("a"),
                new: password("b"),
            },
            b"d2:idi7e3:new1:b3:old1:a8:protocoli5e5:token3:t\0k4:type15:change_password5:write16:wwwwwwwwwwwwwwwwe",
        ),
        (
            AccessRequest::CreateGroup {
                write: WRITE,
                group: "lab".parse().unwrap(),
            },
            b"d5:group3:lab2:idi7e8:protocoli5e5:token3:t\0k4:type12:create_group5:write16:wwwwwwwwwwwwwwwwe",
        ),
        (
            AccessRequest::JoinGroup {
                write: WRITE,
                group: label("lab"),
            },
            b"d5:group3:lab2:idi7e8:protocoli5e5:token3:t\0k4:type10:join_group5:write16:wwwwwwwwwwwwwwwwe",
        ),
        (
            AccessRequest::LeaveGroup {
                write: WRITE,
                group: label("lab"),
                end: true,
            },
            b"d3:endi1e5:group3:lab2:idi7e8:protocoli5e5:token3:t\0k4:type11:leave_group5:write16:wwwwwwwwwwwwwwwwe",
        ),
        (
            AccessRequest::ListGroups {
                after: Some(short_text("lab/00")),
            },
            b"d5:after6:lab/002:idi7e8:protocoli5e5:token3:t\0k4:type11:list_groupse",
        ),
        (
            AccessRequest::OwnGroups { after: None },
            b"d2:idi7e8:protocoli5e5:token3:t\0k4:type10:own_groupse",
        ),
        (
            AccessRequest::ListMembers {
                group: label("lab"),
                after: None,
            },
            b"d5:group3:lab2:idi7e8:protocoli5e5:token3:t\0k4:type12:list_memberse",
        ),
        (
            AccessRequest::ListRequests {
                group: label("lab"),
                after: None,
            },
            b"d5:group3:lab2:idi7e8:protocoli5e5:token3:t\0k4:type13:list_requestse",
        ),
        (
            AccessRequest::AcceptRequest {
                write: WRITE,
                group: label("lab"),
                user: label("nik"),
            },
            b"d5:group3:lab2:idi7e8:protocoli5e5:token3:t\0k4:type14:accept_request4:user3:nik5:write16:wwwwwwwwwwwwwwwwe",
        ),
        (
            AccessRequest::RejectRequest {
                write: WRITE,
                group: label("lab"),
                user: label("nik"),
            },
            b"d5:group3:lab2:idi7e8:protocoli5e5:token3:t\0k4:type14:reject_request4:user3:nik5:write16:wwwwwwwwwwwwwwwwe",
        ),
        (
            AccessRequest::RemoveMember {
                write: WRITE,
                group: label("lab"),
                user: label("nik"),
            },
            b"d5:group3:lab2:idi7e8:protocoli5e5:token3:t\0k4:type13:remove_member4:user3:nik5:write16:wwwwwwwwwwwwwwwwe",
        ),
        (
            AccessRequest::SetRole {
                write: WRITE,
                group: label("lab"),
                user: label("nik").into(),
                role: Role::Reader,
            },
            b"d5:group3:lab2:idi7e8:protocoli5e4:role6:reader5:token3:t\0k4:type8:set_role4:user3:nik5:write16:wwwwwwwwwwwwwwwwe",
        ),
        (
            AccessRequest::RenameGroup {
                write: WRITE,
                group: label("lab"),
                name: "hall".parse().unwrap(),
            },
            b"d5:group3:lab2:idi7e4:name4:hall8:protocoli5e5:token3:t\0k4:type12:rename_group5:write16:wwwwwwwwwwwwwwwwe",
        ),
        (
            AccessRequest::Certify {
                group: label("lab"),
                request: KeyRequest([b'k'; KEY_REQUEST_LENGTH]),
            },
            b"d5:group3:lab2:idi7e3:key129:kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk8:protocoli5e5:token3:t\0k4:type7:certifye",
        ),
        (
            AccessRequest::Announce(announces(1)),
            b"d2:idi7e7:peer id20:pppppppppppppppppppp4:porti6881e8:protocoli5e6:swarms45:hhhhhhhhhhhhhhhhhhhh\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\x015:token3:t\0k4:type8:announcee",
        ),
        (
            AccessRequest::Announce(announces(1).with_seen_bars(Some(BarsDigest(*b"digestof")))),
            b"d4:bars8:digestof2:idi7e7:peer id20:pppppppppppppppppppp4:porti6881e8:protocoli5e6:swarms45:hhhhhhhhhhhhhhhhhhhh\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\x015:token3:t\0k4:type8:announcee",
        ),
        (
            AccessRequest::Announce(announces(1).with_private(PrivateAddresses::choose(
                ["10.0.0.1", "fd00::1"].map(|text| text.parse().unwrap()),
            ))),
            b"d2:idi7e7:peer id20:pppppppppppppppppppp4:porti6881e7:private4:\x0a\0\0\x018:private616:\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x018:protocoli5e6:swarms45:hhhhhhhhhhhhhhhhhhhh\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\x015:token3:t\0k4:type8:announcee",
        ),
        (
            AccessRequest::ListDecisions {
                seen: SeenDecisions::new(b"\xff".to_vec()).unwrap(),
                with_requests: false,
                after: None,
            },
            b"d2:idi7e8:protocoli5e4:seen1:\xff5:token3:t\0k4:type4:newse",
        ),
        (
            AccessRequest::ChangedShares {
                group: label("lab"),
                changed: vec![InfoHash(*b"hhhhhhhhhhhhhhhhhhhh")],
            },
            b"d7:changedl20:hhhhhhhhhhhhhhhhhhhhe5:group3:lab2:idi7e8:protocoli5e5:token3:t\0k4:type14:changed_sharese",
        ),
        (
            AccessRequest::ListDecisions {
                seen: SeenDecisions::default(),
                with_requests: true,
                after: None,
            },
            b"d2:idi7e8:protocoli5e8:requestsi1e4:seen0:5:token3:t\0k4:type4:newse",
        ),
    ]
}

pub(super) const STATE: GroupState = GroupState {
    id: GroupId([b'i'; 16]),
    added: 3,
    ended: 4,
    spread_ms: 2_000,
};

fn page<T>(entries: Vec<T>) -> ListPage<T> {
    ListPage {
        entries,
        next: ShortText::new("x"),
    }
}

/// Every kind of answer and two refusals, each with the bytes of its reply.
fn replies() -> Vec<(Result<AccessAnswer, AccessRefusal>, &'static [u8])> {
    let mut replies = replies_to_users();
    let others = machine_tests::replies().into_iter();
    let others = others.chain([login_tests::reply()]);
    let others = others.chain(catalogue_tests::replies());
    let others = others.chain(holder_tests::replies());
    replies.extend(others.map(|(answer, bytes)| (Ok(answer), bytes)));
    replies
}

fn replies_to_users() -> Vec<(Result<AccessAnswer, AccessRefusal>, &'static [u8])> {
    vec![
        (Ok(AccessAnswer::Done), b"d2:idi7e8:protocoli5e4:type4:donee"),
        (
            Ok(AccessAnswer::LoggedIn {
                token: token(),
                expires: 1 << 40,
                user: label("nik"),
                note: Some(TextLine::new("hm")),
            }),
            b"d7:expiresi1099511627776e2:idi7e4:note2:hm8:protocoli5e5:token3:t\0k4:type7:session4:user3:nike",
        ),
        (
            Ok(AccessAnswer::Groups(page(vec![GroupEntry {
                name: label("lab"),
                owner: Some(label("nik")),
                members: 2,
                role: GroupRole::Member,
                own_role: Some(Role::Reader),
            }]))),
            b"d7:entriesld7:membersi2e4:name3:lab5:owner3:nik4:role6:reader8:standing6:memberee2:idi7e4:next1:x8:protocoli5e4:type6:groupse",
        ),
        (
            Ok(AccessAnswer::OwnGroups(page(vec![OwnGroup {
                name: label("lab"),
                state: STATE,
            }]))),
            b"d7:entriesld5:addedi3e5:endedi4e2:id16:iiiiiiiiiiiiiiii4:name3:lab6:spreadi2000eee2:idi7e4:next1:x8:protocoli5e4:type10:own-groupse",
        ),
        (
            Ok(AccessAnswer::Members(page(vec![MemberEntry {
                name: label("nik"),
                since: 1 << 40,
                role: Role::Owner,
            }]))),
            b"d7:entriesld4:name3:nik4:role5:owner5:sincei1099511627776eee2:idi7e4:next1:x8:protocoli5e4:type7:memberse",
        ),
        (
            Ok(AccessAnswer::Requests(page(vec![RequestEntry {
                name: label("nik"),
                asked_at: 5,
            }]))),
            b"d7:entriesld2:ati5e4:name3:nikee2:idi7e4:next1:x8:protocoli5e4:type8:requestse",
        ),
        (
            Ok(AccessAnswer::Certificate {
                leaf: vec![1],
                authority: b"pem".to_vec(),
                barred: Vec::new(),
                role: Role::Reader,
            }),
            b"d9:authority3:pem6:barred0:2:idi7e4:leaf1:\x018:protocoli5e4:role6:reader4:type11:certificatee",
        ),
        (
            Ok(AccessAnswer::Peers(AnnounceBatchAnswer {
                swarms: vec![
                    Ok(FoundPeers::new(
                        CompactAddresses::from_iter(["1.2.3.4:258".parse().unwrap()]),
                        ["10.0.0.1:258", "[fd00::1]:258"].map(|it| it.parse().unwrap()),
                    )),
                    Err(AccessRefusal {
                        kind: AccessErrorKind::NotInCatalogue,
                        message: TextLine::new("no"),
                        retry_seconds: None,
                    }),
                ],
                interval: 20,
                barred: Some(vec![eves_bar()]),
                placement: None,
                group: None,
            })),
            b"d6:barred45:eeeeeeeeeeeeeeeennnnnnnnnnnnnnnn\0\0\0\0\0\0\x01\x02\0\0\0\x01\x012:idi7e8:intervali20e8:protocoli5e6:swarmsld9:addresses6:\x01\x02\x03\x04\x01\x027:private6:\x0a\0\0\x01\x01\x028:private618:\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x01\x02ed4:kind16:not-in-catalogue7:message2:noee4:type5:peerse",
        ),
        (
            Ok(AccessAnswer::Peers(AnnounceBatchAnswer {
                swarms: vec![Ok(FoundPeers::default())],
                interval: 20,
                barred: Some(Vec::new()),
                placement: Some(Placement {
                    tracker: 2,
                    trackers_of_group: vec![3, 1],
                }),
                group: Some(NamedGroup {
                    name: label("lab"),
                    since: 1 << 40,
                }),
            })),
            b"d6:barred0:5:group3:lab2:idi7e8:intervali20e5:namedi1099511627776e8:protocoli5e6:swarmsldee7:trackeri2e8:trackersli3ei1ee4:type5:peerse",
        ),
        (
            Ok(AccessAnswer::Peers(AnnounceBatchAnswer {
                swarms: vec![Ok(FoundPeers::default())],
                interval: 20,
                barred: None,
                placement: None,
                group: None,
            })),
            b"d2:idi7e8:intervali20e8:protocoli5e6:swarmsldee4:type5:peerse",
        ),
        (
            Ok(AccessAnswer::Cluster(ClusterView {
                number: 1,
                serving: true,
                replicas: vec![ReplicaView {
                    number: 2,
                    up: false,
                    it_lacks: Some(3),
                    we_lack: 4,
                    silent_ms: Some(5),
                }],
            })),
            b"d2:idi7e6:numberi1e8:protocoli5e7:servingi1e5:twinsld8:it lacksi3e6:numberi2e6:silenti5e2:upi0e7:we lacki4eee4:type7:clustere",
        ),
        (
            Ok(AccessAnswer::Port(PortCheck {
                clock_ms: 5,
                address: "::1".parse().unwrap(),
                port: PortState::NotTried,
            })),
            b"d7:address3:::15:clocki5e2:idi7e4:port9:not tried8:protocoli5e4:type4:porte",
        ),
        (
            Ok(AccessAnswer::Decisions {
                page: page(vec![DecisionEntry {
                    group: label("lab"),
                    outcome: DecisionOutcome::GroupEnded,
                    user: None,
                    role: None,
                    decided_at: 5,
                }]),
                seen: SeenDecisions::default(),
            }),
            b"d7:entriesld2:ati5e5:group3:lab7:outcome11:group-endedee2:idi7e4:next1:x8:protocoli5e4:seen0:4:type4:newse",
        ),
        (
            Ok(AccessAnswer::ChangedShares(vec![InfoHash(
                *b"hhhhhhhhhhhhhhhhhhhh",
            )])),
            b"d7:changedl20:hhhhhhhhhhhhhhhhhhhhe2:idi7e8:protocoli5e4:type14:changed-sharese",
        ),
        (
            Ok(AccessAnswer::Decisions {
                page: page(vec![DecisionEntry {
                    group: label("lab"),
                    outcome: DecisionOutcome::Requested,
                    user: Some(label("nik").into()),
                    role: None,
                    decided_at: 5,
                }]),
                seen: SeenDecisions::default(),
            }),
            b"d7:entriesld2:ati5e5:group3:lab7:outcome9:requested4:user3:nikee2:idi7e4:next1:x8:protocoli5e4:seen0:4:type4:newse",
        ),
        (
            Ok(AccessAnswer::Decisions {
                page: page(vec![DecisionEntry {
                    group: label("lab"),
                    outcome: DecisionOutcome::GotRole,
                    user: None,
                    role: Some(Role::Publisher),
                    decided_at: 5,
                }]),
                seen: SeenDecisions::default(),
            }),
            b"d7:entriesld2:ati5e5:group3:lab7:outcome4:role4:role9:publisheree2:idi7e4:next1:x8:protocoli5e4:seen0:4:type4:newse",
        ),
        (
            Err(AccessRefusal {
                kind: AccessErrorKind::Busy,
                message: TextLine::new("later"),
                retry_seconds: None,
            }),
            b"d2:idi7e4:kind4:busy7:message5:later8:protocoli5e4:type5:errore",
        ),
        (
            Err(AccessRefusal {
                kind: AccessErrorKind::Full,
                message: TextLine::new("full"),
                retry_seconds: Some(9),
            }),
            b"d2:idi7e4:kind4:full7:message4:full8:protocoli5e5:retryi9e4:type5:errore",
        ),
    ]
}

#[test]
fn each_message_is_encoded_to_its_bytes_and_decoded_again() {
    for (ask, bytes) in requests() {
        let token = Some(token());
        let request = AccessRequestMessage {
            id: 7,
            token,
            watch: false,
            ask,
        };
        let bytes_text = String::from_utf8_lossy(bytes);
        assert_eq!(
            String::from_utf8_lossy(&request.encode()),
            bytes_text,
            "{request:?}"
        );
        assert_eq!(
            AccessRequestMessage::decode(bytes).as_ref(),
            Ok(&request),
            "{bytes_text}"
        );
        let without_token = AccessRequestMessage {
            token: None,
            watch: true,
            ..request
        };
        assert_eq!(
            AccessRequestMessage::decode(&without_token.encode()),
            Ok(without_token)
        );
    }
    for (result, bytes) in replies() {
        let reply = AccessReplyMessage {
            only_here: false,
            id: 7,
            renewed: None,
            result,
        };
        let bytes_text = String::from_utf8_lossy(bytes);
        assert_eq!(
            String::from_utf8_lossy(&reply.encode()),
            bytes_text,
            "{reply:?}"
        );
        assert_eq!(
            AccessReplyMessage::decode(bytes).as_ref(),
            Ok(&reply),
            "{bytes_text}"
        );
        let renewed = AccessReplyMessage {
            only_here: true,
            renewed: Some(IssuedToken {
                token: token(),
                expires: 1 << 40,
            }),
            ..reply
        };
        assert_eq!(AccessReplyMessage::decode(&renewed.encode()), Ok(renewed));
    }
}

#[test]
fn each_kind_of_bad_message_has_its_own_error() {
    use ControlError::{ExtraKey, Missing, NoDictionary, UnknownType, WrongValue};
    let long = format!(
        "d7:attempt16:wwwwwwwwwwwwwwww2:idi7e8:password{}:{}8:protocoli5e4:type5:login4:user3:nike",
        1025,
        "x".repeat(1025)
    );
    let table: &[(&[u8], ControlError)] = &[
        (b"li1ee", NoDictionary),
        (b"d2:idi7e8:protocoli5ee", Missing("type")),
        (b"d8:protocoli5e4:type6:logoute", Missing("id")),
        (b"d2:idi7e8:protocoli5e4:type3:flye", UnknownType("fly".into())),
        (b"d2:idi7e8:protocoli5e4:type5:hello1:xi1ee", UnknownType("hello".into())),
        (
            b"d2:idi7e8:protocoli5e4:type6:logout5:write16:wwwwwwwwwwwwwwww1:xi1ee",
            ExtraKey("logout"),
        ),
        (b"d2:idi7e8:protocoli5e4:type6:logoute", Missing("write")),
        (
            b"d2:idi7e8:protocoli5e4:type6:logout5:write15:wwwwwwwwwwwwwwwe",
            WrongValue("write"),
        ),
        (
            b"d2:idi7e8:protocoli5e4:type7:cluster5:write16:wwwwwwwwwwwwwwwwe",
            ExtraKey("cluster"),
        ),
        (b"d2:idi7e8:protocoli5e5:token0:4:type6:logoute", WrongValue("token")),
        (b"d2:idi7e8:protocoli5e5:tokeni1e4:type6:logoute", WrongValue("token")),
        (b"d2:idi-1e8:protocoli5e4:type6:logoute", WrongValue("id")),
        (
            b"d5:group0:2:idi7e8:protocoli5e4:type10:join_group5:write16:wwwwwwwwwwwwwwwwe",
            WrongValue("group"),
        ),
        (
            b"d5:group3:a b2:idi7e8:protocoli5e4:type12:create_group5:write16:wwwwwwwwwwwwwwwwe",
            WrongValue("group"),
        ),
        (
            b"d5:group12:lab~00ab12ff2:idi7e8:protocoli5e4:type12:create_group5:write16:wwwwwwwwwwwwwwwwe",
            WrongValue("group"),
        ),
        (
            b"d3:endi2e5:group3:lab2:idi7e8:protocoli5e4:type11:leave_group5:write16:wwwwwwwwwwwwwwwwe",
            WrongValue("end"),
        ),
        (
            b"d7:attempt16:wwwwwwwwwwwwwwww2:idi7e8:password0:8:protocoli5e4:type5:login4:user3:nike",
            WrongValue("password"),
        ),
        (
            b"d7:attempt16:wwwwwwwwwwwwwwww2:idi7e8:password3:a\nb8:protocoli5e4:type5:login4:user3:nike",
            WrongValue("password"),
        ),
        (long.as_bytes(), WrongValue("password")),
        (
            b"d5:after0:2:idi7e8:protocoli5e4:type11:list_groupse",
            WrongValue("after"),
        ),
        (b"d2:idi7e8:protocoli5e4:seeni1e4:type4:newse", WrongValue("seen")),
    ];
    for (bytes, error) in table {
        let bytes_text = String::from_utf8_lossy(bytes);
        assert_eq!(
            AccessRequestMessage::decode(bytes).as_ref(),
            Err(error),
            "{bytes_text}"
        );
    }
    assert_eq!(
        AccessReplyMessage::decode(b"d2:idi7e4:kind3:foo7:message0:8:protocoli5e4:type5:errore"),
        Err(WrongValue("kind"))
    );
}

#[test]
fn a_full_announce_request_fits_into_half_a_frame_and_a_full_answer_into_one() {
    let (id, port) = (PeerId([b'p'; 20]), NonZeroU16::MIN);
    let announce = announces(1).swarms()[0].clone();
    for count in [0, MAX_ANNOUNCES + 1] {
        let batch = AnnounceBatch::new(id, port, vec![announce.clone(); count]);
        assert_eq!(batch, None);
    }
    let request = AccessRequestMessage {
        id: 7,
        token: Some(token()),
        watch: false,
        ask: AccessRequest::Announce(announces(MAX_ANNOUNCES)),
    };
    let bytes = request.encode();
    let half_a_frame = usize::try_from(MAX_FRAME / 2).unwrap();
    assert!(bytes.len() < half_a_frame, "{}", bytes.len());
    assert_eq!(AccessRequestMessage::decode(&bytes), Ok(request));
    let empty = b"d2:idi7e7:peer id20:pppppppppppppppppppp4:porti6881e8:protocoli5e6:swarms0:4:type8:announcee";
    let wrong = Err(ControlError::WrongValue("swarms"));
    assert_eq!(AccessRequestMessage::decode(empty), wrong);
    let address = "[2001:db8::1]:6881".parse().unwrap();
    let private = vec!["[fd00::1]:6881".parse().unwrap(); 2 * MAX_PRIVATE_IN_ANSWER];
    let found = FoundPeers::new(vec![address; 50].into_iter().collect(), private);
    assert_eq!(found.private().count(), MAX_PRIVATE_IN_ANSWER);
    let reply = AccessReplyMessage {
        id: 7,
        renewed: None,
        only_here: false,
        result: Ok(AccessAnswer::Peers(AnnounceBatchAnswer {
            swarms: vec![Ok(found); MAX_ANNOUNCES],
            interval: 20,
            barred: Some(vec![eves_bar(); MAX_BARS]),
            placement: None,
            group: None,
        })),
    };
    let bytes = reply.encode();
    assert!(bytes.len() < 2 * half_a_frame, "{}", bytes.len());
    assert_eq!(AccessReplyMessage::decode(&bytes), Ok(reply));
}

#[test]
fn malformed_announces_and_addresses_are_refused() {
    let with_swarms = |swarms: &[u8]| {
        let mut bytes =
            b"d2:idi7e7:peer id20:pppppppppppppppppppp4:porti6881e8:protocoli5e6:swarms".to_vec();
        bytes.extend(format!("{}:", swarms.len()).bytes());
        bytes.extend(swarms);
        bytes.extend(b"4:type8:announcee");
        AccessRequestMessage::decode(&bytes).map(drop)
    };
    let record = |left: u8, event: u8| {
        let mut record = vec![0; 45];
        (record[36], record[44]) = (left, event);
        record
    };
    assert_eq!(with_swarms(&record(0x7f, 3)), Ok(()));
    let wrong = Err(ControlError::WrongValue("swarms"));
    for swarms in [record(0x80, 0), record(0, 4), vec![0; 44], vec![0; 46]] {
        assert_eq!(with_swarms(&swarms), wrong, "{swarms:?}");
    }
    let with_addresses = |addresses: &[u8]| {
        let mut bytes = b"d6:barred0:2:idi7e8:intervali20e8:protocoli5e6:swarmsld".to_vec();
        bytes.extend(addresses);
        bytes.extend(b"ee4:type5:peerse");
        AccessReplyMessage::decode(&bytes).map(drop)
    };
    assert_eq!(with_addresses(b""), Ok(()));
    let wrong = Err(ControlError::WrongValue("addresses"));
    for addresses in [
        &b"9:addresses5:\x01\x02\x03\x04\x01"[..],
        b"9:addresses6:\x01\x02\x03\x04\0\0",
        b"10:addresses66:\x01\x02\x03\x04\0\x01",
        b"9:addressesle",
    ] {
        assert_eq!(with_addresses(addresses), wrong);
    }
}

#[test]
fn a_certificate_and_the_number_of_values_have_a_largest_length() {
    let reply = |leaf: usize| {
        let answer = AccessAnswer::Certificate {
            leaf: vec![0; leaf],
            authority: vec![0],
            barred: Vec::new(),
            role: Role::Reader,
        };
        let message = AccessReplyMessage {
            id: 1,
            renewed: None,
            only_here: false,
            result: Ok(answer),
        };
        AccessReplyMessage::decode(&message.encode()).map(drop)
    };
    assert_eq!(reply(8 << 10), Ok(()));
    assert_eq!(reply((8 << 10) + 1), Err(ControlError::WrongValue("leaf")));
    let values = |count| format!("l{}e", "i0e".repeat(count)).into_bytes();
    let error = |count| AccessRequestMessage::decode(&values(count)).unwrap_err();
    assert_eq!(error(19_999), ControlError::NoDictionary);
    assert!(matches!(error(20_000), ControlError::Bencode(_)));
}

#[test]
fn a_message_of_another_version_with_any_keys_gets_an_error_that_names_both_versions() {
    let other = |theirs| ControlError::OtherProtocol {
        theirs,
        ours: PROTOCOL,
    };
    // The first version had no key `protocol`.
    for (bytes, theirs) in [
        (&b"d2:idi7e4:type7:clustere"[..], 1),
        (b"d2:idi7e8:protocoli1e4:type7:clustere", 1),
        (b"d2:idi7e8:protocoli2e4:type7:clustere", 2),
        (b"d2:idi7e8:protocoli3e4:type7:clustere", 3),
        (b"d2:idi7e8:protocoli4e4:type7:clustere", 4),
        (b"d8:protocoli7e8:surpriselee", 7),
    ] {
        assert_eq!(AccessRequestMessage::decode(bytes), Err(other(theirs)));
        assert_eq!(AccessReplyMessage::decode(bytes), Err(other(theirs)));
    }
    let text = other(7).to_string();
    assert!(
        text.contains("version 7") && text.contains("version 5"),
        "{text}"
    );
}

#[test]
fn debug_output_shows_no_secrets() {
    for (ask, _) in requests() {
        let request = AccessRequestMessage {
            id: 7,
            token: Some(token()),
            watch: false,
            ask,
        };
        let debug_text = format!("{request:?}");
        assert!(
            !debug_text.contains("p w") && !debug_text.contains("ab-cd"),
            "{debug_text}"
        );
    }
}

proptest! {
    #[test]
    fn decoding_a_damaged_message_never_panics(
        which in any::<prop::sample::Index>(),
        length in 1usize..200,
        byte: u8,
        place in 0usize..200,
    ) {
        let mut bytes = which.get(&requests()).1.to_vec();
        if let Some(changed) = bytes.get_mut(place) {
            *changed = byte;
        }
        bytes.truncate(length);
        let _ = AccessRequestMessage::decode(&bytes);
        let _ = AccessReplyMessage::decode(&bytes);
    }
}
