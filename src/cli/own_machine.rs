//! The machine that this peer belongs to: its token and name at the start, and the messages about
//! it for a person at the terminal or in the log of the service.

use super::exit::Exit;
use super::output::Output;
use crate::net::Stop;
use crate::peer::{MachineLoginState, MachineNotice, MachineOptions, MachineStatus};
use crate::storage::read_token;
use crate::system;
use crate::wire::access::TokenGroup;
use crate::wire::name::MachineName;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the trackers have refused the machine of this process for good. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct RefusedFlag(Arc<AtomicBool>);

impl RefusedFlag {
    /// Shows what happens to the machine. If the trackers refuse it for good, stops the peer.
    pub(super) fn notice(&self, stop: &Stop) -> MachineNotice {
        let (refused, stop) = (Arc::clone(&self.0), stop.clone());
        MachineNotice::new(move |status| {
            let is_refused = status.state == MachineLoginState::Refused;
            let end = if is_refused { "; this peer ends" } else { "" };
            let line = format!("{}{end}", status_line(status));
            Output::new(false).note(&line);
            log::info!("{line}");
            if is_refused {
                refused.store(true, Ordering::SeqCst);
                stop.stop();
            }
        })
    }

    /// The exit code of the peer. `succeeded`: whether all commands succeeded.
    pub(super) fn exit(&self, succeeded: bool) -> Exit {
        match self.0.load(Ordering::SeqCst) {
            true => Exit::Refused,
            false => Exit::of(succeeded),
        }
    }
}

/// The token in FILE, and the name for the machine: `name` if it is not empty, otherwise that of
/// the host.
///
/// # Errors
/// A message for the user.
pub(super) fn options(file: &Path, name: &str, output: &Output) -> Result<MachineOptions, String> {
    let read = read_token(file).map_err(|error| error.to_string())?;
    if read.is_exposed {
        let shown = file.display();
        output.note(&format!(
            "other users of this machine can read {shown}; to keep the token secret, type: chmod 600 {shown}"
        ));
    }
    Ok(MachineOptions {
        token: read.token,
        name: match name {
            "" => host_name(),
            name => MachineName::nearest(name),
        },
    })
}

/// The name of the host, as the name of a machine.
pub(super) fn host_name() -> MachineName {
    MachineName::nearest(&system::host_name().unwrap_or_default())
}

/// The machine, its state, and what a person can do.
pub(super) fn status_line(status: &MachineStatus) -> String {
    let machine = match &status.label {
        Some(label) => format!("the machine {label}"),
        None => "this machine".to_owned(),
    };
    let trouble = status.trouble.as_deref();
    let why = trouble.map_or_else(String::new, |trouble| format!(": {trouble}"));
    let label = status
        .label
        .as_ref()
        .map_or("MACHINE".to_owned(), ToString::to_string);
    match status.state {
        MachineLoginState::LoggedIn => {
            format!("{machine} is logged in: {}", groups_text(&status.groups))
        }
        MachineLoginState::Waiting if trouble.is_none() => format!("{machine} logs in"),
        MachineLoginState::Waiting => {
            format!("{machine} is not logged in{why}; it tries again by itself")
        }
        MachineLoginState::Suspended => format!(
            "{machine} is suspended{why}; stop all copies of its state folder but one, then an owner types: allow_machine {label}"
        ),
        MachineLoginState::Refused => format!(
            "{machine} is refused for good{why}; to join anew, use another join line and another --dir"
        ),
    }
}

/// Groups with the role in each, as text.
pub(super) fn groups_text(groups: &[TokenGroup]) -> String {
    let groups = groups.iter();
    let shown = groups.map(|entry| format!("{} ({})", entry.group, entry.role.as_str()));
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::role::Role;

    #[test]
    fn each_state_says_what_a_person_can_do() {
        let mut status = MachineStatus {
            label: Some("ann/gpu1".parse().unwrap()),
            state: MachineLoginState::LoggedIn,
            trouble: None,
            groups: vec![TokenGroup {
                group: "lab".parse().unwrap(),
                role: Role::Reader,
            }],
        };
        assert_eq!(
            status_line(&status),
            "the machine ann/gpu1 is logged in: lab (reader)"
        );
        status.trouble = Some("no".to_owned());
        for (state, part) in [
            (
                MachineLoginState::Waiting,
                "is not logged in: no; it tries again by itself",
            ),
            (
                MachineLoginState::Suspended,
                "types: allow_machine ann/gpu1",
            ),
            (
                MachineLoginState::Refused,
                "is refused for good: no; to join anew",
            ),
        ] {
            status.state = state;
            let line = status_line(&status);
            assert!(line.contains(part), "{line}");
        }
        status.label = None;
        assert!(status_line(&status).starts_with("this machine is refused"));
    }

    #[test]
    fn the_end_of_the_machine_stops_the_peer_with_its_own_exit_code() {
        let (flag, stop) = (RefusedFlag::default(), Stop::new());
        assert_eq!(flag.exit(true), Exit::Success);
        assert_eq!(flag.exit(false), Exit::Failure);
        flag.0.store(true, Ordering::SeqCst);
        assert_eq!(flag.exit(true), Exit::Refused);
        assert!(!stop.is_stopped());
    }
}
