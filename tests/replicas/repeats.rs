//! Repeated commands: a command without an answer is sent again to the other tracker and takes
//! effect once, whether or not the first tracker executed it and replicated it.

use super::pair::{Pair, create_and_log_in};
use crate::common::control_connection::{
    User, create_user_request_with_invite, group_request, login_request, new_write, password_of,
};
use crate::common::peer::Peer;
use pieceful::certificate::MemberKey;
use pieceful::wire::access::{AccessAnswer, AccessRequest, KeyRequest, ShortText, WriteId};
use pieceful::wire::control::InfoPart;
use pieceful::wire::password::Password;

#[test]
fn commands_that_must_fail_also_fail_after_a_tracker_was_killed() {
    let mut pair = Pair::new();
    let commands = [
        ("leave_group nosuch", "unknown-group"),
        ("remove_member lab eve", "unknown-member"),
        ("accept_request lab eve", "no-request"),
        ("stop_share lab nothing", "unknown-share"),
        ("join_group lab", "already-a-member"),
        ("create_group lab", "name-taken"),
        ("create_user eve pw-of-eve", "name-taken"),
    ];
    // Each peer has a control connection to the first tracker when this tracker is killed.
    let mut peers: Vec<Peer> = (0..commands.len())
        .map(|number| pair.peer(&format!("peer{number}"), 1))
        .collect();
    create_and_log_in(&mut peers[0], "nik");
    peers[0].run("create_user eve pw-of-eve");
    peers[0].run("create_group lab");
    for peer in &mut peers[1..] {
        peer.run("login nik pw-of-nik");
    }
    pair.kill(1);
    for (peer, (command, kind)) in peers.iter_mut().zip(commands) {
        let object = peer.try_run(command);
        assert_eq!(object["error"]["kind"], kind, "{command}: {object}");
    }
}

/// A user who is connected to both trackers.
struct UserAtBoth {
    first: User,
    second: User,
}

impl UserAtBoth {
    fn new(pair: &Pair, name: &str) -> Self {
        let first = User::log_in(pair.connect(1), name);
        let mut second = User {
            name: name.to_owned(),
            token: first.token.clone(),
            connection: pair.connect(2),
        };
        // A tracker accepts long requests only after it has seen a valid token.
        second.groups();
        Self { first, second }
    }

    /// Sends a request to the first tracker and then, as if no answer had come, to the second and
    /// to the first again.
    fn perform_three_times(&mut self, ask: &AccessRequest) {
        for (what, user) in [("first", &mut self.first), ("second", &mut self.second)] {
            assert_eq!(
                user.ask(ask.clone()),
                Ok(AccessAnswer::Done),
                "{what}: {ask:?}"
            );
        }
        assert_eq!(
            self.first.ask(ask.clone()),
            Ok(AccessAnswer::Done),
            "{ask:?}"
        );
    }

    /// Returns the requests that publish a large info dictionary, one request for each part.
    fn publish_requests(&mut self, group: &str, write: WriteId) -> Vec<AccessRequest> {
        let key = MemberKey::generate().unwrap();
        let request = key.request(self.first.token.as_bytes()).unwrap();
        let certified = self.first.ask(AccessRequest::Certify {
            group: group.parse().unwrap(),
            request: KeyRequest(request),
        });
        let Ok(AccessAnswer::Certificate { authority, .. }) = certified else {
            panic!("{certified:?}")
        };
        let pem = String::from_utf8(authority).unwrap();
        let pieces = 40_000;
        let info = format!(
            "d6:lengthi{}e4:name4:many12:piece lengthi16384e6:pieces{}:{}7:privatei1e8:ssl-cert{}:{pem}e",
            pieces * 16_384,
            pieces * 20,
            "h".repeat(pieces * 20),
            pem.len()
        );
        let (mut offset, mut parts) = (0, Vec::new());
        while (offset as usize) < info.len() {
            let part = InfoPart::of(info.as_bytes(), offset).unwrap();
            offset = part.end();
            parts.push(AccessRequest::Publish {
                write,
                group: group.parse().unwrap(),
                part,
                update: false,
                note: None,
            });
        }
        assert!(parts.len() > 1);
        parts
    }
}

/// Sends the same request to create an account three times. One account is created, and uses up the
/// invite.
fn create_nik_by_invite(pair: &mut Pair) {
    let code = pair.invite_code();
    let create = create_user_request_with_invite("nik", Some(&code));
    for number in [1, 2, 1] {
        let answer = pair.connect(number).ask(None, create.clone());
        assert_eq!(answer, Ok(AccessAnswer::Done), "{number}");
    }
    let second_use = pair
        .connect(2)
        .ask(None, create_user_request_with_invite("ada", Some(&code)));
    assert_eq!(second_use.unwrap_err().kind.as_str(), "invite-used");
}

/// Publishes and withdraws a share by repeated requests.
fn publish_and_withdraw(nik: &mut UserAtBoth) {
    let parts = nik.publish_requests("lab", new_write());
    for part in &parts {
        nik.first.perform(part.clone());
    }
    // The second tracker did not get the parts above. It reports success because it knows that the
    // write was done.
    nik.perform_three_times(parts.last().unwrap());
    nik.perform_three_times(&parts[0]);
    let other_parts = nik.publish_requests("lab", new_write());
    for (part, is_last) in other_parts
        .iter()
        .zip((1..).map(|number| number == other_parts.len()))
    {
        let answer = nik.second.ask(part.clone());
        let kind = answer.as_ref().err().map(|refused| refused.kind.as_str());
        assert_eq!(
            kind,
            Some("share-exists").filter(|_| is_last),
            "another write"
        );
    }
    let group = "lab".parse().unwrap();
    let listed = nik.first.ask(AccessRequest::ListFiles {
        group,
        versions: false,
        after: None,
    });
    let Ok(AccessAnswer::Files { page, .. }) = listed else {
        panic!("{listed:?}")
    };
    nik.perform_three_times(&AccessRequest::Withdraw {
        write: new_write(),
        group: "lab".parse().unwrap(),
        name: ShortText::new("many").unwrap(),
        seen: page.entries[0].info_hash,
    });
}

