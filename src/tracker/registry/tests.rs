//! Tests of the whole registry.

mod audit;
mod catalogue;
mod changes;
mod compare;
mod conflicts;
pub(in crate::tracker) mod convergence;
mod demotions;
mod login_oracle;
mod logins;
mod machine_makers;
pub(in crate::tracker) mod machine_oracle;
mod machines;
mod receipts;
mod removal;
mod roles;
mod rules;
mod scale;
pub(in crate::tracker) mod share_oracle;
mod usage;
mod versions;
mod withdrawals;

use super::*;
use crate::torrent::{FileName, InfoHash};
use std::time::Duration;

/// A registry with a wall clock and a source of ids.
struct TestTracker {
    registry: Registry,
    /// The time of the wall clock, in milliseconds.
    now: u64,
    /// The number of ids made so far.
    ids: u64,
}

impl TestTracker {
    fn new(number: u8) -> Self {
        Self {
            registry: Registry::new(Origin([number; 16])),
            now: 1_000,
            ids: 0,
        }
    }

    /// A new id for a row. Its first byte comes from the counter, so that the ids of several
    /// trackers interleave when they are sorted.
    fn next_id(&mut self) -> RowId {
        self.ids += 1;
        let mut id = self.registry.origin().0;
        id[8..].copy_from_slice(&self.ids.to_be_bytes());
        id[0] = self.ids.to_le_bytes()[0];
        RowId(id)
    }

    /// Advances the wall clock by one second, and returns its time.
    fn next_time(&mut self) -> Duration {
        self.now += 1_000;
        Duration::from_millis(self.now)
    }

    fn apply(&mut self, update: Result<Update, Refusal>) -> Result<(), Refusal> {
        self.registry.apply(update?).unwrap();
        Ok(())
    }

    fn create_user(&mut self, name: &str) -> Result<RowId, Refusal> {
        let new = self.new_account(name);
        let (id, now) = (new.id, self.next_time());
        self.apply(self.registry.create_account(new, now))?;
        Ok(id)
    }

    fn new_account(&mut self, name: &str) -> NewAccount {
        NewAccount {
            id: self.next_id(),
            name: name.parse().unwrap(),
            password: password("secret"),
        }
    }

    fn create_group(&mut self, actor: RowId, name: &str) -> Result<RowId, Refusal> {
        let (id, membership) = (self.next_id(), self.next_id());
        let name = name.parse().unwrap();
        let new = NewGroup {
            id,
            membership,
            name,
            key: key(),
        };
        let now = self.next_time();
        self.apply(self.registry.create_group(actor, new, now))?;
        Ok(id)
    }

    fn request(&mut self, actor: RowId, group: &str) -> Result<(), Refusal> {
        let (id, now) = (self.next_id(), self.next_time());
        let update = self
            .registry
            .request_membership(actor, &label(group), id, now);
        self.apply(update)
    }

    fn accept(&mut self, actor: RowId, group: &str, user: &str) -> Result<(), Refusal> {
        let now = self.next_time();
        let update = self
            .registry
            .accept(actor, &label(group), &label(user), now);
        self.apply(update)
    }

    fn reject(&mut self, actor: RowId, group: &str, user: &str) -> Result<(), Refusal> {
        let now = self.next_time();
        let update = self
            .registry
            .reject(actor, &label(group), &label(user), now);
        self.apply(update)
    }

    fn remove(&mut self, actor: RowId, group: &str, user: &str) -> Result<(), Refusal> {
        let now = self.next_time();
        let update = self
            .registry
            .remove_member(actor, &label(group), &label(user), now);
        self.apply(update)
    }

    fn leave(&mut self, actor: RowId, group: &str) -> Result<(), Refusal> {
        let now = self.next_time();
        let update = self
            .registry
            .leave(actor, &label(group), IfLastMember::EndGroup, now);
        self.apply(update)
    }

    /// Creates a user and makes the user a member of the group.
    fn add_member(&mut self, owner: RowId, group: &str, name: &str) -> RowId {
        let user = self.create_user(name).unwrap();
        self.request(user, group).unwrap();
        self.accept(owner, group, name).unwrap();
        user
    }

