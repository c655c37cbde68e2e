//! The thread that carries out what the mirrors decide.

use super::book::Mirrors;
use super::mirrored::{Mirrored, Pass};
use super::plan::{Action, Here, HereState, place};
use crate::peer::{
    AccountError, DownloadOptions, Membership, PeerError, Services, SwarmEntry, Transfer,
    WantedGroupShare, WantedPlace, now_ms, superseded,
};
use crate::storage::{MirrorOwner, MirroredShare, existing_ancestor, room};
use crate::swarm::Phase;
use crate::torrent::InfoHash;
use crate::wire::access::{AccessErrorKind, GroupId};
use crate::wire::machine::SubjectLabel;
use crate::wire::name::Label;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The pause between two reports to trackers that a group is mirrored.
const REPORT_PAUSE: Duration = Duration::from_secs(300);
/// The pause after a report that has failed.
const REPORT_AGAIN: Duration = Duration::from_secs(10);

/// Follows the groups that are mirrored.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(super) services: Arc<Services>,
    mirrors: Arc<Mirrors>,
}

/// The mirror that a pass is about.
pub(super) struct Followed<'a> {
    pub(super) id: GroupId,
    user: &'a SubjectLabel,
    folder: PathBuf,
}

/// A download that is about to begin, and what the mirror has noted of the version before.
struct Fetch {
    share: MirroredShare,
    before: Option<MirroredShare>,
}

impl Follower {
    pub(crate) fn new(services: Arc<Services>, mirrors: Arc<Mirrors>) -> Self {
        Self { services, mirrors }
    }

    /// Follows until the stop. Runs on the thread `mirror`.
    pub(crate) fn run(&self) {
        let context = &self.services.context;
        let mut reports = BTreeMap::new();
        while !context.stop.is_stopped() {
            let seen = context.changes.count();
            if let Some(user) = self.services.account.user() {
                for (id, folder) in self.mirrors.of_user(&user) {
                    let user = &user;
                    let group = self.pass(&Followed { id, user, folder });
                    if let Some(group) = group {
                        self.report(id, &group, &mut reports);
                    }
                }
            }
            self.mirrors.wait(seen, &context.stop);
        }
    }

    /// Reports to the trackers of the group that this peer mirrors it, if the last report is too
    /// old. A report that fails is made again after [`REPORT_AGAIN`].
    fn report(&self, id: GroupId, group: &Label, reports: &mut BTreeMap<GroupId, Duration>) {
        let now = self.services.context.now();
        if reports.get(&id).is_some_and(|next| now < *next) {
            return;
        }
        let reported = self.services.account.report_mirroring(group, true);
        let pause = match &reported {
            Ok(()) => REPORT_PAUSE,
            Err(error) => {
                log::debug!("{group}: cannot report that it is mirrored: {error}");
                REPORT_AGAIN
            }
        };
        reports.insert(id, now + pause);
    }

    /// All shares and downloads of this peer.
    fn here(&self) -> BTreeMap<InfoHash, Here> {
        let entries = self.services.transfers.entries().into_iter();
        let here = entries.filter_map(|entry| {
            let (state, bytes) = match &entry {
                SwarmEntry::Search(_) => (HereState::UnderWay, 0),
                SwarmEntry::Transfer(transfer) => {
                    (state_of(transfer)?, transfer.plan.selection.bytes())
                }
            };
            let path = entry.path();
            Some((entry.info_hash(), Here { path, bytes, state }))
        });
        here.collect()
    }

    /// Does what is to be done for a mirror. Returns the present name of its group, if it is known.
    fn pass(&self, of: &Followed<'_>) -> Option<Label> {
        let (here, folder) = (self.here(), &of.folder);
        let room = room(&existing_ancestor(folder));
        let planned = self.mirrors.plan(of.id, of.user, &here, room, now_ms());
        let pass = planned.filter(|_| !self.services.context.stop.is_stopped())?;
        let carried_out = match folder.is_dir() {
            true => self.carry_out(of, &pass),
            false => Err(format!(
                "{} is missing: mount its disk, or make the folder",
                folder.display()
            )),
        };
        self.note_trouble(of, carried_out.err());
        Some(pass.group)
    }

    /// Carries out a plan.
    ///
    /// # Errors
    /// What keeps the whole mirror from going on.
    fn carry_out(&self, of: &Followed<'_>, pass: &Pass) -> Result<(), String> {
        let (mut fetches, mut withdrawn) = (Vec::new(), Vec::new());
        for action in &pass.plan.actions {
            match *action {
                Action::Start(at) => fetches.extend(self.fetch_of(of, pass, at, false)),
                Action::Update(at) => fetches.extend(self.fetch_of(of, pass, at, true)),
                Action::Evict(hash) => self.remove(of, hash),
                Action::Prune(hash) => withdrawn.push(hash),
                Action::Forget(hash) => {
                    self.store(of, |mirror| mirror.stored.set_share(hash, None))
                }
            }
        }
        let asked = self.ask(of, pass);
        let answered = asked.and_then(|()| self.prune(of, pass, &withdrawn));
        if !fetches.is_empty() {
            self.fetch_all(of, pass, fetches)?;
        }
        answered
    }

    /// The download of a version in the catalogue.
    fn fetch_of(
        &self,
        of: &Followed<'_>,
        pass: &Pass,
        at: usize,
        is_update: bool,
    ) -> Option<Fetch> {
        let entry = pass.catalogue.get(at)?;
        let path = place(&of.folder, entry.name.as_str())?;
        let before = self.share(of, entry.info_hash);
        // What is there already is no work of the mirror, even if the content is the same.
        let is_foreign = !is_update && path.symlink_metadata().is_ok();
        let was_own = before
            .as_ref()
            .is_some_and(|share| share.owner == MirrorOwner::Mirror);
        let share = MirroredShare {
            name: entry.name.as_str().to_owned(),
            version: entry.version,
            info_hash: entry.info_hash,
            path,
            owner: match is_foreign && !was_own {
                true => MirrorOwner::Person,
                false => MirrorOwner::Mirror,
            },
        };
        Some(Fetch { share, before })
    }

