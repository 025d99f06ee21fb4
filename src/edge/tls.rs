//! TLS: settings for clients and for the mesh, handshakes that end in time, and what they established.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme, version::TLS13,
};

use super::identity::{Certificate, pin_of};
use crate::engine::Pin;

/// What two servers that hold the same network speak.
pub const LINK_PROTOCOL: &[u8] = b"folkmoot/1";
/// What a machine speaks that wants to join with a code.
pub const JOIN_PROTOCOL: &[u8] = b"folkmoot-join/1";
/// How long any handshake may take, however slowly its bytes come.
pub const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
const EXPORTER_LABEL: &[u8] = b"EXPORTER-folkmoot/1";

/// For the listener that clients connect to.
pub fn client_listener(shown: Arc<Shown>) -> ServerConfig {
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring knows the versions that rustls knows")
        .with_client_cert_verifier(Arc::new(AnyKey { is_needed: false, ..AnyKey::new() }))
        .with_cert_resolver(shown);
    forgetful(config)
}

/// The certificate that clients are shown. Another one can take its place while the server runs; whoever is connected
/// already does not notice.
#[derive(Debug)]
pub struct Shown(RwLock<Arc<CertifiedKey>>);

impl Shown {
    pub fn new(certificate: &Certificate) -> Result<Shown, String> {
        certified(certificate).map(|certified| Shown(RwLock::new(Arc::new(certified))))
    }

    /// Whether it is another one than before.
    pub fn replace(&self, certificate: &Certificate) -> Result<bool, String> {
        let certified = certified(certificate)?;
        let mut shown = self.0.write();
        let is_another = shown.cert != certified.cert;
        *shown = Arc::new(certified);
        Ok(is_another)
    }

    #[cfg(test)]
    pub fn pin(&self) -> Pin {
        pin_of(&self.0.read().cert[0])
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

fn certified(certificate: &Certificate) -> Result<CertifiedKey, String> {
    CertifiedKey::from_der(certificate.chain.clone(), certificate.key.clone_key(), &ring::default_provider())
        .map_err(|fault| {
            format!("tls.certificate and tls.key: what clients would be shown cannot be used: {fault}")
        })
}

/// For servers that call us. They show a certificate; whose it is, its pin tells.
pub fn mesh_server(own: &Certificate) -> Result<ServerConfig, String> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .and_then(|builder| {
            builder
                .with_client_cert_verifier(Arc::new(AnyKey::new()))
                .with_single_cert(own.chain.clone(), own.key.clone_key())
        })
        .map_err(|fault| format!("the server's own certificate cannot be used: {fault}"))?;
    config.alpn_protocols = vec![LINK_PROTOCOL.to_vec(), JOIN_PROTOCOL.to_vec()];
    Ok(forgetful(config))
}

/// For servers that we call, to link with them or to join their network. Whose certificate they show is for the
/// caller to see: `shown_pin`.
pub fn mesh_client(own: &Certificate, protocol: &[u8]) -> Result<ClientConfig, String> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .and_then(|builder| {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyKey::new()))
                .with_client_auth_cert(own.chain.clone(), own.key.clone_key())
        })
        .map_err(|fault| format!("the server's own certificate cannot be used: {fault}"))?;
    config.alpn_protocols = vec![protocol.to_vec()];
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A session resumed would show no certificate, and save less than what keeping it costs.
fn forgetful(mut config: ServerConfig) -> ServerConfig {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

/// What the link handshake goes on with.
#[derive(Debug, PartialEq, Eq)]
pub struct PeerProof {
    pub pin: Pin,
    /// Bound to this one TLS session.
    pub exporter: [u8; 32],
}

/// Who is at the other end of a mesh connection whose handshake is done.
pub fn peer_proof(tls: &rustls::Connection) -> Result<PeerProof, String> {
    let pin = shown_pin(tls).ok_or("the other side shows no certificate")?;
    let exporter = tls
        .export_keying_material([0; 32], EXPORTER_LABEL, None)
        .map_err(|fault| format!("TLS gives no keying material: {fault}"))?;
    Ok(PeerProof { pin, exporter })
}

/// What the other side's certificate is known by; it showed, in the handshake, that it holds its key.
pub fn shown_pin(tls: &rustls::CommonState) -> Option<Pin> {
    tls.peer_certificates().and_then(|chain| chain.first()).map(pin_of)
}

/// What was agreed on, as WHOIS shows it.
pub fn agreed(tls: &rustls::Connection) -> String {
    let version = match tls.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLSv1.3",
    };
    let suite = tls.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
    format!("{version}, {}", suite.replace("TLS13_", "TLS_"))
}

/// Leads a handshake to its end. On a blocking socket, whose timeouts are used on the way and are off again after it.
pub fn shake_hands(
    tls: &mut rustls::Connection,
    socket: &TcpStream,
    deadline: Instant,
) -> Result<(), String> {
    let outcome = tls.complete_io(&mut Timely { socket, deadline });
    socket.set_read_timeout(None).and(socket.set_write_timeout(None)).map_err(|fault| fault.to_string())?;
    match outcome {
        Ok(_) => Ok(()),
        Err(fault) if matches!(fault.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Err("the TLS handshake took too long".to_string())
        }
        Err(fault) => Err(format!("no TLS handshake: {fault}")),
    }
}

/// Reads and writes until a deadline for all of them together, so that one byte now and then does not win time.
pub struct Timely<'a> {
    pub socket: &'a TcpStream,
    pub deadline: Instant,
}

