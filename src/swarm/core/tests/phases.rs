//! For each function with which a core changes its phase: the phases in which the function is
//! allowed, the phase to which it leads, and its effects. In every other phase the core refuses it,
//! without effects.

use super::fixture::*;
use crate::swarm::LinkId;
use crate::swarm::core::{Awaited, Effect, Phase};
use crate::torrent::PieceSet;

const PHASES: [&str; 9] = [
    "Checking",
    "Waiting",
    "Fetching",
    "Finishing",
    "Complete",
    "Withdrawn",
    "Lost",
    "Failed",
    "Retired",
];
/// All phases except `Failed` and `Retired`.
const ALIVE: &[&str] = &[
    "Checking",
    "Waiting",
    "Fetching",
    "Finishing",
    "Complete",
    "Withdrawn",
    "Lost",
];

fn name(phase: &Phase) -> &'static str {
    match phase {
        Phase::Checking => "Checking",
        Phase::Waiting { .. } => "Waiting",
        Phase::Fetching { .. } => "Fetching",
        Phase::Finishing => "Finishing",
        Phase::Complete => "Complete",
        Phase::Withdrawn { .. } => "Withdrawn",
        Phase::Lost { .. } => "Lost",
        Phase::Failed { .. } => "Failed",
        Phase::Retired => "Retired",
    }
}

/// A swarm in that phase. If it serves, it has a link to a leech.
fn swarm_in(phase: &str) -> Swarm {
    let mut swarm = Swarm::new();
    let core = &mut swarm.core;
    let now = swarm.now;
    match phase {
        "Checking" => {}
        "Waiting" => assert!(core.wait_for(Awaited::Files, "no disk", now)),
        "Fetching" => drop(swarm.begin(&[0])),
        "Finishing" => drop(swarm.begin(&[0, 1, 2, 3])),
        "Complete" => drop(swarm.begin_in_place()),
        "Withdrawn" => {
            swarm.begin_in_place();
            assert!(swarm.step(|core, now| core.withdraw("out", now)).0);
        }
        "Lost" => assert!(core.lose("changed", now)),
        "Failed" => core.fail("full", now),
        "Retired" => core.retire(now),
        _ => unreachable!(),
    }
    swarm.step(|_, _| ());
    assert_eq!(name(swarm.core.phase()), phase);
    if swarm.core.phase().serves() {
        swarm.link_up(1);
    }
    swarm
}

/// An action on a share: its name and its function. The function returns the flag that the core
/// returned (`None` if the core returns none) and the effects.
type Action = (&'static str, fn(&mut Swarm) -> (Option<bool>, Effects));

const ACTIONS: [Action; 16] = [
    ("begin", |swarm| (None, swarm.begin(&[0]))),
    ("begin with all pieces", |swarm| {
        (None, swarm.begin(&[0, 1, 2, 3]))
    }),
    ("begin in place", |swarm| (None, swarm.begin_in_place())),
    ("wait", |swarm| {
        with_flag(
            swarm.step(|core, now| core.wait_for(Awaited::Room(1), "full", now)),
            Some,
        )
    }),
    ("end wait", |swarm| {
        with_flag(swarm.step(|core, now| core.end_wait(now)), Some)
    }),
    ("finish", |swarm| {
        with_flag(swarm.step(|core, now| core.on_finished(now)), |()| None)
    }),
    ("unservable", |swarm| {
        with_flag(
            swarm.step(|core, now| core.on_unservable("gone", now)),
            Some,
        )
    }),
    ("lose", |swarm| {
        with_flag(swarm.step(|core, now| core.lose("gone", now)), Some)
    }),
    ("still lost", |swarm| {
        with_flag(swarm.step(|core, now| core.on_still_lost("cut", now)), Some)
    }),
    ("regain", |swarm| {
        with_flag(swarm.step(|core, now| core.regain(now)), Some)
    }),
    ("withdraw", |swarm| {
        with_flag(swarm.step(|core, now| core.withdraw("out", now)), Some)
    }),
    ("restore", |swarm| {
        with_flag(swarm.step(|core, now| core.restore(now)), Some)
    }),
    ("set aside", |swarm| {
        with_flag(swarm.step(|core, now| core.set_aside("more", now)), Some)
    }),
    ("fail", |swarm| {
        with_flag(swarm.step(|core, now| core.fail("bad", now)), |()| None)
    }),
    ("retire", |swarm| {
        with_flag(swarm.step(|core, now| core.retire(now)), |()| None)
    }),
    ("put back", |swarm| {
        with_flag(swarm.step(|core, now| core.put_back(now)), |()| None)
    }),
];

fn with_flag<R>(
    (result, effects): (R, Effects),
    to_flag: impl FnOnce(R) -> Option<bool>,
) -> (Option<bool>, Effects) {
    (to_flag(result), effects)
}

/// The phases that allow an action, the action, the next phase, the effects.
type Row = (
    &'static [&'static str],
    &'static str,
    &'static str,
    &'static [&'static str],
);

