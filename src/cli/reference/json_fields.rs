//! Tests that `docs/cli.md` lists the fields of every JSON object, each with its types.
//!
//! The tests print samples of all objects and compare their fields with the document. The samples
//! of an object contain each of its optional fields, and `null` where a field can be `null`.

use super::super::commands::entries;
use super::super::json::{doctor_line, join_line, listening_line, result_line};
use super::super::outcome::{
    AccountOutcome, AwaitedOutcome, CommandOutcome, HolderOutcome, JoinLineOutcome, Joined,
    MachineOutcome, MirrorOutcome, TokenOutcome,
};
use super::assert_documented;
use super::document::items;
use crate::cli::command_error::CommandError;
use crate::peer::{
    AccountError, AutomaticStatus, BegunMirror, Check, ControlStatus, DamagedRecord,
    DownloadPreview, DownloadState, DownloadStatus, ExportedTorrent, Finding, GroupStatus,
    HookKind, HookResult, HookStatus, LinkStatus, ListedFile, LoginEnd, MachineLoginState,
    MachineStatus, MirrorFailure, MirrorStatus, NewShare, NewToken, Repair, Sent, ShareContent,
    ShareStatus, SharedFile, Started, Status, TakenOver, TrackerState, TrackerStatus, Uploaded,
    Verdict, Verified, VersionStatus,
};
use crate::storage::{FaultyFile, FileFault, JoinFiles};
use crate::torrent::{FileCounts, InfoHash};
use crate::wire::access::holder_samples::{holder, mirror as mirror_machine};
use crate::wire::access::{
    DecisionEntry, DecisionOutcome, FileEntry, GroupEntry, GroupRole, LoginEntry, MachineEntry,
    MachineState, MemberEntry, RequestEntry, ShortText, TokenEntry, TokenGroup, TokenState,
};
use crate::wire::machine::SubjectLabel;
use crate::wire::role::Role;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const HASH: InfoHash = InfoHash([7; 20]);

type Object = Map<String, Value>;

/// The commands that have a result of this kind.
fn commands(outcome: &CommandOutcome) -> &'static [&'static str] {
    match outcome {
        CommandOutcome::Sent(_) => &["send"],
        CommandOutcome::Started(_) => &["download", "download_file"],
        CommandOutcome::Preview(_) => &["download_file"],
        CommandOutcome::Verified(_) => &["verify"],
        CommandOutcome::Downloads(_) => &["show_downloads"],
        CommandOutcome::Links(_) => &["show_peers"],
        CommandOutcome::Cancelled(_) => &["cancel"],
        CommandOutcome::Waited(_) => &["wait"],
        CommandOutcome::Status(_) => &["status"],
        CommandOutcome::Help(_) => &["help"],
        CommandOutcome::Uploaded(_) => &["upload_file"],
        CommandOutcome::Content(_) | CommandOutcome::Files(_) => &["list_files"],
        CommandOutcome::Holder(HolderOutcome::Listed(_)) => &["list_holders"],
        CommandOutcome::Holder(HolderOutcome::Waited(_)) => &["wait_for"],
        CommandOutcome::Exported(_) => &["export_torrent"],
        CommandOutcome::StoppedShare(..) => &["stop_share"],
        CommandOutcome::Quit => &["quit", "stop"],
        CommandOutcome::Mirror(outcome) => match outcome {
            MirrorOutcome::Begun(_) => &["mirror"],
            MirrorOutcome::Confirmed { .. } => &["confirm_prune"],
            MirrorOutcome::Ended { .. } => &["unmirror"],
        },
        CommandOutcome::Machine(outcome) => match outcome {
            MachineOutcome::Done(_) => &["revoke_token", "revoke_machine", "allow_machine"],
            MachineOutcome::Token(_) => &["create_token"],
            MachineOutcome::JoinLine(_) => &["create_join"],
            MachineOutcome::Tokens(_) => &["list_tokens"],
            MachineOutcome::Machines(_) => &["list_machines"],
        },
        CommandOutcome::Account(outcome) => match outcome {
            AccountOutcome::Done(_) => &[
                "create_user",
                "change_password",
                "create_group",
                "join_group",
                "leave_group",
                "accept_request",
                "reject_request",
                "remove_member",
                "set_role",
                "rename_group",
                "end_login",
            ],
            AccountOutcome::LoggedIn { .. } => &["login"],
            AccountOutcome::LoggedOut { .. } => &["logout"],
            AccountOutcome::Logins(_) => &["list_logins"],
            AccountOutcome::Groups { .. } => &["list_groups"],
            AccountOutcome::Members(_) => &["list_members"],
            AccountOutcome::Requests(_) => &["list_requests"],
        },
    }
}

