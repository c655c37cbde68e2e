//! The web servers of a share: which files each server lacks, and therefore which pieces it can
//! deliver.
//!
//! A piece may contain the end of one file and the start of another. If the first server lacks one
//! of these files and the second server lacks the other, neither can deliver the piece alone, but
//! both together can. In scope: which pieces these are, and which server has which file. Out of
//! scope: requests.

use super::error::WebError;
use crate::torrent::{Info, PieceIndex, PieceSet, file_parts, web_seed_url};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Who delivers pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    /// One server: its position in `url-list`.
    One(usize),
    /// All servers together: pieces that no working server can deliver alone.
    Joint,
}

/// Whether a server is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerState {
    Works,
    /// It failed, and nothing has come from it since.
    Fails,
    /// It is not used again.
    Dropped,
}

/// The web servers of one share.
#[derive(Debug)]
pub(super) struct Mirrors {
    info: Arc<Info>,
    servers: Vec<MirrorServer>,
    /// The number of changes of states and missing files so far.
    changes: u64,
    /// The number of temporary failures of all servers so far.
    failures: u64,
}

#[derive(Debug)]
struct MirrorServer {
    url: String,
    state: ServerState,
    /// The value of [`Mirrors::failures`] at its last temporary failure. The server with the lowest
    /// value failed longest ago.
    last_failure: u64,
    /// Indexes of the files that the server lacks.
    missing: BTreeSet<usize>,
}

impl Mirrors {
    /// Servers at these URLs. A server counts as having every file until [`Self::on_missing`].
    pub(super) fn new(info: Arc<Info>, urls: &[String]) -> Self {
        let servers = urls.iter().map(|url| MirrorServer {
            url: url.clone(),
            state: ServerState::Works,
            last_failure: 0,
            missing: BTreeSet::new(),
        });
        Self {
            info,
            servers: servers.collect(),
            changes: 0,
            failures: 0,
        }
    }

    /// A number that grows when a server changes its state, or turns out to lack a file.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Which server of a provider is to be asked for a file, and the URL of the file there. `None`
    /// if the provider is [`Provider::Joint`] and no usable server has the file.
    ///
    /// # Errors
    /// The server's URL is not an HTTP URL.
    pub(super) fn source_of(
        &self,
        provider: Provider,
        file: usize,
    ) -> Option<(usize, Result<String, WebError>)> {
        let server = match provider {
            Provider::One(server) => server,
            Provider::Joint => {
                let mut usable = self.usable().into_iter();
                usable.find(|at| self.has(*at, file))?
            }
        };
        let url = &self.servers.get(server)?.url;
        let url = web_seed_url(&self.info, url, file).ok_or(WebError::Url);
        Some((server, url))
    }

    /// The pieces that a provider can deliver.
    pub(super) fn pieces_of(&self, provider: Provider) -> PieceSet {
        match provider {
            Provider::One(server) => self.pieces_of_server(server),
            Provider::Joint => self.joint_pieces(),
        }
    }

    /// Records that a file is missing at a server.
    pub(super) fn on_missing(&mut self, server: usize, file: usize) {
        if let Some(server) = self.servers.get_mut(server)
            && server.missing.insert(file)
        {
            self.changes += 1;
        }
    }

    /// Sets the state of a server. A dropped server stays dropped. The caller passes
    /// [`ServerState::Fails`] at each temporary failure.
    pub(super) fn set_state(&mut self, server: usize, state: ServerState) {
        let Some(server) = self.servers.get_mut(server) else {
            return;
        };
        if state == ServerState::Fails {
            self.failures += 1;
            server.last_failure = self.failures;
        }
        if server.state != state && server.state != ServerState::Dropped {
            server.state = state;
            self.changes += 1;
        }
    }

    /// The servers that were not dropped. Those with the state `Works` come first. A server that
    /// fails is asked too. Its state becomes `Works` only when it delivers something, and joint
    /// pieces may be all that it could still deliver. Of the servers that fail, the one that failed
    /// longest ago comes first, so that each gets its turn.
    fn usable(&self) -> Vec<usize> {
        let servers = self.servers.iter().enumerate();
        let mut usable: Vec<_> = servers
            .filter_map(|(at, server)| match server.state {
                ServerState::Works => Some((0, at)),
                ServerState::Fails => Some((server.last_failure, at)),
                ServerState::Dropped => None,
            })
            .collect();
        usable.sort_unstable();
        usable.into_iter().map(|(_, at)| at).collect()
    }

    fn has(&self, server: usize, file: usize) -> bool {
        let server = self.servers.get(server);
        server.is_some_and(|server| !server.missing.contains(&file))
    }

    fn pieces_of_server(&self, server: usize) -> PieceSet {
        let mut pieces = PieceSet::full(self.info.lengths());
        let missing = self.servers.get(server).map(|server| &server.missing);
        for file in missing.into_iter().flatten() {
            for piece in self.info.pieces_of_file(*file) {
                pieces.remove(piece);
            }
        }
        pieces
    }

