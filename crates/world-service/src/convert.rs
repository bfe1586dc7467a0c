//! Between the rules' words and the wire: the one place of world-service that knows both.

use bytes::Bytes;
use tidings_protocol::proto::services::v1 as services;
use tidings_protocol::proto::world::v1 as wire;
use tidings_protocol::{AccountId, Audience, ErrorCode, MessageWriter};
use tidings_service::CallError;
use tidings_storage as storage;
use tidings_world::input::{Arrival, Millis, Origin, Present, Role, Traveller};
use tidings_world::output::{Actor, Event, MuteChange, Persist};

/// An event as it is logged: `tidings.world.v1.Event`, its fields from the last to the first.
pub fn encode_event(writer: &mut MessageWriter, event: &Event, time: Millis) -> Bytes {
    writer.write(|w| {
        if let Some((code, reason)) = &event.bye {
            w.message(18, |w| {
                w.text(2, reason);
                w.number(1, (*code).into());
            });
        }
        event.except.iter().rev().for_each(|id| w.id(16, id.digits()));
        w.text(15, &event.channel);
        w.flag(14, event.always);
        if let Some(mute) = &event.mute {
            w.nested(13, &wire_mute(mute.clone()));
        }
        if let Some(patch) = &event.patch {
            w.text(11, &patch.to_string());
        }
        if let Some((before, after)) = &event.audiences {
            w.message(10, |w| {
                after.iter().rev().for_each(|audience| w.member(2, &audience.to_string()));
                before.iter().rev().for_each(|audience| w.member(1, &audience.to_string()));
            });
        }
        if let Some(subject) = event.subject {
            w.id(9, subject.digits());
        }
        event.only.iter().rev().for_each(|id| w.id(8, id.digits()));
        w.text(7, &event.data);
        if let Some(own) = &event.own {
            w.words(6, own);
        }
        if let Some(text) = &event.text {
            w.words(5, text);
        }
        if let Some(origin) = &event.origin {
            w.message(4, |w| {
                w.text(2, &origin.id);
                w.id(1, origin.session.digits());
            });
        }
        if let Some(from) = &event.from {
            w.message(3, |w| write_actor(w, from));
        }
        w.number(2, time.cast_unsigned());
        w.text(1, &event.kind);
    })
}

fn write_actor(w: &mut MessageWriter, actor: &Actor) {
    let kind = match (actor.id, actor.npc) {
        (None, _) => wire::actor::Kind::System,
        (_, true) => wire::actor::Kind::Npc,
        _ => wire::actor::Kind::Player,
    };
    w.flag(5, actor.staff);
    w.number(4, kind as u64);
    if let Some(account) = actor.account {
        w.id(3, account.digits());
    }
    w.text(2, &actor.name);
    if let Some(id) = actor.id {
        w.id(1, id.digits());
    }
}

/// A mute on the wire.
pub fn wire_mute(mute: MuteChange) -> wire::MuteChange {
    wire::MuteChange {
        account: mute.account.to_string(),
        target_account: mute.target.map(|id| id.to_string()).unwrap_or_default(),
        name: mute.name,
        channel: mute.channel,
        until_ms: mute.until.unwrap_or(0),
        removed: mute.removed,
        seq: 0,
    }
}

/// An idempotency key on the wire.
pub fn wire_origin(origin: &Origin) -> wire::Origin {
    wire::Origin { session: origin.session.to_string(), id: origin.id.clone() }
}

/// Audiences by their names.
pub fn audience_names(audiences: &[Audience]) -> Vec<String> {
    audiences.iter().map(ToString::to_string).collect()
}

/// Who is where, as the KV and the service `presence` have it.
pub fn wire_present(present: &Present) -> services::Present {
    services::Present {
        id: present.id.to_string(),
        name: present.name.clone(),
        account: present.account.to_string(),
        zone: present.zone.to_string(),
        room: present.room.to_string(),
        room_name: present.room_name.clone(),
        link_lost: present.link_lost,
        role: role_name(present.role).to_owned(),
    }
}