fn samples() -> Vec<CommandOutcome> {
    let mut samples = vec![
        CommandOutcome::Sent(Sent {
            share: new_share(),
            torrent: "x.torrent".into(),
        }),
        started(None),
        started(Some(2)),
        preview(None),
        preview(Some(1)),
        CommandOutcome::Verified(Verified {
            name: "x".into(),
            info_hash: HASH,
            path: "/x".into(),
            files: 1,
            bad_pieces: 1,
            faults: vec![FaultyFile {
                path: "/x".into(),
                fault: FileFault::ChangedMeanwhile,
            }],
            repair: Repair::Begun,
        }),
        CommandOutcome::Downloads(downloads()),
        CommandOutcome::Links(links()),
        CommandOutcome::Cancelled("x".into()),
        CommandOutcome::Waited(downloads()),
        CommandOutcome::Status(status(None, None)),
        CommandOutcome::Status(status(None, Some(own_machine(None, Some("no"))))),
        CommandOutcome::Status(status(
            Some("nik".into()),
            Some(own_machine(Some("a/x"), None)),
        )),
        CommandOutcome::Help(None),
        uploaded(None),
        uploaded(Some(2)),
        CommandOutcome::Content(ShareContent {
            name: "x".into(),
            info_hash: HASH,
            version: 1,
            files: vec![SharedFile {
                path: "x".into(),
                length: 1,
            }],
        }),
        CommandOutcome::Files(files()),
        CommandOutcome::Exported(ExportedTorrent {
            name: "x".into(),
            info_hash: HASH,
            torrent: "/x.torrent".into(),
            certificate: "/x.crt".into(),
            key: "/x.key".into(),
            dh: "/x.dh".into(),
            valid_until: 1,
            peers: vec!["127.0.0.1:6881".parse().unwrap()],
        }),
        CommandOutcome::StoppedShare("x".into(), true),
        CommandOutcome::Quit,
        CommandOutcome::Mirror(MirrorOutcome::Begun(BegunMirror {
            group: "x".into(),
            folder: "/x".into(),
            shares: 1,
        })),
        CommandOutcome::Mirror(MirrorOutcome::Confirmed {
            group: "x".into(),
            shares: vec!["x".into()],
        }),
        CommandOutcome::Mirror(MirrorOutcome::Ended {
            group: "x".into(),
            folder: "/x".into(),
        }),
    ];
    samples.extend(account_samples().into_iter().map(CommandOutcome::Account));
    samples.extend(holder_samples().into_iter().map(CommandOutcome::Holder));
    samples.extend(machine_samples().into_iter().map(CommandOutcome::Machine));
    samples
}

fn started(version: Option<u32>) -> CommandOutcome {
    CommandOutcome::Started(Started {
        name: "x".into(),
        info_hash: HASH,
        path: "/x".into(),
        already: false,
        taken_over: TakenOver::Nothing,
        version,
        replaces: version,
    })
}

fn preview(replaces: Option<u32>) -> CommandOutcome {
    CommandOutcome::Preview(DownloadPreview {
        name: "x".into(),
        info_hash: HASH,
        path: "/x".into(),
        version: 2,
        replaces,
        length: 9,
        to_fetch: 5,
        files: FileCounts::default(),
    })
}

fn uploaded(version: Option<u32>) -> CommandOutcome {
    CommandOutcome::Uploaded(Uploaded {
        share: new_share(),
        again: false,
        version,
    })
}

fn in_group(number: Option<u32>) -> GroupStatus {
    GroupStatus {
        name: "lab".into(),
        version: number.map(|number| VersionStatus {
            share: "x".into(),
            number,
            is_only: true,
        }),
    }
}

