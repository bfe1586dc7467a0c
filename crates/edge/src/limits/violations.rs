//! What went over a limit, the newest of it, for staff.

use std::collections::VecDeque;

use serde::Serialize;

/// Which limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// WebSocket connection attempts by address.
    Connects,
    /// Sign-in attempts by address.
    SignIns,
    /// Accounts made by address.
    Accounts,
    /// Commands by account.
    Commands,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Refused, with a time to try again.
    Refused,
    /// Refused: the first breach.
    Warned,
    /// Refused, and held for a while.
    Delayed,
    /// The connection was closed.
    Closed,
}

impl Limit {
    /// As in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connects => "connects",
            Self::SignIns => "sign_ins",
            Self::Accounts => "accounts",
            Self::Commands => "commands",
        }
    }
}

impl Outcome {
    /// As in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Warned => "warned",
            Self::Delayed => "delayed",
            Self::Closed => "closed",
        }
    }
}

/// Somebody went over a limit. Repetitions one after the other are one entry with a count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// When last, in Unix milliseconds.
    pub at_ms: u64,
    /// Which limit.
    pub limit: Limit,
    /// An address (IPv6: its /64) or an account's id.
    pub who: String,
    /// What came of it.
    pub outcome: Outcome,
    /// How many times.
    pub count: u64,
}

/// The newest violations, bounded.
pub struct Violations {
    max: usize,
    list: VecDeque<Violation>,
}

/// How far back a repetition is looked for: several offenders at once still make one entry each.
const MERGE_DEPTH: usize = 16;

impl Violations {
    /// Keeps `max` of them.
    pub fn new(max: usize) -> Self {
        Self { max, list: VecDeque::new() }
    }

    /// Adds one; the oldest gives way.
    pub fn add(&mut self, limit: Limit, who: String, outcome: Outcome, at_ms: u64) {
        let same =
            |known: &&mut Violation| known.limit == limit && known.outcome == outcome && known.who == who;
        if let Some(known) = self.list.iter_mut().rev().take(MERGE_DEPTH).find(same) {
            known.count += 1;
            known.at_ms = at_ms;
            return;
        }
        if self.list.len() >= self.max {
            self.list.pop_front();
        }
        self.list.push_back(Violation { at_ms, limit, who, outcome, count: 1 });
    }

    /// All of them, newest first.
    pub fn newest_first(&self) -> Vec<Violation> {
        self.list.iter().rev().cloned().collect()
    }
}
