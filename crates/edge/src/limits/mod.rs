//! Flood control at the edge: connection attempts, sign-ins and new accounts by address, commands by account.
//!
//! Bursts, then a steady rate (GCRA, [`gcra`]); one who goes on is warned, then delayed, then closed
//! ([`offenders`]); everything over a limit is counted and kept for staff ([`violations`]). Tables are bounded:
//! when one is full of addresses that are all still being counted, a new one is refused. The time comes from a
//! [`Clock`] that is handed in. A rate of 0 turns its limit off; a dry run counts and lets everything pass.

pub mod address;
pub mod clock;
pub mod gcra;
pub mod offenders;
pub mod violations;

use std::net::IpAddr;
use std::time::Duration;

use metrics::counter;
use parking_lot::Mutex;
use tidings_protocol::AccountId;

pub use address::{AddressKey, Network};
pub use clock::{Clock, ManualClock};
use gcra::{Keyed, Rate};
use offenders::{Offenders, Stage};
pub use violations::{Limit, Violation};
use violations::{Outcome, Violations};

/// Addresses counted at once in each table: 50 bytes each, 5 MB at most.
pub const ADDRESSES_MAX: usize = 100_000;
/// Accounts counted at once: every account with an open session on one edge, ten times over.
pub const ACCOUNTS_MAX: usize = 100_000;
/// Violations kept for staff: a few screens of them, the newest.
pub const VIOLATIONS_MAX: usize = 1_000;

/// The rates in force, by the names of their configuration keys. 0 turns one off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    /// Commands a minute, an account.
    pub commands_per_minute: u32,
    /// Commands at once, after a pause.
    pub burst: u32,
    /// WebSocket connection attempts a minute, an address.
    pub connects_per_minute_per_address: u32,
    /// Sign-in attempts a minute, an address.
    pub sign_ins_per_minute_per_address: u32,
    /// Accounts and guests made a minute, an address.
    pub accounts_per_minute_per_address: u32,
    /// Counts and records, and refuses nobody.
    pub dry_run: bool,
}

impl Default for Rates {
    /// 120 commands (20 at once), 60 connections, 10 sign-ins. 10 accounts: a family that joins together passes,
    /// a script that fills the store does not.
    fn default() -> Self {
        Self {
            commands_per_minute: 120,
            burst: 20,
            connects_per_minute_per_address: 60,
            sign_ins_per_minute_per_address: 10,
            accounts_per_minute_per_address: 10,
            dry_run: false,
        }
    }
}

/// Whether something may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Within the limit.
    Ok,
    /// Over it.
    Limited {
        /// When it may be tried again.
        retry_after: Duration,
    },
    /// Over it again and again: the connection ends (`CloseCode::Flooding`).
    Close,
}

/// Every limit of an edge's process. One for all its shards.
pub struct Limits {
    clock: Clock,
    dry_run: bool,
    connects: Option<Mutex<Keyed<AddressKey>>>,
    sign_ins: Option<Mutex<Keyed<AddressKey>>>,
    accounts: Option<Mutex<Keyed<AddressKey>>>,
    commands: Option<Mutex<Commands>>,
    violations: Mutex<Violations>,
}

struct Commands {
    rates: Keyed<AccountId>,
    offenders: Offenders<AccountId>,
}

impl Limits {
    /// Limits at these rates, by this clock.
    pub fn new(rates: &Rates, clock: Clock) -> Self {
        let by_address = |per_minute: u32| {
            Rate::per_minute(per_minute, per_minute).map(|rate| Mutex::new(Keyed::new(rate, ADDRESSES_MAX)))
        };
        let commands = Rate::per_minute(rates.commands_per_minute, rates.burst).map(|rate| {
            let flood = rates.burst.max(1).saturating_mul(offenders::FLOOD_BURSTS);
            Mutex::new(Commands {
                rates: Keyed::new(rate, ACCOUNTS_MAX),
                offenders: Offenders::new(flood, ACCOUNTS_MAX),
            })
        });
        Self {
            clock,
            dry_run: rates.dry_run,
            connects: by_address(rates.connects_per_minute_per_address),
            sign_ins: by_address(rates.sign_ins_per_minute_per_address),
            accounts: by_address(rates.accounts_per_minute_per_address),
            commands,
            violations: Mutex::new(Violations::new(VIOLATIONS_MAX)),
        }
    }

    /// An attempt to open a WebSocket.
    pub fn check_connect(&self, address: IpAddr) -> Verdict {
        self.check_address(Limit::Connects, self.connects.as_ref(), address)
    }

    /// An attempt to sign in.
    pub fn check_sign_in(&self, address: IpAddr) -> Verdict {
        self.check_address(Limit::SignIns, self.sign_ins.as_ref(), address)
    }

    /// An account or a guest to be made.
    pub fn check_account(&self, address: IpAddr) -> Verdict {
        self.check_address(Limit::Accounts, self.accounts.as_ref(), address)
    }

    /// A command of an account. Refusals become a breach, and breaches within a minute a delay, then an end.
    pub fn check_command(&self, account: AccountId) -> Verdict {
        let Some(commands) = &self.commands else { return Verdict::Ok };
        let now = self.clock.now();
        let mut commands = commands.lock();
        let wait = match commands.offenders.delayed(&account, now) {
            Some(left) => left,
            None => match commands.rates.check(account, now) {
                Ok(()) => return Verdict::Ok,
                Err(wait) => wait,
            },
        };
        let stage = commands.offenders.refused(account, now);
        drop(commands);
        let (verdict, outcome) = match stage {
            Stage::Warned => (Verdict::Limited { retry_after: wait }, Outcome::Warned),
            Stage::Delayed(delay) => (Verdict::Limited { retry_after: wait.max(delay) }, Outcome::Delayed),
            Stage::Closed => (Verdict::Close, Outcome::Closed),
        };
        self.record(Limit::Commands, account.to_string(), outcome, now);
        self.unless_dry(verdict)
    }

    /// The newest violations, newest first.
    pub fn violations(&self) -> Vec<Violation> {
        self.violations.lock().newest_first()
    }

    fn check_address(
        &self,
        limit: Limit,
        table: Option<&Mutex<Keyed<AddressKey>>>,
        address: IpAddr,
    ) -> Verdict {
        let Some(table) = table else { return Verdict::Ok };
        let (key, now) = (AddressKey::of(address), self.clock.now());
        let checked = table.lock().check(key, now);
        match checked {
            Ok(()) => Verdict::Ok,
            Err(retry_after) => {
                self.record(limit, key.to_string(), Outcome::Refused, now);
                self.unless_dry(Verdict::Limited { retry_after })
            }
        }
    }

    fn record(&self, limit: Limit, who: String, outcome: Outcome, now: Duration) {
        counter!("tidings_edge_limit_violations_total", "limit" => limit.as_str(), "outcome" => outcome.as_str())
            .increment(1);
        self.violations.lock().add(limit, who, outcome, self.clock.unix_ms(now));
    }

    fn unless_dry(&self, verdict: Verdict) -> Verdict {
        if self.dry_run { Verdict::Ok } else { verdict }
    }
}

#[cfg(test)]
mod tests;
