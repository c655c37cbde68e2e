use super::*;

const LIMITS: PlaceLimits = PlaceLimits {
    total: 8,
    per_address: 3,
    for_newcomers: 2,
    per_account: 4,
    reserved: 2,
    replaces_silent: true,
};
const ALICE: Holder = Holder::Account([1; 16]);
const BOB: Holder = Holder::Account([2; 16]);

struct Test {
    places: Places,
    start: Instant,
    last_number: u64,
    /// Connections to which the server owes an answer.
    owed_answers: Vec<u64>,
}

impl Test {
    fn new(limits: PlaceLimits) -> Self {
        Self {
            places: Places::new(limits),
            start: Instant::now(),
            last_number: 0,
            owed_answers: Vec::new(),
        }
    }

    /// When the connection with this number is admitted: `number` seconds after the start.
    fn at(&self, number: u64) -> Instant {
        self.start + Duration::from_secs(number)
    }

    /// A new connection from 10.0.0.`host`, one second after the last one.
    fn admit(&mut self, host: u8) -> Result<Option<u64>, Full> {
        self.admit_from(IpAddr::from([10, 0, 0, host]), false)
    }

    fn admit_from(&mut self, ip: IpAddr, is_trusted: bool) -> Result<Option<u64>, Full> {
        self.last_number += 1;
        let now = self.at(self.last_number);
        let server_waits_for = |number| !self.owed_answers.contains(&number);
        self.places
            .admit(self.last_number, ip, is_trusted, now, &server_waits_for)
    }
}

#[test]
fn the_newcomer_that_has_been_silent_longest_gives_way() {
    let mut test = Test::new(LIMITS);
    for host in 1..=8 {
        assert_eq!(test.admit(host), Ok(None));
    }
    let now = test.at(8);
    test.places.on_heard(1, now);
    test.places.keep(2);
    test.places.authenticate(3, ALICE).unwrap();
    test.owed_answers = vec![4];
    for gives_way in [5, 6, 7] {
        assert_eq!(test.admit(50), Ok(Some(gives_way)));
    }
    // Connections 1 and 8 were last heard at the same time. The server owes connection 4 an answer.
    assert_eq!(test.admit(60), Ok(Some(1)));
    assert_eq!(test.admit(61), Ok(Some(8)));
    test.owed_answers.clear();
    assert_eq!(test.admit(62), Ok(Some(4)));
}

#[test]
fn nobody_gives_way_if_the_limits_say_so_or_nobody_is_silent() {
    let mut test = Test::new(PlaceLimits::fixed(2, 2));
    assert_eq!((test.admit(1), test.admit(2)), (Ok(None), Ok(None)));
    assert!(test.admit(3).is_err());
    let mut test = Test::new(PlaceLimits { total: 2, ..LIMITS });
    assert_eq!((test.admit(1), test.admit(2)), (Ok(None), Ok(None)));
    test.owed_answers = vec![1, 2];
    assert!(test.admit(3).is_err());
}

#[test]
fn an_address_at_its_limit_replaces_one_of_its_own_connections() {
    let mut test = Test::new(LIMITS);
    assert_eq!(test.admit(9), Ok(None));
    for _ in 0..3 {
        assert_eq!(test.admit(1), Ok(None));
    }
    assert_eq!(test.admit(1), Ok(Some(2)));
    // All addresses of one IPv6 subscriber count as one address. The last address is another
    // subscriber's.
    let mut ip = |text: &str| test.admit_from(text.parse().unwrap(), false);
    assert_eq!(ip("2001:db8::1"), Ok(None));
    assert_eq!(ip("2001:db8::2"), Ok(None));
    assert_eq!(ip("2001:db8::ffff:0:0:3"), Ok(None));
    assert_eq!(ip("2001:db8::4"), Ok(Some(6)));
    assert_eq!(ip("2001:db8:0:1::1"), Ok(None));
}

#[test]
fn authenticated_connections_count_for_their_account_and_not_for_their_address() {
    let mut test = Test::new(LIMITS);
    for number in 1..=4 {
        assert_eq!(test.admit(1), Ok(None), "{number}");
        test.places.authenticate(number, ALICE).unwrap();
    }
    assert_eq!(test.admit(1), Ok(None));
    assert!(
        test.places.authenticate(5, ALICE).is_err(),
        "Alice has four connections"
    );
    test.places.authenticate(5, BOB).unwrap();
    assert_eq!(test.admit(1), Ok(None));
    test.places.authenticate(6, BOB).unwrap();
    // The last two places are for newcomers.
    assert_eq!(test.admit(1), Ok(None));
    let full = test.places.authenticate(7, BOB).unwrap_err();
    assert!((5..=15).contains(&full.retry_seconds));
    assert_eq!((test.admit(2), test.admit(3)), (Ok(None), Ok(Some(7))));
    // The end of a connection frees its place.
    test.places.remove(1);
    test.places.authenticate(8, BOB).unwrap();
}

#[test]
fn trusted_addresses_have_reserved_places_and_must_authenticate_there() {
    let mut test = Test::new(LIMITS);
    let loopback = IpAddr::from([127, 0, 0, 1]);
    for host in 1..=8 {
        assert_eq!(test.admit(host), Ok(None));
    }
    assert_eq!(test.admit_from(loopback, true), Ok(None));
    assert_eq!(test.admit_from(loopback, true), Ok(None));
    assert_eq!(
        test.admit_from(loopback, true),
        Ok(Some(1)),
        "both reserved places are taken"
    );
    test.places.authenticate(10, Holder::Cluster).unwrap();
    let due = test.places.due(9).unwrap();
    assert_eq!(due, test.at(9) + Duration::from_secs(3));
    assert!(test.places.is_overdue(9, due));
    assert!(!test.places.is_overdue(9, due - Duration::from_millis(1)));
    assert!(!test.places.is_overdue(10, due) && test.places.due(10).is_none());
    assert!(!test.places.is_overdue(11, due) && test.places.due(11).is_none());
    test.places.remove(9);
    // Six places for authenticated connections, then the reserved place that 9 has left.
    for number in 2..=8 {
        assert_eq!(test.places.authenticate(number, Holder::Cluster), Ok(()));
    }
    assert!(test.places.authenticate(11, Holder::Cluster).is_err());
}
