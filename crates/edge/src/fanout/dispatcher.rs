//! The dispatcher: the only follower of the audiences' logs in the process.
//!
//! It works in rounds: take what is there, in the order of the stream; encode; hand each shard its share. A change
//! of a character's audiences opens the new ones at its own place, before the next message is taken, so that a
//! walk between rooms needs no question back from the shard.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt as _};
use metrics::{Counter, Gauge, counter, gauge};
use tidings_bus::{Bus, ErrorKind, FollowSet, Followed, From, LogMessage, Subject};
use tidings_service::Subjects;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::encode::{Change, Encoded, Encoder};
use super::hints::Hints;
use super::interner::{AudienceId, AudienceInfo};
use super::open::Open;
use super::ring::Ring;
use super::{Ask, Opened, ROUND_MAX, ShardQueue, ToDispatcher, ToShard};

/// How long an audience stays open after its last member left: people walk back, and drop and resume.
const LINGER: Duration = Duration::from_secs(30);
/// How often audiences that lingered are closed.
const SWEEP: Duration = Duration::from_secs(5);
/// Sweeps after which an event is forgotten here: most who drop are back within seconds, and the log has the rest.
const RING_SWEEPS: usize = 4;
/// How long a round waits for logs that catch up, so that events leave in the order of the stream.
const CATCH_UP_MAX: Duration = Duration::from_millis(250);
/// Events that wait for a log that is behind: minutes of a busy world, some 50 MB. A log that stays behind for longer is
/// given up, and its members come anew.
const WAITING_MAX: usize = 65_536;
/// How often what shards wait for is looked at, while they wait.
const NEED_BEAT: Duration = Duration::from_millis(1);
/// Pause after the bus reported a fault that is not the end.
const FAULT_PAUSE: Duration = Duration::from_millis(50);
/// Events of a round that show that there are more to come.
const GATHERS: usize = 16;
/// Commands of shards taken at one wake.
const COMMANDS_A_ROUND: usize = 256;

/// The dispatcher's state: owned by its task.
pub struct Dispatcher {
    bus: Bus,
    encoder: Arc<Encoder>,
    follow: FollowSet,
    shards: Vec<ShardQueue>,
    open: HashMap<AudienceId, Open>,
    by_subject: HashMap<Subject, AudienceId>,
    round: Vec<Arc<Encoded>>,
    holes: Vec<AudienceId>,
    /// Sequences that shards wait for, each once: as many as there are commands in flight, asked again or not.
    needs: BTreeSet<(u64, usize)>,
    hints: Hints,
    through: u64,
    /// How far it was at the last sweeps, the oldest first.
    swept: VecDeque<u64>,
    head: Arc<AtomicU64>,
    /// Events of the last round.
    last_events: usize,
    events: Counter,
    audiences: Gauge,
}

impl Dispatcher {
    /// A dispatcher that follows nothing yet.
    pub fn new(bus: Bus, encoder: Arc<Encoder>, shards: Vec<ShardQueue>, head: Arc<AtomicU64>) -> Self {
        let follow = bus.follow_set();
        let hints = Hints::new(bus.clone(), Arc::clone(&encoder), shards.clone());
        Self {
            bus,
            encoder,
            follow,
            shards,
            open: HashMap::new(),
            by_subject: HashMap::new(),
            round: Vec::with_capacity(ROUND_MAX),
            holes: Vec::new(),
            needs: BTreeSet::new(),
            hints,
            through: 0,
            swept: VecDeque::with_capacity(RING_SWEEPS),
            head,
            last_events: 0,
            events: counter!("tidings_edge_events_total"),
            audiences: gauge!("tidings_edge_audiences_open"),
        }
    }

