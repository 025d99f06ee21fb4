//! What people do with channels that are theirs: who is what there, which modes are locked, whose the channel is.

use super::{Client, Storm};

impl Storm {
    /// Mostly somebody who runs the channel; it need not be registered, nor theirs.
    pub fn someone_keeps(&mut self, client: Client, channel: &str) {
        let nick = self.nick();
        let line = match self.world.dice.below(9) {
            0..2 => {
                let level =
                    self.world.dice.pick(&["ADMIN", "OP", "HALFOP", "VOICE"]).expect("there are some");
                format!("CS ACCESS {channel} ADD {nick} {level}")
            }
            2 => format!("CS ACCESS {channel} DEL {nick}"),
            3..6 => {
                let locks = ["+m-s", "+t-m", "-it", "+l 40", "+s-p", ""];
                format!("CS SET {channel} MLOCK {}", self.world.dice.pick(&locks).expect("there are some"))
            }
            6 => format!("CS SET {channel} SUCCESSOR {nick}"),
            7 => format!("CS TRANSFER {channel} {nick}"),
            _ => format!("CS ACCEPT {channel}"),
        };
        self.world.ask(client, line.trim_end());
    }

    /// Whatever was set where it was not known, modes are as they are locked.
    pub fn modes_are_as_locked(&mut self, client: Client, room: &str) -> Result<(), String> {
        let info = self.world.ask(client, &format!("CS INFO {room}"));
        let lock =
            info.iter().find_map(|line| line.split_once("Its modes are locked at ")).map(|(_, lock)| lock);
        let Some(lock) = lock.map(|lock| lock.trim_end_matches('.').to_string()) else { return Ok(()) };
        let answer = self.world.ask(client, &format!("MODE {room}"));
        let modes = answer.iter().find_map(|line| line.split_once(" 324 ")).map_or("", |(_, rest)| rest);
        let set = modes.split(' ').nth(2).unwrap_or_default();
        let mut on = true;
        for letter in lock.split(' ').next().unwrap_or_default().chars() {
            match letter {
                '+' | '-' => on = letter == '+',
                _ if set.contains(letter) == on => {}
                _ => return Err(format!("on s{} {room} is locked at {lock}, and is {modes}", client.0)),
            }
        }
        Ok(())
    }
}
