//! One record of a log, decoded, rendered and encoded once: the frame that every receiver shares, and what a
//! shard has to know to tell receivers apart.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tidings_bus::LogMessage;
use tidings_protocol::proto::world::v1 as wire;
use tidings_protocol::text::{Catalogue, Words};
use tidings_protocol::{AccountId, Audience, CharacterId, EventRef, SessionId, json};

use super::interner::{AudienceInfo, Interner};
use super::mute::Mute;
use crate::time::iso8601;
use crate::ws::Frames;

/// Bytes made ready for the frames of an event, beside what its data takes.
const FRAMES_BYTES: usize = 512;

/// One event, ready for every receiver.
#[derive(Debug)]
pub struct Encoded {
    /// Its place in the stream; 0: a hint, which has none.
    pub seq: u64,
    /// Whose log.
    pub audience: Arc<AudienceInfo>,
    /// The WebSocket frame for whoever has no other; empty: nothing to show.
    pub frame: Bytes,
    /// The account of its author; 0: nobody who can be muted, or nothing that a mute is of.
    pub author: u128,
    /// The channel it was said on; empty: not speech.
    pub channel: Box<str>,
    /// Heard even by those who muted its author.
    pub always: bool,
    /// It changes the room as the last state showed it.
    pub is_patch: bool,
    /// What only some events have.
    pub special: Option<Box<Special>>,
}

/// What only some events have.
#[derive(Debug, Default)]
pub struct Special {
    /// The session that caused it.
    pub origin: Option<SessionId>,
    /// The command that caused it; empty: none.
    pub command: Box<str>,
    /// The frame for the session that caused it.
    pub own: Option<Bytes>,
    /// The characters who may perceive it; empty: all.
    pub only: Box<[CharacterId]>,
    /// The characters who do not.
    pub except: Box<[CharacterId]>,
    /// Whose border this is.
    pub border: Option<(CharacterId, Border)>,
    /// The audiences of a character change.
    pub change: Option<Change>,
    /// A mute of the log's own account.
    pub mute: Option<Mute>,
    /// The session ends.
    pub bye: Option<(u16, String)>,
}

/// Which side of a stay in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Border {
    /// The stay begins.
    Entered,
    /// The stay ends.
    Left,
}

/// A change of a character's audiences: the complete sets.
#[derive(Debug)]
pub struct Change {
    /// Before.
    pub before: Box<[Arc<AudienceInfo>]>,
    /// After.
    pub after: Box<[Arc<AudienceInfo>]>,
}

impl Change {
    /// What is new.
    pub fn opened(&self) -> impl Iterator<Item = &Arc<AudienceInfo>> {
        self.after.iter().filter(|info| !self.before.iter().any(|known| known.id == info.id))
    }
}

impl Encoded {
    /// A line in a room, for tests.
    #[cfg(test)]
    pub(crate) fn sample(seq: u64) -> Self {
        let audience = "room.town_hall".parse().expect("an audience");
        Self {
            seq,
            audience: Arc::new(AudienceInfo { id: 1, audience }),
            frame: Bytes::from_static(b"frame"),
            author: 0,
            channel: "say".into(),
            always: false,
            is_patch: false,
            special: None,
        }
    }

    /// What keeping it costs, in bytes.
    pub fn cost(&self) -> usize {
        let own = self.special.as_ref().and_then(|special| special.own.as_ref()).map_or(0, Bytes::len);
        200 + self.frame.len() + own
    }

    /// Whether every member who hears the audience gets the same frame, but for its origin's session and its subject's.
    /// A patch is not for whoever has a later state already.
    pub fn is_uniform(&self) -> bool {
        let for_all = |special: &Special| {
            special.only.is_empty()
                && special.except.is_empty()
                && special.change.is_none()
                && special.mute.is_none()
                && special.bye.is_none()
        };
        !self.is_patch && self.special.as_deref().is_none_or(for_all)
    }

    /// Whose stay in a room begins or ends with it.
    pub fn subject(&self) -> Option<CharacterId> {
        self.special.as_ref().and_then(|special| special.border).map(|(subject, _)| subject)
    }

    /// The session that caused it.
    pub fn origin(&self) -> Option<SessionId> {
        self.special.as_ref().and_then(|special| special.origin)
    }

    /// The change of audiences it carries.
    pub fn change(&self) -> Option<&Change> {
        self.special.as_ref().and_then(|special| special.change.as_ref())
    }

    /// The mute it carries.
    pub fn mute(&self) -> Option<&Mute> {
        self.special.as_ref().and_then(|special| special.mute.as_ref())
    }
}

