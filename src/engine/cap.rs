//! IRCv3 capabilities, one row each: its name, the message tags that it lets through, and what it does.

use std::fmt;

use super::network::RELAY_SEPARATOR;
use crate::config::{Config, METADATA_KEY_BYTES_MAX};

macro_rules! caps {
    ($($cap:ident $name:literal $tags:literal $help:literal)*) => {
        // `cap-notify` is called what it is called.
        #[allow(clippy::enum_variant_names)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Cap { $($cap),* }

        impl Cap {
            pub const ALL: &[Cap] = &[$(Cap::$cap),*];

            pub fn name(self) -> &'static str {
                match self { $(Cap::$cap => $name),* }
            }

            /// The tags that this lets through; empty where there are none.
            const fn tags(self) -> &'static str {
                match self { $(Cap::$cap => $tags),* }
            }

            pub fn help(self) -> &'static str {
                match self { $(Cap::$cap => $help),* }
            }
        }
    };
}

caps! {
    AccountNotify    "account-notify"    ""        "Tells of people on shared channels who log in or out."
    AccountTag       "account-tag"       "account" "Names the sender's account on every message."
    AwayNotify       "away-notify"       ""        "Tells of people on shared channels who go away or come back."
    Batch            "batch"             "batch"   "Groups lines that belong together."
    CapNotify        "cap-notify"        ""        "Tells of capabilities that come and go."
    Chghost          "chghost"           ""        "Tells of people whose user name or host changes."
    EchoMessage      "echo-message"      ""        "Sends clients their own messages back."
    ExtendedJoin     "extended-join"     ""        "Shows account and real name with every JOIN."
    DraftAccountRegistration "draft/account-registration" "" "Lets clients make accounts: REGISTER."
    DraftChathistory "draft/chathistory" "draft/chathistory-end" "Shows what was said before, when asked: CHATHISTORY."
    DraftEventPlayback "draft/event-playback" "" "Shows reactions and what was taken back among what was said before."
    DraftMessageRedaction "draft/message-redaction" "" "Tells of messages that were taken back: REDACT."
    DraftReadMarker "draft/read-marker" "" "Keeps how far one has read: MARKREAD."
    DraftPersistence "draft/persistence" "" "Tells whether one stays while no client is connected: PERSISTENCE."
    DraftMetadata2 "draft/metadata-2" "" "The same as draft/metadata-3, in the words of the draft before."
    DraftMetadata3 "draft/metadata-3" "" "Tells what people say of themselves and of channels for programs to read: METADATA."
    DraftMultiline   "draft/multiline"   "draft/multiline-concat" "Messages of several lines, and longer ones than one line takes."
    DraftOperTag "draft/oper-tag" "draft/oper" "Marks what operators of the network say and do."
    ChannelRename    "draft/channel-rename" "" "Tells of a channel's new name as such, and not as of another channel."
    DraftRelaymsg "draft/relaymsg" "draft/relaymsg" "Names who relays what somebody on another network has said: RELAYMSG."
    DraftWhoami "draft/whoami" "" "Tells clients at once as whom others see them."
    ExtendedMonitor  "extended-monitor"  ""        "Tells of people on the MONITOR list all that is told of those on shared channels."
    ExtendedIsupport "draft/extended-isupport" "" "Sends what the server can do in a batch, also before registration."
    InviteNotify     "invite-notify"     ""        "Tells channel members who invites whom."
    LabeledResponse  "labeled-response"  "label"   "Says which command each reply belongs to."
    MessageTags      "message-tags"      "msgid bot" "Message ids, the mark of bots, and tags that clients send each other."
    MultiPrefix      "multi-prefix"      ""        "Shows every status of a member, not the highest only."
    NoImplicitNames  "no-implicit-names" ""        "Leaves out the list of members that follows a JOIN."
    DraftNoImplicitNames "draft/no-implicit-names" "" "The same, by the name that it had as a draft."
    PreAway          "draft/pre-away"    ""        "Takes AWAY before registration, for clients that connect by themselves."
    Sasl             "sasl"              ""        "Lets clients log in as they connect, and at any time."
    SojuSearch "soju.im/search" "" "Finds what was said, when asked: SEARCH."
    DraftSearch "draft/search" "" "The same, by the name that it has as a draft."
    ServerTime       "server-time"       "time"    "Stamps every message with the time it was sent."
    Setname          "setname"           ""        "Lets people change their real name, and tells of it."
    StandardReplies  "standard-replies"  ""        "Refusals that clients can read: FAIL, WARN and NOTE."
    Sts              "sts"               ""        "Has clients come by TLS only; never agreed upon."
    ZncSelfMessage "znc.in/self-message" "" "Shows what one says to others by another client, without all that echo-message does."
    ZncPlayback "znc.in/playback" "" "Shows what was said before to clients that ask for it as they would ask ZNC."
    UserhostInNames  "userhost-in-names" ""        "Shows user name and host in NAMES."
}

