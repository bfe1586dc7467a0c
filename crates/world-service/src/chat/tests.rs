//! The service over a bus and a store in memory: what is said is in the history, once, whoever dies in between.

use prost::Message as _;
use tidings_bus::{Append, EmbeddedConfig};
use tidings_protocol::proto::services::v1::{HistoryReply, HistoryRequest, SessionRecord};
use tidings_protocol::proto::world::v1::{Actor, Audiences, Event, MuteChange, Text};
use tidings_protocol::{AccountId, Audience, CharacterId, ErrorCode};
use tidings_service::Subjects;
use tidings_storage::{CharacterName, Mute, NewAccount, NewCharacter, Record, Role, Stamp, Username};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{ChatService, Config};
use crate::testing::{World, until};

fn character(n: u128) -> CharacterId {
    CharacterId::new(1, n)
}

fn account(n: u128) -> AccountId {
    AccountId::new(1, n)
}

fn room() -> Audience {
    "room.harbour_quay".parse().expect("an audience")
}

fn player(n: u128) -> Audience {
    Audience::Player(character(n))
}

fn text(line: &str) -> Option<Text> {
    Some(Text { key: line.into(), ..Text::default() })
}

fn said(by: u128, channel: &str, line: &str) -> Event {
    let from = Actor { account: account(by).to_string(), id: character(by).to_string(), ..Actor::default() };
    let time_ms = 1_763_700_000_000;
    Event { channel: channel.into(), from: Some(from), text: text(line), time_ms, ..Event::default() }
}

async fn commit(world: &World, records: &[(Audience, Event)]) {
    let batch = records.iter().map(|(audience, event)| Append {
        subject: Subjects(world.bus.registry()).log(audience).expect("a log"),
        payload: event.encode_to_vec().into(),
    });
    world.bus.commit(batch.collect(), Vec::new()).await.expect("stored");
}

/// An account with a character, its session, and the record by which it joins the room.
async fn enter(world: &World, n: u128) {
    let owner = NewAccount {
        id: account(n),
        username: Username::new(&format!("user.{n}x")).expect("a name"),
        password: None,
        role: Role::Player,
        guest: true,
        created_ms: world.now(),
    };
    world.store.create_account(&owner).await.expect("an account");
    let name = CharacterName::guest(u32::try_from(n).expect("small"));
    let made = NewCharacter { id: character(n), account: owner.id, name, created_ms: world.now() };
    world.store.create_character(&made, 1).await.expect("a character");
    let sessions = world.bus.kv(crate::session::BUCKET).expect("a bucket");
    let record = SessionRecord::default().encode_to_vec();
    sessions.put(&character(n).to_string(), record.into(), None).await.expect("opened");
    let after = vec![player(n).to_string(), room().to_string(), "world.lantern".into()];
    let joined = Event { audiences: Some(Audiences { before: vec![], after }), ..Event::default() };
    commit(world, &[(player(n), joined)]).await;
}

fn service(world: &World) -> ChatService {
    ChatService::new(world.store.clone(), world.bus.clone(), world.clock(), Config::default())
        .expect("a service")
}

fn reading(service: &ChatService) -> (CancellationToken, JoinHandle<()>) {
    let (stop, service) = (CancellationToken::new(), service.clone());
    let until = stop.clone();
    (stop, tokio::spawn(async move { service.maintain(until).await.expect("it reads") }))
}

async fn ask(service: &ChatService, audience: &str, channel: &str, limit: u32) -> Vec<String> {
    let request = HistoryRequest {
        audience: audience.into(),
        channel: channel.into(),
        limit,
        asker_account: account(9).to_string(),
        asker_character: character(9).to_string(),
        mutes: Vec::new(),
    };
    keys(service.clone().history(request).await.expect("an answer"))
}

/// What is heard in an audience, channel by channel.
async fn ask_all(service: &ChatService, audience: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for channel in ["say", "local", "system"] {
        lines.extend(ask(service, audience, channel, 20).await);
    }
    lines
}

fn keys(reply: HistoryReply) -> Vec<String> {
    reply.lines.into_iter().map(|line| line.text.expect("a text").key).collect()
}

async fn place(world: &World, audience: &Audience) -> u64 {
    world.store.chat_cursor(&world.bus.epoch(), audience).await.expect("a place")
}

