//! The quotas of a tracker: how many accounts one address may create, and how much one user may
//! have. The operator sees how much each user has.

use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{
    ControlConnection, User, connect_from, create_user_request, create_user_request_with_invite,
    group_request, new_write, password_of,
};
use crate::common::group_info::{group_authority, group_info};
use pieceful::torrent::Info;
use pieceful::wire::access::{AccessAnswer, AccessRefusal, AccessRequest, ShortText};
use pieceful::wire::control::{InfoPart, MAX_PART};

/// The kind of a refusal, or `success`.
fn kind(answer: Result<AccessAnswer, AccessRefusal>) -> String {
    match answer {
        Ok(_) => "success".to_owned(),
        Err(refused) => refused.kind.as_str().to_owned(),
    }
}

/// Uploads an info dictionary, until a part of it is refused. Returns the [`kind`] of the last
/// answer.
fn publish(user: &mut User, group: &str, info: &[u8]) -> String {
    let request = |offset| AccessRequest::Publish {
        write: new_write(),
        group: group.parse().unwrap(),
        part: InfoPart::of(info, offset).unwrap(),
        update: false,
        note: None,
    };
    let mut offset = 0;
    loop {
        let answer = kind(user.ask(request(offset)));
        offset += MAX_PART as u32;
        if answer != "success" || offset as usize >= info.len() {
            return answer;
        }
    }
}

#[test]
fn an_address_creates_a_limited_number_of_accounts_and_more_with_invites() {
    let mut tracker = AccountTracker::with(&["--max-new-accounts", "3"]);
    let mut connection = ControlConnection::over(connect_from(1, tracker.address())).unwrap();
    let mut create = |name: &str, invite: Option<&str>| {
        kind(connection.ask(None, create_user_request_with_invite(name, invite)))
    };
    assert_eq!(create("user1", None), "success");
    // A refused account is not counted.
    assert_eq!(create("user1", None), "name-taken");
    assert_eq!(create("user2", None), "success");
    assert_eq!(create("user3", None), "success");
    assert_eq!(create("user4", None), "quota");
    let invite = tracker.console("invite");
    let code = invite.strip_prefix("invite ").unwrap();
    assert_eq!(create("user4", Some(code)), "success");
    let mut elsewhere = ControlConnection::over(connect_from(2, tracker.address())).unwrap();
    let answer = elsewhere.ask(None, create_user_request("user5"));
    assert_eq!(
        answer,
        Ok(AccessAnswer::Done),
        "the quota of one address limits no other address"
    );
    // The quota does not limit the operator.
    tracker.process.write_line("create_user user6");
    let password = password_of("user6");
    assert_eq!(tracker.console(password.expose()), "user user6 created");
}

#[test]
fn a_user_has_a_limited_number_of_groups_and_shares_and_bytes_of_metadata() {
    let arguments = [
        "--max-groups",
        "2",
        "--max-shares",
        "3",
        "--max-metadata",
        "16K",
    ];
    let mut tracker = AccountTracker::with(&arguments);
    let mut nik = tracker.user("nik");
    for group in ["lab", "den"] {
        nik.perform(group_request(&format!("create_group {group}")));
    }
    let more = nik.ask(group_request("create_group more"));
    assert_eq!(kind(more), "quota");
    nik.perform(group_request("leave_group den --yes"));
    nik.perform(group_request("create_group more"));
    let authority = group_authority(&mut nik, "lab");
    let info = |name: &str, pieces| group_info(name, (pieces, 1), name, &authority);
    // An info dictionary has 20 bytes for each piece.
    assert_eq!(publish(&mut nik, "lab", &info("large", 820)), "quota");
    assert_eq!(publish(&mut nik, "lab", &info("a", 500)), "success");
    assert_eq!(publish(&mut nik, "lab", &info("b", 500)), "quota");
    for name in ["c", "d"] {
        assert_eq!(publish(&mut nik, "lab", &info(name, 1)), "success");
    }
    assert_eq!(publish(&mut nik, "lab", &info("e", 1)), "quota");
    // Each user has separate quotas.
    let mut uma = tracker.user("uma");
    uma.perform(group_request("create_group hers"));
    assert_eq!(
        tracker.console("usage").split("  ").last(),
        Some("2 groups")
    );
    assert_eq!(
        tracker.process.line(),
        "uma  0 B of metadata  0 shares  1 group"
    );
    // The quotas hold after a restart too. A share that is withdrawn no longer counts.
    let line = tracker.console("usage");
    let (user, amounts) = line.split_once("  ").unwrap();
    let (metadata, counts) = amounts.split_once("  ").unwrap();
    assert_eq!((user, counts), ("nik", "3 shares  2 groups"), "{line}");
    let kib = metadata.strip_suffix(" KiB of metadata").unwrap();
    assert!(
        (10.0..16.0).contains(&kib.parse::<f64>().unwrap()),
        "{line}"
    );
    tracker.process.line();
    drop((nik, uma));
    let mut tracker = AccountTracker::with_data(tracker.kill(), &arguments);
    let mut nik = User::log_in(tracker.connect(), "nik");
    assert_eq!(tracker.console("usage"), line);
    assert_eq!(publish(&mut nik, "lab", &info("e", 1)), "quota");
    nik.perform(AccessRequest::Withdraw {
        write: new_write(),
        group: "lab".parse().unwrap(),
        name: ShortText::new("a").unwrap(),
        seen: Info::parse(&info("a", 500)).unwrap().info_hash(),
    });
    assert_eq!(publish(&mut nik, "lab", &info("b", 500)), "success");
}

#[test]
fn unfinished_uploads_do_not_prevent_another_user_from_publishing() {
    let tracker = AccountTracker::new();
    let slow: Vec<User> = (0..8)
        .map(|number| {
            let mut user = tracker.user(&format!("slow{number}"));
            let group = format!("group{number}");
            user.perform(group_request(&format!("create_group {group}")));
            // The first part of a dictionary of the maximum length.
            user.perform(AccessRequest::Publish {
                write: new_write(),
                group: group.parse().unwrap(),
                part: InfoPart::new(0, 16 << 20, vec![b'd'; 64 << 10]).unwrap(),
                update: false,
                note: None,
            });
            user
        })
        .collect();
    let mut nik = tracker.user("nik");
    nik.perform(group_request("create_group lab"));
    let authority = group_authority(&mut nik, "lab");
    // The eight uploads have promised all the bytes that unfinished uploads may have together. This
    // dictionary has several parts, so the tracker must end one of these uploads to make room.
    let info = group_info("large", (40_000, 1), "large", &authority);
    assert!(info.len() > MAX_PART);
    assert_eq!(publish(&mut nik, "lab", &info), "success");
    drop(slow);
}
