//! The command `upload_file`: publishes a share in a group.
//!
//! Hashing may take hours. So what would be refused after it is refused before it, as far as the
//! trackers know. If the group gets another name meanwhile, the share is published under that name:
//! the share belongs to the authority of the group, which stays the same.

use super::groups::save;
use super::new_share::{HashedShare, NewShare};
use crate::base::command_text;
use crate::certificate::Fingerprint;
use crate::peer::{
    AccountError, GroupShare, IssuedCertificate, Membership, OpenFiles, Peer, PeerError,
    PublishOptions, Transfer, TransferPlan, refuse_if_being_replaced,
};
use crate::storage::{
    Arrangement, CreateOptions, RecordKind, ShareDraft, ShareVersion, SharedPath, Store,
    is_same_entry,
};
use crate::torrent::{Info, InfoHash};
use crate::wire::access::{AccessErrorKind, AccessRefusal, only_reads};
use crate::wire::control::TextLine;
use crate::wire::name::Label;
use crate::wire::role::Role;
use std::path::Path;
use std::sync::Arc;

/// A share, or a version of a share, that was added to a group's catalogue.
#[derive(Clone, Debug)]
pub struct Uploaded {
    /// The share.
    pub share: NewShare,
    /// Whether the newest version in the catalogue had the same content already. This peer then
    /// shares it too.
    pub again: bool,
    /// The number of the version. `None` if no tracker has said it.
    pub version: Option<u32>,
}

/// A version that the catalogue lists.
struct Published {
    membership: Membership,
    again: bool,
}

