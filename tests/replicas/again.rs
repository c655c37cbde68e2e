//! A command that got no answer goes on at the other tracker, and is done once: whether the first one did it, told of it,
//! or was killed before it could.

use super::pair::{Pair, log_in};
use super::proxy::Proxy;
use crate::common::control_connection::{
    User, create_user_with_invite, group_request, login_request, new_write, password_of,
};
use crate::common::peer::Peer;
use crate::common::waiting::wait_until;
use pieceful::certificate::MemberKey;
use pieceful::wire::access::{Answer, Ask, KeyRequest, Place, WriteId};
use pieceful::wire::control::InfoPart;
use pieceful::wire::password::Password;
use std::fs;

#[test]
fn what_never_was_is_refused_after_a_tracker_died_too() {
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
    // Each has a line to the first tracker when that dies.
    let mut peers: Vec<Peer> = (0..commands.len())
        .map(|number| pair.peer(&format!("peer{number}"), 1))
        .collect();
    log_in(&mut peers[0], "nik");
    peers[0].run("create_user eve pw-of-eve");
    peers[0].run("create_group lab");
    for peer in &mut peers[1..] {
        peer.run("login nik pw-of-nik");
    }
    pair.kill(1);
    for (peer, (command, kind)) in peers.iter_mut().zip(commands) {
        let told = peer.try_run(command);
        assert_eq!(told["error"]["kind"], kind, "{command}: {told}");
    }
}

/// A member of a pair of trackers, known to both.
struct Both {
    first: User,
    second: User,
}

impl Both {
    fn new(pair: &Pair, name: &str) -> Self {
        let first = User::log_in(pair.connect(1), name);
        let mut second = User {
            name: name.to_owned(),
            token: first.token.clone(),
            connection: pair.connect(2),
        };
        // Long requests are taken from who has shown a session.
        second.groups();
        Self { first, second }
    }

    /// Asks the first tracker, then, as if it had not answered, the second, and the first again.
    fn twice(&mut self, ask: &Ask) {
        for (what, user) in [("first", &mut self.first), ("second", &mut self.second)] {
            assert_eq!(user.ask(ask.clone()), Ok(Answer::Done), "{what}: {ask:?}");
        }
        assert_eq!(self.first.ask(ask.clone()), Ok(Answer::Done), "{ask:?}");
    }

    /// The parts of an info dictionary for a group.
    fn parts(&mut self, group: &str, write: WriteId) -> Vec<Ask> {
        let key = MemberKey::generate().unwrap();
        let request = key.request(self.first.token.as_bytes()).unwrap();
        let certified = self.first.ask(Ask::Certify {
            group: group.parse().unwrap(),
            request: KeyRequest(request),
        });
        let Ok(Answer::Certificate { authority, .. }) = certified else {
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
            parts.push(Ask::Publish {
                write,
                group: group.parse().unwrap(),
                part,
            });
        }
        assert!(parts.len() > 1);
        parts
    }
}

