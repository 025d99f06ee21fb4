//! The network's secret on disk and among threads: read at start, written when the network has another one.
//!
//! ```text
//! network.secret        <the secret>
//!                       made <when, ms>                       only where it was ever changed
//!                       instead of sha256:<digest>            only where the settings name another file, which still holds that one
//! network.secret.old    <good until, ms> <a former secret>    one a line
//! ```
//!
//! A file outside the data directory belongs to the admin's own tools, and is never written. While it still holds a
//! secret that was replaced, the one in the data directory counts; what the admin puts there counts from the next start.

use std::path::{Path, PathBuf};

use parking_lot::RwLock;

use super::data::{self, DataDirectory};
use super::identity::{self, SECRET};
use super::pairing::hex;
use crate::config::Config;
use crate::engine::{Former, Secret, Secrets};

const FORMER: &str = "network.secret.old";
/// Shorter secrets could be guessed from what is heard on the LAN.
const CHARS_MIN: usize = 16;

/// Where a server has its secret from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Ours to write.
    Own(PathBuf),
    /// Somebody else's, and what it held when it was read.
    Foreign { path: PathBuf, digest: String },
}

/// What threads share of the secrets.
#[derive(Debug)]
pub struct SecretBook {
    place: Place,
    held: RwLock<Secrets>,
}

impl SecretBook {
    /// Reads the secret, or makes one where there is none.
    pub fn load(config: &Config, data: &DataDirectory, now_ms: u64) -> Result<SecretBook, String> {
        let named = config.network.secret_file.as_deref().map(Path::new);
        let (place, current, made_ms) = match named.filter(|path| !is_within(path, data.path())) {
            Some(path) => {
                let given = read(path)?;
                let digest = digest(&given);
                let kept = data.read(SECRET)?.and_then(|text| Kept::parse(&text));
                let kept =
                    kept.filter(|kept| kept.instead_of.as_ref() == Some(&digest) || kept.secret == given);
                let place = Place::Foreign { path: path.to_path_buf(), digest };
                match kept {
                    Some(kept) => (place, kept.secret, kept.made_ms),
                    None => (place, given, 0),
                }
            }
            None => {
                let path = named.map_or_else(|| data.path().join(SECRET), Path::to_path_buf);
                if named.is_none() && !path.exists() {
                    data.write(SECRET, &format!("{}\n", identity::make_secret()))?;
                }
                let current = read(&path)?;
                let made_ms =
                    data::read(&path)?.and_then(|text| Kept::parse(&text)).map_or(0, |kept| kept.made_ms);
                (Place::Own(path), current, made_ms)
            }
        };
        if made_ms == 0 {
            // Made anew, brought by an invite or put there by hand: what was before it was another network's.
            data.remove(FORMER);
        }
        let former = data.read(FORMER)?.unwrap_or_default();
        let former = former.lines().filter_map(|line| {
            let (until_ms, secret) = line.split_once(' ')?;
            Some(Former { secret: Secret(secret.to_string()), until_ms: until_ms.parse().ok()? })
        });
        let former = former.filter(|former| now_ms < former.until_ms && former.secret.0 != current).collect();
        let held = Secrets { current: Secret(current), made_ms, former };
        let book = SecretBook { place, held: RwLock::new(held) };
        book.warn_if_outdated(data);
        Ok(book)
    }

    /// One secret that never changed.
    #[cfg(test)]
    pub fn of(secret: &str) -> SecretBook {
        let held = RwLock::new(Secrets::first(Secret(secret.to_string())));
        SecretBook { place: Place::Own(PathBuf::new()), held }
    }

    pub fn all(&self) -> Secrets {
        self.held.read().clone()
    }

    pub fn current(&self) -> Secret {
        self.held.read().current.clone()
    }

    /// Writes these down, and has every thread use them.
    pub fn keep(&self, data: &DataDirectory, secrets: Secrets) -> Result<(), String> {
        // First what would be lost, in case that this is as far as it gets.
        if secrets.former.is_empty() {
            data.remove(FORMER);
        } else {
            let former =
                secrets.former.iter().map(|former| format!("{} {}\n", former.until_ms, former.secret.0));
            data.write(FORMER, &former.collect::<String>())?;
        }
        let text = format!("{}\nmade {}\n", secrets.current.0, secrets.made_ms);
        match &self.place {
            Place::Own(path) => data::write(path, &text)?,
            Place::Foreign { digest, .. } => data.write(SECRET, &format!("{text}instead of {digest}\n"))?,
        }
        *self.held.write() = secrets;
        self.warn_if_outdated(data);
        Ok(())
    }

    /// The file that the admin has to see to, if it still holds another secret than the one in force.
    pub fn outdated(&self) -> Option<&Path> {
        match &self.place {
            Place::Foreign { path, digest: known } if *known != digest(&self.held.read().current.0) => {
                Some(path)
            }
            _ => None,
        }
    }

    fn warn_if_outdated(&self, data: &DataDirectory) {
        if let Some(path) = self.outdated() {
            log::warn!(target: "folkmoot::server", "{}", what_to_do(path, &data.path().join(SECRET)));
        }
    }
}

/// What an admin must do whose tools hand out the secret.
pub fn what_to_do(named: &Path, kept: &Path) -> String {
    format!(
        "network.secret_file {} holds a secret that the network had before; put the first line of {} there, for the next \
         start and for whoever else reads it. Until then this server goes by the new one all the same",
        named.display(),
        kept.display()
    )
}

