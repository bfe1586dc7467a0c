//! Ends that have to be told: a crowd that is lost at once asks no more of others than they answer, and all of it is
//! told once they do.

use std::time::{Duration, Instant};

use tidings_client::{Connection, Error};
use tidings_edge::EdgeConfig;
use tidings_test_support::Player;

use crate::harness::{House, Setup};

/// What the edge asks when a connection is lost.
const LOST: &str = "svc.session.v1.lost";
/// More than one shard asks for at once.
const CROWD: usize = 48;
/// So many.
const AT_ONCE: usize = 32;

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_is_lost_is_told_a_few_at_a_time() {
    let config = EdgeConfig { shards: 1, ..EdgeConfig::default() };
    let house = House::with(Setup { config, ..Setup::default() }).await;
    let ann = house.player("Ann").await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(Player::guest(&house.api).await.unwrap());
    }
    house.between.silence(LOST, true);
    house.between.asked();
    let names: Vec<String> = crowd.iter().map(|player| player.name.clone()).collect();
    drop(crowd);
    let until = Instant::now() + Duration::from_secs(10);
    while house.sessions() > 1 {
        assert!(Instant::now() < until, "the edge does not see that they are gone");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Time for what would be wrong: all of them at once.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(house.between.asked().get(LOST), Some(&AT_ONCE));
    house.between.silence(LOST, false);
    let mut ann = ann;
    for name in names {
        ann.hears(&format!("{name}'s connection is lost.")).await.unwrap();
    }
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let counts = house.counts().await;
        if counts.waiting == 0 && counts.connections == 1 {
            return;
        }
        assert!(Instant::now() < until, "{counts:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_whose_end_would_have_no_place() {
    let config = EdgeConfig { shards: 1, connections: 3, ..EdgeConfig::default() };
    let house = House::with(Setup { config, ..Setup::default() }).await;
    let mut ann = house.player("Ann").await;
    let crowd = [Player::guest(&house.api).await.unwrap(), Player::guest(&house.api).await.unwrap()];
    house.between.silence(LOST, true);
    let names = crowd.each_ref().map(|player| player.name.clone());
    drop(crowd);
    let until = Instant::now() + Duration::from_secs(10);
    while house.counts().await.connections > 1 {
        assert!(Instant::now() < until, "the edge does not see that they are gone");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let session = house.api.guest().await.unwrap();
    let refused = Connection::enter(&house.api, &session, None).await;
    assert!(
        matches!(&refused, Err(Error::Bye(bye)) if bye.code == 4503 && bye.reconnect),
        "{:?}",
        refused.err()
    );
    house.between.silence(LOST, false);
    for name in names {
        ann.hears(&format!("{name}'s connection is lost.")).await.unwrap();
    }
    let until = Instant::now() + Duration::from_secs(10);
    while house.counts().await.waiting > 0 {
        assert!(Instant::now() < until, "they are not told");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Connection::enter(&house.api, &session, None).await.unwrap();
}
