//! A stranger at the link port, who can say whatever a server would or would not.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, version::TLS13};

use super::SECRET;
use super::client::{Client, tls, trusting};

const NONCE: &str = "bm9uY2U=";

/// What a server says of itself first.
pub struct Greeting<'a> {
    pub sid: &'a str,
    pub name: &'a str,
    pub network: &'a str,
}

impl Greeting<'_> {
    pub fn line(&self) -> String {
        let clock_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let Greeting { sid, name, network } = self;
        format!("CONNECT_SERVER 1 {sid} 1 {name} {NONCE} {clock_ms} * :{network}")
    }
}

/// Calls a server's link port as another server does, with a certificate made for the occasion; its first line is yet
/// to be read.
pub fn call(address: SocketAddr, name: &str, certificate: &Path) -> Client {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let own = rcgen::CertificateParams::new(vec!["stranger.lan".to_string()]).unwrap();
    let own = own.self_signed(&key).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(trusting(certificate))
        .with_client_auth_cert(vec![own.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"folkmoot/1".to_vec()];
    Client::on(tls(address, name, config))
}

/// Says all that is needed to be let into the network by a server that was just called.
pub fn prove(stranger: &mut Client, greeting: &Greeting) {
    let theirs = stranger.hear();
    let mut words = theirs.split(' ').skip(2);
    let (sid, nonce) = (words.next().unwrap(), words.nth(2).unwrap());
    stranger.say(&greeting.line());
    assert!(stranger.hear().starts_with("PROOF "));
    let text = ["folkmoot/1", "caller", greeting.sid, sid, NONCE, nonce, ""].join("\0");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = hmac::sign(&key, &[text.as_bytes(), &stranger.exported("EXPORTER-folkmoot/1")].concat());
    stranger.say(&format!("PROOF {} 0 0", BASE64.encode(tag)));
    assert_eq!(stranger.hear(), "CONNECTED ok");
    stranger.say("CONNECTED ok");
}
