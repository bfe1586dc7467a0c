//! A shard: one thread, one runtime, its own connections. Everything here runs on that thread.
//!
//! [`Inner`] is the state, and its methods never wait: what has to be asked of others they leave as [`Todo`], which
//! [`Shard::settle`] starts after flushing what was queued. What the dispatcher hands out is written in turns ([`pace`]):
//! an event that comes with a hundred others with them, and one that comes alone at once, without waking anything.

mod commands;
mod conn;
mod deliver;
mod end;
mod ends;
mod hints;
mod input;
mod members;
mod mute_set;
mod mutes;
mod outbox;
mod pace;
mod replay;
mod replies;
mod settle;
mod sheet;
mod sweep;
mod table;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foldhash::{HashMap, HashMapExt as _};
use metrics::{Counter, Gauge, counter, gauge};
use slab::Slab;
use tidings_protocol::proto::services::v1::SessionControl;
use tidings_protocol::{CharacterId, MessageWriter, SessionId};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fanout::{Ask, AudienceId, Counts, Opened, ToDispatcher, ToShard};
use crate::http::{Adopt, ConnInfo};
use crate::session::Waves;
use crate::shared::Shared;
use crate::ws::deflate::Deflater;

pub use conn::{At, Conn, Phase};
pub use end::{Bye, End, Ended};
pub use ends::Untold;
pub use members::{Hearing, Members};
pub(crate) use mute_set::MuteSet;
pub(crate) use mutes::UNKNOWN_MAX;
use pace::{DELIVERIES_A_TURN, MESSAGES_A_TURN, Pace, Work, events};
pub use replay::{Held, Replay};
pub use table::Session;

/// What is read from a socket at once: larger than any frame that is allowed, one buffer for the whole shard.
const SCRATCH_BYTES: usize = 16 * 1024;
/// How often deadlines are looked at: they are of seconds.
pub(crate) const TICK: Duration = Duration::from_millis(500);
/// People who join at once, a shard: as many as the service `session` answers at once. Each step of a crowd is done
/// together, so that more at once cost less each.
const JOINS_MAX: usize = 256;
/// How long work that was begun may go on when the shard stops: telling others of sessions that ended.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// One shard.
pub struct Shard {
    /// Its place among the shards.
    pub index: usize,
    /// What all shards share.
    pub shared: Arc<Shared>,
    /// Its state.
    pub inner: RefCell<Inner>,
    /// People who join take a permit.
    pub joins: Semaphore,
    /// And go together.
    pub waves: Waves,
    pub(crate) tasks: TaskTracker,
    pub(crate) cancel: CancellationToken,
    /// What zones answered to commands.
    answers: Arc<commands::Answers>,
    scratch: RefCell<Vec<u8>>,
}

/// The state of a shard.
pub struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) conns: Slab<Conn>,
    pub(crate) audiences: HashMap<AudienceId, Members>,
    pub(crate) by_session: HashMap<SessionId, u32>,
    pub(crate) by_character: HashMap<CharacterId, u32>,
    pub(crate) mutes: HashMap<u128, mutes::Entry>,
    /// Accounts whose mutes are to be loaded; each once.
    pub(crate) unloaded: Vec<u128>,
    pub(crate) mutes_loading: bool,
    pub(crate) mute_changes: u64,
    /// Told whenever some mutes are known.
    pub(crate) mutes_known: Rc<Notify>,
    /// What others have to be told of.
    pub(crate) ends: ends::Ends,
    /// Somebody tells them.
    pub(crate) telling: bool,
    /// Told of more to tell.
    pub(crate) untold: Rc<Notify>,
    pub(crate) openings: HashMap<u64, (At, oneshot::Sender<Opened>)>,
    /// Of them, what the dispatcher is to be asked yet.
    asks: Vec<Ask>,
    pub(crate) waiting: Vec<table::WaitingReply>,
    /// Held by each command whose reply is not in an outbox yet.
    pub(crate) unanswered: Rc<()>,
    /// The last control messages, the newest at the end.
    pub(crate) controls: VecDeque<Arc<SessionControl>>,
    /// How many there have been.
    pub(crate) controls_heard: u64,
    pub(crate) dirty: Vec<u32>,
    /// Audiences whose sheet grows.
    growing: Vec<AudienceId>,
    pub(crate) todo: Vec<Todo>,
    pub(crate) through: u64,
    pub(crate) tick: u32,
    pub(crate) now_ms: i64,
    pub(crate) figures: Figures,
    /// What was done since the first message that the next turn of writing writes, or for the last one.
    pub(crate) work: Work,
    /// What batches brought waits for the next turn of writing, and everything else with it.
    pub(crate) paced: bool,
    pub(crate) deflater: Deflater,
    /// Writes commands for zones.
    pen: MessageWriter,
    /// Everybody is sent away.
    draining: bool,
    next_id: u64,
    next_ticket: u64,
    /// Of the commands that are asked.
    next_number: u32,
}

