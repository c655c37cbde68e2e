use super::*;
use crate::certificate::group_testing::{
    DAY, LeafWithKey, authority_as_leaf, issued, issued_for, member, now, pretender,
};
use crate::certificate::{Authority, CLUSTER_AUTHORITY, GroupAuthority, Use};
use crate::net::Stop;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::Write;
use std::net::TcpListener;
use std::thread;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(200);
const SWARM: InfoHash = InfoHash([0xab; 20]);
const OTHER_SWARM: InfoHash = InfoHash([0xcd; 20]);
const OUR_HANDSHAKE: &[u8; 68] = &[19; 68];

/// Another group at each call: the id is always the same, but the key is new.
fn new_group() -> GroupAuthority {
    GroupAuthority::generate("5f3a").unwrap()
}

fn tls(identity: GroupIdentity) -> GroupTls {
    GroupTls::new(identity).unwrap()
}

fn sockets() -> (Arc<TcpStream>, Arc<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (Arc::new(near), Arc::new(listener.accept().unwrap().0))
}

/// Connects two peers, which exchange handshakes. Returns the results of the caller and of the
/// called peer.
fn connect_peers(
    caller: &GroupTls,
    swarm: InfoHash,
    called: &GroupTls,
) -> (
    Result<Member, GroupTlsError>,
    Result<MemberConnection, GroupTlsError>,
) {
    let (near, far) = sockets();
    thread::scope(|scope| {
        let calling = scope.spawn(move || {
            let connection = caller.connect(near, swarm, LONG)?;
            connection.exchange(OUR_HANDSHAKE, &mut [0; 68], LONG)?;
            Ok(connection.member)
        });
        let groups = |named| (named == SWARM).then(|| called.clone());
        let accepted = accept_group(far, &[], groups, LONG);
        let accepted = accepted.inspect(|connection| {
            connection
                .exchange(OUR_HANDSHAKE, &mut [0; 68], LONG)
                .unwrap();
        });
        (calling.join().unwrap(), accepted)
    })
}

/// Sends raw bytes to a member. Returns the error of the member and all bytes that the caller
/// receives.
fn send_raw(bytes: &[u8]) -> (GroupTlsError, Vec<u8>) {
    let called = tls(member(&new_group(), "alice"));
    let (near, far) = sockets();
    (&*near).write_all(bytes).unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    let groups = |named| (named == SWARM).then(|| called.clone());
    let error = accept_group(far, &[], groups, LONG).unwrap_err();
    let mut received = Vec::new();
    let _ = (&*near).read_to_end(&mut received);
    (error, received)
}

/// Calls a member with any configuration and any server name. Returns what the caller receives, and
/// the error of the member.
fn call_with(
    config: ClientConfig,
    name: ServerName<'static>,
) -> (io::Result<Vec<u8>>, GroupTlsError) {
    let called = tls(member(&new_group(), "alice"));
    let (near, far) = sockets();
    thread::scope(|scope| {
        let calling = scope.spawn(move || {
            let connection = ClientConnection::new(Arc::new(config), name).unwrap();
            let stream = TlsStream::handshake(near, connection.into(), Inbound::default(), LONG)?;
            let mut got = vec![0; 100];
            let _ = stream.write_all_until(OUR_HANDSHAKE, Instant::now() + LONG);
            let read = stream.read_until(&mut got, Instant::now() + LONG)?;
            got.truncate(read);
            Ok(got)
        });
        let groups = |named| (named == SWARM).then(|| called.clone());
        let error = accept_group(far, &[], groups, LONG).unwrap_err();
        (calling.join().unwrap(), error)
    })
}

/// The configuration of a caller that accepts any server and shows no certificate.
fn stranger() -> ClientConfig {
    let some_member = tls(member(&new_group(), "eve"));
    ClientConfig::builder_with_provider(Arc::clone(&some_member.provider))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAnyServer(GroupVerifier::new(
            some_member.identity.group(),
            &some_member.provider,
        ))))
        .with_no_client_auth()
}

#[derive(Debug)]
struct AcceptAnyServer(GroupVerifier);

impl ServerCertVerifier for AcceptAnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls12_signature(&self.0, message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls13_signature(&self.0, message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(&self.0)
    }
}

fn swarm_name(swarm: InfoHash) -> ServerName<'static> {
    swarm.to_string().try_into().unwrap()
}

#[test]
fn two_members_connect_and_know_each_other() {
    let ours = new_group();
    let (alice, bob) = (tls(member(&ours, "alice")), tls(member(&ours, "bob")));
    let (seen_by_alice, seen_by_bob) = connect_peers(&alice, SWARM, &bob);
    let (called, caller) = (seen_by_alice.unwrap(), seen_by_bob.unwrap());
    assert_eq!(
        (called.user.as_str(), caller.member.user.as_str()),
        ("bob", "alice")
    );
    assert_eq!(caller.info_hash, SWARM);
    assert_eq!(caller.member, *alice.identity().member());
    let end = caller.member.validity.not_after.since_1970();
    assert!(end > now() && end <= now() + DAY);
}

