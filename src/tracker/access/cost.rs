//! Measures the processor time of an announce in groups of few and of many members: the time to
//! decode and answer the request, and to encode the reply. `benches/README.md` has figures.

use super::{AccessSettings, Registrar, Registration, Requester};
use crate::certificate::Authority;
use crate::storage::{Batch, Database};
use crate::system::since_1970;
use crate::torrent::{FileName, InfoHash};
use crate::tracker::registry::{
    AccountQuotas, GroupKey, Label, Login, MAX_LOGIN_LIFE, NewAccount, NewGroup, NewShare, Origin,
    PasswordHash, Refusal, Registry, RowId, Update,
};
use crate::tracker::store::{RegistryStore, StoreOptions};
use crate::wire::PeerId;
use crate::wire::access::{
    AccessAnswer, AccessReplyMessage, AccessRequest, AccessRequestMessage, AnnounceBatch,
    GroupAnnounceEvent, SwarmAnnounce, Token,
};
use nix::time::{ClockId, clock_gettime};
use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

const SHARES: u32 = 100;
/// The number of times that each announce is timed.
const ROUNDS: usize = 200;

/// A tracker that knows one group `lab`, which has 100 shares.
struct Tracker {
    registrar: Registrar,
    tokens: Vec<Token>,
    _folder: tempfile::TempDir,
}

impl Tracker {
    /// `members` is the number of members now. `former` is the number of other users, who have left
    /// the group within the last minute.
    fn with_group(members: u32, former: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut registry = Registry::new(Origin([1; 16]));
        let accounts = fill(&mut registry, members, former);
        let (database, _) = Database::open(folder.path()).unwrap();
        let mut batch = Batch::new();
        for row in registry.rows() {
            batch.put_row(row.id().0, row.encode());
        }
        batch.put_versions(registry.version_vector().encode());
        database.commit(batch).unwrap();
        drop(database);
        let options = StoreOptions {
            number: NonZeroU32::MIN,
            listed: vec![NonZeroU32::MIN],
            alone: false,
        };
        let store = Arc::new(RegistryStore::open(folder.path(), options).unwrap());
        let settings = AccessSettings {
            registration: Registration::Open,
            announce_interval: Duration::from_secs(600),
            certificate_lifetime: Duration::from_secs(24 * 3600),
            login_life: MAX_LOGIN_LIFE,
            new_accounts: 1,
            quotas: AccountQuotas::default(),
        };
        let authority = Authority::generate("cluster").unwrap();
        let registrar = Registrar::start(store, &authority, folder.path(), settings).unwrap();
        let tokens = accounts.iter().map(|account| {
            let login = Login::begin(
                *account,
                RowId([9; 16]),
                registry.account(*account).unwrap().credential(),
                since_1970(),
                MAX_LOGIN_LIFE,
            );
            registrar.sign(&login)
        });
        Self {
            tokens: tokens.collect(),
            registrar,
            _folder: folder,
        }
    }

    /// The announce of a member to some swarms, encoded as a request.
    fn request(&self, member: u32, swarms: impl Iterator<Item = u32>) -> Vec<u8> {
        let announce = |swarm| SwarmAnnounce {
            info_hash: info_hash(swarm),
            uploaded: 0,
            downloaded: 0,
            left: 1,
            event: Some(GroupAnnounceEvent::Started),
        };
        let mut id = [b'p'; 20];
        id[..4].copy_from_slice(&member.to_be_bytes());
        let announces =
            AnnounceBatch::new(PeerId(id), NonZeroU16::MIN, swarms.map(announce).collect());
        let message = AccessRequestMessage {
            id: 1,
            token: Some(self.tokens[member as usize].clone()),
            watch: false,
            ask: AccessRequest::Announce(announces.unwrap()),
        };
        message.encode()
    }

    fn answer(&self, member: u32, request: &[u8]) -> Vec<u8> {
        let request = AccessRequestMessage::decode(request).unwrap();
        let [_, a, b, c] = member.to_be_bytes();
        let from = IpAddr::from([10, a, b, c]);
        let requester = Requester { from, turn: None };
        self.registrar.answer(request, requester, None).encode()
    }