/// The bits of an account's id; 0 for anything else.
pub fn hex(text: &str) -> u128 {
    if text.is_empty() { 0 } else { text.parse().map_or(0, AccountId::as_u128) }
}

/// Makes [`Encoded`] of records.
pub struct Encoder {
    /// The stream's epoch.
    pub epoch: String,
    /// The language.
    pub locale: String,
    /// The server's voice.
    pub catalogue: Catalogue,
    /// The audiences' numbers.
    pub interner: Arc<Interner>,
    /// What stands before the sequence in every position.
    position: Box<[u8]>,
}

impl Encoder {
    /// An encoder of a stream's events in a language.
    pub fn new(epoch: String, locale: String, catalogue: Catalogue, interner: Arc<Interner>) -> Self {
        let mut position = br#"{"epoch":"#.to_vec();
        json::string(&mut position, &epoch);
        position.extend_from_slice(br#","seq":"#);
        Self { epoch, locale, catalogue, interner, position: position.into() }
    }

    /// A record of an audience's log; `None` where it cannot be decoded: it is counted and skipped.
    pub fn encode(&self, audience: &Arc<AudienceInfo>, message: &LogMessage) -> Option<Encoded> {
        let event = match EventRef::read(&message.payload) {
            Ok(event) => event,
            Err(error) => {
                metrics::counter!("tidings_edge_events_undecodable_total").increment(1);
                tracing::warn!(%error, subject = %message.subject, seq = message.seq, "an event was skipped");
                return None;
            }
        };
        Some(self.encoded(audience, &event, message.seq))
    }

    /// What may be missed: an event without a place in the flow. `None` where it cannot be decoded or shows nothing.
    pub fn hint(&self, audience: &Arc<AudienceInfo>, payload: &[u8]) -> Option<Encoded> {
        let event = EventRef::read(payload).ok().filter(|event| event.text.is_some())?;
        Some(self.encoded(audience, &EventRef { patch: "", ..event }, 0))
    }

    fn encoded(&self, audience: &Arc<AudienceInfo>, event: &EventRef<'_>, seq: u64) -> Encoded {
        let (frame, own) = self.frames(audience, event, seq);
        Encoded {
            seq,
            audience: Arc::clone(audience),
            frame,
            author: author(event),
            channel: event.channel.into(),
            always: event.always,
            is_patch: !event.patch.is_empty(),
            special: self.special(event, own, seq),
        }
    }

    /// A text in the server's voice.
    pub fn render<'a>(&self, text: impl Words<'a>) -> String {
        self.catalogue.render(text, &self.locale)
    }