const TABLE: &[Row] = &[
    (&["Checking"], "begin", "Fetching", &["Offer", "Announce"]),
    (
        &["Checking"],
        "begin with all pieces",
        "Finishing",
        &["Offer", "Announce", "Complete"],
    ),
    (
        &["Checking"],
        "begin in place",
        "Complete",
        &["Offer", "Announce"],
    ),
    (&["Checking"], "wait", "Waiting", &[]),
    (
        &["Fetching", "Finishing"],
        "wait",
        "Waiting",
        &["Withhold", "Close"],
    ),
    (&["Waiting"], "end wait", "Checking", &[]),
    (&["Finishing"], "finish", "Complete", &["SendUploadOnly"]),
    (&["Complete"], "unservable", "Lost", &["Withhold", "Close"]),
    (&["Withdrawn"], "unservable", "Lost", &["Withhold"]),
    (&["Checking", "Withdrawn"], "lose", "Lost", &["Withhold"]),
    (&["Complete"], "lose", "Lost", &["Withhold", "Close"]),
    (&["Lost"], "still lost", "Lost", &[]),
    (&["Lost"], "regain", "Checking", &[]),
    (
        &["Complete"],
        "withdraw",
        "Withdrawn",
        &["Withhold", "Close"],
    ),
    (&["Withdrawn"], "restore", "Complete", &["Offer"]),
    (
        &["Fetching", "Complete"],
        "set aside",
        "Checking",
        &["Withhold", "Close"],
    ),
    (
        &["Checking", "Waiting", "Withdrawn", "Lost"],
        "fail",
        "Failed",
        &["Withhold", "Failed"],
    ),
    (
        &["Fetching", "Finishing", "Complete"],
        "fail",
        "Failed",
        &["Withhold", "Close", "Failed"],
    ),
    (
        &["Checking", "Waiting", "Withdrawn", "Lost"],
        "retire",
        "Retired",
        &[],
    ),
    (
        &["Fetching", "Finishing", "Complete"],
        "retire",
        "Retired",
        &["Withhold", "Close"],
    ),
    (&["Retired"], "put back", "Checking", &[]),
];

#[test]
fn each_transition_has_its_effects_and_all_else_is_refused_without_effects() {
    for phase in PHASES {
        for (action, run) in ACTIONS {
            let mut swarm = swarm_in(phase);
            let before = swarm.core.phase().clone();
            let (returned, effects) = run(&mut swarm);
            let row = TABLE
                .iter()
                .find(|(from, what, ..)| *what == action && from.contains(&phase));
            let after = swarm.core.phase();
            match row {
                Some((_, _, to, expected)) => {
                    assert_eq!(
                        (name(after), &*kinds(&effects)),
                        (*to, *expected),
                        "{phase}: {action}"
                    );
                }
                // The phase stays `Fetching`, but its field `trouble` changes: see the next test.
                None if (phase, action) == ("Fetching", "unservable") => {
                    assert!(effects.is_empty())
                }
                None => assert_eq!((after, &effects), (&before, &vec![]), "{phase}: {action}"),
            }
            assert_eq!(
                returned.unwrap_or(row.is_some()),
                row.is_some(),
                "{phase}: {action}"
            );
        }
    }
}

