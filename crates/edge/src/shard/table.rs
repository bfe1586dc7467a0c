//! What a shard knows of one session, kept lean: an idle one has no queue, no gate, no replay.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use tidings_protocol::{AccountId, CharacterId, SessionId, Text, ZoneId};

use super::conn::At;
use super::hints::Hints;
use super::mute_set::MuteSet;
use super::replay::Replay;
use crate::fanout::{AudienceId, AudienceInfo, Encoded};

/// A session that is live here, or about to be.
#[derive(Debug)]
pub struct Session {
    /// The session.
    pub id: SessionId,
    /// The character.
    pub character: CharacterId,
    /// Its account.
    pub account: AccountId,
    /// Which of the session's connections this is.
    pub generation: u64,
    /// Where commands go.
    pub zone: ZoneId,
    /// The audiences it is a member of, with its place among the members.
    pub audiences: Vec<Place>,
    /// Whom it does not hear.
    pub mutes: Rc<RefCell<MuteSet>>,
    /// Whether that is anybody, as the members were counted.
    pub muting: bool,
    /// Before it is live: what happened since its position.
    pub replay: Option<Box<Replay>>,
    /// What waits behind a state that was asked for, or behind mutes that are not known.
    pub gate: Option<Box<Gate>>,
    /// Hints that wait until the socket takes more.
    pub hints: Option<Box<Hints>>,
    /// The command in flight.
    pub inflight: Option<Inflight>,
    /// The commands that wait.
    pub queue: VecDeque<Queued>,
    /// The room's state that was sent holds everything up to here.
    pub state_seq: u64,
    /// Views that were asked for and have not come.
    pub views: u8,
    /// Refused frames within a minute, and since when.
    pub refused: (u8, u32),
}

/// One audience of a session.
#[derive(Debug)]
pub struct Place {
    /// Its number, where it is looked for.
    pub id: AudienceId,
    /// Which.
    pub info: Arc<AudienceInfo>,
    /// The session's place among the members.
    pub index: u32,
}

/// The command in flight.
#[derive(Debug)]
pub struct Inflight {
    /// The client's id.
    pub id: Box<str>,
    /// What was typed.
    pub text: Box<str>,
    /// The sequence at which the log brings its reply, once the zone has said so; 0: not known.
    pub logged: u64,
    /// The number it was last asked with; 0: not yet.
    pub asked: u64,
    /// The tick at which that is given up, while an answer is waited for.
    pub late: Option<u32>,
    /// The tick at which it is not asked again.
    pub until: u32,
    /// How often it failed.
    pub tries: u8,
    /// How many are unanswered is how often this is held: a count that cannot go wrong.
    #[expect(dead_code, reason = "it is held, not read")]
    pub counted: Rc<()>,
}

/// A command that waits.
#[derive(Debug)]
pub struct Queued {
    /// The client's id.
    pub id: Box<str>,
    /// What was typed.
    pub text: Box<str>,
    /// Held for as long as it is unanswered.
    pub counted: Rc<()>,
}

/// What waits in order until something is known.
#[derive(Debug, Default)]
pub struct Gate {
    /// The room's state was asked for: it goes before everything held.
    pub state: bool,
    /// The position of that state: everything after it waits here.
    pub state_at: u64,
    /// The state has to show this: the character may enter another room while it is asked for.
    pub state_needs: u64,
    /// The mutes are not known, since this tick.
    pub mutes_since: Option<u32>,
    /// What waits.
    pub items: VecDeque<(Bytes, Option<Arc<Encoded>>)>,
    /// Its bytes.
    pub bytes: usize,
}

/// A reply that waits until everything up to a sequence was delivered.
#[derive(Debug)]
pub struct WaitingReply {
    /// Whose.
    pub at: At,
    /// The number its command was asked with.
    pub asked: u64,
    /// Until then.
    pub seq: u64,
    /// Whether it was done.
    pub ok: bool,
    /// What is read.
    pub text: Text,
}

impl Session {
    /// Whether the room's state that was sent holds this already. A patch of another room, left before that state was
    /// made, is one of those: nothing but the room one is in is patched.
    pub fn state_holds(&self, event: &Encoded) -> bool {
        event.is_patch && event.seq <= self.state_seq
    }

    /// Whether its client was told that it is here; what was missed may still be on its way.
    pub fn is_welcome(&self) -> bool {
        self.replay.as_ref().is_none_or(|replay| replay.welcomed)
    }

    /// The session's place among the members of an audience.
    pub fn place(&self, audience: u32) -> Option<u32> {
        self.audiences.iter().find(|place| place.id == audience).map(|place| place.index)
    }
}
