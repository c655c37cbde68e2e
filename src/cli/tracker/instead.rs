//! What is done about a tracker's data instead of running it: a dump, a backup, a comparison.

use crate::certificate::Authority;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Refused, failure};
use crate::cli::output::Output;
use crate::cli::state;
use crate::net::{ClusterTls, TRACKER_NAME, reachable};
use crate::storage::{DATABASE_FILE, Running, StateFolder, StateKind, wait_for_cluster};
use crate::system::since_1970;
use crate::torrent::InfoHash;
use crate::tracker::registry::Registry;
use crate::tracker::{RegistryStore, blob_named_by, fetch_backup};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Prints the state of a tracker that does not run.
pub(super) fn dump(data: Option<PathBuf>, port: u16, output: &Output) -> Result<Exit, Refused> {
    let (registry, _) = look(&folder(data, port)?)?;
    let text = serde_json::to_string_pretty(&registry.dump()).map_err(failure)?;
    output.result(&text);
    Ok(Exit::Success)
}

/// Has a running tracker give a backup, proving by the cluster's key that it may be asked for.
pub(super) fn backup(
    data: Option<PathBuf>,
    port: u16,
    cluster: Option<PathBuf>,
    file: &Path,
    output: &Output,
) -> Result<Exit, Refused> {
    let folder = folder(data, port)?;
    let running = Running::load(&folder).ok_or_else(|| {
        let shown = folder.display();
        failure(format!(
            "no tracker runs with {shown}: a backup is taken of one that runs"
        ))
    })?;
    let key = cluster.unwrap_or(running.cluster);
    let cluster: Authority = wait_for_cluster(&key, Duration::ZERO, |_| true).map_err(failure)?;
    let identity = cluster.issue(TRACKER_NAME).map_err(failure)?;
    let tls = ClusterTls::new(&identity).map_err(failure)?;
    let bytes = fetch_backup(&tls, reachable(running.address), file).map_err(failure)?;
    output.result(&format!(
        "{bytes} bytes in {}",
        escape(&file.to_string_lossy())
    ));
    output.note("the file holds the keys of groups and hashes of passwords: keep it as safe as the trackers");
    Ok(Exit::Success)
}

/// Names each difference between the data of two trackers that do not run.
pub(super) fn check(first: &Path, second: &Path, output: &Output) -> Result<Exit, Refused> {
    let (ours, our_blobs) = look(first)?;
    let (theirs, their_blobs) = look(second)?;
    let mut told: Vec<String> = ours
        .differences(&theirs, since_1970())
        .iter()
        .map(ToString::to_string)
        .collect();
    let blob =
        |place| move |hash: &InfoHash| format!("info dictionary {hash}: in the {place} only");
    // What no share names any more is dropped by each in its own time.
    let named: BTreeSet<InfoHash> = ours
        .rows()
        .chain(theirs.rows())
        .filter_map(blob_named_by)
        .collect();
    let only = |blobs: &BTreeSet<InfoHash>, others: &BTreeSet<InfoHash>| -> BTreeSet<InfoHash> {
        let only = blobs.difference(others).copied();
        only.filter(|hash| named.contains(hash)).collect()
    };
    told.extend(only(&our_blobs, &their_blobs).iter().map(blob("first")));
    told.extend(only(&their_blobs, &our_blobs).iter().map(blob("second")));
    let (known, theirs_known) = (ours.version_vector(), theirs.version_vector());
    for (name, lacks) in [
        ("first", known.behind(theirs_known)),
        ("second", theirs_known.behind(known)),
    ] {
        if lacks > 0 {
            told.push(format!(
                "the {name} lacks {lacks} writes that the other knows"
            ));
        }
    }
    for line in &told {
        output.result(&escape(line));
    }
    if told.is_empty() {
        output.result(&format!("both hold the same {} rows", ours.rows().count()));
    }
    Ok(Exit::of(told.is_empty()))
}

/// The state folder that is meant, if a tracker has kept its state there.
fn folder(data: Option<PathBuf>, port: u16) -> Result<PathBuf, Refused> {
    let path = data.map_or_else(|| state::default(StateKind::Tracker, port).ok(), Some);
    path.ok_or_else(|| {
        (
            "which tracker? name its state folder with --data DIR".to_owned(),
            Exit::Usage,
        )
    })
}

fn look(path: &Path) -> Result<(Registry, BTreeSet<InfoHash>), Refused> {
    // Opening a state folder makes it.
    if !path.join(DATABASE_FILE).exists() {
        let shown = path.display();
        return Err(failure(format!("{shown} holds no tracker's registry")));
    }
    let folder = StateFolder::open(path).map_err(failure)?;
    RegistryStore::read_offline(folder.path()).map_err(failure)
}