#[tokio::test]
async fn a_line_is_in_the_history_from_when_it_was_said() {
    let world = World::new().await;
    let service = service(&world);
    enter(&world, 1).await;
    commit(&world, &[(room(), said(1, "say", "a"))]).await;
    assert_eq!(ask(&service, "room.harbour_quay", "say", 20).await, ["a"], "from the log alone");
    let (stop, task) = reading(&service);
    until(async || place(&world, &room()).await > 0).await;
    assert_eq!(ask(&service, "room.harbour_quay", "say", 20).await, ["a"], "from storage alone");
    stop.cancel();
    task.await.expect("it ended");
    commit(&world, &[(room(), said(1, "say", "b")), (room(), said(1, "local", "elsewhere"))]).await;
    assert_eq!(ask(&service, "room.harbour_quay", "say", 20).await, ["a", "b"], "from both");
    assert_eq!(ask(&service, "room.harbour_quay", "say", 1).await, ["b"]);
    assert_eq!(ask_all(&service, "room.harbour_quay").await, ["a", "b", "elsewhere"]);
    assert!(ask(&service, "room.harbour_other", "say", 20).await.is_empty());
}

#[tokio::test]
async fn what_is_no_speech_is_no_history() {
    let world = World::new().await;
    let service = service(&world);
    let refused = Event { refused: true, ..said(1, "say", "refused") };
    let aside = Event { only: vec![character(1).to_string()], ..said(1, "say", "aside") };
    let silent = Event { text: None, ..said(1, "say", "nothing") };
    let moved = Event { kind: "event.entered".into(), text: text("Ann arrives."), ..Event::default() };
    let records = [refused, aside, silent, moved, said(1, "say", "a")].map(|event| (room(), event));
    commit(&world, &records).await;
    assert_eq!(ask_all(&service, "room.harbour_quay").await, ["a"]);
}

#[tokio::test]
async fn a_whisper_is_in_the_history_of_its_two_parties_alone() {
    let world = World::new().await;
    let service = service(&world);
    for n in [1, 9] {
        enter(&world, n).await;
    }
    let own = Event { text: None, own: text("You to Ben"), ..said(9, "whisper", "") };
    commit(&world, &[(player(1), said(9, "whisper", "Ann to you")), (player(9), own)]).await;
    let (stop, task) = reading(&service);
    for stored in [false, true] {
        if stored {
            until(async || place(&world, &player(9)).await > 0).await;
        }
        assert_eq!(ask(&service, "", "whisper", 20).await, ["You to Ben"]);
        assert_eq!(ask(&service, &player(1).to_string(), "whisper", 20).await, ["Ann to you"]);
        assert!(ask(&service, "room.harbour_quay", "whisper", 20).await.is_empty());
    }
    stop.cancel();
    task.await.expect("it ended");
}

#[tokio::test]
async fn the_askers_mutes_hold_in_storage_and_in_the_log() {
    let world = World::new().await;
    let service = service(&world);
    enter(&world, 1).await;
    enter(&world, 9).await;
    let announced = Event { always: true, ..said(2, "system", "announced") };
    let records = [said(1, "say", "ann"), said(2, "say", "ben"), said(2, "local", "ben locally"), announced];
    commit(&world, &records.map(|event| (room(), event))).await;
    let mute = |seq, target: Option<AccountId>, channel: &str, removed| {
        let mute = Mute {
            account: account(9),
            target,
            channel: channel.into(),
            name: "x".into(),
            until_ms: None,
            reason: String::new(),
        };
        let (store, stamp) = (world.store.clone(), Stamp { epoch: "e".into(), seq });
        async move { store.apply(&stamp, &[Record::Mute { mute, removed }]).await.expect("kept") }
    };
    let (stop, task) = reading(&service);
    for stored in [0, 10] {
        if stored > 0 {
            until(async || place(&world, &room()).await > 0).await;
        }
        let quay = "room.harbour_quay";
        assert_eq!(ask_all(&service, quay).await, ["ann", "ben", "ben locally", "announced"]);
        mute(stored + 1, Some(account(2)), "say", false).await;
        assert_eq!(ask_all(&service, quay).await, ["ann", "ben locally", "announced"]);
        assert_eq!(ask(&service, quay, "say", 20).await, ["ann"]);
        mute(stored + 2, Some(account(2)), "", false).await;
        assert_eq!(ask_all(&service, quay).await, ["ann", "announced"]);
        mute(stored + 3, None, "say", false).await;
        assert_eq!(ask_all(&service, quay).await, ["announced"]);
        assert!(ask(&service, quay, "say", 20).await.is_empty());
        for (target, channel) in [(Some(account(2)), "say"), (Some(account(2)), ""), (None, "say")] {
            mute(stored + 4, target, channel, true).await;
        }
    }
    stop.cancel();
    task.await.expect("it ended");
}

