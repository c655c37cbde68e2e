//! Accounts and groups as text.

use super::download::in_parentheses;
use super::list::lines_of;
use crate::base::{command_text, escape};
use crate::cli::outcome::AccountOutcome;
use crate::cli::units::{counted, size};
use crate::peer::{ExportedTorrent, ListedFile};
use crate::wire::access::{
    DecisionEntry, DecisionOutcome, GroupEntry, GroupRole, LoginEntry, MemberEntry, RequestEntry,
};
use crate::wire::name::Label;
use crate::wire::note::Note;
use crate::wire::role::Role;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The lines of a result.
pub(super) fn outcome_lines(outcome: &AccountOutcome) -> Vec<String> {
    match outcome {
        AccountOutcome::Done(line) => vec![line.clone()],
        AccountOutcome::LoggedIn { user, news } => {
            let mut lines = vec![format!("logged in as {user}")];
            lines.extend(news_lines(news));
            lines
        }
        AccountOutcome::LoggedOut { user, at_trackers } => vec![match at_trackers {
            true => format!("logged out {user}"),
            false => format!(
                "logged out {user} at this peer; no tracker has confirmed it, so trackers accept the login until it has not been used for as long as they allow, by default 30 days"
            ),
        }],
        AccountOutcome::Groups { groups, news } => {
            let mut lines = lines_of(groups, group_line, "no groups");
            lines.extend(news_lines(news));
            lines
        }
        AccountOutcome::Logins(logins) => lines_of(logins, login_line, "no logins"),
        AccountOutcome::Members(members) => lines_of(members, member_line, "no members"),
        AccountOutcome::Requests(requests) => lines_of(requests, request_line, "no open requests"),
    }
}

/// If a group has more requests to join than this, they are shown as one line.
const MAX_SHOWN_REQUESTS: usize = 5;

/// The lines of news: one for each entry, but only one for many requests to join the same group.
pub(in crate::cli) fn news_lines(news: &[DecisionEntry]) -> Vec<String> {
    let mut many_requests: BTreeMap<&Label, usize> = BTreeMap::new();
    for entry in news.iter().filter(|entry| is_request(entry)) {
        *many_requests.entry(&entry.group).or_default() += 1;
    }
    many_requests.retain(|_, count| *count > MAX_SHOWN_REQUESTS);
    let has_own_line =
        |entry: &&DecisionEntry| !is_request(entry) || !many_requests.contains_key(&entry.group);
    let mut lines: Vec<String> = news.iter().filter(has_own_line).map(news_line).collect();
    lines.extend(many_requests.iter().map(|(group, count)| {
        let list = command_text("list_requests", &[&group.to_string()], &[]);
        format!("{group}: {count} users ask to join; {list} shows them")
    }));
    lines
}

fn is_request(entry: &DecisionEntry) -> bool {
    entry.outcome == DecisionOutcome::Requested
}

/// A decision of others about the user, or a request to join a group of the user.
fn news_line(entry: &DecisionEntry) -> String {
    let group = &entry.group;
    let who = entry
        .user
        .as_ref()
        .map_or("-".to_owned(), ToString::to_string);
    match entry.outcome {
        DecisionOutcome::Requested => {
            let accept = command_text("accept_request", &[&group.to_string(), &who], &[]);
            format!("{group}: {who} asks to join; to accept, type: {accept}")
        }
        DecisionOutcome::Accepted => {
            format!("{group}: your request was accepted, you are a member")
        }
        DecisionOutcome::Rejected => format!("{group}: your request was rejected"),
        DecisionOutcome::Removed => format!("{group}: an owner removed you"),
        DecisionOutcome::GotRole => {
            let role = entry.role.map_or("-", Role::as_str);
            format!("{group}: an owner has changed your role: you are {role} now")
        }
        DecisionOutcome::GroupEnded => {
            format!("{group}: the group ended before your request was answered")
        }
        DecisionOutcome::MachineSuspended => format!(
            "{group}: the machine {who} was suspended, because copies of its files are in use; \
             allow_machine lets its next start go on, revoke_machine ends it"
        ),
        DecisionOutcome::TokenRefused => format!(
            "{group}: another machine tried to enrol with the token {who}, which is used up; \
             if that was not you, revoke_token ends it"
        ),
    }
}

fn login_line(login: &LoginEntry) -> String {
    let host = login.host.as_ref().map(ToString::to_string);
    let host = host.as_deref().unwrap_or("-");
    let here = if login.is_present { "  this peer" } else { "" };
    format!(
        "{}  {host}  {}  began {}  used {}{here}",
        login.id,
        login.from,
        time(login.made_at),
        time(login.used_at),
    )
}

fn group_line(group: &GroupEntry) -> String {
    let owner = group.owner.as_ref().map(ToString::to_string);
    let members = counted(group.members, "member");
    let role = match (group.own_role, group.role) {
        (Some(Role::Owner), _) => "  you own it",
        (Some(Role::Publisher), _) => "  you are a publisher",
        (Some(Role::Reader), _) => "  you are a reader",
        (None, GroupRole::Requester) => "  you have asked to join",
        (None, _) => "",
    };
    let owner = owner.unwrap_or_else(|| "-".to_owned());
    format!("{}  owner {owner}  {members}{role}", group.name)
}

