//! The order in which passwords are checked. Pure.
//!
//! Only a few attempts run at a time. The other attempts wait in two lines. One line is for users
//! at addresses where they were logged in before. The other line is for everybody else. Each line
//! has a limit of its own. The two lines take turns. Within a line the networks take turns, and
//! within a network the addresses take turns. If a line is full, a new attempt can drive out an
//! attempt of the network with the most waiting attempts (see [`Line::make_room`]). So a few
//! networks, however many addresses and attempts they have, delay an attempt of another network
//! only by a few attempts, and cannot keep it out.

use crate::base::{AddressNetwork, AddressPrefix};
use std::collections::VecDeque;

/// The maximum number of attempts that wait in one line. A request waits at most 10 s. In this
/// time, two processors check 1,000 passwords, because each takes 20 ms.
const MAX_WAITING: usize = 1_000;

/// The number of an attempt.
pub(super) type AttemptNumber = u64;

/// Attempts that run or wait. `T` is what the caller needs to wake a waiting attempt.
#[derive(Debug)]
pub(super) struct AttemptQueue<T> {
    /// Attempts of users at addresses where they were logged in before.
    known_line: Line<T>,
    /// All other attempts.
    other_line: Line<T>,
    /// Whether the latest admitted attempt came from `known_line`.
    latest_was_known: bool,
    /// The number of attempts that run.
    running: usize,
    /// The maximum number of attempts that run at a time.
    max_running: usize,
    /// The number of the attempt that entered last.
    newest_number: AttemptNumber,
}

/// The line of an attempt is full, and no waiting attempt gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LineFull;

impl<T> AttemptQueue<T> {
    pub(super) fn new(max_running: usize) -> Self {
        Self {
            known_line: Line::default(),
            other_line: Line::default(),
            latest_was_known: false,
            running: 0,
            max_running,
            newest_number: 0,
        }
    }

    /// Adds an attempt to its line. `is_known`: the user was logged in at this address before.
    /// Returns the number of the attempt. If the line was full, also returns the attempt that gave
    /// way. The caller calls [`AttemptQueue::admit`] next.
    ///
    /// # Errors
    /// The line is full, and no waiting attempt gives way (see [`Line::make_room`]).
    pub(super) fn enter(
        &mut self,
        address: AddressPrefix,
        is_known: bool,
        item: T,
    ) -> Result<(AttemptNumber, Option<T>), LineFull> {
        let line = match is_known {
            true => &mut self.known_line,
            false => &mut self.other_line,
        };
        let gave_way = match line.waiting < MAX_WAITING {
            true => None,
            false => Some(line.make_room(address).ok_or(LineFull)?),
        };
        self.newest_number += 1;
        line.push(address, (self.newest_number, item));
        Ok((self.newest_number, gave_way))
    }

    /// Takes the next attempt from the queue, if one more attempt may run. The attempt counts as
    /// running until the caller calls [`AttemptQueue::on_end`].
    pub(super) fn admit(&mut self) -> Option<T> {
        if self.running >= self.max_running {
            return None;
        }
        let (first, second) = match self.latest_was_known {
            true => (&mut self.other_line, &mut self.known_line),
            false => (&mut self.known_line, &mut self.other_line),
        };
        let (item, is_first) = match first.pop() {
            Some(item) => (item, true),
            None => (second.pop()?, false),
        };
        self.latest_was_known ^= is_first;
        self.running += 1;
        Some(item)
    }

    /// A running attempt has ended.
    pub(super) fn on_end(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Removes the attempt with this number if it still waits.
    pub(super) fn leave(&mut self, number: AttemptNumber) {
        self.known_line.remove(number);
        self.other_line.remove(number);
    }

    /// From now on, any number of attempts may run at a time.
    pub(super) fn remove_limit(&mut self) {
        self.max_running = usize::MAX;
    }
}

/// Attempts that wait, by network and by address. Each network and each address in the line has at
/// least one waiting attempt. The next attempt to run is the first attempt of the first address of
/// the first network.
#[derive(Debug)]
struct Line<T> {
    networks: VecDeque<NetworkLine<T>>,
    /// The number of waiting attempts of all networks.
    waiting: usize,
}

#[derive(Debug)]
struct NetworkLine<T> {
    network: AddressNetwork,
    addresses: VecDeque<AddressLine<T>>,
    /// The number of waiting attempts of all addresses.
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

