//! The order in which passwords are checked. Pure.
//!
//! Only a few attempts run at a time. The others wait in one of two lines, each with its own
//! places: one for users at addresses where they were logged in before, one for everybody else. The
//! lines take turns. Within a line the networks take turns, within a network the addresses. If a
//! line is full, the last attempt of the network with the most waiting attempts gives way. So a few
//! networks, however many addresses and attempts they have, delay an attempt of another network by
//! a few attempts only, and keep nobody out.

use crate::base::{AddressNetwork, AddressPrefix};
use std::collections::VecDeque;

/// The most attempts that wait in one line. At 20 ms for each password, two processors check them
/// within the time that a caller waits.
const MAX_WAITING: usize = 1_000;

/// The number of an attempt.
pub(super) type AttemptNumber = u64;

/// Attempts that run or wait. `T` is what the caller needs to reach a waiting attempt.
#[derive(Debug)]
pub(super) struct AttemptQueue<T> {
    /// Users at addresses where they were logged in before.
    known: Line<T>,
    others: Line<T>,
    /// Whether the last attempt that was admitted was from `known`.
    known_was_last: bool,
    running: usize,
    /// The most attempts that run at a time.
    max_running: usize,
    last_number: AttemptNumber,
}

/// An attempt has no place, and nobody has to give way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoPlace;

impl<T> AttemptQueue<T> {
    pub(super) fn new(max_running: usize) -> Self {
        Self {
            known: Line::default(),
            others: Line::default(),
            known_was_last: false,
            running: 0,
            max_running,
            last_number: 0,
        }
    }

    /// Adds an attempt to the end of its line. Returns its number, and the attempt that gave way to
    /// it. The caller calls [`AttemptQueue::admit`] next.
    ///
    /// # Errors
    /// The line is full, and the network of the attempt has the most places in it.
    pub(super) fn enter(
        &mut self,
        address: AddressPrefix,
        is_known: bool,
        item: T,
    ) -> Result<(AttemptNumber, Option<T>), NoPlace> {
        let line = match is_known {
            true => &mut self.known,
            false => &mut self.others,
        };
        let gave_way = match line.waiting < MAX_WAITING {
            true => None,
            false => Some(line.make_room(address).ok_or(NoPlace)?),
        };
        self.last_number += 1;
        line.push(address, (self.last_number, item));
        Ok((self.last_number, gave_way))
    }

    /// Takes the attempt that runs next, if one may. It runs until [`AttemptQueue::on_end`].
    pub(super) fn admit(&mut self) -> Option<T> {
        if self.running >= self.max_running {
            return None;
        }
        let (first, second) = match self.known_was_last {
            true => (&mut self.others, &mut self.known),
            false => (&mut self.known, &mut self.others),
        };
        let (item, is_first) = match first.pop() {
            Some(item) => (item, true),
            None => (second.pop()?, false),
        };
        self.known_was_last ^= is_first;
        self.running += 1;
        Some(item)
    }

    /// An attempt that ran has ended.
    pub(super) fn on_end(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Removes an attempt if it still waits.
    pub(super) fn leave(&mut self, number: AttemptNumber) {
        self.known.remove(number);
        self.others.remove(number);
    }

    /// From now on, any number of attempts may run.
    pub(super) fn admit_all(&mut self) {
        self.max_running = usize::MAX;
    }
}

/// Attempts that wait. Networks, and addresses of a network, are here only with waiting attempts.
/// The first of each runs next.
#[derive(Debug)]
struct Line<T> {
    networks: VecDeque<NetworkLine<T>>,
    /// The number of waiting attempts.
    waiting: usize,
}

#[derive(Debug)]
struct NetworkLine<T> {
    network: AddressNetwork,
    addresses: VecDeque<AddressLine<T>>,
    /// The number of waiting attempts.
    waiting: usize,
}

#[derive(Debug)]
struct AddressLine<T> {
    address: AddressPrefix,
    attempts: VecDeque<(AttemptNumber, T)>,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            networks: VecDeque::new(),
            waiting: 0,
        }
    }
}

