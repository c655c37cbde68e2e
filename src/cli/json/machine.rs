//! Machines, tokens and joins as JSON objects.

use super::value::{JsonValue, list, object, plain};
use crate::cli::outcome::{Joined, MachineOutcome};
use crate::cli::render::time;
use crate::peer::{JoinError, MachineStatus, NewToken};
use crate::wire::access::{MachineEntry, TokenEntry, TokenGroup};
use crate::wire::machine::MachineLabel;

/// The fields after `ok` of a command about machines and tokens.
pub(super) fn machine_fields(outcome: &MachineOutcome) -> Vec<(&str, JsonValue<'_>)> {
    match outcome {
        MachineOutcome::Done(_) => Vec::new(),
        MachineOutcome::Token(created) => {
            let secret = ("text", plain(&*created.text));
            created_fields(&created.label, secret, &created.new)
        }
        MachineOutcome::JoinLine(created) => {
            let secret = ("line", plain(&*created.line));
            created_fields(&created.label, secret, &created.new)
        }
        MachineOutcome::Tokens(tokens) => vec![("tokens", list(tokens, token))],
        MachineOutcome::Machines(machines) => vec![("machines", list(machines, machine))],
    }
}

/// The fields after `ok` of a join.
pub(super) fn join_fields<'a>(joined: &'a Joined) -> Vec<(&'a str, JsonValue<'a>)> {
    let files = &joined.files;
    let groups = joined.groups.as_ref();
    let groups = groups.map_or(plain(None::<bool>), |groups| list(groups, machine_group));
    vec![
        ("machine", plain(joined.machine.to_string())),
        ("already", plain(joined.groups.is_none())),
        ("groups", groups),
        ("tracker_info", plain(files.tracker_info.to_string_lossy())),
        ("token", plain(files.token.to_string_lossy())),
        ("run", plain(&*joined.run)),
    ]
}

/// The kind and message of a join that has failed.
pub(super) fn join_error(error: &JoinError) -> JsonValue<'static> {
    object([
        ("kind", plain(error.kind())),
        ("message", plain(error.to_string())),
    ])
}

/// The machine of a peer.
pub(super) fn own_machine(status: &MachineStatus) -> JsonValue<'_> {
    let label = status.label.as_ref();
    object([
        ("name", plain(label.map(MachineLabel::to_string))),
        ("state", plain(status.state.as_str())),
        ("trouble", plain(status.trouble.as_deref())),
        ("groups", list(&status.groups, machine_group)),
    ])
}

fn created_fields<'a>(
    label: &MachineLabel,
    secret: (&'a str, JsonValue<'a>),
    new: &NewToken,
) -> Vec<(&'a str, JsonValue<'a>)> {
    vec![
        ("token", plain(label.to_string())),
        secret,
        ("role", plain(new.role.as_str())),
        ("machines", plain(new.machines)),
        ("enrol_seconds", plain(new.enrol_seconds)),
    ]
}

fn token(entry: &TokenEntry) -> JsonValue<'_> {
    object([
        ("name", plain(entry.label.to_string())),
        ("state", plain(entry.state.as_str())),
        ("groups", list(&entry.groups, machine_group)),
        ("enrolled", plain(entry.enrolled)),
        ("machines", plain(entry.machines)),
        ("at", plain(time(entry.made_at))),
        ("until", plain(entry.enrols_until.map(time))),
    ])
}

fn machine(entry: &MachineEntry) -> JsonValue<'_> {
    object([
        ("name", plain(entry.label.to_string())),
        ("state", plain(entry.state.as_str())),
        (
            "token",
            plain(entry.token.as_ref().map(MachineLabel::to_string)),
        ),
        ("role", plain(entry.role.map(|role| role.as_str()))),
        ("at", plain(time(entry.enrolled_at))),
        ("started", plain(entry.started_at.map(time))),
    ])
}

fn machine_group(entry: &TokenGroup) -> JsonValue<'_> {
    object([
        ("group", plain(entry.group.to_string())),
        ("role", plain(entry.role.as_str())),
    ])
}
