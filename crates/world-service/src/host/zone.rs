//! A zone that is owned: it takes what waits, decides it, commits it, and does what follows, one commit at
//! a time. What comes in meanwhile waits in the queue and joins the next.
//!
//! Between two commits the state is the committed one: that is when questions about it are answered.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use foldhash::{HashMap, HashMapExt as _};
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rand::rngs::StdRng;
use tidings_bus::{Fence, Message, Subject, Subscription};
use tidings_protocol::{Audience, CharacterId, ErrorCode, MessageWriter, ZoneId};
use tidings_service::{CallError, Subjects};
use tidings_world::Zone;
use tidings_world::input::{Fact, Millis, Origin, Traveller};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::alone::Alone;
use super::config::{INPUTS_MAX, UNDER_WAY_MAX};
use super::figures::Figures;
use super::inbox::Inbox;
use super::late::{self, Entering, Late, UnderWay};
use super::owner::End;
use super::record::Moves;
use super::requests::{self, Arrive, Request};
use super::shared::{Logs, Shared};
use super::work::Work;
use super::writer::Writer;

/// Longest sleep: a clock that jumps is seen this soon.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// Logs kept ready by audience; beyond it the cache begins anew.
const SUBJECTS_MAX: usize = 8192;
/// How long a drain waits for moves and questions under way; what is left is taken up by the next owner.
const DRAIN_WAIT: Duration = Duration::from_secs(2);
/// Inputs of a round that show that there is more to come.
const GATHERS: usize = 16;
/// When a refused caller may try again: about as long as it takes to load a zone.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What a loaded zone begins with.
pub struct Loaded {
    /// The rules and their state.
    pub rules: Zone,
    /// The zone's randomness.
    pub rng: StdRng,
    /// The zone's clock.
    pub now: Millis,
    /// The moves let in lately.
    pub moves: Moves,
    /// The zone's last record.
    pub last_record: u64,
    /// What lies with events since.
    pub alone: Alone,
    /// The ownership.
    pub fence: Fence,
    /// The zone's logs.
    pub logs: Logs,
    /// Its writes to storage.
    pub writer: Writer,
    /// Records since the checkpoint.
    pub replayed: u64,
}

/// A zone that is owned.
pub struct OwnedZone {
    pub(super) shared: Arc<Shared>,
    pub(super) id: ZoneId,
    pub(super) rules: Zone,
    pub(super) rng: StdRng,
    pub(super) now: Millis,
    pub(super) logs: Logs,
    pub(super) fence: Fence,
    pub(super) last_record: u64,
    /// What lies with events since the zone's last record.
    pub(super) alone: Alone,
    pub(super) last_seq: u64,
    pub(super) timers: super::timers::Timers,
    pub(super) moves: Moves,
    /// The command that is being decided, and who asks.
    pub(super) asking: Option<(Origin, Message)>,
    /// Commands whose outcome is not known yet.
    pub(super) waiting: HashMap<Origin, (Message, Instant)>,
    /// What is asked of a character on its way waits until the way is known.
    pub(super) held: HashMap<CharacterId, Vec<Work>>,
    /// Replies of commands that ended in another zone, for those who ask again.
    pub(super) replied_elsewhere: VecDeque<(Origin, u64)>,
    pub(super) under_way: FuturesUnordered<UnderWay>,
    /// The moves under way.
    pub(super) moving: HashSet<String>,
    /// Moves that their target did not answer: the log is asked.
    pub(super) unanswered: Vec<(ZoneId, Box<Traveller>)>,
    /// The ownership under which moves are asked for: the fence's.
    pub(super) owner_seq: Arc<AtomicU64>,
    /// The zones that letters are brought to at the moment.
    pub(super) posting: HashSet<ZoneId>,
    pub(super) writer: Writer,
    pub(super) inbox: Arc<Inbox>,
    pub(super) work: VecDeque<Work>,
    pub(super) uncheckpointed: u64,
    pub(super) checkpointed: Instant,
    pub(super) commits: u64,
    pub(super) figures: Figures,
    subjects: HashMap<Audience, Subject>,
    /// Inputs of the last round.
    last_inputs: usize,
    /// Bytes of effects in the last batch: about what the next will have.
    pub(super) last_effects: usize,
    /// Writes the events.
    pub(super) pen: MessageWriter,
}

