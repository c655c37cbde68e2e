//! The event that a hook is run for, and the variables of its environment. Pure.

use super::HookKind;
use crate::storage::{EndedTransfer, NewGroupShare, ReportedEnd, WaitingEvent};
use crate::torrent::InfoHash;
use crate::wire::note::Note;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// All variables that a hook can have. None of them is passed on from the peer's own environment: a
/// peer may itself be started by a hook of another peer.
const VARIABLES: [&str; 15] = [
    "PIECEFUL_ADDRESS",
    "PIECEFUL_DIR",
    "PIECEFUL_ERROR",
    "PIECEFUL_ERROR_KIND",
    "PIECEFUL_EVENT",
    "PIECEFUL_GROUP",
    "PIECEFUL_INFO_HASH",
    "PIECEFUL_LENGTH",
    "PIECEFUL_NAME",
    "PIECEFUL_NOTE",
    "PIECEFUL_PATH",
    "PIECEFUL_PEER_NAME",
    "PIECEFUL_PUBLISHER",
    "PIECEFUL_USER",
    "PIECEFUL_VERSION",
];
/// The longest reason of an error in the environment, in characters.
const MAX_REASON: usize = 2_000;

/// What the environment says about the peer.
#[derive(Clone, Debug)]
pub(super) struct PeerFacts {
    /// Its state folder.
    pub(super) folder: PathBuf,
    pub(super) address: String,
    pub(super) name: String,
}

/// What the environment says about an event.
#[derive(Debug)]
struct EventFacts<'a> {
    name: &'a str,
    version: Option<u32>,
    note: Option<&'a str>,
    info_hash: InfoHash,
    length: Option<u64>,
    path: Option<&'a Path>,
    /// The user or machine, and the group.
    membership: Option<(String, String)>,
    publisher: Option<String>,
    /// The kind of an error.
    error: Option<&'static str>,
    reason: Option<&'a str>,
}

/// The kind of an event.
pub(super) fn kind_of(event: &WaitingEvent) -> HookKind {
    match event {
        WaitingEvent::New(_) => HookKind::Share,
        WaitingEvent::Ended(ended) => match ended.end {
            ReportedEnd::Complete { .. } => HookKind::Complete,
            ReportedEnd::Failed | ReportedEnd::Lost => HookKind::Error,
        },
    }
}

/// The name of the share that an event is about.
pub(super) fn name_of(event: &WaitingEvent) -> &str {
    match event {
        WaitingEvent::New(share) => share.name.as_str(),
        WaitingEvent::Ended(ended) => &ended.name,
    }
}

/// The environment of the hook of an event: `inherited`, and the variables about the event and the
/// peer. A variable that is not known is not set.
pub(super) fn environment(
    event: &WaitingEvent,
    peer: &PeerFacts,
    inherited: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<CString> {
    let is_own = |name: &OsString| VARIABLES.iter().any(|own| name == own);
    let inherited = inherited.into_iter().filter(|(name, _)| !is_own(name));
    let inherited = inherited.map(|(name, value)| variable(name.into_vec(), value.into_vec()));
    let own = variables(event, peer).into_iter();
    let own =
        own.filter_map(|(name, value)| Some(variable(name.as_bytes().to_vec(), value?.into_vec())));
    inherited.chain(own).collect()
}

fn variables(
    event: &WaitingEvent,
    peer: &PeerFacts,
) -> [(&'static str, Option<OsString>); VARIABLES.len()] {
    let facts = facts(event);
    let text = |text: &str| Some(OsString::from(text));
    let reason = facts.reason;
    let reason = reason.map(|reason| reason.chars().take(MAX_REASON).collect::<String>());
    let length = facts.length.map(|length| length.to_string());
    let version = facts.version.map(|number| number.to_string());
    let (user, group) = facts.membership.unzip();
    [
        ("PIECEFUL_ADDRESS", text(&peer.address)),
        ("PIECEFUL_DIR", Some(peer.folder.clone().into())),
        ("PIECEFUL_ERROR", reason.map(OsString::from)),
        ("PIECEFUL_ERROR_KIND", facts.error.and_then(text)),
        ("PIECEFUL_EVENT", text(kind_of(event).event())),
        ("PIECEFUL_GROUP", group.map(OsString::from)),
        ("PIECEFUL_INFO_HASH", text(&facts.info_hash.to_string())),
        ("PIECEFUL_LENGTH", length.map(OsString::from)),
        ("PIECEFUL_NAME", text(facts.name)),
        ("PIECEFUL_NOTE", facts.note.and_then(text)),
        ("PIECEFUL_PATH", facts.path.map(OsString::from)),
        ("PIECEFUL_PEER_NAME", text(&peer.name)),
        ("PIECEFUL_PUBLISHER", facts.publisher.map(OsString::from)),
        ("PIECEFUL_USER", user.map(OsString::from)),
        ("PIECEFUL_VERSION", version.map(OsString::from)),
    ]
}

fn facts(event: &WaitingEvent) -> EventFacts<'_> {
    match event {
        WaitingEvent::New(share) => facts_of_new_share(share),
        WaitingEvent::Ended(ended) => facts_of_ended(ended),
    }
}

fn facts_of_new_share(share: &NewGroupShare) -> EventFacts<'_> {
    EventFacts {
        name: share.name.as_str(),
        version: Some(share.version),
        note: share.note.as_ref().map(Note::as_str),
        info_hash: share.info_hash,
        length: Some(share.length),
        path: None,
        membership: Some((share.user.to_string(), share.group.to_string())),
        publisher: share.publisher.as_ref().map(ToString::to_string),
        error: None,
        reason: None,
    }
}

