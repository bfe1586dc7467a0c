//! Which answer ends a command, and when it is asked again: attempts and their numbers, without a zone.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::atomic::AtomicU64;

use tidings_bus::{Bus, Embedded, EmbeddedConfig};
use tidings_protocol::proto::world::v1::CommandDone;
use tidings_protocol::text::Catalogue;
use tidings_protocol::{AccountId, CharacterId, SessionId};
use tidings_service::{Caller, declare, subjects};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::conn::Phase;
use super::super::members::Hearing;
use super::super::pace::Pace;
use super::super::table::{Queued, Session};
use super::*;
use crate::config::EdgeConfig;
use crate::fanout::{Encoded, Encoder, Reader, Special, ToShard};
use crate::http::ConnInfo;
use crate::limits::{Clock, Limits, Rates};
use crate::session::{RecentMutes, Sessions};
use crate::shared::Shared;

/// A shard with one live session that has a command in flight.
struct Desk {
    shard: Rc<Shard>,
    at: At,
    _client: TcpStream,
}

pub(in crate::shard) fn shared() -> Arc<Shared> {
    let backend = Embedded::open(declare(EmbeddedConfig::default())).expect("in memory");
    let bus = Bus::new(backend, Arc::new(subjects::registry(None).expect("the registry")));
    let catalogue = Catalogue::builtin();
    let encoder = Arc::new(Encoder::new(bus.epoch(), "en".into(), catalogue, Arc::default()));
    Arc::new(Shared {
        config: EdgeConfig::default(),
        caller: Caller::new(bus.clone()),
        limits: Arc::new(Limits::new(&Rates::default(), Clock::system())),
        limits_shown: serde_json::Map::new(),
        reader: Reader::new(bus.clone(), Arc::clone(&encoder)),
        encoder,
        dispatcher: mpsc::channel(1).0,
        sessions: Sessions::default(),
        recent_mutes: RecentMutes::default(),
        shards: Vec::new(),
        head: Arc::new(AtomicU64::new(0)),
        bus,
    })
}

pub(in crate::shard) fn session() -> Session {
    Session {
        id: SessionId::from_u128(1),
        character: CharacterId::from_u128(2),
        account: AccountId::from_u128(3),
        generation: 1,
        zone: "town".parse().expect("a zone"),
        audiences: Vec::new(),
        mutes: Rc::default(),
        muting: false,
        replay: None,
        gate: None,
        hints: None,
        inflight: Some(Inflight {
            id: "c1".into(),
            text: "say hello".into(),
            logged: 0,
            asked: 0,
            late: None,
            until: 30,
            tries: 0,
            counted: Rc::default(),
        }),
        queue: VecDeque::new(),
        state_seq: 0,
        views: 0,
        refused: (0, 0),
    }
}

impl Desk {
    async fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let shard = Shard::new(0, shared(), CancellationToken::new());
        let info = ConnInfo { address: address.ip(), origin_present: false, deflate: false };
        let at = shard.inner.borrow_mut().insert(accepted.expect("a socket").0, info);
        shard.inner.borrow_mut().conn(at).expect("the connection").phase = Phase::Live(Box::new(session()));
        Self { shard, at, _client: client.expect("a socket") }
    }

    /// The command is asked; its number.
    fn asks(&self) -> u64 {
        self.shard.inner.borrow_mut().next_attempt(self.at).expect("a command is in flight").2
    }

    fn answered(&self, number: u64, answer: Result<zone_reply::Answer, CallError>) {
        self.shard.inner.borrow_mut().answered(number, answer);
    }

    /// The pauses that were begun since the last look: before which numbers' repeats.
    fn pauses(&self) -> Vec<u64> {
        let todo = std::mem::take(&mut self.shard.inner.borrow_mut().todo);
        let again = |todo: Todo| if let Todo::Again(_, number, _) = todo { Some(number) } else { None };
        todo.into_iter().filter_map(again).collect()
    }

    /// What would be looked at when the pause is over: whether the command is asked again.
    fn is_asked_again(&self, number: u64) -> bool {
        self.shard.inner.borrow_mut().asked(self.at) == Some(number)
    }

    fn in_flight(&self) -> bool {
        self.shard.inner.borrow_mut().is_inflight(self.at, "c1")
    }
}

fn done(in_log: bool, seq: u64) -> Result<zone_reply::Answer, CallError> {
    let reply = (!in_log).then(Default::default);
    Ok(zone_reply::Answer::Command(CommandDone { ok: true, reply, seq, in_log }))
}

