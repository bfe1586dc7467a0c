//! The service as edges meet it: over the bus, in memory, with a clock that moves when it is told to.

mod clock;
mod revive;

use std::sync::Arc;

use parking_lot::Mutex;
use prost::Message as _;
use tidings_bus::{EmbeddedConfig, Subscription};
use tidings_protocol::proto::services::v1::{
    Empty, GuestRequest, Identity, OpenSession, OpenSessionRequest, Present, RenewReply, RenewRequest,
    ResumeSessionRequest, RevokeReply, RevokeRequest, SessionControl, SessionRecord, SessionRequest, Tokens,
    VerifyRequest,
};
use tidings_protocol::proto::world::v1::{
    Done, Link, Refusal, ZoneReply, ZoneRequest, link, zone_reply, zone_request,
};
use tidings_protocol::{CharacterId, ErrorCode};
use tidings_service::{CallError, Subjects};
use tidings_storage::{CharacterName, NewCharacter};

use crate::clock::{id_time, random_bits};
use crate::testing::{Running, World, bus_over, cheap, until};

async fn guest(at: &Running) -> Identity {
    let tokens: Tokens = at.call("account", "guest", &GuestRequest::default()).await.expect("a guest");
    let ask = VerifyRequest { access_token: tokens.access_token };
    at.call("account", "verify", &ask).await.expect("verified")
}

async fn open(at: &Running, identity: &Identity, edge: &str) -> OpenSession {
    let request = OpenSessionRequest {
        identity: Some(identity.clone()),
        edge: edge.into(),
        ..OpenSessionRequest::default()
    };
    at.call("session", "open", &request).await.expect("opened")
}

async fn resume(at: &Running, secret: &str, edge: &str) -> Result<OpenSession, CallError> {
    let request =
        ResumeSessionRequest { secret: secret.into(), edge: edge.into(), ..ResumeSessionRequest::default() };
    at.call("session", "resume", &request).await
}

async fn renew(at: &Running, edge: &str, sessions: &[&OpenSession]) -> Vec<(String, u32)> {
    let sessions = sessions.iter().map(|one| one.session.clone()).collect();
    let request = RenewRequest { edge: edge.into(), sessions, gone: false };
    let reply: RenewReply = at.call("session", "renew", &request).await.expect("renewed");
    reply.ended.into_iter().map(|end| (end.session, end.code)).collect()
}

async fn revoke(at: &Running, request: RevokeRequest) -> u32 {
    let reply: RevokeReply = at.call("session", "revoke", &request).await.expect("revoked");
    reply.revoked
}

fn of(session: &OpenSession) -> SessionRequest {
    SessionRequest {
        session: session.session.clone(),
        character: character(session),
        generation: session.generation,
        gone: false,
    }
}

fn character(session: &OpenSession) -> String {
    session.character.as_ref().expect("a character").id.clone()
}

async fn lost(at: &Running, request: SessionRequest) {
    let _: Empty = at.call("session", "lost", &request).await.expect("noted");
}

async fn close(at: &Running, request: SessionRequest) {
    let _: Empty = at.call("session", "close", &request).await.expect("closed");
}

async fn controls(at: &Running) -> Subscription {
    let pattern = at.world.bus.registry().pattern("ctl", &[Some("sessions")]).expect("a pattern");
    at.world.bus.subscribe(&pattern, 64).await.expect("a subscription")
}

async fn control(heard: &mut Subscription) -> SessionControl {
    let message = heard.next().await.expect("a message");
    SessionControl::decode(message.payload).expect("its form")
}

fn refused<T>(answer: Result<T, CallError>) -> ErrorCode {
    answer.map(drop).expect_err("refused").code
}

