//! Every numeric reply, one line each: its number, what it takes, and how it reads on the wire.

// Numerics have three digits, and 005 is what people look for.
#![allow(clippy::zero_prefixed_literal)]

use std::fmt::{self, Display, Write};

use super::mask::Mask;
use super::message::{BODY_BYTES_MAX, cut_line, without_line_ends};
use super::names::{ChannelName, Echo, MetadataKey, Nick, ServerId, ServerName, UserId, Word};

/// Enough for most replies to be written without a second thought about their room.
const TEXT_BYTES: usize = 128;

/// One reply, without whom it comes from and goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numeric {
    pub code: u16,
    /// Everything behind the nick of whom it goes to.
    pub text: String,
}

impl Numeric {
    fn new(code: u16, text: String) -> Numeric {
        Numeric { code, text: without_line_ends(text) }
    }

    /// A reply that another server made. What it can do has a number of its own, or clients would take
    /// it for what their own server can.
    pub fn from_peer(code: u16, text: &str) -> Numeric {
        let code = match code % 1000 {
            005 => 105,
            code => code,
        };
        Numeric::new(code, text.to_string())
    }

    /// How many bytes of text its line could still take.
    pub fn room(&self, server: &str, target: &str) -> usize {
        BODY_BYTES_MAX.saturating_sub(self.line(server, target).len())
    }

    /// Whether its line takes all of it.
    pub fn fits(&self, server: &str, target: &str) -> bool {
        self.written(server, target).len() <= BODY_BYTES_MAX
    }

    /// The line, without its line end. `*` is the target of one who has no nick yet.
    pub fn line(&self, server: &str, target: &str) -> String {
        let mut line = self.written(server, target);
        line.truncate(cut_line(&line).len());
        line
    }

    fn written(&self, server: &str, target: &str) -> String {
        let mut line = String::with_capacity(server.len() + target.len() + self.text.len() + 7);
        line.extend([":", server, " "]);
        line.extend([100, 10, 1].map(|place| char::from(b'0' + (self.code / place % 10) as u8)));
        line.extend([" ", target, " ", &self.text]);
        line
    }
}

/// What may stand in front of the colon: it is one word, whoever thought of it.
pub trait OneWord: Display {}

macro_rules! is_one_word {
    ($($name:ty),*) => { $( impl OneWord for $name {} )* };
}

is_one_word!(
    Word,
    Echo<'_>,
    Nick,
    ChannelName,
    MetadataKey,
    ServerName,
    ServerId,
    UserId,
    Mask,
    u16,
    u32,
    u64,
    usize
);

impl<T: OneWord + ?Sized> OneWord for &T {}

/// Any number of words in front of the colon: modes and their parameters, tokens of 005, fields of WHOX.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(String);

impl Words {
    fn add(&mut self, word: &str) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(word);
    }
}

/// Splits at spaces; from what is left, whatever could break a line is taken out.
impl From<&str> for Words {
    fn from(text: &str) -> Words {
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        let words = text.split(' ').map(|word| word.trim_start_matches(':')).filter(|word| !word.is_empty());
        words.fold(Words::default(), |mut words, word| {
            words.add(word);
            words
        })
    }
}

impl FromIterator<Word> for Words {
    fn from_iter<I: IntoIterator<Item = Word>>(iter: I) -> Words {
        iter.into_iter().fold(Words::default(), |mut words, word| {
            words.add(word.as_str());
            words
        })
    }
}

impl Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! numerics {
    ($($code:literal $name:ident($($arg:ident: $type:ty),*) $text:literal)*) => { $(
        // As many as the reply has: that is not ours to choose.
        #[allow(clippy::too_many_arguments)]
        pub fn $name($($arg: $type),*) -> Numeric {
            let mut text = String::with_capacity(TEXT_BYTES);
            write!(text, $text).expect("a String takes everything");
            Numeric::new($code, text)
        }
    )* };
}

