//! Rules and conflicts of tokens and machines: the lines of the table of `registry/mod.rs` about
//! them, in its order.

use super::*;
use crate::wire::access::{MachineState, TokenState};
use crate::wire::machine::{MachineSecret, MachineStart, SecretHash, SubjectLabel};

pub(super) const OLGAS_SECRET: u8 = 1;

pub(super) fn secret(number: u8) -> SecretHash {
    MachineSecret([number; 16]).hash()
}

pub(super) fn key_hash(number: u8) -> KeyHash {
    KeyHash([number; 32])
}

pub(super) fn start(counter: u64, nonce: u8) -> MachineStart {
    let nonce = [nonce; 16];
    MachineStart { counter, nonce }
}

impl TestTracker {
    pub(super) fn create_token(
        &mut self,
        actor: RowId,
        name: &str,
        (secret_number, machines): (u8, u32),
        groups: &[(&str, Role)],
    ) -> Result<RowId, Refusal> {
        let groups = groups.iter().map(|(group, role)| (label(group), *role));
        let new = NewToken {
            id: self.next_id(),
            secret: secret(secret_number),
            name: name.parse().unwrap(),
            groups: groups.collect(),
            machines,
            enrols_for: Some(Duration::from_secs(3600)),
        };
        let (id, now) = (new.id, self.next_time());
        self.apply(self.registry.create_token(actor, new, now))?;
        Ok(id)
    }

    pub(super) fn enrol(
        &mut self,
        secret_number: u8,
        key: u8,
        name: &str,
    ) -> Result<RowId, Refusal> {
        let now = self.next_time();
        let (secret, key) = (secret(secret_number), key_hash(key));
        if let Some(id) = self.registry.enrolled(&secret, &key, now)? {
            return Ok(id);
        }
        let name = name.parse().unwrap();
        self.apply(self.registry.enrol(&secret, key, name, now))?;
        Ok(self.registry.enrolled(&secret, &key, now)?.unwrap())
    }

    /// Starts a machine. Returns whether it was suspended.
    pub(super) fn start(
        &mut self,
        machine: RowId,
        key: u8,
        start: MachineStart,
    ) -> Result<bool, Refusal> {
        let now = self.next_time();
        let started = self
            .registry
            .start_machine(machine, &key_hash(key), &start, now)?;
        let (update, is_suspended) = match started {
            StartResult::Accepted(update) => (update, false),
            StartResult::Suspended(update) => (update, true),
        };
        self.registry.apply(update).unwrap();
        Ok(is_suspended)
    }

    pub(super) fn allow(&mut self, actor: RowId, machine: &str) -> Result<(), Refusal> {
        let (now, label) = (self.next_time(), machine.parse().unwrap());
        self.apply(self.registry.allow_machine(actor, &label, now))
    }

    pub(super) fn revoke_token(&mut self, actor: RowId, token: &str) -> Result<(), Refusal> {
        let (now, label) = (self.next_time(), token.parse().unwrap());
        self.apply(self.registry.revoke_token(actor, &label, now))
    }

    pub(super) fn revoke_machine(&mut self, actor: RowId, machine: &str) -> Result<(), Refusal> {
        let (now, label) = (self.next_time(), machine.parse().unwrap());
        self.apply(self.registry.revoke_machine(actor, &label, now))
    }

    pub(super) fn give(&mut self, actor: RowId, subject: &str, role: Role) -> Result<(), Refusal> {
        let (now, subject): (_, SubjectLabel) = (self.next_time(), subject.parse().unwrap());
        let update = self
            .registry
            .set_role(actor, &label("lab"), &subject, role, now);
        self.apply(update)
    }

    fn state_of_machine(&self, actor: RowId, machine: RowId) -> MachineState {
        let page = self.registry.machines(actor, None, None, 100).unwrap();
        let label = self.registry.label_of_machine(machine);
        let mut found = page.items.into_iter();
        found
            .find(|view| Some(&view.label) == label.as_ref())
            .unwrap()
            .state
    }

    pub(super) fn credential(&self, machine: RowId, key: u8, start: MachineStart) -> Option<Stamp> {
        let found = self
            .registry
            .credential_of_start(machine, &key_hash(key), &start);
        found.ok().flatten()
    }

