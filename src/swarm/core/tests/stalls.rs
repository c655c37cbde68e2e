//! Links that deliver nothing or read nothing, and downloads that give up their active pieces.

use super::fixture::*;
use crate::swarm::LinkId;
use crate::swarm::core::{Budget, CloseReason, Effect, LinkActivity, OutgoingMessage};
use std::time::Duration;

const WEB_SEED: LinkId = LinkId(99);

#[test]
fn a_link_that_delivers_nothing_for_six_seconds_loses_its_requests() {
    let mut swarm = Swarm::fetching();
    let (first, requested) = swarm.source(1, &[0]);
    swarm.now += Duration::from_millis(5_999);
    let (second, of_second) = swarm.source(2, &[0, 1]);
    assert_eq!(of_second.len(), 2);
    assert_eq!(swarm.tick(), []);
    swarm.now += Duration::from_millis(1);
    let effects = swarm.tick();
    let cancelled = requested
        .iter()
        .map(|range| OutgoingMessage::Cancel(*range));
    let cancelled: Vec<_> = cancelled.collect();
    assert_eq!(sent(&effects, first)[..2], cancelled);
    assert!(effects.contains(&Effect::Stalled(first)));
    assert!(!effects.contains(&Effect::Stalled(second)));
    assert_eq!(closed(&effects), []);
}

#[test]
fn a_link_that_stalls_too_often_in_a_row_ends() {
    let mut swarm = Swarm::fetching_with(|config| config.max_stalls = 3);
    let (id, requested) = swarm.source(1, &[0, 1, 2, 3]);
    for _ in 0..2 {
        swarm.wait(6);
        let effects = swarm.tick();
        assert!(effects.contains(&Effect::Stalled(id)));
        assert_eq!(closed(&effects), []);
    }
    // A wanted block arrives: the stalls are counted from 0 again.
    swarm.deliver(id, &requested[..1]);
    for stalls in 1..=3 {
        swarm.wait(6);
        let effects = swarm.tick();
        let ends = closed(&effects) == [(id, CloseReason::DeliversNothing)];
        assert_eq!(ends, stalls == 3, "{stalls}");
    }
}

#[test]
fn a_link_does_not_stall_while_we_do_not_read_it() {
    let mut swarm = Swarm::fetching();
    let (id, _) = swarm.source(1, &[0]);
    let paused = LinkActivity {
        paused: true,
        ..LinkActivity::default()
    };
    swarm.activity.insert(id, paused);
    for _ in 0..30 {
        swarm.wait(1);
        assert_eq!(swarm.tick(), []);
    }
    assert_eq!(swarm.buffers.reserved(), 2);
    swarm.activity.clear();
    swarm.wait(6);
    assert!(swarm.tick().contains(&Effect::Stalled(id)));
}

#[test]
fn a_peer_that_does_not_read_loses_its_link() {
    let mut swarm = Swarm::complete();
    let id = swarm.link_up(1);
    let unread = |seconds| LinkActivity {
        unread_for: Duration::from_secs(seconds),
        ..LinkActivity::default()
    };
    swarm.activity.insert(id, unread(30));
    assert_eq!(swarm.tick(), []);
    swarm.activity.insert(id, unread(31));
    assert_eq!(swarm.tick(), [Effect::Close(id, CloseReason::DoesNotRead)]);
}

/// A download with one link that has delivered one of two requested blocks.
fn half_fetched() -> (Swarm, LinkId) {
    let mut swarm = Swarm::fetching_with(|config| config.max_stalls = 1_000);
    let (id, requested) = swarm.source(1, &[0]);
    swarm.deliver(id, &requested[..1]);
    assert_eq!(swarm.buffers.reserved(), 2);
    (swarm, id)
}

/// Lets this many seconds pass. Returns whether the download has given up its active pieces then.
fn gives_up_in_next_seconds(swarm: &mut Swarm, seconds: u64) -> bool {
    for _ in 0..seconds {
        swarm.wait(1);
        swarm.tick();
    }
    swarm.buffers.reserved() == 0
}

#[test]
fn a_download_that_gets_nothing_gives_up_its_active_pieces() {
    let (mut swarm, id) = half_fetched();
    assert!(!gives_up_in_next_seconds(&mut swarm, 15));
    assert!(gives_up_in_next_seconds(&mut swarm, 1));
    assert!(!swarm.core.picker().has_active());
    // A block that still arrives is not kept. The piece is fetched again.
    let late = swarm.block(0, 1);
    let (spare, effects) = swarm.on_block(id, late);
    assert_eq!(spare, Ok(Some(1)));
    assert_eq!(requests(&effects, id).len(), 2);
}

#[test]
fn after_a_long_time_without_peers_the_first_requests_are_not_given_up_at_once() {
    let mut swarm = Swarm::fetching_with(|config| config.max_stalls = 1_000);
    swarm.wait(100);
    let (_, requested) = swarm.source(1, &[0]);
    assert_eq!(requested.len(), 2);
    assert!(!gives_up_in_next_seconds(&mut swarm, 5));
}

#[test]
fn active_pieces_are_not_given_up_while_a_block_arrives_now_and_then() {
    let mut swarm = Swarm::fetching();
    let (id, requested) = swarm.source(1, &[0, 1, 2, 3]);
    // Only one of the two blocks of each piece arrives, so that no worker gets a run.
    for block in requested.iter().step_by(2) {
        assert!(!gives_up_in_next_seconds(&mut swarm, 5));
        assert_eq!(swarm.deliver(id, &[*block]), []);
    }
}

#[test]
fn active_pieces_are_not_given_up_while_workers_have_blocks() {
    let mut swarm = Swarm::fetching_with(|config| config.max_stalls = 1_000);
    let (id, requested) = swarm.source(1, &[0, 1]);
    assert_eq!(kinds(&swarm.deliver(id, &requested[..2])), ["Hash"]);
    assert!(!gives_up_in_next_seconds(&mut swarm, 30));
    assert_eq!(swarm.buffers.reserved(), 4);
    swarm.step(|core, now| core.on_worker_done(2, now));
    assert!(gives_up_in_next_seconds(&mut swarm, 1));
}

#[test]
fn active_pieces_are_not_given_up_while_a_web_seed_is_in_use() {
    let (mut swarm, id) = half_fetched();
    swarm.link_down(id);
    let all = swarm.all_pieces();
    swarm.step(|core, _| core.on_web_seed_up(WEB_SEED, all, 1));
    let mut blocks = Vec::new();
    swarm.step(|core, now| core.next_for_web_seed(WEB_SEED, now, &mut blocks));
    assert_eq!(blocks.len(), 1);
    assert!(!gives_up_in_next_seconds(&mut swarm, 30));
    swarm.step(|core, _| core.on_web_seed_down(WEB_SEED));
    assert!(gives_up_in_next_seconds(&mut swarm, 1));
}