// Registration.
numerics! {
    001 welcome(network: &str, whom: &str)                    ":Welcome to the {network} Network, {whom}"
    002 your_host(server: &str, version: &str)                ":Your host is {server}, running version {version}"
    003 created(when: &str)                                   ":This server was created {when}"
    004 my_info(server: impl OneWord, version: impl OneWord, modes: &Words)
        "{server} {version} {modes}"
    005 isupport(tokens: &Words)                              "{tokens} :are supported by this server"
    010 bounce(host: impl OneWord, port: u16, why: &str)      "{host} {port} :{why}"
    043 nick_saved(id: UserId)                                "{id} :Nick collision, forcing nick change to your unique ID"
    409 no_origin()                                           ":No origin specified"
    410 invalid_cap_command(subcommand: impl OneWord)         "{subcommand} :Invalid CAP command"
    431 no_nick_given()                                       ":No nickname given"
    432 erroneous_nick(nick: impl OneWord)                    "{nick} :Erroneous nickname"
    433 nick_owned(nick: impl OneWord)                        "{nick} :Nickname belongs to an account: log in to it first"
    433 nick_in_use(nick: impl OneWord)                       "{nick} :Nickname is already in use"
    451 not_registered()                                      ":You have not registered"
    462 already_registered()                                  ":You may not reregister"
    464 password_mismatch()                                   ":Password incorrect"
    465 banned_from_server(reason: &str)                      ":You are banned from this server: {reason}"
    468 invalid_username()                                    ":Your username is not valid"
}

// Lines and commands in general.
numerics! {
    437 unavailable_for_now(name: impl OneWord)               "{name} :Nick/channel is temporarily unavailable"
    438 nick_too_fast(nick: impl OneWord, to: impl OneWord, seconds: u64)
        "{nick} {to} :Nick change too fast. Please wait {seconds} seconds."
    439 target_too_fast(target: impl OneWord, seconds: u64)
        "{target} :Target change too fast. Please wait {seconds} seconds."
    263 try_again(command: impl OneWord)                      "{command} :Please wait a while and try again."
    400 no_answer(command: impl OneWord, server: impl OneWord)
        "{command} :No answer from {server}"
    400 perhaps_not_done(command: impl OneWord, named: impl OneWord, server: impl OneWord)
        "{command} {named} :No answer from {server}, so perhaps it was not done"
    400 unknown_error(command: impl OneWord, why: &str)       "{command} :{why}"
    417 input_too_long()                                      ":Input line was too long"
    445 summon_disabled()                                 ":SUMMON has been disabled"
    446 users_disabled()                                  ":USERS has been disabled"
    421 unknown_command(command: impl OneWord)                "{command} :Unknown command"
    461 need_more_params(command: impl OneWord)               "{command} :Not enough parameters"
    704 help_start(subject: impl OneWord, line: &str)         "{subject} :{line}"
    705 help_text(subject: impl OneWord, line: &str)          "{subject} :{line}"
    706 end_of_help(subject: impl OneWord, line: &str)        "{subject} :{line}"
    524 help_not_found(subject: impl OneWord)                 "{subject} :No help available on this topic"
}

// This server and the network.
numerics! {
    015 map(line: &str)                                       ":{line}"
    017 end_of_map()                                          ":End of /MAP"
    251 luser_client(visible: usize, invisible: usize, servers: usize)
        ":There are {visible} users and {invisible} invisible on {servers} servers"
    252 luser_op(operators: usize)                            "{operators} :operator(s) online"
    253 luser_unknown(connections: usize)                     "{connections} :unknown connection(s)"
    254 luser_channels(channels: usize)                       "{channels} :channels formed"
    255 luser_me(clients: usize, servers: usize)              ":I have {clients} clients and {servers} servers"
    265 local_users(now: usize, most: usize)                  "{now} {most} :Current local users {now}, max {most}"
    266 global_users(now: usize, most: usize)                 "{now} {most} :Current global users {now}, max {most}"
    256 admin_me(server: impl OneWord)                        "{server} :Administrative info"
    257 admin_location(text: &str)                            ":{text}"
    258 admin_details(text: &str)                             ":{text}"
    259 admin_email(text: &str)                               ":{text}"
    423 no_admin_info(server: impl OneWord)                   "{server} :No administrative info available"
    351 version(version: impl OneWord, server: impl OneWord, comments: &str)
        "{version} {server} :{comments}"
    364 links(server: impl OneWord, uplink: impl OneWord, hops: usize, description: &str)
        "{server} {uplink} :{hops} {description}"
    365 end_of_links(mask: impl OneWord)                      "{mask} :End of /LINKS list"
    371 info(line: &str)                                      ":{line}"
    374 end_of_info()                                         ":End of /INFO list"
    372 motd(line: &str)                                      ":- {line}"
    375 motd_start(server: &str)                              ":- {server} Message of the day - "
    376 end_of_motd()                                         ":End of /MOTD command."
    308 rules_start(server: &str)                             ":- {server} Server rules - "
    232 rules(line: &str)                                     ":- {line}"
    309 end_of_rules()                                        ":End of /RULES command"
    434 no_rules()                                            ":RULES File is missing"
    391 time(server: impl OneWord, seconds: u64, readable: &str)
        "{server} {seconds} 0 :{readable}"
    402 no_such_server(server: impl OneWord)                  "{server} :No such server"
    422 no_motd()                                             ":MOTD File is missing"
}