#[tokio::test]
async fn a_character_enters_where_it_was_or_at_the_start() {
    let at = Running::new().await;
    let identity = guest(&at).await;
    let first = open(&at, &identity, "e1").await;
    let entering = first.character.clone().expect("a character");
    assert_eq!((entering.zone.as_str(), entering.room.as_str(), entering.guest), ("harbour", "", true));
    assert_eq!((first.generation, first.existed), (1, false));
    let record = tidings_storage::Record::Character {
        id: entering.id.parse().expect("an id"),
        room: "hills_top".parse().expect("a room"),
        state: "{\"a\":1}".into(),
    };
    let stamp = tidings_storage::Stamp { epoch: "e".into(), seq: 1 };
    at.world.store.apply(&stamp, &[record]).await.expect("kept");
    let again = open(&at, &identity, "e1").await.character.expect("a character");
    assert_eq!(
        (again.zone.as_str(), again.room.as_str(), again.state.as_str()),
        ("hills", "hills_top", "{\"a\":1}")
    );
    // It walked on, and storage has not heard of it yet.
    let present = Present { zone: "moor".into(), room: "moor_stone".into(), ..Present::default() };
    let bucket = at.world.bus.kv(crate::presence::BUCKET).expect("a bucket");
    bucket.put(&entering.id, present.encode_to_vec().into(), None).await.expect("written");
    let there = open(&at, &identity, "e1").await.character.expect("a character");
    assert_eq!((there.zone.as_str(), there.room.as_str()), ("moor", "moor_stone"));
}

#[tokio::test]
async fn nobody_enters_by_what_is_not_theirs() {
    let at = Running::new().await;
    let (ann, ben) = (guest(&at).await, guest(&at).await);
    let bens = open(&at, &ben, "e1").await.character.expect("a character");
    let ask = |identity: Option<&Identity>, character: &str, edge: &str| OpenSessionRequest {
        identity: identity.cloned(),
        character: character.into(),
        edge: edge.into(),
        ..OpenSessionRequest::default()
    };
    let forged = Identity { family: ben.family.clone(), ..ann.clone() };
    for (request, why) in [
        (ask(Some(&ann), &bens.id, "e1"), ErrorCode::NotFound),
        (ask(Some(&ann), &bens.name, "e1"), ErrorCode::NotFound),
        (ask(Some(&ann), "nobody", "e1"), ErrorCode::NotFound),
        (ask(Some(&ann), "*", "e1"), ErrorCode::NotFound),
        (ask(Some(&ann), "", "e.1 >"), ErrorCode::InvalidArgument),
        (ask(Some(&forged), "", "e1"), ErrorCode::Unauthenticated),
        (ask(Some(&Identity::default()), "", "e1"), ErrorCode::InvalidArgument),
        (ask(None, "", "e1"), ErrorCode::Unauthenticated),
    ] {
        assert_eq!(refused(at.call::<OpenSession>("session", "open", &request).await), why, "{request:?}");
    }
    // One with two characters says which; one with none is told to make one.
    let several = at.world.account("several").await;
    let family = tidings_storage::NewFamily {
        id: "f".repeat(32),
        account: several,
        token_hash: tidings_storage::Secret::new([9; 32]),
        created_ms: at.world.now(),
        expires_ms: i64::MAX,
    };
    at.world.store.create_family(&family).await.expect("signed in");
    let identity =
        Identity { account: several.to_string(), family: family.id.clone(), ..Identity::default() };
    let none = at.call::<OpenSession>("session", "open", &ask(Some(&identity), "", "e1")).await;
    assert_eq!(refused(none), ErrorCode::FailedPrecondition);
    for name in ["Cleo", "Dora"] {
        let id = CharacterId::new(id_time(at.world.now()), random_bits().expect("bits"));
        let name = CharacterName::new(name).expect("a name");
        let character = NewCharacter { id, account: several, name, created_ms: at.world.now() };
        at.world.store.create_character(&character, 9).await.expect("a character");
    }
    let which = at.call::<OpenSession>("session", "open", &ask(Some(&identity), "", "e1")).await;
    assert_eq!(refused(which), ErrorCode::InvalidArgument);
    let dora: OpenSession =
        at.call("session", "open", &ask(Some(&identity), "dORA", "e1")).await.expect("opened");
    assert_eq!(dora.character.expect("a character").name, "Dora");
}