impl Cap {
    /// What a client has to know of it beyond its name.
    pub fn value(self, config: &Config) -> Option<String> {
        match self {
            Cap::DraftMultiline => {
                let talk = &config.talk;
                Some(format!("max-bytes={},max-lines={}", talk.multiline_bytes, talk.multiline_lines))
            }
            Cap::DraftRelaymsg => Some(RELAY_SEPARATOR.to_string()),
            Cap::DraftMetadata2 | Cap::DraftMetadata3 => {
                let metadata = &config.metadata;
                Some(format!(
                    "before-connect,max-subs={},max-keys={},max-key-bytes={METADATA_KEY_BYTES_MAX},max-value-bytes={}",
                    metadata.subscriptions, metadata.keys, metadata.value_bytes
                ))
            }
            Cap::DraftAccountRegistration => {
                let accounts = &config.accounts;
                let keys = [
                    ("before-connect", config.registers_before_connect()),
                    ("custom-account-name", accounts.custom_name),
                    ("email-required", accounts.email_required),
                ];
                let keys: Vec<&str> = keys.into_iter().filter(|(_, on)| *on).map(|(key, _)| key).collect();
                (!keys.is_empty()).then(|| keys.join(","))
            }
            _ => None,
        }
    }

    /// Whether this is about what was said before.
    pub fn is_of_history(self) -> bool {
        matches!(
            self,
            Cap::DraftChathistory
                | Cap::DraftEventPlayback
                | Cap::DraftSearch
                | Cap::SojuSearch
                | Cap::ZncPlayback
        )
    }

    pub fn find(name: &str) -> Option<Cap> {
        Cap::ALL.iter().copied().find(|cap| cap.name() == name)
    }
}

/// Those that let tags through.
const OF_TAGS: Caps = {
    let (mut caps, mut place) = (0, 0);
    while place < Cap::ALL.len() {
        if !Cap::ALL[place].tags().is_empty() {
            caps |= 1 << Cap::ALL[place] as u64;
        }
        place += 1;
    }
    Caps(caps)
};

/// A set of capabilities.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Caps(u64);

impl Caps {
    pub fn has(self, cap: Cap) -> bool {
        self.0 & (1 << cap as u64) != 0
    }

    pub fn set(&mut self, cap: Cap, on: bool) {
        if on {
            self.0 |= 1 << cap as u64;
        } else {
            self.0 &= !(1 << cap as u64);
        }
    }

    pub fn iter(self) -> impl Iterator<Item = Cap> {
        Cap::ALL.iter().copied().filter(move |cap| self.has(*cap))
    }

    /// Whether a client with these may be sent this tag.
    pub fn let_through(self, tag: &str) -> bool {
        if tag.starts_with('+') {
            return self.has(Cap::MessageTags);
        }
        // Most clients have a few of these and many of the others.
        let mut rest = self.of_tags().0;
        while rest != 0 {
            let cap = Cap::ALL[rest.trailing_zeros() as usize];
            if cap.tags().split(' ').any(|known| known == tag) {
                return true;
            }
            rest &= rest - 1;
        }
        false
    }

    /// Only those that change how a line is tagged: who has the same of these can share a line.
    pub fn of_tags(self) -> Caps {
        Caps(self.0 & OF_TAGS.0)
    }
}

impl fmt::Debug for Caps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Cap::name)).finish()
    }
}