// TRACE, and connections that are closed.
numerics! {
    202 trace_handshake(link: impl OneWord)                   "H.S. links {link}"
    203 trace_unknown(address: impl OneWord)                  "???? everyone {address}"
    204 trace_operator(nick: impl OneWord, host: impl OneWord, address: impl OneWord)
        "Oper everyone {nick} {host} {address}"
    205 trace_user(nick: impl OneWord, host: impl OneWord, address: impl OneWord)
        "User everyone {nick} {host} {address}"
    206 trace_server(link: impl OneWord, server: impl OneWord)
        "Serv links {link} *!*@{server}"
    262 trace_end(server: impl OneWord, version: impl OneWord)
        "{server} {version} :End of TRACE"
    709 etrace(kind: impl OneWord, nick: impl OneWord, username: impl OneWord, host: impl OneWord, address: impl OneWord, realname: &str)
        "{kind} everyone {nick} {username} {host} {address} :{realname}"
    362 closing(address: impl OneWord)                        "{address} :Closed"
    363 close_end(connections: usize)                         "{connections} :Connections closed"
}

// STATS.
numerics! {
    211 stats_link_info(
            link: impl OneWord, queue_bytes: usize, sent_lines: u64, sent_kilobytes: u64,
            received_lines: u64, received_kilobytes: u64, state: &str)
        "{link} {queue_bytes} {sent_lines} {sent_kilobytes} {received_lines} {received_kilobytes} :{state}"
    212 stats_commands(command: impl OneWord, count: u64, bytes: u64, remote_count: u64)
        "{command} {count} {bytes} :{remote_count}"
    216 stats_kline(letter: char, host: impl OneWord, user: impl OneWord, reason: &str)
        "{letter} {host} * {user} :{reason}"
    225 stats_dline(letter: char, network: impl OneWord, reason: &str)
        "{letter} {network} :{reason}"
    247 stats_xline(letter: char, mask: impl OneWord, reason: &str)
        "{letter} 0 {mask} :{reason}"
    213 stats_link_line(host: impl OneWord, name: impl OneWord, port: impl OneWord, class: impl OneWord)
        "C {host} * {name} {port} {class}"
    218 stats_class(
            class: impl OneWord, ping_seconds: u64, connect_seconds: u64, connections: usize, queue_bytes: usize)
        "Y {class} {ping_seconds} {connect_seconds} {connections} {queue_bytes}"
    220 stats_port(port: impl OneWord, host: impl OneWord, kind: &str)
        "P {port} {host} :{kind}"
    223 stats_gline(
            letter: char, mask: impl OneWord, seconds_left: u64, seconds_since: u64, by: impl OneWord, reason: &str)
        "{letter} {mask} {seconds_left} {seconds_since} {by} :{reason}"
    219 end_of_stats(letter: impl OneWord)                    "{letter} :End of /STATS report"
    242 stats_uptime(days: u64, hours: u64, minutes: u64, seconds: u64)
        ":Server Up {days} days, {hours}:{minutes:02}:{seconds:02}"
    243 stats_operator_line(mask: impl OneWord, name: impl OneWord, class: impl OneWord)
        "O {mask} * {name} 0 {class}"
    250 stats_connections(most: usize, connections: u64)
        ":Highest connection count: {most} ({most} clients) ({connections} connections received)"
    249 stats_text(letter: impl OneWord, text: &str)          "{letter} :{text}"
}

