//! The table of all commands, grouped by area.

mod account;
mod files;
mod holders;
mod machines;
mod mirrors;
mod run;

use super::entry::CommandEntry;

/// The commands that `help` lists under one title.
#[derive(Debug)]
pub(in crate::cli) struct CommandArea {
    pub(in crate::cli) title: &'static str,
    pub(in crate::cli) entries: &'static [CommandEntry],
}

/// All areas, in the order of `help`.
pub(in crate::cli) static AREAS: &[CommandArea] = &[
    CommandArea {
        title: "account",
        entries: account::ACCOUNT,
    },
    CommandArea {
        title: "groups",
        entries: account::GROUPS,
    },
    CommandArea {
        title: "machines",
        entries: machines::MACHINES,
    },
    CommandArea {
        title: "files of groups",
        entries: files::FILES,
    },
    CommandArea {
        title: "who has files of groups",
        entries: holders::HOLDERS,
    },
    CommandArea {
        title: "mirrors of groups",
        entries: mirrors::MIRRORS,
    },
    CommandArea {
        title: "open swarms",
        entries: run::OPEN,
    },
    CommandArea {
        title: "downloads and this peer",
        entries: run::DOWNLOADS_AND_PEER,
    },
];

/// All commands.
pub(in crate::cli) fn entries() -> impl Iterator<Item = &'static CommandEntry> {
    AREAS.iter().flat_map(|area| area.entries)
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    #[test]
    fn required_arguments_come_first_and_summaries_are_one_line() {
        for entry in entries() {
            let first_optional = entry
                .arguments
                .iter()
                .position(|argument| !argument.required);
            let last_required = entry
                .arguments
                .iter()
                .rposition(|argument| argument.required);
            assert!(
                first_optional.zip(last_required).is_none_or(|(o, r)| r < o),
                "{}",
                entry.name
            );
            assert!(find(entry.name).is_ok() && !entry.summary.contains('\n'));
        }
    }
}
