//! Tokens whose times are wrong, and log-outs with them. The tokens are made here, with the key of
//! the cluster, as a tracker with a wrong clock makes them.

use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::group_request;
use pieceful::certificate::Authority;
use pieceful::storage::LoginFile;
use pieceful::wire::access::{AccessAnswer, AccessRequest, Token};
use ring::hmac;
use serde_json::Value;
use std::fs;

pub(super) const HOUR: u64 = 3_600_000;
/// The longest that a token of any tracker is valid.
const LONGEST: u64 = 90 * 24 * HOUR + 3 * HOUR;
/// Where a token has the times of its issue and expiry, in milliseconds since 1970.
const TIMES: usize = 1 + 16 + 16 + 8 + 4 + 16;

/// A token of the same login that was issued `ahead` milliseconds later and is valid for `lifetime`
/// milliseconds.
pub(super) fn token_at(
    tracker: &AccountTracker,
    token: &Token,
    ahead: u64,
    lifetime: u64,
) -> Token {
    let cluster = fs::read(tracker.sandbox.path("data/cluster.pem")).unwrap();
    let key = Authority::from_pem(&cluster)
        .unwrap()
        .derive_key("pieceful session token v1");
    let mut content = token.as_bytes()[..TIMES + 16].to_vec();
    let issued = u64::from_be_bytes(content[TIMES..TIMES + 8].try_into().unwrap());
    let issued = issued.wrapping_add(ahead);
    content[TIMES..TIMES + 8].copy_from_slice(&issued.to_be_bytes());
    content[TIMES + 8..].copy_from_slice(&(issued + lifetime).to_be_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let signature = hmac::sign(&key, &content);
    content.extend(signature.as_ref());
    Token::new(&content).unwrap()
}

/// `success`, or the kind of the refusal.
fn list_groups(tracker: &AccountTracker, token: &Token) -> String {
    let ask = AccessRequest::ListGroups { after: None };
    match tracker.connect().ask(Some(token), ask) {
        Ok(_) => "success".to_owned(),
        Err(refused) => refused.kind.as_str().to_owned(),
    }
}

#[test]
fn a_token_from_the_future_or_for_too_long_is_refused() {
    let tracker = AccountTracker::new();
    let nik = tracker.user("nik");
    for (ahead, lifetime, expected) in [
        (0, 12 * HOUR, "success"),
        (30_000, 12 * HOUR, "success"),
        (2 * HOUR, 12 * HOUR, "not-serving"),
        (200 * HOUR, 12 * HOUR, "session-ended"),
        (0, LONGEST, "success"),
        (0, LONGEST + 1, "session-ended"),
        (0, 0, "session-ended"),
    ] {
        let token = token_at(&tracker, &nik.token, ahead, lifetime);
        assert_eq!(
            list_groups(&tracker, &token),
            expected,
            "{ahead} {lifetime}"
        );
    }
}

#[test]
fn a_peer_keeps_its_login_when_the_clock_of_its_tracker_was_set_back() {
    let tracker = AccountTracker::new();
    let mut peer = tracker.sandbox.peer("nik");
    peer.run("create_user nik pw-of-nik");
    peer.run("login nik pw-of-nik");
    peer.process.kill();
    let file = LoginFile::new(&tracker.sandbox.state("nik"));
    let mut stored = file.load().unwrap().unwrap();
    let right = stored.token.take().unwrap();
    // The same as a clock that was set back by two hours.
    let ahead = token_at(&tracker, &right, 2 * HOUR, 12 * HOUR);
    stored.token = Some(ahead.clone());
    file.store(&stored).unwrap();
    let mut peer = tracker.sandbox.peer("nik");
    let refused = peer.try_run("list_groups");
    assert_eq!(refused["error"]["kind"], "not-serving", "{refused}");
    assert_eq!(peer.run("status")["user"], "nik");
    peer.process.kill();
    let kept = file.load().unwrap().unwrap().token;
    assert_eq!(kept, Some(ahead));
}

#[test]
fn a_log_out_with_a_token_from_the_future_ends_the_login_until_that_token_has_expired() {
    let tracker = AccountTracker::new();
    let nik = tracker.user("nik");
    let year = 365 * 24 * HOUR;
    let ahead = token_at(&tracker, &nik.token, year, 12 * HOUR);
    let log_out = group_request("logout");
    let answer = tracker.connect().ask(Some(&ahead), log_out);
    assert_eq!(answer, Ok(AccessAnswer::Done));
    assert_eq!(list_groups(&tracker, &nik.token), "session-ended");
    let times = &ahead.as_bytes()[TIMES + 8..TIMES + 16];
    let expires = u64::from_be_bytes(times.try_into().unwrap());
    let (_sandbox, dump) = tracker.stop_and_dump();
    let dump: Value = serde_json::from_str(&dump).unwrap();
    let kept_until = dump["revocations"][0]["expires"].as_u64().unwrap();
    assert!(kept_until >= expires, "{dump}");
}