    fn publish(&mut self, actor: RowId, group: &str, name: &str) -> Result<RowId, Refusal> {
        self.publish_as(actor, group, name, None)
    }

    /// Publishes the next version of a share, with a note.
    fn update(&mut self, actor: RowId, name: &str, note: &str) -> Result<RowId, Refusal> {
        self.publish_as(actor, "lab", name, Some(note))
    }

    fn publish_as(
        &mut self,
        actor: RowId,
        group: &str,
        name: &str,
        update_note: Option<&str>,
    ) -> Result<RowId, Refusal> {
        let new = self.new_share(name, update_note);
        let (id, now) = (new.id, self.next_time());
        self.apply(self.registry.publish(actor, &label(group), new, now))?;
        Ok(id)
    }

    fn new_share(&mut self, name: &str, update_note: Option<&str>) -> NewShare {
        let id = self.next_id();
        let mut info_hash = [0; 20];
        info_hash[..16].copy_from_slice(&id.0);
        NewShare {
            id,
            name: FileName::new(name).unwrap(),
            info_hash: InfoHash(info_hash),
            length: 7,
            note: update_note.map(|note| note.parse().unwrap()),
            is_update: update_note.is_some(),
        }
    }

    fn withdraw(&mut self, actor: RowId, group: &str, name: &str) -> Result<(), Refusal> {
        let seen = self.registry.share(actor, &label(group), name);
        let seen = seen.map_or(InfoHash([0; 20]), |row| row.info_hash);
        self.withdraw_seen(actor, group, name, seen)
    }

    /// Withdraws a share or a version that was seen at this or another tracker.
    fn withdraw_seen(
        &mut self,
        actor: RowId,
        group: &str,
        name: &str,
        seen: InfoHash,
    ) -> Result<(), Refusal> {
        let now = self.next_time();
        self.apply(
            self.registry
                .withdraw(actor, &label(group), name, seen, now),
        )
    }

    /// The names in a catalogue, read in pages of one entry.
    fn shares(&self, actor: RowId, group: &str) -> Result<Vec<String>, Refusal> {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = self
                .registry
                .shares(actor, &label(group), after.as_ref(), 1)?;
            names.extend(page.into_iter().map(|share| share.name));
            match next {
                Some(next) => after = Some(next.to_string().parse().unwrap()),
                None => return Ok(names),
            }
        }
    }

    fn role(&self, group: RowId, account: RowId) -> GroupRole {
        self.registry.role(group, account)
    }

    /// Merges everything that `other` has, in batches that are as small as possible.
    fn pull(&mut self, other: &Self) {
        let now = self.next_time();
        let mut batches = 0;
        while let Some(change) = other.registry.since(self.registry.version_vector(), 1) {
            let change = Change::decode(&change.encode()).unwrap();
            let update = self.registry.merge(&change, now).unwrap();
            assert_eq!(update.gaps(), []);
            self.registry.apply(update).unwrap();
            batches += 1;
            assert!(batches < 10_000, "catching up has no end");
        }
    }
}

/// Merges in both directions. Afterwards the two registries are equal.
fn sync(a: &mut TestTracker, b: &mut TestTracker) {
    a.pull(b);
    b.pull(a);
    assert_eq!(a.registry.dump(), b.registry.dump());
    assert_eq!(a.registry.version_vector(), b.registry.version_vector());
}

/// Two trackers that know the group `lab`, which `olga` owns; and the ids of `olga` and `lab`.
fn two_trackers_with_group() -> (TestTracker, TestTracker, RowId, RowId) {
    let (mut a, mut b) = (TestTracker::new(1), TestTracker::new(2));
    let olga = a.create_user("olga").unwrap();
    let lab = a.create_group(olga, "lab").unwrap();
    sync(&mut a, &mut b);
    (a, b, olga, lab)
}

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

fn key() -> GroupKey {
    GroupKey::new("key").unwrap()
}

pub(in crate::tracker) fn password(text: &str) -> PasswordHash {
    PasswordHash::new(text).unwrap()
}

fn kind_of<T>(result: Result<T, Refusal>) -> &'static str {
    result.err().map_or("ok", |refusal| refusal.kind())
}
