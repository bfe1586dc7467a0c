//! What a zone waits for without standing still: questions to services, moves to other zones, acts.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tidings_bus::{Error as BusError, Message};
use tidings_protocol::proto::services::v1::{self as services, HistoryRequest};
use tidings_protocol::proto::world::v1::{self as wire, ZoneRequest, zone_request};
use tidings_protocol::{AccountId, ZoneId};
use tidings_service::{CallError, Subjects};
use tidings_storage::names::name_key;
use tidings_storage::{Brought, MuteMark};
use tidings_world::input::{
    Answer, Arrival, Fact, HistoryLine, KnownPlayer, Letter, Origin, Role, Traveller,
};
use tidings_world::output::Query;

use super::requests::{self, Arrive};
use super::shared::Shared;
use super::zone::refuse;
use crate::convert;

/// How long a service has for a question: within a command's deadline, with room for the commit.
const QUESTION_DEADLINE: Duration = Duration::from_secs(5);
/// How long another zone has for one answer before it is asked again.
pub(super) const ZONE_DEADLINE: Duration = Duration::from_secs(5);
pub(super) const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(2);
/// Attempts of a revocation: about ten seconds; then it is logged as not done.
const REVOKE_ATTEMPTS: u32 = 8;

/// What came of it.
pub enum Late {
    /// The answer to a question.
    Answer(u64, Answer),
    /// A character that enters, with what its account brings.
    Enter(Entering),
    /// A character that comes from another zone: a commit of its own, since it has a second fence.
    Arrive(Message, Box<Arrive>),
    /// A move's outcome: at which sequence the target let it in, or not at all.
    Moved(Box<Moved>),
    /// A move that the target did not answer.
    Unanswered(ZoneId, Box<Traveller>),
    /// A zone has the letters of this one up to a number.
    Posted(ZoneId, u64),
    /// An act is done or given up.
    Done,
}

/// A character that enters.
pub struct Entering {
    /// Who is answered.
    pub message: Message,
    /// The session.
    pub origin: Origin,
    /// The character.
    pub arrival: Box<Arrival>,
    /// The language of the room's view that the answer brings; empty: none.
    pub view_locale: String,
    /// The mutes of its account, as they were looked up with what it brings; `None`: one that is here already brings
    /// nothing.
    pub mutes: Option<(AccountId, Vec<MuteMark>)>,
}

/// A move's outcome.
pub struct Moved {
    /// The move.
    pub move_id: String,
    /// The command that moved it.
    pub origin: Option<Origin>,
    /// Where to.
    pub zone: ZoneId,
    /// What became of it.
    pub end: MoveEnd,
}

/// How a move ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveEnd {
    /// Let in, at this sequence.
    Arrived(u64),
    /// The target refused it.
    Refused,
    /// The target did not answer, and the log says that it did not let it in.
    Unanswered,
}

/// Something under way.
pub type UnderWay = BoxFuture<'static, Late>;

pub(super) async fn backoff(wait: &mut Duration) {
    tokio::time::sleep(*wait).await;
    *wait = (*wait * 2).min(RETRY_MOST);
}

/// Asks a question of the rules.
pub async fn ask(shared: &Shared, number: u64, query: Query) -> Late {
    let answer = match query {
        Query::Player(name) => player(shared, &name).await,
        Query::History { audience, channel, limit, account, mutes, character } => {
            let request = HistoryRequest {
                audience: audience.map(|audience| audience.to_string()).unwrap_or_default(),
                channel,
                limit,
                asker_account: account.to_string(),
                asker_character: character.to_string(),
                mutes: mutes.into_iter().map(convert::wire_mute).collect(),
            };
            history(shared, &request).await
        }
    };
    Late::Answer(
        number,
        answer.unwrap_or_else(|error| {
            tracing::warn!(%error, "a question of the rules was not answered");
            Answer::Failed
        }),
    )
}

async fn player(shared: &Shared, name: &str) -> Result<Answer, CallError> {
    let key = name_key(name);
    let Some(character) = shared.store.character_by_name(&key).await.map_err(storage_failed)? else {
        return Ok(Answer::Player(None));
    };
    let account = shared.store.account(character.account).await.map_err(storage_failed)?;
    let role = account.map_or(Role::Player, |account| convert::stored_role(account.role));
    Ok(Answer::Player(Some(KnownPlayer {
        id: character.id,
        name: character.name,
        account: character.account,
        role,
    })))
}

fn storage_failed(error: tidings_storage::Error) -> CallError {
    tracing::warn!(%error, "storage does not answer a zone");
    CallError::unavailable("The storage does not answer at the moment.")
}

async fn history(shared: &Shared, request: &HistoryRequest) -> Result<Answer, CallError> {
    let reply: services::HistoryReply =
        shared.caller.call("chat", "history", request, QUESTION_DEADLINE).await?;
    let line = |line: services::HistoryLine| HistoryLine {
        time: line.time_ms,
        text: line.text.map(Into::into).unwrap_or_default(),
    };
    Ok(Answer::History(reply.lines.into_iter().map(line).collect()))
}