#[tokio::test]
async fn a_second_sign_in_takes_over() {
    let at = Running::new().await;
    let identity = guest(&at).await;
    let first = open(&at, &identity, "e1").await;
    let mut heard = controls(&at).await;
    let second = open(&at, &identity, "e2").await;
    assert!(second.existed);
    assert_ne!(first.session, second.session, "command ids begin anew");
    assert_eq!(second.generation, 2);
    let message = control(&mut heard).await;
    assert_eq!((message.session, message.code), (first.session.clone(), 4001));
    assert_eq!(refused(resume(&at, &first.resume_secret, "e1").await), ErrorCode::Unauthenticated);
    // What comes late of the first changes nothing, and says so.
    let late: Result<Empty, _> = at.call("session", "lost", &of(&first)).await;
    assert_eq!(refused(late), ErrorCode::FailedPrecondition);
    close(&at, of(&first)).await;
    at.world.pass(6_000);
    assert_eq!(renew(&at, "e1", &[&first]).await, [(first.session.clone(), 4003)]);
    assert!(renew(&at, "e2", &[&second]).await.is_empty());
    resume(&at, &second.resume_secret, "e2").await.expect("it lives");
}

#[tokio::test]
async fn a_secret_is_replaced_and_the_one_before_is_good_until_then() {
    let at = Running::new().await;
    let identity = guest(&at).await;
    let first = open(&at, &identity, "e1").await;
    let mut heard = controls(&at).await;
    let second = resume(&at, &first.resume_secret, "e2").await.expect("back");
    assert_eq!((&second.session, second.generation, second.existed), (&first.session, 2, true));
    let message = control(&mut heard).await;
    assert_eq!((message.session, message.below_generation, message.code), (first.session.clone(), 2, 4001));
    // The answer was lost: the client comes with the first one again.
    let third = resume(&at, &first.resume_secret, "e2").await.expect("back again");
    // The word of the second's loss comes late: refused, and the third is not lost.
    let late: Result<Empty, _> = at.call("session", "lost", &of(&second)).await;
    assert_eq!(refused(late), ErrorCode::FailedPrecondition);
    lost(&at, of(&third)).await;
    lost(&at, of(&third)).await; // told twice: once
    let fourth = resume(&at, &third.resume_secret, "e1").await.expect("by the newest");
    for stale in [&first, &second] {
        assert_eq!(refused(resume(&at, &stale.resume_secret, "e1").await), ErrorCode::Unauthenticated);
    }
    resume(&at, &third.resume_secret, "e1").await.expect("the one before is good until the new one is used");
    assert_eq!(fourth.generation, 4);
}

#[tokio::test]
async fn a_secret_that_is_foreign_or_none_is_refused() {
    let at = Running::new().await;
    let ann = open(&at, &guest(&at).await, "e1").await;
    let ben = open(&at, &guest(&at).await, "e1").await;
    let random = ben.resume_secret.split_once('.').expect("two parts").1;
    let empty = format!("{}.", character(&ann));
    let foreign = format!("{}.{random}", character(&ann));
    let nobody = format!("{}.{random}", CharacterId::new(1, 1));
    let long = format!("{}{}", ann.resume_secret, "x".repeat(9_999));
    for bad in ["", ".", "x", "*.>", &empty, &foreign, &nobody, &long] {
        let error = resume(&at, bad, "e1").await.expect_err("refused");
        assert_eq!(error.code, ErrorCode::Unauthenticated, "{bad}");
        assert!(bad.len() < 2 || !format!("{error} {error:?}").contains(bad));
    }
    for one in [&ann, &ben] {
        assert!(!format!("{one:?}").contains(&one.resume_secret));
        resume(&at, &one.resume_secret, "e1").await.expect("its own is good still");
    }
}

