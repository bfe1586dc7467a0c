//! What the edge asks of others for one person does not grow with the people around.

use std::collections::BTreeMap;

use tidings_client::frames::What;
use tidings_test_support::Player;

use crate::harness::House;

/// Those in the room, at each measurement.
const CROWDS: [usize; 3] = [1, 10, 200];

type Asked = BTreeMap<String, usize>;

/// What is asked for one who joins and for each of its views. Renewals of leases and the reloading of mutes go by
/// time, whoever does what.
async fn asked(house: &House, name: &str) -> (Asked, Asked, Asked) {
    let one = |mut asked: Asked| {
        asked.remove("svc.session.v1.renew");
        asked
    };
    let (username, password) = (format!("{}-account", name.to_lowercase()), "correct horse");
    house.api.register(&username, password).await.unwrap();
    let session = house.api.sign_in(&username, password).await.unwrap();
    house.api.create_character(&session, name).await.unwrap();
    house.between.asked();
    let mut player = Player::enter(&house.api, session, Some(name)).await.unwrap();
    player.lines().await;
    let mut joined = one(house.between.asked());
    // What happened while one came in has come already, and is read, or comes by itself: a matter of time.
    for by_time in ["read", "retained"] {
        assert!(joined.remove(by_time).unwrap_or_default() <= 1, "{by_time}, more than once");
    }
    player.connection.state(What::Room, None).await.unwrap();
    let room = one(house.between.asked());
    player.connection.state(What::Occupants, None).await.unwrap();
    let occupants = one(house.between.asked());
    player.does("quit").await.unwrap();
    (joined, room, occupants)
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_and_looking_cost_the_same_in_a_full_room() {
    let house = House::new().await;
    let mut crowd = Vec::new();
    let mut seen: Vec<(Asked, Asked, Asked)> = Vec::new();
    for (people, name) in CROWDS.into_iter().zip(["Ann", "Ben", "Cat"]) {
        while crowd.len() < people {
            crowd.push(Player::guest(&house.api).await.unwrap());
        }
        seen.push(asked(&house, name).await);
    }
    let (joined, room, occupants) = &seen[0];
    let expected = [
        ("svc.account.v1.issue-ticket", 1),
        ("svc.account.v1.verify", 1),
        ("svc.session.v1.open", 1),
        ("cmd.zone.town", 1), // to enter: the room and the mutes come with the answer
    ];
    for (subject, times) in expected {
        assert_eq!(joined.get(subject), Some(&times), "{subject} of {joined:?}");
    }
    for view in [room, occupants] {
        assert_eq!(
            view,
            &Asked::from([("cmd.zone.town".to_owned(), 1), ("cmd.zone.town view".to_owned(), 1)])
        );
    }
    for more in &seen[1..] {
        assert_eq!(more, &seen[0]);
    }
}
