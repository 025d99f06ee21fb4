//! Who this server is: its key, its certificate, its network's secret, made at first start and kept.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::data::DataDirectory;
use super::secrets::{self, SecretBook};
use super::tls::Shown;
use crate::config::{self, Config};
use crate::engine::{Identity, Pin};
use crate::wire::names::{ServerId, ServerName};
use crate::wire::time::Timestamp;

const KEY: &str = "node.key";
const CERTIFICATE: &str = "node.cert";
/// The network's secret, unless the settings name another file.
pub const SECRET: &str = "network.secret";

/// A certificate with what is behind it, and its key.
#[derive(Debug)]
pub struct Certificate {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Certificate {
    /// What others know this certificate by.
    pub fn pin(&self) -> Pin {
        pin_of(&self.chain[0])
    }
}

impl Clone for Certificate {
    fn clone(&self) -> Certificate {
        Certificate { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// This server as its data directory has it.
#[derive(Debug)]
pub struct Node {
    pub identity: Identity,
    /// Shown to other servers; its digest is who we are.
    pub own: Certificate,
    /// Shown to clients; the same one unless the settings name another.
    pub shown: Certificate,
    pub secrets: Arc<SecretBook>,
    pub data: Arc<DataDirectory>,
}

/// Reads who this server is, makes what is missing, and begins a new epoch.
pub fn load(config: &Config, data: Arc<DataDirectory>) -> Result<Node, String> {
    let own = own_certificate(config, &data)?;
    let pin = own.pin();
    let shown = shown_certificate(config, &own)?;
    let sid = server_id(config, &pin)?;
    let name = name(config, &pin);
    let secrets = Arc::new(SecretBook::load(config, &data, wall_clock().0)?);
    let identity = Identity {
        sid,
        name: ServerName::parse(&name).ok_or_else(|| format!("\"{name}\" cannot be a server's name"))?,
        secret: secrets.current().0.into_bytes(),
        pin,
        clock_floor_ms: data.clock_floor_ms()?,
        seed: random(),
        version: version(),
        epoch: data.next_epoch(wall_clock())?,
    };
    Ok(Node { identity, own, shown, secrets, data })
}

/// Which server this is, as set or after its certificate.
pub fn server_id(config: &Config, pin: &Pin) -> Result<ServerId, String> {
    match config.server.sid.as_deref() {
        Some(text) => ServerId::parse(text).ok_or("server.sid is not a server id".to_string()),
        None => Ok(ServerId::from_digest(&pin.0)),
    }
}

/// What clients are shown: what the settings name, or else the server's own.
pub fn shown_certificate(config: &Config, own: &Certificate) -> Result<Certificate, String> {
    named_certificate(config).unwrap_or_else(|| Ok(own.clone()))
}

fn named_certificate(config: &Config) -> Option<Result<Certificate, String>> {
    let (chain, key) = (config.tls.certificate.as_ref()?, config.tls.key.as_ref()?);
    let certificate = read_certificate(Path::new(chain), Path::new(key));
    Some(certificate.map_err(|why| format!("tls.certificate and tls.key: {why}")))
}

/// What is wrong with the files that the settings name, as far as it can be seen without starting.
pub fn check_files(config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(named) = named_certificate(config) {
        faults.extend(named.and_then(|named| Shown::new(&named)).err());
    }
    if let Some(path) = &config.network.secret_file {
        faults.extend(secrets::read(Path::new(path)).err());
    }
    faults
}

/// What this program is, as it says itself.
pub fn version() -> String {
    format!("folkmoot-{}", crate::VERSION)
}

/// What others know a certificate by.
pub fn pin_of(certificate: &CertificateDer<'_>) -> Pin {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    Pin(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

/// Bytes that nobody can foresee.
pub fn random<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    SystemRandom::new().fill(&mut bytes).expect("the system has randomness once it has booted");
    bytes
}

/// The clock on the wall, as this machine has it.
pub fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| since.as_millis() as u64))
}

/// What the server is called: as set, or as the machine is called, or after its certificate where that has no name.
pub fn name(config: &Config, pin: &Pin) -> String {
    if let Some(name) = &config.server.name {
        return name.clone();
    }
    host_name().unwrap_or_else(|| format!("folkmoot-{:02x}{:02x}{:02x}.lan", pin.0[0], pin.0[1], pin.0[2]))
}

fn host_name() -> Option<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // Too many machines bear these for two of them to be told apart.
    let nameless = ["", "(none)", "localhost", "localhost.localdomain"].contains(&host.as_str());
    (!nameless).then(|| config::fit_server_name(&host))
}

