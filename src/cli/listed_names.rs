//! The names that the latest commands have listed, for completion at the prompt.

use super::commands::{ArgumentKind, Command, FileCommand, OPEN_SWARMS};
use super::outcome::{AccountOutcome, CommandOutcome, MachineOutcome};
use crate::system::lock;
use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

/// The maximum number of groups that are kept, and of names in one list.
const MAX_NAMES: usize = 10_000;

/// Names of groups, and of what each group has.
#[derive(Debug, Default)]
pub(super) struct ListedNames(Mutex<Lists>);

#[derive(Debug, Default)]
struct Lists {
    groups: BTreeSet<String>,
    /// By group; open swarms are under [`OPEN_SWARMS`].
    shares: HashMap<String, BTreeSet<String>>,
    members: HashMap<String, BTreeSet<String>>,
    requests: HashMap<String, BTreeSet<String>>,
    tokens: BTreeSet<String>,
    machines: BTreeSet<String>,
    logins: BTreeSet<String>,
}

impl ListedNames {
    /// The names that are offered for an argument of this kind. `group` is the group that was typed
    /// before the argument, if there is one.
    pub(super) fn names(&self, kind: ArgumentKind, group: Option<&str>) -> Vec<String> {
        let lists = lock(&self.0);
        let of_group = |all: &HashMap<String, BTreeSet<String>>| {
            group.and_then(|group| all.get(group)).cloned()
        };
        let names = match kind {
            ArgumentKind::Group => Some(lists.groups.clone()),
            ArgumentKind::Share => of_group(&lists.shares),
            ArgumentKind::Member => of_group(&lists.members),
            ArgumentKind::Requester => of_group(&lists.requests),
            ArgumentKind::Token => Some(lists.tokens.clone()),
            ArgumentKind::Machine => Some(lists.machines.clone()),
            ArgumentKind::Login => Some(lists.logins.clone()),
            _ => None,
        };
        names.unwrap_or_default().into_iter().collect()
    }

    /// Keeps the names that a command has listed or made.
    pub(super) fn on_outcome(&self, command: &Command, outcome: &CommandOutcome) {
        let mut lists = lock(&self.0);
        let group = command.group().unwrap_or_else(|| OPEN_SWARMS.to_owned());
        if group != OPEN_SWARMS && lists.groups.len() < MAX_NAMES {
            lists.groups.insert(group.clone());
        }
        match outcome {
            CommandOutcome::Account(AccountOutcome::Groups { groups, .. }) => {
                lists.groups = listed(groups.iter().map(|group| &group.name));
            }
            CommandOutcome::Account(AccountOutcome::Members(members)) => {
                let members = listed(members.iter().map(|member| &member.name));
                lists.members.insert(group, members);
            }
            CommandOutcome::Account(AccountOutcome::Requests(requests)) => {
                let requests = listed(requests.iter().map(|request| &request.name));
                lists.requests.insert(group, requests);
            }
            CommandOutcome::Account(AccountOutcome::Logins(logins)) => {
                let others = logins.iter().filter(|login| !login.is_present);
                lists.logins = listed(others.map(|login| &login.id));
            }
            CommandOutcome::Machine(MachineOutcome::Tokens(tokens)) => {
                lists.tokens = listed(tokens.iter().map(|token| &token.label));
            }
            CommandOutcome::Machine(MachineOutcome::Machines(machines)) => {
                lists.machines = listed(machines.iter().map(|machine| &machine.label));
            }
            CommandOutcome::Files(files) => {
                let files = listed(files.iter().map(|file| file.entry.name.as_str()));
                match command {
                    // The names of versions come to those of the shares.
                    Command::File(FileCommand::List { versions: true, .. }) => {
                        let shares = lists.shares.entry(group).or_default();
                        shares.extend(files.into_iter().take(MAX_NAMES));
                    }
                    _ => {
                        lists.shares.insert(group, files);
                    }
                }
            }
            CommandOutcome::Uploaded(uploaded) => {
                let shares = lists.shares.entry(group).or_default();
                shares.insert(uploaded.share.name.clone());
            }
            CommandOutcome::Sent(sent) => {
                let shares = lists.shares.entry(group).or_default();
                shares.insert(sent.share.name.clone());
            }
            _ => {}
        }
    }
}

fn listed(names: impl Iterator<Item = impl ToString>) -> BTreeSet<String> {
    names.take(MAX_NAMES).map(|name| name.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::commands::AccountCommand;
    use super::*;
    use crate::wire::access::MemberEntry;

    #[test]
    fn a_new_list_of_members_replaces_the_former_list_of_the_group() {
        let names = ListedNames::default();
        let member = |name: &str| MemberEntry {
            name: name.parse().unwrap(),
            since: 0,
            role: crate::wire::role::Role::Publisher,
        };
        let command = Command::Account(AccountCommand::ListMembers("lab".parse().unwrap()));
        for listed in [["nik", "uma"], ["nik", "zoe"]] {
            let members = listed.into_iter().map(member).collect();
            let outcome = CommandOutcome::Account(AccountOutcome::Members(members));
            names.on_outcome(&command, &outcome);
        }
        assert_eq!(
            names.names(ArgumentKind::Member, Some("lab")),
            ["nik", "zoe"]
        );
        assert_eq!(names.names(ArgumentKind::Group, None), ["lab"]);
        for (kind, group) in [
            (ArgumentKind::Member, Some("other")),
            (ArgumentKind::Member, None),
            (ArgumentKind::Share, Some("lab")),
            (ArgumentKind::Secret, Some("lab")),
        ] {
            assert!(names.names(kind, group).is_empty());
        }
    }
}