impl Timely<'_> {
    /// What is left; never zero, which would mean for ever.
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.deadline.checked_duration_since(Instant::now()) {
            None | Some(Duration::ZERO) => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }

    /// The first byte that will be read, left in place; `None` where nothing comes.
    pub fn first_byte(&self) -> io::Result<Option<u8>> {
        self.socket.set_read_timeout(self.left()?)?;
        let mut first = [0];
        Ok((self.socket.peek(&mut first)? == 1).then_some(first[0]))
    }
}

impl Read for Timely<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        self.socket.read(buffer)
    }
}

impl Write for Timely<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes every certificate, but only from the holder of its key: no authority stands behind the servers of a network,
/// who know each other by pin.
#[derive(Debug)]
struct AnyKey {
    algorithms: WebPkiSupportedAlgorithms,
    /// Whether nobody comes in who shows none.
    is_needed: bool,
}

impl AnyKey {
    fn new() -> AnyKey {
        AnyKey { algorithms: ring::default_provider().signature_verification_algorithms, is_needed: true }
    }
}

impl ServerCertVerifier for AnyKey {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for AnyKey {
    fn client_auth_mandatory(&self) -> bool {
        self.is_needed
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(self)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::edge::shared::tests::pair;

    /// A new one each time.
    pub fn certificate() -> Certificate {
        let key = ::rcgen::KeyPair::generate_for(&::rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let params = ::rcgen::CertificateParams::new(vec!["hall.lan".to_string()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Certificate { chain: vec![certificate.der().clone()], key: key.serialize_der().try_into().unwrap() }
    }

    /// Its chain and its key as text.
    pub fn pem(certificate: &Certificate) -> (String, String) {
        use base64::Engine;
        let text = |label: &str, bytes: &[u8]| {
            let body = base64::engine::general_purpose::STANDARD.encode(bytes);
            format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
        };
        (text("CERTIFICATE", &certificate.chain[0]), text("PRIVATE KEY", certificate.key.secret_der()))
    }

    /// A new one, as a listener has it.
    pub fn listener() -> ServerConfig {
        client_listener(Arc::new(Shown::new(&certificate()).unwrap()))
    }

    /// A TLS client as a person has one, that believes anything.
    pub fn trusting_client() -> ClientConfig {
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyKey::new()))
            .with_no_client_auth()
    }

    /// Both ends of a TLS session over these sockets, hands shaken.
    pub fn session(
        server: ServerConfig,
        client: ClientConfig,
        (ours, theirs): (&TcpStream, &TcpStream),
    ) -> Result<(rustls::Connection, rustls::Connection), String> {
        let deadline = Instant::now() + HANDSHAKE_WITHIN;
        let name = ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into());
        let mut theirs_session =
            rustls::Connection::from(rustls::ClientConnection::new(Arc::new(client), name).unwrap());
        std::thread::scope(|scope| {
            let ours = scope.spawn(move || {
                let session = rustls::ServerConnection::new(Arc::new(server)).unwrap();
                let mut session = rustls::Connection::from(session);
                shake_hands(&mut session, ours, deadline).map(|()| session)
            });
            shake_hands(&mut theirs_session, theirs, deadline)?;
            Ok((ours.join().unwrap()?, theirs_session))
        })
    }

    #[test]
    fn both_ends_of_a_link_know_each_other_and_share_a_secret() {
        let (hall, barn) = (certificate(), certificate());
        let (ours, theirs) = pair();
        let (server, client) = (mesh_server(&hall).unwrap(), mesh_client(&barn, LINK_PROTOCOL).unwrap());
        let (ours, theirs) = session(server, client, (&ours, &theirs)).unwrap();
        let (ours, theirs) = (peer_proof(&ours).unwrap(), peer_proof(&theirs).unwrap());
        assert_eq!((ours.pin, theirs.pin), (barn.pin(), hall.pin()));
        assert_eq!(ours.exporter, theirs.exporter);
    }

    #[test]
    fn a_certificate_without_its_key_opens_nothing() {
        let (hall, barn) = (certificate(), certificate());
        // rustls refuses to send such a pair, so the thief uses a resolver that does not look.
        let stolen = Certificate { chain: hall.chain.clone(), key: barn.key.clone_key() };
        let signing = ring::sign::any_ecdsa_type(&stolen.key).unwrap();
        let thief = rustls::sign::CertifiedKey::new(stolen.chain, signing);
        let mut client = mesh_client(&barn, LINK_PROTOCOL).unwrap();
        client.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(thief));
        let (ours, theirs) = pair();
        assert!(session(mesh_server(&hall).unwrap(), client, (&ours, &theirs)).is_err());
    }

    #[test]
    fn nobody_without_a_certificate_gets_a_link() {
        let hall = certificate();
        let (ours, theirs) = pair();
        let mut client = trusting_client();
        client.alpn_protocols = vec![LINK_PROTOCOL.to_vec()];
        assert!(session(mesh_server(&hall).unwrap(), client, (&ours, &theirs)).is_err());
    }

    #[test]
    fn one_byte_now_and_then_wins_no_time() {
        let (ours, mut theirs) = pair();
        let deadline = Instant::now() + Duration::from_millis(300);
        let mut timely = Timely { socket: &ours, deadline };
        let mut read = 0;
        let fault = loop {
            theirs.write_all(&[0]).unwrap();
            match timely.read(&mut [0; 2]) {
                Ok(count) => read += count,
                Err(fault) => break fault,
            }
        };
        assert!(read > 0);
        assert_eq!(fault.kind(), io::ErrorKind::TimedOut);
    }
}