    /// The bars of `lab`: the subject, and whether the bar is lifted.
    pub(super) fn bars(&self, lab: RowId) -> Vec<(RowId, bool)> {
        let former = self.registry.former_members_since(lab, Duration::ZERO, 100);
        former
            .into_iter()
            .map(|it| (it.account, it.is_back))
            .collect()
    }
}

/// A tracker with the group `lab` of olga, and her token `farm` for readers.
pub(super) fn with_token(number: u8) -> (TestTracker, RowId, RowId) {
    let mut it = TestTracker::new(number);
    let olga = it.create_user("olga").unwrap();
    let lab = it.create_group(olga, "lab").unwrap();
    let groups = [("lab", Role::Publisher)];
    it.create_token(olga, "farm", (OLGAS_SECRET, 2), &groups)
        .unwrap();
    (it, olga, lab)
}

/// Two trackers as after [`with_token`], and the machine `gpu1` with key 1.
pub(super) fn two_with_machine() -> (TestTracker, TestTracker, RowId, RowId, RowId) {
    let (mut a, olga, lab) = with_token(1);
    let gpu1 = a.enrol(OLGAS_SECRET, 1, "gpu1").unwrap();
    let mut b = TestTracker::new(2);
    sync(&mut a, &mut b);
    (a, b, olga, lab, gpu1)
}

#[test]
fn a_token_enrols_its_number_of_machines_and_another_key_is_refused_and_told_to_the_maker() {
    let (mut it, olga, _) = with_token(1);
    let gpu1 = it.enrol(OLGAS_SECRET, 1, "gpu1").unwrap();
    assert_eq!(it.enrol(OLGAS_SECRET, 1, "other"), Ok(gpu1), "the same key");
    it.enrol(OLGAS_SECRET, 2, "gpu2").unwrap();
    assert_eq!(it.enrol(OLGAS_SECRET, 3, "gpu3"), Err(Refusal::TokenSpent));
    assert_eq!(it.enrol(9, 3, "gpu3"), Err(Refusal::UnknownToken));
    assert_eq!(it.enrol(OLGAS_SECRET, 1, "gpu1"), Ok(gpu1), "it goes on");
    let now = it.next_time();
    let noted = it.registry.note_refusal(&secret(OLGAS_SECRET), now);
    it.registry.apply(noted.unwrap().unwrap()).unwrap();
    let now = it.next_time();
    let soon = it.registry.note_refusal(&secret(OLGAS_SECRET), now);
    assert!(soon.unwrap().is_none(), "it is noted once an hour");
    it.now += 3_600_000;
    let now = it.next_time();
    let later = it.registry.note_refusal(&secret(OLGAS_SECRET), now);
    assert!(later.unwrap().is_some());
    let seen = VersionVector::new();
    let news = it.registry.decisions_and_requests(olga, &seen, None, 10);
    let [news] = &news.items[..] else {
        panic!("{news:?}")
    };
    assert_eq!(news.outcome, DecisionOutcome::TokenRefused);
    assert_eq!(news.user, "olga/farm".parse().ok());
}

#[test]
fn only_owners_make_tokens_for_roles_that_machines_can_have() {
    let (mut it, olga, _) = with_token(1);
    let nik = it.add_member(olga, "lab", "nik");
    let lab = |role| [("lab", role)];
    let made = |it: &mut TestTracker, actor, name: &str, secret, role| {
        kind_of(it.create_token(actor, name, (secret, 1), &lab(role)))
    };
    assert_eq!(made(&mut it, nik, "x", 2, Role::Reader), "not-the-owner");
    assert_eq!(made(&mut it, olga, "x", 2, Role::Owner), "bad-request");
    assert_eq!(made(&mut it, olga, "Farm", 2, Role::Reader), "name-taken");
    assert_eq!(
        made(&mut it, olga, "x", OLGAS_SECRET, Role::Reader),
        "id-in-use"
    );
    for number in 0..99 {
        let name = format!("t{number}");
        assert_eq!(made(&mut it, olga, &name, 100 + number, Role::Reader), "ok");
    }
    assert_eq!(made(&mut it, olga, "x", 2, Role::Reader), "quota");
    it.now += 2 * 3_600_000;
    let too_old = "they are too old to enrol machines, but younger than a day";
    assert_eq!(
        made(&mut it, olga, "x", 2, Role::Reader),
        "quota",
        "{too_old}"
    );
    it.revoke_token(olga, "olga/farm").unwrap();
    assert_eq!(made(&mut it, olga, "farm", 2, Role::Reader), "ok");
    let gpu1 = it.enrol(2, 1, "gpu1").unwrap();
    assert_eq!(made(&mut it, gpu1, "x", 3, Role::Reader), "only-users");
}