#[tokio::test]
async fn what_is_revoked_ends_at_once_and_stays_so() {
    let at = Running::new().await;
    let identity = guest(&at).await;
    let session = open(&at, &identity, "e1").await;
    let other = open(&at, &guest(&at).await, "e1").await;
    let mut heard = controls(&at).await;
    let request = RevokeRequest {
        account: identity.account.clone(),
        code: 4005,
        reason: "Enough.".into(),
        ..RevokeRequest::default()
    };
    assert_eq!(revoke(&at, request.clone()).await, 1);
    let (account, one) = (control(&mut heard).await, control(&mut heard).await);
    assert_eq!(
        (account.account, account.code, account.reason.as_str()),
        (identity.account.clone(), 4005, "Enough.")
    );
    assert_eq!(account.made_ms, at.world.now(), "what is opened later is not meant");
    assert_eq!((one.session, one.code), (session.session.clone(), 4005));
    assert_eq!(revoke(&at, request).await, 0, "once");
    assert_eq!(refused(resume(&at, &session.resume_secret, "e1").await), ErrorCode::Unauthenticated);
    assert_eq!(renew(&at, "e1", &[&session, &other]).await, [(session.session.clone(), 4003)]);
    let again =
        OpenSessionRequest { identity: Some(identity), edge: "e1".into(), ..OpenSessionRequest::default() };
    let again = at.call::<OpenSession>("session", "open", &again).await;
    assert_eq!(refused(again), ErrorCode::Unauthenticated, "its sign-ins ended too");

    assert_eq!(revoke(&at, RevokeRequest { session: other.session.clone(), ..Default::default() }).await, 1);
    assert_eq!(refused(resume(&at, &other.resume_secret, "e1").await), ErrorCode::Unauthenticated);
    let third = open(&at, &guest(&at).await, "e1").await;
    assert_eq!(revoke(&at, RevokeRequest { all: true, ..Default::default() }).await, 1);
    assert_eq!(refused(resume(&at, &third.resume_secret, "e1").await), ErrorCode::Unauthenticated);
    let none: Result<RevokeReply, _> = at.call("session", "revoke", &RevokeRequest::default()).await;
    assert_eq!(refused(none), ErrorCode::InvalidArgument);
}

/// While those that are meant are being ended, somebody signs in anew.
#[tokio::test]
async fn a_session_that_was_opened_after_a_revocation_stays() {
    let at = Running::new().await;
    let later = open(&at, &guest(&at).await, "e1").await;
    let sessions = at.world.bus.kv(super::BUCKET).expect("a bucket");
    let entry = sessions.get(&character(&later)).await.expect("an answer").expect("a record");
    let record = SessionRecord::decode(entry.value).expect("its form");
    let account = record.account.clone();
    let record = SessionRecord { opened_ms: at.world.now() + 1, ..record }.encode_to_vec();
    sessions.put(&character(&later), record.into(), None).await.expect("written");
    for request in [
        RevokeRequest { account, ..RevokeRequest::default() },
        RevokeRequest { all: true, ..RevokeRequest::default() },
    ] {
        assert_eq!(revoke(&at, request).await, 0);
    }
    assert!(renew(&at, "e1", &[&later]).await.is_empty(), "its socket stays");
    let one = RevokeRequest { session: later.session, ..RevokeRequest::default() };
    assert_eq!(revoke(&at, one).await, 1);
}

#[tokio::test]
async fn one_that_left_on_purpose_is_over_and_one_whose_grace_ended_may_come_back() {
    let at = Running::new().await;
    let quit = open(&at, &guest(&at).await, "e1").await;
    close(&at, of(&quit)).await;
    assert_eq!(refused(resume(&at, &quit.resume_secret, "e1").await), ErrorCode::Unauthenticated);

    let faded = open(&at, &guest(&at).await, "e1").await;
    lost(&at, of(&faded)).await;
    close(&at, of(&faded)).await;
    at.world.pass(60_000);
    let back = resume(&at, &faded.resume_secret, "e1").await.expect("back");
    assert_eq!((&back.session, back.existed), (&faded.session, false), "it enters anew");
    lost(&at, of(&back)).await;
    close(&at, of(&back)).await;
    at.world.pass(15 * 60_000);
    assert_eq!(refused(resume(&at, &back.resume_secret, "e1").await), ErrorCode::Unauthenticated, "too late");
}