fn facts_of_ended(ended: &EndedTransfer) -> EventFacts<'_> {
    EventFacts {
        name: &ended.name,
        version: ended.version,
        note: None,
        info_hash: ended.id.info_hash,
        length: ended.length,
        path: ended.path.as_deref(),
        membership: ended.membership.clone(),
        publisher: None,
        error: match ended.end {
            ReportedEnd::Complete { .. } => None,
            ReportedEnd::Failed => Some("failed"),
            ReportedEnd::Lost => Some("lost"),
        },
        reason: ended.reason.as_deref(),
    }
}

/// `NAME=VALUE`. No value has a NUL: names of files and shares cannot contain one. If one did, the
/// value would end before it.
fn variable(name: Vec<u8>, value: Vec<u8>) -> CString {
    let mut bytes = name;
    bytes.push(b'=');
    bytes.extend(value);
    let end = bytes.iter().position(|byte| *byte == 0);
    bytes.truncate(end.unwrap_or(bytes.len()));
    // There is no NUL left, so there is no error.
    CString::new(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::TransferId;
    use crate::wire::access::ShortText;

    fn peer() -> PeerFacts {
        PeerFacts {
            folder: "/s t".into(),
            address: "127.0.0.1:5".into(),
            name: "Lab 3".into(),
        }
    }

    fn texts(event: &WaitingEvent, inherited: &[(&str, &str)]) -> Vec<String> {
        let inherited = inherited.iter();
        let inherited = inherited.map(|(name, value)| ((*name).into(), (*value).into()));
        let environment = environment(event, &peer(), inherited).into_iter();
        let texts = environment.map(|variable| variable.into_string().unwrap());
        texts.collect()
    }

    fn new_share(name: &str) -> WaitingEvent {
        WaitingEvent::New(NewGroupShare {
            user: "nik".parse().unwrap(),
            group: "lab".parse().unwrap(),
            name: ShortText::new(name).unwrap(),
            version: 3,
            note: "why $(x)".parse().ok(),
            info_hash: InfoHash([0xab; 20]),
            length: 7,
            publisher: None,
        })
    }

    #[test]
    fn names_are_unchanged_and_what_is_not_known_is_not_set() {
        let name = r#"it's "$(reboot)" `x` \ ünd  = ; &"#;
        let texts = texts(&new_share(name), &[("PATH", "/bin")]);
        assert_eq!(
            texts,
            [
                "PATH=/bin".to_owned(),
                "PIECEFUL_ADDRESS=127.0.0.1:5".to_owned(),
                "PIECEFUL_DIR=/s t".to_owned(),
                "PIECEFUL_EVENT=share".to_owned(),
                "PIECEFUL_GROUP=lab".to_owned(),
                format!("PIECEFUL_INFO_HASH={}", "ab".repeat(20)),
                "PIECEFUL_LENGTH=7".to_owned(),
                format!("PIECEFUL_NAME={name}"),
                "PIECEFUL_NOTE=why $(x)".to_owned(),
                "PIECEFUL_PEER_NAME=Lab 3".to_owned(),
                "PIECEFUL_USER=nik".to_owned(),
                "PIECEFUL_VERSION=3".to_owned(),
            ]
        );
    }

    #[test]
    fn variables_of_another_hook_are_not_passed_on() {
        let inherited = [("PIECEFUL_ERROR", "old"), ("PIECEFUL_OWN", "kept")];
        let texts = texts(&new_share("x"), &inherited);
        assert!(texts.contains(&"PIECEFUL_OWN=kept".to_owned()));
        assert!(!texts.iter().any(|text| text.starts_with("PIECEFUL_ERROR")));
    }

    #[test]
    fn an_error_has_its_kind_and_a_bounded_reason_and_no_value_has_a_nul() {
        let id = TransferId {
            info_hash: InfoHash([1; 20]),
            added_ms: 1,
        };
        let event = |end, reason: String| {
            WaitingEvent::Ended(EndedTransfer {
                id,
                end,
                name: "x".to_owned(),
                version: None,
                length: None,
                path: None,
                membership: None,
                reason: Some(reason),
            })
        };
        let long = texts(&event(ReportedEnd::Failed, "é".repeat(9_999)), &[]);
        assert!(long.contains(&"PIECEFUL_ERROR_KIND=failed".to_owned()));
        let expected = format!("PIECEFUL_ERROR={}", "é".repeat(MAX_REASON));
        assert!(long.contains(&expected));
        let lost = texts(&event(ReportedEnd::Lost, "a\0b".to_owned()), &[]);
        assert!(lost.contains(&"PIECEFUL_ERROR_KIND=lost".to_owned()));
        assert!(lost.contains(&"PIECEFUL_ERROR=a".to_owned()));
    }
}