/// What is counted, looked up once.
pub(crate) struct Figures {
    pub delivered: Counter,
    pub bytes: Counter,
    pub writes: Counter,
    pub slow_readers: Counter,
    pub commands: Counter,
    pub connections: Gauge,
    pub sessions: Gauge,
}

/// What a change of the state leaves to be done by others.
#[derive(Debug)]
pub enum Todo {
    /// A `hello` came.
    Join(At, Box<crate::session::Hello>),
    /// The next command of a session is to be sent.
    Command(At),
    /// The command in flight, last asked with this number, is to be sent again after a pause.
    Again(At, u64, Duration),
    /// A view is asked for.
    State(At, crate::session::StateAsk),
    /// A reply said to be in the log did not come by it: it is read.
    Reread(At, u64),
    /// There are ends to be told of.
    TellEnds,
    /// An audience has no member here any more.
    Release(Arc<crate::fanout::AudienceInfo>, u32),
    /// A reply waits for this sequence.
    Need(u64),
    /// There are mutes to be loaded.
    LoadMutes,
}

impl Shard {
    /// A shard without connections.
    pub fn new(index: usize, shared: Arc<Shared>, cancel: CancellationToken) -> Rc<Self> {
        Rc::new(Self {
            index,
            inner: RefCell::new(Inner::new(Arc::clone(&shared))),
            shared,
            joins: Semaphore::new(JOINS_MAX),
            waves: Waves::default(),
            tasks: TaskTracker::new(),
            cancel,
            answers: Arc::default(),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
        })
    }

    /// Takes what the dispatcher hands out, until cancelled; then ends everything.
    pub async fn run(self: Rc<Self>, mut messages: mpsc::Receiver<ToShard>) {
        let mut beat = tokio::time::interval(TICK);
        // A thread that stood still for a while has not given anybody the chance to be in time.
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut pace = Pace::default();
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => break,
                _ = beat.tick() => {
                    self.inner.borrow_mut().sweep();
                    self.settle();
                }
                () = self.answers.filled() => self.take_answers(),
                () = pace.due(), if self.is_paced() => {
                    if pace.is_busy() {
                        // Where threads share a core, those who bring more come first: fewer writes of more lines.
                        std::thread::yield_now();
                    }
                    self.take_waiting(&mut messages, &mut pace);
                    self.write_turn(&mut pace);
                    tokio::task::yield_now().await;
                }
                message = messages.recv() => match message {
                    Some(message) => {
                        self.take(message, &mut pace);
                        self.take_waiting(&mut messages, &mut pace);
                        self.settle();
                    }
                    None => break,
                },
            }
        }
        self.inner.borrow_mut().paced = false;
        // What was said goes before the end.
        self.settle();
        self.inner.borrow_mut().end_all();
        self.settle();
        self.tasks.close();
        let _ = tokio::time::timeout(STOP_DEADLINE, self.tasks.wait()).await;
    }

    fn is_paced(&self) -> bool {
        self.inner.borrow().paced
    }

    /// Takes what else waits, as far as a turn goes.
    fn take_waiting(&self, messages: &mut mpsc::Receiver<ToShard>, pace: &mut Pace) {
        for _ in 0..MESSAGES_A_TURN {
            if self.inner.borrow().work.deliveries >= DELIVERIES_A_TURN {
                break;
            }
            let Ok(message) = messages.try_recv() else { break };
            self.take(message, pace);
        }
    }

    /// Writes what was queued since the last turn, and starts what that left to be done.
    fn write_turn(self: &Rc<Self>, pace: &mut Pace) {
        let begun = Instant::now();
        self.inner.borrow_mut().paced = false;
        self.settle();
        pace.wrote(begun, self.inner.borrow().work);
    }

    /// Takes a message: what it brings is in the outboxes at once, so that the next command of a session goes.
    fn take(&self, message: ToShard, pace: &mut Pace) {
        let mut inner = self.inner.borrow_mut();
        let events = events(&message);
        if !std::mem::replace(&mut inner.paced, true) {
            inner.work = Work::default();
        }
        inner.take(message, self.tasks.len());
        pace.took(events, inner.work, inner.unanswered());
    }

    /// Takes a socket that has become a WebSocket.
    fn take_socket(self: &Rc<Self>, stream: TcpStream, leftover: Bytes, info: ConnInfo) {
        let at = self.inner.borrow_mut().insert(stream, info);
        let shard = Rc::clone(self);
        self.tasks.spawn_local(conn::run(shard, at, leftover));
    }

    /// Asks the dispatcher to hold audiences for a joining session.
    pub(crate) async fn open(
        &self,
        at: At,
        audiences: Vec<Arc<crate::fanout::AudienceInfo>>,
        after: u64,
    ) -> Option<Opened> {
        let (answer, opened) = oneshot::channel();
        let first = {
            let mut inner = self.inner.borrow_mut();
            inner.next_ticket += 1;
            let ticket = inner.next_ticket;
            inner.openings.insert(ticket, (at, answer));
            inner.asks.push(Ask { ticket, audiences, after });
            inner.asks.len() == 1
        };
        if first {
            // Those who are as far ask in the same message: a zone answers many at once.
            tokio::task::yield_now().await;
            let asks = std::mem::take(&mut self.inner.borrow_mut().asks);
            self.shared.dispatcher.send(ToDispatcher::Open { shard: self.index, asks }).await.ok()?;
        }
        opened.await.ok()
    }

    /// Gives every message of what was read to the session; `Break` when the connection is over.
    fn read(&self, at: At, input: &mut [u8]) -> ControlFlow<()> {
        self.inner.borrow_mut().input(at, input)
    }
}