/// A zone that answers every request, and what it was asked.
struct Zone {
    asked: Arc<Mutex<Vec<ZoneRequest>>>,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

impl Zone {
    async fn serve(world: &World, answer: zone_reply::Answer) -> Self {
        let zone = "harbour".parse().expect("a zone");
        let subject = Subjects(world.bus.registry()).zone_commands(&zone).expect("a subject");
        let pattern = world.bus.registry().pattern("cmd.zone", &[Some("harbour")]).expect("a pattern");
        assert_eq!(pattern.as_str(), subject.as_str());
        let mut requests = world.bus.queue_subscribe(&pattern, "zone", 64).await.expect("served");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Some(message) = requests.next().await {
                kept.lock().push(ZoneRequest::decode(message.payload.clone()).expect("its form"));
                let reply = ZoneReply { answer: Some(answer.clone()) };
                message.respond(reply.encode_to_vec().into()).expect("answered");
            }
        });
        Self { asked, _task: tokio_util::task::AbortOnDropHandle::new(task) }
    }

    fn lost(&self) -> Vec<(String, u64)> {
        let links = self.links().into_iter().filter(|ask| ask.kind() == link::Kind::Lost);
        links.map(|ask| (ask.session, ask.grace_ms)).collect()
    }

    fn links(&self) -> Vec<Link> {
        let asked = self.asked.lock();
        let links = asked.iter().filter_map(|request| match &request.ask {
            Some(zone_request::Ask::Link(ask)) => Some(ask.clone()),
            _ => None,
        });
        links.collect()
    }
}

#[tokio::test]
async fn sessions_of_an_edge_that_fell_silent_are_lost() {
    let at = Running::new().await;
    let zone = Zone::serve(&at.world, zone_reply::Answer::Done(Done {})).await;
    let dead = open(&at, &guest(&at).await, "e1").await;
    let alive = open(&at, &guest(&at).await, "e2").await;
    at.world.pass(9_999);
    renew(&at, "e2", &[&alive]).await;
    at.session.sweep().await.expect("swept");
    assert!(zone.lost().is_empty(), "not yet");
    at.world.pass(1);
    at.session.sweep().await.expect("swept");
    assert_eq!(zone.lost(), [(dead.session.clone(), 120_000)]);
    at.session.sweep().await.expect("swept");
    assert_eq!(zone.lost().len(), 1, "told once");
    let back = resume(&at, &dead.resume_secret, "e2").await.expect("back");
    assert!(back.existed);
    assert!(renew(&at, "e2", &[&back]).await.is_empty());
    assert_eq!(renew(&at, "e1", &[&dead]).await, [(dead.session.clone(), 4001)], "it goes on elsewhere");
}

#[tokio::test]
async fn a_zone_that_does_not_answer_is_told_again() {
    let at = Running::new().await;
    let dead = open(&at, &guest(&at).await, "e1").await;
    at.world.pass(10_000);
    at.session.sweep().await.expect("nobody serves the zone yet");
    let zone = Zone::serve(&at.world, zone_reply::Answer::Done(Done {})).await;
    at.session.sweep().await.expect("swept");
    assert_eq!(zone.lost(), [(dead.session, 120_000)]);
}

