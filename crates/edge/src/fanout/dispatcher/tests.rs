//! What is handed out to whom, where a shard comes or goes between an event's taking and its handing out.

use prost::Message as _;
use tidings_bus::{Embedded, EmbeddedConfig};
use tidings_protocol::proto::world::v1 as wire;
use tidings_protocol::text::Catalogue;
use tidings_service::{declare, subjects};

use super::super::interner::Interner;
use super::*;

/// A dispatcher of two shards, and what they are told.
struct Desk {
    dispatcher: Dispatcher,
    told: Vec<mpsc::Receiver<ToShard>>,
    /// A player's log, and a room the player enters.
    player: Arc<AudienceInfo>,
    room: Arc<AudienceInfo>,
}

const PLAYER: &str = "player.00000000000000000000000000000001";
const ROOM: &str = "room.town_hall";

impl Desk {
    fn new() -> Self {
        let backend = Embedded::open(declare(EmbeddedConfig::default())).expect("in memory");
        let bus = Bus::new(backend, Arc::new(subjects::registry(None).expect("the registry")));
        let interner = Arc::new(Interner::default());
        let known = |name: &str| interner.intern(&name.parse().expect("an audience"));
        let (player, room) = (known(PLAYER), known(ROOM));
        let encoder = Encoder::new(bus.epoch(), "en".into(), Catalogue::builtin(), interner);
        let (shards, told) = (0..2).map(|_| mpsc::channel(16)).unzip();
        let dispatcher = Dispatcher::new(bus, Arc::new(encoder), shards, Arc::default());
        Self { dispatcher, told, player, room }
    }

    async fn opens(&mut self, shard: usize, audience: &Arc<AudienceInfo>) {
        let audiences = vec![Arc::clone(audience)];
        let asks = vec![Ask { ticket: 1, audiences, after: 0 }];
        self.dispatcher.command(ToDispatcher::Open { shard, asks }).await;
        assert!(matches!(self.told[shard].try_recv(), Ok(ToShard::Opened(_))));
    }

    async fn releases(&mut self, shard: usize, audience: &Arc<AudienceInfo>) {
        let audience = Arc::clone(audience);
        self.dispatcher.command(ToDispatcher::Release { shard, audience, holds: 1 }).await;
    }

    /// A record of the player's log is taken; it waits, as for a log that is behind.
    fn takes(&mut self, seq: u64, event: &wire::Event) {
        let subject = Subjects(self.dispatcher.bus.registry()).log(&self.player.audience).expect("a log");
        let payload = event.encode_to_vec().into();
        let message = LogMessage::new(subject, seq, 0, 0, payload);
        self.dispatcher.take(Followed::Message(message));
    }

    /// It waits no more: how many events each shard got.
    async fn hands_out(&mut self, through: u64) -> Vec<usize> {
        self.dispatcher.through = through;
        self.dispatcher.hand_out().await;
        let events = |told: &mut mpsc::Receiver<ToShard>| match told.try_recv() {
            Ok(ToShard::Batch { events, .. }) => events.len(),
            Ok(other) => panic!("{other:?}"),
            Err(_) => 0,
        };
        self.told.iter_mut().map(events).collect()
    }

    fn holders(&self, audience: &Arc<AudienceInfo>) -> Vec<usize> {
        self.dispatcher.open.get(&audience.id).map_or_else(Vec::new, |open| open.shards().collect())
    }
}

fn enters() -> wire::Event {
    let (before, after) = (vec![PLAYER.to_owned()], vec![PLAYER.to_owned(), ROOM.to_owned()]);
    wire::Event { audiences: Some(wire::Audiences { before, after }), ..wire::Event::default() }
}

#[tokio::test]
async fn what_a_change_opens_is_held_by_the_shards_that_get_it() {
    let mut desk = Desk::new();
    let (player, room) = (Arc::clone(&desk.player), Arc::clone(&desk.room));
    desk.opens(0, &player).await;
    desk.takes(5, &enters());
    assert_eq!(desk.hands_out(5).await, [1, 0]);
    assert_eq!(desk.holders(&room), [0]);
    desk.releases(0, &room).await;
    // The player's next change waits; meanwhile the session is gone from one shard, and back in the other.
    desk.takes(9, &enters());
    desk.releases(0, &player).await;
    desk.opens(1, &player).await;
    assert_eq!(desk.hands_out(9).await, [0, 1]);
    assert_eq!(desk.holders(&room), [1], "a hold that no shard counts is for ever");
    desk.releases(1, &room).await;
    assert!(desk.holders(&room).is_empty());
}

#[tokio::test]
async fn a_mute_comes_to_every_shard() {
    let mut desk = Desk::new();
    let player = Arc::clone(&desk.player);
    desk.opens(1, &player).await;
    let mute = wire::Event { mute: Some(wire::MuteChange::default()), ..wire::Event::default() };
    desk.takes(5, &mute);
    desk.takes(6, &wire::Event::default());
    assert_eq!(desk.hands_out(6).await, [1, 2]);
}

#[tokio::test]
async fn what_is_asked_again_while_a_log_is_behind_waits_once() {
    let mut desk = Desk::new();
    for seq in [9, 5, 7] {
        for _ in 0..1000 {
            desk.dispatcher.command(ToDispatcher::Need { shard: 1, seq }).await;
        }
    }
    assert_eq!(desk.dispatcher.needs.len(), 3);
    desk.dispatcher.through = 7;
    desk.dispatcher.answer_needs().await;
    assert!(matches!(desk.told[1].try_recv(), Ok(ToShard::Batch { through: 7, .. })));
    assert!(desk.told[1].try_recv().is_err() && desk.told[0].try_recv().is_err());
    assert_eq!(desk.dispatcher.needs.len(), 1);
}
