//! The settings as files give them: the admin's, and what the data directory adds to them.

use std::path::{Path, PathBuf};

use crate::config::read::{self, Reading};
use crate::config::{ADMINISTRATOR, Config, Operator};

/// The file in the data directory that joining a network leaves behind, in the form of a settings file.
pub const JOINED: &str = "joined.toml";
/// The file in the data directory that holds the hash of the code printed at first start.
pub const ADMIN_CODE: &str = "admin.code";
/// Where data is kept if nobody says otherwise.
const DATA_DEFAULT: &str = "folkmoot-data";

/// Where settings come from: kept, so that they can be read again.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The settings file, if there is one.
    pub file: Option<PathBuf>,
    /// The data directory, where the command line names it.
    pub data: Option<PathBuf>,
}

/// What was read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// With every path resolved and every text file read.
    pub config: Config,
    pub data: PathBuf,
    /// Whether the admin's file gives the network's name.
    pub network_named: bool,
    pub warnings: Vec<String>,
}

impl Source {
    /// Reads everything, or says every fault.
    pub fn read(&self) -> Result<Settings, Vec<String>> {
        or_faults(self.examine())
    }

    /// The same for a server that runs on that data directory: whatever the settings name by now, that is where it
    /// keeps what it adds to them.
    pub fn read_again(&self, running_on: &Path) -> Result<Settings, Vec<String>> {
        or_faults(self.examine_for(Some(running_on)))
    }

    /// As much as can be read, and every fault; or why nothing can be.
    pub fn examine(&self) -> Result<(Settings, Vec<String>), String> {
        self.examine_for(None)
    }

    fn examine_for(&self, running_on: Option<&Path>) -> Result<(Settings, Vec<String>), String> {
        let Reading { mut config, faults, warnings, given } = self.read_file()?;
        let place = self.file.as_ref().map(|file| format!("{}: ", file.display())).unwrap_or_default();
        let mut faults: Vec<String> = faults.iter().map(|fault| format!("{place}{fault}")).collect();
        let warnings = warnings.iter().map(|warning| format!("{place}{warning}")).collect();

        let data = match &self.data {
            Some(data) => data.clone(),
            None => self.resolve(config.server.data.as_deref().unwrap_or(DATA_DEFAULT)),
        };
        config.server.data = Some(data.display().to_string());
        let data = running_on.map_or(data, Path::to_path_buf);
        let paths = [&mut config.network.secret_file, &mut config.tls.certificate, &mut config.tls.key];
        for path in paths.into_iter().flatten() {
            *path = self.resolve(path).display().to_string();
        }
        for issuer in &mut config.accounts.tokens.issuers {
            let Some((path, line)) = &issuer.key_file else { continue };
            let path = self.resolve(path);
            let key = std::fs::read_to_string(&path).map_err(|why| format!("cannot be read: {why}"));
            match key.and_then(|text| issuer.algorithm.key(&text)) {
                Ok(key) => issuer.key = Some(key),
                Err(why) => faults
                    .push(format!("{place}line {line}: accounts.token.key_file: {} {why}", path.display())),
            }
        }
        if let Some(motd) = &config.server.motd {
            let path = self.resolve(motd);
            match std::fs::read_to_string(&path) {
                Ok(text) => config.server.motd_text = Some(text),
                Err(why) => faults.push(format!("{place}server.motd: cannot read {}: {why}", path.display())),
            }
        }

        let network_named = given.iter().any(|key| key == "network.name");
        if let Err(fault) = add_joined(&mut config, &data, network_named) {
            faults.push(fault);
        }
        add_administrator(&mut config, &data);
        Ok((Settings { config, data, network_named, warnings }, faults))
    }

    /// What the file is called, without where it is.
    pub fn file_name(&self) -> String {
        let name = self.file.as_deref().and_then(Path::file_name);
        name.map_or("defaults".to_string(), |name| name.to_string_lossy().into_owned())
    }