impl<T> Line<T> {
    fn push(&mut self, address: AddressPrefix, attempt: (AttemptNumber, T)) {
        self.waiting += 1;
        let network = address.network();
        let found = self.networks.iter_mut().find(|it| it.network == network);
        let Some(line) = found else {
            return self.networks.push_back(NetworkLine {
                network,
                addresses: VecDeque::from([AddressLine::of(address, attempt)]),
                waiting: 1,
            });
        };
        line.waiting += 1;
        let found = line.addresses.iter_mut().find(|it| it.address == address);
        match found {
            Some(line) => line.attempts.push_back(attempt),
            None => line.addresses.push_back(AddressLine::of(address, attempt)),
        }
    }

    fn pop(&mut self) -> Option<T> {
        let mut network = self.networks.pop_front()?;
        let mut address = network.addresses.pop_front()?;
        let (_, item) = address.attempts.pop_front()?;
        self.waiting -= 1;
        network.waiting -= 1;
        if !address.attempts.is_empty() {
            network.addresses.push_back(address);
        }
        if network.waiting > 0 {
            self.networks.push_back(network);
        }
        Some(item)
    }

    /// Takes out the last attempt of the address with the most attempts, of the network with the
    /// most attempts. `None` if `newcomer` would then have the most itself.
    fn make_room(&mut self, newcomer: AddressPrefix) -> Option<T> {
        let largest = self.networks.iter().max_by_key(|it| it.waiting)?;
        let network = newcomer.network();
        let own = self.networks.iter().find(|it| it.network == network);
        let own_waiting = own.map_or(0, |own| own.waiting);
        let (chosen, is_own) = match own {
            Some(own) if own_waiting + 1 >= largest.waiting => (own, true),
            None if largest.waiting <= 1 => return None,
            _ => (largest, false),
        };
        let address = chosen.addresses.iter().max_by_key(|it| it.attempts.len())?;
        let own_address = chosen.addresses.iter().find(|it| it.address == newcomer);
        let own_attempts = own_address.map_or(0, |own| own.attempts.len());
        if is_own && own_attempts + 1 >= address.attempts.len() {
            return None;
        }
        let (last, _) = address.attempts.back()?;
        self.remove(*last)
    }

    fn remove(&mut self, number: AttemptNumber) -> Option<T> {
        let has = |line: &AddressLine<T>| line.attempts.iter().any(|(it, _)| *it == number);
        let in_network = |it: &NetworkLine<T>| it.addresses.iter().position(has);
        let mut positions = self.networks.iter().enumerate();
        let (at, at_address) = positions.find_map(|(at, it)| Some((at, in_network(it)?)))?;
        let network = self.networks.get_mut(at)?;
        let address = network.addresses.get_mut(at_address)?;
        let at_attempt = address.attempts.iter().position(|(it, _)| *it == number)?;
        let (_, item) = address.attempts.remove(at_attempt)?;
        self.waiting -= 1;
        network.waiting -= 1;
        if address.attempts.is_empty() {
            network.addresses.remove(at_address);
        }
        if network.waiting == 0 {
            self.networks.remove(at);
        }
        Some(item)
    }
}