impl OwnedZone {
    /// A zone that was loaded; it is told who is in the other zones.
    pub fn new(shared: Arc<Shared>, id: ZoneId, loaded: Loaded) -> Self {
        let inbox = shared.hub.open(&id);
        let figures = Figures::new(&id);
        let owner_seq = Arc::new(AtomicU64::new(loaded.fence.seq));
        Self {
            id,
            rules: loaded.rules,
            rng: loaded.rng,
            now: loaded.now,
            logs: loaded.logs,
            last_seq: loaded.fence.seq,
            fence: loaded.fence,
            last_record: loaded.last_record,
            alone: loaded.alone,
            timers: super::timers::Timers::default(),
            moves: loaded.moves,
            asking: None,
            waiting: HashMap::new(),
            held: HashMap::new(),
            replied_elsewhere: VecDeque::new(),
            under_way: FuturesUnordered::new(),
            moving: HashSet::new(),
            unanswered: Vec::new(),
            owner_seq,
            posting: HashSet::new(),
            writer: loaded.writer,
            inbox,
            work: VecDeque::from([Work::Wake]),
            uncheckpointed: loaded.replayed,
            checkpointed: Instant::now(),
            commits: 0,
            figures,
            subjects: HashMap::new(),
            last_inputs: 0,
            last_effects: 0,
            pen: MessageWriter::default(),
            shared,
        }
    }

    /// Whether anything was committed: it is not the first thing that fails.
    pub fn committed_anything(&self) -> bool {
        self.commits > 0
    }

    /// Serves until it ends; then nothing of it is left behind but what is stored.
    pub async fn serve(
        &mut self,
        mut requests: Subscription,
        stop: &CancellationToken,
        lost: &CancellationToken,
    ) -> End {
        let end = match self.run(&mut requests, stop, lost).await {
            Err(end) => end,
            Ok(()) => self.drain(&mut requests, lost).await,
        };
        if end != End::Drained {
            self.refuse_everything(&mut requests);
        }
        end
    }