    /// Begins downloads. They are noted first, so that after a crash the mirror knows which
    /// downloads are its own.
    ///
    /// # Errors
    /// What keeps the whole mirror from going on.
    fn fetch_all(&self, of: &Followed<'_>, pass: &Pass, fetches: Vec<Fetch>) -> Result<(), String> {
        self.store(of, |mirror| {
            mirror.on_begun(fetches.iter().map(|fetch| &fetch.share));
        });
        let mut not_begun = Vec::new();
        let mut trouble = None;
        for fetch in fetches {
            if trouble.is_some() {
                not_begun.push((fetch, None));
                continue;
            }
            match self.fetch(of, pass, &fetch.share) {
                Ok(()) => {}
                Err(PeerError::Stopping) => return Ok(()),
                Err(error) if is_of_the_whole_mirror(&error) => {
                    trouble = Some(error.to_string());
                    not_begun.push((fetch, None));
                }
                Err(error) => not_begun.push((fetch, Some(error.to_string()))),
            }
        }
        if !not_begun.is_empty() {
            let now = self.services.context.now();
            self.store(of, |mirror| {
                for (Fetch { share, before }, reason) in not_begun.drain(..) {
                    if let Some(reason) = reason {
                        mirror.on_failed(&share, &reason, now);
                        log::warn!("mirror: {}: {reason}", share.name);
                    }
                    // A person may have asked for it meanwhile.
                    let noted = mirror.stored.share(share.info_hash);
                    if noted.is_some_and(|noted| noted.owner == share.owner) {
                        mirror.stored.set_share(share.info_hash, before);
                    }
                }
            });
        }
        trouble.map_or(Ok(()), Err)
    }

    /// Begins a download, as `download_file` does.
    fn fetch(
        &self,
        of: &Followed<'_>,
        pass: &Pass,
        share: &MirroredShare,
    ) -> Result<(), PeerError> {
        let options = DownloadOptions {
            destination: WantedPlace {
                named: Some(share.path.clone()),
                is_exact: true,
                ..WantedPlace::default()
            },
            ..DownloadOptions::default()
        };
        let wanted = WantedGroupShare {
            membership: Membership {
                user: of.user.clone(),
                group: pass.group.clone(),
            },
            name: &share.name,
            only: Some(share.info_hash),
            options: &options,
        };
        let started = self.services.download_group_share(wanted, &|_, _| {});
        started.map(|_| ())
    }

    /// The name of a share or download that uses the files of a share, or some of them, and that is
    /// not of this mirror: a person may have offered them to another group.
    pub(super) fn other_user(&self, of: &Followed<'_>, share: &MirroredShare) -> Option<String> {
        let own = self.mirrors.read(of.id, of.user, |it| it.stored.own());
        let (transfers, own) = (&self.services.transfers, own.unwrap_or_default());
        let other = superseded::other_user(transfers, share.info_hash, &own, &share.path)?;
        Some(other.name().to_owned())
    }

    pub(super) fn share(&self, of: &Followed<'_>, info_hash: InfoHash) -> Option<MirroredShare> {
        let find = |mirror: &Mirrored| mirror.stored.share(info_hash).cloned();
        self.mirrors.read(of.id, of.user, find)?
    }

    /// Changes the mirror, and writes the file. If it cannot be written, what the mirror fetches
    /// now counts as a person's after a restart.
    pub(super) fn store(&self, of: &Followed<'_>, mut change: impl FnMut(&mut Mirrored)) {
        let stored = self.mirrors.change(of.id, of.user, |mirror| {
            change(mirror);
            true
        });
        if let Err(error) = stored {
            log::warn!("mirror: {error}");
        }
    }

    /// Changes what is not stored of the mirror.
    pub(super) fn update(&self, of: &Followed<'_>, mut change: impl FnMut(&mut Mirrored)) {
        // The file is not written, so this cannot fail.
        let _ = self.mirrors.change(of.id, of.user, |mirror| {
            change(mirror);
            false
        });
    }

    /// Notes what keeps the whole mirror from going on, or that nothing does.
    fn note_trouble(&self, of: &Followed<'_>, reason: Option<String>) {
        let now = self.services.context.now();
        self.update(of, |mirror| mirror.set_trouble(reason.clone(), now));
    }
}

/// Whether the error is not about one share: the other shares would fail too.
fn is_of_the_whole_mirror(error: &PeerError) -> bool {
    let PeerError::Account(error) = error else {
        return false;
    };
    match error.refusal() {
        Some(
            AccessErrorKind::NotAMember
            | AccessErrorKind::UnknownGroup
            | AccessErrorKind::NotLoggedIn,
        ) => true,
        Some(_) => false,
        None => !matches!(**error, AccountError::NoSuchName(_)),
    }
}

/// `None` if it is not here any more.
fn state_of(transfer: &Transfer) -> Option<HereState> {
    Some(match transfer.phase() {
        Phase::Complete | Phase::Withdrawn { .. } => HereState::Complete,
        Phase::Failed { reason } | Phase::Lost { reason } => HereState::Failed(reason),
        Phase::Checking | Phase::Waiting { .. } | Phase::Fetching { .. } | Phase::Finishing => {
            HereState::UnderWay
        }
        Phase::Retired => return None,
    })
}
