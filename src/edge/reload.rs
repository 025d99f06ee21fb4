//! The settings, read once more for a server that runs, and with them the certificate that clients are shown.

use std::path::PathBuf;
use std::sync::Arc;

use super::identity::{self, Certificate};
use super::settings::{Settings, Source};
use super::tls::Shown;
use crate::engine::{AskId, Event};

/// All that it takes to read them again.
pub struct Reload {
    pub source: Source,
    /// The data directory that the server runs on.
    pub data: PathBuf,
    /// Shown to clients as well, unless the settings name another.
    pub own: Certificate,
    pub shown: Arc<Shown>,
}

impl Reload {
    /// What the engine is told; it applies what can be applied. `ask` is the question that this answers, if there was one.
    pub fn read(&self, ask: Option<AskId>) -> Event {
        let outcome = self.source.read_again(&self.data).map_err(|faults| faults.join("\n"));
        let outcome = outcome.and_then(|settings| self.take(settings));
        Event::Configured { ask, file: self.source.file_name(), outcome }
    }

    /// The certificate is read even where its name is the same: it is renewed by putting another into its file.
    fn take(&self, settings: Settings) -> Result<Box<crate::config::Config>, String> {
        let shown = identity::shown_certificate(&settings.config, &self.own)?;
        if self.shown.replace(&shown)? {
            log::info!(target: "folkmoot::server", "clients are shown another certificate from now on: {}", shown.pin());
        }
        for warning in &settings.warnings {
            log::warn!(target: "folkmoot::server", "{warning}");
        }
        Ok(Box::new(settings.config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::data::tests::Scratch;
    use crate::edge::tls::tests::{certificate, pem};

    #[test]
    fn a_renewed_certificate_is_shown_and_a_broken_one_changes_nothing() {
        let scratch = Scratch::new("reload");
        let path = |name: &str| scratch.0.join(name);
        let [first, second] = [certificate(), certificate()];
        let put = |chain: &Certificate, key: &Certificate| {
            std::fs::write(path("cert.pem"), pem(chain).0).unwrap();
            std::fs::write(path("key.pem"), pem(key).1).unwrap();
        };
        let settings = "[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";
        std::fs::write(path("hall.toml"), settings).unwrap();
        let own = certificate();
        let shown = Arc::new(Shown::new(&own).unwrap());
        let source = Source { file: Some(path("hall.toml")), data: Some(scratch.0.clone()) };
        let reload = Reload { source, data: scratch.0.clone(), own, shown: shown.clone() };
        let read = || match reload.read(None) {
            Event::Configured { outcome, file, .. } => {
                assert_eq!(file, "hall.toml");
                outcome.map(|_| ())
            }
            other => panic!("{other:?}"),
        };

        put(&first, &first);
        assert_eq!(read(), Ok(()));
        assert_eq!(shown.pin(), first.pin());
        // The key of another one.
        put(&second, &first);
        let fault = read().unwrap_err();
        assert!(fault.contains("tls.key") && fault.contains("cannot be used"), "{fault}");
        assert_eq!(shown.pin(), first.pin());
        put(&second, &second);
        assert_eq!(read(), Ok(()));
        assert_eq!(shown.pin(), second.pin());
        std::fs::remove_file(path("key.pem")).unwrap();
        assert!(read().unwrap_err().contains("key.pem"));
        assert_eq!(shown.pin(), second.pin());
    }
}
