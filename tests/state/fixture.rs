//! The state of [`STATES`] in a sandbox. It is copied byte by byte, with these exceptions:
//!
//! - Folders and the tracker's address in records: replaced, because the sandbox has others. The
//!   SHA-1 at the end is computed again.
//! - The time of the saved swarms: set to now, because their peers expire. The SHA-256 at the end
//!   is computed again.
//! - The times of logins: begin now, because a login ends after 12 hours. The token is signed again
//!   with the cluster's key.
//!
//! The modification times in the records are not changed. The copied files have newer times, so the
//! peer verifies the files by their hashes.

use crate::common::process::Process;
use crate::common::sandbox::Sandbox;
use pieceful::bencode::{Item, KeyOrder, Kind, Value};
use pieceful::certificate::Authority;
use pieceful::torrent::Sha1;
use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, sign, verify};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The folders in `testdata` with the states of earlier versions. `testdata/state/README.md`
/// describes them.
pub(crate) const STATES: [&str; 2] = ["state", "state-2"];

/// The folder of the state when it was written.
const FOLDER: &str = "/tmp/before";
/// The address of the tracker when the state was written.
const TRACKER: &str = "127.0.0.1:5000";
/// The length of a login's token.
const TOKEN_LENGTH: usize = 109;
/// The offset of the times in the token: of issue and of expiry, in milliseconds since 1970.
const TOKEN_TIMES: usize = 61;
/// The offset of the signature in the token.
const TOKEN_SIGNATURE: usize = 77;
/// The offset of the time in the file of saved swarms.
const SWARMS_TIME: usize = 18;

/// A sandbox with the state of the previous version, and a running tracker that uses it.
pub(crate) struct PreviousState {
    pub(crate) sandbox: Sandbox,
    pub(crate) tracker: Process,
    /// The second line that the tracker printed.
    pub(crate) fingerprint: String,
}

impl PreviousState {
    /// Starts the tracker with one of [`STATES`].
    pub(crate) fn start(state: &str) -> Self {
        let sandbox = sandbox_with_state(state);
        let data = sandbox.path("data");
        change(&data.join("swarms"), current_swarms);
        let arguments = ["--data", data.to_str().unwrap(), "--interval", "1"];
        let mut tracker = sandbox.tracker(&arguments);
        let fingerprint = tracker.line();
        let cluster = Authority::from_pem(&fs::read(data.join("cluster.pem")).unwrap()).unwrap();
        let key = cluster.derive_key("pieceful session token v1");
        let key = Key::new(HMAC_SHA256, &key);
        let folder = sandbox.path("");
        let replacements = [
            (FOLDER, folder.to_str().unwrap().trim_end_matches('/')),
            (TRACKER, &tracker.address.to_string()),
        ];
        for name in ["nik", "mayank"] {
            let state = sandbox.path(&format!("{name}.state"));
            for kind in ["records", "magnets"] {
                for record in files(&state.join(kind)) {
                    change(&record, |bytes| with_replacements(bytes, &replacements));
                }
            }
            change(&state.join("session"), |bytes| current_login(bytes, &key));
        }
        Self {
            sandbox,
            tracker,
            fingerprint,
        }
    }
}

/// A sandbox with the files of one of [`STATES`].
pub(crate) fn sandbox_with_state(state: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    for name in ["data", "nik", "nik.state", "mayank", "mayank.state"] {
        copy(&stored(state, name), &sandbox.path(name));
    }
    // Git keeps no empty folders.
    for name in ["nik.state", "mayank.state"] {
        fs::create_dir_all(sandbox.path(name).join("magnets")).unwrap();
    }
    let packed = sandbox.path("data/registry.redb.gz");
    let database = File::create(packed.with_extension("")).unwrap();
    let unpacked = Command::new("gzip")
        .arg("-dc")
        .arg(&packed)
        .stdout(database)
        .status();
    assert!(unpacked.unwrap().success());
    fs::remove_file(packed).unwrap();
    sandbox
}

/// A file or folder of one of [`STATES`].
pub(crate) fn stored(state: &str, name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("testdata").join(state).join(name)
}

/// The regular files in a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_file()).collect()
}

/// Copies a folder and makes the copies private: mode 0700 for folders, 0600 for files.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, name) = entry
            .map(|entry| (entry.path(), entry.file_name()))
            .unwrap();
        let to = to.join(name);
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::write(&to, fs::read(&from).unwrap()).unwrap();
            fs::set_permissions(&to, Permissions::from_mode(0o600)).unwrap();
        }
    }
}

fn change(path: &Path, changed: impl Fn(&[u8]) -> Vec<u8>) {
    fs::write(path, changed(&fs::read(path).unwrap())).unwrap();
}

/// A record with its folders and addresses replaced.
fn with_replacements(record: &[u8], replacements: &[(&str, &str)]) -> Vec<u8> {
    let (body, sum) = record.split_last_chunk::<20>().unwrap();
    assert_eq!(Sha1::of(body).0, *sum);
    let value = Value::parse(body, KeyOrder::Sorted).unwrap();
    assert_eq!(item(&value, &[]).encode(), body, "encoding changes nothing");
    let mut moved = item(&value, replacements).encode();
    moved.extend(Sha1::of(&moved).0);
    moved
}

/// A bencoded value to write, with `replacements` made in its texts.
fn item<'a>(value: &Value<'a>, replacements: &[(&str, &str)]) -> Item<'a> {
    match value.kind() {
        Kind::Integer(number) => Item::Integer(*number),
        Kind::Bytes(bytes) => match str::from_utf8(bytes) {
            Ok(text) => {
                let replaced = replacements
                    .iter()
                    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
                replaced.into()
            }
            Err(_) => Item::from(*bytes),
        },
        Kind::List(values) => Item::List(
            values
                .iter()
                .map(|value| item(value, replacements))
                .collect(),
        ),
        Kind::Dictionary(entries) => {
            let entries = entries.entries();
            Item::dictionary(entries.map(|(key, value)| {
                let key = str::from_utf8(key).unwrap();
                (key, item(value, replacements))
            }))
        }
    }
}

/// The saved swarms with the current time.
fn current_swarms(saved: &[u8]) -> Vec<u8> {
    let (content, sum) = saved.split_last_chunk::<32>().unwrap();
    assert_eq!(digest(&SHA256, content).as_ref(), sum);
    let mut current = content.to_vec();
    current[SWARMS_TIME..][..8].copy_from_slice(&milliseconds(since_1970()));
    let sum = digest(&SHA256, &current);
    current.extend(sum.as_ref());
    current
}

/// A stored login whose times begin now.
fn current_login(session: &[u8], key: &Key) -> Vec<u8> {
    let prefix = format!("5:token{TOKEN_LENGTH}:");
    let at = session
        .windows(prefix.len())
        .position(|part| part == prefix.as_bytes());
    let (before, rest) = session.split_at(at.unwrap() + prefix.len());
    let (token, after) = rest.split_at(TOKEN_LENGTH);
    let (content, signature) = token.split_at(TOKEN_SIGNATURE);
    verify(key, content, signature).unwrap();
    let now = since_1970();
    let expiry = now + Duration::from_secs(12 * 3600);
    let mut current = content[..TOKEN_TIMES].to_vec();
    current.extend(milliseconds(now));
    current.extend(milliseconds(expiry));
    let signature = sign(key, &current);
    [before, &current, signature.as_ref(), after].concat()
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn milliseconds(time: Duration) -> [u8; 8] {
    u64::try_from(time.as_millis()).unwrap().to_be_bytes()
}
