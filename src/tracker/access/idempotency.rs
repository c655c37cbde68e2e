//! Idempotency keys. They derive the id of a receipt and the ids of new rows from a write id.
//!
//! All trackers derive the same ids. So if two trackers carry out the same command, they make the
//! same rows. The ids depend on the user, so that no user can use the write id of another. They
//! also depend on the object of the row, such as a group or an info-hash. Our peer never uses one
//! write id for two different commands. If another program did, it would get two rows with
//! different ids, and never two different rows with one id.

use crate::tracker::registry::{RowId, Stamp, UserName};
use crate::wire::access::WriteId;
use crate::wire::note::Note;
use ring::digest::{Context, SHA256};
use std::time::Duration;

/// How long a receipt is kept: longer than any peer repeats a command.
pub(super) const RECEIPT_LIFETIME: Duration = Duration::from_secs(3600);

const LABEL: &[u8] = b"pieceful write v1";

/// The idempotency key of a write.
#[derive(Clone, Debug)]
pub(super) struct IdempotencyKey {
    write: WriteId,
    owner: KeyOwner,
}

#[derive(Clone, Debug)]
enum KeyOwner {
    Account(RowId),
    /// An account that is being created is identified by its name.
    Name(UserName),
}

impl IdempotencyKey {
    /// The key of a write by an account or a machine.
    pub(super) fn of_account(account: RowId, write: WriteId) -> Self {
        let owner = KeyOwner::Account(account);
        Self { write, owner }
    }

    /// The key of the creation of an account.
    pub(super) fn of_name(name: &UserName, write: WriteId) -> Self {
        let owner = KeyOwner::Name(name.clone());
        Self { write, owner }
    }

    /// The key of a step of the write, which ends before this row.
    pub(super) fn step(&self, row: RowId) -> Self {
        Self {
            write: WriteId(self.id(b"step", &[&row.0]).0),
            owner: self.owner.clone(),
        }
    }

    /// The id of the receipt.
    pub(super) fn receipt(&self) -> RowId {
        self.id(b"receipt", &[])
    }

    /// The seed of the id of the entry in the audit log.
    pub(super) fn audit(&self) -> RowId {
        self.id(b"audit", &[])
    }

    /// The account that makes the write. It may be the one that the write creates.
    pub(super) fn author(&self) -> RowId {
        match self.owner {
            KeyOwner::Account(account) => account,
            KeyOwner::Name(_) => self.account(),
        }
    }

    /// The id of the account that the write creates.
    pub(super) fn account(&self) -> RowId {
        self.id(b"account", &[])
    }

    /// The id of the login that begins under this credential. Another credential gives another
    /// login: so rows with one id have one credential.
    pub(super) fn login(&self, credential: Stamp) -> RowId {
        let (wall, counter) = (credential.wall(), credential.counter());
        let parts = [&wall.to_be_bytes()[..], &counter.to_be_bytes()];
        self.id(b"login", &[parts[0], parts[1], &credential.origin().0])
    }

    /// The id of the group that the write creates.
    pub(super) fn group(&self, name: &[u8]) -> RowId {
        self.id(b"group", &[name])
    }

    /// The id of the membership of a group's creator.
    pub(super) fn creator_membership(&self, group: RowId) -> RowId {
        self.id(b"making", &[&group.0])
    }

    /// The id of a request to join a group.
    pub(super) fn membership_request(&self, group: RowId) -> RowId {
        self.id(b"request", &[&group.0])
    }

    /// The id of a token with these attributes.
    pub(super) fn token(&self, attributes: &[&[u8]]) -> RowId {
        self.id(b"token", attributes)
    }

    /// The id of a version of a share in a group.
    pub(super) fn share(&self, group: RowId, info_hash: &[u8], note: Option<&Note>) -> RowId {
        let mut object = vec![&group.0[..], info_hash];
        object.extend(note.map(|note| note.as_str().as_bytes()));
        self.id(b"share", &object)
    }

    /// The first 16 bytes of SHA-256 over all parts, each preceded by its length.
    fn id(&self, kind: &[u8], object: &[&[u8]]) -> RowId {
        let owner: [&[u8]; 2] = match &self.owner {
            KeyOwner::Account(account) => [b"account", &account.0],
            KeyOwner::Name(name) => [b"name", name.as_str().as_bytes()],
        };
        let parts = [LABEL, kind, &self.write.0].into_iter();
        let mut hash = Context::new(&SHA256);
        for part in parts.chain(owner).chain(object.iter().copied()) {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            hash.update(&length.to_be_bytes());
            hash.update(part);
        }
        let id = hash.finish().as_ref().first_chunk().copied();
        RowId(id.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::registry::Origin;
    use std::collections::BTreeSet;

    #[test]
    fn ids_depend_on_write_id_account_and_object() {
        let group = RowId([7; 16]);
        let stamp = |wall| Stamp::new(wall, 0, Origin([7; 16])).unwrap();
        let all = |key: &IdempotencyKey| {
            [
                key.receipt(),
                key.step(RowId([1; 16])).receipt(),
                key.step(RowId([2; 16])).receipt(),
                key.audit(),
                key.account(),
                key.login(stamp(1)),
                key.login(stamp(2)),
                key.group(b"lab"),
                key.group(b"club"),
                key.creator_membership(group),
                key.membership_request(group),
                key.membership_request(RowId([8; 16])),
                key.token(&[b"1", b"2"]),
                key.token(&[b"12"]),
                key.share(group, &[1; 20], None),
                key.share(group, &[2; 20], None),
                key.share(group, &[2; 20], "a".parse().ok().as_ref()),
            ]
        };
        let write = |number| WriteId([number; 16]);
        let account = |number, id| IdempotencyKey::of_account(RowId([number; 16]), write(id));
        let name = |name: &str| IdempotencyKey::of_name(&name.parse().unwrap(), write(1));
        let keys = [
            account(1, 1),
            account(1, 2),
            account(2, 1),
            name("nik"),
            name("olga"),
        ];
        let ids: Vec<RowId> = keys.iter().flat_map(all).collect();
        let distinct: BTreeSet<RowId> = ids.iter().copied().collect();
        assert_eq!(distinct.len(), ids.len());
        assert_eq!(all(&account(1, 1)), all(&keys[0]));
        // All versions of the program must derive the same id.
        let id = account(1, 1).receipt().to_string();
        assert_eq!(id, "1e6f7a5183cbaad12a907d3c65881f3e");
    }
}