    /// The pieces that no working server can deliver alone, but the working servers together can.
    /// In addition, the pieces that no usable server can deliver alone, but all usable servers
    /// together can.
    fn joint_pieces(&self) -> PieceSet {
        let mut pieces = PieceSet::empty(self.info.lengths());
        let usable = self.usable();
        let works = |at: &usize| {
            let server = self.servers.get(*at);
            server.is_some_and(|server| server.state == ServerState::Works)
        };
        let working: Vec<usize> = usable.iter().copied().filter(works).collect();
        let missing = usable.iter().filter_map(|at| self.servers.get(*at));
        let missing: BTreeSet<usize> = missing
            .flat_map(|server| &server.missing)
            .copied()
            .collect();
        for file in missing {
            // Only the first and the last piece of a file contain bytes of other files.
            let mut of_file = self.info.pieces_of_file(file);
            for piece in of_file.next().into_iter().chain(of_file.next_back()) {
                let files = self.files_of(piece);
                let has_all = |at: &usize| files.iter().all(|file| self.has(*at, *file));
                let need_each_other = |servers: &[usize]| {
                    let has_some = |file: &usize| servers.iter().any(|at| self.has(*at, *file));
                    !servers.iter().any(has_all) && files.iter().all(has_some)
                };
                if need_each_other(&working) || need_each_other(&usable) {
                    pieces.insert(piece);
                }
            }
        }
        pieces
    }

    /// The files with bytes in a piece, except padding files.
    fn files_of(&self, piece: PieceIndex) -> Vec<usize> {
        let lengths = self.info.lengths();
        let (start, length) = (lengths.offset(piece), lengths.length(piece));
        let parts = file_parts(&self.info, start, length.into());
        let stored = parts.filter(|part| {
            let file = self.info.files().get(part.index);
            file.is_some_and(|file| !file.attributes.padding)
        });
        stored.map(|part| part.index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of 20, 20, 5 and 15 bytes in six pieces of 10 bytes. Piece 4 has bytes of the last two
    /// files. Each other piece has bytes of one file.
    fn mirrors(urls: &[&str]) -> Mirrors {
        let file = |length: u32, name: &str| format!("d6:lengthi{length}e4:pathl1:{name}ee");
        let files = [file(20, "a"), file(20, "b"), file(5, "c"), file(15, "d")].concat();
        let hashes = "x".repeat(120);
        let info = format!("d5:filesl{files}e4:name3:set12:piece lengthi10e6:pieces120:{hashes}e");
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        Mirrors::new(Arc::new(Info::parse(info.as_bytes()).unwrap()), &urls)
    }

    const NONE: [u32; 0] = [];

    fn pieces(mirrors: &Mirrors, provider: Provider) -> Vec<u32> {
        let pieces = mirrors.pieces_of(provider);
        let all = mirrors.info.lengths().all_pieces();
        all.filter(|piece| pieces.contains(*piece))
            .map(PieceIndex::number)
            .collect()
    }

    #[test]
    fn a_server_that_lacks_files_delivers_the_pieces_without_bytes_of_them() {
        let mut mirrors = mirrors(&["http://a/", "http://b/"]);
        mirrors.on_missing(0, 0);
        mirrors.on_missing(0, 2);
        assert_eq!(pieces(&mirrors, Provider::One(0)), [2, 3, 5]);
        assert_eq!(pieces(&mirrors, Provider::One(1)), [0, 1, 2, 3, 4, 5]);
        assert_eq!(pieces(&mirrors, Provider::Joint), NONE);
    }

    #[test]
    fn a_piece_that_no_working_server_can_deliver_alone_comes_from_several() {
        let mut mirrors = mirrors(&["http://a/", "http://b/", "http://c/"]);
        mirrors.on_missing(0, 2);
        mirrors.on_missing(1, 3);
        assert_eq!(pieces(&mirrors, Provider::Joint), NONE, "the third has it");
        let changes = mirrors.changes();
        mirrors.set_state(2, ServerState::Fails);
        assert!(mirrors.changes() > changes);
        assert_eq!(pieces(&mirrors, Provider::Joint), [4]);
        let source = |file| mirrors.source_of(Provider::Joint, file).unwrap();
        assert_eq!(
            (source(2).0, source(2).1.unwrap()),
            (1, "http://b/set/c".into())
        );
        assert_eq!(
            (source(3).0, source(3).1.unwrap()),
            (0, "http://a/set/d".into())
        );
        mirrors.set_state(1, ServerState::Dropped);
        assert_eq!(
            pieces(&mirrors, Provider::Joint),
            NONE,
            "the third has all, the first too little"
        );
        mirrors.set_state(1, ServerState::Works);
        mirrors.set_state(2, ServerState::Dropped);
        assert!(
            mirrors.source_of(Provider::Joint, 2).is_none(),
            "dropped for good"
        );
    }

    #[test]
    fn servers_that_fail_for_a_moment_still_serve_pieces_together() {
        let mut mirrors = mirrors(&["http://a/", "http://b/"]);
        mirrors.on_missing(0, 2);
        mirrors.on_missing(1, 3);
        mirrors.set_state(0, ServerState::Fails);
        assert_eq!(pieces(&mirrors, Provider::Joint), [4]);
        assert_eq!(mirrors.source_of(Provider::Joint, 3).unwrap().0, 0);
    }

    #[test]
    fn of_failing_servers_the_one_that_failed_longest_ago_is_asked() {
        let mut mirrors = mirrors(&["http://a/", "http://b/", "http://c/"]);
        mirrors.on_missing(0, 3);
        for server in [1, 2, 1] {
            mirrors.set_state(server, ServerState::Fails);
        }
        let source = |mirrors: &Mirrors| mirrors.source_of(Provider::Joint, 3).unwrap().0;
        assert_eq!(source(&mirrors), 2, "b failed again after c");
        mirrors.set_state(2, ServerState::Fails);
        assert_eq!(source(&mirrors), 1);
        mirrors.set_state(2, ServerState::Works);
        assert_eq!(source(&mirrors), 2, "one that works comes first");
    }
}
