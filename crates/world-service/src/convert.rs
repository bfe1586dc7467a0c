//! Between the rules' words and the wire: the one place of world-service that knows both.

use bytes::Bytes;
use prost::Message as _;
use serde_json::Value;
use tidings_protocol::proto::services::v1 as services;
use tidings_protocol::proto::world::v1 as wire;
use tidings_protocol::{AccountId, Audience, ErrorCode};
use tidings_service::CallError;
use tidings_storage as storage;
use tidings_world::input::{Arrival, Millis, Origin, Present, Role, Traveller};
use tidings_world::output::{Actor, Event, MuteChange, Persist};

/// An event as it is logged.
pub fn encode_event(event: Event, time: Millis) -> Bytes {
    wire_event(event, time).encode_to_vec().into()
}

fn wire_event(event: Event, time: Millis) -> wire::Event {
    wire::Event {
        kind: event.kind,
        time_ms: time,
        from: event.from.map(wire_actor),
        origin: event.origin.as_ref().map(wire_origin),
        text: event.text.map(Into::into),
        own: event.own.map(Into::into),
        data: json_object(&event.data),
        only: event.only.iter().map(ToString::to_string).collect(),
        subject: event.subject.map(|id| id.to_string()).unwrap_or_default(),
        audiences: event.audiences.map(|(before, after)| wire::Audiences {
            before: audience_names(&before),
            after: audience_names(&after),
        }),
        patch: event.patch.map(|patch| patch.to_string()).unwrap_or_default(),
        mute: event.mute.map(wire_mute),
        always: event.always,
        channel: event.channel,
        except: event.except.iter().map(ToString::to_string).collect(),
        bye: event.bye.map(|(code, reason)| wire::Bye { code: code.into(), reason }),
        ..wire::Event::default()
    }
}

/// Nothing where there is nothing to say: most events carry little.
fn json_object(data: &Value) -> String {
    match data {
        Value::Object(members) if !members.is_empty() => data.to_string(),
        _ => String::new(),
    }
}

fn wire_actor(actor: Actor) -> wire::Actor {
    let kind = match (actor.id, actor.npc) {
        (None, _) => wire::actor::Kind::System,
        (_, true) => wire::actor::Kind::Npc,
        _ => wire::actor::Kind::Player,
    };
    wire::Actor {
        id: actor.id.map(|id| id.to_string()).unwrap_or_default(),
        name: actor.name,
        account: actor.account.map(|id| id.to_string()).unwrap_or_default(),
        kind: kind.into(),
        staff: actor.staff,
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