impl Inner {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            conns: Slab::new(),
            audiences: HashMap::new(),
            by_session: HashMap::new(),
            by_character: HashMap::new(),
            mutes: HashMap::new(),
            unloaded: Vec::new(),
            mutes_loading: false,
            mute_changes: 0,
            mutes_known: Rc::default(),
            ends: ends::Ends::default(),
            telling: false,
            untold: Rc::default(),
            openings: HashMap::new(),
            asks: Vec::new(),
            waiting: Vec::new(),
            unanswered: Rc::default(),
            controls: VecDeque::new(),
            controls_heard: 0,
            dirty: Vec::new(),
            growing: Vec::new(),
            todo: Vec::new(),
            through: 0,
            tick: 0,
            now_ms: crate::time::now_ms(),
            figures: Figures::new(),
            work: Work::default(),
            paced: false,
            deflater: Deflater::new(),
            pen: MessageWriter::default(),
            draining: false,
            next_id: 0,
            next_ticket: 0,
            next_number: 0,
        }
    }

    fn take(&mut self, message: ToShard, tasks: usize) {
        match message {
            ToShard::Batch { events, through } => self.batch(&events, through),
            ToShard::Opened(opened) => opened.into_iter().for_each(|one| self.opened(one)),
            ToShard::Hole(audience) => self.hole(audience),
            ToShard::Hint(hint, missed) => self.hint(&hint, missed),
            ToShard::Sessions(control) => self.control(&control),
            ToShard::Mutes(account) => self.mutes_changed(account),
            ToShard::Drain => self.drain(),
            ToShard::Count(answer) => drop(answer.send(self.counts(tasks))),
        }
    }

    fn insert(&mut self, stream: TcpStream, info: ConnInfo) -> At {
        self.next_id += 1;
        let id = self.next_id;
        let deadline = self.tick + ticks(self.shared.config.session.hello);
        let key = self.conns.insert(Conn::new(id, stream, info, self.tick, deadline));
        self.figures.connections.increment(1.0);
        At { key: u32::try_from(key).expect("fewer sockets than 2^32"), id }
    }

    fn counts(&self, tasks: usize) -> Counts {
        Counts {
            connections: self.conns.len(),
            sessions: self.by_session.len() + self.by_character.len(),
            audiences: self.audiences.len(),
            mute_sets: self.mutes.len(),
            waiting: self.waiting.len() + self.openings.len() + self.ends.len(),
            tasks,
        }
    }

    /// Commands that came and whose replies are not in an outbox yet.
    fn unanswered(&self) -> usize {
        Rc::strong_count(&self.unanswered) - 1
    }

    /// The connection, if it is still the same.
    pub(crate) fn conn(&mut self, at: At) -> Option<&mut Conn> {
        self.conns.get_mut(at.key as usize).filter(|conn| conn.id == at.id)
    }

    /// The session of a connection, if it is still there.
    pub(crate) fn session(&mut self, at: At) -> Option<&mut Session> {
        self.conn(at).and_then(Conn::session)
    }
}

impl Figures {
    fn new() -> Self {
        Self {
            delivered: counter!("tidings_edge_deliveries_total"),
            bytes: counter!("tidings_edge_sent_bytes_total"),
            writes: counter!("tidings_edge_writes_total"),
            slow_readers: counter!("tidings_edge_slow_readers_total"),
            commands: counter!("tidings_edge_commands_total"),
            connections: gauge!("tidings_edge_connections"),
            sessions: gauge!("tidings_edge_sessions"),
        }
    }
}

/// A time in ticks, rounded up.
pub(crate) fn ticks(time: Duration) -> u32 {
    u32::try_from(time.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX / 2)
}

/// The way for HTTP to hand sockets over.
#[derive(Clone)]
pub struct Adopter(pub Rc<Shard>);

impl Adopt for Adopter {
    fn adopt(&self, stream: TcpStream, leftover: Bytes, info: ConnInfo) {
        self.0.take_socket(stream, leftover, info);
    }
}
