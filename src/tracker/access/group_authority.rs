//! The authority of a group, which signs the certificates of its members.

use super::{from_refusal, no_randomness, refused};
use crate::certificate::{CertificateError, GroupAuthority};
use crate::tracker::registry::{Label, RowId};
use crate::tracker::store::RegistryStore;
use crate::wire::access::{AccessErrorKind, AccessRefusal};

/// The authority of a group. Only members may ask.
pub(super) fn group_authority(
    store: &RegistryStore,
    account: RowId,
    group: &Label,
) -> Result<GroupAuthority, AccessRefusal> {
    let key = store.read(|registry| {
        let key = registry.group_key(account, group);
        key.cloned().map_err(from_refusal)
    })?;
    GroupAuthority::from_pem(key.expose().as_bytes())
        .map_err(|error| no_certificate(&format!("of {group} itself"), &error))
}

/// The refusal of a certificate. A retry helps only if the system had no random numbers. If the key
/// of the group cannot be used, the refusal must not look like a missing membership.
pub(super) fn no_certificate(whose: &str, error: &CertificateError) -> AccessRefusal {
    log::error!("cannot issue a certificate {whose}: {error}");
    match error {
        CertificateError::NoRandomness => no_randomness(),
        _ => refused(
            AccessErrorKind::NotSaved,
            "the tracker cannot use its key of this group; tell its operator",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_missing_randomness_is_worth_a_retry() {
        for (error, kind) in [
            (CertificateError::NoRandomness, AccessErrorKind::Busy),
            (CertificateError::NotPem, AccessErrorKind::NotSaved),
            (CertificateError::Name, AccessErrorKind::NotSaved),
        ] {
            assert_eq!(no_certificate("of lab", &error).kind, kind, "{error}");
        }
    }
}