    /// Runs until it is cancelled or the bus closes.
    pub async fn run(mut self, mut commands: mpsc::Receiver<ToDispatcher>, cancel: CancellationToken) {
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            let waiting = !self.needs.is_empty();
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                command = commands.recv() => {
                    let Some(command) = command else { return };
                    self.take_round().await;
                    self.command(command).await;
                    for _ in 0..COMMANDS_A_ROUND {
                        let Ok(command) = commands.try_recv() else { break };
                        self.command(command).await;
                    }
                }
                next = self.follow.next() => match next {
                    Ok(followed) => {
                        if self.last_events >= GATHERS {
                            // Where threads share a core, those who bring more come first.
                            std::thread::yield_now();
                        }
                        self.take(followed);
                        self.take_round().await;
                    }
                    Err(error) if error.kind() == ErrorKind::Closed => return,
                    Err(error) => {
                        counter!("tidings_edge_follow_errors_total").increment(1);
                        tracing::warn!(%error, "following the logs failed for a moment");
                        tokio::time::sleep(FAULT_PAUSE).await;
                    }
                },
                _ = sweep.tick() => self.sweep(),
                () = tokio::time::sleep(NEED_BEAT), if waiting => self.take_round().await,
            }
            self.answer_needs().await;
        }
    }

    /// Takes what is there, orders it and hands it out.
    async fn take_round(&mut self) {
        while self.round.len() < ROUND_MAX {
            match self.follow.try_next() {
                Some(Ok(followed)) => self.take(followed),
                Some(Err(error)) => {
                    tracing::warn!(%error, "following the logs failed for a moment");
                    break;
                }
                None => break,
            }
        }
        self.catch_up().await;
        self.through = self.through.max(self.whole());
        self.head.store(self.through, Ordering::Relaxed);
        self.hand_out().await;
    }

    /// Up to where every log was delivered. What comes after it waits: a position says that everything before it was
    /// told. A log that is too far behind is given up.
    fn whole(&mut self) -> u64 {
        let (through, behind) = self.follow.position();
        if behind.is_empty() {
            return through;
        }
        counter!("tidings_edge_rounds_behind_total").increment(1);
        if self.round.len() < WAITING_MAX {
            return behind.iter().map(|(_, place)| *place).min().unwrap_or(through).min(through);
        }
        for (subject, place) in behind {
            tracing::error!(%subject, place, through, "a log stays behind and is given up");
            self.follow.add(subject.clone(), From::After(through));
            if let Some(id) = self.by_subject.get(&subject) {
                self.holes.push(*id);
                if let Some(open) = self.open.get_mut(id) {
                    open.ring = Ring::new(through);
                }
            }
        }
        through
    }

    /// Waits for the logs that were opened behind the others.
    async fn catch_up(&mut self) {
        let until = Instant::now() + CATCH_UP_MAX;
        while self.round.len() < WAITING_MAX && !self.follow.position().1.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            match self.follow.try_next() {
                Some(Ok(followed)) => self.take(followed),
                Some(Err(_)) => return,
                None if self.follow.position().1.is_empty() => return,
                None => match tokio::time::timeout(left, self.follow.next()).await {
                    Ok(Ok(followed)) => self.take(followed),
                    _ => return,
                },
            }
        }
    }

    fn take(&mut self, followed: Followed) {
        match followed {
            Followed::Message(message) => self.take_message(&message),
            Followed::Hole { subject, after, first } => {
                counter!("tidings_edge_holes_total").increment(1);
                tracing::warn!(%subject, after, first, "events are no longer retained");
                if let Some(id) = self.by_subject.get(&subject) {
                    self.holes.push(*id);
                    if let Some(open) = self.open.get_mut(id) {
                        open.ring = Ring::new(first.saturating_sub(1));
                    }
                }
            }
        }
    }

    fn take_message(&mut self, message: &LogMessage) {
        let Some(open) = self.by_subject.get(&message.subject).and_then(|id| self.open.get(id)) else {
            return;
        };
        let Some(event) = self.encoder.encode(&open.info, message) else { return };
        let event = Arc::new(event);
        if let Some(change) = event.change()
            && open.shards().next().is_some()
        {
            change.opened().for_each(|info| self.hold(info, message.seq, &[]));
        }
        self.round.push(event);
    }

    /// Opens an audience for shards; it is followed after a sequence where it was not open. What a change opens is
    /// followed when the change is taken, and held when it is handed out: by the shards that get it, which count the
    /// same.
    fn hold(&mut self, info: &Arc<AudienceInfo>, after: u64, shards: &[usize]) {
        if !self.open.contains_key(&info.id) {
            let subject = match Subjects(self.bus.registry()).log(&info.audience) {
                Ok(subject) => subject,
                Err(error) => {
                    tracing::error!(%error, audience = %info.audience, "an audience has no log");
                    return;
                }
            };
            let after = self.start(&subject, after);
            self.by_subject.insert(subject.clone(), info.id);
            let hints = self.hints.follow(info);
            let open = Open::new(Arc::clone(info), subject, self.shards.len(), after, hints);
            self.open.insert(info.id, open);
            self.audiences.set(self.open.len() as f64);
        }
        if let Some(open) = self.open.get_mut(&info.id) {
            for shard in shards {
                open.hold(*shard);
            }
        }
    }

    /// Follows a log. The first of all starts at the end of the stream: nothing before was handed out.
    fn start(&mut self, subject: &Subject, after: u64) -> u64 {
        if !self.open.is_empty() {
            self.follow.add(subject.clone(), From::After(after));
            return after;
        }
        self.follow.add(subject.clone(), From::New);
        self.through = self.through.max(self.follow.position().0);
        // The process may know of more than has reached it: what is between comes too.
        self.follow.add(subject.clone(), From::After(self.through));
        self.through
    }

    async fn hand_out(&mut self) {
        if self.round.is_empty() && self.holes.is_empty() {
            return;
        }
        let mut round = std::mem::take(&mut self.round);
        if !round.is_sorted_by_key(|event| event.seq) {
            round.sort_by_key(|event| event.seq);
        }
        let waiting = round.split_off(round.partition_point(|event| event.seq <= self.through));
        self.events.increment(round.len() as u64);
        self.last_events = round.len();
        let mut shares: Vec<Vec<Arc<Encoded>>> = self.shards.iter().map(|_| Vec::new()).collect();
        for event in round.drain(..) {
            let Some(open) = self.open.get_mut(&event.audience.id) else { continue };
            // An account may have sessions in any shard, and what it mutes holds in all of them from here on.
            let to: Vec<usize> = match event.mute() {
                Some(_) => (0..self.shards.len()).collect(),
                None => open.shards().collect(),
            };
            for shard in &to {
                shares[*shard].push(Arc::clone(&event));
            }
            open.ring.push(Arc::clone(&event));
            for info in event.change().into_iter().flat_map(Change::opened) {
                self.hold(info, event.seq, &to);
            }
        }
        // Its room is kept for the next round.
        round.extend(waiting);
        self.round = round;
        let through = self.through;
        for (shard, events) in shares.into_iter().enumerate() {
            if !events.is_empty() {
                self.send(shard, ToShard::Batch { events, through }).await;
            }
        }
        for id in std::mem::take(&mut self.holes) {
            for shard in 0..self.shards.len() {
                self.send(shard, ToShard::Hole(id)).await;
            }
        }
    }

    async fn command(&mut self, command: ToDispatcher) {
        match command {
            ToDispatcher::Open { shard, asks } => {
                let opened = asks.into_iter().map(|ask| self.open(shard, ask)).collect();
                self.send(shard, ToShard::Opened(opened)).await;
            }
            ToDispatcher::Release { shard, audience, holds } => {
                if let Some(open) = self.open.get_mut(&audience.id) {
                    open.release(shard, holds);
                }
            }
            ToDispatcher::Need { shard, seq } => {
                self.needs.insert((seq, shard));
            }
        }
    }

    /// Holds audiences for a shard, and says what is remembered of them and what has to be read.
    fn open(&mut self, shard: usize, ask: Ask) -> Opened {
        let Ask { ticket, audiences, after } = ask;
        for info in &audiences {
            self.hold(info, self.through, &[shard]);
        }
        let through = self.through;
        let (mut events, mut gaps) = (Vec::new(), Vec::new());
        for info in &audiences {
            let Some(open) = self.open.get(&info.id) else { continue };
            let complete_after = open.ring.complete_after();
            if after < complete_after {
                gaps.push((Arc::clone(info), complete_after));
            }
            events.extend(open.ring.after(after.max(complete_after)).cloned());
        }
        events.sort_by_key(|event| event.seq);
        Opened { ticket, audiences, events, gaps, through }
    }

    async fn answer_needs(&mut self) {
        if self.needs.is_empty() {
            return;
        }
        self.take_round().await;
        let through = self.through;
        let later = self.needs.split_off(&(through.saturating_add(1), 0));
        let answered: BTreeSet<usize> =
            std::mem::replace(&mut self.needs, later).into_iter().map(|(_, shard)| shard).collect();
        for shard in answered {
            self.send(shard, ToShard::Batch { events: Vec::new(), through }).await;
        }
    }

    /// A shard that has ended takes nothing any more; its sessions ended with it.
    async fn send(&self, shard: usize, message: ToShard) {
        let _ = self.shards[shard].send(message).await;
    }

    fn sweep(&mut self) {
        let now = Instant::now();
        let follow = &mut self.follow;
        let by_subject = &mut self.by_subject;
        self.open.retain(|_, open| {
            let keep = !open.lingered(now, LINGER);
            if !keep {
                follow.remove(&open.subject);
                by_subject.remove(&open.subject);
            }
            keep
        });
        if self.swept.len() == RING_SWEEPS
            && let Some(old) = self.swept.pop_front()
        {
            self.open.values_mut().for_each(|open| open.ring.forget(old));
        }
        self.swept.push_back(self.through);
        self.audiences.set(self.open.len() as f64);
        self.encoder.interner.sweep();
    }
}

#[cfg(test)]
mod tests;
