//! The certificates that this peer shows to other members of each group, and the members that it
//! admits.

use super::{KnownMembers, PrivateCalls};
use crate::certificate::{Fingerprint, GroupCertificate, GroupIdentity, Member, MemberKey};
use crate::net::GroupTls;
use crate::peer::{Account, AccountError, AdmissionError, Certified, Membership};
use crate::system::{lock, since_1970};
use crate::wire::access::{
    AccessErrorKind, AccessRefusal, AnnounceBatchAnswer, BarsDigest, FoundPeers,
};
use crate::wire::name::Label;
use crate::wire::role::Role;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a certificate counts as new. A peer that rejects a new certificate is probably out of
/// date itself.
const NEW_FOR: Duration = Duration::from_secs(60);

/// A group and one of its members, who uses this peer.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) membership: Membership,
    known: Arc<KnownMembers>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tls: Option<CertifiedTls>,
    /// When another certificate is to be fetched, since 1970.
    renew_at: Duration,
    /// The authority of the group whose announce a tracker has answered, since there is a
    /// certificate.
    answered: Option<Fingerprint>,
    /// The authority of the group whose bars came last, and the digest of their list.
    seen_bars: Option<(Fingerprint, BarsDigest)>,
}

/// TLS with the certificate that other members see, and the authority that issued it.
#[derive(Clone, Debug)]
struct CertifiedTls {
    tls: GroupTls,
    authority: Fingerprint,
    /// When the certificate was fetched, since 1970.
    fetched_at: Duration,
}

impl Group {
    /// The TLS configuration for shares of this authority. `None` while the user is not logged in,
    /// before there is a certificate, or if the group of this name now has another authority.
    pub(crate) fn tls(&self, authority: Option<Fingerprint>) -> Option<GroupTls> {
        let state = lock(&self.state);
        let certified = state.tls.as_ref();
        let certified = certified.filter(|certified| Some(certified.authority) == authority);
        certified.map(|certified| certified.tls.clone())
    }

    /// Checks whether a member may have a link in a share of this authority, and remembers that it
    /// has one.
    ///
    /// # Errors
    /// [`AdmissionError::Barred`]; [`AdmissionError::Unknown`] if no tracker has answered yet, and
    /// the member had no link before.
    pub(crate) fn admit(
        &self,
        authority: Option<Fingerprint>,
        member: &Member,
    ) -> Result<(), AdmissionError> {
        let unknown = || AdmissionError::Unknown(member.user.clone());
        let authority = authority.ok_or_else(unknown)?;
        let is_answered = lock(&self.state).answered == Some(authority);
        self.known.admit(authority, member, is_answered)
    }

    /// Whether a member may have no links any more in a share of this authority.
    pub(super) fn is_barred(&self, authority: Option<Fingerprint>, member: &Member) -> bool {
        authority.is_some_and(|authority| self.known.is_barred(authority, member))
    }

    /// Drops the certificate, until another one is fetched.
    pub(crate) fn suspend(&self) {
        let mut state = lock(&self.state);
        state.tls = None;
        state.answered = None;
    }

    /// Makes the next announce fetch another certificate, because the present certificate may be
    /// out of date. Does nothing while the present one is new.
    pub(crate) fn renew_certificate_soon(&self) {
        let mut state = lock(&self.state);
        let is_new =
            |certified: &CertifiedTls| since_1970().saturating_sub(certified.fetched_at) < NEW_FOR;
        if !state.tls.as_ref().is_some_and(is_new) {
            state.renew_at = Duration::ZERO;
        }
    }

    /// Applies the bars in the answer to an announce of shares of this authority. Only then passes
    /// the results to `use_swarms`, so that no barred member is called or admitted. Returns whether
    /// the bars have changed anything.
    pub(super) fn take_answer(
        &self,
        authority: Option<Fingerprint>,
        answer: AnnounceBatchAnswer,
        use_swarms: impl FnOnce(Vec<Result<FoundPeers, AccessRefusal>>),
    ) -> bool {
        let AnnounceBatchAnswer { swarms, barred, .. } = answer;
        // A tracker that does not know any of the shares does not know their group either.
        let knows_group = !swarms.iter().all(is_not_in_catalogue);
        let mut is_changed = false;
        if let Some(authority) = authority.filter(|_| knows_group) {
            if let Some(barred) = &barred {
                is_changed = self.known.add_bars(authority, barred);
            }
            let mut state = lock(&self.state);
            state.answered = Some(authority);
            let seen = barred.map(|barred| (authority, BarsDigest::of(&barred)));
            state.seen_bars = seen.or(state.seen_bars);
        }
        use_swarms(swarms);
        is_changed
    }

