//! What a user asks trackers about the shares of groups: certificates, catalogues, announces.

use super::certified::Certified;
use super::{
    Account, AccountError, FoundShare, OpenAttempts, PublishOptions, cannot_answer_now,
    expect_done, new_write_id,
};
use crate::certificate::MemberKey;
use crate::torrent::{Info, InfoHash};
use crate::wire::access::{
    AccessAnswer, AccessErrorKind, AccessRequest, AnnounceBatch, AnnounceBatchAnswer, FileEntry,
    GroupState, KeyRequest, MeantVersion, MetainfoAssembly, MetainfoError, MetainfoPart, ShortText,
};
use crate::wire::control::InfoPart;
use crate::wire::name::Label;
use std::collections::HashSet;

/// The maximum number of attempts of one upload, because a tracker that stops loses the parts that
/// it has received. Also of one info dictionary to fetch, because a new version may be published.
const MAX_ATTEMPTS: u32 = 4;

impl Account {
    /// Fetches a certificate for our key, issued by the group's authority.
    pub(crate) fn certify(
        &self,
        group: &Label,
        key: &MemberKey,
    ) -> Result<Certified, AccountError> {
        let login = self.current_login()?;
        let request = key.request(login.token.as_bytes());
        let request = request.map_err(|error| AccountError::UnusableAnswer(error.to_string()))?;
        let ask = AccessRequest::Certify {
            group: group.clone(),
            request: KeyRequest(request),
        };
        match self.ask(&ask, Some(&login))? {
            AccessAnswer::Certificate {
                leaf,
                authority,
                barred,
                role,
            } => Ok(Certified {
                leaf,
                authority,
                barred,
                role,
            }),
            _ => Err(AccountError::OtherAnswer(ask.kind())),
        }
    }

    /// Puts a share, or a version of a share, into a group's catalogue.
    pub(crate) fn publish(
        &self,
        group: &Label,
        info: &Info,
        options: &PublishOptions,
    ) -> Result<(), AccountError> {
        let write = new_write_id()?;
        let (mut offset, mut attempts) = (0, 1);
        let mut open = OpenAttempts::default();
        loop {
            let part = InfoPart::of(info.raw(), offset);
            let part = part.map_err(|error| AccountError::UnusableAnswer(error.to_string()))?;
            let (end, total) = (part.end(), part.total());
            let group = group.clone();
            let ask = AccessRequest::Publish {
                write,
                group,
                part,
                update: options.update,
                note: options.note.clone(),
            };
            let answered = self
                .current_login()
                .and_then(|login| self.ask_with_attempts(&ask, Some(&login), open.clone()));
            let answered = answered.map_err(|error| open.error_for(&ask, error))?;
            open = answered.open;
            match answered.reply.result {
                Ok(answer) => {
                    expect_done(&ask, answer).map_err(|error| open.error_for(&ask, error))?
                }
                // This tracker does not have the earlier parts, so all parts are sent again. `open`
                // is kept: another tracker that has all parts may have carried out the write.
                Err(refused)
                    if refused.kind == AccessErrorKind::BadRequest
                        && offset > 0
                        && attempts < MAX_ATTEMPTS =>
                {
                    (offset, attempts) = (0, attempts + 1);
                    continue;
                }
                Err(refused) => return Err(open.error_for(&ask, refused.into())),
            }
            if end >= total {
                return Ok(());
            }
            offset = end;
        }
    }

    /// The info dictionary of a share.
    pub(crate) fn metainfo(&self, group: &Label, name: &str) -> Result<Info, AccountError> {
        Ok(self.share(group, name)?.info)
    }

    /// The version of a share that a name means.
    pub(crate) fn share(&self, group: &Label, name: &str) -> Result<FoundShare, AccountError> {
        let (raw, last) = self.raw_metainfo(group, name)?;
        let info = Info::parse(&raw).map_err(|error| {
            AccountError::UnusableAnswer(format!("{name} in {group} is no share: {error}"))
        })?;
        Ok(FoundShare::new(info, &last))
    }

    /// Which version of which share a name means. A tracker can answer this also if it lacks the
    /// info dictionary.
    pub(crate) fn meant_version(
        &self,
        group: &Label,
        name: &str,
    ) -> Result<MeantVersion, AccountError> {
        let ask = AccessRequest::FindVersion {
            group: group.clone(),
            name: sent_name(name)?,
        };
        match self.ask(&ask, Some(&self.current_login()?))? {
            AccessAnswer::Version(meant) => Ok(meant),
            _ => Err(AccountError::OtherAnswer(ask.kind())),
        }
    }