    /// Rounds until the host is stopped.
    async fn run(
        &mut self,
        requests: &mut Subscription,
        stop: &CancellationToken,
        lost: &CancellationToken,
    ) -> Result<(), End> {
        self.round(requests).await?;
        loop {
            let sleep = self.until_due();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = lost.cancelled() => return Err(End::LeaseLost),
                Some(late) = self.under_way.next() => self.work.push_back(Work::Late(late)),
                () = self.inbox.filled() => {}
                message = requests.next() => match message {
                    Some(message) => self.take(message),
                    None => return Err(End::Closed),
                },
                () = tokio::time::sleep(sleep) => {}
            }
            if self.last_inputs >= GATHERS {
                // Where threads share a core, those who bring more come first: one commit of what gathers, not several.
                std::thread::yield_now();
            }
            self.round(requests).await?;
        }
    }

    /// Takes everything that waits, decides and commits it: in several batches if one is full.
    async fn round(&mut self, requests: &mut Subscription) -> Result<(), End> {
        self.gather(requests);
        self.last_inputs = self.work.len();
        while !self.work.is_empty() {
            let batch = self.decide();
            self.commit(batch).await?;
        }
        self.ask_the_log().await?;
        self.checkpoint_if_due().await?;
        self.forget_waiting();
        Ok(())
    }

    /// Requests first, then the facts: whoever asks after a reply of another zone finds its facts known. Facts are
    /// decided before requests.
    fn gather(&mut self, requests: &mut Subscription) {
        while self.work.len() < INPUTS_MAX {
            let Some(message) = requests.try_next() else { break };
            self.take(message);
        }
        while let Some(Some(late)) = self.under_way.next().now_or_never() {
            self.work.push_back(Work::Late(late));
        }
        self.tick();
        while let Some(timer) = self.timers.take_due(self.now) {
            self.work.push_front(Work::Timer(timer));
        }
        for fact in self.inbox.take().into_iter().rev() {
            self.work.push_front(Work::Fact(fact));
        }
    }

    /// The zone's clock: the wall's, never backwards.
    pub(super) fn tick(&mut self) -> Millis {
        self.now = self.now.max(self.shared.now());
        self.now
    }

    fn until_due(&self) -> Duration {
        let due = self.timers.next().map_or(i64::MAX, |due| due.saturating_sub(self.shared.now()));
        Duration::from_millis(u64::try_from(due.max(0)).unwrap_or(0)).min(SLEEP_MAX)
    }

    /// Reads a request; what asks about the committed state is answered here, between commits.
    fn take(&mut self, message: Message) {
        match requests::read(&message.payload) {
            Ok(Request::Enter(_, arrival, _)) if self.is_elsewhere(arrival.id) => {
                self.forward(message, arrival.id)
            }
            Ok(Request::Ask(kind, command)) => self.work.push_back(Work::Ask(message, kind, command)),
            Ok(Request::Enter(origin, arrival, view_locale)) => {
                let here = self.rules.owns(arrival.id);
                let entering = Entering { message, origin, arrival, view_locale, mutes: None };
                match here {
                    true => self.work.push_back(Work::Late(Late::Enter(entering))),
                    false => self.look_up(entering),
                }
            }
            Ok(Request::State(query)) => self.show(message, &query),
            Ok(Request::Arrive(arrive)) => self.come(message, arrive),
            Ok(Request::Tell(fact)) => self.work.push_back(Work::Tell(message, fact)),
            Err(error) => {
                self.figures.malformed.increment(1);
                drop(message.respond(requests::refusal(error)));
            }
        }
    }

    pub(super) fn look_up(&mut self, entering: Entering) {
        if self.under_way.len() >= UNDER_WAY_MAX {
            let error = CallError::new(ErrorCode::ResourceExhausted, "Too many are entering at once.");
            return drop(entering.message.respond(requests::refusal(error.after(RETRY_AFTER))));
        }
        let shared = Arc::clone(&self.shared);
        self.under_way.push(async move { late::enter(&shared, entering).await }.boxed());
    }

    /// A character comes from another zone, or has come: its zone did not hear the answer.
    fn come(&mut self, message: Message, arrive: Box<Arrive>) {
        if let Some(answer) = self.known_move(&arrive.traveller.move_id) {
            return drop(message.respond(requests::answer(answer)));
        }
        let shared = Arc::clone(&self.shared);
        self.under_way.push(async move { late::arrive(&shared, message, arrive).await }.boxed());
    }

    /// The character that enters is in another zone already: its owner answers, and says where.
    fn forward(&mut self, message: Message, character: CharacterId) {
        let Some(present) = self.shared.hub.find(character) else { return refuse(message) };
        let shared = Arc::clone(&self.shared);
        self.under_way.push(async move { late::forward(&shared, message, &present.zone).await }.boxed());
    }

    /// The log of an audience.
    pub(super) fn log_of(&mut self, audience: &Audience) -> Result<Subject, tidings_bus::Error> {
        if let Some(subject) = self.subjects.get(audience) {
            return Ok(subject.clone());
        }
        let subject = Subjects(self.shared.bus.registry()).log(audience)?;
        if self.subjects.len() >= SUBJECTS_MAX {
            self.subjects.clear();
        }
        self.subjects.insert(audience.clone(), subject.clone());
        Ok(subject)
    }

    /// The rules are told, what is under way gets a moment, and the state is checkpointed.
    async fn drain(&mut self, requests: &mut Subscription, lost: &CancellationToken) -> End {
        self.work.push_back(Work::Fact(Fact::Draining(true)));
        let until = Instant::now() + DRAIN_WAIT;
        loop {
            if let Err(end) = self.round(requests).await {
                return end;
            }
            if self.under_way.is_empty() {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => break,
                () = lost.cancelled() => return End::LeaseLost,
                Some(late) = self.under_way.next() => self.work.push_back(Work::Late(late)),
                Some(message) = requests.next() => self.take(message),
            }
        }
        if let Err(end) = self.checkpoint().await {
            return end;
        }
        self.writer.flush().await;
        End::Drained
    }

    /// Everyone who waits is told to try again: the next owner answers a repeat with what was committed.
    fn refuse_everything(&mut self, requests: &mut Subscription) {
        let held = std::mem::take(&mut self.held).into_values().flatten();
        let messages = self.work.drain(..).chain(held).filter_map(Work::into_message);
        let messages: Vec<_> =
            messages.chain(self.waiting.drain().map(|(_, (message, _))| message)).collect();
        messages.into_iter().for_each(refuse);
        while let Some(message) = requests.try_next() {
            refuse(message);
        }
    }
}

/// Tells a caller to try again.
pub(super) fn refuse(message: Message) {
    let error = CallError::new(ErrorCode::Unavailable, "The zone is changing hands.").after(RETRY_AFTER);
    drop(message.respond(requests::refusal(error)));
}

impl Drop for OwnedZone {
    fn drop(&mut self) {
        self.shared.hub.close(&self.id, &self.inbox);
    }
}
