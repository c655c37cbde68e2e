//! The catalogues of groups: publishing shares and new versions of them, lists, and the info
//! dictionaries. Out of scope: the rules of the catalogue (`registry`).

use super::{
    Hints, IdempotencyKey, IdempotentWrites, InfoCache, InfoPartError, InfoUploads, PAGE_LENGTH,
    RequestContext, UploadError, from_refusal, from_write_error, group_authority, no_certificate,
    own_groups, refused,
    views::{cursor_text, parse_cursor},
};
use crate::certificate::{GroupAuthority, GroupCertificate};
use crate::torrent::Info;
use crate::tracker::registry::{
    AccountQuotas, Label, NewShare, Registry, RowId, ShareCursor, ShareView,
};
use crate::tracker::store::RegistryStore;
use crate::tracker::swarms::Swarms;
use crate::wire::access::{
    AccessAnswer, AccessErrorKind, AccessRefusal, AccessRequest, FileEntry, ListPage, MeantVersion,
    MetainfoPart, ShortText,
};
use crate::wire::control::InfoPart;
use crate::wire::note::Note;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

/// Answers requests about the catalogues of groups.
#[derive(Debug)]
pub(super) struct Catalogues {
    store: Arc<RegistryStore>,
    writes: IdempotentWrites,
    uploads: InfoUploads,
    info_cache: InfoCache,
    /// The swarms of groups, which count the peers of each version.
    swarms: Arc<Swarms>,
    hints: Arc<Hints>,
    quotas: AccountQuotas,
    epoch: Instant,
}

/// A part of what a user wants to publish in a group.
struct Publication<'a> {
    group: &'a Label,
    part: &'a InfoPart,
    is_update: bool,
    note: Option<&'a Note>,
}

impl Catalogues {
    pub(super) fn new(
        store: Arc<RegistryStore>,
        swarms: Arc<Swarms>,
        hints: Arc<Hints>,
        quotas: AccountQuotas,
    ) -> Self {
        Self {
            writes: IdempotentWrites::new(Arc::clone(&store)),
            uploads: InfoUploads::default(),
            info_cache: InfoCache::default(),
            swarms,
            hints,
            quotas,
            epoch: Instant::now(),
            store,
        }
    }

    /// Publishes or withdraws.
    pub(super) fn answer_write(
        &self,
        context: &RequestContext<'_>,
        key: &IdempotencyKey,
        ask: &AccessRequest,
    ) -> Result<AccessAnswer, AccessRefusal> {
        match ask {
            AccessRequest::Publish {
                group,
                part,
                update,
                note,
                ..
            } => {
                let publication = Publication {
                    group,
                    part,
                    is_update: *update,
                    note: note.as_ref(),
                };
                self.publish(context, key, &publication)
            }
            AccessRequest::Withdraw {
                group, name, seen, ..
            } => {
                let account = context.login.account;
                let what = format!("withdraws {} from {group}", name.as_str());
                let withdraw = |registry: &Registry, now| {
                    registry.withdraw(account, group, name.as_str(), *seen, now)
                };
                let step = |registry: &Registry| registry.step_of_withdrawal(group, name.as_str());
                while let Some(next) = self.store.read(step) {
                    self.writes
                        .write(context, &key.step(next), &what, withdraw)?;
                }
                self.writes.write(context, key, &what, withdraw)
            }
            _ => Err(not_about_catalogues()),
        }
    }

    /// Answers a request for a list or an info dictionary.
    pub(super) fn answer_read(
        &self,
        account: RowId,
        ask: &AccessRequest,
    ) -> Result<AccessAnswer, AccessRefusal> {
        match ask {
            AccessRequest::ListFiles {
                group,
                versions,
                after,
            } => self.list_files(account, group, *versions, after.clone()),
            AccessRequest::Metainfo {
                group,
                name,
                offset,
            } => self.metainfo(account, group, name, *offset),
            AccessRequest::FindVersion { group, name } => {
                let meant = self.meant_version(account, group, name)?;
                Ok(AccessAnswer::Version(meant))
            }
            _ => Err(not_about_catalogues()),
        }
    }

