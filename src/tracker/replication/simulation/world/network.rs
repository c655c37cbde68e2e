//! Lines between the trackers: how messages are delayed, lost and cut off, and who calls whom.

use super::super::super::LineId;
use super::super::{Failure, Mutation};
use super::{Event, World, blind};
use crate::wire::replica::Message;

impl World {
    pub(super) fn deliver(
        &mut self,
        to: usize,
        line: LineId,
        message: Message,
    ) -> Result<(), Failure> {
        let now = self.moment(to);
        let Some(replica) = &mut self.nodes[to].replica else {
            return Ok(());
        };
        let message = match (self.mutation, message) {
            (Mutation::IgnoreEnds, Message::Push { id, change }) => Message::Push {
                id,
                change: blind(&change),
            },
            (Mutation::IgnoreEnds, Message::Changes { id, change, more }) => Message::Changes {
                id,
                change: change.as_ref().map(blind),
                more,
            },
            (Mutation::DropPushes, Message::Push { id, .. }) => {
                return self.transmit(to, line, Message::Pushed { id });
            }
            (_, message) => message,
        };
        if let Message::Changes { more: true, .. } = &message {
            self.oracle.counts.note("catching up in several batches");
        }
        let effects = replica.received(line, message, now);
        self.perform(to, effects)
    }

    /// A message leaves for the other end of a line.
    pub(super) fn transmit(
        &mut self,
        from: usize,
        line: LineId,
        message: Message,
    ) -> Result<(), Failure> {
        let Some(to) = self.nodes[from].lines.get(&line).copied() else {
            return Ok(());
        };
        // What goes over the wire comes out as it went in; tried now and then, since it takes long.
        if self.rng.u8(..64) == 0 && Message::decode(&message.encode()).as_ref() != Ok(&message) {
            return Err(Failure(format!(
                "{message:?} is not read as it was written"
            )));
        }
        let life = self.nodes[to].life;
        if self.cut[from][to] || self.rng.u8(..100) < self.loss {
            return Ok(());
        }
        let again = !self.calm && self.rng.u8(..32) == 0;
        if again {
            let delay = self.delay();
            self.at(
                self.now + delay,
                to,
                life,
                Event::Message(line, message.clone()),
            );
        }
        let delay = self.delay();
        self.at(self.now + delay, to, life, Event::Message(line, message));
        Ok(())
    }

    pub(super) fn delay(&mut self) -> u64 {
        match self.rng.u8(..16) {
            _ if self.calm => 2,
            0 => self.rng.u64(..4_000),
            1..=3 => self.rng.u64(..200),
            _ => 2,
        }
    }

    /// Every tracker calls those of lower numbers to which it has no line.
    pub(super) fn call(&mut self) -> Result<(), Failure> {
        for from in 0..self.nodes.len() {
            for to in 0..from {
                let runs = |at: usize| {
                    let node = &self.nodes[at];
                    node.replica.is_some() && node.stopped <= self.now
                };
                let has_line = self.nodes[from].lines.values().any(|other| *other == to);
                if has_line || !runs(from) || !runs(to) || self.cut[from][to] || self.cut[to][from]
                {
                    continue;
                }
                self.lines += 1;
                let line = LineId(self.lines);
                for (at, other) in [(from, to), (to, from)] {
                    self.nodes[at].lines.insert(line, other);
                }
                for at in [from, to] {
                    let now = self.moment(at);
                    if let Some(replica) = &mut self.nodes[at].replica {
                        let effects = replica.line_up(line, now);
                        self.perform(at, effects)?;
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn cut_line(&mut self, at: usize) {
        if let Some((line, other)) = self.nodes[at].lines.pop_first() {
            self.nodes[at].lines.insert(line, other);
            let life = self.nodes[at].life;
            self.at(self.now, at, life, Event::LineDown(line));
            self.tell_of_end(at, other, line);
            self.oracle.counts.note("cut line");
        }
    }

    /// The other end of a line learns of its end, sooner, later or not at all.
    pub(super) fn tell_of_end(&mut self, from: usize, to: usize, line: LineId) {
        let silent = !self.calm && (self.cut[from][to] || self.rng.u8(..6) == 0);
        if !silent {
            let (delay, life) = (self.delay(), self.nodes[to].life);
            self.at(self.now + delay, to, life, Event::LineDown(line));
        }
    }
}
