//! `[accounts]`: who may make one, what it takes, and how often a login may fail.

use std::time::Duration;

use super::fit;
use super::rate::Rate;
use super::section::{DURATION_MAX, Section};
use super::token::Tokens;

/// `[accounts]`
#[derive(Clone, Debug, PartialEq)]
pub struct Accounts {
    pub registration: Registration,
    /// Whether nobody comes in who is not logged in.
    pub required: bool,
    /// Whether REGISTER is taken before a connection has registered.
    pub before_connect: bool,
    /// Whether an account may be called otherwise than whoever registers it.
    pub custom_name: bool,
    pub email_required: bool,
    pub password_length_min: usize,
    pub nick_ownership: NickOwnership,
    /// How long somebody may go by a nick that is somebody else's.
    pub nick_grace: Duration,
    /// Whether several connections that log in to one account, and ask for one nick, are one person.
    pub multisession: bool,
    /// How many they may be.
    pub sessions_max: usize,
    /// How long somebody who is logged in stays when their connection breaks.
    pub resume_within: Duration,
    pub always_on: AlwaysOn,
    /// How often a login from one address may fail; `None` is no limit.
    pub failure_rate: Option<Rate>,
    /// How many accounts may be registered from one address.
    pub registration_rate: Option<Rate>,
    pub tokens: Tokens,
}

/// Who may register accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    Open,
    /// Operators with the right `accounts`, for others.
    Operators,
    Closed,
}

/// Whose owners stay while none of their connections is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlwaysOn {
    /// Nobody's.
    Off,
    /// Those of accounts that are set so.
    OptIn,
    /// All but those of accounts that are set otherwise.
    OptOut,
}

/// What becomes of those who go by a nick that belongs to an account that they are not logged in to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NickOwnership {
    None,
    /// They are told, and after a time renamed.
    Timeout,
    /// They cannot take it.
    Strict,
}

impl Default for Accounts {
    fn default() -> Accounts {
        Accounts {
            registration: Registration::Open,
            required: false,
            before_connect: true,
            custom_name: false,
            email_required: false,
            password_length_min: 6,
            nick_ownership: NickOwnership::Timeout,
            nick_grace: Duration::from_secs(60),
            multisession: true,
            sessions_max: 16,
            resume_within: Duration::from_secs(30),
            always_on: AlwaysOn::OptIn,
            failure_rate: Some(Rate::new(20, 600)),
            registration_rate: Some(Rate::new(10, 3600)),
            tokens: Tokens::default(),
        }
    }
}

/// Whoever's clock is further off than this has other troubles.
const TOKEN_LEEWAY_MAX: Duration = Duration::from_secs(300);

const REGISTRATIONS: [(&str, Registration); 3] =
    [("open", Registration::Open), ("operators", Registration::Operators), ("closed", Registration::Closed)];

const OWNERSHIPS: [(&str, NickOwnership); 3] =
    [("none", NickOwnership::None), ("timeout", NickOwnership::Timeout), ("strict", NickOwnership::Strict)];

const ALWAYS_ON: [(&str, AlwaysOn); 3] =
    [("off", AlwaysOn::Off), ("opt-in", AlwaysOn::OptIn), ("opt-out", AlwaysOn::OptOut)];

impl Section<'_, '_, '_> {
    pub(super) fn accounts(&mut self) {
        let mut accounts = std::mem::take(&mut self.reader.reading.config.accounts);
        let mut registration = String::new();
        self.text("registration", &mut registration, |text| {
            fit::one_of(text, &REGISTRATIONS.map(|(name, _)| name))
        });
        if let Some((_, which)) = REGISTRATIONS.iter().find(|(name, _)| *name == registration) {
            accounts.registration = *which;
        }
        let mut ownership = String::new();
        self.text("nick_ownership", &mut ownership, |text| {
            fit::one_of(text, &OWNERSHIPS.map(|(name, _)| name))
        });
        if let Some((_, which)) = OWNERSHIPS.iter().find(|(name, _)| *name == ownership) {
            accounts.nick_ownership = *which;
        }
        self.duration("nick_grace", &mut accounts.nick_grace);
        self.flag("multisession", &mut accounts.multisession);
        self.number("sessions_max", &mut accounts.sessions_max, 1, 1_000);
        self.duration_within("resume_within", &mut accounts.resume_within, Duration::ZERO, DURATION_MAX);
        let mut always_on = String::new();
        self.text("always_on", &mut always_on, |text| fit::one_of(text, &ALWAYS_ON.map(|(name, _)| name)));
        if let Some((_, which)) = ALWAYS_ON.iter().find(|(name, _)| *name == always_on) {
            accounts.always_on = *which;
        }
        self.flag("required", &mut accounts.required);
        self.flag("before_connect", &mut accounts.before_connect);
        self.flag("custom_name", &mut accounts.custom_name);
        self.flag("email_required", &mut accounts.email_required);
        self.number("password_length_min", &mut accounts.password_length_min, 1, 64);
        self.rate("failure_rate", &mut accounts.failure_rate);
        self.rate("registration_rate", &mut accounts.registration_rate);
        self.duration_within("token_leeway", &mut accounts.tokens.leeway, Duration::ZERO, TOKEN_LEEWAY_MAX);
        self.flag("token_needs_tls", &mut accounts.tokens.need_tls);
        self.without_effect(&["authority"]);
        self.reader.reading.config.accounts = accounts;
        self.tables("token", |section| section.token());
    }
}
