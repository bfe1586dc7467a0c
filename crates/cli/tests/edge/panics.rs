//! A task of the edge that panics ends alone, and leaves nothing behind: what it was for is ended, or taken up anew.

use std::time::{Duration, Instant};

use tidings_client::Error;
use tidings_edge::EdgeConfig;
use tidings_protocol::frames::What;
use tidings_test_support::Player;

use crate::harness::{House, Setup};

async fn house() -> House {
    let config = EdgeConfig { shards: 1, ..EdgeConfig::default() };
    House::with(Setup { config, ..Setup::default() }).await
}

/// Waits until nothing is left in the edge but this many connections.
async fn settles(house: &House, connections: usize) {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let counts = house.counts().await;
        if counts.connections == connections && counts.waiting == 0 && house.sessions() == connections {
            return;
        }
        assert!(Instant::now() < until, "{counts:?}, {} sessions", house.sessions());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_and_can_be_gone_on_with() {
    let house = house().await;
    let mut ann = house.player("Ann").await;
    // While one joins: it is told so.
    house.between.panic("cmd.zone.town");
    let session = house.api.guest().await.unwrap();
    let refused = tidings_client::Connection::enter(&house.api, &session, None).await;
    assert!(matches!(&refused, Err(Error::Bye(bye)) if bye.code == 4504), "{:?}", refused.err());
    settles(&house, 1).await;
    Player::enter(&house.api, session, None).await.unwrap();
    settles(&house, 1).await;
    // Where a command is brought to the zone: it is brought again.
    house.between.panic("cmd.zone.town");
    assert_eq!(ann.does("say found").await.unwrap(), "You say: found");
    // In a view: its client comes back.
    house.between.panic("cmd.zone.town");
    let refused = ann.connection.state(What::Map, None).await;
    assert!(matches!(&refused, Err(Error::Bye(bye)) if bye.code == 4504 && bye.reconnect), "{refused:?}");
    let mut ann = ann.reconnect().await.unwrap();
    assert_eq!(ann.does("say hi").await.unwrap(), "You say: hi");
    settles(&house, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mutes_are_loaded_and_ends_told_after_a_panic() {
    let house = house().await;
    let mut ann = house.player("Ann").await;
    let mut ben = house.player("Ben").await;
    house.between.panic("svc.moderation.v1.mutes");
    house.mutes_changed(&house.account("Ann").await.to_string()).await;
    ben.does("say heard").await.unwrap();
    ann.hears("Ben says: heard").await.unwrap();
    house.between.panic("svc.session.v1.lost");
    drop(Player::guest(&house.api).await.unwrap());
    settles(&house, 2).await;
    drop(ben);
    ann.hears("Ben's connection is lost.").await.unwrap();
    settles(&house, 1).await;
}