#[test]
fn the_phase_contains_its_reason() {
    let mut swarm = swarm_in("Fetching");
    swarm.step(|core, now| core.on_unservable("gone", now));
    let trouble = Some("cannot serve it: gone".to_owned());
    assert_eq!(*swarm.core.phase(), Phase::Fetching { trouble });
    let mut swarm = swarm_in("Withdrawn");
    let reason = "out".to_owned();
    assert_eq!(*swarm.core.phase(), Phase::Withdrawn { reason });
    let lost = |reason: &str| Phase::Lost {
        reason: reason.to_owned(),
    };
    swarm.step(|core, now| core.on_unservable("gone", now));
    assert_eq!(*swarm.core.phase(), lost("gone"));
    swarm.step(|core, now| core.on_still_lost("cut", now));
    assert_eq!(*swarm.core.phase(), lost("cut"));
    swarm.step(|core, now| core.fail("bad", now));
    let reason = "bad".to_owned();
    assert_eq!(*swarm.core.phase(), Phase::Failed { reason });
}

#[test]
fn links_are_let_in_and_addresses_are_called_only_while_the_share_is_served() {
    for phase in PHASES {
        let serves = ["Fetching", "Finishing", "Complete"].contains(&phase);
        let mut swarm = swarm_in(phase);
        swarm.core.contacts_mut().add(address(9));
        let (admitted, _) = swarm.try_link_up(LinkId(2), incoming(2));
        assert_eq!(admitted.is_ok(), serves, "{phase}");
        let called = connects(&swarm.tick());
        assert_eq!(!called.is_empty(), serves, "{phase}");
    }
}

#[test]
fn web_seeds_are_used_only_while_something_is_fetched() {
    let web_seed = LinkId(99);
    for phase in PHASES {
        let mut swarm = swarm_in(phase);
        let all = swarm.all_pieces();
        let begun = swarm
            .step(|core, _| core.on_web_seed_up(web_seed, all, 8))
            .0;
        assert_eq!(begun, phase == "Fetching", "{phase}");
        let mut blocks = Vec::new();
        let goes_on = swarm.step(|core, now| core.next_for_web_seed(web_seed, now, &mut blocks));
        assert_eq!(goes_on.0, phase == "Fetching", "{phase}");
        assert_eq!(blocks.is_empty(), phase != "Fetching", "{phase}");
    }
}

#[test]
fn the_elapsed_time_goes_from_the_beginning_of_a_download_to_its_end() {
    let mut swarm = Swarm::new();
    swarm.wait(5);
    swarm.begin(&[0, 1, 2, 3]);
    swarm.wait(7);
    swarm.step(|core, now| core.on_finished(now));
    swarm.wait(50);
    assert_eq!(swarm.core.elapsed(swarm.now).as_secs(), 7);
}

#[test]
fn a_share_that_fails_closes_its_links_with_the_reason() {
    for phase in ALIVE {
        let mut swarm = swarm_in(phase);
        let (_, effects) = swarm.step(|core, now| core.fail("disk full", now));
        for (_, reason) in closed(&effects) {
            assert_eq!(reason.to_string(), "disk full");
        }
        assert_eq!(
            effects.last(),
            Some(&Effect::Failed("disk full".to_owned()))
        );
    }
}

#[test]
fn only_verified_pieces_are_offered() {
    let mut swarm = Swarm::new();
    let (owned, all) = (swarm.pieces(&[0, 2]), PieceSet::full(&swarm.lengths));
    let effects = swarm.begin_with(owned.clone(), all, true);
    assert_eq!(effects.first(), Some(&Effect::Offer(owned.clone())));
    // A share in its final place fetches nothing more, even if pieces are missing.
    let (id, requested) = swarm.source(1, &[1, 3]);
    assert!(requested.is_empty() && !swarm.core.picker().is_interesting(id));
    swarm.step(|core, now| core.withdraw("out", now));
    let (_, effects) = swarm.step(|core, now| core.restore(now));
    assert_eq!(effects, [Effect::Offer(owned)]);
}