/// Who is where, from the KV.
pub fn present(wire: services::Present) -> Result<Present, CallError> {
    Ok(Present {
        id: parse(&wire.id)?,
        name: wire.name,
        account: parse(&wire.account)?,
        zone: parse(&wire.zone)?,
        room: parse(&wire.room)?,
        room_name: wire.room_name,
        link_lost: wire.link_lost,
        role: role(&wire.role)?,
    })
}

/// A role as it is written.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Player => "player",
        Role::Builder => "builder",
        Role::Moderator => "moderator",
        Role::Admin => "admin",
    }
}

/// The role written so.
pub fn role(name: &str) -> Result<Role, CallError> {
    match name {
        "player" | "" => Ok(Role::Player),
        "builder" => Ok(Role::Builder),
        "moderator" => Ok(Role::Moderator),
        "admin" => Ok(Role::Admin),
        _ => Err(malformed("a role is player, builder, moderator or admin")),
    }
}

/// A character that enters.
pub fn arrival(character: wire::Character) -> Result<Arrival, CallError> {
    let room = (!character.room.is_empty()).then(|| parse(&character.room)).transpose()?;
    Ok(Arrival {
        id: parse(&character.id)?,
        account: parse(&character.account)?,
        role: role(&character.role)?,
        guest: character.guest,
        name: character.name,
        room,
        state: character.state,
        generation: 0,
        mutes: Vec::new(),
        silenced: None,
    })
}

/// An idempotency key from the wire.
pub fn origin(wire: Option<wire::Origin>) -> Result<Origin, CallError> {
    let wire = wire.ok_or_else(|| malformed("a command has an origin"))?;
    Ok(Origin { session: parse(&wire.session)?, id: wire.id })
}

/// An id from the wire.
pub fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, CallError> {
    text.parse().map_err(|error: T::Err| malformed(&error.to_string()))
}

fn malformed(why: &str) -> CallError {
    CallError::new(ErrorCode::InvalidArgument, format!("The request is malformed: {why}."))
}

/// A traveller's own form in a `Handover`.
pub fn encode_traveller(traveller: &Traveller) -> String {
    serde_json::to_string(traveller).expect("texts and ids are JSON")
}

/// A traveller from a `Handover`.
pub fn traveller(body: &str) -> Result<Traveller, CallError> {
    serde_json::from_str(body).map_err(|error| malformed(&error.to_string()))
}

/// What storage keeps of a commit's `Persist`.
pub fn storage_record(persist: Persist) -> storage::Record {
    match persist {
        Persist::Character(id, room, state) => storage::Record::Character { id, room, state },
        Persist::Mute(change) => {
            let removed = change.removed;
            let mute = storage::Mute {
                account: change.account,
                target: change.target,
                channel: change.channel,
                name: change.name,
                until_ms: change.until,
                reason: change.reason,
            };
            storage::Record::Mute { mute, removed }
        }
        Persist::Silence(account, until, reason) => storage::Record::Silence(account, until, reason),
        Persist::Audit(entry) => storage::Record::Audit(storage::AuditEntry {
            time_ms: entry.time,
            account: entry.account.to_string(),
            name: entry.name,
            action: entry.action,
            target: entry.target,
            detail: entry.detail,
        }),
    }
}

/// A role as storage has it.
pub fn stored_role(role: storage::Role) -> Role {
    match role {
        storage::Role::Player => Role::Player,
        storage::Role::Builder => Role::Builder,
        storage::Role::Moderator => Role::Moderator,
        storage::Role::Admin => Role::Admin,
    }
}

/// A mute as storage has it.
pub fn mute_change(mute: storage::Mute) -> MuteChange {
    MuteChange {
        account: mute.account,
        target: mute.target,
        name: mute.name,
        channel: mute.channel,
        until: mute.until_ms,
        reason: mute.reason,
        removed: false,
    }
}