fn new_share() -> NewShare {
    NewShare {
        name: "x".into(),
        info_hash: HASH,
        length: 1,
        pieces: 1,
        empty_folders: vec!["logs".into()],
    }
}

fn account_samples() -> Vec<AccountOutcome> {
    let (lab, nik) = (|| "lab".parse().unwrap(), || "nik".parse().unwrap());
    let entry = |user: Option<crate::wire::name::Label>, role| DecisionEntry {
        group: lab(),
        outcome: DecisionOutcome::Accepted,
        user: user.map(Into::into),
        role,
        decided_at: 0,
    };
    let login = |host| LoginEntry {
        id: "00ab12ff".parse().unwrap(),
        host,
        from: "::1".parse().unwrap(),
        made_at: 0,
        used_at: 0,
        is_present: true,
    };
    let news = || vec![entry(Some(nik()), None), entry(None, Some(Role::Owner))];
    let group = |owner, own_role| GroupEntry {
        name: lab(),
        owner,
        members: 1,
        role: GroupRole::Owner,
        own_role,
    };
    vec![
        AccountOutcome::Done("done".into()),
        AccountOutcome::LoggedIn {
            user: nik(),
            news: news(),
        },
        AccountOutcome::LoggedOut {
            user: SubjectLabel::User(nik()),
            at_trackers: true,
        },
        AccountOutcome::Groups {
            groups: vec![group(None, None), group(Some(nik()), Some(Role::Owner))],
            news: news(),
        },
        AccountOutcome::Logins(vec![login(None), login("gpu1".parse().ok())]),
        AccountOutcome::Members(vec![MemberEntry {
            name: nik(),
            since: 0,
            role: Role::Owner,
        }]),
        AccountOutcome::Requests(vec![RequestEntry {
            name: nik(),
            asked_at: 0,
        }]),
    ]
}

fn holder_samples() -> [HolderOutcome; 2] {
    let mut unknown_host = holder(2, 1, 3, 4_000);
    unknown_host.holder.host = None;
    let mut silent_mirror = mirror_machine(2, 9_000);
    silent_mirror.holder.host = None;
    [
        HolderOutcome::Listed(vec![holder(1, 1, 0, 0), unknown_host.clone()]),
        HolderOutcome::Waited(AwaitedOutcome {
            version: holder(1, 1, 0, 0).version,
            holders: vec![holder(1, 1, 0, 0), unknown_host],
            left_out: vec![mirror_machine(1, 9_000), silent_mirror],
        }),
    ]
}

fn machine_samples() -> Vec<MachineOutcome> {
    let label = || "ann/x".parse().unwrap();
    let new = |enrol_seconds| NewToken {
        groups: vec!["lab".parse().unwrap()],
        role: Role::Reader,
        machines: 1,
        enrol_seconds,
        name: None,
    };
    let token = |enrols_until| TokenEntry {
        label: label(),
        groups: machine_groups(),
        state: TokenState::Open,
        enrolled: 0,
        machines: 1,
        made_at: 0,
        enrols_until,
    };
    let machine = |token, role, started_at| MachineEntry {
        label: label(),
        token,
        role,
        state: MachineState::Started,
        enrolled_at: 0,
        started_at,
    };
    let created = |enrol_seconds| {
        MachineOutcome::Token(TokenOutcome {
            label: label(),
            text: "token-0".into(),
            new: new(enrol_seconds),
        })
    };
    vec![
        MachineOutcome::Done("done".into()),
        created(None),
        created(Some(60)),
        MachineOutcome::JoinLine(JoinLineOutcome {
            label: label(),
            line: "join-0".into(),
            new: new(Some(60)),
        }),
        MachineOutcome::Tokens(vec![token(None), token(Some(1))]),
        MachineOutcome::Machines(vec![
            machine(None, None, None),
            machine(Some(label()), Some(Role::Reader), Some(1)),
        ]),
    ]
}

fn machine_groups() -> Vec<TokenGroup> {
    vec![TokenGroup {
        group: "lab".parse().unwrap(),
        role: Role::Reader,
    }]
}