/// A mute was confirmed that storage does not have yet.
#[tokio::test]
async fn the_mutes_that_the_zone_knows_hold_too() {
    let world = World::new().await;
    let service = service(&world);
    enter(&world, 1).await;
    let records = [said(1, "say", "ann"), said(2, "say", "ben"), said(2, "local", "ben locally")];
    commit(&world, &records.map(|event| (room(), event))).await;
    let mute = |target: Option<AccountId>, channel: &str| MuteChange {
        target_account: target.map(|target| target.to_string()).unwrap_or_default(),
        channel: channel.into(),
        ..MuteChange::default()
    };
    let (stop, task) = reading(&service);
    for stored in [false, true] {
        if stored {
            until(async || place(&world, &room()).await > 0).await;
        }
        for (mute, heard) in [
            (mute(Some(account(2)), ""), vec!["ann"]),
            (mute(Some(account(2)), "say"), vec!["ann", "ben locally"]),
            (mute(None, "say"), vec!["ben locally"]),
        ] {
            let mut lines = Vec::new();
            for channel in ["say", "local"] {
                let request = HistoryRequest {
                    audience: room().to_string(),
                    channel: channel.into(),
                    limit: 20,
                    asker_account: account(9).to_string(),
                    asker_character: character(9).to_string(),
                    mutes: vec![mute.clone()],
                };
                lines.extend(keys(service.clone().history(request).await.expect("an answer")));
            }
            assert_eq!(lines, heard);
        }
    }
    stop.cancel();
    task.await.expect("it ended");
}

#[tokio::test]
async fn killed_at_any_time_it_keeps_every_line_once() {
    let world = World::new().await;
    let mut expected = Vec::new();
    for round in 0..12_u32 {
        let service = service(&world);
        let (_stop, task) = reading(&service);
        let party: Audience = format!("party.{}", character(77)).parse().expect("an audience");
        if round == 3 {
            let after = vec![party.to_string()];
            let joined = Event { audiences: Some(Audiences { before: vec![], after }), ..Event::default() };
            commit(&world, &[(player(1), joined)]).await;
        }
        if round == 0 {
            enter(&world, 1).await;
        }
        for n in 0..20 {
            let line = format!("{round}.{n}");
            let to = if round >= 3 && n % 3 == 0 { party.clone() } else { room() };
            commit(&world, &[(to.clone(), said(1, "say", &line))]).await;
            expected.push((to, line));
            // Now and then it gets to work, and to storage.
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
        }
        if round % 4 == 2 {
            until(async || place(&world, &room()).await > 0).await;
        }
        // Killed: nothing that waits is written.
        task.abort();
        let _ = task.await;
    }
    let service = service(&world);
    let of = |audience: &Audience| -> Vec<String> {
        expected.iter().filter(|(to, _)| to == audience).map(|(_, line)| line.clone()).collect()
    };
    let party: Audience = format!("party.{}", character(77)).parse().expect("an audience");
    for audience in [room(), party.clone()] {
        assert_eq!(ask(&service, &audience.to_string(), "say", 500).await, of(&audience), "storage and log");
    }
    let (stop, task) = reading(&service);
    let all = |audience: Audience| {
        let query = tidings_storage::ChatQuery {
            audience,
            channel: "say".to_owned(),
            without: vec![],
            through: None,
            limit: 1_000,
        };
        let store = world.store.clone();
        async move { store.chat_lines(&query).await.expect("lines") }
    };
    for audience in [room(), party] {
        until(async || all(audience.clone()).await.len() >= of(&audience).len()).await;
        let stored: Vec<String> = all(audience.clone())
            .await
            .iter()
            .map(|line| Text::decode(line.body.as_slice()).expect("a text").key)
            .collect();
        assert_eq!(stored, of(&audience), "storage alone");
    }
    stop.cancel();
    task.await.expect("it ended");
}

/// More than a transaction holds and than is in memory, said before the reader begins and while it reads: it goes on
/// without a rest, and has each line once, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_far_behind_catches_up() {
    const LINES: usize = 9_000;
    let folder = tempfile::tempdir().expect("a folder");
    let data = Some(folder.path().to_owned());
    let config = EmbeddedConfig { data, tail_bytes: 64 * 1024, ..EmbeddedConfig::default() };
    let mut world = World::new().await;
    world.bus = crate::testing::bus_over(config);
    let service = service(&world);
    enter(&world, 1).await;
    let party: Audience = format!("party.{}", character(77)).parse().expect("an audience");
    let after = vec![player(1).to_string(), room().to_string(), party.to_string()];
    let joined = Event { audiences: Some(Audiences { before: vec![], after }), ..Event::default() };
    commit(&world, &[(player(1), joined)]).await;
    let say = async |from: usize| {
        let lines: Vec<_> = (from..from + LINES / 2)
            .flat_map(|n| [room(), party.clone()].map(|to| (to, said(1, "say", &n.to_string()))))
            .collect();
        for some in lines.chunks(1_000) {
            commit(&world, some).await;
        }
    };
    say(0).await;
    let (stop, task) = reading(&service);
    say(LINES / 2).await;
    let all = async |audience: &Audience| {
        let (channel, audience) = ("say".to_owned(), audience.clone());
        let query =
            tidings_storage::ChatQuery { audience, channel, without: vec![], through: None, limit: 1_000 };
        let lines = world.store.chat_lines(&query).await.expect("lines");
        lines.iter().map(|line| Text::decode(line.body.as_slice()).expect("a text").key).collect::<Vec<_>>()
    };
    for audience in [room(), party.clone()] {
        let newest: Vec<_> = (LINES - 1_000..LINES).map(|n| n.to_string()).collect();
        until(async || all(&audience).await == newest).await;
    }
    stop.cancel();
    task.await.expect("it ended");
}

