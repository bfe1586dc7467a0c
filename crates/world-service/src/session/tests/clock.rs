//! Leases of edges and a clock that jumps.

use super::*;

#[tokio::test]
async fn no_edge_is_blamed_for_a_time_in_which_nobody_could_hear_it() {
    let at = Running::new().await;
    let zone = Zone::serve(&at.world, zone_reply::Answer::Done(Done {})).await;
    let session = open(&at, &guest(&at).await, "e1").await;
    // The bus was away, or this process stood still.
    at.world.pass(60_000);
    at.session.sweep().await.expect("swept");
    assert!(renew(&at, "e1", &[&session]).await.is_empty());
    at.world.pass(9_999);
    at.session.sweep().await.expect("swept");
    assert!(zone.lost().is_empty(), "it says that it lives");
    at.world.pass(1);
    at.session.sweep().await.expect("swept");
    assert_eq!(zone.lost(), [(session.session, 120_000)], "and later no more");
}

#[tokio::test]
async fn a_clock_that_is_set_back_hides_no_dead_edge() {
    let at = Running::new().await;
    let zone = Zone::serve(&at.world, zone_reply::Answer::Done(Done {})).await;
    let session = open(&at, &guest(&at).await, "e1").await;
    at.session.sweep().await.expect("swept");
    at.world.pass(-3_600_000);
    at.session.sweep().await.expect("swept");
    assert!(zone.lost().is_empty(), "it has a lease's time from now on");
    for _ in 0..4 {
        at.world.pass(5_000);
        at.session.sweep().await.expect("swept");
    }
    assert_eq!(zone.lost(), [(session.session, 120_000)]);
}

#[tokio::test]
async fn an_edge_that_says_that_it_goes_is_not_waited_for() {
    let at = Running::new().await;
    let zone = Zone::serve(&at.world, zone_reply::Answer::Done(Done {})).await;
    let (left, stays) = (open(&at, &guest(&at).await, "e1").await, open(&at, &guest(&at).await, "e2").await);
    for _ in 0..2 {
        at.session.sweep().await.expect("swept");
        renew(&at, "e1", &[&left]).await;
        renew(&at, "e2", &[&stays]).await;
        at.world.pass(9_000);
    }
    at.session.sweep().await.expect("swept");
    assert!(zone.lost().is_empty(), "both have a second left");
    let gone = RenewRequest { edge: "e1".into(), sessions: Vec::new(), gone: true };
    let _: RenewReply = at.call("session", "renew", &gone).await.expect("noted");
    at.session.sweep().await.expect("swept");
    assert_eq!(zone.lost(), [(left.session.clone(), 120_000)], "and nobody else's");
}
