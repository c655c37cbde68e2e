//! The list of the logins of a user: what is noted, what is listed, conflicts, and the bound on the
//! number of rows.

use super::*;
use crate::wire::login_id::LoginId;
use std::net::IpAddr;

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const AWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
const DAY: Duration = Duration::from_secs(24 * 3600);
const LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

impl TestTracker {
    fn pass(&mut self, time: Duration) {
        self.now += u64::try_from(time.as_millis()).unwrap();
    }

    /// A login of an account, whose id begins with `number` four times.
    fn begin_login(&mut self, account: RowId, number: u8) -> Login {
        let now = self.next_time();
        let credential = self.registry.account(account).unwrap().credential();
        let mut id = [number; 16];
        id[4..].copy_from_slice(&self.next_id().0[4..]);
        let login = Login::begin(account, RowId(id), credential, now, LIFE);
        self.use_login(&login, Some("gpu1"), HOME);
        login
    }

    fn use_login(&mut self, login: &Login, host: Option<&str>, from: IpAddr) {
        let now = self.next_time();
        let host = host.map(|host| host.parse().unwrap());
        let noted = self.registry.note_use(login, host.as_ref(), from, now);
        self.apply(noted).unwrap();
    }

    /// The ids in the list of the login's user.
    fn listed(&self, present: &Login) -> Vec<String> {
        let list = self.login_list(present);
        list.into_iter().map(|login| login.id.to_string()).collect()
    }

    /// The list, read in pages of one entry, or of many if it is long.
    fn login_list(&self, present: &Login) -> Vec<LoginView> {
        let rows = self.registry.rows().filter(|row| row.kind() == "login");
        let length = if rows.count() < 10 { 1 } else { 300 };
        let (mut list, mut after) = (Vec::new(), None);
        loop {
            let limits = (Duration::from_millis(self.now), length);
            let account = present.account;
            let page = self
                .registry
                .logins(account, present.id, after.as_ref(), limits);
            let page = page.unwrap();
            list.extend(page.items);
            match page.next {
                Some(next) => after = Some(next.to_string().parse().unwrap()),
                None => return list,
            }
        }
    }

    fn end_login(&mut self, present: &Login, id: &str) -> Result<(), Refusal> {
        let now = self.next_time();
        let id: LoginId = id.parse().unwrap();
        let (account, present) = (present.account, present.id);
        self.apply(self.registry.end_login(account, present, &id, now))
    }
}

/// Two trackers that know the user nik.
fn two_trackers() -> (TestTracker, TestTracker, RowId) {
    let (mut a, mut b) = (TestTracker::new(1), TestTracker::new(2));
    let nik = a.create_user("nik").unwrap();
    sync(&mut a, &mut b);
    (a, b, nik)
}

#[test]
fn a_login_is_listed_until_it_ends() {
    let (mut a, _, nik) = two_trackers();
    let logins = [1, 2, 3, 4].map(|number| a.begin_login(nik, number));
    let [one, two, three, four] = &logins;
    let list = a.login_list(one);
    let present: Vec<bool> = list.iter().map(|login| login.is_present).collect();
    assert_eq!(present.iter().filter(|present| **present).count(), 1);
    let mut ids: Vec<String> = list.iter().map(|login| login.id.to_string()).collect();
    ids.sort();
    assert_eq!(ids, ["01010101", "02020202", "03030303", "04040404"]);
    assert_eq!(list[0].begun.host, "gpu1".parse().ok());
    assert_eq!(list[0].used.from, HOME);

    // One ends by a log-out, one by another login.
    let now = a.next_time();
    let expires = two.log_out_expiry(now);
    let logged_out = a.registry.log_out(nik, two.id, expires, now);
    a.apply(logged_out).unwrap();
    assert_eq!(kind_of(a.end_login(one, "02020202")), "unknown-login");
    assert_eq!(kind_of(a.end_login(one, "01010101")), "own-login");
    assert_eq!(kind_of(a.end_login(one, "05050505")), "unknown-login");
    a.end_login(one, "03030303").unwrap();
    assert_eq!(kind_of(a.end_login(one, "03030303")), "unknown-login");
    let ended = a.registry.check_login(nik, three.id, three.credential);
    assert_eq!(ended, Err(Refusal::LoginEnded));
    assert_eq!(a.listed(one).len(), 2);
    assert!(
        a.registry
            .check_login(nik, four.id, four.credential)
            .is_ok()
    );

    // Nobody else can end it.
    let olga = a.create_user("olga").unwrap();
    let other = a.begin_login(olga, 4);
    assert_eq!(
        kind_of(a.end_login(&other, &four.id.to_string())),
        "unknown-login"
    );

    // One ends because nobody uses it.
    a.pass(LIFE);
    a.use_login(&one.renewed(Duration::from_millis(a.now), LIFE), None, HOME);
    assert_eq!(a.listed(one).len(), 2);
    a.pass(DAY * 2);
    assert_eq!(a.listed(one), ["01010101"]);

    // The rest ends with the password.
    let now = a.next_time();
    let changed = a.registry.change_password(nik, password("new"), now);
    a.apply(changed).unwrap();
    assert_eq!(a.listed(one), [""; 0]);
}

