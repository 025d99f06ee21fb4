//! Inviting a second machine into the network, and letting it in once.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ServerConnection, StreamOwned};

use super::identity::{Node, random, wall_clock};
use super::joincode::{ADDRESSES_MAX, JoinCode};
use super::pairing::{TALK_WITHIN, exporter, hex, is_proof, read_line, unhex};
use super::running::RunningServer;
use super::secrets::SecretBook;
use super::{data, lan};
use crate::config::Config;
use crate::engine::Pin;

const INVITES: &str = "invites";
const INVITE_LIFETIME: Duration = Duration::from_secs(600);

/// Makes an invite for the server that runs on that data directory.
pub fn invite(directory: &Path) -> Result<JoinCode, String> {
    let server = RunningServer::find(directory).ok_or_else(|| {
        format!(
            "no server runs on the data directory {}; start one with `folkmoot serve`, or name its directory with --data",
            directory.display()
        )
    })?;
    let pin = Pin::parse(&server.pin).ok_or("the running server's note is damaged; restart the server")?;
    let mut addresses = lan::reachable(&server.services.link, &lan::interfaces());
    addresses.truncate(ADDRESSES_MAX);
    if addresses.is_empty() {
        return Err("the running server takes no links: listen.link is empty".to_string());
    }
    let code = JoinCode { network: server.network, invite: random(), secret: random(), pin, addresses };
    forget_expired(&directory.join(INVITES), wall_clock().0);
    keep_invite(directory, &code, wall_clock().0 + INVITE_LIFETIME.as_millis() as u64)?;
    Ok(code)
}

fn keep_invite(directory: &Path, code: &JoinCode, expires_ms: u64) -> Result<(), String> {
    let invites = directory.join(INVITES);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&invites)
        .map_err(|why| format!("cannot make {}: {why}", invites.display()))?;
    data::write(&invites.join(hex(&code.invite)), &format!("{}\n{expires_ms}\n", hex(&code.secret)))
}