    /// Takes out an attempt, so that an attempt from the address `newcomer` fits.
    ///
    /// - If another network has more attempts than the newcomer's network has with the new attempt,
    ///   takes the last attempt of the largest network, from its address with the most attempts.
    /// - Otherwise, if another address of the newcomer's network has more attempts than the
    ///   newcomer
    ///   has with the new attempt, takes the last attempt of the largest address of that network.
    /// - Otherwise takes nothing and returns `None`.
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
        let addresses = chosen.addresses.iter();
        let largest_address = addresses.max_by_key(|it| it.attempts.len())?;
        let own_address = chosen.addresses.iter().find(|it| it.address == newcomer);
        let own_attempts = own_address.map_or(0, |own| own.attempts.len());
        if is_own && own_attempts + 1 >= largest_address.attempts.len() {
            return None;
        }
        let (last_number, _) = largest_address.attempts.back()?;
        self.remove(*last_number)
    }

    fn remove(&mut self, number: AttemptNumber) -> Option<T> {
        let has_number = |line: &AddressLine<T>| line.attempts.iter().any(|(it, _)| *it == number);
        let address_of = |it: &NetworkLine<T>| it.addresses.iter().position(has_number);
        let mut networks = self.networks.iter().enumerate();
        let (network_at, address_at) =
            networks.find_map(|(network_at, it)| Some((network_at, address_of(it)?)))?;
        let network = self.networks.get_mut(network_at)?;
        let address = network.addresses.get_mut(address_at)?;
        let attempt_at = address.attempts.iter().position(|(it, _)| *it == number)?;
        let (_, item) = address.attempts.remove(attempt_at)?;
        self.waiting -= 1;
        network.waiting -= 1;
        if address.attempts.is_empty() {
            network.addresses.remove(address_at);
        }
        if network.waiting == 0 {
            self.networks.remove(network_at);
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

    /// The address 10.`network`.x.y. The two bytes of `host` are x and y.
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

    /// Ends the running attempt. Returns the next attempt.
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
        assert!(queue.known_line.networks.is_empty() && queue.other_line.networks.is_empty());
        assert_eq!((queue.known_line.waiting, queue.other_line.waiting), (0, 0));
    }

    #[test]
    fn a_newcomer_of_another_network_drives_out_an_attempt_of_the_largest_network() {
        let mut queue = busy_queue();
        for host in 0..MAX_WAITING as u16 {
            queue.enter(address(1, host), false, "flood").unwrap();
        }
        let one_more = queue.enter(address(1, 5_000), false, "flood");
        assert_eq!(one_more, Err(LineFull));
        for is_known in [false, true] {
            let (_, gave_way) = queue.enter(address(2, 1), is_known, "honest").unwrap();
            assert_eq!(gave_way, (!is_known).then_some("flood"));
        }
        assert_eq!(queue.other_line.waiting, MAX_WAITING);
        let order: Vec<_> = (0..3).filter_map(|_| next(&mut queue)).collect();
        assert_eq!(order, ["honest", "flood", "honest"]);
    }

    #[test]
    fn a_newcomer_drives_out_an_attempt_of_the_largest_address_of_its_own_network() {
        let mut queue = busy_queue();
        for _ in 0..MAX_WAITING {
            queue.enter(address(1, 1), false, "flood").unwrap();
        }
        assert_eq!(queue.enter(address(1, 1), false, "flood"), Err(LineFull));
        let (_, gave_way) = queue.enter(address(1, 2), false, "honest").unwrap();
        assert_eq!(gave_way, Some("flood"));
        let order: Vec<_> = (0..2).filter_map(|_| next(&mut queue)).collect();
        assert_eq!(order, ["flood", "honest"]);
    }

    #[test]
    fn if_each_network_has_one_attempt_no_attempt_gives_way() {
        let mut queue = busy_queue();
        for number in 0..MAX_WAITING as u32 {
            let ip = std::net::IpAddr::V4((number << 16).into());
            queue.enter(AddressPrefix::of(ip), false, "one").unwrap();
        }
        let newcomer = AddressPrefix::of([200, 1, 1, 1].into());
        assert_eq!(queue.enter(newcomer, false, "late"), Err(LineFull));
    }

    #[test]
    fn an_attempt_that_leaves_is_not_admitted() {
        let mut queue = busy_queue();
        let (first, _) = queue.enter(address(1, 1), false, "left").unwrap();
        queue.enter(address(1, 1), false, "stays").unwrap();
        let (third, _) = queue.enter(address(2, 1), true, "left").unwrap();
        queue.leave(first);
        queue.leave(third);
        queue.leave(third);
        assert_eq!((queue.known_line.waiting, queue.other_line.waiting), (0, 1));
        assert_eq!(next(&mut queue), Some("stays"));
        assert_eq!(next(&mut queue), None);
        queue.enter(address(1, 1), false, "a").unwrap();
        queue.enter(address(1, 1), false, "b").unwrap();
        // Without the limit, both other attempts run at the same time.
        queue.remove_limit();
        assert_eq!((queue.admit(), queue.admit()), (Some("a"), Some("b")));
    }
}