// People.
numerics! {
    008 topics(letters: &Words)                           "{letters} :Server notice mask"
    221 user_mode_is(modes: &Words)                           "{modes}"
    301 away(nick: impl OneWord, text: &str)                  "{nick} :{text}"
    302 userhost(replies: &str)                               ":{replies}"
    340 userip(replies: &str)                                 ":{replies}"
    303 ison(nicks: &str)                                     ":{nicks}"
    305 unaway()                                              ":You are no longer marked as being away"
    306 now_away()                                            ":You have been marked as being away"
    311 whois_user(nick: impl OneWord, username: impl OneWord, host: impl OneWord, realname: &str)
        "{nick} {username} {host} * :{realname}"
    312 whois_server(nick: impl OneWord, server: impl OneWord, description: &str)
        "{nick} {server} :{description}"
    313 whois_operator(nick: impl OneWord, title: &str)       "{nick} :is {title}"
    317 whois_idle(nick: impl OneWord, idle_seconds: u64, signon_seconds: u64)
        "{nick} {idle_seconds} {signon_seconds} :seconds idle, signon time"
    318 end_of_whois(nicks: impl OneWord)                     "{nicks} :End of /WHOIS list"
    319 whois_channels(nick: impl OneWord, channels: &str)    "{nick} :{channels}"
    320 whois_special(nick: impl OneWord, what: &str)         "{nick} :{what}"
    330 whois_account(nick: impl OneWord, account: impl OneWord)
        "{nick} {account} :is logged in as"
    335 whois_bot(nick: impl OneWord, network: &str)          "{nick} :is a bot on {network}"
    338 whois_actually(nick: impl OneWord, address: impl OneWord)
        "{nick} {address} :actually using host"
    378 whois_host(nick: impl OneWord, username: impl OneWord, host: impl OneWord, address: impl OneWord)
        "{nick} :is connecting from {username}@{host} {address}"
    379 whois_modes(nick: impl OneWord, modes: &str)          "{nick} :is using modes {modes}"
    396 host_hidden(host: impl OneWord)                       "{host} :is now your displayed host"
    307 whois_owns_nick(nick: impl OneWord)               "{nick} :has identified for this nick"
    276 whois_certificate(nick: impl OneWord, fingerprint: &str)
        "{nick} :has client certificate fingerprint {fingerprint}"
    671 whois_secure(nick: impl OneWord, how: &str)           "{nick} :is using a secure connection [{how}]"
    314 whowas_user(nick: impl OneWord, username: impl OneWord, host: impl OneWord, realname: &str)
        "{nick} {username} {host} * :{realname}"
    369 end_of_whowas(nick: impl OneWord)                     "{nick} :End of WHOWAS"
    406 was_no_such_nick(nick: impl OneWord)                  "{nick} :There was no such nickname"
    315 end_of_who(mask: impl OneWord)                        "{mask} :End of WHO list"
    352 who_reply(
            channel: impl OneWord, username: impl OneWord, host: impl OneWord, server: impl OneWord,
            nick: impl OneWord, flags: impl OneWord, hops: usize, realname: &str)
        "{channel} {username} {host} {server} {nick} {flags} :{hops} {realname}"
    354 whox_reply(fields: &Words)                            "{fields}"
    354 whox_reply_with_realname(fields: &Words, realname: &str)
        "{fields} :{realname}"
    401 no_such_nick(name: impl OneWord)                      "{name} :No such nick/channel"
    401 nick_out_of_reach(name: impl OneWord, server: &str)   "{name} :Out of reach for now: there is no path to {server}"
    407 too_many_targets(target: impl OneWord)                "{target} :Too many recipients"
    411 no_recipient(command: &str)                           ":No recipient given ({command})"
    412 no_text_to_send()                                     ":No text to send"
    501 unknown_user_mode()                                   ":Unknown MODE flag"
    501 unknown_topic(letter: impl OneWord)                   "{letter} :is unknown snomask char to me"
    502 users_dont_match()                                    ":Can't change mode for other users"
}

