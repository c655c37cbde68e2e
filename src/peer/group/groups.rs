//! The certificates that this peer shows to other members of each group, and the users that it
//! refuses.

use crate::certificate::{Fingerprint, GroupCertificate, GroupIdentity, MemberKey, member_name};
use crate::net::GroupTls;
use crate::peer::{Account, AccountError, Membership};
use crate::system::{lock, since_1970};
use crate::wire::name::Label;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a certificate counts as new. A peer that rejects a new certificate is probably out of
/// date itself.
const NEW_FOR: Duration = Duration::from_secs(60);

/// A group and one of its members, who uses this peer.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) membership: Membership,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tls: Option<CertifiedTls>,
    /// When another certificate is to be fetched, since 1970.
    renew_at: Duration,
    barred: HashSet<String>,
}

/// TLS with the certificate that other members see, and the authority that issued it.
#[derive(Debug)]
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

    /// Whether links to this user are refused.
    pub(crate) fn is_barred(&self, user: &str) -> bool {
        lock(&self.state).barred.contains(user)
    }

    /// Drops the certificate, until another one is fetched.
    pub(crate) fn suspend(&self) {
        lock(&self.state).tls = None;
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

    pub(super) fn set_barred(&self, users: &[Label]) {
        // Names in the form that certificates use.
        let users = users.iter().map(|user| user.to_string());
        let users = users.map(|user| member_name(&user).into_owned());
        lock(&self.state).barred = users.collect();
    }

    pub(super) fn needs_certificate(&self) -> bool {
        let state = lock(&self.state);
        state.tls.is_none() || since_1970() >= state.renew_at
    }
}

/// All groups of this peer, and its key.
#[derive(Debug)]
pub(crate) struct Groups {
    /// Made at each start. Only its public half leaves the process.
    key: MemberKey,
    groups: Mutex<HashMap<Membership, Arc<Group>>>,
}

impl Groups {
    pub(crate) fn new(key: MemberKey) -> Self {
        Self {
            key,
            groups: Mutex::default(),
        }
    }

    /// The group of a membership. Adds it if it is not in the map yet.
    pub(crate) fn of(&self, membership: &Membership) -> Arc<Group> {
        let mut groups = lock(&self.groups);
        let group = groups.entry(membership.clone()).or_insert_with(|| {
            Arc::new(Group {
                membership: membership.clone(),
                state: Mutex::default(),
            })
        });
        Arc::clone(group)
    }

    /// All groups.
    pub(crate) fn all(&self) -> Vec<Arc<Group>> {
        let groups = lock(&self.groups);
        groups.values().cloned().collect()
    }

    /// Fetches a certificate for this peer's key, and stores it in `group`. Returns another
    /// certificate: that of the group's authority.
    pub(crate) fn certify(
        &self,
        account: &Account,
        group: &Group,
    ) -> Result<GroupCertificate, AccountError> {
        let (leaf, authority) = account.certify(&group.membership.group, &self.key)?;
        let unusable = |what: String| AccountError::UnusableAnswer(what);
        let certificate =
            GroupCertificate::from_pem(&authority).map_err(|error| unusable(error.to_string()))?;
        let fetched_at = since_1970();
        let identity = GroupIdentity::new(certificate.clone(), leaf, &self.key, fetched_at)
            .map_err(|error| unusable(error.to_string()))?;
        let validity = identity.member().validity;
        let end = validity.not_after.since_1970();
        let tls = GroupTls::new(identity).map_err(|error| unusable(error.to_string()))?;
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
        Ok(certificate)
    }
}
