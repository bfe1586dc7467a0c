//! The answer to `channel history`: storage, then the tail of the log that is not in storage yet.
//!
//! Who may ask is the zone's affair: it knows in which room the asker is and what they may listen to.

use tidings_protocol::proto::services::v1::{HistoryReply, HistoryRequest};
use tidings_protocol::proto::world::v1::MuteChange;
use tidings_protocol::{AccountId, Audience, CharacterId, ErrorCode, EventRef};
use tidings_service::{CallError, Subjects};
use tidings_storage::{ChatLine, ChatQuery, Mute, Stamp};

use super::{ChatService, line};
use crate::failure::{id, stored};

/// Most lines of an answer.
pub const LINES_MAX: usize = 500;
/// Most bytes of an answer's lines.
pub const BYTES_MAX: usize = 64 * 1024;
/// Records of the log read at once.
const TAIL_PAGE: usize = 1_000;
/// Pages of the tail that are read: more than a log retains. The reader is behind by a fraction of a second.
const TAIL_PAGES_MAX: usize = 32;

impl ChatService {
    /// The newest lines of a channel in an audience, oldest first; without an audience, in the asker's own log (whispers).
    pub async fn history(self, request: HistoryRequest) -> Result<HistoryReply, CallError> {
        let account: AccountId = id(&request.asker_account, "an account")?;
        let audience = if request.audience.is_empty() {
            let character: CharacterId = id(&request.asker_character, "a character")?;
            Audience::Player(character)
        } else {
            request
                .audience
                .parse()
                .map_err(|_| CallError::new(ErrorCode::InvalidArgument, "That is no audience."))?
        };
        if request.channel.is_empty() {
            return Err(CallError::new(ErrorCode::InvalidArgument, "That is no channel."));
        }
        let limit = usize::try_from(request.limit).unwrap_or(LINES_MAX).clamp(1, LINES_MAX);
        let (store, now) = (&self.inner.store, (self.inner.clock)());
        let mutes = all_mutes(store.mutes(account, now).await.map_err(stored)?, &request.mutes);
        let epoch = self.inner.bus.epoch();
        // The place first: what is written after it is found in the log.
        let place = store.chat_cursor(&epoch, &audience).await.map_err(stored)?;
        let mut lines = if is_muted_channel(&mutes, &request.channel) {
            Vec::new()
        } else {
            let query = ChatQuery {
                audience: audience.clone(),
                channel: request.channel.clone(),
                without: muted(&mutes, &request.channel).collect(),
                through: Some(Stamp { epoch, seq: place }),
                limit,
            };
            store.chat_lines(&query).await.map_err(stored)?
        };
        let heard = |one: &ChatLine| one.channel == request.channel && (one.always || !is_muted(&mutes, one));
        lines.extend(self.tail(&audience, place).await?.into_iter().filter(heard));
        Ok(HistoryReply { lines: newest(lines, limit).into_iter().filter_map(line::wire).collect() })
    }

    async fn tail(&self, audience: &Audience, place: u64) -> Result<Vec<ChatLine>, CallError> {
        let bus = &self.inner.bus;
        let subject = [Subjects(bus.registry()).log(audience)?];
        let (mut after, mut lines) = (place, Vec::new());
        for _ in 0..TAIL_PAGES_MAX {
            let page = bus.read(&subject, after, TAIL_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            lines.extend(page.iter().filter_map(|message| {
                let event = EventRef::read(&message.payload).ok()?;
                line::of(audience, message, &event)
            }));
            // Only the newest can be part of the answer.
            let over = lines.len().saturating_sub(TAIL_PAGE);
            lines.drain(..over);
        }
        Ok(lines)
    }
}

/// Whom or (`None`) what a mute is about, and on which channel; empty: everywhere.
type Muted = (Option<AccountId>, String);

/// What storage knows of the asker's mutes, and what their zone knew when it asked.
fn all_mutes(stored: Vec<Mute>, told: &[MuteChange]) -> Vec<Muted> {
    let told = told.iter().map(|mute| (mute.target_account.parse().ok(), mute.channel.clone()));
    stored.into_iter().map(|mute| (mute.target, mute.channel)).chain(told).collect()
}

/// The accounts that are muted everywhere, or on this channel.
fn muted<'a>(mutes: &'a [Muted], channel: &'a str) -> impl Iterator<Item = AccountId> + 'a {
    let holds = move |(_, on): &&Muted| on.is_empty() || on == channel;
    mutes.iter().filter(holds).filter_map(|(target, _)| *target)
}

fn is_muted_channel(mutes: &[Muted], channel: &str) -> bool {
    mutes.iter().any(|(target, on)| target.is_none() && on == channel)
}

fn is_muted(mutes: &[Muted], line: &ChatLine) -> bool {
    is_muted_channel(mutes, &line.channel)
        || muted(mutes, &line.channel).any(|account| account.to_string() == line.from_account)
}

/// The newest that fit, oldest first.
fn newest(mut lines: Vec<ChatLine>, limit: usize) -> Vec<ChatLine> {
    let mut bytes = 0;
    let fit = lines.iter().rev().take(limit).take_while(|line| {
        // What a line takes beside its text: ids, name, time.
        bytes += line.body.len() + line.from_name.len() + 96;
        bytes <= BYTES_MAX
    });
    let fit = fit.count();
    lines.drain(..lines.len() - fit);
    lines
}
