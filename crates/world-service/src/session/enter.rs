//! Opening a session, and coming back to one.

use prost::Message as _;
use tidings_protocol::proto::services::v1::{
    Identity, OpenSession, OpenSessionRequest, Present, ResumeSessionRequest, SessionControl, SessionRecord,
};
use tidings_protocol::proto::world::v1::Character as WireCharacter;
use tidings_protocol::{AccountId, CharacterId, CloseCode, ErrorCode, RoomId, SessionId};
use tidings_service::CallError;
use tidings_storage::names::name_key;
use tidings_storage::{Account, Character, SignIn};

use super::bucket::Change;
use super::{SessionService, secret};
use crate::account::standing::refuse_banned;
use crate::account::tickets::redeem;
use crate::clock::{id_time, random_bits};
use crate::failure::{id, stored};

/// Longest name of an edge: a key of a bucket.
const EDGE_BYTES_MAX: usize = 100;

fn refused() -> CallError {
    CallError::new(ErrorCode::Unauthenticated, CloseCode::ResumeRefused.reason())
}

fn ended() -> CallError {
    CallError::new(ErrorCode::Unauthenticated, CloseCode::Unauthenticated.reason())
}

/// What the change of a record leaves to be done.
struct Taken {
    record: SessionRecord,
    before: Option<SessionRecord>,
}

impl SessionService {
    /// Opens a session for a character of who was verified, or holds a ticket; where it has one, that one ends: taken
    /// over.
    pub async fn open(self, request: OpenSessionRequest) -> Result<OpenSession, CallError> {
        check_edge(&request.edge)?;
        let identity = match (request.identity, &request.ticket) {
            (Some(identity), None) => identity,
            (None, Some(ticket)) => redeem(&self.inner.tickets, ticket, self.now()).await?,
            _ => return Err(ended()),
        };
        let (account, character) = match request.character.as_str() {
            "" => self.only(&identity).await?,
            named => tokio::try_join!(self.account_of(&identity), self.named(&identity, named))?,
        };
        let identity = Identity { role: account.role.to_string(), ..identity };
        let now = self.now();
        self.edge_asks(&request.edge).await?;
        let key = character.id.to_string();
        let session = SessionId::new(id_time(now), random_bits()?).to_string();
        let (secret, hash) = secret::fresh(&key)?;
        let zone = self.whereabouts(&character).await?;
        let taken = self.inner.records.change(&key, |before| {
            let record = SessionRecord {
                session: session.clone(),
                account: account.id.to_string(),
                character: key.clone(),
                edge: request.edge.clone(),
                generation: before.as_ref().map_or(0, |before| before.generation) + 1,
                resume_hash: hash.clone(),
                previous_resume_hash: bytes::Bytes::new(),
                identity: Some(identity.clone()),
                opened_ms: now,
                lost_ms: 0,
                revoked: false,
                zone: zone.zone.clone(),
                closed_ms: 0,
                lapsed: false,
            };
            Ok((Change::Put(Box::new(record.clone()), None), Taken { record, before }))
        });
        let Taken { record, before } = taken.await?;
        self.inner.index.lock().put(&record);
        // A revocation that ran in between has seen no record: the sign-in must stand after the write too.
        self.still_stands(&identity, &record).await?;
        if let Some(before) = &before {
            self.control(SessionControl {
                session: before.session.clone(),
                code: u32::from(CloseCode::TakenOver.code()),
                reason: CloseCode::TakenOver.reason().to_owned(),
                ..SessionControl::default()
            })
            .await;
        }
        let existed = before.is_some_and(|before| !before.revoked && before.closed_ms == 0);
        metrics::counter!("tidings_session_opened_total").increment(1);
        Ok(answer(&record, secret.expose(), existed, character, &account, zone))
    }

    /// Comes back by the secret, on any edge. It needs no sign-in while the session lives.
    pub async fn resume(self, request: ResumeSessionRequest) -> Result<OpenSession, CallError> {
        check_edge(&request.edge)?;
        let character = secret::character(&request.secret).ok_or_else(refused)?;
        let key = character.to_string();
        let presented = secret::hash(&request.secret);
        // Storage is asked before the change: where it does not answer, the secret has not been used up.
        let (record, _) = self.inner.records.get(&key).await?.ok_or_else(refused)?;
        if !secret::opens(&record, &presented) {
            metrics::counter!("tidings_session_resume_refused_total").increment(1);
            return Err(refused());
        }
        let identity = record.identity.clone().ok_or_else(refused)?;
        let (account, character) =
            tokio::join!(self.account_of(&identity), self.inner.store.character(character));
        let (account, character) = (account?, character.map_err(stored)?.ok_or_else(refused)?);
        let zone = self.whereabouts(&character).await?;
        self.edge_asks(&request.edge).await?;
        let (secret, hash) = secret::fresh(&key)?;
        let (now, retention) = (self.now(), super::lease::millis(self.config().retention));
        let taken = self.inner.records.change(&key, |before| {
            let before = before.ok_or_else(refused)?;
            let over = before.closed_ms != 0 && now - before.closed_ms >= retention;
            if !secret::opens(&before, &presented) || before.revoked || over {
                return Err(refused());
            }
            let record = SessionRecord {
                edge: request.edge.clone(),
                generation: before.generation + 1,
                resume_hash: hash.clone(),
                previous_resume_hash: presented.clone(),
                identity: Some(Identity { role: account.role.to_string(), ..identity.clone() }),
                lost_ms: 0,
                closed_ms: 0,
                lapsed: false,
                zone: zone.zone.clone(),
                ..before.clone()
            };
            Ok((Change::Put(Box::new(record.clone()), None), Taken { record, before: Some(before) }))
        });
        let Taken { record, before } = taken.await?;
        self.inner.index.lock().put(&record);
        self.still_stands(&identity, &record).await?;
        self.control(SessionControl {
            session: record.session.clone(),
            below_generation: record.generation,
            code: u32::from(CloseCode::TakenOver.code()),
            reason: CloseCode::TakenOver.reason().to_owned(),
            ..SessionControl::default()
        })
        .await;
        let existed = before.is_some_and(|before| before.closed_ms == 0);
        metrics::counter!("tidings_session_resumed_total").increment(1);
        Ok(answer(&record, secret.expose(), existed, character, &account, zone))
    }

