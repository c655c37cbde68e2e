//! Shares of groups end to end: the real binary, real links and `kill -9`. Members and strangers
//! may be fake: a test chooses every byte that they send.

mod common;

/// The tests; their files are in `tests/groups/`.
mod groups {
    mod announces;
    mod bars;
    mod catalogue;
    mod changed;
    mod choosing;
    mod eavesdropper;
    mod export;
    mod extensions;
    mod fake_member;
    mod force;
    mod hints;
    mod holders;
    mod input;
    mod interruptions;
    mod keeping;
    mod liar;
    mod links;
    mod machines;
    mod membership;
    mod nat;
    mod older_version;
    mod refusals;
    mod renamed;
    mod scale;
    mod team;
    mod tokens;
    mod tour;
    mod update_conflicts;
    mod updates;
    mod verify;
    mod versions;
}