/// Certificates of non-members. For each: a part of the error at the side that checks the
/// certificate for `usage`, and the refusal that this side sends.
fn certificates_of_non_members(
    ours: &GroupAuthority,
    usage: Use,
) -> Vec<(&'static str, LeafWithKey, TlsRefusal)> {
    let other = GroupAuthority::generate("77aa").unwrap();
    let cluster = Authority::generate(CLUSTER_AUTHORITY).unwrap().to_pem();
    let cluster = GroupAuthority::from_pem(cluster.as_bytes()).unwrap();
    let opposite = match usage {
        Use::Client => Use::Server,
        Use::Server => Use::Client,
    };
    let eve = |authority, at| issued(authority, "eve", at);
    vec![
        (
            "signed by another authority (77aa)",
            eve(&other, now()),
            TlsRefusal::Group,
        ),
        (
            "has not signed it",
            eve(&new_group(), now()),
            TlsRefusal::Group,
        ),
        (
            "a cluster of trackers",
            eve(&cluster, now()),
            TlsRefusal::Group,
        ),
        ("self-signed", authority_as_leaf(&other), TlsRefusal::Group),
        (
            "it expired on",
            eve(ours, now() - 2 * DAY),
            TlsRefusal::Dates,
        ),
        (
            "it is not valid before",
            eve(ours, now() + 2 * DAY),
            TlsRefusal::Dates,
        ),
        (
            "not meant for a",
            issued_for(ours, opposite),
            TlsRefusal::Certificate,
        ),
    ]
}

#[test]
fn callers_that_are_not_members_are_refused_and_learn_why() {
    let ours = new_group();
    let alice = tls(member(&ours, "alice"));
    for (reason, shown, refusal) in certificates_of_non_members(&ours, Use::Client) {
        let eve = tls(pretender(&ours, shown));
        let (calling, called) = connect_peers(&eve, SWARM, &alice);
        let error = called.unwrap_err();
        assert!(
            matches!(&error, GroupTlsError::Member(_)),
            "{reason}: {error}"
        );
        assert!(error.to_string().contains(reason), "{reason}: {error}");
        let error = calling.unwrap_err();
        assert!(
            matches!(error, GroupTlsError::Refused(found) if found == refusal),
            "{reason}: {error}"
        );
    }
}

#[test]
fn servers_that_are_not_members_are_refused_before_any_data_is_sent() {
    let ours = new_group();
    let alice = tls(member(&ours, "alice"));
    for (reason, shown, refusal) in certificates_of_non_members(&ours, Use::Server) {
        let eve = tls(pretender(&ours, shown));
        let (calling, called) = connect_peers(&alice, SWARM, &eve);
        let error = calling.unwrap_err();
        assert!(
            matches!(&error, GroupTlsError::Member(_)),
            "{reason}: {error}"
        );
        assert!(error.to_string().contains(reason), "{reason}: {error}");
        let error = called.unwrap_err();
        assert!(
            matches!(error, GroupTlsError::Refused(found) if found == refusal),
            "{reason}: {error}"
        );
    }
}

#[test]
fn a_copied_certificate_without_its_key_is_refused() {
    let ours = new_group();
    let alice = tls(member(&ours, "alice"));
    let copied = CertificateDer::from(issued(&ours, "eve", now()).leaf);
    let other = PrivateKeyDer::from(member(&ours, "eve").key());
    let key = rustls::crypto::ring::sign::any_ecdsa_type(&other).unwrap();
    let mut eve = alice.clone();
    eve.certified_key = Arc::new(CertifiedKey::new(vec![copied], key).into());
    let (calling, called) = connect_peers(&eve, SWARM, &alice);
    assert!(matches!(called.unwrap_err(), GroupTlsError::Tls(_)));
    assert!(calling.is_err());
    let (calling, called) = connect_peers(&alice, SWARM, &eve);
    assert!(matches!(calling.unwrap_err(), GroupTlsError::Tls(_)));
    assert!(called.is_err());
}

#[test]
fn a_member_that_names_an_unknown_swarm_gets_no_answer() {
    let ours = new_group();
    let (alice, bob) = (tls(member(&ours, "alice")), tls(member(&ours, "bob")));
    let (calling, called) = connect_peers(&alice, OTHER_SWARM, &bob);
    assert!(
        matches!(called.unwrap_err(), GroupTlsError::UnknownSwarm(swarm) if swarm == OTHER_SWARM)
    );
    let error = calling.unwrap_err();
    assert!(
        matches!(error, GroupTlsError::Cut | GroupTlsError::Io(_)),
        "{error}"
    );
}