    /// The list of bars that came last in an answer to an announce of shares of this authority.
    pub(super) fn seen_bars(&self, authority: Option<Fingerprint>) -> Option<BarsDigest> {
        let seen = lock(&self.state).seen_bars;
        seen.filter(|(of, _)| Some(*of) == authority)
            .map(|(_, digest)| digest)
    }

    pub(super) fn needs_certificate(&self) -> bool {
        let state = lock(&self.state);
        state.tls.is_none() || since_1970() >= state.renew_at
    }
}

/// What a tracker reports of a group when it issues a certificate.
#[derive(Debug)]
pub(crate) struct IssuedCertificate {
    /// The certificate of the group's authority.
    pub(crate) authority: GroupCertificate,
    /// The role of the user in the group.
    pub(crate) role: Role,
}

/// All groups of this peer, and its key.
#[derive(Debug)]
pub(crate) struct Groups {
    /// Made at each start. Only its public half leaves the process.
    key: MemberKey,
    known: Arc<KnownMembers>,
    groups: Mutex<HashMap<Membership, Arc<Group>>>,
    private_calls: PrivateCalls,
}

impl Groups {
    pub(crate) fn new(key: MemberKey, known: KnownMembers) -> Self {
        Self {
            key,
            known: Arc::new(known),
            groups: Mutex::default(),
            private_calls: PrivateCalls::default(),
        }
    }

    /// The calls to private addresses, of all groups.
    pub(crate) fn private_calls(&self) -> &PrivateCalls {
        &self.private_calls
    }

    /// The group of a membership. Adds it if it is not in the map yet.
    pub(crate) fn of(&self, membership: &Membership) -> Arc<Group> {
        let mut groups = lock(&self.groups);
        let group = groups.entry(membership.clone()).or_insert_with(|| {
            Arc::new(Group {
                membership: membership.clone(),
                known: Arc::clone(&self.known),
                state: Mutex::default(),
            })
        });
        Arc::clone(group)
    }

    /// The group of this authority has the name `name` now. The certificates of its members name
    /// the authority, not the group, so they stay in use. What was kept under the former name is
    /// removed.
    pub(super) fn rename(&self, authority: Fingerprint, name: &Label) {
        let is_of_authority = |group: &Group| {
            let state = lock(&group.state);
            let certified = state.tls.as_ref();
            certified.is_some_and(|certified| certified.authority == authority)
        };
        let renamed: Vec<_> = lock(&self.groups)
            .extract_if(|membership, group| membership.group != *name && is_of_authority(group))
            .collect();
        for (membership, former) in renamed {
            let present = self.of(&Membership {
                group: name.clone(),
                ..membership
            });
            if !is_of_authority(&present) {
                let state = std::mem::take(&mut *lock(&former.state));
                *lock(&present.state) = state;
            }
        }
    }

    /// All groups.
    pub(crate) fn all(&self) -> Vec<Arc<Group>> {
        let groups = lock(&self.groups);
        groups.values().cloned().collect()
    }

    /// Stores what is known of members, if it has changed.
    pub(crate) fn store_known_members(&self) {
        self.known.store();
    }

    /// Fetches a certificate for this peer's key, and stores it in `group`.
    pub(crate) fn certify(
        &self,
        account: &Account,
        group: &Group,
    ) -> Result<IssuedCertificate, AccountError> {
        let Certified {
            leaf,
            authority,
            barred,
            role,
        } = account.certify(&group.membership.group, &self.key)?;
        let unusable = |what: String| AccountError::UnusableAnswer(what);
        let certificate =
            GroupCertificate::from_pem(&authority).map_err(|error| unusable(error.to_string()))?;
        let fetched_at = since_1970();
        let identity = GroupIdentity::new(certificate.clone(), leaf, &self.key, fetched_at)
            .map_err(|error| unusable(error.to_string()))?;
        let validity = identity.member().validity;
        let end = validity.not_after.since_1970();
        let tls = GroupTls::new(identity).map_err(|error| unusable(error.to_string()))?;
        // The bars apply before anybody can be admitted.
        self.known.add_bars(certificate.fingerprint(), &barred);
        let mut state = lock(&group.state);
        // A quarter of the certificate's lifetime is left to retry when a tracker does not answer.
        state.renew_at = fetched_at + end.saturating_sub(fetched_at) * 3 / 4;
        state.tls = Some(CertifiedTls {
            tls,
            authority: certificate.fingerprint(),
            fetched_at,
        });
        drop(state);
        log::info!(
            "{} received a certificate of the group {}, valid for {} s",
            group.membership.user,
            group.membership.group,
            end.saturating_sub(fetched_at).as_secs()
        );
        Ok(IssuedCertificate {
            authority: certificate,
            role,
        })
    }
}

