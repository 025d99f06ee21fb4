//! WeeChat without a screen, told what to do by its FIFO, with every capability that it knows of.

use std::fs::File;
use std::io::Write;

use super::{Over, Program, Running, Way, open_fifo};
use crate::process::Directory;

pub struct Weechat {
    running: Running,
    fifo: File,
}

impl Weechat {
    pub fn start(way: &Way) -> Box<dyn Program> {
        let folder = Directory::new("weechat");
        let (path, home) = (folder.0.join("fifo"), folder.0.display().to_string());
        let Way { nick, port, fingerprint, .. } = way;
        let mut commands = vec![
            "/set logger.file.flush_delay 0".to_string(),
            format!("/set fifo.file.path {}", path.display()),
            format!("/server add hall 127.0.0.1/{port} -nicks={nick} -username={nick} -capabilities=*"),
            // It would wait for two seconds after each line.
            "/set irc.server.hall.anti_flood 0".to_string(),
            "/set irc.server.hall.anti_flood_prio_high 0".to_string(),
            "/set irc.server.hall.anti_flood_prio_low 0".to_string(),
        ];
        // From version 4 on what was `ssl` is `tls`; a setting that it does not know it complains of, and goes on.
        for name in ["ssl", "tls"] {
            commands.push(match way.over {
                Over::Plain => format!("/set irc.server.hall.{name} off"),
                Over::Tls => format!("/set irc.server.hall.{name} on"),
            });
            commands.push(format!("/set irc.server.hall.{name}_fingerprint {fingerprint}"));
        }
        if let Some(account) = way.account {
            let login = [
                ("mechanism", account.mechanism),
                ("username", account.name),
                ("password", account.password),
            ];
            let set = |(name, value)| format!("/set irc.server.hall.sasl_{name} {value}");
            commands.extend(login.map(set));
        }
        commands.push("/connect hall".to_string());
        let mut words = vec!["weechat-headless", "--dir", &home];
        commands.iter().for_each(|command| words.extend(["--run-command", command]));
        let running = Running::start(folder, &words);
        Box::new(Weechat { running, fifo: open_fifo(&path) })
    }

    fn write(&mut self, command: &str) {
        let line = format!("irc.server.hall *{command}\n");
        self.fifo.write_all(line.as_bytes()).expect("WeeChat reads it");
    }
}

impl Program for Weechat {
    fn join(&mut self, channel: &str) {
        self.write(&format!("/join {channel}"));
    }

    fn say(&mut self, target: &str, text: &str) {
        self.write(&format!("/msg {target} {text}"));
    }

    fn quit(&mut self) {
        self.write("/quit");
    }

    fn running(&self) -> &Running {
        &self.running
    }
}