#[test]
fn the_fields_of_a_join_are_documented() {
    let joined = |groups| Joined {
        machine: "ann/x".parse().unwrap(),
        groups,
        files: JoinFiles::of("/s".as_ref()),
        run: "pieceful peer".into(),
    };
    let error = AccountError::NoToken.into();
    let lines = [
        join_line(&Ok(&joined(None))),
        join_line(&Ok(&joined(Some(machine_groups())))),
        join_line(&Err(error)),
    ];
    let objects = lines.each_ref().map(|line| parse_object(line));
    assert_object_documented("### Fields of `join`", &objects);
}

fn downloads() -> Vec<DownloadStatus> {
    let download = |group, state, trouble| DownloadStatus {
        info_hash: HASH,
        name: "x".into(),
        group,
        state,
        bytes_done: 1,
        bytes_total: 2,
        elapsed: Duration::from_secs(1),
        rate: 1,
        peers: 1,
        from: vec![("disk".into(), 1)],
        path: "/x".into(),
        trouble,
    };
    let failed = DownloadState::Failed("disk full".into());
    vec![
        download(None, failed, None),
        download(None, DownloadState::Checking(50), None),
        download(
            Some(in_group(Some(2))),
            DownloadState::Downloading,
            Some("no owner".into()),
        ),
    ]
}

fn links() -> Vec<LinkStatus> {
    let link = |name: Option<String>| LinkStatus {
        share: "x".into(),
        address: ([127, 0, 0, 1], 1).into(),
        claimed_name: name.clone(),
        name,
        client: "x 1".into(),
        outgoing: true,
        pieces: (1, 2),
        downloaded: 1,
        uploaded: 1,
    };
    vec![link(None), link(Some("x".into()))]
}

fn files() -> Vec<ListedFile> {
    let file = |publisher, note: Option<&str>| ListedFile {
        entry: FileEntry {
            name: ShortText::new("x").unwrap(),
            version: 1,
            versions: 1,
            note: note.map(|note| note.parse().unwrap()),
            info_hash: HASH,
            length: 1,
            publisher,
            published_at: 0,
            complete: 1,
            partial: 1,
        },
        here: true,
    };
    vec![
        file(None, None),
        file(Some("nik".parse().unwrap()), Some("x")),
    ]
}

fn own_machine(label: Option<&str>, trouble: Option<&str>) -> MachineStatus {
    MachineStatus {
        label: label.map(|label| label.parse().unwrap()),
        state: MachineLoginState::Waiting,
        trouble: trouble.map(str::to_owned),
        groups: machine_groups(),
    }
}

fn status(user: Option<String>, machine: Option<MachineStatus>) -> Box<Status> {
    let share = |group, trouble| ShareStatus {
        group,
        info_hash: HASH,
        name: "x".into(),
        length: 1,
        uploaded: 1,
        peers: 1,
        trouble,
    };
    let tracker = |reachable, trouble, control| TrackerStatus {
        url: "http://t/".into(),
        reachable,
        trouble,
        control,
    };
    let control = ControlStatus {
        tracker: "t:1".into(),
        state: TrackerState::Serving,
        lag: Some(0),
        trouble: None,
    };
    Box::new(Status {
        address: ([127, 0, 0, 1], 1).into(),
        name: String::new(),
        login_expires: user.as_ref().map(|_| 1),
        login_end: user
            .as_ref()
            .and_then(|user| Some(LoginEnd::Over(user.parse().ok()?))),
        user,
        machine,
        shares: vec![
            share(None, None),
            share(Some(in_group(Some(2))), Some("gone".into())),
        ],
        downloads: downloads(),
        trackers: vec![
            tracker(None, None, None),
            tracker(Some(true), Some("refused".into()), Some(control)),
        ],
        links: 1,
        damaged: vec![DamagedRecord {
            path: "/s/records/7".into(),
            info_hash: None,
            may_lose_download: false,
            message: "damaged".into(),
        }],
        automatic: AutomaticStatus {
            hooks: hooks(),
            mirrors: vec![mirror(None, None), mirror(Some(1), Some("no"))],
        },
    })
}

fn mirror(shares: Option<usize>, trouble: Option<&str>) -> MirrorStatus {
    MirrorStatus {
        group: "x".into(),
        user: "x".into(),
        folder: "/x".into(),
        shares,
        complete: 0,
        trouble: trouble.map(str::to_owned),
        waits: vec!["x".into()],
        to_confirm: vec!["x".into()],
        failures: vec![MirrorFailure {
            name: "x".into(),
            reason: "no".into(),
            attempts: 1,
            again_in: Duration::from_secs(5),
        }],
        left: vec!["/x".into()],
    }
}