    fn read_file(&self) -> Result<Reading, String> {
        let Some(file) = &self.file else { return Ok(Reading::default()) };
        match std::fs::read_to_string(file) {
            Ok(text) => Ok(read::read(&text)),
            Err(why) => Err(format!("cannot read the settings in {}: {why}", file.display())),
        }
    }

    /// Paths in a settings file are meant from where that file is.
    fn resolve(&self, path: &str) -> PathBuf {
        match self.file.as_deref().and_then(Path::parent) {
            Some(directory) => directory.join(path),
            None => PathBuf::from(path),
        }
    }
}

fn or_faults(outcome: Result<(Settings, Vec<String>), String>) -> Result<Settings, Vec<String>> {
    let (settings, faults) = outcome.map_err(|fault| vec![fault])?;
    if faults.is_empty() { Ok(settings) } else { Err(faults) }
}

/// What joining a network left behind: its name, and the server that let us in. The admin's own words count more.
fn add_joined(config: &mut Config, data: &Path, network_named: bool) -> Result<(), String> {
    let path = data.join(JOINED);
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(()) };
    let joined = read::read(&text);
    if let Some(fault) = joined.faults.first() {
        return Err(format!("{}: {fault}", path.display()));
    }
    if !network_named {
        config.network.name = joined.config.network.name;
    }
    for link in joined.config.link {
        if !config.link.iter().any(|known| known.name.eq_ignore_ascii_case(&link.name)) {
            config.link.push(link);
        }
    }
    Ok(())
}

/// The code printed at first start makes an administrator, for as long as the admin has named no operator.
fn add_administrator(config: &mut Config, data: &Path) {
    if !config.operator.is_empty() {
        return;
    }
    if let Ok(hash) = std::fs::read_to_string(data.join(ADMIN_CODE)) {
        config.operator.push(administrator(hash.trim()));
    }
}

