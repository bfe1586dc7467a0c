//! A record of a log as a line of history.

use prost::Message as _;
use tidings_bus::LogMessage;
use tidings_protocol::proto::services::v1::HistoryLine;
use tidings_protocol::proto::world::v1::Text;
use tidings_protocol::{Audience, EventRef};
use tidings_storage::ChatLine;

/// The line of an event that is speech; `None` for everything else. What only some of a room perceived is no part of
/// the room's history.
pub(super) fn of(audience: &Audience, message: &LogMessage, event: &EventRef<'_>) -> Option<ChatLine> {
    let shared = !matches!(audience, Audience::Player(_));
    if event.channel.is_empty() || event.refused || (shared && !event.only.is_empty()) {
        return None;
    }
    // What the speaker of a whisper keeps of it has no text but their own.
    let text = event.text.or(event.own)?;
    let from = event.from.unwrap_or_default();
    Some(ChatLine {
        seq: message.seq,
        time_ms: event.time_ms,
        channel: event.channel.to_owned(),
        from_id: from.id.to_owned(),
        from_name: from.name.to_owned(),
        from_account: from.account.to_owned(),
        always: event.always,
        body: text.as_bytes().to_vec(),
    })
}

/// As the service answers it; `None`: the body cannot be read.
pub(super) fn wire(line: ChatLine) -> Option<HistoryLine> {
    Some(HistoryLine {
        seq: line.seq,
        time_ms: line.time_ms,
        from_id: line.from_id,
        from_name: line.from_name,
        from_account: line.from_account,
        channel: line.channel,
        text: Some(Text::decode(line.body.as_slice()).ok()?),
    })
}