/// A share of a group's catalogue.
pub(super) fn file_line(file: &ListedFile) -> String {
    let entry = &file.entry;
    let by = entry.publisher.as_ref().map(ToString::to_string);
    let here = if file.here { "  here" } else { "" };
    // In a list of versions, the name has the number.
    let has_number = entry
        .name
        .as_str()
        .ends_with(&format!("@{}", entry.version));
    let version = match entry.versions > 1 && !has_number {
        true => format!("  version {}", entry.version),
        false => String::new(),
    };
    let note = in_parentheses(entry.note.as_ref().map(Note::as_str));
    format!(
        "{}  {}  by {}  {}  {} complete  {} partial{here}{version}{note}",
        escape(entry.name.as_str()),
        size(entry.length),
        by.as_deref().unwrap_or("-"),
        time(entry.published_at),
        entry.complete,
        entry.partial,
    )
}

fn member_line(member: &MemberEntry) -> String {
    let (since, role) = (time(member.since), member.role.as_str());
    format!("{}  since {since}  {role}", member.name)
}

fn request_line(request: &RequestEntry) -> String {
    format!("{}  asked {}", request.name, time(request.asked_at))
}

pub(super) fn exported_lines(exported: &ExportedTorrent) -> Vec<String> {
    let path = |path: &Path| escape(&path.to_string_lossy()).into_owned();
    let peers: Vec<String> = exported.peers.iter().map(SocketAddr::to_string).collect();
    vec![
        format!(
            "exported {}  info-hash {}  valid until {}",
            escape(&exported.name),
            exported.info_hash,
            time(exported.valid_until)
        ),
        format!("torrent {}", path(&exported.torrent)),
        format!("certificate {}", path(&exported.certificate)),
        format!("key {}", path(&exported.key)),
        format!("DH parameters {}", path(&exported.dh)),
        match peers.is_empty() {
            true => "no peer has the share now".to_owned(),
            false => format!("peers {}", peers.join(" ")),
        },
    ]
}

/// A time in milliseconds since 1970 as RFC 3339 text: whole seconds, UTC. A dash if the time is
/// too late for this format.
pub(in crate::cli) fn time(millis: u64) -> String {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis));
    let shown = time.map(humantime::format_rfc3339_seconds);
    // Writing the text fails for years after 9999.
    let mut text = String::new();
    match shown {
        Some(shown) if std::fmt::write(&mut text, format_args!("{shown}")).is_ok() => text,
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torrent::InfoHash;
    use crate::wire::access::{FileEntry, ShortText};

    #[test]
    fn many_requests_to_join_one_group_are_one_line() {
        let entry = |group: &str, outcome, user: Option<&str>| DecisionEntry {
            group: group.parse().unwrap(),
            outcome,
            user: user.map(|user| user.parse().unwrap()),
            role: None,
            decided_at: 0,
        };
        let request = |group, user: &str| entry(group, DecisionOutcome::Requested, Some(user));
        let many = (0..=MAX_SHOWN_REQUESTS).map(|number| request("lab", &format!("u{number}")));
        let mut news: Vec<_> = many.collect();
        news.push(request("club", "nik"));
        news.push(entry("team", DecisionOutcome::Removed, None));
        let expected = [
            "club: nik asks to join; to accept, type: accept_request club nik",
            "team: an owner removed you",
            "lab: 6 users ask to join; list_requests lab shows them",
        ];
        assert_eq!(news_lines(&news), expected);
    }

    #[test]
    fn a_group_is_one_line_with_the_role_of_the_user() {
        let shown = |role, own_role, members| {
            group_line(&GroupEntry {
                name: "lab".parse().unwrap(),
                owner: Some("nik".parse().unwrap()),
                members,
                role,
                own_role,
            })
        };
        for (role, own_role, members, expected) in [
            (GroupRole::Stranger, None, 2, "lab  owner nik  2 members"),
            (
                GroupRole::Requester,
                None,
                1,
                "lab  owner nik  1 member  you have asked to join",
            ),
            (
                GroupRole::Member,
                Some(Role::Reader),
                2,
                "lab  owner nik  2 members  you are a reader",
            ),
            (
                GroupRole::Member,
                Some(Role::Publisher),
                2,
                "lab  owner nik  2 members  you are a publisher",
            ),
            (
                GroupRole::Owner,
                Some(Role::Owner),
                1,
                "lab  owner nik  1 member  you own it",
            ),
        ] {
            assert_eq!(shown(role, own_role, members), expected);
        }
    }

    #[test]
    fn a_share_shows_its_newest_version_and_its_note() {
        let shown = |name: &str, version, versions, note: Option<&str>| {
            let entry = FileEntry {
                name: ShortText::new(name).unwrap(),
                version,
                versions,
                note: note.map(|note| note.parse().unwrap()),
                info_hash: InfoHash([7; 20]),
                length: 1,
                publisher: None,
                published_at: 0,
                complete: 1,
                partial: 0,
            };
            let line = file_line(&ListedFile { entry, here: true });
            let end = line.split_once("partial").unwrap().1.to_owned();
            (line.split_once(' ').unwrap().0.to_owned(), end)
        };
        let pair = |name: &str, end: &str| (name.to_owned(), end.to_owned());
        assert_eq!(shown("x", 1, 1, None), pair("x", "  here"));
        assert_eq!(
            shown("x", 3, 2, Some("new")),
            pair("x", "  here  version 3  (new)")
        );
        assert_eq!(shown("x@3", 3, 2, None), pair("x@3", "  here"));
    }

    #[test]
    fn a_time_is_in_whole_seconds_and_a_dash_if_it_cannot_be_shown() {
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20Z");
        assert_eq!(time(u64::MAX), "-");
    }
}