#[test]
fn the_time_to_enrol_ends_and_enrolled_machines_go_on() {
    let (mut it, olga, lab) = with_token(1);
    let gpu1 = it.enrol(OLGAS_SECRET, 1, "gpu1").unwrap();
    it.now += 3_600_000;
    assert_eq!(it.enrol(OLGAS_SECRET, 2, "gpu2"), Err(Refusal::TokenEnded));
    assert_eq!(it.enrol(OLGAS_SECRET, 1, "gpu1"), Ok(gpu1));
    assert_eq!(it.start(gpu1, 1, start(1, 1)), Ok(false));
    assert_eq!(it.registry.role_of(lab, gpu1), Some(Role::Publisher));
    let limits = (it.next_time(), 10);
    let page = it.registry.tokens(olga, None, None, limits).unwrap();
    let [token] = &page.items[..] else {
        panic!("{page:?}")
    };
    assert_eq!(token.state, TokenState::Expired);
    assert_eq!((token.enrolled, token.machines), (1, 2));
}

#[test]
fn the_role_of_a_machine_is_capped_by_its_maker_and_set_by_owners() {
    let (mut it, olga, lab) = with_token(1);
    let gpu1 = it.enrol(OLGAS_SECRET, 1, "gpu1").unwrap();
    let nik = it.add_member(olga, "lab", "nik");
    let role = |it: &TestTracker| it.registry.role_of(lab, gpu1);
    assert_eq!(role(&it), Some(Role::Publisher));
    it.give(olga, "olga/gpu1", Role::Reader).unwrap();
    assert_eq!(role(&it), Some(Role::Reader));
    assert_eq!(kind_of(it.publish(gpu1, "lab", "f")), "not-a-publisher");
    it.give(olga, "olga/gpu1", Role::Publisher).unwrap();
    it.publish(gpu1, "lab", "f").unwrap();
    assert_eq!(
        kind_of(it.give(olga, "olga/gpu1", Role::Owner)),
        "bad-request"
    );
    assert_eq!(
        kind_of(it.give(nik, "olga/gpu1", Role::Reader)),
        "not-the-owner"
    );
    it.give(olga, "nik", Role::Owner).unwrap();
    it.give(nik, "olga", Role::Reader).unwrap();
    assert_eq!(role(&it), Some(Role::Reader), "not more than the maker");
    // Machines are no members that could leave, accept or remove.
    assert_eq!(kind_of(it.leave(gpu1, "lab")), "only-users");
    assert_eq!(kind_of(it.remove(gpu1, "lab", "nik")), "not-the-owner");
    assert_eq!(kind_of(it.create_group(gpu1, "hall")), "only-users");
    assert_eq!(kind_of(it.request(gpu1, "lab")), "only-users");
}

#[test]
fn a_token_ends_with_the_membership_of_its_maker_and_does_not_come_back() {
    let (mut it, olga, lab) = with_token(1);
    let gpu1 = it.enrol(OLGAS_SECRET, 1, "gpu1").unwrap();
    it.start(gpu1, 1, start(1, 1)).unwrap();
    let nik = it.add_member(olga, "lab", "nik");
    it.leave(olga, "lab").unwrap();
    assert_eq!(it.registry.role_of(lab, gpu1), None);
    assert_eq!(it.start(gpu1, 1, start(2, 2)), Err(Refusal::TokenEnded));
    assert_eq!(kind_of(it.shares(gpu1, "lab")), "token-ended");
    assert!(it.bars(lab).contains(&(gpu1, false)));
    it.request(olga, "lab").unwrap();
    it.accept(nik, "lab", "olga").unwrap();
    it.give(nik, "olga", Role::Owner).unwrap();
    assert_eq!(
        it.registry.role_of(lab, gpu1),
        None,
        "the token stays ended"
    );
    assert_eq!(it.enrol(OLGAS_SECRET, 2, "gpu2"), Err(Refusal::TokenEnded));
    let groups = [("lab", Role::Reader)];
    it.create_token(olga, "new", (2, 1), &groups).unwrap();
    assert!(it.enrol(2, 1, "gpu1").is_ok());
}

