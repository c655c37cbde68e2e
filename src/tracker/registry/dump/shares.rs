//! Versions of shares in a dump.

use super::texts::{stamp_text, version_and_account, version_text};
use crate::tracker::registry::{Registry, Share};
use serde::Serialize;

/// A version of a share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShareDump {
    /// Its id.
    pub id: String,
    /// The group.
    pub group: String,
    /// The name of the share in the catalogue, with a tag if another share holds the name.
    pub name: String,
    /// The info-hash of its swarm.
    pub info_hash: String,
    /// Its length in bytes.
    pub length: u64,
    /// The account that published it.
    pub publisher: String,
    /// The write that created it.
    pub created: String,
    /// What the publisher says about it; left out if there is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Which version of the share it is; left out for a first version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edition: Option<EditionDump>,
    /// The write that withdrew it, and the account that withdrew it.
    pub withdrawn: Option<(String, String)>,
}

/// Which version of a share a row is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EditionDump {
    /// The id of the share: that of its first version.
    pub first: String,
    /// Since when the share claims its name.
    pub since: String,
    /// The number of the version.
    pub number: u32,
    /// The write that gave the number.
    pub written: String,
    /// The name by which the version can be requested; `null` if it is not listed.
    pub name: Option<String>,
}

pub(super) fn share(registry: &Registry, row: &Share) -> ShareDump {
    let (edition, written) = (&row.edition.value, row.edition.version);
    let edition = (!row.is_first_version()).then(|| EditionDump {
        first: edition.first.to_string(),
        since: stamp_text(edition.since),
        number: edition.number,
        written: version_text(written),
        name: registry.version_name(row),
    });
    ShareDump {
        id: row.id.to_string(),
        group: row.group.to_string(),
        name: registry.share_name(row),
        info_hash: row.info_hash.to_string(),
        length: row.length,
        publisher: row.publisher.to_string(),
        created: version_text(row.created),
        note: row.note.as_ref().map(ToString::to_string),
        edition,
        withdrawn: row.withdrawn.as_ref().map(version_and_account),
    }
}