fn hooks() -> Vec<HookStatus> {
    let hook = |running: Option<&str>, last| HookStatus {
        kind: HookKind::Complete,
        running: running.map(str::to_owned),
        waiting: 1,
        last,
    };
    let last = HookResult {
        name: "x".into(),
        ended_ms: 1,
        is_success: true,
        text: "exit code 0".into(),
    };
    vec![hook(None, None), hook(Some("x"), Some(last))]
}

#[test]
fn the_fields_of_doctor_are_documented() {
    let finding = |advice: Option<&str>| Finding {
        check: Check::Clock,
        verdict: Verdict::Good,
        text: "x".into(),
        advice: advice.map(str::to_owned),
    };
    let line = doctor_line(&[finding(None), finding(Some("y"))]);
    assert_object_documented("### Fields of `doctor`", &[parse_object(&line)]);
}

fn parse_object(line: &str) -> Object {
    serde_json::from_str(line).unwrap()
}

fn value_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(values) if matches!(values[..], [Value::String(_), ..]) => "list of strings",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// Compares all samples of an object with the list below a heading of the document, and then the
/// objects inside it with their own lists.
fn assert_object_documented(heading: &str, objects: &[Object]) {
    let documented = items(heading);
    let mut types: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in objects.iter().flatten() {
        types.entry(name).or_default().insert(value_type(value));
    }
    let program = types.keys().map(|name| (*name).to_owned());
    let document = documented.iter().flat_map(|item| item.names.clone());
    assert_documented(heading, program, document);
    for item in documented {
        let [name] = item.names.as_slice() else {
            panic!("{heading}: more than one name: {item:?}");
        };
        let (plain, inner) = match item.value_type.split_once('`') {
            Some((before, inner)) => (before, inner.strip_suffix('`')),
            None => (item.value_type.as_str(), None),
        };
        let plain = plain.trim_end().trim_end_matches(" of");
        let documented_types: BTreeSet<&str> = plain.split(" or ").collect();
        assert_eq!(types[name.as_str()], documented_types, "{heading}: {name}");
        if let Some(inner) = inner {
            let values = objects.iter().filter_map(|object| object.get(name));
            let inside: Vec<Object> = values.flat_map(objects_inside).collect();
            assert!(!inside.is_empty(), "{heading}: no sample of {inner}");
            assert_object_documented(&format!("### Object `{inner}`"), &inside);
        } else {
            let is_list = documented_types.contains("list");
            assert!(!is_list, "{heading}: {name}: the list has no object name");
        }
    }
}

fn objects_inside(value: &Value) -> Vec<Object> {
    match value {
        Value::Object(object) => vec![object.clone()],
        Value::Array(values) => values.iter().flat_map(objects_inside).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_fields_of_the_first_line_are_documented() {
    let first = parse_object(&listening_line(([127, 0, 0, 1], 1).into()));
    assert_object_documented("### Fields of the first line", &[first]);
}

#[test]
fn the_fields_of_every_command_are_documented() {
    let common = result_line("wait", &Err(CommandError::NotText), true);
    let common = parse_object(&common);
    assert_object_documented("### Fields of every command", std::slice::from_ref(&common));
    let mut objects: BTreeMap<&str, Vec<Object>> = BTreeMap::new();
    for outcome in samples() {
        let commands = commands(&outcome);
        let mut object = parse_object(&result_line("x", &Ok(outcome), false));
        object.retain(|name, _| !common.contains_key(name));
        for command in commands {
            objects.entry(command).or_default().push(object.clone());
        }
    }
    // `torrent` is another way to type `send`, `download` or `quit`, and prints their objects. So
    // its section lists no fields.
    objects.insert("torrent", Vec::new());
    for entry in entries() {
        let samples = objects.remove(entry.name);
        let samples = samples.unwrap_or_else(|| panic!("no sample of {}", entry.name));
        assert_object_documented(&format!("### `{}`", entry.usage()), &samples);
    }
    assert!(objects.is_empty(), "no such commands: {:?}", objects.keys());
}
