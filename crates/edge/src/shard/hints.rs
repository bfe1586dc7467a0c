//! Hints on their way to a reader: what the socket takes at once goes; of what it does not the newest wait beside the
//! outbox, and a `gap` says how many were dropped. Nobody is sent away for them, and no event waits behind them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::Inner;
use super::conn::At;
use super::members::Hearing;
use crate::fanout::Encoded;
use crate::session::frames;

/// Hints that wait for one reader: what is older says nothing about now.
const HINTS_WAITING_MAX: usize = 8;

/// Hints that wait for one reader.
#[derive(Debug, Default)]
pub struct Hints {
    waiting: VecDeque<Bytes>,
    missed: u64,
}

impl Hints {
    /// Adds one; the oldest gives way.
    fn push(&mut self, frame: Bytes) {
        if self.waiting.len() == HINTS_WAITING_MAX {
            self.waiting.pop_front();
            self.missed += 1;
            metrics::counter!("tidings_edge_hints_missed_total").increment(1);
        }
        self.waiting.push_back(frame);
    }
}

impl Inner {
    /// A hint for those who hear its room and may perceive it; so many before it were lost on the way here.
    pub(crate) fn hint(&mut self, event: &Arc<Encoded>, missed: u64) {
        let Some(members) = self.audiences.get(&event.audience.id) else { return };
        let heard = members.list.iter().filter(|member| member.hearing == Hearing::Heard);
        let keys: Vec<u32> = heard.map(|member| member.key).collect();
        for at in keys.into_iter().filter_map(|key| self.at(key)).collect::<Vec<_>>() {
            if !self.perceives(at.key, event, event.special.as_deref()) {
                continue;
            }
            let Some(session) = self.session(at) else { continue };
            let hints = session.hints.get_or_insert_default();
            hints.missed += missed;
            hints.push(event.frame.clone());
            self.release_hints(at);
        }
    }

    /// The socket takes more, and nothing is waited for: the hints that are left go.
    pub(crate) fn release_hints(&mut self, at: At) {
        let Some(conn) = self.conn(at).filter(|conn| !conn.gated && !conn.blocked) else { return };
        let Some(hints) = conn.session().and_then(|session| session.hints.take()) else { return };
        if hints.missed > 0 {
            self.push_frame(at.key, &frames::gap("room", hints.missed), None);
        }
        for frame in hints.waiting {
            self.push_frame(at.key, &frame, None);
        }
    }
}
