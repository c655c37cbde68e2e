//! Machines and tokens as text.

use super::account::time;
use super::list::lines_of;
use crate::base::command_text;
use crate::cli::outcome::MachineOutcome;
use crate::cli::own_machine::groups_text;
use crate::cli::tokens::described;
use crate::cli::units::counted;
use crate::wire::access::{MachineEntry, MachineState, TokenEntry, TokenState};

/// The lines of a result.
pub(super) fn machine_lines(outcome: &MachineOutcome) -> Vec<String> {
    match outcome {
        MachineOutcome::Done(line) => vec![line.clone()],
        MachineOutcome::Token(created) => vec![
            format!("token {}: {}", created.label, described(&created.new)),
            "write this line into a file on the machine, and type there: pieceful peer --token FILE --stay"
                .to_owned(),
            created.text.clone(),
        ],
        MachineOutcome::JoinLine(created) => vec![
            format!("token {}: {}", created.label, described(&created.new)),
            "on the machine, type pieceful join --run, and then this line:".to_owned(),
            created.line.clone(),
        ],
        MachineOutcome::Tokens(tokens) => lines_of(tokens, token_line, "no tokens"),
        MachineOutcome::Machines(machines) => lines_of(machines, machine_line, "no machines"),
    }
}

fn token_line(entry: &TokenEntry) -> String {
    let state = match entry.state {
        TokenState::Open => "open",
        TokenState::Spent => "used up",
        TokenState::Expired => "expired",
        TokenState::Revoked => "revoked",
        TokenState::MakerLeft => "ended: its maker has left",
    };
    let until = match entry.enrols_until {
        Some(until) => format!("  until {}", time(until)),
        None => String::new(),
    };
    format!(
        "{}  {state}  {}  {} of {}{until}",
        entry.label,
        groups_text(&entry.groups),
        entry.enrolled,
        counted(entry.machines, "machine"),
    )
}

fn machine_line(entry: &MachineEntry) -> String {
    let state = match entry.state {
        MachineState::Enrolled => "has not started",
        MachineState::Started => "in use",
        MachineState::Suspended => "suspended",
        MachineState::Revoked => "revoked",
        MachineState::TokenEnded => "its token has ended",
    };
    let role = entry.role.map(|role| format!("  {}", role.as_str()));
    let started = entry.started_at;
    let started = started.map(|at| format!("  started {}", time(at)));
    let advice = match entry.state {
        MachineState::Suspended => {
            let allow = command_text("allow_machine", &[&entry.label.to_string()], &[]);
            format!("; copies of its files are in use; remove them, then type: {allow}")
        }
        _ => String::new(),
    };
    format!(
        "{}  {state}{}  joined {}{}{advice}",
        entry.label,
        role.unwrap_or_default(),
        time(entry.enrolled_at),
        started.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::access::TokenGroup;
    use crate::wire::role::Role;

    #[test]
    fn a_token_is_one_line_with_its_groups_and_uses() {
        let entry = TokenEntry {
            label: "ann/gpus".parse().unwrap(),
            groups: ["lab", "club"]
                .map(|group| TokenGroup {
                    group: group.parse().unwrap(),
                    role: Role::Publisher,
                })
                .into(),
            state: TokenState::Spent,
            enrolled: 2,
            machines: 2,
            made_at: 0,
            enrols_until: Some(0),
        };
        assert_eq!(
            token_line(&entry),
            "ann/gpus  used up  lab (publisher), club (publisher)  2 of 2 machines  until 1970-01-01T00:00:00Z"
        );
    }

    #[test]
    fn a_suspended_machine_says_what_to_type() {
        let mut entry = MachineEntry {
            label: "ann/gpu1".parse().unwrap(),
            token: None,
            role: Some(Role::Reader),
            state: MachineState::Started,
            enrolled_at: 0,
            started_at: Some(1_000),
        };
        assert_eq!(
            machine_line(&entry),
            "ann/gpu1  in use  reader  joined 1970-01-01T00:00:00Z  started 1970-01-01T00:00:01Z"
        );
        entry.state = MachineState::Suspended;
        assert!(machine_line(&entry).ends_with("type: allow_machine ann/gpu1"));
    }
}
