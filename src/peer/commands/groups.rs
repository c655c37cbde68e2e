//! What a person does with the shares of groups.

use super::stopping::{STOPPED, leave_whole};
use crate::peer::{
    AccountError, Entry, LoggedIn, LoggedOut, Membership, OpenFiles, Peer, PeerError, Started,
    Transfer, TransferPlan, already, is_alike, place, whole_at,
};
use crate::storage::{
    CreateOptions, Download, FileLayout, Mode, Others, RecordKind, Store, StoreError,
    create_stamped,
};
use crate::torrent::{Info, InfoHash, Metainfo};
use crate::wire::access::{ErrorKind, FileEntry, NewsEntry, Outcome};
use crate::wire::name::Label;
use crate::wire::password::Password;
use std::path::Path;
use std::sync::Arc;

/// A share that a group has by now.
#[derive(Clone, Debug)]
pub struct Uploaded {
    /// Its name in the catalogue.
    pub name: String,
    /// Its swarm.
    pub info_hash: InfoHash,
    /// Its length in bytes.
    pub length: u64,
    /// Its number of pieces.
    pub pieces: u32,
    /// Whether somebody had shared the same already: it is shared from here too.
    pub again: bool,
}

/// A share in a group's catalogue.
#[derive(Clone, Debug)]
pub struct ListedFile {
    /// What the catalogue says.
    pub entry: FileEntry,
    /// Whether it is shared or downloaded here.
    pub here: bool,
}

