//! Edges that were taken for dead, and live.

use super::*;

/// A zone, and a session whose edge was silent for a lease.
async fn lapsed(at: &Running) -> (Zone, OpenSession) {
    let zone = Zone::serve(&at.world, zone_reply::Answer::Done(Done {})).await;
    let session = open(at, &guest(at).await, "e1").await;
    at.world.pass(10_000);
    at.session.sweep().await.expect("swept");
    assert_eq!(zone.lost().len(), 1);
    (zone, session)
}

fn last(zone: &Zone) -> (link::Kind, u64) {
    let last = zone.links().pop().expect("a link");
    (last.kind(), last.generation)
}

async fn record(at: &Running, session: &OpenSession) -> SessionRecord {
    let sessions = at.world.bus.kv(super::super::BUCKET).expect("a bucket");
    let entry = sessions.get(&character(session)).await.expect("an answer").expect("a record");
    SessionRecord::decode(entry.value).expect("its form")
}

#[tokio::test]
async fn an_edge_that_lives_keeps_its_people() {
    let at = Running::new().await;
    let (zone, session) = lapsed(&at).await;
    at.world.pass(60_000);
    assert!(renew(&at, "e1", &[&session]).await.is_empty(), "however long it was away");
    until(async || record(&at, &session).await.lost_ms == 0).await;
    assert_eq!(last(&zone), (link::Kind::Back, session.generation));
    assert!(renew(&at, "e1", &[&session]).await.is_empty());
    // It falls silent a second time.
    for _ in 0..3 {
        at.world.pass(9_000);
        at.session.sweep().await.expect("swept");
    }
    assert_eq!(zone.lost().len(), 2);
    assert_eq!(last(&zone).0, link::Kind::Lost);
}

#[tokio::test]
async fn a_socket_that_was_lost_meanwhile_stays_lost() {
    let at = Running::new().await;
    let (zone, session) = lapsed(&at).await;
    lost(&at, of(&session)).await;
    // A renewal that was under way for long.
    assert!(renew(&at, "e1", &[&session]).await.is_empty());
    at.session.inner.index.lock().revives(&session.session);
    at.session.revive().await;
    assert_ne!(record(&at, &session).await.lost_ms, 0);
    assert_eq!(last(&zone).0, link::Kind::Lost);
    at.world.pass(5_001);
    assert_eq!(renew(&at, "e1", &[&session]).await, [(session.session.clone(), 4502)]);
}

/// A zone whose requests are answered by hand: each as it comes, with what else happens then.
struct Slow(Subscription);

impl Slow {
    async fn serve(at: &Running) -> Self {
        let subject = at.world.bus.registry().pattern("cmd.zone", &[Some("harbour")]).expect("a pattern");
        Self(at.world.bus.queue_subscribe(&subject, "zone", 256).await.expect("served"))
    }

    /// The next request, and what it says of a connection.
    async fn next(&mut self) -> (tidings_bus::Message, Link) {
        let message = tokio::time::timeout(std::time::Duration::from_secs(10), self.0.next());
        let message = message.await.expect("nothing is asked").expect("a request");
        let request = ZoneRequest::decode(message.payload.clone()).expect("its form");
        let Some(zone_request::Ask::Link(link)) = request.ask else { panic!("not of a connection") };
        (message, link)
    }

    async fn hears(&mut self, kind: link::Kind) -> tidings_bus::Message {
        let (message, link) = self.next().await;
        assert_eq!(link.kind(), kind);
        message
    }
}

fn answer(message: tidings_bus::Message, answer: zone_reply::Answer) {
    message.respond(ZoneReply { answer: Some(answer) }.encode_to_vec().into()).expect("answered");
}

fn done(message: tidings_bus::Message) {
    answer(message, zone_reply::Answer::Done(Done {}));
}

/// A session whose edge was silent for a lease, and is renewed: its zone was asked to have it back.
async fn asked_back(at: &Running) -> (Slow, OpenSession, tidings_bus::Message) {
    let (mut zone, session) = (Slow::serve(at).await, open(at, &guest(at).await, "e1").await);
    at.world.pass(10_000);
    let swept = tokio::spawn({
        let service = at.session.clone();
        async move { service.sweep().await }
    });
    done(zone.hears(link::Kind::Lost).await);
    swept.await.expect("no panic").expect("swept");
    assert!(renew(at, "e1", &[&session]).await.is_empty());
    let back = zone.hears(link::Kind::Back).await;
    (zone, session, back)
}

/// The zone hears of the two in the wrong order: it is told once more, until it answers.
#[tokio::test]
async fn a_socket_that_is_lost_while_it_is_taken_up_again_is_lost() {
    let at = Running::new().await;
    let (mut zone, session, back) = asked_back(&at).await;
    lost(&at, of(&session)).await;
    done(back);
    drop(zone.hears(link::Kind::Lost).await);
    let (again, link) = zone.next().await;
    assert_eq!((link.kind(), link.grace_ms), (link::Kind::Lost, 0), "as its edge says it");
    done(again);
    assert_ne!(record(&at, &session).await.lost_ms, 0);
}