#[tokio::test]
async fn a_party_that_left_nothing_is_followed_no_more() {
    let world = World::new().await;
    let service = service(&world);
    enter(&world, 1).await;
    let party = |made, n| Audience::Party(tidings_protocol::PartyId::new(made, n));
    let now = u64::try_from((world.clock())()).expect("after 1970");
    let (silent, heard, young) = (party(1, 1), party(1, 2), party(now, 3));
    let after = [&silent, &heard, &young].map(ToString::to_string).into();
    let joined = Event { audiences: Some(Audiences { before: vec![], after }), ..Event::default() };
    commit(&world, &[(player(1), joined.clone()), (heard.clone(), said(1, "party", "a"))]).await;
    let places = async || {
        let all = world.store.chat_cursors(&world.bus.epoch(), None, 100).await.expect("places");
        all.into_iter()
            .map(|(audience, _)| audience)
            .filter(|one| matches!(one, Audience::Party(_)))
            .collect::<std::collections::BTreeSet<_>>()
    };
    let (stop, task) = reading(&service);
    until(async || places().await.len() == 3).await;
    stop.cancel();
    task.await.expect("it ended");
    // What is forgotten is forgotten at the start, and every ten minutes.
    let (stop, task) = reading(&service);
    until(async || places().await == [heard.clone(), young.clone()].into()).await;
    // A member that moves, or whoever joins, makes it known again.
    commit(&world, &[(player(1), joined), (silent.clone(), said(1, "party", "b"))]).await;
    until(async || place(&world, &silent).await > 0).await;
    assert_eq!(ask(&service, &silent.to_string(), "party", 20).await, ["b"]);
    stop.cancel();
    task.await.expect("it ended");
}

#[tokio::test]
async fn an_answer_has_at_most_so_many_lines_and_bytes() {
    let world = World::new().await;
    let service = service(&world);
    for n in 0..600 {
        commit(&world, &[(room(), said(1, "say", &n.to_string()))]).await;
    }
    let lines = ask(&service, "room.harbour_quay", "say", 9_999).await;
    assert_eq!((lines.len(), lines[0].as_str(), lines[499].as_str()), (500, "100", "599"));
    for n in 0..20 {
        let long = format!("{n} {}", "x".repeat(8_000));
        commit(&world, &[(room(), said(1, "say", &long))]).await;
    }
    let lines = ask(&service, "room.harbour_quay", "say", 500).await;
    assert!(lines.iter().map(String::len).sum::<usize>() <= super::history::BYTES_MAX);
    assert!(lines.last().is_some_and(|line| line.starts_with("19 ")), "the newest are kept");
    assert_eq!(lines.len(), 8);
}

#[tokio::test]
async fn nonsense_is_refused() {
    let world = World::new().await;
    let service = service(&world);
    let good = HistoryRequest {
        audience: "room.harbour_quay".into(),
        channel: "say".into(),
        limit: 20,
        asker_account: account(9).to_string(),
        asker_character: character(9).to_string(),
        mutes: Vec::new(),
    };
    for bad in [
        HistoryRequest { audience: "room.*".into(), ..good.clone() },
        HistoryRequest { audience: "zone.harbour".into(), ..good.clone() },
        HistoryRequest { asker_account: "x".into(), ..good.clone() },
        HistoryRequest { audience: String::new(), asker_character: ">".into(), ..good.clone() },
        HistoryRequest { channel: String::new(), ..good.clone() },
    ] {
        let error = service.clone().history(bad).await.expect_err("refused");
        assert_eq!(error.code, ErrorCode::InvalidArgument);
    }
    let odd = HistoryRequest { channel: "'; DROP TABLE chat; --".into(), ..good };
    assert!(service.clone().history(odd).await.expect("an answer").lines.is_empty());
}