/// Looks up what an account brings with a character that enters; where storage does not answer, nobody enters:
/// a mute that is not known would be a mute that does not hold.
pub async fn enter(shared: &Shared, mut entering: Entering) -> Late {
    match brought(shared, entering.arrival.account).await {
        Ok(brought) => {
            let hold = brought.mutes.iter().filter(|mark| !mark.ended);
            entering.arrival.mutes = hold.map(|mark| convert::mute_change(mark.mute.clone())).collect();
            entering.mutes = Some((entering.arrival.account, brought.mutes));
            entering.arrival.silenced = brought.silenced_until_ms;
            Late::Enter(entering)
        }
        Err(error) => {
            drop(entering.message.respond(requests::refusal(error)));
            Late::Done
        }
    }
}

async fn brought(shared: &Shared, account: AccountId) -> Result<Brought, CallError> {
    let now = shared.now();
    let mut brought = shared.store.brought(account, now).await.map_err(storage_failed)?;
    brought.silenced_until_ms = brought.silenced_until_ms.filter(|until| *until > now);
    shared.unwritten.lay_over(account, &mut brought.mutes, now, Instant::now());
    Ok(brought)
}

/// Looks whether a move is asked for under its zone's last ownership. One that is not was given up, or will be asked
/// for again: it is refused before it is decided, since its commit would fail and the zone would be loaded anew.
pub async fn arrive(shared: &Shared, message: Message, arrive: Box<Arrive>) -> Late {
    match owner_of(shared, &arrive.from).await {
        Ok(owner) if owner == arrive.owner_seq => return Late::Arrive(message, arrive),
        Ok(_) => refuse(message),
        Err(error) => drop(message.respond(requests::refusal(error.into()))),
    }
    Late::Done
}

async fn owner_of(shared: &Shared, zone: &ZoneId) -> Result<u64, BusError> {
    let last = shared.bus.last(&shared.logs(zone)?.owner).await?;
    Ok(last.map_or(0, |message| message.seq))
}

/// Hands a request on to the owner of another zone, and its answer back.
pub async fn forward(shared: &Shared, message: Message, zone: &ZoneId) -> Late {
    let answer = match Subjects(shared.bus.registry()).zone_commands(zone) {
        Ok(subject) => shared.bus.request(&subject, message.payload.clone(), Vec::new(), ZONE_DEADLINE).await,
        Err(error) => Err(error),
    };
    drop(message.respond(answer.unwrap_or_else(|error| requests::refusal(error.into()))));
    Late::Done
}

/// Brings letters to another zone, and asks until there is an answer. Where they are refused together they are brought
/// one by one, so that only what is refused by itself is given up; what follows it follows the one before then.
pub async fn post(shared: &Shared, from: ZoneId, to: ZoneId, letters: Vec<Letter>) -> Late {
    let last = letters.last().map_or(0, |letter| letter.number);
    let alone = letters.len() == 1;
    match bring(shared, &from, &to, letters.clone()).await {
        Ok(()) => {}
        Err(error) if alone => drop(given_up(&error)),
        Err(_) => {
            let mut after = 0;
            for letter in letters {
                let number = letter.number;
                match bring(shared, &from, &to, vec![Letter { after, ..letter }]).await {
                    Ok(()) => after = number,
                    Err(error) => drop(given_up(&error)),
                }
            }
        }
    }
    Late::Posted(to, last)
}

/// An error is a refusal: trying again would not help.
async fn bring(shared: &Shared, from: &ZoneId, to: &ZoneId, letters: Vec<Letter>) -> Result<(), CallError> {
    let fact = serde_json::to_string(&Fact::Letters(from.clone(), letters)).expect("a fact is JSON");
    let request = ZoneRequest { ask: Some(zone_request::Ask::Control(wire::Control { fact })) };
    let mut wait = RETRY_FIRST;
    loop {
        match shared.caller.zone(to, &request, ZONE_DEADLINE).await {
            Ok(_) => return Ok(()),
            Err(error) if !error.is_retryable() => return Err(error),
            Err(error) => tracing::debug!(%to, %error, "letters did not come yet"),
        }
        backoff(&mut wait).await;
    }
}

/// Ends the sessions of an account.
pub async fn revoke(shared: &Shared, account: AccountId, code: u16, reason: String) -> Late {
    let request = services::RevokeRequest {
        account: account.to_string(),
        code: code.into(),
        reason,
        ..services::RevokeRequest::default()
    };
    let mut wait = RETRY_FIRST;
    for _ in 0..REVOKE_ATTEMPTS {
        let done: Result<services::RevokeReply, _> =
            shared.caller.call("session", "revoke", &request, QUESTION_DEADLINE).await;
        match done {
            Ok(_) => return Late::Done,
            Err(error) if !error.is_retryable() => return given_up(&error),
            Err(error) => tracing::debug!(%error, "sessions were not revoked yet"),
        }
        backoff(&mut wait).await;
    }
    given_up(&CallError::unavailable("The service 'session' did not answer."))
}

fn given_up(error: &CallError) -> Late {
    metrics::counter!("tidings_zone_acts_given_up_total").increment(1);
    tracing::error!(%error, "an act of the rules could not be done");
    Late::Done
}
