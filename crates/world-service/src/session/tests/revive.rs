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
    at.session.revive().await;
    assert_ne!(record(&at, &session).await.lost_ms, 0);
    assert_eq!(last(&zone).0, link::Kind::Lost);
    at.world.pass(5_001);
    assert_eq!(renew(&at, "e1", &[&session]).await, [(session.session.clone(), 4502)]);
}

/// The zone hears of the two in the wrong order: it is told once more.
#[tokio::test]
async fn a_socket_that_is_lost_while_it_is_taken_up_again_is_lost() {
    let at = Running::new().await;
    let session = open(&at, &guest(&at).await, "e1").await;
    at.world.pass(10_000);
    at.session.sweep().await.expect("nobody serves the zone");
    let subject = at.world.bus.registry().pattern("cmd.zone", &[Some("harbour")]).expect("a pattern");
    let mut requests = at.world.bus.queue_subscribe(&subject, "zone", 64).await.expect("served");
    renew(&at, "e1", &[&session]).await;
    let mut kinds = Vec::new();
    while kinds.len() < 2 {
        let message = requests.next().await.expect("a request");
        let request = ZoneRequest::decode(message.payload.clone()).expect("its form");
        let Some(zone_request::Ask::Link(link)) = request.ask else { continue };
        if link.kind() == link::Kind::Back {
            lost(&at, of(&session)).await;
        } else if kinds.is_empty() {
            continue;
        }
        kinds.push(link.kind());
        let reply = ZoneReply { answer: Some(zone_reply::Answer::Done(Done {})) };
        message.respond(reply.encode_to_vec().into()).expect("answered");
    }
    assert_eq!(kinds, [link::Kind::Back, link::Kind::Lost]);
    assert_ne!(record(&at, &session).await.lost_ms, 0);
}

#[tokio::test]
async fn who_left_meanwhile_is_told_to_come_back() {
    let at = Running::new().await;
    let refusal = Refusal { code: ErrorCode::NotFound.as_str().into(), ..Refusal::default() };
    let _zone = Zone::serve(&at.world, zone_reply::Answer::Refusal(refusal)).await;
    let session = open(&at, &guest(&at).await, "e1").await;
    at.world.pass(10_000);
    at.session.sweep().await.expect("swept");
    assert_eq!(renew(&at, "e1", &[&session]).await, [(session.session.clone(), 4503)]);
    let back = resume(&at, &session.resume_secret, "e1").await.expect("back");
    assert!(!back.existed, "it enters anew");
}

#[tokio::test]
async fn a_revoked_session_is_not_taken_up_again() {
    let at = Running::new().await;
    let (zone, session) = lapsed(&at).await;
    let request = RevokeRequest { session: session.session.clone(), ..RevokeRequest::default() };
    assert_eq!(revoke(&at, request).await, 1);
    assert_eq!(renew(&at, "e1", &[&session]).await, [(session.session.clone(), 4003)]);
    at.session.revive().await;
    assert_eq!(last(&zone).0, link::Kind::Lost);
}