/// Sends one change of olga's password to both trackers. Each answers with a valid login. Another
/// change with the same write id is refused.
fn change_password(pair: &Pair, olga: &mut UserAtBoth) {
    let change = AccessRequest::ChangePassword {
        write: new_write(),
        old: password_of("olga"),
        new: Password::new("new password").unwrap(),
    };
    for user in [&mut olga.first, &mut olga.second] {
        let answer = user.ask(change.clone());
        let Ok(AccessAnswer::LoggedIn { token, .. }) = answer else {
            panic!("{answer:?}")
        };
        let listed = pair
            .connect(2)
            .ask(Some(&token), group_request("list_groups"));
        assert!(listed.is_ok(), "{listed:?}");
    }
    // The id of a write is not enough for a new login.
    let guessed = AccessRequest::ChangePassword {
        write: change.write_id().unwrap(),
        old: password_of("olga"),
        new: Password::new("guessed").unwrap(),
    };
    let answer = olga.first.ask(guessed);
    assert_eq!(answer.unwrap_err().kind.as_str(), "session-ended");
}

#[test]
fn a_request_that_one_tracker_executed_and_replicated_is_not_executed_again() {
    let mut pair = Pair::new();
    create_nik_by_invite(&mut pair);
    pair.connect(1)
        .ask(None, create_user_request_with_invite("olga", None))
        .unwrap();
    let (mut nik, mut olga) = (
        UserAtBoth::new(&pair, "nik"),
        UserAtBoth::new(&pair, "olga"),
    );
    nik.perform_three_times(&group_request("create_group lab"));
    olga.perform_three_times(&group_request("join_group lab"));
    nik.perform_three_times(&group_request("reject_request lab olga"));
    olga.perform_three_times(&group_request("join_group lab"));
    nik.perform_three_times(&group_request("accept_request lab olga"));
    publish_and_withdraw(&mut nik);
    nik.perform_three_times(&group_request("remove_member lab olga"));
    // The same write id from another user is not the same write.
    let leave = group_request("leave_group lab --yes");
    nik.perform_three_times(&leave);
    let answer = olga.second.ask(leave);
    assert_eq!(answer.unwrap_err().kind.as_str(), "unknown-group");
    change_password(&pair, &mut olga);
    nik.perform_three_times(&group_request("logout"));
    let dump = pair.assert_same();
    let count = |kind: &str| dump[kind].as_array().unwrap().len();
    let kinds = ["accounts", "groups", "memberships", "shares", "revocations"];
    assert_eq!(kinds.map(count), [2, 1, 3, 1, 1], "{dump}");
    let answer = pair
        .connect(1)
        .ask(None, login_request("nik", &password_of("nik")));
    assert!(answer.is_ok(), "{answer:?}");
}

#[test]
fn a_command_that_both_trackers_executed_during_a_split_has_one_effect() {
    let mut pair = Pair::new();
    let (peer_proxy, mut nik, mut olga) = pair.peers_behind_proxy();
    let code = pair.invite_code();
    pair.connect(1)
        .ask(None, create_user_request_with_invite("ada", None))
        .unwrap();
    let mut ada = UserAtBoth::new(&pair, "ada");
    ada.first.perform(group_request("create_group old"));
    pair.wait_until_in_sync();
    // From now on the first tracker replicates nothing to the second.
    pair.split();
    for part in ada.publish_requests("old", new_write()) {
        ada.first.perform(part.clone());
        ada.second.perform(part);
    }
    let invited = format!("create_user guest pw-of-guest --invite {code}");
    let steps = [
        (true, invited.as_str(), "user guest is created"),
        (true, "create_group lab", "nik at 127.0.0.1 makes group lab"),
        (
            false,
            "join_group lab",
            "olga at 127.0.0.1 asks to join lab",
        ),
        (true, "accept_request lab olga", "accepts olga into lab"),
        (false, "leave_group lab", "olga at 127.0.0.1 leaves lab"),
        (false, "logout", "olga at 127.0.0.1 logs out"),
    ];
    for (is_nik, command, logged) in steps {
        let peer = if is_nik { &mut nik } else { &mut olga };
        pair.run_without_first_answer(peer, &peer_proxy, command, logged);
        for number in [1, 2] {
            let log = pair.log(number);
            assert_eq!(log.matches(logged).count(), 1, "{command} at {number}");
        }
    }
    pair.kill(1);
    pair.proxy.mend();
    pair.start(1, &[]);
    pair.wait_until_in_sync();
    let dump = pair.stop_and_assert_same();
    let count = |kind: &str| dump[kind].as_array().unwrap().len();
    let kinds = ["accounts", "groups", "memberships", "shares", "revocations"];
    assert_eq!(kinds.map(count), [4, 2, 3, 1, 1], "{dump}");
    assert!(!dump.to_string().contains('~'), "{dump}");
}