/// Of a session that a zone is asked to have back nobody says meanwhile that it is lost.
#[tokio::test]
async fn a_zone_is_told_of_one_session_one_after_the_other() {
    let at = Running::new().await;
    let (mut zone, session, back) = asked_back(&at).await;
    for _ in 0..3 {
        at.world.pass(9_000);
        at.session.sweep().await.expect("swept");
    }
    let silence = std::time::Duration::from_millis(200);
    assert!(tokio::time::timeout(silence, zone.0.next()).await.is_err(), "it is not answered yet");
    done(back);
    until(async || record(&at, &session).await.lost_ms == 0).await;
    let swept = tokio::spawn({
        let service = at.session.clone();
        async move { service.sweep().await }
    });
    done(zone.hears(link::Kind::Lost).await);
    swept.await.expect("no panic").expect("swept");
    assert_ne!(record(&at, &session).await.lost_ms, 0);
}

#[tokio::test]
async fn one_whose_zone_did_not_answer_is_lost_when_its_edge_falls_silent_again() {
    let at = Running::new().await;
    let (mut zone, _, back) = asked_back(&at).await;
    drop(back);
    for _ in 0..3 {
        at.world.pass(9_000);
        let service = at.session.clone();
        tokio::spawn(async move { service.sweep().await }).await.expect("no panic").expect("swept");
    }
    let lost = loop {
        let (message, link) = zone.next().await;
        match link.kind() {
            link::Kind::Lost => break message,
            link::Kind::Back => drop(message),
        }
    };
    done(lost);
}

#[tokio::test]
async fn one_that_is_revoked_while_it_is_taken_up_again_stays_so() {
    let at = Running::new().await;
    let (mut zone, session, back) = asked_back(&at).await;
    let request = RevokeRequest { session: session.session.clone(), ..RevokeRequest::default() };
    let revoked = tokio::spawn({
        let (bus, request) = (at.world.bus.clone(), request);
        async move {
            let reply: RevokeReply = tidings_service::Caller::new(bus)
                .call("session", "revoke", &request, std::time::Duration::from_secs(5))
                .await
                .expect("revoked");
            reply.revoked
        }
    });
    // The zone is to let it go.
    let leave = zone.0.next().await.expect("a request");
    done(back);
    done(leave);
    assert_eq!(revoked.await.expect("no panic"), 1);
    for _ in 0..3 {
        at.session.revive().await;
    }
    let record = record(&at, &session).await;
    assert!(record.revoked && record.lost_ms != 0);
}

#[tokio::test]
async fn who_left_meanwhile_is_told_to_come_back() {
    let at = Running::new().await;
    let (_zone, session, back) = asked_back(&at).await;
    let refusal = Refusal { code: ErrorCode::NotFound.as_str().into(), ..Refusal::default() };
    answer(back, zone_reply::Answer::Refusal(refusal));
    until(async || record(&at, &session).await.closed_ms != 0).await;
    assert_eq!(renew(&at, "e1", &[&session]).await, [(session.session.clone(), 4503)]);
    let back = resume(&at, &session.resume_secret, "e1").await.expect("back");
    assert!(!back.existed, "it enters anew");
}

#[tokio::test]
async fn a_revoked_session_is_not_taken_up_again() {
    let at = Running::new().await;
    let (_zone, session) = lapsed(&at).await;
    let request = RevokeRequest { session: session.session.clone(), ..RevokeRequest::default() };
    assert_eq!(revoke(&at, request).await, 1);
    assert_eq!(renew(&at, "e1", &[&session]).await, [(session.session.clone(), 4003)]);
}

/// A crowd, of which some were called lost when their edge was back.
#[tokio::test]
async fn nobody_else_is_called_lost_once_their_edge_is_back() {
    let at = Running::new().await;
    let mut zone = Slow::serve(&at).await;
    for _ in 0..super::super::lease::AT_ONCE_MAX + 6 {
        open(&at, &guest(&at).await, "e1").await;
    }
    at.world.pass(10_000);
    let swept = tokio::spawn({
        let service = at.session.clone();
        async move { service.sweep().await }
    });
    let mut asked = vec![zone.hears(link::Kind::Lost).await];
    renew(&at, "e1", &[]).await;
    while asked.len() < super::super::lease::AT_ONCE_MAX {
        asked.push(zone.hears(link::Kind::Lost).await);
    }
    asked.into_iter().for_each(done);
    swept.await.expect("no panic").expect("swept");
    assert!(tokio::time::timeout(std::time::Duration::from_millis(200), zone.next()).await.is_err());
}