impl Peer {
    /// Logs in; what is shared and downloaded in groups in that user's name goes on.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn login(&self, user: &Label, password: Password) -> Result<LoggedIn, AccountError> {
        let session = self.account().login(user, password)?;
        self.services.group_announcer.wake();
        Ok(session)
    }

    /// Logs out; what is shared and downloaded in groups in that user's name rests until the next log-in.
    ///
    /// # Errors
    /// See [`AccountError`]; the session is as it was.
    pub fn logout(&self) -> Result<LoggedOut, AccountError> {
        let user = self.account().user().ok_or(AccountError::NotLoggedIn)?;
        let is_theirs = |membership: &Membership| membership.user == user;
        self.end_session("its user has logged out", is_theirs, || {
            self.account().logout()
        })
    }

    /// Leaves a group; as its last member only if `end` says so, which ends the group. Nothing of it is shared or
    /// downloaded here any more.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn leave_group(&self, label: &Label, end: bool) -> Result<(), AccountError> {
        let user = self.account().user().ok_or(AccountError::NotLoggedIn)?;
        let is_it = |it: &Membership| it.user == user && it.group == *label;
        self.end_session("its user has left the group", is_it, || {
            self.account().leave_group(label.clone(), end)
        })
    }

    /// Does what ends somebody's part in these groups, for this reason: the trackers are told first, as nobody can say it
    /// any more afterwards, and what is under way ends with it. If it is not done, all of it goes on.
    fn end_session<T>(
        &self,
        reason: &str,
        whose: impl Fn(&Membership) -> bool,
        end: impl FnOnce() -> Result<T, AccountError>,
    ) -> Result<T, AccountError> {
        self.services.group_announcer.rest(&whose);
        let ended = end();
        if ended.is_ok() {
            for group in self.services.groups.all() {
                if whose(&group.membership) {
                    group.suspend();
                }
            }
            for transfer in self.transfers.transfers() {
                if transfer.plan.group.as_ref().is_some_and(&whose) {
                    transfer.close_links(reason);
                }
            }
        }
        self.services.group_announcer.wake();
        self.context.changes.notify();
        ended
    }

    /// Hashes a file or folder, puts it into a group's catalogue, remembers and offers it. `progress` is told bytes done
    /// and all bytes.
    ///
    /// # Errors
    /// When the user may not, something cannot be read or written, or the peer is stopping.
    pub fn upload_file(
        &self,
        group: &Label,
        path: &Path,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Uploaded, PeerError> {
        let membership = self.membership(group)?;
        let account = self.account();
        let group = self.services.groups.of(&membership);
        let certificate = self.services.groups.certify(account, &group)?;
        let path = std::path::absolute(path).map_err(PeerError::file(path))?;
        let pem = certificate.to_pem();
        let options = CreateOptions {
            piece_length: None,
            private: true,
            file_sha1: true,
            ssl_cert: Some(&pem),
        };
        let (info, stamps) = create_stamped(&path, &options, progress, &self.context.interrupt)?;
        let mut uploaded = Uploaded {
            name: info.name().to_string(),
            info_hash: info.info_hash(),
            length: info.lengths().total(),
            pieces: info.lengths().pieces(),
            again: false,
        };
        // What is to be served must be there before others learn of it.
        let store = Store::open(FileLayout::all(Arc::new(info.clone())), &path)?;
        store.stamps()?;
        store.seal(&stamps);
        match account.publish(&membership.group, &info) {
            Ok(()) => {}
            Err(AccountError::Refused(refused)) if refused.kind == ErrorKind::ShareExists => {
                if !self.is_in_catalogue(&membership.group, &info)? {
                    return Err(AccountError::Refused(refused).into());
                }
                uploaded.again = true;
            }
            Err(error) => return Err(error.into()),
        }
        let metainfo = Metainfo::new(info, Vec::new());
        let transfer = self.new_transfer(TransferPlan {
            group: Some(membership),
            ..TransferPlan::new(metainfo, RecordKind::Share(path.clone()))
        })?;
        match self.take_up(transfer, OpenFiles::Whole(Arc::new(store)), keep) {
            // What is offered from that place already goes on as it is.
            Err(PeerError::Already { path: other, .. }) if other == path => {}
            taken_up => taken_up?,
        }
        Ok(uploaded)
    }

    /// The catalogue of a group, sorted by name.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn list_files(&self, group: &Label) -> Result<Vec<ListedFile>, AccountError> {
        let files = self.account().files(group)?;
        let user = self.account().user();
        let listed = files.into_iter().map(|entry| ListedFile {
            here: self
                .transfers
                .transfer(entry.info_hash)
                .is_some_and(|transfer| !transfer.has_failed() && is_of(&transfer, user.as_ref())),
            entry,
        });
        Ok(listed.collect())
    }

    /// Starts fetching a share of a group: into `destination` if that is a folder, under that name if not; without one
    /// into the current folder. A file that is there is kept if it has the same content, and with `force` replaced if not, once
    /// the download is whole; until then, and if it fails, it stands as it was.
    ///
    /// # Errors
    /// When the user may not, the destination cannot be used, or it is here already.
    pub fn download_file(
        &self,
        group: &Label,
        name: &str,
        destination: Option<&Path>,
        force: bool,
    ) -> Result<Started, PeerError> {
        let membership = self.membership(group)?;
        let info = self.account().metainfo(&membership.group, name)?;
        let metainfo = Metainfo::new(info, Vec::new());
        let place = place(&metainfo, destination)?;
        let started = Started::new(metainfo.info(), place.path());
        if let Some(entry) = self.transfers.entry(started.info_hash) {
            if !entry.has_failed() {
                return Err(match &entry {
                    Entry::Transfer(other) if !is_of(other, Some(&membership.user)) => {
                        of_another(other)
                    }
                    _ => already(&entry),
                });
            }
            // Its user may have it again: what is here is shared from here.
            if let Entry::Transfer(other) = entry
                && is_of(&other, Some(&membership.user))
                && other.plan.path() == started.path
                && other.restore()
            {
                self.services.group_announcer.wake();
                return Ok(started);
            }
        }
        let info = Arc::new(metainfo.info().clone());
        let layout = FileLayout::all(Arc::clone(&info));
        let mut replaces = false;
        let files = match Download::open(layout.clone(), &place, Mode::New) {
            Err(StoreError::Exists(path)) => {
                match whole_at(&info, &path, &|_, _| {}, &self.context.interrupt)? {
                    Some(store) => OpenFiles::Whole(Arc::new(store)),
                    None => {
                        is_alike(&info, &path)?;
                        if !force {
                            return Err(PeerError::OtherContent(path));
                        }
                        replaces = true;
                        let mode = Mode::Replace(Others::Removed);
                        OpenFiles::Partial(Arc::new(Download::open(layout, &place, mode)?))
                    }
                }
            }
            opened => OpenFiles::Partial(Arc::new(opened?)),
        };
        let transfer = self.new_transfer(TransferPlan {
            group: Some(membership),
            replaces,
            ..TransferPlan::new(metainfo, RecordKind::Download(place))
        })?;
        self.take_up(transfer, files, keep)?;
        Ok(started)
    }

    /// Ends the sharing of a share, or a download, of a group from here; and takes it off the group's catalogue if the
    /// user published it or owns the group. Says whether it is off the catalogue.
    ///
    /// # Errors
    /// When it is neither here nor the user's to withdraw.
    pub fn stop_share(&self, group: &Label, name: &str) -> Result<bool, PeerError> {
        let membership = self.membership(group)?;
        let info = self.account().metainfo(&membership.group, name);
        let info_hash = info.ok().map(|info| info.info_hash());
        let of_group = self.transfers.transfers().into_iter().filter(|transfer| {
            let other = transfer.plan.group.as_ref();
            other.is_some_and(|other| other.group == membership.group)
        });
        let (same, others): (Vec<_>, Vec<_>) =
            of_group.partition(|transfer| Some(transfer.info_hash()) == info_hash);
        // What the catalogue has under the name now may be another share than the one that came from here.
        let here = if same.is_empty() {
            let called = others.into_iter().filter(|other| other.name() == name);
            called.collect()
        } else {
            same
        };
        let withdrawn = match self.account().withdraw(&membership.group, name) {
            Ok(()) => true,
            Err(AccountError::Refused(refused))
                if matches!(
                    refused.kind,
                    ErrorKind::NotThePublisher
                        | ErrorKind::UnknownShare
                        | ErrorKind::NotAMember
                        | ErrorKind::UnknownGroup
                ) =>
            {
                if here.is_empty() {
                    return Err(AccountError::Refused(refused).into());
                }
                false
            }
            Err(error) => return Err(error.into()),
        };
        for transfer in here {
            self.end_sharing(&transfer)?;
        }
        self.context.changes.notify();
        Ok(withdrawn)
    }

    fn end_sharing(&self, transfer: &Arc<Transfer>) -> Result<(), PeerError> {
        if transfer.wait_until_finished().was_complete() {
            leave_whole(transfer);
        } else {
            transfer.fail(STOPPED);
        }
        self.transfers
            .forget(&Entry::Transfer(Arc::clone(transfer)));
        Ok(self.context.records.remove(transfer.info_hash())?)
    }

    /// The membership of the user who is logged in.
    fn membership(&self, group: &Label) -> Result<Membership, AccountError> {
        let user = self.account().user().ok_or(AccountError::NotLoggedIn)?;
        let group = group.clone();
        Ok(Membership { user, group })
    }

    /// What others decided about the user, as [`crate::peer::Account::news`] has it; who is a member again shares again what is here.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn news(&self) -> Result<Vec<NewsEntry>, AccountError> {
        let news = self.account().news()?;
        if news.iter().any(|entry| entry.outcome == Outcome::Accepted) {
            self.services.group_announcer.wake();
        }
        Ok(news)
    }

    /// Whether the catalogue has exactly this under its name.
    fn is_in_catalogue(&self, group: &Label, info: &Info) -> Result<bool, AccountError> {
        let other = self.account().metainfo(group, info.name().as_str())?;
        Ok(other.info_hash() == info.info_hash())
    }
}

/// Remembers a transfer for the next start.
fn keep(transfer: &Transfer) -> Result<(), PeerError> {
    Ok(transfer.create_record()?)
}

/// It is here for a user who is not logged in, so that it is not shared now.
fn of_another(other: &Transfer) -> PeerError {
    let what = "here for another user, who is not logged in";
    PeerError::already(other.name(), what, other.plan.path())
}

/// Whether it is shared and downloaded in that user's name.
fn is_of(transfer: &Transfer, user: Option<&Label>) -> bool {
    transfer.plan.group.as_ref().map(|it| &it.user) == user
}