#[test]
fn a_counter_that_does_not_grow_suspends_the_machine_until_somebody_allows_it() {
    let (mut it, olga, lab) = with_token(1);
    let nik = it.add_member(olga, "lab", "nik");
    let gpu1 = it.enrol(OLGAS_SECRET, 1, "gpu1").unwrap();
    assert_eq!(it.start(gpu1, 2, start(1, 1)), Err(Refusal::UnknownMachine));
    for counter in [1, 2, 7] {
        assert_eq!(it.start(gpu1, 1, start(counter, 1)), Ok(false));
    }
    let repeated = it.start(gpu1, 1, start(7, 1));
    assert_eq!(kind_of(repeated), "id-in-use", "it was recorded");
    let credential = it.credential(gpu1, 1, start(7, 1)).unwrap();
    let login = RowId([9; 16]);
    assert_eq!(it.registry.check_login(gpu1, login, credential), Ok(()));
    assert_eq!(it.start(gpu1, 1, start(7, 2)), Ok(true), "another nonce");
    let ended = it.registry.check_login(gpu1, login, credential);
    assert_eq!(ended, Err(Refusal::MachineSuspended));
    assert_eq!(it.registry.role_of(lab, gpu1), None);
    assert_eq!(
        it.start(gpu1, 1, start(8, 1)),
        Err(Refusal::MachineSuspended)
    );
    assert_eq!(
        it.enrol(OLGAS_SECRET, 1, "gpu1"),
        Err(Refusal::MachineSuspended),
        "it has no groups"
    );
    assert!(it.bars(lab).contains(&(gpu1, false)));
    for (account, has_news) in [(olga, true), (nik, false)] {
        let seen = VersionVector::new();
        let news = it.registry.decisions_and_requests(account, &seen, None, 10);
        let mut items = news.items.iter();
        let found = items.any(|it| it.outcome == DecisionOutcome::MachineSuspended);
        assert_eq!(found, has_news);
    }
    assert_eq!(kind_of(it.allow(nik, "olga/gpu1")), "not-the-owner");
    it.allow(olga, "olga/gpu1").unwrap();
    assert_eq!(kind_of(it.allow(olga, "olga/gpu1")), "not-suspended");
    assert!(it.bars(lab).contains(&(gpu1, true)), "the bar is lifted");
    let ended = it.registry.check_login(gpu1, login, credential);
    assert_eq!(ended, Err(Refusal::LoginEnded), "earlier logins stay ended");
    assert_eq!(it.start(gpu1, 1, start(3, 3)), Ok(false), "a new count");
    assert_eq!(it.start(gpu1, 1, start(3, 4)), Ok(true), "and it counts");
}