/// A mute as an edge needs it: without the name, which is for showing. Its commit counts in its own epoch alone.
pub fn mute_mark(mark: &storage::MuteMark, epoch: &str) -> wire::MuteChange {
    let storage::MuteMark { mute, ended, stamp } = mark;
    wire::MuteChange {
        account: mute.account.to_string(),
        target_account: mute.target.map(|target| target.to_string()).unwrap_or_default(),
        name: String::new(),
        channel: mute.channel.clone(),
        until_ms: mute.until_ms.unwrap_or(0),
        removed: *ended,
        seq: if stamp.epoch == epoch { stamp.seq } else { 0 },
    }
}

/// A ban as storage keeps it.
pub fn ban_record((account, until_ms, reason): (AccountId, Option<Millis>, String)) -> storage::Record {
    storage::Record::Ban(account, Some(storage::Ban { until_ms, reason }))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use tidings_protocol::{CharacterId, SessionId, Text};

    use super::*;

    fn id(n: u128) -> CharacterId {
        CharacterId::from_u128(n)
    }

    #[test]
    fn an_event_is_logged_with_everything_it_has() {
        let room: Audience = "room.town_hall".parse().expect("an audience");
        let event = Event {
            audience: Some(room.clone()),
            kind: "chat.say".into(),
            from: Some(Actor {
                id: Some(id(1)),
                name: "Ann".into(),
                account: Some(AccountId::from_u128(2)),
                npc: false,
                staff: true,
            }),
            origin: Some(Origin { session: SessionId::from_u128(3), id: "c1".into() }),
            text: Some(Text::new("chat.say").with("name", "Ann").with("text", "")),
            own: Some(
                Text::new("chat.say.self").with("inner", Text::new("x")).with("lines", vec![Text::new("y")]),
            ),
            data: r#"{"message":"hi"}"#.into(),
            only: vec![id(4), id(5)],
            except: vec![id(6)],
            subject: Some(id(1)),
            audiences: Some((vec![], vec![Audience::Player(id(1)), room])),
            patch: Some(serde_json::json!({ "weather": null })),
            mute: Some(MuteChange {
                account: AccountId::from_u128(2),
                target: None,
                name: "Ben".into(),
                channel: "say".into(),
                until: Some(7),
                reason: String::new(),
                removed: true,
            }),
            always: true,
            channel: "say".into(),
            bye: Some((4001, "Gone.".into())),
        };
        let expected = wire::Event {
            kind: "chat.say".into(),
            time_ms: -5,
            from: Some(wire::Actor {
                id: id(1).to_string(),
                name: "Ann".into(),
                account: id(2).to_string(),
                kind: wire::actor::Kind::Player.into(),
                staff: true,
            }),
            origin: Some(wire::Origin { session: id(3).to_string(), id: "c1".into() }),
            text: event.text.clone().map(Into::into),
            own: event.own.clone().map(Into::into),
            data: r#"{"message":"hi"}"#.into(),
            only: vec![id(4).to_string(), id(5).to_string()],
            subject: id(1).to_string(),
            audiences: Some(wire::Audiences {
                before: vec![],
                after: vec![format!("player.{}", id(1)), "room.town_hall".into()],
            }),
            patch: r#"{"weather":null}"#.into(),
            mute: event.mute.clone().map(wire_mute),
            always: true,
            channel: "say".into(),
            except: vec![id(6).to_string()],
            bye: Some(wire::Bye { code: 4001, reason: "Gone.".into() }),
            ..wire::Event::default()
        };
        let mut writer = MessageWriter::default();
        assert_eq!(wire::Event::decode(encode_event(&mut writer, &event, -5)), Ok(expected));
        let nothing = encode_event(&mut writer, &Event::default(), 0);
        assert_eq!(nothing.len(), 0, "nothing is written of what is not there");
    }
}
