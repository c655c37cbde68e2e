//! Commands that work on the data of a tracker and do not run one: dump, audit log, backup,
//! comparison.

use crate::base::escape;
use crate::certificate::Authority;
use crate::cli::audit;
use crate::cli::exit::{EarlyExit, Exit, early_failure};
use crate::cli::output::Output;
use crate::cli::state_folder;
use crate::cli::units::counted;
use crate::net::reachable_address;
use crate::storage::{DATABASE_FILE, RunningTracker, StateFolder, StateKind, wait_for_cluster};
use crate::system::since_1970;
use crate::torrent::InfoHash;
use crate::tracker::registry::{Change, Registry, Row};
use crate::tracker::{RegistryStore, blob_named_by, fetch_backup};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Prints the registry of a stopped tracker as JSON.
pub(super) fn dump(data: Option<PathBuf>, port: u16, output: &Output) -> Result<Exit, EarlyExit> {
    let (registry, _) = read_registry(&folder(data, port)?)?;
    let text = serde_json::to_string_pretty(&registry.dump()).map_err(early_failure)?;
    output.result(&text);
    Ok(Exit::Success)
}

/// Prints the audit log of a stopped tracker, one JSON object per line.
pub(super) fn audit(data: Option<PathBuf>, port: u16, output: &Output) -> Result<Exit, EarlyExit> {
    let (registry, _) = read_registry(&folder(data, port)?)?;
    for entry in registry.audit(usize::MAX) {
        output.result(&audit::object(&entry).to_string());
    }
    Ok(Exit::Success)
}

/// Downloads a backup from a running tracker. The cluster's key proves the right to do so.
pub(super) fn backup(
    data: Option<PathBuf>,
    port: u16,
    cluster: Option<PathBuf>,
    file: &Path,
    output: &Output,
) -> Result<Exit, EarlyExit> {
    let folder = folder(data, port)?;
    let running =
        RunningTracker::load(&folder).ok_or_else(|| early_failure(not_running(&folder)))?;
    let cluster_file = cluster.unwrap_or(running.cluster);
    let cluster: Authority =
        wait_for_cluster(&cluster_file, Duration::ZERO, |_| true).map_err(early_failure)?;
    let address = reachable_address(running.address);
    let bytes = fetch_backup(&cluster, address, file).map_err(early_failure)?;
    output.result(&format!(
        "wrote {bytes} bytes to {}",
        escape(&file.to_string_lossy())
    ));
    output.note(
        "the backup contains the keys of the cluster and of groups, and the hashes of passwords; keep it as safe as the trackers",
    );
    Ok(Exit::Success)
}

/// Prints each difference between the registries of two stopped trackers.
pub(super) fn check(first: &Path, second: &Path, output: &Output) -> Result<Exit, EarlyExit> {
    let (registry_1, blobs_1) = read_registry(first)?;
    let (registry_2, blobs_2) = read_registry(second)?;
    let mut differences: Vec<String> = registry_1
        .differences(&registry_2, since_1970())
        .iter()
        .map(ToString::to_string)
        .collect();
    let blob_line =
        |place| move |hash: &InfoHash| format!("info dictionary {hash}: in the {place} only");
    // Blobs of removed shares and users do not count: each tracker drops them at a time of its own.
    let nothing = Change::default();
    let named_by_rows: BTreeSet<InfoHash> = [&registry_1, &registry_2]
        .iter()
        .flat_map(|registry| {
            let needs_blob = |row: &&Row| !registry.is_of_removed_publisher(row, &nothing);
            registry.rows().filter(needs_blob).filter_map(blob_named_by)
        })
        .collect();
    let only = |blobs: &BTreeSet<InfoHash>, others: &BTreeSet<InfoHash>| -> BTreeSet<InfoHash> {
        let missing = blobs.difference(others).copied();
        missing
            .filter(|hash| named_by_rows.contains(hash))
            .collect()
    };
    differences.extend(only(&blobs_1, &blobs_2).iter().map(blob_line("first")));
    differences.extend(only(&blobs_2, &blobs_1).iter().map(blob_line("second")));
    let (vector_1, vector_2) = (registry_1.version_vector(), registry_2.version_vector());
    for (name, missing) in [
        ("first", vector_1.behind(vector_2)),
        ("second", vector_2.behind(vector_1)),
    ] {
        if missing > 0 {
            differences.push(format!(
                "the {name} lacks {} that the other has",
                counted(missing, "write")
            ));
        }
    }
    for line in &differences {
        output.result(&escape(line));
    }
    if differences.is_empty() {
        output.result(&format!(
            "both have the same {} rows",
            registry_1.rows().count()
        ));
    }
    Ok(Exit::of(differences.is_empty()))
}

/// The error if no tracker runs.
pub(super) fn not_running(folder: &Path) -> String {
    format!(
        "no tracker is running with the state folder {}; start it, or name another folder with --data",
        folder.display()
    )
}

/// The state folder to work on: the one of `--data`, else the default one of `port`.
pub(super) fn folder(data: Option<PathBuf>, port: u16) -> Result<PathBuf, EarlyExit> {
    let path = data.map_or_else(
        || state_folder::default_path(StateKind::Tracker, port).ok(),
        Some,
    );
    path.ok_or_else(|| {
        (
            "no state folder is known; name it with --data DIR".to_owned(),
            Exit::Usage,
        )
    })
}

fn read_registry(path: &Path) -> Result<(Registry, BTreeSet<InfoHash>), EarlyExit> {
    // Checked first, because opening a state folder creates it.
    if !path.join(DATABASE_FILE).exists() {
        let path = path.display();
        return Err(early_failure(format!(
            "{path} has no tracker's registry; name the state folder of a tracker"
        )));
    }
    let folder = StateFolder::open_for(StateKind::Tracker, path).map_err(early_failure)?;
    RegistryStore::read_offline(folder.path()).map_err(early_failure)
}