/// The secret in a file: its first line.
pub fn read(path: &Path) -> Result<String, String> {
    let text = data::read(path)?
        .ok_or_else(|| format!("network.secret_file: there is no file {}", path.display()))?;
    let secret = text.lines().next().unwrap_or_default().trim();
    if secret.chars().count() < CHARS_MIN {
        return Err(format!(
            "the network's secret in {} is shorter than {CHARS_MIN} characters",
            path.display()
        ));
    }
    Ok(secret.to_string())
}

/// A secret as this server writes it down.
struct Kept {
    secret: String,
    made_ms: u64,
    instead_of: Option<String>,
}

impl Kept {
    fn parse(text: &str) -> Option<Kept> {
        let mut lines = text.lines();
        let secret = lines.next()?.trim().to_string();
        let more = |word: &str| lines.clone().find_map(|line| line.strip_prefix(word)).map(str::trim);
        let made_ms = more("made ").and_then(|made_ms| made_ms.parse().ok()).unwrap_or(0);
        Some(Kept { secret, made_ms, instead_of: more("instead of ").map(str::to_string) })
    }
}

fn digest(secret: &str) -> String {
    format!("sha256:{}", hex(ring::digest::digest(&ring::digest::SHA256, secret.as_bytes()).as_ref()))
}

/// Whether a file lies in that directory, by whichever path either is named.
pub fn is_within(file: &Path, directory: &Path) -> bool {
    match (file.parent().map(Path::canonicalize), directory.canonicalize()) {
        (Some(Ok(parent)), Ok(directory)) => parent == directory,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::data::tests::Scratch;

    const OLD: &str = "the secret of old, which is long";
    const NEW: &str = "the new secret, as long as that";

    fn rotated(until_ms: u64) -> Secrets {
        let mut secrets = Secrets::first(Secret(OLD.to_string()));
        assert!(secrets.replace(Secret(NEW.to_string()), 7, until_ms));
        secrets
    }

    fn load(config: &Config, data: &DataDirectory) -> SecretBook {
        SecretBook::load(config, data, 50).unwrap()
    }

    #[test]
    fn what_was_kept_is_found_and_what_is_over_is_not() {
        let scratch = Scratch::new("secrets-kept");
        let data = DataDirectory::open(&scratch.0).unwrap();
        let config = Config::default();
        let made = load(&config, &data).all();
        assert_eq!((made.made_ms, made.former.len()), (0, 0));
        assert_eq!(load(&config, &data).all(), made, "made once");

        load(&config, &data).keep(&data, rotated(100)).unwrap();
        assert_eq!(load(&config, &data).all(), rotated(100));
        assert!(SecretBook::load(&config, &data, 100).unwrap().all().former.is_empty());
        // As it was before there were more lines than one.
        assert_eq!(read(&scratch.0.join(SECRET)).unwrap(), NEW);

        // Who leaves a network takes nothing along.
        std::fs::remove_file(scratch.0.join(SECRET)).unwrap();
        let anew = load(&config, &data).all();
        assert_eq!((anew.made_ms, anew.former.len()), (0, 0));
        assert!(!scratch.0.join(FORMER).exists());

        load(&config, &data).keep(&data, rotated(100)).unwrap();
        let forgotten = Secrets { former: Vec::new(), ..rotated(100) };
        load(&config, &data).keep(&data, forgotten).unwrap();
        assert!(!scratch.0.join(FORMER).exists());
    }

    #[test]
    fn a_file_in_the_data_directory_is_ours_to_write() {
        let scratch = Scratch::new("secrets-own");
        let data = DataDirectory::open(&scratch.0.join("data")).unwrap();
        let file = data.path().join("other.secret");
        std::fs::write(&file, format!("{OLD}\n")).unwrap();
        let mut config = Config::default();
        config.network.secret_file = Some(scratch.0.join("data/../data/other.secret").display().to_string());
        load(&config, &data).keep(&data, rotated(100)).unwrap();
        assert_eq!(read(&file).unwrap(), NEW);
        assert_eq!(load(&config, &data).all(), rotated(100));
        assert_eq!(data.read(SECRET).unwrap(), None);
    }

    #[test]
    fn a_file_elsewhere_is_left_alone_and_outdone_only_while_it_is_out_of_date() {
        let scratch = Scratch::new("secrets-foreign");
        let data = DataDirectory::open(&scratch.0.join("data")).unwrap();
        let file = scratch.0.join("handed-out");
        std::fs::write(&file, format!("{OLD}\n")).unwrap();
        let mut config = Config::default();
        config.network.secret_file = Some(file.display().to_string());
        let book = load(&config, &data);
        assert_eq!(book.outdated(), None);
        book.keep(&data, rotated(100)).unwrap();
        assert_eq!(book.outdated(), Some(file.as_path()));
        assert_eq!(read(&file).unwrap(), OLD);

        let again = load(&config, &data);
        assert_eq!((again.all(), again.outdated()), (rotated(100), Some(file.as_path())));
        // As they were told to.
        std::fs::write(&file, format!("{NEW}\n")).unwrap();
        let again = load(&config, &data);
        assert_eq!((again.all(), again.outdated()), (rotated(100), None));
        // Or as they please.
        std::fs::write(&file, "a secret of quite another kind\n").unwrap();
        let again = load(&config, &data).all();
        assert_eq!((again.current.0.as_str(), again.made_ms), ("a secret of quite another kind", 0));
        assert!(again.former.is_empty());
    }
}