fn is_not_in_catalogue<T>(result: &Result<T, AccessRefusal>) -> bool {
    let refused = result.as_ref().err();
    refused.is_some_and(|refused| refused.kind == AccessErrorKind::NotInCatalogue)
}

#[cfg(test)]
mod tests {
    use super::super::known_group::tests::{bar, member};
    use super::*;
    use crate::certificate::GroupAuthority;
    use crate::certificate::group_testing::member as identity;
    use crate::wire::access::Bar;
    use crate::wire::control::TextLine;

    #[test]
    fn a_renamed_group_keeps_its_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let key = MemberKey::generate().unwrap();
        let groups = Groups::new(key, KnownMembers::open(folder.path()).unwrap());
        let named = |group: &str| {
            groups.of(&Membership {
                user: "nik".parse().unwrap(),
                group: group.parse().unwrap(),
            })
        };
        let certify = |group: &Group| {
            let identity = identity(&GroupAuthority::generate("5f3a").unwrap(), "nik");
            let authority = identity.group().fingerprint();
            *lock(&group.state) = State {
                tls: Some(CertifiedTls {
                    tls: GroupTls::new(identity).unwrap(),
                    authority,
                    fetched_at: since_1970(),
                }),
                renew_at: Duration::MAX,
                answered: Some(authority),
                seen_bars: None,
            };
            authority
        };
        let (authority, other) = (certify(&named("lab")), certify(&named("club")));
        groups.rename(authority, &"hall".parse().unwrap());
        let hall = named("hall");
        assert!(hall.tls(Some(authority)).is_some());
        assert!(!hall.needs_certificate());
        assert_eq!(lock(&hall.state).answered, Some(authority));
        // The former name is not kept, and other groups do not change.
        assert_eq!(groups.all().len(), 2);
        assert!(named("club").tls(Some(other)).is_some());
        assert!(named("lab").needs_certificate());
    }

    #[test]
    fn the_bars_of_an_answer_apply_before_its_addresses_are_used() {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let key = MemberKey::generate().unwrap();
            Groups::new(key, KnownMembers::open(folder.path()).unwrap())
        };
        let (group, authority) = (Fingerprint::of(b"group"), Some(Fingerprint::of(b"group")));
        let membership = Membership {
            user: "nik".parse().unwrap(),
            group: "lab".parse().unwrap(),
        };
        let (eve, uma) = (
            member(1, "eve", since_1970()),
            member(2, "uma", since_1970()),
        );
        let answer = |result, barred: Vec<Bar>| AnnounceBatchAnswer {
            swarms: vec![result],
            interval: 20,
            barred: Some(barred),
            placement: None,
            group: None,
        };
        let refused = |kind| {
            Err(AccessRefusal {
                kind,
                message: TextLine::new("no"),
                retry_seconds: None,
            })
        };
        let first = open().of(&membership);
        let unknown = answer(refused(AccessErrorKind::NotInCatalogue), Vec::new());
        assert!(!first.take_answer(authority, unknown, drop));
        for member in [&eve, &uma] {
            let refused = first.admit(authority, member);
            assert!(matches!(refused, Err(AdmissionError::Unknown(_))));
        }
        // A full swarm says nothing about the bars.
        let full = refused(AccessErrorKind::Busy);
        let bars = vec![bar(1, "eve", since_1970(), 0, false)];
        let is_changed = first.take_answer(authority, answer(full, bars), |swarms| {
            assert_eq!(swarms.len(), 1);
            assert!(first.is_barred(authority, &eve));
        });
        assert!(is_changed);
        // A tracker that has the same bars does not send them again.
        assert!(first.seen_bars(authority).is_some() && first.seen_bars(None).is_none());
        let unchanged = AnnounceBatchAnswer {
            barred: None,
            ..answer(Ok(FoundPeers::default()), Vec::new())
        };
        assert!(!first.take_answer(authority, unchanged, drop));
        assert!(matches!(
            first.admit(authority, &eve),
            Err(AdmissionError::Barred(_))
        ));
        assert!(first.admit(authority, &uma).is_ok());
        first.known.store();
        // After a restart, and with a tracker that does not know of the bar.
        let second = open().of(&membership);
        assert!(second.admit(authority, &uma).is_ok());
        for answered in [false, true] {
            let refused = second.admit(authority, &eve);
            assert!(
                matches!(refused, Err(AdmissionError::Barred(_))),
                "{answered}"
            );
            let empty = answer(Ok(FoundPeers::default()), Vec::new());
            second.take_answer(authority, empty, drop);
        }
        // Another group of the same name has other members.
        let other = Some(Fingerprint::of(b"later group"));
        assert_ne!(other, Some(group));
        assert!(!second.is_barred(other, &eve));
    }
}