#[test]
fn a_revoked_machine_and_the_machines_of_a_revoked_token_may_do_nothing() {
    let (mut it, olga, lab) = with_token(1);
    let nik = it.add_member(olga, "lab", "nik");
    let [gpu1, gpu2] = [1, 2].map(|key| it.enrol(OLGAS_SECRET, key, "gpu").unwrap());
    it.start(gpu1, 1, start(1, 1)).unwrap();
    let tagged = it.registry.label_of_machine(gpu2).unwrap().to_string();
    assert!(tagged.starts_with("olga/gpu~"), "{tagged}");
    assert_eq!(kind_of(it.revoke_machine(nik, "olga/gpu")), "not-the-owner");
    it.revoke_machine(olga, "olga/gpu").unwrap();
    assert_eq!(it.start(gpu1, 1, start(2, 2)), Err(Refusal::MachineRevoked));
    let given = it.give(olga, "olga/gpu", Role::Publisher);
    assert_eq!(given, Err(Refusal::MachineRevoked));
    assert_eq!(
        it.enrol(OLGAS_SECRET, 1, "gpu"),
        Err(Refusal::MachineRevoked)
    );
    assert_eq!(
        kind_of(it.registry.group_key(gpu1, &label("lab"))),
        "machine-revoked"
    );
    assert!(it.registry.group_key(gpu2, &label("lab")).is_ok());
    let label_of = |it: &TestTracker, id| it.registry.label_of_machine(id).unwrap().to_string();
    assert_eq!(label_of(&it, gpu1), "olga/gpu", "it keeps its name");
    assert_eq!(label_of(&it, gpu2), tagged, "no command hits it by mistake");
    assert_eq!(it.bars(lab), [(gpu1, false)]);
    assert_eq!(it.enrol(OLGAS_SECRET, 3, "gpu"), Err(Refusal::TokenSpent));
    // An owner who did not make the token may revoke it too.
    it.give(olga, "nik", Role::Owner).unwrap();
    it.revoke_token(nik, "olga/farm").unwrap();
    assert_eq!(
        kind_of(it.registry.group_key(gpu2, &label("lab"))),
        "token-ended"
    );
    assert_eq!(it.state_of_machine(olga, gpu1), MachineState::Revoked);
    assert_eq!(it.state_of_machine(olga, gpu2), MachineState::TokenEnded);
}

#[test]
fn a_hint_reaches_the_members_when_a_machine_ends_and_the_machine_itself() {
    let (mut it, olga, lab) = with_token(1);
    let gpu1 = it.enrol(OLGAS_SECRET, 1, "gpu1").unwrap();
    it.start(gpu1, 1, start(1, 1)).unwrap();
    let before = it.registry.change_numbers(lab);
    it.registry.take_changed();
    it.start(gpu1, 1, start(2, 2)).unwrap();
    assert_eq!(
        it.registry.change_numbers(lab),
        before,
        "a start is no news"
    );
    it.start(gpu1, 1, start(2, 3)).unwrap();
    assert_ne!(it.registry.change_numbers(lab), before);
    let changed = it.registry.take_changed();
    assert!(changed.groups.contains(&lab));
    assert!(changed.accounts.is_superset(&[gpu1, olga].into()));
    it.revoke_token(olga, "olga/farm").unwrap();
    let changed = it.registry.take_changed();
    assert!(changed.accounts.contains(&gpu1) && changed.groups.contains(&lab));
}

// The conflicts.

#[test]
fn one_machine_that_enrols_at_two_trackers_is_one_row_with_the_earlier_name() {
    let (mut a, _, lab) = with_token(1);
    let mut b = TestTracker::new(2);
    sync(&mut a, &mut b);
    let first = a.enrol(OLGAS_SECRET, 1, "one").unwrap();
    b.now += 100_000;
    let second = b.enrol(OLGAS_SECRET, 1, "two").unwrap();
    sync(&mut a, &mut b);
    assert_eq!(first, second);
    let label = b.registry.label_of_machine(first);
    assert_eq!(label, "olga/one".parse().ok());
    assert_eq!(b.registry.machines_in(lab).count(), 1);
}

#[test]
fn machines_that_enrol_at_two_trackers_are_all_kept_even_beyond_the_number_of_the_token() {
    let (mut a, mut b, _, lab, _) = two_with_machine();
    let second = a.enrol(OLGAS_SECRET, 2, "gpu2").unwrap();
    b.now += 100_000;
    let third = b.enrol(OLGAS_SECRET, 3, "gpu2").unwrap();
    sync(&mut a, &mut b);
    for machine in [second, third] {
        assert_eq!(a.registry.role_of(lab, machine), Some(Role::Publisher));
    }
    assert_eq!(a.enrol(OLGAS_SECRET, 4, "gpu4"), Err(Refusal::TokenSpent));
    // The later one of two machines with one name has a tag.
    let labels = [second, third].map(|id| a.registry.label_of_machine(id).unwrap());
    assert_eq!(labels[0].to_string(), "olga/gpu2");
    assert!(labels[1].to_string().starts_with("olga/gpu2~"));
}