#[test]
fn a_use_is_noted_once_a_day_and_whenever_a_token_would_live_longer_than_the_row() {
    let (mut a, _, nik) = two_trackers();
    let mut login = a.begin_login(nik, 1);
    let begun = login.issued;
    let mut noted = 0;
    for _ in 0..24 {
        a.pass(RENEWAL_AGE);
        let now = a.next_time();
        login = login.renewed(now, LIFE);
        if a.registry.is_use_due(&login, now) {
            noted += 1;
            a.use_login(&login, None, AWAY);
        }
        let list = a.login_list(&login);
        assert!(
            list[0].used.until >= millis(login.expires),
            "it may be used"
        );
    }
    assert_eq!(noted, 3, "in three days");
    let list = a.login_list(&login);
    assert_eq!(list[0].used.from, AWAY);
    assert_eq!(list[0].begun.at, millis(begun));
    assert_eq!(list[0].begun.host, "gpu1".parse().ok());
    // A tracker with a longer life of logins.
    let now = a.next_time();
    let longer = login.renewed(now, LIFE * 2);
    assert!(a.registry.is_use_due(&longer, now));
    a.use_login(&longer, None, AWAY);
    let later = a.next_time();
    let shorter = longer.renewed(later, LIFE);
    a.pass(DAY);
    a.use_login(&shorter, None, AWAY);
    let list = a.login_list(&login);
    assert!(list[0].used.until >= millis(longer.expires));
}

#[test]
fn of_two_uses_at_two_trackers_the_later_one_is_kept() {
    let (mut a, mut b, nik) = two_trackers();
    let login = a.begin_login(nik, 1);
    sync(&mut a, &mut b);
    a.use_login(&login, None, AWAY);
    b.pass(DAY);
    b.use_login(&login, None, HOME);
    sync(&mut a, &mut b);
    let list = a.login_list(&login);
    assert_eq!(list[0].used.from, HOME);
    assert_eq!(list[0].begun.host, "gpu1".parse().ok());
}

#[test]
fn a_login_without_a_row_that_is_used_at_two_trackers_gets_one_row() {
    let (mut a, mut b, nik) = two_trackers();
    let credential = a.registry.account(nik).unwrap().credential();
    let login = Login::begin(nik, RowId([1; 16]), credential, a.next_time(), LIFE);
    a.use_login(&login, None, HOME);
    b.pass(DAY);
    b.use_login(&login, Some("gpu2"), AWAY);
    sync(&mut a, &mut b);
    let list = b.login_list(&login);
    assert_eq!(list.len(), 1);
    assert_eq!(
        list[0].begun.host,
        "gpu2".parse().ok(),
        "the later creation"
    );
    // A third tracker that has the row of the first one learns the rest from the second one.
    let mut c = TestTracker::new(3);
    c.pull(&b);
    assert_eq!(c.registry.dump(), b.registry.dump());
}

#[test]
fn a_login_that_ends_at_one_tracker_and_is_used_at_another_one_has_ended() {
    let (mut a, mut b, nik) = two_trackers();
    let present = a.begin_login(nik, 1);
    let lost = a.begin_login(nik, 2);
    sync(&mut a, &mut b);
    a.end_login(&present, "02020202").unwrap();
    b.pass(DAY);
    b.use_login(&lost, None, AWAY);
    assert_eq!(b.listed(&lost).len(), 2);
    sync(&mut a, &mut b);
    for tracker in [&a, &b] {
        assert_eq!(tracker.listed(&present), ["01010101"]);
        let ended = tracker.registry.check_login(nik, lost.id, lost.credential);
        assert_eq!(ended, Err(Refusal::LoginEnded));
    }
}

#[test]
fn logins_with_the_same_first_digits_are_shown_whole() {
    let (mut a, _, nik) = two_trackers();
    let present = a.begin_login(nik, 1);
    let [one, other] = [2, 2].map(|number| a.begin_login(nik, number));
    assert_eq!(kind_of(a.end_login(&present, "02020202")), "unknown-login");
    let mut listed = a.listed(&present);
    listed.sort();
    let mut expected = [one.id.to_string(), other.id.to_string()];
    expected.sort();
    assert_eq!(listed[1..], expected);
    a.end_login(&present, &expected[0]).unwrap();
    let mut listed = a.listed(&present);
    listed.sort();
    assert_eq!(listed, ["01010101", "02020202"]);
}