// Whom people hear, and whom not.
numerics! {
    271 silence_list(nick: impl OneWord, mask: impl OneWord, flags: impl OneWord)
        "{nick} {mask} {flags}"
    272 end_of_silence_list(nick: impl OneWord)              "{nick} :End of Silence List"
    281 accept_list(nick: impl OneWord)                       "{nick}"
    282 end_of_accept_list()                                  ":End of /ACCEPT list"
    456 accept_list_full()                                    ":Accept list is full"
    457 already_accepted(nick: impl OneWord)                  "{nick} :is already on your accept list"
    458 not_accepted(nick: impl OneWord)                      "{nick} :is not on your accept list"
    486 registered_only(nick: impl OneWord)                   "{nick} :You must be logged in to message this user"
    492 no_ctcp(nick: impl OneWord)                           "{nick} :Can't send CTCP to this user (+T is set)"
    494 own_mode(nick: impl OneWord, mode: &str)              "{nick} :cannot answer you while you are {mode}, your message was not sent"
    511 silence_list_full(mask: impl OneWord)                 "{mask} :Your silence list is full"
    716 caller_not_accepted(nick: impl OneWord)               "{nick} :is in +g mode and must accept you before you can message them"
    717 caller_announced(nick: impl OneWord)                  "{nick} :has been informed that you messaged them"
    718 caller(nick: impl OneWord, user_at_host: impl OneWord)
        "{nick} {user_at_host} :is messaging you, and you have user mode +g"
    952 bad_silence(mask: impl OneWord, flags: impl OneWord, why: &str)
        "{mask} {flags} :{why}"
}