#[test]
fn two_copies_that_start_at_two_trackers_suspend_the_machine() {
    let (mut a, mut b, olga, lab, gpu1) = two_with_machine();
    assert_eq!(a.start(gpu1, 1, start(1, 1)), Ok(false));
    assert_eq!(b.start(gpu1, 1, start(1, 2)), Ok(false));
    sync(&mut a, &mut b);
    for tracker in [&a, &b] {
        assert_eq!(tracker.registry.role_of(lab, gpu1), None);
        assert_eq!(
            tracker.state_of_machine(olga, gpu1),
            MachineState::Suspended
        );
        assert_eq!(tracker.credential(gpu1, 1, start(1, 1)), None);
        // Nobody asked for it, so it has no address.
        let audit = tracker.registry.audit(9).into_iter();
        let mut suspensions = audit.filter(|it| it.action == AuditAction::SuspendedMachine);
        let entry = suspensions.next().expect("an entry");
        assert_eq!((entry.who_id, entry.from), (Some(gpu1), None));
    }
    b.allow(olga, "olga/gpu1").unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.start(gpu1, 1, start(1, 1)), Ok(false));
    sync(&mut a, &mut b);
    assert!(b.credential(gpu1, 1, start(1, 1)).is_some());
}

#[test]
fn a_copy_that_starts_with_a_smaller_counter_elsewhere_is_found_at_its_next_start() {
    let (mut a, mut b, _, _, gpu1) = two_with_machine();
    a.start(gpu1, 1, start(1, 1)).unwrap();
    sync(&mut a, &mut b);
    a.start(gpu1, 1, start(2, 1)).unwrap();
    a.start(gpu1, 1, start(3, 1)).unwrap();
    b.start(gpu1, 1, start(2, 9)).unwrap();
    let of_copy = b.credential(gpu1, 1, start(2, 9)).unwrap();
    sync(&mut a, &mut b);
    let ended = b.registry.check_login(gpu1, RowId([9; 16]), of_copy);
    assert_eq!(ended, Err(Refusal::LoginEnded));
    assert_eq!(b.start(gpu1, 1, start(3, 9)), Ok(true));
}

#[test]
fn one_start_that_two_trackers_accept_is_one_start() {
    let (mut a, mut b, _, _, gpu1) = two_with_machine();
    a.start(gpu1, 1, start(1, 1)).unwrap();
    b.start(gpu1, 1, start(1, 1)).unwrap();
    let credential = b.credential(gpu1, 1, start(1, 1)).unwrap();
    sync(&mut a, &mut b);
    let valid = a.registry.check_login(gpu1, RowId([9; 16]), credential);
    assert_eq!(valid, Ok(()));
}

#[test]
fn of_an_answer_and_a_suspension_at_two_trackers_the_later_one_counts() {
    for answer_is_later in [true, false] {
        let (mut a, mut b, olga, lab, gpu1) = two_with_machine();
        a.start(gpu1, 1, start(1, 1)).unwrap();
        assert_eq!(a.start(gpu1, 1, start(1, 2)), Ok(true));
        sync(&mut a, &mut b);
        // Both answer. At one tracker, a copy of the machine is then seen again.
        let (late, early) = match answer_is_later {
            true => (&mut b, &mut a),
            false => (&mut a, &mut b),
        };
        late.now = early.now + 100_000;
        a.allow(olga, "olga/gpu1").unwrap();
        a.start(gpu1, 1, start(1, 3)).unwrap();
        assert_eq!(a.start(gpu1, 1, start(1, 4)), Ok(true));
        b.allow(olga, "olga/gpu1").unwrap();
        sync(&mut a, &mut b);
        let role = answer_is_later.then_some(Role::Publisher);
        assert_eq!(a.registry.role_of(lab, gpu1), role);
    }
}