    /// `{"epoch":...,"seq":...}`
    pub fn position(&self, seq: u64) -> PositionText<'_> {
        PositionText { head: &self.position, seq }
    }

    /// The frame for all, empty where there is nothing to show, and the one for the session that caused it: in one piece
    /// of memory, since they come and go together.
    fn frames(&self, audience: &AudienceInfo, event: &EventRef<'_>, seq: u64) -> (Bytes, Option<Bytes>) {
        let mut frames = Frames::with_room(FRAMES_BYTES + 3 * event.data.len() + event.patch.len());
        let shared = match event.text {
            _ if !event.patch.is_empty() => self.write_patch(&mut frames, event, seq),
            Some(text) => self.write_event(&mut frames, audience, event, text, seq),
            None => 0..0,
        };
        let own = event.own.map(|own| {
            let id = event.origin.map_or("", |origin| origin.id);
            if id.is_empty() {
                self.write_event(&mut frames, audience, event, own, seq)
            } else {
                self.write_reply(&mut frames, id, !event.refused, own, seq)
            }
        });
        let all = frames.into_bytes();
        (all.slice(shared), own.map(|own| all.slice(own)))
    }

    fn write_patch(&self, frames: &mut Frames, event: &EventRef<'_>, seq: u64) -> Range<usize> {
        frames.text(|out| {
            out.extend_from_slice(br#"{"type":"patch","target":"room","position":"#);
            self.position(seq).write(out);
            out.extend_from_slice(br#","patch":"#);
            out.extend_from_slice(event.patch.as_bytes());
            out.push(b'}');
        })
    }

    fn write_event<'a>(
        &self,
        frames: &mut Frames,
        audience: &AudienceInfo,
        event: &EventRef<'_>,
        text: impl Words<'a>,
        seq: u64,
    ) -> Range<usize> {
        let text = self.render(text);
        frames.text(|out| {
            out.extend_from_slice(br#"{"type":"event","kind":"#);
            json::string(out, event.kind);
            out.extend_from_slice(br#","audience":""#);
            out.extend_from_slice(audience.audience.scope().as_bytes());
            out.push(b'"');
            if seq != 0 {
                out.extend_from_slice(br#","seq":"#);
                json::value(out, &seq);
                out.extend_from_slice(br#","position":"#);
                self.position(seq).write(out);
            }
            out.extend_from_slice(br#","time":""#);
            out.extend_from_slice(&iso8601(event.time_ms));
            out.push(b'"');
            if let Some(from) = event.from.filter(|from| !from.id.is_empty()) {
                out.extend_from_slice(br#","from":{"id":"#);
                json::string(out, from.id);
                out.extend_from_slice(br#","name":"#);
                json::string(out, from.name);
                out.push(b'}');
            }
            out.extend_from_slice(br#","text":"#);
            json::string(out, &text);
            out.extend_from_slice(br#","data":"#);
            let data = if event.data.is_empty() { "{}" } else { event.data };
            out.extend_from_slice(data.as_bytes());
            out.push(b'}');
        })
    }

    fn write_reply<'a>(
        &self,
        frames: &mut Frames,
        id: &str,
        ok: bool,
        text: impl Words<'a>,
        seq: u64,
    ) -> Range<usize> {
        let (key, text) = (text.key(), self.render(text));
        frames.text(|out| {
            out.extend_from_slice(br#"{"type":"reply","id":"#);
            json::string(out, id);
            out.extend_from_slice(if ok { br#","ok":true,"text":"# } else { br#","ok":false,"text":"# });
            json::string(out, &text);
            out.extend_from_slice(br#","key":"#);
            json::string(out, key);
            out.extend_from_slice(br#","position":"#);
            self.position(seq).write(out);
            out.push(b'}');
        })
    }

    /// A `reply` frame at a place in the flow.
    pub fn reply_frame<'a>(&self, id: &str, ok: bool, text: impl Words<'a>, seq: u64) -> Bytes {
        let mut frames = Frames::with_room(FRAMES_BYTES);
        let place = self.write_reply(&mut frames, id, ok, text, seq);
        frames.into_bytes().slice(place)
    }

    fn special(&self, event: &EventRef<'_>, own: Option<Bytes>, seq: u64) -> Option<Box<Special>> {
        let origin = event.origin.and_then(|origin| origin.session.parse().ok());
        let ids = |texts: &[&str]| texts.iter().filter_map(|id| id.parse().ok()).collect();
        let special = Special {
            origin,
            command: event.origin.map_or("", |origin| origin.id).into(),
            own,
            only: ids(&event.only),
            except: ids(&event.except),
            border: border(event),
            change: event.audiences.as_ref().map(|sets| self.change(sets)),
            mute: event.mute.as_ref().map(|mute| Mute::logged(mute, seq)),
            bye: event.bye.as_ref().map(|bye| (u16::try_from(bye.code).unwrap_or(4000), bye.reason.clone())),
        };
        let empty = special.origin.is_none()
            && special.only.is_empty()
            && special.except.is_empty()
            && special.border.is_none()
            && special.change.is_none()
            && special.mute.is_none()
            && special.bye.is_none();
        (!empty).then(|| Box::new(special))
    }

    fn change(&self, sets: &wire::Audiences) -> Change {
        Change { before: self.audiences(&sets.before), after: self.audiences(&sets.after) }
    }

    /// Audiences by their names; what is none is left out.
    pub fn audiences(&self, names: &[String]) -> Box<[Arc<AudienceInfo>]> {
        let known = names.iter().filter_map(|name| name.parse::<Audience>().ok());
        known.map(|audience| self.interner.intern(&audience)).collect()
    }
}

/// The account a mute silences. A mute is of what somebody says and asks; who is where, and how the room is, is told
/// of everybody.
fn author(event: &EventRef<'_>) -> u128 {
    let is_line = !event.channel.is_empty() || event.kind == "event.party_invitation";
    event.from.filter(|_| is_line).map_or(0, |from| hex(from.account))
}

fn border(event: &EventRef<'_>) -> Option<(CharacterId, Border)> {
    if event.subject.is_empty() {
        return None;
    }
    let subject = event.subject.parse().ok()?;
    match event.kind {
        "event.entered" | "event.joined_world" => Some((subject, Border::Entered)),
        "event.left" | "event.left_world" => Some((subject, Border::Left)),
        _ => None,
    }
}

/// A position as it stands in frames.
#[derive(Clone, Copy)]
pub struct PositionText<'a> {
    head: &'a [u8],
    seq: u64,
}

impl PositionText<'_> {
    /// Writes it as JSON.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head);
        json::value(out, &self.seq);
        out.push(b'}');
    }
}
