//! irssi, on a terminal that `script` makes for it, typed into.

use std::fs;

use super::{Over, Program, Running, Way};
use crate::process::Directory;

pub struct Irssi(Running);

impl Irssi {
    pub fn start(way: &Way) -> Box<dyn Program> {
        let folder = Directory::new("irssi");
        let Way { nick, port, .. } = way;
        let security = match way.over {
            Over::Plain => "-notls".to_string(),
            Over::Tls => {
                let digits = way.fingerprint.to_uppercase().into_bytes();
                let pairs: Vec<_> = digits.chunks(2).map(String::from_utf8_lossy).collect();
                format!("-tls -tls_pinned_cert {}", pairs.join(":"))
            }
        };
        let (network, as_whom) = match way.account {
            None => (String::new(), ""),
            Some(account) => (
                format!(
                    "/network add -sasl_mechanism {} -sasl_username {} -sasl_password {} hall\n",
                    account.mechanism, account.name, account.password
                ),
                "-network hall",
            ),
        };
        let logs = folder.0.display();
        // Lines that are typed so fast it would take for pasted by mistake, and send more slowly.
        let startup = format!(
            "/set paste_verify_line_count 0\n\
             /set cmd_queue_speed 10msec\n\
             /set autolog_path {logs}/$$0.log\n\
             /set autolog on\n\
             /set user_name {nick}\n\
             {network}\
             /connect {security} {as_whom} 127.0.0.1 {port}\n"
        );
        fs::write(folder.0.join("startup"), startup).expect("the folder can be written to");
        let irssi = format!("stty rows 40 columns 120; exec irssi --home={logs} --nick={nick}");
        Box::new(Irssi(Running::start(folder, &["script", "-qfec", &irssi, "/dev/null"])))
    }

    fn type_line(&mut self, line: &str) {
        self.0.write(&format!("{line}\r"));
    }
}

impl Program for Irssi {
    fn join(&mut self, channel: &str) {
        self.type_line(&format!("/join {channel}"));
    }

    fn say(&mut self, target: &str, text: &str) {
        self.type_line(&format!("/msg {target} {text}"));
    }

    fn quit(&mut self) {
        self.type_line("/quit");
    }

    fn running(&self) -> &Running {
        &self.0
    }
}