// Channels.
numerics! {
    321 list_start()                                          "Channel :Users  Name"
    322 list(channel: impl OneWord, members: usize, topic: &str)
        "{channel} {members} :{topic}"
    323 list_end()                                            ":End of /LIST"
    324 channel_mode_is(channel: impl OneWord, modes: &Words) "{channel} {modes}"
    329 creation_time(channel: impl OneWord, seconds: u64)    "{channel} {seconds}"
    331 no_topic(channel: impl OneWord)                       "{channel} :No topic is set"
    332 topic(channel: impl OneWord, topic: &str)             "{channel} :{topic}"
    333 topic_who_time(channel: impl OneWord, who: impl OneWord, seconds: u64)
        "{channel} {who} {seconds}"
    336 invite_list(channel: impl OneWord)                    "{channel}"
    337 end_of_invite_list()                                  ":End of /INVITE list"
    341 inviting(nick: impl OneWord, channel: impl OneWord)   "{nick} {channel}"
    346 invite_exception_list(channel: impl OneWord, mask: impl OneWord, who: impl OneWord, seconds: u64)
        "{channel} {mask} {who} {seconds}"
    347 end_of_invite_exception_list(channel: impl OneWord)   "{channel} :End of channel invite exception list"
    348 exception_list(channel: impl OneWord, mask: impl OneWord, who: impl OneWord, seconds: u64)
        "{channel} {mask} {who} {seconds}"
    349 end_of_exception_list(channel: impl OneWord)          "{channel} :End of channel exception list"
    353 name_reply(symbol: char, channel: impl OneWord, names: &str)
        "{symbol} {channel} :{names}"
    366 end_of_names(channel: impl OneWord)                   "{channel} :End of /NAMES list"
    367 ban_list(channel: impl OneWord, mask: impl OneWord, who: impl OneWord, seconds: u64)
        "{channel} {mask} {who} {seconds}"
    368 end_of_ban_list(channel: impl OneWord)                "{channel} :End of channel ban list"
    403 no_such_channel(channel: impl OneWord)                "{channel} :No such channel"
    404 cannot_send_to_channel(channel: impl OneWord)         "{channel} :Cannot send to channel"
    404 cannot_send_because(channel: impl OneWord, why: &str)
        "{channel} :Cannot send to channel ({why})"
    404 cannot_send_yet(channel: impl OneWord, seconds: u64)
        "{channel} :Cannot send to channel (slow mode, +W: {seconds} more seconds)"
    405 too_many_channels(channel: impl OneWord)              "{channel} :You have joined too many channels"
    435 banned_nick_change(nick: impl OneWord, channel: impl OneWord)
        "{nick} {channel} :Cannot change nickname while banned on channel"
    437 too_many_come(channel: impl OneWord)
        "{channel} :Cannot join channel (+f): too many people are coming, try again in a while"
    441 user_not_in_channel(nick: impl OneWord, channel: impl OneWord)
        "{nick} {channel} :They aren't on that channel"
    442 not_on_channel(channel: impl OneWord)                 "{channel} :You're not on that channel"
    443 user_on_channel(nick: impl OneWord, channel: impl OneWord)
        "{nick} {channel} :is already on channel"
    447 no_nick_change(channel: impl OneWord)
        ":Cannot change nickname while on {channel} (+N)"
    470 forwarded(channel: impl OneWord, to: impl OneWord)
        "{channel} {to} :Forwarding to another channel"
    471 channel_is_full(channel: impl OneWord)                "{channel} :Cannot join channel (+l)"
    472 unknown_mode(letter: impl OneWord)                    "{letter} :is unknown mode char to me"
    473 invite_only_channel(channel: impl OneWord)            "{channel} :Cannot join channel (+i)"
    474 banned_from_channel(channel: impl OneWord)            "{channel} :Cannot join channel (+b)"
    475 bad_channel_key(channel: impl OneWord)                "{channel} :Cannot join channel (+k)"
    477 account_needed_to_join(channel: impl OneWord)
        "{channel} :Cannot join channel (+R): you need to be logged in"
    477 account_needed_to_speak(channel: impl OneWord)
        "{channel} :Cannot send to channel (+M): you need to be logged in"
    478 ban_list_full(channel: impl OneWord, mask: impl OneWord)
        "{channel} {mask} :Channel list is full"
    482 channel_operator_needed(channel: impl OneWord)        "{channel} :You're not channel operator"
    489 secure_only_channel(channel: impl OneWord)
        "{channel} :Cannot join channel (+z): you need to be connected by TLS"
    520 operators_only_channel(channel: impl OneWord)
        "{channel} :Cannot join channel (+O): it is for operators of the network"
    696 invalid_mode_param(target: impl OneWord, letter: impl OneWord, param: impl OneWord, why: &str)
        "{target} {letter} {param} :{why}"
}

// MONITOR.
numerics! {
    730 monitored_online(people: &str)                        ":{people}"
    731 monitored_offline(nicks: &str)                        ":{nicks}"
    732 monitor_list(nicks: &str)                             ":{nicks}"
    733 end_of_monitor_list()                                 ":End of MONITOR list"
    734 monitor_list_full(most: usize, nicks: impl OneWord)   "{most} {nicks} :Monitor list is full."
}

// METADATA.
numerics! {
    760 whois_key_value(target: impl OneWord, key: &MetadataKey, seen_by: impl OneWord, value: &str)
        "{target} {key} {seen_by} :{value}"
    761 key_value(target: impl OneWord, key: &MetadataKey, seen_by: impl OneWord, value: &str)
        "{target} {key} {seen_by} :{value}"
    766 key_not_set(target: impl OneWord, key: &MetadataKey)  "{target} {key} :Key not set"
    770 metadata_subscribed(keys: &Words)                     "{keys}"
    771 metadata_unsubscribed(keys: &Words)                   "{keys}"
    772 metadata_subscriptions(keys: &Words)                  "{keys}"
    774 metadata_sync_later(target: impl OneWord, seconds: u64)
        "{target} {seconds} :Try again later"
}