#[test]
fn a_stranger_without_a_certificate_gets_nothing_of_the_swarm() {
    let (got, error) = call_with(stranger(), swarm_name(SWARM));
    assert!(matches!(error, GroupTlsError::NoCertificate), "{error}");
    let error = GroupTlsError::of_io(got.unwrap_err(), LONG);
    assert!(
        matches!(error, GroupTlsError::Refused(TlsRefusal::Required)),
        "{error}"
    );
}

#[test]
fn a_caller_whose_server_name_is_not_an_info_hash_gets_no_answer() {
    let short = SWARM.to_string()[1..].to_owned();
    for name in [short, "tracker".to_owned(), format!("{SWARM}.ab")] {
        let (got, error) = call_with(stranger(), name.clone().try_into().unwrap());
        assert!(
            matches!(error, GroupTlsError::InvalidServerName),
            "{name}: {error}"
        );
        let error = GroupTlsError::of_io(got.unwrap_err(), LONG);
        assert!(
            !matches!(error, GroupTlsError::Refused(_)),
            "{name}: {error}"
        );
    }
    let mut nameless = stranger();
    nameless.enable_sni = false;
    let (got, error) = call_with(nameless, swarm_name(SWARM));
    assert!(matches!(error, GroupTlsError::NoServerName), "{error}");
    assert!(got.is_err());
}

#[test]
fn bytes_that_are_not_tls_get_no_answer() {
    let mut plain = [0; 68];
    plain[..20].copy_from_slice(b"\x13BitTorrent protocol");
    plain[28..48].copy_from_slice(&SWARM.0);
    for (bytes, is_cut) in [
        (&plain[..], false),
        (b"GET / HTTP/1.1\r\n\r\n", false),
        (b"\x16\x03\x01\0\x04junk of which nothing is a hello", false),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", true),
        (b"", true),
    ] {
        let (error, received) = send_raw(bytes);
        let shown = bytes.escape_ascii();
        assert_eq!(
            matches!(error, GroupTlsError::Cut),
            is_cut,
            "{shown}: {error}"
        );
        assert!(
            is_cut || matches!(error, GroupTlsError::NotTls),
            "{shown}: {error}"
        );
        assert_eq!(received, b"", "{shown}");
    }
}

#[test]
fn bytes_that_were_read_before_are_used_in_the_handshake() {
    let ours = new_group();
    let (alice, bob) = (tls(member(&ours, "alice")), tls(member(&ours, "bob")));
    let (near, far) = sockets();
    thread::scope(|scope| {
        scope.spawn(|| alice.connect(near, SWARM, LONG).unwrap());
        let mut first = [0];
        (&*far).read_exact(&mut first).unwrap();
        assert_eq!(first, [TLS_FIRST_BYTE]);
        let connection = accept_group(far, &first, |_| Some(bob.clone()), LONG).unwrap();
        assert_eq!(connection.member.user, "alice");
    });
}

#[test]
fn a_trickling_client_hello_and_a_silent_server_time_out() {
    let alice = tls(member(&new_group(), "alice"));
    let (near, far) = sockets();
    let stop = Stop::new();
    let started = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&*near).write_all(b"\x16\x03\x01\x02\0\x01").unwrap();
            while !stop.wait(Duration::from_millis(20)) {
                let _ = (&*near).write_all(b"\0");
            }
        });
        let error = accept_group(far, &[], |_| None, SHORT).unwrap_err();
        stop.stop();
        assert!(matches!(error, GroupTlsError::TimedOut(SHORT)), "{error}");
    });
    let (near, _far) = sockets();
    let error = alice.connect(near, SWARM, SHORT).unwrap_err();
    assert!(matches!(error, GroupTlsError::TimedOut(SHORT)), "{error}");
    assert!(started.elapsed() < LONG / 2);
}

#[test]
fn a_caller_cannot_send_an_info_hash_without_letters_as_its_server_name() {
    let alice = tls(member(&new_group(), "alice"));
    let digits = InfoHash([0x12; 20]);
    let error = alice.connect(sockets().0, digits, SHORT).unwrap_err();
    assert!(matches!(error, GroupTlsError::Unnameable(_)), "{error}");
    // `read_server_name` accepts an info-hash without letters.
    for (name, expected) in [
        (SWARM.to_string(), Some(SWARM)),
        (digits.to_string(), Some(digits)),
        (SWARM.to_string().to_uppercase(), None),
        (String::new(), None),
    ] {
        assert_eq!(read_server_name(&name), expected, "{name}");
    }
}