    fn publish(
        &self,
        context: &RequestContext<'_>,
        key: &IdempotencyKey,
        publication: &Publication<'_>,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let (account, group) = (context.login.account, publication.group);
        // Only those who may publish may make the tracker store anything.
        let may_publish = |registry: &Registry| registry.check_may_publish(account, group);
        self.store.read(may_publish).map_err(from_refusal)?;
        let authority = group_authority(&self.store, account, group)?;
        self.store.check_space().map_err(from_write_error)?;
        let now = self.epoch.elapsed();
        let added = self.uploads.add(account, group, publication.part, now);
        let whole = added.map_err(|error| {
            let kind = match &error {
                UploadError::Busy => AccessErrorKind::Busy,
                UploadError::Short(_) | UploadError::Part(_) => AccessErrorKind::BadRequest,
            };
            refused(kind, error)
        })?;
        let Some(raw) = whole else {
            return Ok(AccessAnswer::Done);
        };
        let info = Info::parse(&raw).map_err(|error| unshareable(group, &error))?;
        check_made_for(group, &authority, &info)?;
        let what = match publication.is_update {
            false => format!("shares {} with {group}", info.name()),
            true => format!("shares {} with {group}, perhaps a new version", info.name()),
        };
        self.writes
            .write_with_info(context, key, &what, Some(&info), |registry, now| {
                let info_hash = info.info_hash();
                let note = publication.note;
                let new = NewShare {
                    id: key.share(registry.group_id(group)?, &info_hash.0, note),
                    name: info.name().clone(),
                    info_hash,
                    length: info.lengths().total(),
                    note: note.cloned(),
                    is_update: publication.is_update,
                };
                let update = registry.publish(account, group, new, now)?;
                let length = u64::try_from(info.raw().len()).unwrap_or(u64::MAX);
                registry.check_share_quota(account, info_hash, length, &self.quotas)?;
                Ok(update)
            })
    }

    fn list_files(
        &self,
        account: RowId,
        group: &Label,
        versions: bool,
        after: Option<ShortText>,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let mut after: Option<ShareCursor> = parse_cursor(after)?;
        let connections = self.hints.connections();
        let listed = self.store.read(|registry| {
            loop {
                let (shares, next) = match versions {
                    true => registry.share_versions(account, group, after.as_ref(), PAGE_LENGTH),
                    false => registry.shares(account, group, after.as_ref(), PAGE_LENGTH),
                }?;
                // Versions without a name are left out. An empty page would end the list.
                if shares.is_empty() && next.is_some() {
                    after = next;
                    continue;
                }
                let id = registry.group_id(group)?;
                let state = own_groups::state(registry, id, connections);
                return Ok((shares, next, state));
            }
        });
        let (shares, next, state) = listed.map_err(from_refusal)?;
        let entries = shares
            .into_iter()
            .filter_map(|share| self.file_entry(share));
        let page = ListPage {
            entries: entries.collect(),
            next: cursor_text(next.as_ref())?,
        };
        Ok(AccessAnswer::Files { page, state })
    }

    fn file_entry(&self, share: ShareView) -> Option<FileEntry> {
        let counts = self.swarms.counts(&share.info_hash);
        Some(FileEntry {
            name: ShortText::new(share.name)?,
            version: share.number,
            versions: share.versions,
            note: share.note,
            info_hash: share.info_hash,
            length: share.length,
            publisher: share.publisher,
            published_at: share.at.wall(),
            complete: counts.complete,
            partial: counts.incomplete,
        })
    }

    /// The version that a name means. The info dictionary is not needed for this.
    fn meant_version(
        &self,
        account: RowId,
        group: &Label,
        name: &ShortText,
    ) -> Result<MeantVersion, AccessRefusal> {
        let found = self.store.read(|registry| {
            let share = registry.share(account, group, name.as_str())?;
            let text = ShortText::new(registry.share_name(share));
            Ok(MeantVersion {
                info_hash: share.info_hash,
                version: share.edition.value.number,
                share: text.unwrap_or_else(|| name.clone()),
            })
        });
        found.map_err(from_refusal)
    }

