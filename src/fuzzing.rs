//! The targets of the fuzzer: one function for each parser of foreign bytes. See `fuzz/README.md`.

/// Declares the targets, each with the function that it runs, which lives beside the parser.
macro_rules! targets {
    ($($(#[$doc:meta])* $name:ident => $function:path;)*) => {
        $($(#[$doc])* pub fn $name(bytes: &[u8]) {
            $function(bytes);
        })*

        /// All targets by name.
        #[cfg(test)]
        const TARGETS: &[(&str, fn(&[u8]))] = &[$((stringify!($name), $name)),*];
    };
}

targets! {
    /// Bencode.
    bencode => crate::bencode::fuzz;
    /// `.torrent` files and info dictionaries.
    metainfo => crate::torrent::fuzz_metainfo;
    /// Magnet links.
    magnet => crate::torrent::fuzz_magnet;
    /// What arrives over a link: a handshake, and messages as a stream.
    peer_messages => crate::peer::fuzz_link;
    /// Extension handshakes, and modification times.
    extension_messages => crate::wire::extension::fuzz;
    /// The exchange of info dictionaries.
    metadata_messages => crate::wire::metadata::fuzz;
    /// Peer exchange.
    peer_exchange => crate::wire::pex::fuzz;
    /// Frames of control connections, closed runs and operator connections, and their messages.
    control_frames => crate::wire::control::fuzz;
    /// Frames of attached commands, and their messages.
    attach_frames => crate::wire::attach::fuzz;
    /// Frames of replica connections, and their messages.
    replica_frames => crate::wire::replica::fuzz;
    /// Rows, version vectors and changes of the registry, and merging them.
    registry_rows => crate::tracker::registry::fuzz;
    /// HTTP requests at a tracker: heads, and the queries in them.
    http_requests => crate::tracker::fuzz_http;
    /// Queries of announces and scrapes.
    http_queries => fuzz_query;
    /// Datagrams at a tracker.
    udp_requests => crate::wire::udp_tracker::fuzz_request;
    /// Answers of HTTP trackers.
    http_responses => crate::wire::fuzz_responses;
    /// Answers of UDP trackers.
    udp_responses => crate::wire::udp_tracker::fuzz_response;
    /// Heads of answers of web seeds.
    web_seed_responses => crate::peer::fuzz_web_seed;
    /// TRACKER_INFO.
    tracker_info => crate::wire::fuzz_tracker_info;
    /// Join lines and tokens of machines.
    join_lines => crate::wire::fuzz_join_lines;
    /// The files of clients of a closed run.
    scenarios => crate::scenario::fuzz;
    /// Records of shares, downloads and magnet searches, the login, and the
    /// machine.
    records => crate::storage::fuzz_records;
    /// Swarms that a tracker saved.
    saved_swarms => crate::tracker::fuzz_saved;
    /// Backups of a tracker.
    backups => crate::storage::fuzz_backup;
    /// Certificates, authorities and requests for certificates.
    certificates => crate::certificate::fuzz;
    /// The core of a swarm, in an environment that the input chooses.
    swarm_core => crate::swarm::fuzz;
}

fn fuzz_query(bytes: &[u8]) {
    crate::wire::fuzz_query(&String::from_utf8_lossy(bytes));
}

#[cfg(test)]
mod tests;