/// Who gives that code: `OPER admin <code>`.
pub fn administrator(hash: &str) -> Operator {
    Operator {
        name: "admin".to_string(),
        password: hash.to_string(),
        class: ADMINISTRATOR.to_string(),
        vhost: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::data::tests::Scratch;

    #[test]
    fn paths_are_meant_from_where_the_settings_file_is() {
        let scratch = Scratch::new("settings-paths");
        let file = scratch.0.join("folkmoot.toml");
        std::fs::write(
            &file,
            "[server]\nmotd = \"motd.txt\"\n[tls]\ncertificate = \"a.pem\"\nkey = \"/b.pem\"\n",
        )
        .unwrap();
        std::fs::write(scratch.0.join("motd.txt"), "Hello\nthere\n").unwrap();
        let settings = Source { file: Some(file), data: None }.read().unwrap();
        assert_eq!(settings.data, scratch.0.join("folkmoot-data"));
        assert_eq!(settings.config.tls.certificate, Some(scratch.0.join("a.pem").display().to_string()));
        assert_eq!(settings.config.tls.key.as_deref(), Some("/b.pem"));
        assert_eq!(settings.config.server.motd_text.as_deref(), Some("Hello\nthere\n"));
    }

    #[test]
    fn faults_of_the_text_and_of_the_files_it_names_come_together() {
        let scratch = Scratch::new("settings-faults");
        let file = scratch.0.join("folkmoot.toml");
        std::fs::write(&file, "[server]\nmotd = \"gone.txt\"\nsid = \"x\"\n").unwrap();
        let faults = Source { file: Some(file.clone()), data: None }.read().unwrap_err();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with(&format!("{}: line 3: server.sid", file.display())), "{faults:?}");
        assert!(faults[1].contains("gone.txt"), "{faults:?}");
        let missing = Source { file: Some(scratch.0.join("none.toml")), data: None }.read().unwrap_err();
        assert!(missing[0].contains("none.toml"), "{missing:?}");
    }

    #[test]
    fn keys_of_tokens_are_read_from_their_files_and_faults_name_the_line() {
        let scratch = Scratch::new("settings-tokens");
        let file = scratch.0.join("folkmoot.toml");
        let token = |algorithm: &str, path: &str| {
            format!(
                "[[accounts.token]]\nalgorithm = \"{algorithm}\"\nkey_file = \"{path}\"\nissuer = \"i\"\naudience = \"a\"\n"
            )
        };
        std::fs::write(scratch.0.join("rsa.pem"), include_str!("../../tests/keys/rsa.pem")).unwrap();
        std::fs::write(scratch.0.join("secret"), "0123456789abcdef0123456789abcdef\n").unwrap();
        let good = [token("RS256", "rsa.pem"), token("HS256", "secret")].concat();
        std::fs::write(&file, good).unwrap();
        let source = Source { file: Some(file.clone()), data: None };
        let issuers = source.read().unwrap().config.accounts.tokens.issuers;
        assert!(issuers.iter().all(|issuer| issuer.key.is_some()), "{issuers:?}");
        // A line's end is no part of a secret.
        assert_eq!(issuers[1].key.as_ref().map(|key| key.0.len()), Some(32));

        // The public key that everybody has is no secret, and what is not there is none either.
        let bad = [token("HS256", "rsa.pem"), token("EdDSA", "gone.pem"), token("EdDSA", "rsa.pem")].concat();
        std::fs::write(&file, bad).unwrap();
        let faults = source.read().unwrap_err();
        for (fault, line, told) in [
            (&faults[0], 3, "RS256 or EdDSA"),
            (&faults[1], 8, "gone.pem"),
            (&faults[2], 13, "none of Ed25519"),
        ] {
            assert!(fault.contains(&format!("line {line}: ")) && fault.contains(told), "{faults:?}");
        }
    }

    #[test]
    fn a_server_that_runs_stays_on_its_data_directory() {
        let scratch = Scratch::new("settings-running");
        let running = scratch.0.join("running");
        std::fs::create_dir(&running).unwrap();
        std::fs::write(running.join(JOINED), "[network]\nname = \"Elsewhere\"\n").unwrap();
        std::fs::write(running.join(ADMIN_CODE), "$argon2id$hash\n").unwrap();
        let file = scratch.0.join("folkmoot.toml");
        std::fs::write(&file, "[server]\ndata = \"another\"\n").unwrap();
        let settings = Source { file: Some(file), data: None }.read_again(&running).unwrap();
        assert_eq!(settings.config.network.name, "Elsewhere");
        assert_eq!(settings.config.operator[0].password, "$argon2id$hash");
        // What the admin wrote is still to be seen, as something that needs a restart.
        assert_eq!(settings.config.server.data, Some(scratch.0.join("another").display().to_string()));
    }

    #[test]
    fn what_joining_left_behind_counts_where_the_admin_says_nothing() {
        let scratch = Scratch::new("settings-joined");
        let joined =
            "[network]\nname = \"Elsewhere\"\n[[link]]\nname = \"hall.lan\"\naddress = \"10.0.0.1:6900\"\n";
        std::fs::write(scratch.0.join(JOINED), joined).unwrap();
        std::fs::write(scratch.0.join(ADMIN_CODE), "$argon2id$hash\n").unwrap();
        let settings = Source { file: None, data: Some(scratch.0.clone()) }.read().unwrap();
        assert_eq!(settings.config.network.name, "Elsewhere");
        assert_eq!(settings.config.link[0].name, "hall.lan");
        assert_eq!(settings.config.operator[0].password, "$argon2id$hash");

        let file = scratch.0.join("folkmoot.toml");
        let text = "[network]\nname = \"Mine\"\n[[link]]\nname = \"Hall.lan\"\naddress = \"10.0.0.9:6900\"\n\
                    [[operator]]\nname = \"me\"\npassword = \"x\"\n";
        std::fs::write(&file, text).unwrap();
        let settings = Source { file: Some(file), data: Some(scratch.0.clone()) }.read().unwrap();
        assert_eq!(settings.config.network.name, "Mine");
        assert_eq!(settings.config.link.len(), 1);
        assert_eq!(settings.config.link[0].address, "10.0.0.9:6900");
        assert_eq!(settings.config.operator.len(), 1);
    }
}
