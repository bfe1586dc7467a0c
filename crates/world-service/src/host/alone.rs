//! Commits of one event alone: a line in a room, which decides nothing that lasts, is one message and not two, where the bus
//! stores one for less than two.
//!
//! Its record lies with the event. The zone's next one holds the effects again, in front of its own, so that the zone's log by
//! itself has all but the newest of them, and those a new owner finds in the rooms' logs after the zone's last record. What
//! retention took from there first was about a minute that has passed: it keeps more lines than lie alone.

use bytes::Bytes;
use prost::Message as _;
use tidings_bus::LogMessage;
use tidings_protocol::proto::world::v1::Event;
use tidings_world::input::Millis;

use super::config::ALONE_MAX;
use super::record::Record;

/// The effects that lie with events alone since the zone's last record.
#[derive(Debug, Default)]
pub struct Alone {
    /// As a record has them: JSON, with commas between.
    effects: Vec<u8>,
}

impl Alone {
    /// Whether so much more may lie with an event, or the zone's record is due.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.effects.len() + bytes < ALONE_MAX
    }

    /// Whether everything is in the zone's log.
    pub fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }

    /// These lie with an event that is stored.
    pub fn add(&mut self, effects: &[u8]) {
        if !self.effects.is_empty() && !effects.is_empty() {
            self.effects.push(b',');
        }
        self.effects.extend_from_slice(effects);
    }

    /// They are for the zone's record; where that is not stored the zone begins anew.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.effects)
    }
}

/// The event with the body of the zone's record: a message's fields may come one after the other.
pub fn with_record(event: &Bytes, body: Vec<u8>) -> Bytes {
    let field = Event { record: body.into(), ..Event::default() };
    let mut whole = Vec::with_capacity(event.len() + field.encoded_len());
    whole.extend_from_slice(event);
    field.encode_raw(&mut whole);
    Bytes::from(whole)
}

/// The record that lies with an event, and the zone's clock when it was decided; `None`: it is in the zone's log.
pub fn found_in(message: &LogMessage) -> Result<Option<(Record, Millis)>, String> {
    let event = Event::decode(message.payload.clone()).map_err(|error| error.to_string())?;
    if event.record.is_empty() {
        return Ok(None);
    }
    let record = serde_json::from_slice(&event.record).map_err(|error| error.to_string())?;
    Ok(Some((record, event.time_ms)))
}

#[cfg(test)]
mod tests {
    use super::super::record::RecordWriter;
    use super::*;

    const WEATHER: &[u8] = br#"{"Weather":"rain"}"#;

    #[test]
    fn a_record_reads_back_from_the_event_it_lies_with() {
        let event = Event { kind: "chat.say".into(), time_ms: 7, ..Event::default() };
        let mut alone = Alone::default();
        alone.add(WEATHER);
        alone.add(b"");
        alone.add(WEATHER);
        let message = |payload| LogMessage::new(crate::testing::room_log("z_a"), 1, 0, 0, payload);
        let body = RecordWriter::default().body(5, &alone.take());
        assert!(alone.is_empty());
        let payload = with_record(&event.encode_to_vec().into(), body);
        let (record, time) = found_in(&message(payload.clone())).expect("an event").expect("a record");
        assert_eq!((time, record.prev, record.effects.len()), (7, 5, 2));
        assert_eq!(Event::decode(payload).expect("an event").kind, "chat.say");
        assert!(found_in(&message(event.encode_to_vec().into())).expect("an event").is_none());
        assert!(found_in(&message(with_record(&Bytes::new(), b"{".into()))).is_err());
    }

    #[test]
    fn no_more_lies_with_events_than_may() {
        let mut alone = Alone::default();
        while alone.has_room(WEATHER.len()) {
            alone.add(WEATHER);
        }
        assert!(alone.take().len() < ALONE_MAX);
        assert!(alone.has_room(ALONE_MAX - 1) && !alone.has_room(ALONE_MAX));
    }
}
