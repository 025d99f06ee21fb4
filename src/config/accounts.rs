//! `[accounts]`: who may make one, what it takes, and how often a login may fail.

use super::fit;
use super::rate::Rate;
use super::section::Section;

/// `[accounts]`
#[derive(Clone, Debug, PartialEq)]
pub struct Accounts {
    pub registration: Registration,
    /// Whether REGISTER is taken before a connection has registered.
    pub before_connect: bool,
    /// Whether an account may be called otherwise than whoever registers it.
    pub custom_name: bool,
    pub email_required: bool,
    pub password_length_min: usize,
    /// How often a login from one address may fail; `None` is no limit.
    pub failure_rate: Option<Rate>,
    /// How many accounts may be registered from one address.
    pub registration_rate: Option<Rate>,
}

/// Who may register accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    Open,
    /// Operators with the right `accounts`, for others.
    Operators,
    Closed,
}

impl Default for Accounts {
    fn default() -> Accounts {
        Accounts {
            registration: Registration::Open,
            before_connect: true,
            custom_name: false,
            email_required: false,
            password_length_min: 6,
            failure_rate: Some(Rate::new(20, 600)),
            registration_rate: Some(Rate::new(10, 3600)),
        }
    }
}

const REGISTRATIONS: [(&str, Registration); 3] =
    [("open", Registration::Open), ("operators", Registration::Operators), ("closed", Registration::Closed)];

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
        self.flag("before_connect", &mut accounts.before_connect);
        self.flag("custom_name", &mut accounts.custom_name);
        self.flag("email_required", &mut accounts.email_required);
        self.number("password_length_min", &mut accounts.password_length_min, 1, 64);
        self.rate("failure_rate", &mut accounts.failure_rate);
        self.rate("registration_rate", &mut accounts.registration_rate);
        self.without_effect(&["authority"]);
        self.reader.reading.config.accounts = accounts;
    }
}