#[test]
fn what_one_tracker_did_and_told_of_the_other_does_not_do_again() {
    let mut pair = Pair::new();
    let invite = pair.console(1, "invite");
    let code = invite.strip_prefix("invite ").unwrap();
    let code = code.split(' ').next().unwrap().to_owned();
    // By an invite, which is used up by it.
    let make = create_user_with_invite("nik", Some(&code));
    for number in [1, 2, 1] {
        let told = pair.connect(number).ask(None, make.clone());
        assert_eq!(told, Ok(Answer::Done), "{number}");
    }
    let other = pair
        .connect(2)
        .ask(None, create_user_with_invite("ada", Some(&code)));
    assert_eq!(other.unwrap_err().kind.as_str(), "invite-used");
    pair.connect(1)
        .ask(None, create_user_with_invite("olga", None))
        .unwrap();
    let (mut nik, mut olga) = (Both::new(&pair, "nik"), Both::new(&pair, "olga"));
    nik.twice(&group_request("create_group lab"));
    olga.twice(&group_request("join_group lab"));
    nik.twice(&group_request("reject_request lab olga"));
    olga.twice(&group_request("join_group lab"));
    nik.twice(&group_request("accept_request lab olga"));
    let parts = nik.parts("lab", new_write());
    for part in &parts {
        nik.first.perform(part.clone());
    }
    // The last part alone: the second tracker has not seen those before it.
    nik.twice(parts.last().unwrap());
    nik.twice(&parts[0]);
    let anew = nik.parts("lab", new_write());
    for (part, is_last) in anew.iter().zip((1..).map(|it| it == anew.len())) {
        let told = nik.second.ask(part.clone());
        let kind = told.as_ref().err().map(|refused| refused.kind.as_str());
        assert_eq!(
            kind,
            Some("share-exists").filter(|_| is_last),
            "another write"
        );
    }
    nik.twice(&Ask::Withdraw {
        write: new_write(),
        group: "lab".parse().unwrap(),
        name: Place::new("many").unwrap(),
    });
    nik.twice(&group_request("remove_member lab olga"));
    // Nobody else's write is taken for one's own.
    let leave = group_request("leave_group lab --yes");
    nik.twice(&leave);
    let told = olga.second.ask(leave);
    assert_eq!(told.unwrap_err().kind.as_str(), "unknown-group");
    let change = Ask::ChangePassword {
        write: new_write(),
        old: password_of("olga"),
        new: Password::new("new").unwrap(),
    };
    for user in [&mut olga.first, &mut olga.second] {
        let told = user.ask(change.clone());
        let Ok(Answer::Session { token, .. }) = told else {
            panic!("{told:?}")
        };
        let held = pair
            .connect(2)
            .ask(Some(&token), group_request("list_groups"));
        assert!(held.is_ok(), "{held:?}");
    }
    // It is not by the write alone that a session begins.
    let guessed = Ask::ChangePassword {
        write: change.write().unwrap(),
        old: password_of("olga"),
        new: Password::new("guessed").unwrap(),
    };
    let told = olga.first.ask(guessed);
    assert_eq!(told.unwrap_err().kind.as_str(), "session-ended");
    nik.twice(&group_request("logout"));
    let dump = pair.same();
    let count = |kind: &str| dump[kind].as_array().unwrap().len();
    let kinds = ["accounts", "groups", "memberships", "shares", "revocations"];
    assert_eq!(kinds.map(count), [2, 1, 3, 1, 1], "{dump}");
    let told = pair
        .connect(1)
        .ask(None, login_request("nik", &password_of("nik")));
    assert!(told.is_ok(), "{told:?}");
}

#[test]
fn what_two_trackers_made_by_one_command_is_one() {
    let mut pair = Pair::new();
    let between = Proxy::new();
    between.lead_to(pair.address(1));
    let info = pair.sandbox.tracker_info();
    fs::write(&info, format!("{}\n{}\n", between.address, pair.address(2))).unwrap();
    let mut nik = pair.sandbox.peer("nik");
    let mut olga = pair.sandbox.peer("olga");
    log_in(&mut nik, "nik");
    log_in(&mut olga, "olga");
    let invite = pair.console(1, "invite");
    let code = invite.strip_prefix("invite ").unwrap();
    let code = code.split(' ').next().unwrap();
    pair.connect(1)
        .ask(None, create_user_with_invite("ada", None))
        .unwrap();
    let mut ada = Both::new(&pair, "ada");
    ada.first.perform(group_request("create_group old"));
    pair.wait_until_in_step();
    // Nothing that the first does is told to the second before it dies.
    pair.proxy.cut();
    wait_until("both know that they are apart", || {
        [1, 2].iter().all(|it| !pair.view(*it).unwrap().twins[0].up)
    });
    for part in ada.parts("old", new_write()) {
        ada.first.perform(part.clone());
        ada.second.perform(part);
    }
    let invited = format!("create_user guest pw-of-guest --invite {code}");
    let steps = [
        (true, invited.as_str(), "user guest is made"),
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
    for (is_nik, command, done) in steps {
        let peer = if is_nik { &mut nik } else { &mut olga };
        pair.does_without_the_answer(peer, &between, command, done);
        for number in [1, 2] {
            let log = pair.log(number);
            assert_eq!(log.matches(done).count(), 1, "{command} at {number}");
        }
    }
    pair.kill(1);
    pair.proxy.mend();
    pair.start(1, &[]);
    pair.wait_until_in_step();
    let dump = pair.same_when_stopped();
    let count = |kind: &str| dump[kind].as_array().unwrap().len();
    let kinds = ["accounts", "groups", "memberships", "shares", "revocations"];
    assert_eq!(kinds.map(count), [4, 2, 3, 1, 1], "{dump}");
    assert!(!dump.to_string().contains('~'), "{dump}");
}
