//! The commands about mirrors of groups.

use crate::cli::command_error::CommandError;
use crate::cli::commands::command::Command;
use crate::cli::commands::command_words::CommandWords;
use crate::cli::commands::entry::{ArgumentKind, CommandEntry, option, optional, required};
use crate::cli::commands::mirror::MirrorCommand;
use crate::cli::values;
use crate::storage::MirrorSettings;
use std::time::Duration;

/// The part of the file system that a mirror leaves free, in percent, if the user does not say it.
const MIN_FREE: u8 = 5;

/// How long after its withdrawal a share is removed, if the user does not say it.
const PRUNE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Mirrors.
pub(super) static MIRRORS: &[CommandEntry] = &[
    CommandEntry {
        name: "mirror",
        arguments: &[
            required("G", ArgumentKind::Group),
            optional("FOLDER", ArgumentKind::Path),
        ],
        options: &[
            option("--share", Some("GLOB")),
            option("--keep", Some("SIZE")),
            option("--prune", None),
            option("--prune-after", Some("TIME")),
            option("--min-free", Some("N")),
        ],
        summary: "keep this machine a copy of a group",
        details: "Fetches every share of the group, and every new version, now and later, also after a restart, and serves them. \
                  They go into FOLDER, which is made if it is missing; without FOLDER, into a folder with the name of the group \
                  in the current folder. With --share, only shares whose names match a pattern (* ? **) are mirrored; repeat it \
                  for more patterns. With --keep, the shares that were published first go when all together are larger than SIZE. \
                  With --prune, a share that was withdrawn is removed here a day later, or TIME seconds later with --prune-after, but only \
                  files that are unchanged; if more than a fifth of the shares would go at once, confirm_prune is needed. \
                  While less than N percent of the disk is free (default 5), no download begins. Only what the mirror \
                  itself has fetched is ever removed. The same command again with other options changes the mirror.\n\
                  Example: mirror lab /srv/lab --share '*.img' --keep 500G",
        read: |words| {
            Ok(Command::Mirror(MirrorCommand::Begin {
                group: words.name(0)?,
                place: words.wanted_place(1)?,
                settings: settings(&words)?,
            }))
        },
    },
    CommandEntry {
        name: "confirm_prune",
        arguments: &[required("G", ArgumentKind::Group)],
        options: &[],
        summary: "let a mirror remove many withdrawn shares",
        details: "If more than a fifth of the shares of a group were withdrawn at once, a mirror with --prune waits. status names \
                  these shares. This command lets the mirror remove those that status has shown last, and no other ones.",
        read: |words| Ok(Command::Mirror(MirrorCommand::ConfirmPrune(words.name(0)?))),
    },
    CommandEntry {
        name: "unmirror",
        arguments: &[required("G", ArgumentKind::Group)],
        options: &[],
        summary: "end the mirror of a group",
        details: "Nothing is removed: the shares stay, and are served like other ones. Downloads that run go on.",
        read: |words| Ok(Command::Mirror(MirrorCommand::End(words.name(0)?))),
    },
];

fn settings(words: &CommandWords<'_>) -> Result<MirrorSettings, CommandError> {
    let prune_after = words.value("--prune-after", values::seconds)?;
    let prunes = words.has_option("--prune");
    Ok(MirrorSettings {
        only: words.globs("--share")?,
        keep: words.value("--keep", values::kept_size)?,
        prune_after: prune_after.or(prunes.then_some(PRUNE_AFTER)),
        min_free: words
            .value("--min-free", values::percent)?
            .unwrap_or(MIN_FREE),
    })
}
