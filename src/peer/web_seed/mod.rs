//! Web seeds (BEP 19): HTTP servers that have a share and are used beside peers.
//!
//! In scope: one thread for each web seed in use. It takes blocks from the picker like a link,
//! fetches them in long ranges and passes them to the core like blocks of a peer, to be verified
//! (`fetch`). Also in scope: which files are at which server (`mirrors`), and when a web seed is
//! dropped. Out of scope: HTTP itself (`client`).

mod client;
mod error;
mod fetch;
mod mirrors;
mod response;
mod seed;

use super::Transfer;
pub(super) use client::WebClient;
#[cfg(any(test, fuzzing))]
pub(crate) use response::fuzz;

use crate::base::url;
use crate::swarm::WebSeedTrust;
use error::WebError;
use fetch::{FetchEnd, FetchFailure, POLL_INTERVAL, WebSeedFetch};
use mirrors::{Mirrors, Provider, ServerState};
use seed::{WebSeed, WebSeeds};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The maximum number of web seeds of one share in use at a time. A web seed that waits replaces
/// one whose use has ended.
const MAX_AT_ONCE: usize = 4;
/// After this number of failures in a row, a web seed waits behind the others.
const MAX_FAILURES: u32 = 5;
/// Pause before a web seed with [`MAX_FAILURES`] failures in a row is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(60);
/// Pause before a web seed that has given way to another one is used again.
const TURN_PAUSE: Duration = Duration::from_secs(1);
/// The pause after the first failure. It doubles with each failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Why the use of a web seed ended. It may be used again, unless it is dropped.
#[derive(Debug, thiserror::Error)]
enum EndOfUse {
    /// The transfer fetches no more pieces, or the peer stops.
    #[error("the download has ended")]
    DownloadEnded,
    #[error("a piece from it does not verify")]
    BadPiece,
    #[error("{0}")]
    Useless(#[source] WebError),
    #[error("{MAX_FAILURES} failures in a row, the last one: {0}")]
    Failing(#[source] WebError),
    /// The web seed gives way to another one that waits.
    #[error("this peer has all pieces of the web seed")]
    NothingLeft,
}

/// Starts threads that fetch missing blocks of a transfer from these web seeds.
pub(super) fn start_threads(transfer: &Arc<Transfer>, client: &Arc<WebClient>, urls: &[String]) {
    if urls.is_empty() || transfer.plan.group.is_some() {
        return;
    }
    let waiting = urls.iter().enumerate().map(|(at, url)| {
        let id = transfer.context.next_link_id();
        WebSeed::new(Provider::One(at), &public_url(url), id)
    });
    let mirrors = Mirrors::new(Arc::clone(transfer.info()), urls);
    let seeds = WebSeeds::new(Arc::clone(client), mirrors, waiting.collect());
    let seeds = Arc::new(seeds);
    for _ in 0..urls.len().min(MAX_AT_ONCE) {
        spawn(transfer, &seeds, use_all);
    }
}

/// Starts a thread that uses web seeds of a transfer.
fn spawn(
    transfer: &Arc<Transfer>,
    seeds: &Arc<WebSeeds>,
    work: fn(&Arc<Transfer>, &Arc<WebSeeds>),
) {
    let (fetching, seeds) = (Arc::clone(transfer), Arc::clone(seeds));
    let tasks = &transfer.context.tasks;
    if let Err(error) = tasks.spawn("web-seed", move || work(&fetching, &seeds)) {
        log::warn!("{}: a web seed cannot be used: {error}", transfer.name());
    }
}

/// Uses one web seed after the other until the download ends or none is left.
fn use_all(transfer: &Arc<Transfer>, seeds: &Arc<WebSeeds>) {
    while let Some((mut seed, wait)) = seeds.take() {
        if !pause(transfer, wait) {
            return;
        }
        let reason = use_until_end(transfer, seeds, &mut seed);
        let (name, url) = (transfer.name(), &seed.source);
        match reason {
            EndOfUse::DownloadEnded => return,
            EndOfUse::NothingLeft => seeds.put_back(seed, TURN_PAUSE),
            EndOfUse::Failing(_) => {
                log::info!("{name}: the web seed {url}: {reason}");
                seeds.put_back(seed, RETRY_PAUSE);
            }
            EndOfUse::BadPiece | EndOfUse::Useless(_) => {
                log::warn!("{name}: the web seed {url} is dropped: {reason}");
                drop_seed(transfer, seeds, &seed, &reason);
            }
        }
    }
}

/// Fetches the pieces that no server can deliver alone, until the download ends.
fn use_joint(transfer: &Arc<Transfer>, seeds: &Arc<WebSeeds>) {
    let id = transfer.context.next_link_id();
    let mut seed = WebSeed::new(Provider::Joint, "several web seeds", id);
    loop {
        let reason = use_until_end(transfer, seeds, &mut seed);
        if matches!(reason, EndOfUse::BadPiece) {
            let name = transfer.name();
            log::warn!(
                "{name}: pieces are no longer put together from several web seeds: {reason}"
            );
            return drop_seed(transfer, seeds, &seed, &reason);
        }
        if matches!(reason, EndOfUse::DownloadEnded) || !pause(transfer, RETRY_PAUSE) {
            return;
        }
    }
}

/// Waits for this time. Returns `false` as soon as the download ends or the peer stops.
fn pause(transfer: &Transfer, time: Duration) -> bool {
    let until = Instant::now() + time;
    while Instant::now() < until {
        if transfer.context.stop.wait(POLL_INTERVAL) || !transfer.fetches() {
            return false;
        }
    }
    true
}

/// Uses one web seed until its use ends. Returns the reason.
fn use_until_end(transfer: &Arc<Transfer>, seeds: &Arc<WebSeeds>, seed: &mut WebSeed) -> EndOfUse {
    let mut failures = 0;
    loop {
        let delivered = seed.delivered();
        let mut fetch = WebSeedFetch::new(transfer, seeds, seed);
        if !fetch.begin() {
            return EndOfUse::DownloadEnded;
        }
        let ended = fetch.run();
        fetch.end();
        // The last blocks may still fail to verify.
        transfer.wait_for_workers();
        let trust = transfer.inspect(|core| core.trust(seed.id));
        let failure = match ended {
            _ if trust == WebSeedTrust::Lost => return EndOfUse::BadPiece,
            Ok(FetchEnd::Ended) => return EndOfUse::DownloadEnded,
            Ok(FetchEnd::NothingLeft) => return EndOfUse::NothingLeft,
            Ok(FetchEnd::Changed) => continue,
            Err(failure) => failure,
        };
        report(transfer, seed, &failure);
        let is_temporary = failure.error.is_temporary();
        let is_useless = record_failure(seeds, seed, &failure);
        if seeds.claim_joint_use() {
            spawn(transfer, seeds, use_joint);
        }
        if is_useless {
            return EndOfUse::Useless(failure.error);
        }
        if !is_temporary {
            continue;
        }
        // Blocks from a web seed that is suspected of bad data do not reset the count. Otherwise it
        // could send a few blocks and close the connection, again and again.
        let resets_count = seed.delivered() > delivered && trust == WebSeedTrust::Full;
        failures = if resets_count { 1 } else { failures + 1 };
        if failures >= MAX_FAILURES {
            return EndOfUse::Failing(failure.error);
        }
        if !pause(transfer, FIRST_PAUSE * (1 << (failures - 1))) {
            return EndOfUse::DownloadEnded;
        }
    }
}

/// Records what a failure shows about a server and its files. Returns `true` if the web seed is of
/// no use any more.
fn record_failure(seeds: &WebSeeds, seed: &mut WebSeed, failure: &FetchFailure) -> bool {
    let Some((server, file)) = failure.at else {
        return false;
    };
    let mut mirrors = seeds.mirrors();
    if failure.error.is_temporary() {
        mirrors.set_state(server, ServerState::Fails);
        return false;
    }
    if failure.error.is_about_file() {
        mirrors.on_missing(server, file);
        let has_nothing = mirrors.pieces_of(Provider::One(server)).is_empty();
        let is_useless = has_nothing || seed.on_missing();
        return is_useless && seed.provider != Provider::Joint;
    }
    mirrors.set_state(server, ServerState::Dropped);
    seed.provider != Provider::Joint
}

/// Reports a failure to the log and to the person who waits for the download.
fn report(transfer: &Transfer, seed: &WebSeed, failure: &FetchFailure) {
    let (url, error) = (&seed.source, &failure.error);
    let files = transfer.info().files();
    let file = failure.at.and_then(|(_, file)| files.get(file));
    let trouble = match file.filter(|_| error.is_about_file() && files.len() > 1) {
        Some(file) => format!("the web seed {url}: {}: {error}", file.path),
        None => format!("the web seed {url}: {error}"),
    };
    log::info!("{}: {trouble}", transfer.name());
    let id = seed.id;
    transfer.decide(|core, _| core.on_web_seed_failed(id, trouble));
}

/// Makes sure that a web seed is not used again.
fn drop_seed(transfer: &Transfer, seeds: &WebSeeds, seed: &WebSeed, reason: &EndOfUse) {
    if let Provider::One(server) = seed.provider {
        seeds.mirrors().set_state(server, ServerState::Dropped);
    }
    let trouble = format!(
        "the web seed {} is not used any more: {reason}",
        seed.source
    );
    let id = seed.id;
    transfer.decide(|core, _| core.on_web_seed_failed(id, trouble));
}

/// A URL that other people may see, without parts that may be secret.
fn public_url(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    url::without_user(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_has_no_secret_parts() {
        for (url, expected) in [
            ("http://u:p@h:1/a/b?key=x#y", "http://h:1/a/b"),
            ("https://h", "https://h"),
            ("x?y", "x"),
        ] {
            assert_eq!(public_url(url), expected);
        }
    }
}