    /// Whether a peer has anything of the version that a name means, as far as a tracker knows.
    pub(crate) fn has_holder(&self, group: &Label, name: &str) -> Result<bool, AccountError> {
        let ask = AccessRequest::Metainfo {
            group: group.clone(),
            name: sent_name(name)?,
            offset: 0,
        };
        match self.ask(&ask, Some(&self.current_login()?))? {
            AccessAnswer::Metainfo(part) => Ok(part.peers() > 0),
            _ => Err(AccountError::OtherAnswer(ask.kind())),
        }
    }

    /// The bytes of the info dictionary, and the answer with its last part.
    fn raw_metainfo(
        &self,
        group: &Label,
        name: &str,
    ) -> Result<(Vec<u8>, MetainfoPart), AccountError> {
        let login = self.current_login()?;
        let (mut assembly, mut attempts) = (MetainfoAssembly::default(), 1);
        loop {
            let ask = AccessRequest::Metainfo {
                group: group.clone(),
                name: sent_name(name)?,
                offset: assembly.offset(),
            };
            let part = match self.ask(&ask, Some(&login)) {
                Ok(AccessAnswer::Metainfo(part)) => part,
                Ok(_) => return Err(AccountError::OtherAnswer(ask.kind())),
                Err(AccountError::Refused(refused))
                    if refused.kind == AccessErrorKind::BadRequest
                        && attempts < MAX_ATTEMPTS
                        && assembly.begin_again() =>
                {
                    attempts += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            match assembly.add(&part) {
                Ok(Some(whole)) => return Ok((whole, part)),
                Ok(None) => {}
                Err(MetainfoError::OtherVersion) if attempts < MAX_ATTEMPTS => attempts += 1,
                Err(error) => return Err(AccountError::UnusableAnswer(error.to_string())),
            }
        }
    }

    /// Removes a share, or a version of a share, from a group's catalogue. `seen` is the info-hash
    /// of the version that the name meant when this peer asked for it.
    pub(crate) fn withdraw(
        &self,
        group: &Label,
        name: &str,
        seen: InfoHash,
    ) -> Result<(), AccountError> {
        self.ask_done(&AccessRequest::Withdraw {
            write: new_write_id()?,
            group: group.clone(),
            name: sent_name(name)?,
            seen,
        })
    }

    /// Announces to a group's swarms at the trackers of the group, and calls `on_answer` with each
    /// answer. Succeeds if one tracker accepts. Then returns a text about trouble with the other
    /// trackers or with the login file, if there is any.
    pub(crate) fn announce(
        &self,
        group: &Label,
        announces: AnnounceBatch,
        mut on_answer: impl FnMut(AnnounceBatchAnswer),
    ) -> Result<Option<String>, AccountError> {
        let login = self.current_login()?;
        let swarm_count = announces.swarms().len();
        let ask = AccessRequest::Announce(announces);
        let (mut is_accepted, mut refused, mut troubles) = (false, None, Vec::new());
        self.trackers
            .ask_trackers_of_group(group, &ask, Some(&login.token), |answered| match answered {
                Ok(reply) => {
                    if let Some(renewed) = &reply.renewed
                        && let Err(error) = self.replace_token(&login.token, Some(renewed), false)
                    {
                        troubles.push(error.to_string());
                    }
                    match reply.result {
                        Ok(AccessAnswer::Peers(peers)) if peers.swarms.len() == swarm_count => {
                            is_accepted = true;
                            on_answer(peers);
                        }
                        Ok(_) => {
                            troubles.push(AccountError::OtherAnswer(ask.kind()).to_string());
                        }
                        // The refusal says nothing about the login or the announce.
                        Err(error) if cannot_answer_now(error.kind) => {
                            troubles.push(error.to_string());
                        }
                        Err(error) => refused = Some(error),
                    }
                }
                Err(trouble) => troubles.push(trouble),
            })?;
        // A silent tracker may still accept the login of a person. A machine does not wait for that
        // tracker: it logs in again.
        let is_unanimous = !is_accepted && (troubles.is_empty() || self.machine.is_some());
        if let Some(refused) = &refused
            && self.is_login_over(refused, is_unanimous)
        {
            self.on_login_over(&login.token, refused)?;
            return Err(AccountError::Refused(refused.clone()));
        }
        match refused {
            refused if is_accepted => {
                troubles.extend(refused.map(|refused| refused.to_string()));
                Ok(Some(troubles.join("; ")).filter(|troubles| !troubles.is_empty()))
            }
            // Every tracker answered. Otherwise a silent one might still accept the announce.
            Some(refused) if troubles.is_empty() => Err(AccountError::Refused(refused)),
            refused => {
                troubles.extend(refused.map(|refused| refused.to_string()));
                Err(AccountError::NoFinalAnswer(troubles.join("; ")))
            }
        }
    }

    /// Reports `changed` to the trackers of the group: those of its shares that the user published
    /// and whose files have changed. Returns all shares of the group whose files have changed, as
    /// far as the trackers know, including those of other publishers.
    ///
    /// # Errors
    /// [`AccountError::NoFinalAnswer`] if no tracker answers; otherwise see [`AccountError`].
    pub(crate) fn changed_shares(
        &self,
        group: &Label,
        changed: Vec<InfoHash>,
    ) -> Result<HashSet<InfoHash>, AccountError> {
        let (mut all_changed, mut is_answered, mut troubles) = (HashSet::new(), false, Vec::new());
        let login = self.current_login()?;
        let ask = AccessRequest::ChangedShares {
            group: group.clone(),
            changed,
        };
        self.trackers
            .ask_trackers_of_group(group, &ask, Some(&login.token), |answered| match answered {
                Ok(reply) => {
                    is_answered = true;
                    if let Ok(AccessAnswer::ChangedShares(some)) = reply.result {
                        all_changed.extend(some);
                    }
                }
                Err(trouble) => troubles.push(trouble),
            })?;
        match is_answered {
            true => Ok(all_changed),
            false => Err(AccountError::NoFinalAnswer(troubles.join("; "))),
        }
    }

    /// The catalogue of a group, sorted by name: an entry for each share, or with `versions` for
    /// each version.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn files(&self, group: &Label, versions: bool) -> Result<Vec<FileEntry>, AccountError> {
        Ok(self.file_pages(group, versions)?.0)
    }

    /// The catalogue of a group, sorted by name, with an entry for each share, and its state.
    ///
    /// # Errors
    /// [`AccountError::UnusableAnswer`] if the name of the group means another group in a later
    /// page; otherwise see [`AccountError`].
    pub(crate) fn catalogue(
        &self,
        group: &Label,
    ) -> Result<(Vec<FileEntry>, PageStates), AccountError> {
        let (files, states) = self.file_pages(group, false)?;
        let states = PageStates::of(&states).ok_or_else(|| {
            AccountError::UnusableAnswer("a list with the shares of two groups".to_owned())
        })?;
        Ok((files, states))
    }

    fn file_pages(
        &self,
        group: &Label,
        versions: bool,
    ) -> Result<(Vec<FileEntry>, Vec<GroupState>), AccountError> {
        let mut states = Vec::new();
        let files = self.pages(
            |after| AccessRequest::ListFiles {
                group: group.clone(),
                versions,
                after,
            },
            |answer| match answer {
                AccessAnswer::Files { page, state } => {
                    states.push(state);
                    Some(page)
                }
                _ => None,
            },
        )?;
        Ok((files, states))
    }
}

/// In which states the pages of a catalogue were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageStates {
    /// The state of the first page.
    pub(crate) first: GroupState,
    /// Whether all pages have the same change numbers. Otherwise the catalogue has changed
    /// meanwhile, or the pages come from two trackers: a share may be missing.
    pub(crate) are_equal: bool,
}

