//! The event that a hook is run for, and the variables of its environment. Pure.

use super::HookKind;
use crate::storage::{NewGroupShare, ReportedEnd, TransferId};
use crate::torrent::InfoHash;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// All variables that a hook can have. None of them is passed on from the peer's own environment: a
/// peer may itself be started by a hook of another peer.
const VARIABLES: [&str; 13] = [
    "PIECEFUL_ADDRESS",
    "PIECEFUL_DIR",
    "PIECEFUL_ERROR",
    "PIECEFUL_ERROR_KIND",
    "PIECEFUL_EVENT",
    "PIECEFUL_GROUP",
    "PIECEFUL_INFO_HASH",
    "PIECEFUL_LENGTH",
    "PIECEFUL_NAME",
    "PIECEFUL_PATH",
    "PIECEFUL_PEER_NAME",
    "PIECEFUL_PUBLISHER",
    "PIECEFUL_USER",
];
/// The longest reason of an error in the environment, in characters.
const MAX_REASON: usize = 2_000;

/// An event that a hook is run for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HookEvent {
    pub(super) kind: HookKind,
    pub(super) cause: EventCause,
    pub(super) share: ShareFacts,
    /// Why the share or download has ended, for [`HookKind::Error`].
    pub(super) reason: Option<String>,
}

/// What an event is about, as the state folder knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EventCause {
    /// A share or download has ended in this way.
    Ended(TransferId, ReportedEnd),
    /// A group has a new share.
    New(Box<NewGroupShare>),
}

/// What is known of the share of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShareFacts {
    pub(super) name: String,
    pub(super) info_hash: InfoHash,
    /// Its wanted bytes. `None` while a magnet link has no metadata.
    pub(super) length: Option<u64>,
    /// Where it is or will be on this machine, if this peer has it.
    pub(super) path: Option<PathBuf>,
    /// The user or machine, and the group. `None` in open swarms.
    pub(super) membership: Option<(String, String)>,
    pub(super) publisher: Option<String>,
}

/// What the environment says about the peer.
#[derive(Clone, Debug)]
pub(super) struct PeerFacts {
    /// Its state folder.
    pub(super) folder: PathBuf,
    pub(super) address: String,
    pub(super) name: String,
}

impl HookEvent {
    /// The event of a new share of a group.
    pub(super) fn of_new_share(share: NewGroupShare) -> Self {
        Self {
            kind: HookKind::Share,
            share: ShareFacts {
                name: share.name.as_str().to_owned(),
                info_hash: share.info_hash,
                length: Some(share.length),
                path: None,
                membership: Some((share.user.to_string(), share.group.to_string())),
                publisher: share.publisher.as_ref().map(ToString::to_string),
            },
            cause: EventCause::New(Box::new(share)),
            reason: None,
        }
    }

    /// The environment of the hook: `inherited`, and the variables about the event and the peer. A
    /// variable that is not known is not set.
    pub(super) fn environment(
        &self,
        peer: &PeerFacts,
        inherited: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Vec<CString> {
        let is_own = |name: &OsString| VARIABLES.iter().any(|own| name == own);
        let inherited = inherited.into_iter().filter(|(name, _)| !is_own(name));
        let inherited = inherited.map(|(name, value)| variable(name.into_vec(), value.into_vec()));
        let own = self.variables(peer).into_iter();
        let own = own.filter_map(|(name, value)| {
            Some(variable(name.as_bytes().to_vec(), value?.into_vec()))
        });
        inherited.chain(own).collect()
    }

    fn variables(&self, peer: &PeerFacts) -> [(&'static str, Option<OsString>); VARIABLES.len()] {
        let share = &self.share;
        let text = |text: &str| Some(OsString::from(text));
        let error_kind = match &self.cause {
            EventCause::Ended(_, ReportedEnd::Failed) => Some("failed"),
            EventCause::Ended(_, ReportedEnd::Lost) => Some("lost"),
            EventCause::Ended(_, ReportedEnd::Complete { .. }) | EventCause::New(_) => None,
        };
        let reason = self.reason.as_ref();
        let reason = reason.map(|reason| reason.chars().take(MAX_REASON).collect::<String>());
        let membership = share.membership.as_ref();
        [
            ("PIECEFUL_ADDRESS", text(&peer.address)),
            ("PIECEFUL_DIR", Some(peer.folder.clone().into())),
            ("PIECEFUL_ERROR", reason.map(OsString::from)),
            ("PIECEFUL_ERROR_KIND", error_kind.and_then(text)),
            ("PIECEFUL_EVENT", text(self.kind.event())),
            (
                "PIECEFUL_GROUP",
                membership.and_then(|(_, group)| text(group)),
            ),
            ("PIECEFUL_INFO_HASH", text(&share.info_hash.to_string())),
            (
                "PIECEFUL_LENGTH",
                share.length.map(|length| length.to_string().into()),
            ),
            ("PIECEFUL_NAME", text(&share.name)),
            ("PIECEFUL_PATH", share.path.clone().map(OsString::from)),
            ("PIECEFUL_PEER_NAME", text(&peer.name)),
            (
                "PIECEFUL_PUBLISHER",
                share.publisher.as_deref().and_then(text),
            ),
            ("PIECEFUL_USER", membership.and_then(|(user, _)| text(user))),
        ]
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
    use crate::wire::access::ShortText;

    fn peer() -> PeerFacts {
        PeerFacts {
            folder: "/s t".into(),
            address: "127.0.0.1:5".into(),
            name: "Lab 3".into(),
        }
    }

    fn texts(event: &HookEvent, inherited: &[(&str, &str)]) -> Vec<String> {
        let inherited = inherited.iter();
        let inherited = inherited.map(|(name, value)| ((*name).into(), (*value).into()));
        let environment = event.environment(&peer(), inherited).into_iter();
        let texts = environment.map(|variable| variable.into_string().unwrap());
        texts.collect()
    }

    fn new_share(name: &str) -> HookEvent {
        HookEvent::of_new_share(NewGroupShare {
            user: "nik".parse().unwrap(),
            group: "lab".parse().unwrap(),
            name: ShortText::new(name).unwrap(),
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
                "PIECEFUL_PEER_NAME=Lab 3".to_owned(),
                "PIECEFUL_USER=nik".to_owned(),
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
        let event = |end, reason: String| HookEvent {
            kind: HookKind::Error,
            cause: EventCause::Ended(id, end),
            reason: Some(reason),
            ..new_share("x")
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