// KNOCK.
numerics! {
    480 cannot_knock(channel: impl OneWord, letter: char)    "{channel} :Cannot knock on channel (+{letter})"
    710 knock(channel: impl OneWord, by: impl OneWord, why: &str)
        "{channel} {by} :{why}"
    711 knock_delivered(channel: impl OneWord)                "{channel} :Your KNOCK has been delivered"
    712 too_many_knocks(channel: impl OneWord, seconds: u64)
        "{channel} :Too many KNOCKs, try again in {seconds} seconds"
    713 channel_is_open(channel: impl OneWord)                "{channel} :Channel is open"
    714 knock_on_own_channel(channel: impl OneWord)           "{channel} :You are already on that channel"
}

// Registered channels.
numerics! {
    742 mode_is_locked(channel: impl OneWord, letter: Word, lock: &Words)
        "{channel} {letter} {lock} :MODE cannot be set due to channel having an active MLOCK restriction policy"
}

// Operators.
numerics! {
    381 you_are_operator()                                    ":You are now an IRC operator"
    382 rehashing(file: impl OneWord)                         "{file} :Rehashing"
    481 no_privileges()                                       ":Permission Denied- You're not an IRC operator"
    483 cannot_kill_server()                                  ":You can't kill a server!"
    725 test_line(letter: char, minutes_left: u64, mask: impl OneWord, reason: &str)
        "{letter} {minutes_left} {mask} :{reason}"
    726 no_test_line(asked: impl OneWord)                     "{asked} :No matches"
    727 test_mask(here: usize, elsewhere: usize, mask: impl OneWord, realname: impl OneWord)
        "{here} {elsewhere} {mask} {realname} :Local/remote clients match"
    723 no_operator_right(right: impl OneWord)                "{right} :Insufficient oper privs"
}

// Accounts.
numerics! {
    900 logged_in(who: impl OneWord, account: impl OneWord)
        "{who} {account} :You are now logged in as {account}"
    901 logged_out(who: impl OneWord)                   "{who} :You are now logged out"
    902 account_suspended(why: &str)                          ":{why}"
    903 sasl_done()                                           ":SASL authentication successful"
    904 sasl_failed(why: &str)                                ":SASL authentication failed{why}"
    905 sasl_too_long()                                       ":SASL message too long"
    906 sasl_aborted()                                        ":SASL authentication aborted"
    907 sasl_already()                                        ":You have already authenticated using SASL"
    908 sasl_mechanisms(mechanisms: impl OneWord)             "{mechanisms} :are available SASL mechanisms"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_reads_as_it_goes_over_the_wire() {
        let channel = ChannelName::parse("#green", 64).unwrap();
        let nick = Nick::parse("alice", 30).unwrap();
        for (numeric, line) in [
            (no_such_nick(Word::echo("b:ob")), ":hall.lan 401 alice b:ob :No such nick/channel"),
            (welcome("Folkmoot", "alice"), ":hall.lan 001 alice :Welcome to the Folkmoot Network, alice"),
            (topic_who_time(&channel, &nick, 17), ":hall.lan 333 alice #green alice 17"),
            (name_reply('=', &channel, "@alice"), ":hall.lan 353 alice = #green :@alice"),
            (stats_uptime(1, 2, 3, 4), ":hall.lan 242 alice :Server Up 1 days, 2:03:04"),
            (unknown_mode(Word::from(' ')), ":hall.lan 472 alice * :is unknown mode char to me"),
        ] {
            assert_eq!(numeric.line("hall.lan", nick.as_str()), line);
        }
    }

    #[test]
    fn several_words_stay_words() {
        let modes = Words::from(" +kl  :s\u{7}esame 5 : ");
        assert_eq!(channel_mode_is(Word::echo("#a"), &modes).text, "#a +kl sesame 5");
        assert_eq!(whox_reply(&["#a", "", "x y"].map(Word::echo).into_iter().collect()).text, "#a * xy");
    }

    #[test]
    fn a_numeric_is_one_line_and_not_too_long() {
        assert_eq!(topic(Word::echo("#a"), "b\r\nQUIT\0").text, "#a :bQUIT");
        let line = motd(&"é".repeat(300)).line("hall.lan", "alice");
        assert!((509..=510).contains(&line.len()));
    }
}