/// Invites that nobody came with; they could not be used any more.
fn forget_expired(invites: &Path, now_ms: u64) {
    for entry in fs::read_dir(invites).into_iter().flatten().flatten() {
        let text = data::read(&entry.path()).ok().flatten().unwrap_or_default();
        let expires_ms =
            text.trim().split_once('\n').and_then(|(_, expires_ms)| expires_ms.parse::<u64>().ok());
        if expires_ms.is_some_and(|expires_ms| expires_ms < now_ms) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// What a server that lets others in gives them.
#[derive(Clone)]
pub struct Host {
    pub data: PathBuf,
    pub name: String,
    pub network: String,
    pub secrets: Arc<SecretBook>,
}

impl Host {
    pub fn new(node: &Node, config: &Config) -> Host {
        Host {
            data: node.data.path().to_path_buf(),
            name: node.identity.name.to_string(),
            network: config.network.name.clone(),
            secrets: node.secrets.clone(),
        }
    }
}

/// Answers somebody who came to join; the TLS handshake is done. Says for the log what came of it.
///
/// An invite is used up by the first who names it, right or wrong: there is nothing to be guessed at.
pub fn admit(tls: &mut StreamOwned<ServerConnection, TcpStream>, host: &Host) -> Result<String, String> {
    let deadline = Instant::now() + TALK_WITHIN;
    let line = read_line(tls, deadline).map_err(|why| format!("said nothing that could be read: {why}"))?;
    let exporter =
        exporter(&tls.conn).map_err(|why| format!("the TLS session has no keying material: {why}"))?;
    let (answer, outcome) = match judge(&line, &exporter, &host.data, wall_clock().0) {
        Ok(()) => {
            let answer = format!(
                "WELCOME {} {} {}\n",
                host.name,
                host.network,
                hex(host.secrets.current().0.as_bytes())
            );
            (answer, Ok("was let into the network by an invite".to_string()))
        }
        Err((reason, text)) => (format!("REFUSED {reason} :{text}\n"), Err(format!("{reason}: {text}"))),
    };
    tls.write_all(answer.as_bytes())
        .and_then(|()| {
            tls.conn.send_close_notify();
            tls.flush()
        })
        .map_err(|why| format!("went away before the answer: {why}"))?;
    outcome
}

type Refusal = (&'static str, &'static str);

/// Whether that line earns an entry; if it names an invite, that is gone afterwards.
fn judge(line: &str, exporter: &[u8; 32], directory: &Path, now_ms: u64) -> Result<(), Refusal> {
    let malformed = ("malformed", "the line is not JOIN 1 <invite> <proof>");
    let words: Vec<&str> = line.split(' ').collect();
    let ["JOIN", "1", invite, proof] = words[..] else { return Err(malformed) };
    // Bytes and back, so that a name can never lead out of the directory.
    let invite: [u8; 8] = unhex(invite).and_then(|bytes| bytes.try_into().ok()).ok_or(malformed)?;
    let proof = unhex(proof).ok_or(malformed)?;

    let unknown =
        ("unknown", "there is no such invite, or it was used; ask for another with `folkmoot invite`");
    let kept = directory.join(INVITES).join(hex(&invite));
    let claimed = kept.with_extension(format!("claimed-{}", hex(&random::<8>())));
    // Of two who come at once only one can rename it.
    fs::rename(&kept, &claimed).map_err(|_| unknown)?;
    let text = data::read(&claimed).ok().flatten();
    let _ = fs::remove_file(&claimed);

    let text = text.ok_or(unknown)?;
    let (secret, expires_ms) = text.trim().split_once('\n').ok_or(unknown)?;
    let secret = unhex(secret).ok_or(unknown)?;
    if expires_ms.parse::<u64>().map_err(|_| unknown)? < now_ms {
        return Err(("expired", "this invite is too old; ask for another with `folkmoot invite`"));
    }
    if is_proof(&secret, &invite, exporter, &proof) {
        Ok(())
    } else {
        Err((
            "wrong-code",
            "the code is not the one that was given out; ask for another with `folkmoot invite`",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::data::tests::Scratch;
    use crate::edge::pairing::prove;

    #[test]
    fn invites_expire_and_odd_lines_are_refused() {
        let scratch = Scratch::new("pairing-judge");
        let code = JoinCode {
            network: "Moot".into(),
            invite: [1; 8],
            secret: [2; 16],
            pin: Pin([3; 32]),
            addresses: vec![],
        };
        let exporter = [9; 32];
        let proof = prove(&code.secret, &code.invite, &exporter);
        let line = format!("JOIN 1 {} {}", hex(&code.invite), hex(&proof));
        let reason = |line: &str, exporter: &[u8; 32], now_ms| {
            judge(line, exporter, &scratch.0, now_ms).map_err(|(reason, _)| reason)
        };
        for (expires_ms, exporter, outcome) in
            [(1000, exporter, Ok(())), (999, exporter, Err("expired")), (1000, [8; 32], Err("wrong-code"))]
        {
            keep_invite(&scratch.0, &code, expires_ms).unwrap();
            assert_eq!(reason(&line, &exporter, 1000), outcome);
            assert_eq!(reason(&line, &exporter, 1000), Err("unknown"));
        }
        for line in
            ["", "JOIN", "JOIN 2 00 00", "JOIN 1 ../../x 00", "JOIN 1 0101010101010101 zz", "join 1 00 00"]
        {
            assert_eq!(reason(line, &exporter, 1000), Err("malformed"), "{line}");
        }
    }

    fn code(byte: u8) -> JoinCode {
        JoinCode {
            network: "Moot".into(),
            invite: [byte; 8],
            secret: [byte; 16],
            pin: Pin([3; 32]),
            addresses: vec![],
        }
    }

    /// What somebody says who has that code, on a connection with this keying material.
    fn line(code: &JoinCode, exporter: &[u8; 32]) -> String {
        format!("JOIN 1 {} {}", hex(&code.invite), hex(&prove(&code.secret, &code.invite, exporter)))
    }

    #[test]
    fn an_invite_is_good_up_to_its_last_moment_and_not_after_it() {
        let scratch = Scratch::new("pairing-expiry");
        let made_ms = 1_795_244_165_123;
        let until_ms = made_ms + INVITE_LIFETIME.as_millis() as u64;
        for (now_ms, outcome) in [(made_ms, Ok(())), (until_ms, Ok(())), (until_ms + 1, Err("expired"))] {
            keep_invite(&scratch.0, &code(1), until_ms).unwrap();
            let judged = judge(&line(&code(1), &[9; 32]), &[9; 32], &scratch.0, now_ms);
            assert_eq!(judged.map_err(|(reason, _)| reason), outcome, "{now_ms}");
        }
    }

    #[test]
    fn a_line_that_was_overheard_is_worth_nothing_on_another_connection() {
        let scratch = Scratch::new("pairing-replay");
        keep_invite(&scratch.0, &code(1), 1000).unwrap();
        let heard = line(&code(1), &[9; 32]);
        // Whoever was quicker than the one it was heard from...
        let judged = judge(&heard, &[8; 32], &scratch.0, 1000);
        assert_eq!(judged.map_err(|(reason, _)| reason), Err("wrong-code"));
        // ... has used the invite up for both, and once more after that it is not known at all.
        for exporter in [[9; 32], [8; 32]] {
            let judged = judge(&heard, &exporter, &scratch.0, 1000);
            assert_eq!(judged.map_err(|(reason, _)| reason), Err("unknown"));
        }
    }

    #[test]
    fn a_code_of_another_server_is_not_known_and_uses_nothing_up() {
        let [hall, barn] = ["pairing-ours", "pairing-theirs"].map(Scratch::new);
        keep_invite(&hall.0, &code(1), 1000).unwrap();
        keep_invite(&barn.0, &code(2), 1000).unwrap();
        let at_hall = |code: &JoinCode| {
            judge(&line(code, &[9; 32]), &[9; 32], &hall.0, 1000).map_err(|(reason, _)| reason)
        };
        assert_eq!(at_hall(&code(2)), Err("unknown"));
        assert_eq!(at_hall(&code(1)), Ok(()));
        assert_eq!(fs::read_dir(barn.0.join(INVITES)).unwrap().count(), 1);
    }

    #[test]
    fn of_many_who_come_with_one_code_at_once_exactly_one_gets_in() {
        let scratch = Scratch::new("pairing-at-once");
        for _ in 0..20 {
            keep_invite(&scratch.0, &code(1), 1000).unwrap();
            let (start, directory) = (std::sync::Barrier::new(4), &scratch.0);
            let come = |number: u8| {
                start.wait();
                let exporter = [number; 32];
                judge(&line(&code(1), &exporter), &exporter, directory, 1000).map_err(|(reason, _)| reason)
            };
            let outcomes: Vec<_> = std::thread::scope(|scope| {
                let come = &come;
                let comers: Vec<_> = (0..4).map(|number| scope.spawn(move || come(number))).collect();
                comers.into_iter().map(|comer| comer.join().unwrap()).collect()
            });
            assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
            assert_eq!(
                outcomes.iter().filter(|outcome| **outcome == Err("unknown")).count(),
                3,
                "{outcomes:?}"
            );
            assert_eq!(fs::read_dir(scratch.0.join(INVITES)).unwrap().count(), 0);
        }
    }

    #[test]
    fn an_invite_that_nobody_came_with_is_forgotten() {
        let scratch = Scratch::new("pairing-expired");
        keep_invite(&scratch.0, &code(1), 999).unwrap();
        keep_invite(&scratch.0, &code(2), 1000).unwrap();
        let invites = scratch.0.join(INVITES);
        forget_expired(&invites, 1000);
        let left: Vec<_> = fs::read_dir(&invites).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["0202020202020202"]);
    }

    #[test]
    fn where_no_server_runs_nobody_is_invited() {
        let scratch = Scratch::new("pairing-none");
        let fault = invite(&scratch.0).unwrap_err();
        assert!(fault.contains("no server runs"), "{fault}");
    }
}