/// The server's own certificate: made once, and then kept, since its digest is who the server is.
pub fn own_certificate(config: &Config, data: &DataDirectory) -> Result<Certificate, String> {
    let [key, certificate] = [KEY, CERTIFICATE].map(|name| data.path().join(name));
    match (key.exists(), certificate.exists()) {
        (true, true) => {}
        (false, false) => make_certificate(config, data)?,
        (has_key, _) => {
            let (there, missing) = if has_key { (KEY, CERTIFICATE) } else { (CERTIFICATE, KEY) };
            return Err(format!(
                "{} holds {there} and no {missing}; restore it from a copy, or remove {there} too, \
                 and the server becomes a new one to all others",
                data.path().display()
            ));
        }
    }
    read_certificate(&certificate, &key)
}

fn make_certificate(config: &Config, data: &DataDirectory) -> Result<(), String> {
    let fault = |why: rcgen::Error| format!("cannot make a certificate: {why}");
    let name = config.server.name.clone().or_else(host_name).unwrap_or_else(|| "folkmoot.lan".to_string());
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(fault)?;
    let mut params = rcgen::CertificateParams::new(vec![name.clone()]).map_err(fault)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let certificate = params.self_signed(&key).map_err(fault)?;
    data.write(KEY, &key.serialize_pem())?;
    data.write(CERTIFICATE, &certificate.pem())
}

fn read_certificate(certificate: &Path, key: &Path) -> Result<Certificate, String> {
    let fault =
        |path: &Path, why: rustls::pki_types::pem::Error| format!("cannot read {}: {why}", path.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|why| fault(certificate, why))?;
    if chain.is_empty() {
        return Err(format!("{} holds no certificate", certificate.display()));
    }
    Ok(Certificate { chain, key: PrivateKeyDer::from_pem_file(key).map_err(|why| fault(key, why))? })
}

/// A secret for a network, as text of one line.
pub fn make_secret() -> String {
    STANDARD_NO_PAD.encode(random::<32>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::data::tests::Scratch;

    fn load_from(scratch: &Scratch, config: &Config) -> Result<Node, String> {
        load(config, Arc::new(DataDirectory::open(&scratch.0)?))
    }

    #[test]
    fn a_server_stays_itself_over_restarts() {
        let scratch = Scratch::new("identity-kept");
        let config = Config::default();
        let [first, second] =
            [(); 2].map(|()| load_from(&scratch, &config).map(|node| (node.identity, node.shown)).unwrap());
        let ((first, first_shown), (second, second_shown)) = (first, second);
        assert_eq!((first_shown.pin(), second_shown.pin()), (first.pin, first.pin));
        assert_eq!((second.sid, second.pin, &second.secret), (first.sid, first.pin, &first.secret));
        assert_eq!(second.sid, ServerId::from_digest(&second.pin.0));
        assert_eq!(second.epoch, first.epoch + 1);
        assert_ne!(first.seed, second.seed);
        assert!(second.secret.len() >= 43, "32 random bytes as text");
    }

    #[test]
    fn what_the_settings_say_counts() {
        let scratch = Scratch::new("identity-set");
        let secret_file = scratch.0.join("secret.txt");
        let mut config = Config::default();
        config.server.name = Some("barn.example".into());
        config.server.sid = Some("7FA".into());
        config.network.secret_file = Some(secret_file.display().to_string());
        assert!(load_from(&scratch, &config).unwrap_err().contains("there is no file"));
        std::fs::write(&secret_file, "fifteen letters\n").unwrap();
        assert!(load_from(&scratch, &config).unwrap_err().contains("shorter than 16"));
        std::fs::write(&secret_file, "sixteen  letters\nmore\n").unwrap();
        let identity = load_from(&scratch, &config).unwrap().identity;
        assert_eq!(identity.secret, b"sixteen  letters");
        assert_eq!(identity.sid.as_str(), "7FA");
        assert_eq!(identity.name.as_str(), "barn.example");
        assert!(!scratch.0.join(SECRET).exists());
    }

    #[test]
    fn half_an_identity_is_never_completed_by_a_new_half() {
        let scratch = Scratch::new("identity-half");
        drop(load_from(&scratch, &Config::default()).unwrap());
        std::fs::remove_file(scratch.0.join(CERTIFICATE)).unwrap();
        let fault = load_from(&scratch, &Config::default()).unwrap_err();
        assert!(fault.contains("no node.cert"), "{fault}");
    }
}