    /// The median processor time to answer an announce to the first `swarms` swarms, the length of
    /// the reply in bytes, and the number of addresses in it.
    fn time(&self, swarms: u32) -> (Duration, usize, usize) {
        let request = self.request(0, 0..swarms);
        let mut times: Vec<Duration> = Vec::new();
        let mut reply = Vec::new();
        for _ in 0..ROUNDS {
            let begun = processor_time();
            reply = self.answer(0, &request);
            times.push(processor_time() - begun);
        }
        times.sort();
        let Ok(AccessAnswer::Peers(peers)) = AccessReplyMessage::decode(&reply).unwrap().result
        else {
            panic!("refused")
        };
        let addresses = peers
            .swarms
            .iter()
            .map(|swarm| swarm.as_ref().unwrap().addresses.len());
        (times[ROUNDS / 2], reply.len(), addresses.sum())
    }
}

/// Makes accounts, the group and its shares. Returns the accounts of the members.
fn fill(registry: &mut Registry, members: u32, former: u32) -> Vec<RowId> {
    let mut ids = 0u32;
    let mut id = || {
        ids += 1;
        let mut id = [7; 16];
        id[..4].copy_from_slice(&ids.wrapping_mul(0x9e37_79b9).to_be_bytes());
        id[4..8].copy_from_slice(&ids.to_be_bytes());
        RowId(id)
    };
    let now = since_1970();
    let lab: Label = "lab".parse().unwrap();
    let mut accounts = Vec::new();
    for member in 0..members + former {
        let name = format!("user{member}");
        let new = NewAccount {
            id: id(),
            name: name.parse().unwrap(),
            password: PasswordHash::new("hash").unwrap(),
        };
        let account = new.id;
        apply(registry, |it| it.create_account(new, now));
        let Some(owner) = accounts.first().copied() else {
            let new = NewGroup {
                id: id(),
                membership: id(),
                name: "lab".parse().unwrap(),
                key: GroupKey::new("key").unwrap(),
            };
            apply(registry, |it| it.create_group(account, new, now));
            accounts.push(account);
            continue;
        };
        apply(registry, |it| {
            it.request_membership(account, &lab, id(), now)
        });
        let user: Label = name.parse().unwrap();
        apply(registry, |it| it.accept(owner, &lab, &user, now));
        if member < members {
            accounts.push(account);
        } else {
            apply(registry, |it| it.remove_member(owner, &lab, &user, now));
        }
    }
    for share in 0..SHARES {
        let new = NewShare {
            id: id(),
            name: FileName::new(&format!("share{share}")).unwrap(),
            info_hash: info_hash(share),
            length: 1,
            note: None,
            is_update: false,
        };
        apply(registry, |it| it.publish(accounts[0], &lab, new, now));
    }
    accounts
}

fn apply(registry: &mut Registry, operation: impl FnOnce(&Registry) -> Result<Update, Refusal>) {
    let update = operation(registry).unwrap();
    registry.apply(update).unwrap();
}

/// The processor time of this thread.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .unwrap()
        .into()
}

fn info_hash(swarm: u32) -> InfoHash {
    let mut hash = [5; 20];
    hash[..4].copy_from_slice(&swarm.wrapping_mul(0x9e37_79b9).to_be_bytes());
    InfoHash(hash)
}

#[test]
#[ignore = "prints figures; run it with --release --ignored --nocapture"]
fn figures() {
    for (members, former) in [(1, 0), (10, 0), (5_000, 0), (5_000, 100)] {
        let tracker = Tracker::with_group(members, former);
        for member in 0..members {
            // Each swarm has 50 of 5,000 members.
            let request = tracker.request(member, std::iter::once(member % SHARES));
            tracker.answer(member, &request);
        }
        for swarms in [1, SHARES] {
            let (time, length, addresses) = tracker.time(swarms);
            println!(
                "{members} members, {former} have left, {swarms} swarms: {} us, {addresses} \
                 addresses, {length} bytes",
                time.as_micros()
            );
        }
    }
}
