//! Two people and a third: they talk, walk, whisper, mute and leave, line by line in the server's voice.

use tidings_client::frames::ServerFrame;

use crate::harness::House;

#[tokio::test(flavor = "multi_thread")]
async fn two_players_meet_talk_walk_and_part() {
    let house = House::new().await;
    let mut ann = house.player("Ann").await;
    assert_eq!(ann.state.body["room"]["id"], "town_hall");
    ann.hears("Welcome, Ann.").await.unwrap();
    let mut ben = house.player("Ben").await;
    ben.hears("Welcome, Ben.").await.unwrap();
    ann.hears("Ben has joined the world.").await.unwrap();

    assert_eq!(ann.does("say hello").await.unwrap(), "You say: hello");
    let heard = ben.hears("Ann says: hello").await.unwrap();
    assert_eq!((heard.kind.as_str(), heard.audience.as_str()), ("chat.say", "room"));
    assert_eq!(heard.data["message"], "hello");
    ann.does_not_hear("Ann says: hello").await.unwrap();

    assert_eq!(ben.does("go east").await.unwrap(), "You go east.");
    assert_eq!(ben.sees_room().await.unwrap().body["room"]["id"], "town_gate");
    ann.hears("Ben leaves to the east.").await.unwrap();
    ann.does("say are you there?").await.unwrap();
    ben.does_not_hear("Ann says: are you there?").await.unwrap();
    assert_eq!(ann.does("local over here").await.unwrap(), "[local] You: over here");
    ben.hears("[local] Ann: over here").await.unwrap();
    assert_eq!(ben.does("whisper ann psst").await.unwrap(), "[whisper] You to Ann: psst");
    ann.hears("[whisper] Ben to you: psst").await.unwrap();

    // Over the border of the zone and back.
    assert_eq!(ben.does("north").await.unwrap(), "You go north.");
    assert_eq!(ben.sees_room().await.unwrap().body["room"]["id"], "hill_foot");
    assert_eq!(ben.does("global from the hill").await.unwrap(), "[global] You: from the hill");
    ann.hears("[global] Ben: from the hill").await.unwrap();
    ben.does("south").await.unwrap();
    ben.does("west").await.unwrap();
    ann.hears("Ben arrives from the east.").await.unwrap();

    assert!(ann.does("who").await.unwrap().starts_with("Online: 2"));
    assert!(ann.refused("frobnicate").await.unwrap().starts_with("There is no command 'frobnicate'."));
    assert_eq!(ben.does("quit").await.unwrap(), "Goodbye, Ben.");
    ann.hears("Ben has left the world.").await.unwrap();
    loop {
        match ben.connection.next().await.unwrap() {
            ServerFrame::Bye(bye) => break assert_eq!((bye.code, bye.reconnect), (4000, false)),
            _ => continue,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mute_holds_from_its_confirmation_on() {
    let house = House::new().await;
    let mut ann = house.player("Ann").await;
    let mut ben = house.player("Ben").await;
    ann.hears("Ben has joined the world.").await.unwrap();
    ben.does("say before").await.unwrap();
    ann.hears("Ben says: before").await.unwrap();
    ann.lines().await;
    assert_eq!(ann.does("mute Ben").await.unwrap(), "You have muted Ben.");
    for line in ["say one", "local two", "global three", "whisper Ann four", "smile"] {
        let _ = ben.connection.command(line).await.unwrap();
    }
    assert_eq!(ann.lines().await, Vec::<String>::new());
    assert_eq!(ann.does("unmute Ben").await.unwrap(), "You have unmuted Ben.");
    ben.does("say after").await.unwrap();
    ann.hears("Ben says: after").await.unwrap();
}