impl PageStates {
    /// `None` if there is no page, or if the pages belong to two groups.
    fn of(states: &[GroupState]) -> Option<Self> {
        let first = *states.first()?;
        states.iter().all(|it| it.id == first.id).then(|| Self {
            first,
            are_equal: states.iter().all(|it| it.numbers() == first.numbers()),
        })
    }
}

/// The name of a share, for a request. A name that cannot be sent belongs to no share.
fn sent_name(name: &str) -> Result<ShortText, AccountError> {
    ShortText::new(name).ok_or_else(|| AccountError::NoSuchName(name.chars().take(80).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::access::GroupId;

    #[test]
    fn pages_of_two_states_are_noticed_and_those_of_two_groups_are_no_catalogue() {
        let state = |id, added, spread_ms| GroupState {
            id: GroupId([id; 16]),
            added,
            ended: 1,
            spread_ms,
        };
        let are_equal = |states: &[GroupState]| Some(PageStates::of(states)?.are_equal);
        // Two trackers may name different spreads.
        assert_eq!(are_equal(&[state(1, 5, 2), state(1, 5, 9)]), Some(true));
        assert_eq!(are_equal(&[state(1, 5, 2), state(1, 6, 2)]), Some(false));
        assert_eq!(are_equal(&[state(1, 5, 2), state(2, 5, 2)]), None);
        assert_eq!(are_equal(&[]), None);
    }
}