    /// The account of a sign-in that was not revoked. Fails closed. That the sign-in's refresh token is over does
    /// not matter: a socket lives by its session.
    async fn account_of(&self, identity: &Identity) -> Result<Account, CallError> {
        let sign_in = self.inner.store.sign_in(&identity.family).await.map_err(stored)?;
        self.standing(identity, sign_in)
    }

    fn standing(&self, identity: &Identity, sign_in: Option<SignIn>) -> Result<Account, CallError> {
        let account: AccountId = id(&identity.account, "an account")?;
        let stands = |one: &SignIn| one.account.id == account && one.family.revoked_ms.is_none();
        let account = sign_in.filter(stands).ok_or_else(ended)?.account;
        refuse_banned(&account, self.now())?;
        Ok(account)
    }

    /// Looks at the sign-in again, after a record was written: where it does not stand any more, the session ends.
    async fn still_stands(&self, identity: &Identity, record: &SessionRecord) -> Result<(), CallError> {
        let stands = match self.inner.store.stands(&identity.family, self.now()).await.map_err(stored) {
            Ok(true) => return Ok(()),
            // Looked at alone, with the reason why not.
            Ok(false) => self.account_of(identity).await.map(drop),
            Err(error) => Err(error),
        };
        if stands.is_err() {
            self.end_record(&record.character, &record.session).await?;
        }
        stands
    }

    /// The account of a sign-in that stands, with its only character.
    async fn only(&self, identity: &Identity) -> Result<(Account, Character), CallError> {
        let (sign_in, only) = self.inner.store.opening(&identity.family).await.map_err(stored)?.unzip();
        let account = self.standing(identity, sign_in)?;
        match only.flatten() {
            Some(only) => Ok((account, only)),
            None => Err(self.several_or_none(account.id).await?),
        }
    }

    /// The character asked for, by name or id, of this account and no other.
    async fn named(&self, identity: &Identity, asked: &str) -> Result<Character, CallError> {
        let (store, account) = (&self.inner.store, id(&identity.account, "an account")?);
        let found = match asked.parse::<CharacterId>() {
            Ok(id) => store.character(id).await.map_err(stored)?,
            Err(_) => store.character_by_name(&name_key(asked)).await.map_err(stored)?,
        };
        let missing = || CallError::new(ErrorCode::NotFound, "You have no such character.");
        found.filter(|found| found.account == account).ok_or_else(missing)
    }

    /// Why no character can be chosen for who names none.
    async fn several_or_none(&self, account: AccountId) -> Result<CallError, CallError> {
        let none = self.inner.store.characters(account).await.map_err(stored)?.is_empty();
        Ok(if none {
            let what = "You have no character yet. Please make one first.";
            CallError::new(ErrorCode::FailedPrecondition, what)
        } else {
            CallError::new(ErrorCode::InvalidArgument, "You have several characters. Please say which.")
        })
    }

    /// Where a character is that is in the world.
    pub(super) async fn present(&self, character: &str) -> Result<Option<Whereabouts>, CallError> {
        let entry = self.inner.presence.get(character).await?;
        let present = entry.and_then(|entry| Present::decode(entry.value).ok());
        let present = present.filter(|present| !present.zone.is_empty());
        Ok(present.map(|present| Whereabouts { zone: present.zone, room: present.room }))
    }

    /// Where a character is, or enters: presence knows best, then storage.
    async fn whereabouts(&self, character: &Character) -> Result<Whereabouts, CallError> {
        let present = self.present(&character.id.to_string()).await?;
        Ok(present.unwrap_or_else(|| self.kept(character)))
    }

    /// Where storage has a character; a zone that is gone is the start.
    pub(super) fn kept(&self, character: &Character) -> Whereabouts {
        let config = self.config();
        let there = |room: &RoomId| config.zones.is_empty() || config.zones.contains(&room.zone());
        match character.room.as_ref().filter(|room| there(room)) {
            Some(room) => Whereabouts { zone: room.zone().to_string(), room: room.to_string() },
            None => Whereabouts { zone: config.start_zone.to_string(), room: String::new() },
        }
    }
}

/// A zone and a room; an empty room is where the world starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whereabouts {
    pub(super) zone: String,
    pub(super) room: String,
}

fn check_edge(edge: &str) -> Result<(), CallError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if (1..=EDGE_BYTES_MAX).contains(&edge.len()) && edge.chars().all(plain) {
        return Ok(());
    }
    Err(CallError::new(ErrorCode::InvalidArgument, "That cannot be the name of an edge."))
}

fn answer(
    record: &SessionRecord,
    secret: &str,
    existed: bool,
    character: Character,
    account: &Account,
    at: Whereabouts,
) -> OpenSession {
    OpenSession {
        session: record.session.clone(),
        resume_secret: secret.to_owned(),
        generation: record.generation,
        character: Some(WireCharacter {
            id: character.id.to_string(),
            name: character.name,
            account: account.id.to_string(),
            role: account.role.to_string(),
            zone: at.zone,
            room: at.room,
            state: character.state,
            guest: account.guest,
        }),
        identity: record.identity.clone(),
        existed,
    }
}
