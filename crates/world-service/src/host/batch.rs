//! What is decided between two commits: the effects, the events, what is to be done after, and whom to answer.

use bytes::Bytes;
use tidings_bus::{Append, COMMIT_MESSAGES_MAX, Fence, Message, Subject};
use tidings_protocol::command::in_log;
use tidings_protocol::proto::world::v1::{self as wire, zone_reply};
use tidings_protocol::{CharacterId, Text};
use tidings_service::subjects::LOG_PAYLOAD_MAX;
use tidings_world::Output;
use tidings_world::input::Millis;

use super::alone::with_record;
use super::config::{EFFECTS_SOFT_MAX, INPUTS_MAX, RECORDS_SOFT_MAX};
use super::record::{RecordWriter, body_of};
use super::requests::{self, Along};

/// A batch that is being decided.
#[derive(Default)]
pub struct Batch {
    /// The zone's record.
    pub record: RecordWriter,
    /// The events, in order.
    pub events: Vec<Append>,
    /// Ownerships beside the zone's own that must hold.
    pub fences: Vec<Fence>,
    /// What the rules want done after the commit, in order.
    pub after: Vec<Output>,
    /// Whom to answer, and with what.
    pub due: Vec<(Message, Due)>,
    /// How many inputs it holds.
    pub inputs: usize,
    /// Whether an event is for others than those in a room of the zone.
    pub beyond: bool,
    /// Where each event's effects end, while each is a line alone.
    ends: Vec<usize>,
    /// Whether something is more than a line alone.
    mixed: bool,
    /// Whether some of it may be stored, and some not.
    pub in_part: bool,
}

/// An answer that waits for the commit: places in it become sequences.
pub enum Due {
    /// A command's outcome is in the log: the event at this place.
    InLog(usize),
    /// It is in the log, at a sequence that another zone committed.
    InLogAt(u64),
    /// A command's outcome that no event carries.
    Reply(bool, Text),
    /// The character entered: the place of its audiences' record, if there is one, its audiences, and whether it had
    /// not left.
    #[allow(missing_docs)] // the names say it
    Entered {
        place: Option<usize>,
        audiences: Vec<String>,
        was_there: bool,
        character: CharacterId,
        along: Along,
    },
    /// It left.
    Left(Option<usize>, String),
    /// It came from another zone.
    Arrived(Option<usize>),
    /// It cannot be let in.
    NotArrived,
    /// Done.
    Done,
}

impl Batch {
    /// A batch with room for as much as one had before.
    pub fn with_room(effects: usize) -> Self {
        Self { record: RecordWriter::with_room(effects), ..Self::default() }
    }

    /// Whether the next input is for the next batch.
    pub fn is_full(&self) -> bool {
        self.inputs >= INPUTS_MAX
            || self.events.len() >= RECORDS_SOFT_MAX
            || self.record.effect_bytes() >= EFFECTS_SOFT_MAX
    }

    /// Whether one more event fits the commit, beside the zone's record.
    pub fn has_room(&self) -> bool {
        self.events.len() + 1 < COMMIT_MESSAGES_MAX
    }

    /// Whether there is something to commit.
    pub fn changes_anything(&self) -> bool {
        !self.record.is_empty() || !self.events.is_empty()
    }

    /// An input is decided: it was a line alone, or nothing, or the batch is one commit.
    pub fn decided(&mut self) {
        let (events, effects) = (self.events.len() - self.ends.len(), self.record.effects().len());
        let before = self.ends.last().copied().unwrap_or_default();
        match events {
            0 => self.mixed |= effects != before,
            1 => self.ends.push(effects),
            _ => self.mixed = true,
        }
        self.mixed |= !self.record.passes() || !self.fences.is_empty() || self.beyond;
    }

    /// Whether all that changes is lines, each of which is a commit by itself.
    pub fn is_lines(&self) -> bool {
        !self.mixed && !self.events.is_empty()
    }

    /// The lines, each with the zone's record of it; `None`: one is too large with it.
    pub fn lines(&self, prev: u64) -> Option<Vec<Append>> {
        let mut start = 0;
        let each = self.events.iter().zip(&self.ends).map(|(event, end)| {
            let effects = &self.record.effects()[start..*end];
            let effects = effects.strip_prefix(b",").unwrap_or(effects);
            start = *end;
            let payload = with_record(&event.payload, body_of(effects, prev));
            (payload.len() <= LOG_PAYLOAD_MAX).then(|| Append { subject: event.subject.clone(), payload })
        });
        each.collect()
    }

    /// The messages of the commit: the zone's record first, with the effects of `before` too, then the events.
    pub fn appends(&mut self, log: &Subject, prev: u64, before: &[u8], time: Millis) -> Vec<Append> {
        let mut appends = Vec::with_capacity(1 + self.events.len());
        appends.push(Append { subject: log.clone(), payload: self.record.message(time, prev, before) });
        appends.append(&mut self.events);
        appends
    }
}

/// Where a batch is stored. Without a commit, both ends are the zone's last sequence.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Its first message.
    pub first: u64,
    /// Its events.
    pub events: Vec<u64>,
    /// Its last message.
    pub last: u64,
}

/// What the answer to who entered brings: the room's view, and the mutes of its account.
pub type Brings = (Option<wire::StateView>, Option<wire::MuteList>);

/// The answer, now that the sequences are known.
pub fn answer(due: Due, zone: &str, stored: &Placed, (room, mutes): Brings) -> Bytes {
    let at = |place: usize| stored.events.get(place).copied().unwrap_or(stored.last);
    let placed = |place: Option<usize>| place.map_or(stored.last, at);
    requests::answer(match due {
        Due::InLog(place) => return in_log(at(place)),
        Due::InLogAt(seq) => return in_log(seq),
        Due::Reply(ok, text) => zone_reply::Answer::Command(wire::CommandDone {
            ok,
            reply: Some(text.into()),
            seq: stored.last,
            in_log: false,
        }),
        Due::Entered { place, audiences, was_there, .. } => zone_reply::Answer::Entered(wire::Entered {
            seq: placed(place),
            audiences,
            zone: zone.to_owned(),
            was_there,
            room,
            mutes,
        }),
        Due::Left(place, state) => zone_reply::Answer::Left(wire::Left { seq: placed(place), state }),
        Due::Arrived(place) => {
            zone_reply::Answer::Handover(wire::HandoverDone { accepted: true, seq: placed(place) })
        }
        Due::NotArrived => zone_reply::Answer::Handover(wire::HandoverDone::default()),
        Due::Done => zone_reply::Answer::Done(wire::Done {}),
    })
}
