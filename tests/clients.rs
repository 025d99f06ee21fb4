//! Programs that people use, each on one server, talking with somebody on another.

#[path = "support/clients/mod.rs"]
mod clients;
#[path = "support/process/mod.rs"]
mod process;

use clients::{Account, Ii, Irssi, Library, Netcat, Over, Program, Way, Weechat};
use process::{Server, linked};

/// Comes, joins, reads the topic, talks and is talked to, on a channel and privately, and leaves.
fn meets_alice(nick: &'static str, over: Over, start: impl Fn(&Way) -> Box<dyn Program>) {
    let (mut hall, mut barn) = (Server::new("hall"), Server::new("barn"));
    let _relay = linked(&mut hall, &mut barn);
    let mut alice = barn.client("alice");
    alice.join("#green");
    alice.say("TOPIC #green :bring apples");
    alice.reach("hall.lan");

    let mut program = start(&Way::to(&hall, nick, over));
    program.running().shows("Welcome to the Folkmoot Network");
    program.join("#green");
    let join = alice.hear_until(" JOIN #green");
    assert!(join.starts_with(&format!(":{nick}!")), "{join}");
    program.running().shows("bring apples");
    alice.say("NAMES #green");
    let names = alice.hear_until(" 353 ");
    assert!(names.split([' ', ':']).any(|name| name == nick), "{names}");
    alice.hear_until(" 366 ");
    alice.say(&format!("WHOIS {nick}"));
    let mut is_secure = false;
    loop {
        let line = alice.hear();
        is_secure |= line.contains(&format!(" 671 alice {nick} "));
        if line.contains(" 318 ") {
            break;
        }
    }
    assert_eq!(is_secure, over == Over::Tls);

    alice.say("PRIVMSG #green :grüß dich");
    program.running().shows("grüß dich");
    program.say("#green", "grüß euch");
    assert!(alice.hear().ends_with(" PRIVMSG #green :grüß euch"));
    alice.say(&format!("PRIVMSG {nick} :hush, a secret"));
    program.running().shows("hush, a secret");
    program.say("alice", "it is safe with me");
    assert!(alice.hear().ends_with(" PRIVMSG alice :it is safe with me"));

    program.quit();
    let quit = alice.hear_until(" QUIT :");
    assert!(quit.starts_with(&format!(":{nick}!")), "{quit}");
}

/// Logs in with an account that was made on another server, and is shown what was said there before.
fn comes_home(
    nick: &'static str,
    over: Over,
    mechanism: &'static str,
    start: impl Fn(&Way) -> Box<dyn Program>,
) {
    let account = Account { name: "carol", password: "three-brown-hens", mechanism };
    let (mut hall, mut barn) = (Server::new("hall"), Server::new("barn"));
    hall.set("history.replay_on_join = 10");
    let _relay = linked(&mut hall, &mut barn);
    let mut carol = barn.client("carol");
    carol.say(&format!("NICKSERV REGISTER {}", account.password));
    carol.hear_until(" 900 ");
    let mut alice = barn.client("alice");
    alice.join("#green");
    alice.say("PRIVMSG #green :the apples are ripe");
    alice.reach("hall.lan");

    let mut program = start(&Way { account: Some(account), ..Way::to(&hall, nick, over) });
    program.running().shows("Welcome to the Folkmoot Network");
    program.join("#green");
    alice.hear_until(" JOIN #green");
    program.running().shows("the apples are ripe");
    alice.say(&format!("WHOIS {nick}"));
    alice.hear_until(&format!(" 330 alice {nick} carol "));
    program.quit();
    alice.hear_until(" QUIT :");
}

#[test]
#[cfg_attr(not(has_irssi), ignore = "needs the programs `irssi` and `script`")]
fn irssi_logs_in_and_reads_what_was_said_before() {
    comes_home("irssi", Over::Tls, "PLAIN", Irssi::start);
}

#[test]
#[cfg_attr(not(has_weechat), ignore = "needs the program `weechat-headless` with its plugin `fifo`")]
fn weechat_logs_in_and_reads_what_was_said_before() {
    comes_home("weechat", Over::Plain, "scram-sha-256", Weechat::start);
}

#[test]
#[cfg_attr(not(has_irssi), ignore = "needs the programs `irssi` and `script`")]
fn irssi_meets_alice() {
    meets_alice("irssi", Over::Plain, Irssi::start);
}

#[test]
#[cfg_attr(not(has_irssi), ignore = "needs the programs `irssi` and `script`")]
fn irssi_meets_alice_over_tls() {
    meets_alice("irssi", Over::Tls, Irssi::start);
}

#[test]
#[cfg_attr(not(has_weechat), ignore = "needs the program `weechat-headless` with its plugin `fifo`")]
fn weechat_meets_alice() {
    meets_alice("weechat", Over::Plain, Weechat::start);
}

#[test]
#[cfg_attr(not(has_weechat), ignore = "needs the program `weechat-headless` with its plugin `fifo`")]
fn weechat_meets_alice_over_tls() {
    meets_alice("weechat", Over::Tls, Weechat::start);
}

#[test]
#[cfg_attr(not(has_ii), ignore = "needs the program `ii`")]
fn ii_meets_alice() {
    meets_alice("ii", Over::Plain, Ii::start);
}

#[test]
#[cfg_attr(not(has_netcat), ignore = "needs the program `nc`")]
fn who_types_every_line_by_hand_meets_alice() {
    meets_alice("typist", Over::Plain, Netcat::start);
}

#[test]
#[cfg_attr(not(has_openssl), ignore = "needs the program `openssl`")]
fn who_types_every_line_by_hand_meets_alice_over_tls() {
    meets_alice("typist", Over::Tls, Netcat::start);
}

#[test]
#[cfg_attr(not(has_python_irc), ignore = "needs Python with the package `irc`")]
fn the_library_irc_meets_alice() {
    meets_alice("snake", Over::Plain, |way| Library::start(way, include_str!("support/clients/irc.py")));
}

#[test]
#[cfg_attr(not(has_python_irc), ignore = "needs Python with the package `irc`")]
fn the_library_irc_meets_alice_over_tls() {
    meets_alice("snake", Over::Tls, |way| Library::start(way, include_str!("support/clients/irc.py")));
}

#[test]
#[cfg_attr(not(has_python_ircstates), ignore = "needs Python with the packages `irctokens` and `ircstates`")]
fn the_library_ircstates_meets_alice() {
    meets_alice("snake", Over::Plain, |way| {
        Library::start(way, include_str!("support/clients/ircstates.py"))
    });
}