#[test]
fn a_revocation_wins_over_starts_answers_and_enrolments_at_another_tracker() {
    let (mut a, mut b, olga, lab, gpu1) = two_with_machine();
    b.now += 100_000;
    a.revoke_machine(olga, "olga/gpu1").unwrap();
    assert_eq!(b.start(gpu1, 1, start(1, 1)), Ok(false));
    sync(&mut a, &mut b);
    assert_eq!(b.registry.role_of(lab, gpu1), None);
    a.revoke_token(olga, "olga/farm").unwrap();
    let gpu2 = b.enrol(OLGAS_SECRET, 2, "gpu2").unwrap();
    sync(&mut a, &mut b);
    assert_eq!(b.registry.role_of(lab, gpu2), None);
}

#[test]
fn a_token_that_is_made_while_its_maker_is_removed_is_never_valid() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let nik = a.add_member(olga, "lab", "nik");
    a.give(olga, "nik", Role::Owner).unwrap();
    sync(&mut a, &mut b);
    a.remove(olga, "lab", "nik").unwrap();
    b.now += 100_000;
    let groups = [("lab", Role::Reader)];
    b.create_token(nik, "farm", (5, 1), &groups).unwrap();
    let gpu1 = b.enrol(5, 1, "gpu1").unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.registry.role_of(lab, gpu1), None);
    a.request(nik, "lab").unwrap();
    a.accept(olga, "lab", "nik").unwrap();
    assert_eq!(a.registry.role_of(lab, gpu1), None);
}

#[test]
fn roles_given_to_a_machine_at_two_trackers_merge_to_the_later_one() {
    let (mut a, mut b, olga, lab, gpu1) = two_with_machine();
    a.give(olga, "olga/gpu1", Role::Publisher).unwrap();
    b.now = a.now + 100_000;
    b.give(olga, "olga/gpu1", Role::Reader).unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.registry.role_of(lab, gpu1), Some(Role::Reader));
}

#[test]
fn machines_are_known_whatever_the_order_in_which_rows_arrive() {
    let (a, _, olga, lab, gpu1) = two_with_machine();
    let mut rows: Vec<Row> = a.registry.rows().cloned().collect();
    let versions = a.registry.version_vector().clone();
    for _ in 0..rows.len() {
        rows.rotate_left(1);
        let loaded = Registry::load(a.registry.origin(), versions.clone(), rows.clone()).unwrap();
        assert_eq!(loaded.dump(), a.registry.dump());
        let numbers = loaded.change_numbers(lab);
        assert_eq!(numbers, a.registry.change_numbers(lab));
        assert_eq!(loaded.role_of(lab, gpu1), Some(Role::Publisher));
        assert_eq!(loaded.machines(olga, None, None, 9).unwrap().items.len(), 1);
    }
}

#[test]
fn the_machines_of_one_account_are_limited_in_total() {
    let (mut it, olga, _) = with_token(1);
    let groups = [("lab", Role::Reader)];
    it.create_token(olga, "many", (2, 20_000), &groups).unwrap();
    let token = it.registry.token_id(&"olga/many".parse().unwrap()).unwrap();
    for number in 0..u32::try_from(MAX_MACHINES_OF_ACCOUNT).unwrap() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        let (name, now) = ("gpu".parse().unwrap(), Duration::from_millis(it.now));
        // The rules are not asked each time: that would count all machines again and again.
        let version = it.registry.next_version(now);
        let row = Machine {
            id: Machine::id_of(token, &KeyHash(key)),
            created: version,
            token,
            key: KeyHash(key),
            name: Register::new(version, name),
            starts: None,
            suspended: None,
            answered: None,
            revoked: None,
            roles: Default::default(),
        };
        let written = it.registry.write(version, &[row.id], [Row::Machine(row)]);
        it.apply(written).unwrap();
    }
    assert_eq!(kind_of(it.enrol(OLGAS_SECRET, 1, "gpu1")), "quota");
    it.revoke_token(olga, "olga/many").unwrap();
    let barred = kind_of(it.enrol(OLGAS_SECRET, 1, "gpu1"));
    assert_eq!(barred, "quota", "their bars take places");
    it.now += 7 * 24 * 3_600_000;
    let groups = [("lab", Role::Reader)];
    it.create_token(olga, "new", (3, 1), &groups).unwrap();
    assert_eq!(kind_of(it.enrol(3, 1, "gpu1")), "ok");
}