    fn metainfo(
        &self,
        account: RowId,
        group: &Label,
        name: &ShortText,
        offset: u32,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let MeantVersion {
            info_hash,
            version,
            share,
        } = self.meant_version(account, group, name)?;
        let unreadable = |what: &dyn Display| {
            log::error!("the info dictionary {info_hash} of {group} cannot be read: {what}");
            refused(
                AccessErrorKind::NotSaved,
                "the tracker cannot read its data of this share; tell its operator",
            )
        };
        let read = || self.store.info(info_hash);
        let part = match self.info_cache.part(info_hash, offset, read) {
            Ok(part) => part,
            Err(InfoPartError::Part(error)) => {
                return Err(refused(AccessErrorKind::BadRequest, error));
            }
            Err(error) => return Err(unreadable(&error)),
        };
        let counts = self.swarms.counts(&info_hash);
        Ok(AccessAnswer::Metainfo(MetainfoPart {
            part,
            info_hash,
            version,
            share,
            complete: counts.complete,
            partial: counts.incomplete,
        }))
    }
}

/// Checks that an info dictionary is private and names the authority of the group.
fn check_made_for(
    group: &Label,
    authority: &GroupAuthority,
    info: &Info,
) -> Result<(), AccessRefusal> {
    let named = info
        .ssl_cert()
        .and_then(|pem| GroupCertificate::from_pem(pem.as_bytes()).ok());
    let expected = authority.certificate();
    let expected =
        expected.map_err(|error| no_certificate(&format!("of {group} itself"), &error))?;
    let is_made_for = named.map(|it| it.fingerprint()) == Some(expected.fingerprint());
    match info.private() && is_made_for {
        true => Ok(()),
        false => Err(unshareable(
            group,
            &"it is not private, or it was made for another group",
        )),
    }
}

fn unshareable(group: &Label, what: &dyn Display) -> AccessRefusal {
    let message = format!("this cannot be shared with {group}: {what}");
    refused(AccessErrorKind::BadRequest, message)
}

fn not_about_catalogues() -> AccessRefusal {
    let message = "this is no request about a catalogue";
    refused(AccessErrorKind::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torrent::InfoHash;
    use crate::wire::access::{AccessReplyMessage, GroupId, GroupState, MAX_FRAME};
    use crate::wire::note::MAX_NOTE;

    #[test]
    fn the_longest_page_of_a_catalogue_fits_into_a_frame() {
        let longest = "\u{1f600}".repeat(MAX_NOTE);
        let name = "x".repeat(64);
        let entry = FileEntry {
            name: ShortText::new("x".repeat(384)).unwrap(),
            version: u32::MAX,
            versions: u32::MAX,
            note: longest.parse().ok(),
            info_hash: InfoHash([0; 20]),
            length: u64::MAX >> 1,
            publisher: format!("{name}~00ab12ff/{name}~00ab12ff").parse().ok(),
            published_at: u64::MAX >> 1,
            complete: u32::MAX,
            partial: u32::MAX,
        };
        assert!(entry.note.is_some() && entry.publisher.is_some());
        let reply = AccessReplyMessage {
            id: u32::MAX,
            renewed: None,
            only_here: false,
            result: Ok(AccessAnswer::Files {
                page: ListPage {
                    entries: vec![entry; PAGE_LENGTH],
                    next: ShortText::new("x".repeat(384)),
                },
                state: GroupState {
                    id: GroupId([1; 16]),
                    added: u64::MAX >> 1,
                    ended: u64::MAX >> 1,
                    spread_ms: u32::MAX,
                },
            }),
        };
        let bytes = reply.encode();
        assert!(AccessReplyMessage::decode(&bytes) == Ok(reply));
        let length = bytes.len();
        assert!(
            length + 1024 < usize::try_from(MAX_FRAME).unwrap(),
            "{length}"
        );
    }
}