#[test]
fn the_row_that_was_not_used_for_the_longest_time_gives_way_and_its_login_goes_on() {
    let (mut a, mut b, nik) = two_trackers();
    let mut logins: Vec<Login> = (0..MAX_LISTED_LOGINS)
        .map(|_| a.begin_login(nik, 7))
        .collect();
    let (oldest, second, third) = (logins[0], logins[1], logins[2]);
    let unexpired = |it: &TestTracker| {
        let rows = it.registry.rows();
        let expiries = rows.filter(|row| row.kind() == "login").map(Row::expires);
        expiries
            .filter(|it_expires| *it_expires > Some(it.now))
            .count()
    };
    assert_eq!(unexpired(&a), MAX_LISTED_LOGINS);
    // A use of a login with a row needs no room.
    a.use_login(&second, None, HOME);
    assert_eq!(a.listed(&oldest).len(), MAX_LISTED_LOGINS);
    logins.push(a.begin_login(nik, 7));
    assert_eq!(unexpired(&a), MAX_LISTED_LOGINS);
    assert!(a.login_list(&oldest).iter().all(|login| !login.is_present));
    let goes_on = a.registry.check_login(nik, oldest.id, oldest.credential);
    assert_eq!(goes_on, Ok(()));
    // An ended login gives way first, then the next one.
    let last = logins.last().copied().unwrap();
    a.end_login(&oldest, &last.id.to_string()).unwrap();
    let now = a.next_time();
    assert!(a.registry.is_use_due(&oldest, now));
    a.use_login(&oldest, None, HOME);
    assert_eq!(unexpired(&a), MAX_LISTED_LOGINS);
    assert!(a.login_list(&third).iter().any(|login| login.is_present));
    a.begin_login(nik, 7);
    assert!(a.login_list(&third).iter().all(|login| !login.is_present));
    // Two trackers may both use the last room. Each later login makes up for one.
    sync(&mut a, &mut b);
    a.begin_login(nik, 7);
    a.begin_login(nik, 7);
    b.begin_login(nik, 7);
    b.begin_login(nik, 7);
    sync(&mut a, &mut b);
    for _ in 0..4 {
        a.begin_login(nik, 7);
    }
    assert_eq!(unexpired(&a), MAX_LISTED_LOGINS);
}

#[test]
fn expired_rows_of_an_account_with_too_many_are_dropped_at_once() {
    let (mut a, _, nik) = two_trackers();
    let logins: Vec<Login> = (0..MAX_LOGIN_ROWS + 3)
        .map(|_| a.begin_login(nik, 7))
        .collect();
    let now = a.next_time();
    let surplus = a.registry.surplus_logins(now);
    assert_eq!(surplus.len(), 3);
    a.registry.drop_rows(&surplus);
    assert_eq!(a.registry.surplus_logins(now), []);
    assert_eq!(a.listed(logins.last().unwrap()).len(), MAX_LISTED_LOGINS);
}

#[test]
fn the_row_of_a_login_is_dropped_when_it_has_expired_and_all_trackers_have_it() {
    let (mut a, mut b, nik) = two_trackers();
    let login = a.begin_login(nik, 1);
    let row = LoginRow::id_of(nik, login.id);
    sync(&mut a, &mut b);
    let later = login.expires + DAY;
    let others = [b.registry.version_vector().clone()];
    let just_before = later - Duration::from_millis(1);
    assert_eq!(a.registry.droppable(just_before, &others), []);
    assert_eq!(a.registry.droppable(later, &others), [row]);
    a.registry.drop_rows(&[row]);
    assert_eq!(a.listed(&login), [""; 0]);
    // It is used after all, and gets a row again.
    assert!(a.registry.is_use_due(&login, Duration::from_millis(a.now)));
    a.use_login(&login, None, HOME);
    assert_eq!(a.listed(&login), ["01010101"]);
}

#[test]
fn machines_and_removed_accounts_have_no_listed_logins() {
    let (mut a, _, nik) = two_trackers();
    let login = a.begin_login(nik, 1);
    let now = a.next_time();
    let removed = a.registry.remove_account_as_operator(nik, 9, now);
    a.apply(removed).unwrap();
    let list = a.registry.logins(nik, login.id, None, (now, 9));
    assert_eq!(list, Err(Refusal::AccountGone));
    let unknown = Login {
        account: RowId([9; 16]),
        ..login
    };
    assert!(!a.registry.is_use_due(&unknown, now));
    let noted = a.registry.note_use(&unknown, None, HOME, now);
    assert_eq!(kind_of(noted), "account-gone");
}

#[test]
fn the_end_of_another_login_is_in_the_audit_log_and_a_log_out_is_not() {
    let (mut a, _, nik) = two_trackers();
    let present = a.begin_login(nik, 1);
    let other = a.begin_login(nik, 2);
    let author = Author {
        account: Some(nik),
        from: Some(HOME),
    };
    let now = a.next_time();
    let id: LoginId = "02020202".parse().unwrap();
    let ended = a.registry.end_login(nik, present.id, &id, now).unwrap();
    let ended = a.registry.with_audit(ended, RowId([8; 16]), author, now);
    a.apply(Ok(ended)).unwrap();
    let actions: Vec<_> = a
        .registry
        .audit(9)
        .into_iter()
        .map(|it| it.action)
        .collect();
    assert_eq!(actions, [AuditAction::EndedLogin]);
    let logged_out = a.registry.log_out(nik, present.id, now + DAY, now).unwrap();
    let logged_out = a
        .registry
        .with_audit(logged_out, RowId([9; 16]), author, now);
    assert_eq!(logged_out.rows().len(), 1);
    assert_ne!(other.id, present.id);
}
