//! The table of all commands, by area.

mod account;
mod run;

use super::entry::Entry;

/// Commands that belong together.
#[derive(Debug)]
pub(in crate::cli) struct Area {
    /// What they are about.
    pub(in crate::cli) title: &'static str,
    /// The commands.
    pub(in crate::cli) entries: &'static [Entry],
}

/// All commands, in the order in which `help` lists them.
pub(in crate::cli) static AREAS: &[Area] = &[
    Area {
        title: "account",
        entries: account::ACCOUNT,
    },
    Area {
        title: "groups",
        entries: account::GROUPS,
    },
    Area {
        title: "files of groups",
        entries: account::FILES,
    },
    Area {
        title: "open swarms",
        entries: run::OPEN,
    },
    Area {
        title: "run",
        entries: run::RUN,
    },
];

/// All commands.
pub(in crate::cli) fn entries() -> impl Iterator<Item = &'static Entry> {
    AREAS.iter().flat_map(|area| area.entries)
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    #[test]
    fn the_table_is_sound() {
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