impl Peer {
    /// Hashes a file or folder, adds it to a group's catalogue, records it and shares it. With
    /// `options.update` it may become the next version of the share that has its name. Then the
    /// version that was shared from the same path ends here. `progress` is called with the number
    /// of bytes hashed so far and the number of all bytes.
    ///
    /// # Errors
    /// When the user is not logged in, not a member or only a reader, the group has another share
    /// of this name and it may not be updated, this peer has the share at another path, no tracker
    /// answers, something cannot be read or written, or the peer is stopping.
    pub fn upload_file(
        &self,
        group: &Label,
        path: &Path,
        publish: &PublishOptions,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Uploaded, PeerError> {
        let membership = self.membership(group)?;
        let group = self.services.groups.of(&membership);
        let IssuedCertificate { authority, role } =
            self.services.groups.certify(self.account(), &group)?;
        if role < Role::Publisher {
            return Err(not_a_publisher(&membership.group).into());
        }
        let path = std::path::absolute(path).map_err(PeerError::file(path))?;
        refuse_if_being_replaced(&self.transfers, &path)?;
        let pem = authority.to_pem();
        let listed = self.listed_version(&membership.group, &path);
        let options = CreateOptions {
            arrangement: Arrangement::of_version_after(listed.as_ref()),
            private: true,
            file_sha1: true,
            ssl_cert: Some(&pem),
            follows_links: publish.follow_links,
            ..CreateOptions::default()
        };
        let draft = ShareDraft::new(&path, &options)?;
        let reserved = self.context.records.reserve(draft.torrent_length())?;
        if !publish.update {
            check_name_is_free(&membership.group, listed.as_ref(), draft.info())?;
        }
        let command = self.services.commands.current();
        let HashedShare {
            share,
            metainfo,
            store,
        } = HashedShare::hash(draft, &path, progress, command.flag())?;
        drop(reserved);
        let Published { membership, again } = self.publish(
            membership,
            authority.fingerprint(),
            metainfo.info(),
            publish,
        )?;
        let version = self.published_version(&membership.group, metainfo.info());
        let number = version.as_ref().map(|version| version.number);
        let shared = SharedPath {
            path: path.clone(),
            follows_links: publish.follow_links,
        };
        let transfer = self.new_transfer(TransferPlan {
            group: Some({
                let others = self.other_versions_at(&membership, &path, metainfo.info());
                GroupShare::new(membership, version).superseding(others, false)
            }),
            ..TransferPlan::new(metainfo, RecordKind::Share(shared))
        })?;
        self.start_published(&transfer, &path, store)?;
        Ok(Uploaded {
            share,
            again,
            version: number,
        })
    }

    /// Starts a share that the catalogue lists. Ends the versions that it supersedes.
    fn start_published(
        &self,
        transfer: &Arc<Transfer>,
        path: &Path,
        store: Arc<Store>,
    ) -> Result<(), PeerError> {
        match self.start_transfer(Arc::clone(transfer), OpenFiles::Whole(store), save) {
            // The same path is shared already: that transfer goes on unchanged.
            Err(PeerError::Already { path: other, .. }) if other == path => {}
            Err(error) => return Err(error),
            Ok(()) => {
                if !transfer.supersedes().is_empty() {
                    transfer.end_former_versions();
                    transfer.update_record();
                }
            }
        }
        Ok(())
    }

    /// The other versions that this peer shares with the group from the same place, published or
    /// downloaded. Their files are not there any more.
    fn other_versions_at(
        &self,
        membership: &Membership,
        path: &Path,
        info: &Info,
    ) -> Vec<InfoHash> {
        let transfers = self.transfers.of_groups().into_iter();
        let others = transfers.filter(|transfer| {
            transfer.info_hash() != info.info_hash()
                && transfer.name() == info.name().as_str()
                && (!transfer.plan.is_download() || transfer.as_former_version().is_some())
                && is_same_entry(&transfer.plan.path(), path)
                && transfer.membership().as_ref() == Some(membership)
        });
        others.map(|transfer| transfer.info_hash()).collect()
    }

    /// The version that the catalogue lists with this content. `None` if no tracker says it now:
    /// the share is published nevertheless.
    fn published_version(&self, group: &Label, info: &Info) -> Option<ShareVersion> {
        let newest = self.account().share(group, info.name().as_str()).ok();
        if let Some(newest) = newest.filter(|it| it.info.info_hash() == info.info_hash()) {
            return Some(newest.version);
        }
        // Another version was published meanwhile, or another share has the name without a tag.
        let listed = self.account().files(group, true).ok()?.into_iter();
        let mut listed = listed.filter(|entry| entry.info_hash == info.info_hash());
        let name = listed.next()?.name;
        let found = self.account().share(group, name.as_str()).ok()?;
        (found.info.info_hash() == info.info_hash()).then_some(found.version)
    }

    /// Adds a share to the catalogue of the group that has this authority. `membership` names the
    /// group as it was called before the hashing; that of the result names it as it is called now.
    fn publish(
        &self,
        membership: Membership,
        authority: Fingerprint,
        info: &Info,
        options: &PublishOptions,
    ) -> Result<Published, AccountError> {
        match self.publish_in(&membership.group, info, options) {
            Err(error) if may_be_another_group(&error) => {
                let membership = self.renamed_group(&membership, authority).ok_or(error)?;
                let again = self.publish_in(&membership.group, info, options)?;
                Ok(Published { membership, again })
            }
            published => Ok(Published {
                membership,
                again: published?,
            }),
        }
    }

    fn publish_in(
        &self,
        group: &Label,
        info: &Info,
        options: &PublishOptions,
    ) -> Result<bool, AccountError> {
        match self.account().publish(group, info, options) {
            Ok(()) => Ok(false),
            Err(AccountError::Refused(refused)) if refused.kind == AccessErrorKind::ShareExists => {
                match self.is_in_catalogue(group, info)? {
                    true => Ok(true),
                    false => Err(AccountError::Refused(refused)),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// The membership in the group that has this authority, if its name is not the one in `former`:
    /// first the name that answers to announces have reported, then the names of all groups of the
    /// user. A certificate shows the authority of a group.
    fn renamed_group(&self, former: &Membership, authority: Fingerprint) -> Option<Membership> {
        let names = &self.context.group_names;
        let reported = names.present(Some(authority), &former.group);
        let own = || {
            let groups = self.account().groups().unwrap_or_default().into_iter();
            groups.filter_map(|group| group.own_role.map(|_| group.name))
        };
        let others = std::iter::once(reported).chain(std::iter::once_with(own).flatten());
        let named = |group| Membership {
            group,
            ..former.clone()
        };
        others
            .filter(|name| *name != former.group)
            .map(named)
            .find(|membership| {
                let group = self.services.groups.of(membership);
                let issued = self.services.groups.certify(self.account(), &group);
                issued.is_ok_and(|issued| issued.authority.fingerprint() == authority)
            })
    }

    /// The share that the catalogue lists under the name of the file or folder at `path`. `None` if
    /// there is none, or if no tracker answers now.
    fn listed_version(&self, group: &Label, path: &Path) -> Option<Info> {
        let resolved = match path.file_name() {
            Some(_) => path.to_owned(),
            // The path ends in `..`.
            None => path.canonicalize().ok()?,
        };
        let name = resolved.file_name()?.to_str()?;
        let found = self.account().share(group, name).ok()?;
        // A name such as `NAME@2` may mean a version of another share. Then no share has this name,
        // and the tracker refuses a new one.
        (!found.is_named_version(name)).then_some(found.info)
    }

    /// Whether the catalogue lists exactly this content under its name.
    fn is_in_catalogue(&self, group: &Label, info: &Info) -> Result<bool, AccountError> {
        let other = self.account().metainfo(group, info.name().as_str())?;
        Ok(other.info_hash() == info.info_hash())
    }
}

/// Refuses a share if the catalogue lists other files under its name. If no tracker answered, the
/// share is accepted here and may be refused when it is published.
fn check_name_is_free(
    group: &Label,
    listed: Option<&Info>,
    info: &Info,
) -> Result<(), AccountError> {
    if listed.is_none_or(|other| other.has_same_files(info)) {
        return Ok(());
    }
    let name = info.name().as_str();
    let stop = command_text("stop_share", &[&group.to_string(), name], &[]);
    let message = format!(
        "{group} already has a share {name}; publish yours as its next version with --update, \
         rename yours, or stop the other one with {stop}"
    );
    Err(AccountError::Refused(AccessRefusal {
        kind: AccessErrorKind::ShareExists,
        message: TextLine::new(&message),
        retry_seconds: None,
    }))
}

/// Whether the refusal of a share may mean that the group has another name now. Another group may
/// have the former name.
fn may_be_another_group(error: &AccountError) -> bool {
    matches!(
        error.refusal(),
        Some(
            AccessErrorKind::UnknownGroup
                | AccessErrorKind::NotAMember
                | AccessErrorKind::NotAPublisher
                | AccessErrorKind::BadRequest
        )
    )
}

/// The refusal of a share that a reader wants to publish, as a tracker refuses it.
fn not_a_publisher(group: &Label) -> AccountError {
    AccountError::Refused(AccessRefusal {
        kind: AccessErrorKind::NotAPublisher,
        message: TextLine::new(&only_reads(group)),
        retry_seconds: None,
    })
}
