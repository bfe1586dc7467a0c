//! A player as an edge asks for it: with a deadline, and again while that can help.

use std::time::{Duration, Instant};

use tidings_protocol::proto::world::v1::{self as wire, ZoneRequest, link, zone_reply, zone_request};
use tidings_protocol::{AccountId, CharacterId, SessionId, ZoneId};
use tidings_service::{CallError, Caller};
use tidings_storage::{CharacterName, NewAccount, NewCharacter, Role, Username};

use super::{Ground, render};

const DEADLINE: Duration = Duration::from_secs(15);
/// Short, so that a host that died is found out soon.
const ATTEMPT: Duration = Duration::from_millis(500);

pub struct Player {
    pub id: CharacterId,
    pub account: AccountId,
    pub session: SessionId,
    pub name: String,
    pub zone: ZoneId,
    pub caller: Caller,
    pub health: tidings_service::Health,
    pub role: &'static str,
}

impl Player {
    /// A new account with a character.
    pub async fn new(ground: &Ground, number: u128, name: &str) -> Self {
        Self::with_role(ground, number, name, Role::Player).await
    }

    pub async fn with_role(ground: &Ground, number: u128, name: &str, role: Role) -> Self {
        let (account, id) = (AccountId::new(1, number), CharacterId::new(2, number));
        let new = NewAccount {
            id: account,
            username: Username::new(name).unwrap(),
            password: None,
            role,
            guest: false,
            created_ms: 1,
        };
        ground.store.create_account(&new).await.unwrap();
        let new = NewCharacter { id, account, name: CharacterName::new(name).unwrap(), created_ms: 1 };
        ground.store.create_character(&new, 10).await.unwrap();
        Self { role: role.as_str(), ..Self::known(ground, number, name) }
    }

    /// One whose account is there already.
    pub fn known(ground: &Ground, number: u128, name: &str) -> Self {
        Self {
            id: CharacterId::new(2, number),
            account: AccountId::new(1, number),
            session: SessionId::new(3, number),
            name: name.to_owned(),
            zone: "town".parse().unwrap(),
            caller: ground.caller(),
            health: ground.health.clone(),
            role: "player",
        }
    }

    pub async fn ask(&self, ask: zone_request::Ask) -> Result<zone_reply::Answer, CallError> {
        let request = ZoneRequest { ask: Some(ask) };
        let until = Instant::now() + DEADLINE;
        loop {
            match self.caller.zone(&self.zone, &request, ATTEMPT).await {
                Err(error) if error.is_retryable() && Instant::now() < until => {
                    tokio::time::sleep(error.retry_after.unwrap_or(Duration::from_millis(20))).await;
                }
                other => return other,
            }
        }
    }

    /// What is asked of a zone to enter it, from where storage has the character.
    pub async fn entering(&self, ground: &Ground) -> zone_request::Ask {
        let stored = ground.store.character(self.id).await.unwrap().unwrap();
        let character = wire::Character {
            id: self.id.to_string(),
            name: self.name.clone(),
            account: self.account.to_string(),
            role: self.role.into(),
            zone: self.zone.to_string(),
            room: stored.room.map(|room| room.to_string()).unwrap_or_default(),
            state: stored.state,
            guest: false,
        };
        let session = self.session.to_string();
        zone_request::Ask::Enter(wire::Enter { session, character: Some(character), ..Default::default() })
    }

    pub async fn enter(&self, ground: &Ground) -> wire::Entered {
        match self.ask(self.entering(ground).await).await {
            Ok(zone_reply::Answer::Entered(entered)) => entered,
            other => panic!("{} does not enter: {other:?}", self.name),
        }
    }

    pub fn line(&self, id: &str, text: &str) -> zone_request::Ask {
        zone_request::Ask::Command(wire::Command {
            origin: Some(self.origin(id)),
            character: self.id.to_string(),
            text: text.into(),
        })
    }

    fn origin(&self, id: &str) -> wire::Origin {
        wire::Origin { session: self.session.to_string(), id: id.into() }
    }

    /// Types a line and waits for its outcome.
    pub async fn types(&self, id: &str, text: &str) -> wire::CommandDone {
        match self.ask(self.line(id, text)).await {
            Ok(zone_reply::Answer::Command(done)) => done,
            other => {
                panic!("'{text}' of {} has no outcome: {other:?}; {:?}", self.name, self.health.states())
            }
        }
    }

    /// Types a line; what is read as the reply, from wherever it comes.
    pub async fn reads(&self, ground: &Ground, id: &str, text: &str) -> String {
        let done = self.types(id, text).await;
        match done.reply {
            Some(reply) => render(reply),
            None => self.own_at(ground, done.seq, id).await,
        }
    }

    async fn own_at(&self, ground: &Ground, seq: u64, id: &str) -> String {
        let mut logs: Vec<String> = ground.content.rooms.keys().map(|room| format!("room.{room}")).collect();
        logs.push(format!("player.{}", self.id));
        logs.push("world.test".into());
        for log in logs {
            for (at, event) in ground.log(&log).await {
                if at == seq && event.origin.as_ref() == Some(&self.origin(id)) {
                    return render(event.own.unwrap());
                }
            }
        }
        panic!("no log has the reply to {id} at {seq}")
    }

    pub async fn leave(&self) -> wire::Left {
        let leave = wire::Leave { origin: Some(self.origin("")), character: self.id.to_string(), bye: None };
        match self.ask(zone_request::Ask::Leave(leave)).await {
            Ok(zone_reply::Answer::Left(left)) => left,
            other => panic!("{} does not leave: {other:?}", self.name),
        }
    }

    pub async fn link(&self, kind: link::Kind, grace_ms: u64) {
        let link = wire::Link {
            session: self.session.to_string(),
            character: self.id.to_string(),
            kind: kind.into(),
            grace_ms,
            generation: 0,
        };
        let done = self.ask(zone_request::Ask::Link(link)).await;
        assert!(matches!(done, Ok(zone_reply::Answer::Done(_))), "{done:?}");
    }

    /// The room's state as the zone shows it.
    pub async fn state(&self) -> Result<(String, u64), CallError> {
        let query = wire::StateQuery {
            character: self.id.to_string(),
            what: "room".into(),
            page: String::new(),
            locale: "en".into(),
        };
        match self.ask(zone_request::Ask::State(query)).await? {
            zone_reply::Answer::State(view) => Ok((view.body, view.seq)),
            other => panic!("no state: {other:?}"),
        }
    }
}