fn away() -> Result<zone_reply::Answer, CallError> {
    Err(CallError::unavailable("Nobody serves the zone."))
}

/// Who is heard is in a room, whose line ends the command in flight.
#[tokio::test]
async fn what_is_handed_out_is_written_by_the_next_turn_and_the_next_command_goes_before() {
    let desk = Desk::new().await;
    let line = Encoded {
        special: Some(Box::new(Special {
            origin: Some(SessionId::from_u128(1)),
            command: "c1".into(),
            own: Some(Bytes::from_static(b"reply")),
            ..Special::default()
        })),
        ..Encoded::sample(7)
    };
    {
        let mut inner = desk.shard.inner.borrow_mut();
        inner.join_audience(desk.at.key, &line.audience, Hearing::Heard);
        inner.by_session.insert(SessionId::from_u128(1), desk.at.key);
        let counted = Rc::clone(&inner.unanswered);
        let next = Queued { id: "c2".into(), text: "say more".into(), counted };
        inner.session(desk.at).expect("a session").queue.push_back(next);
    }
    let mut pace = Pace::default();
    let waiting = || desk.shard.inner.borrow_mut().conn(desk.at).expect("the connection").out.bytes();
    desk.shard.take(ToShard::Batch { events: vec![Arc::new(line)], through: 7 }, &mut pace);
    desk.shard.settle();
    assert!(desk.shard.inner.borrow_mut().is_inflight(desk.at, "c2"), "the next command goes at once");
    assert_eq!(waiting(), "reply".len(), "and the reply waits for the turn");
    desk.shard.write_turn(&mut pace);
    assert_eq!((waiting(), desk.shard.is_paced()), (0, false));
    // What comes of a session by itself between two turns is written at once.
    desk.shard.inner.borrow_mut().push_now(desk.at, Bytes::from_static(b"pong"));
    desk.shard.settle();
    assert_eq!(waiting(), 0);
}

#[tokio::test]
async fn an_answer_during_the_pause_before_a_repeat_ends_the_command() {
    for (in_log, seq) in [(false, 0), (false, 7), (true, 7)] {
        let desk = Desk::new().await;
        let first = desk.asks();
        // Nobody answered in time: there is a pause, and then it would be asked again.
        desk.shard.inner.borrow_mut().tick = 10;
        desk.shard.inner.borrow_mut().sweep_commands();
        assert_eq!(desk.pauses(), [first]);
        assert!(desk.is_asked_again(first), "nothing came yet");
        desk.answered(first, done(in_log, seq));
        assert!(!desk.is_asked_again(first), "in_log {in_log}, seq {seq}: it was answered");
        // Its reply waits for its place in the flow, where that is still to come.
        assert_eq!(desk.in_flight(), seq > 0);
        // And no other word of that attempt changes anything: it is answered once.
        for late in [away(), done(false, 0), Ok(zone_reply::Answer::Done(Default::default()))] {
            desk.answered(first, late);
            assert_eq!((desk.in_flight(), desk.pauses()), (seq > 0, Vec::new()));
        }
    }
}

#[tokio::test]
async fn a_late_answer_of_an_older_attempt_meets_nothing() {
    let desk = Desk::new().await;
    let first = desk.asks();
    desk.answered(first, away());
    assert_eq!(desk.pauses(), [first]);
    let second = desk.asks();
    assert_ne!(first, second);
    // The first attempt's own answers come after all: the second is the one that is waited for.
    for late in [done(false, 0), away(), Err(CallError::internal("A fault."))] {
        desk.answered(first, late);
        assert!(desk.in_flight() && desk.pauses().is_empty() && desk.is_asked_again(second));
    }
    desk.answered(second, done(false, 0));
    assert!(!desk.in_flight());
    // Of a connection that is no more, nothing is there to be met either.
    desk.answered(u64::MAX, done(false, 0));
}

#[tokio::test]
async fn a_command_is_given_up_when_no_repeat_has_time_or_helps() {
    let desk = Desk::new().await;
    let first = desk.asks();
    desk.answered(first, Err(CallError::new(ErrorCode::InvalidArgument, "No such character.")));
    assert!(!desk.in_flight() && desk.pauses().is_empty(), "no repeat helps");
    let desk = Desk::new().await;
    let first = desk.asks();
    desk.shard.inner.borrow_mut().tick = 30;
    desk.answered(first, away());
    assert!(!desk.in_flight() && desk.pauses().is_empty(), "its time is over");
}
