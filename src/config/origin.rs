//! What an admin may set about where people come from: how much of it others see.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::fit;
use super::section::Section;
use crate::wire::cidr::Cidr;
use crate::wire::pin::Pin;

/// `[cloak]`
#[derive(Clone, Debug, Default)]
pub struct Cloak {
    pub who: Cloaked,
    /// What cloaks are made with; empty for what the network's secret gives.
    pub key: String,
}

/// Whose host is hidden as they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cloaked {
    /// Those who come from the internet.
    #[default]
    Public,
    All,
    Nobody,
}

impl Cloaked {
    const WORDS: &[(&str, Cloaked)] =
        &[("public", Cloaked::Public), ("all", Cloaked::All), ("nobody", Cloaked::Nobody)];
}

/// `[dns]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Whether people are known by the names of their addresses.
    pub reverse: bool,
    /// How long somebody waits for it at most.
    pub within: Duration,
    /// Addresses, with or without a port; empty for those of the system.
    pub servers: Vec<String>,
}

impl Default for Dns {
    fn default() -> Dns {
        Dns { reverse: false, within: Duration::from_secs(2), servers: Vec::new() }
    }
}

/// `[[gateway]]`: who brings others here, and says where they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    pub name: String,
    /// Only from there it is believed.
    pub addresses: Vec<Cidr>,
    pub speaks: GatewayProtocol,
    /// For WEBIRC; empty where a certificate is enough.
    pub password: String,
    /// For WEBIRC: the certificate that it must show, over TLS.
    pub certificate: Option<Pin>,
}

impl Gateway {
    pub fn is_at(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|network| network.contains(address))
    }
}

/// How a gateway says whom it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayProtocol {
    /// A line of IRC, before all others.
    Webirc,
    /// A header before anything else, TLS included.
    Proxy,
}

/// So short a key could be guessed, and with it the address behind every cloak.
const KEY_BYTES_MIN: usize = 16;

impl Section<'_, '_, '_> {
    pub(super) fn cloak(&mut self) {
        let mut cloak = std::mem::take(&mut self.reader.reading.config.cloak);
        let words: Vec<&str> = Cloaked::WORDS.iter().map(|(word, _)| *word).collect();
        let mut who = String::new();
        self.text("who", &mut who, |text| fit::one_of(text, &words));
        if let Some((_, meant)) = Cloaked::WORDS.iter().find(|(word, _)| *word == who) {
            cloak.who = *meant;
        }
        self.text("key", &mut cloak.key, |text| match text.len() {
            0 | KEY_BYTES_MIN.. => Ok(()),
            short => Err(format!("expected at least {KEY_BYTES_MIN} characters, found {short}")),
        });
        self.reader.reading.config.cloak = cloak;
    }

    pub(super) fn dns(&mut self) {
        let mut dns = std::mem::take(&mut self.reader.reading.config.dns);
        self.flag("reverse", &mut dns.reverse);
        self.duration_within("within", &mut dns.within, Duration::from_millis(100), Duration::from_secs(5));
        self.list("servers", &mut dns.servers, |text| {
            match text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok() {
                true => Ok(()),
                false => {
                    Err(format!("expected an address such as \"10.0.0.1\" or \"[::1]:53\", found \"{text}\""))
                }
            }
        });
        self.reader.reading.config.dns = dns;
    }

    pub(super) fn gateway(&mut self) {
        let mut name = String::new();
        self.text("name", &mut name, fit::shown_host);
        let mut written = Vec::new();
        self.list("addresses", &mut written, |text| match Cidr::parse(text) {
            Some(_) => Ok(()),
            None => Err(format!("expected an address or a network such as \"10.0.0.0/8\", found \"{text}\"")),
        });
        let addresses = written.iter().filter_map(|text| Cidr::parse(text)).collect();
        let mut speaks = "webirc".to_string();
        self.text("speaks", &mut speaks, |text| fit::one_of(text, &["webirc", "proxy"]));
        let mut password = String::new();
        self.text("password", &mut password, fit::password);
        self.warn_if_plain("password", &password);
        let mut certificate = None;
        self.optional("certificate", &mut certificate, fit::pin);
        let certificate = certificate.as_deref().and_then(Pin::parse);
        self.need("name");
        self.need("addresses");
        let speaks = if speaks == "proxy" { GatewayProtocol::Proxy } else { GatewayProtocol::Webirc };
        match speaks {
            GatewayProtocol::Webirc => {
                if certificate.is_none() {
                    self.need("password");
                }
                if self.gives("password") && password.is_empty() {
                    self.fault_at("password", "must not be empty, or anybody there could pass for anybody");
                }
            }
            GatewayProtocol::Proxy if !password.is_empty() => {
                self.fault_at(
                    "password",
                    "the PROXY protocol has none; leave it out, or write speaks = \"webirc\"",
                );
            }
            GatewayProtocol::Proxy if certificate.is_some() => {
                self.fault_at(
                    "certificate",
                    "the PROXY protocol comes before TLS; leave it out, or write speaks = \"webirc\"",
                );
            }
            GatewayProtocol::Proxy => {}
        }
        let gateway = Gateway { name, addresses, speaks, password, certificate };
        self.reader.reading.config.gateway.push(gateway);
    }
}