impl<T> AddressLine<T> {
    fn of(address: AddressPrefix, attempt: (AttemptNumber, T)) -> Self {
        Self {
            address,
            attempts: VecDeque::from([attempt]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The address 10.`network`.x.y, where x.y is `host`.
    fn address(network: u8, host: u16) -> AddressPrefix {
        let [high, low] = host.to_be_bytes();
        AddressPrefix::of([10, network, high, low].into())
    }

    /// A queue in which one attempt runs and nothing waits.
    fn busy_queue() -> AttemptQueue<&'static str> {
        let mut queue = AttemptQueue::new(1);
        queue.enter(address(9, 9), false, "first").unwrap();
        assert_eq!(queue.admit(), Some("first"));
        assert_eq!(queue.admit(), None);
        queue
    }

    /// Ends the attempt that runs. Returns the next one.
    fn next<T>(queue: &mut AttemptQueue<T>) -> Option<T> {
        queue.on_end();
        queue.admit()
    }

    #[test]
    fn lines_networks_and_addresses_take_turns() {
        let mut queue = busy_queue();
        for (network, host, is_known, name) in [
            (1, 1, false, "a1"),
            (1, 1, false, "a2"),
            (1, 1, false, "a3"),
            (1, 2, false, "b1"),
            (2, 1, false, "c1"),
            (3, 1, true, "known1"),
            (3, 1, true, "known2"),
        ] {
            let entered = queue.enter(address(network, host), is_known, name);
            assert!(matches!(entered, Ok((_, None))));
        }
        let order: Vec<_> = std::iter::from_fn(|| next(&mut queue)).collect();
        assert_eq!(order, ["known1", "a1", "known2", "c1", "b1", "a2", "a3"]);
        assert!(queue.known.networks.is_empty() && queue.others.networks.is_empty());
        assert_eq!((queue.known.waiting, queue.others.waiting), (0, 0));
    }

    #[test]
    fn a_newcomer_of_another_network_drives_out_the_last_attempt_of_the_largest() {
        let mut queue = busy_queue();
        for host in 0..MAX_WAITING as u16 {
            queue.enter(address(1, host), false, "flood").unwrap();
        }
        let more = queue.enter(address(1, 5_000), false, "flood");
        assert_eq!(more, Err(NoPlace));
        for is_known in [false, true] {
            let (_, gave_way) = queue.enter(address(2, 1), is_known, "honest").unwrap();
            assert_eq!(gave_way, (!is_known).then_some("flood"));
        }
        assert_eq!(queue.others.waiting, MAX_WAITING);
        let order: Vec<_> = (0..3).filter_map(|_| next(&mut queue)).collect();
        assert_eq!(order, ["honest", "flood", "honest"]);
    }

    #[test]
    fn a_newcomer_drives_out_the_largest_address_of_its_own_network() {
        let mut queue = busy_queue();
        for _ in 0..MAX_WAITING {
            queue.enter(address(1, 1), false, "flood").unwrap();
        }
        assert_eq!(queue.enter(address(1, 1), false, "flood"), Err(NoPlace));
        let (_, gave_way) = queue.enter(address(1, 2), false, "honest").unwrap();
        assert_eq!(gave_way, Some("flood"));
        let order: Vec<_> = (0..2).filter_map(|_| next(&mut queue)).collect();
        assert_eq!(order, ["flood", "honest"]);
    }

    #[test]
    fn with_one_attempt_of_each_network_nobody_gives_way() {
        let mut queue = busy_queue();
        for number in 0..MAX_WAITING as u32 {
            let ip = std::net::IpAddr::V4((number << 16).into());
            queue.enter(AddressPrefix::of(ip), false, "one").unwrap();
        }
        let newcomer = AddressPrefix::of([200, 1, 1, 1].into());
        assert_eq!(queue.enter(newcomer, false, "late"), Err(NoPlace));
    }

    #[test]
    fn an_attempt_that_leaves_frees_its_place() {
        let mut queue = busy_queue();
        let (first, _) = queue.enter(address(1, 1), false, "left").unwrap();
        queue.enter(address(1, 1), false, "stays").unwrap();
        let (third, _) = queue.enter(address(2, 1), true, "left").unwrap();
        queue.leave(first);
        queue.leave(third);
        queue.leave(third);
        assert_eq!((queue.known.waiting, queue.others.waiting), (0, 1));
        assert_eq!(next(&mut queue), Some("stays"));
        assert_eq!(next(&mut queue), None);
        queue.enter(address(1, 1), false, "a").unwrap();
        queue.enter(address(1, 1), false, "b").unwrap();
        queue.admit_all();
        assert_eq!((queue.admit(), queue.admit()), (Some("a"), Some("b")));
    }
}