/// It entered elsewhere and walked here; storage does not have it any more.
#[tokio::test]
async fn the_zone_is_told_that_the_character_is_in() {
    let at = Running::new().await;
    let zone = Zone::serve(&at.world, zone_reply::Answer::Done(Done {})).await;
    let identity = guest(&at).await;
    let bucket = at.world.bus.kv(crate::presence::BUCKET).expect("a bucket");
    let entered = open(&at, &identity, "e1").await;
    for zone in ["moor", "harbour"] {
        let present = Present { zone: zone.into(), ..Present::default() }.encode_to_vec();
        bucket.put(&character(&entered), present.into(), None).await.expect("written");
        if zone == "moor" {
            let there = open(&at, &identity, "e1").await.character.expect("a character");
            assert_eq!(there.zone, "moor");
        }
    }
    let account = identity.account.parse().expect("an account");
    let id = character(&entered).parse().expect("an id");
    assert!(at.world.store.delete_character(account, id).await.expect("deleted"));
    at.world.pass(10_000);
    at.session.sweep().await.expect("swept");
    assert_eq!(zone.lost().len(), 1);
}

#[tokio::test]
async fn one_that_its_zone_does_not_know_is_closed() {
    let at = Running::new().await;
    let refusal = Refusal { code: ErrorCode::NotFound.as_str().into(), ..Refusal::default() };
    let _zone = Zone::serve(&at.world, zone_reply::Answer::Refusal(refusal)).await;
    let dead = open(&at, &guest(&at).await, "e1").await;
    at.world.pass(10_000);
    at.session.sweep().await.expect("swept");
    let back = resume(&at, &dead.resume_secret, "e1").await.expect("back");
    assert!(!back.existed, "it enters anew");
}

#[tokio::test]
async fn a_grace_that_ends_closes_the_session() {
    let at = Running::new().await;
    let (gone, here) = (open(&at, &guest(&at).await, "e1").await, open(&at, &guest(&at).await, "e1").await);
    lost(&at, of(&gone)).await;
    let bucket = at.world.bus.kv(crate::presence::BUCKET).expect("a bucket");
    let sessions = at.world.bus.kv(super::BUCKET).expect("a bucket");
    for one in [&gone, &here] {
        let present = Present { zone: "harbour".into(), ..Present::default() }.encode_to_vec();
        bucket.put(&character(one), present.into(), None).await.expect("written");
    }
    for one in [&here, &gone] {
        bucket.delete(&character(one)).await.expect("deleted");
    }
    let gone_id = character(&gone).parse().expect("an id");
    until(async || !super::is_in_world(&sessions, gone_id).await.expect("an answer")).await;
    let here_id = character(&here).parse().expect("an id");
    assert!(super::is_in_world(&sessions, here_id).await.expect("an answer"), "its edge closes it");
}

#[tokio::test]
async fn after_a_restart_valid_sessions_live_and_revoked_ones_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = EmbeddedConfig { data: Some(folder.path().to_owned()), ..EmbeddedConfig::default() };
    let mut world = World::new().await;
    world.bus = bus_over(config.clone());
    let at = Running::over(world, cheap()).await;
    let (valid, ended) = (open(&at, &guest(&at).await, "e1").await, open(&at, &guest(&at).await, "e1").await);
    revoke(&at, RevokeRequest { session: ended.session.clone(), ..Default::default() }).await;
    let mut world = at.end();
    world.bus.drain(std::time::Duration::from_secs(5)).await;

    world.bus = bus_over(config);
    let at = Running::over(world, cheap()).await;
    let zone = Zone::serve(&at.world, zone_reply::Answer::Done(Done {})).await;
    assert_eq!(refused(resume(&at, &ended.resume_secret, "e2").await), ErrorCode::Unauthenticated);
    // Nobody renews the edge of the process before: both are told of as lost, or taken out, once a lease is over.
    at.session.sweep().await.expect("too early");
    assert!(zone.lost().is_empty());
    at.world.pass(10_000);
    until(async || {
        at.session.sweep().await.expect("swept");
        zone.asked.lock().len() >= 2
    })
    .await;
    assert_eq!(zone.lost(), [(valid.session.clone(), 120_000)]);
    let leaves = zone.asked.lock().iter().any(|request| {
        matches!(&request.ask, Some(zone_request::Ask::Leave(leave)) if leave.character == character(&ended))
    });
    assert!(leaves, "the revoked one is taken out");
    let back = resume(&at, &valid.resume_secret, "e2").await.expect("back");
    assert!(back.existed);
}
