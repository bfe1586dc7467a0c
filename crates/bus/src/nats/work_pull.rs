//! Pulling work: as much as workers wait for, and ahead of them what they took in the last moments: quick workers need not
//! wait for each message to come from the server, and slow ones hold nothing that others could do.
//!
//! A pulled message keeps its own subject, so a queue has a subscription of its own. A worker that goes away while it
//! waits leaves its pull to the next one; what came for nobody goes back after a while, and not before our own pulls have
//! ended: it would come back by them. No worker saw such a delivery, so it is none of its attempts.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::{Message, Subject};
use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::Error;
use crate::nats::ack::Delivery;
use crate::nats::connection::{Connection, random_name};
use crate::nats::ear::{Ear, TAKEN_AT_ONCE};
use crate::nats::headers;
use crate::nats::member::Member;
use crate::nats::under_way::UnderWay;
use crate::nats::work_ends::nak;

/// How long a pull of workers that wait stays at the server. One ahead of them stays no longer than what it brings is
/// held: workers that have become busy must not go on being sent what others could do.
const PULL_WAIT: Duration = Duration::from_secs(10);
/// How long after that its silence means that it is lost.
const PULL_GRACE: Duration = Duration::from_secs(2);
/// How long after a pull that failed the next one waits.
const PULL_AGAIN: Duration = Duration::from_millis(250);
/// Messages of one pull, and pulled ahead of workers at most.
const PULL_BATCH: usize = 256;
/// What workers took in such a time is pulled ahead of them: what waits here does not wait longer, and a round trip to the
/// server is much shorter.
const AHEAD: Duration = Duration::from_millis(20);
/// How long what was pulled for a worker that is gone waits for another one before it goes back.
const HOLD: Duration = Duration::from_secs(1);
/// How much longer than our own pulls what is given back stays away: the server ends a pull a little late.
const BACK_AFTER: Duration = Duration::from_millis(100);
/// Deliveries remembered that were given back unseen: many times what is held here at once, in some hundred kilobytes. Of
/// one that is forgotten the delivery counts as an attempt.
const UNSEEN_MAX: usize = 4_096;

/// A delivery that no worker has yet.
pub(crate) struct Pulled {
    pub(crate) reply: Subject,
    pub(crate) delivery: Delivery,
    pub(crate) envelope: Bytes,
    /// When it came here: its deadline counts from then.
    pub(crate) since: Instant,
}

/// Which delivery of its message the server says that this is.
fn count(delivery: &Delivery) -> u32 {
    u32::try_from(delivery.count).unwrap_or(u32::MAX)
}

#[derive(Default)]
struct State {
    pulled: VecDeque<Pulled>,
    /// Messages that pulls at the server still may bring.
    asked: usize,
    /// When the last of them was asked for.
    asked_at: Option<Instant>,
    /// When the pulls they were asked by have ended.
    asked_until: Option<Instant>,
    /// The same of pulls that are counted no more, and may stand all the same.
    forgotten_until: Option<Instant>,
    /// Messages to have here or asked for ahead of workers.
    ahead: usize,
    /// Messages that workers took since `taken_since`.
    taken: usize,
    taken_since: Option<Instant>,
    /// Deliveries that were given back unseen: sequence, time, and the server's count.
    unseen: BTreeSet<(u64, i64, u32)>,
    stopped: bool,
}

impl State {
    /// The next one for a worker. One that waited until its deadline is out with another by now.
    fn take(&mut self, ack_wait: Duration) -> Option<Pulled> {
        let now = Instant::now();
        let pulled = loop {
            let pulled = self.pulled.pop_front()?;
            if now.duration_since(pulled.since) < ack_wait {
                break pulled;
            }
            self.note_unseen(&pulled.delivery);
        };
        let since = *self.taken_since.get_or_insert(now);
        self.taken += 1;
        let passed = now.duration_since(since);
        if passed >= AHEAD {
            let in_time = self.taken as f64 * AHEAD.as_secs_f64() / passed.as_secs_f64();
            self.ahead = (in_time as usize).min(PULL_BATCH);
            (self.taken, self.taken_since) = (0, Some(now));
        }
        Some(pulled)
    }

    /// How many to ask for, where so many wait: what is ahead is filled up by halves, not one by one.
    fn missing(&self, waiting: usize) -> usize {
        let there = self.asked + self.pulled.len();
        let wanted = waiting.max(if there <= self.ahead / 2 { self.ahead } else { 0 });
        wanted.saturating_sub(there).min(PULL_BATCH)
    }

    /// So many of those asked for came, or will not.
    fn came(&mut self, count: usize) {
        self.asked = self.asked.saturating_sub(count);
        if self.asked == 0 {
            self.asked_until = None;
        }
    }

    /// Counts no pull any more.
    fn forget(&mut self) {
        self.asked = 0;
        self.forgotten_until = self.forgotten_until.max(self.asked_until.take());
    }

    /// How long what is given back has to stay away, so that it does not come back by a pull of our own.
    fn back_after(&self, now: Instant) -> Duration {
        let until = self.asked_until.max(self.forgotten_until);
        match until.map(|until| until.saturating_duration_since(now)) {
            Some(left) if !left.is_zero() => left + BACK_AFTER,
            _ => Duration::ZERO,
        }
    }

    fn note_unseen(&mut self, delivery: &Delivery) {
        self.unseen.insert((delivery.seq, delivery.time_ms, count(delivery)));
        if self.unseen.len() > UNSEEN_MAX {
            self.unseen.pop_first();
        }
    }
}

/// What is asked for at once.
#[derive(Clone, Copy)]
struct Pull {
    batch: usize,
    wait: Duration,
}

pub(crate) struct Pulls {
    connection: Arc<Connection>,
    /// Where to ask, and where answers go.
    subject: Subject,
    inbox: Subject,
    /// Who hears the answers asks: the server has to know of the inbox before it is asked.
    asker: RwLock<Arc<Member>>,
    hold: Duration,
    ack_wait: Duration,
    state: Mutex<State>,
    waiting: AtomicUsize,
    changed: Notify,
}

impl Pulls {
    /// Begins to listen for the consumer `at`, `<stream>.<consumer>`.
    pub(crate) async fn open(
        connection: &Arc<Connection>,
        at: &str,
        ack_wait: Duration,
    ) -> Result<Arc<Self>, Error> {
        let inbox = connection.own_inbox(&random_name()?);
        let ear = Ear::open(connection, inbox.clone(), None).await?;
        let pulls = Arc::new(Self {
            connection: connection.clone(),
            subject: format!("$JS.API.CONSUMER.MSG.NEXT.{at}").into(),
            inbox: inbox.into(),
            asker: RwLock::new(ear.member().clone()),
            hold: HOLD.min(ack_wait / 2),
            ack_wait,
            state: Mutex::default(),
            waiting: AtomicUsize::new(0),
            changed: Notify::new(),
        });
        connection.tasks.spawn(pulls.clone().listen(ear));
        Ok(pulls)
    }

    /// The next one; cancel safe.
    pub(crate) async fn next(&self) -> Result<Pulled, Error> {
        let _waiting = UnderWay::count(&self.waiting);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let (taken, missing) = {
                let mut state = self.state.lock();
                if state.stopped {
                    return Err(Error::closed());
                }
                let taken = state.take(self.ack_wait);
                let waiting = self.waiting.load(Ordering::Acquire) - usize::from(taken.is_some());
                (taken, state.missing(waiting))
            };
            match taken {
                Some(pulled) => {
                    if missing > 0 {
                        self.ask_ahead();
                    }
                    return Ok(pulled);
                }
                None => {
                    self.ask_for_missing().await?;
                    changed.await;
                }
            }
        }
    }

    /// Asks for as many as workers wait for and are not asked for yet.
    async fn ask_for_missing(&self) -> Result<(), Error> {
        let asker = self.asker.read().clone();
        if !asker.is_up() {
            // Connected anew, it is asked again.
            return self.connection.check_open();
        }
        match self.count_missing(self.waiting.load(Ordering::Acquire)) {
            Some(pull) => self.ask(&asker, pull).await,
            None => Ok(()),
        }
    }

    /// Asks ahead of a worker that has its own and does not wait.
    fn ask_ahead(&self) {
        let asker = self.asker.read().clone();
        if let Some(pull) = self.count_missing(self.waiting.load(Ordering::Acquire).saturating_sub(1))
            && self.ask(&asker, pull).now_or_never().is_none_or(|asked| asked.is_err())
        {
            // It was not asked: the next worker does it.
            self.state.lock().came(pull.batch);
        }
    }

    fn count_missing(&self, waiting: usize) -> Option<Pull> {
        let mut state = self.state.lock();
        let batch = state.missing(waiting);
        if batch == 0 {
            return None;
        }
        let wait = if state.ahead == 0 { PULL_WAIT } else { self.hold };
        let now = Instant::now();
        state.asked += batch;
        state.asked_at = Some(now);
        state.asked_until = state.asked_until.max(Some(now + wait));
        Some(Pull { batch, wait })
    }

    async fn ask(&self, asker: &Member, pull: Pull) -> Result<(), Error> {
        let (batch, expires) = (pull.batch, pull.wait.as_nanos());
        let question = Bytes::from(format!("{{\"batch\":{batch},\"expires\":{expires}}}"));
        asker.send(self.subject.clone(), Some(self.inbox.clone()), None, question).await
    }

    async fn listen(self: Arc<Self>, mut ear: Ear) {
        let mut link = self.connection.link();
        let mut look = tokio::time::interval(self.hold);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut taken = Vec::with_capacity(TAKEN_AT_ONCE);
        let listening = async {
            loop {
                if !Arc::ptr_eq(ear.member(), &self.asker.read()) {
                    *self.asker.write() = ear.member().clone();
                    self.forget();
                }
                tokio::select! {
                    more = ear.some(&mut taken) => {
                        if !more {
                            return;
                        }
                        self.take(&mut taken).await;
                    }
                    changed = link.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        // The server that had the pulls may be gone.
                        self.forget();
                    }
                    _ = look.tick() => self.look(),
                }
            }
        };
        self.connection.stop.run_until_cancelled(listening).await;
        self.stop();
    }

    async fn take(&self, messages: &mut Vec<Message>) {
        let now = Instant::now();
        let mut failed = None;
        {
            let mut state = self.state.lock();
            for message in messages.drain(..) {
                match message.status.map(|status| status.as_u16()) {
                    None => {
                        let Some(reply) = message.reply else { continue };
                        let Some(delivery) = Delivery::parse(&reply) else { continue };
                        state.came(1);
                        let envelope = message.payload;
                        state.pulled.push_back(Pulled { reply, delivery, envelope, since: now });
                    }
                    // A pull waited as long as it was to.
                    Some(408) => {
                        let left = headers::number(message.headers.as_ref(), "Nats-Pending-Messages");
                        let left = usize::try_from(left.unwrap_or(1)).unwrap_or(usize::MAX);
                        state.came(left);
                        // What was asked for ahead was not there, or nobody wants it.
                        state.ahead = 0;
                    }
                    Some(100) => {}
                    Some(status) => failed = Some((status, message.description)),
                }
            }
        }
        if let Some((status, why)) = failed {
            tracing::debug!(status, why, "a pull of work failed");
            tokio::time::sleep(PULL_AGAIN).await;
            self.state.lock().forget();
        }
        self.changed.notify_waiters();
    }

    fn forget(&self) {
        self.state.lock().forget();
        self.changed.notify_waiters();
    }

    /// Gives back what nobody took, and forgets pulls that were lost.
    fn look(&self) {
        let (lost, now) = {
            let state = self.state.lock();
            let silent = state.asked_at.is_some_and(|at| at.elapsed() > PULL_WAIT + PULL_GRACE);
            (silent && state.asked > 0, Instant::now())
        };
        if lost {
            self.forget();
        }
        if self.give_back(|pulled| now.duration_since(pulled.since) >= self.hold) {
            // Workers have slowed down.
            self.state.lock().ahead = 0;
        }
    }

    /// Whether there was any.
    fn give_back(&self, which: impl Fn(&Pulled) -> bool) -> bool {
        let (back, word) = {
            let mut state = self.state.lock();
            let (back, kept): (Vec<_>, Vec<_>) = state.pulled.drain(..).partition(|pulled| which(pulled));
            state.pulled = kept.into();
            back.iter().for_each(|pulled| state.note_unseen(&pulled.delivery));
            (back, nak(state.back_after(Instant::now())))
        };
        let any = !back.is_empty();
        for Pulled { reply, .. } in back {
            self.connection.send_soon(reply, None, word.clone());
        }
        any
    }

    /// The deliveries of a message that no worker here saw, by the server's count.
    pub(crate) fn unseen(&self, seq: u64, time_ms: i64) -> Vec<u32> {
        let state = self.state.lock();
        let of_it = (seq, time_ms, 0)..=(seq, time_ms, u32::MAX);
        state.unseen.range(of_it).map(|(_, _, count)| *count).collect()
    }

    /// A message has ended.
    pub(crate) fn ended(&self, seq: u64, time_ms: i64) {
        for count in self.unseen(seq, time_ms) {
            self.state.lock().unseen.remove(&(seq, time_ms, count));
        }
    }

    /// Hands out nothing more, and gives back what nobody took.
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.give_back(|_| true);
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulled(seq: u64, since: Instant) -> Pulled {
        let reply = format!("$JS.ACK.W.worker.1.{seq}.{seq}.1795276952308311292.0");
        let delivery = Delivery::parse(&reply).unwrap();
        Pulled { reply: reply.into(), delivery, envelope: Bytes::new(), since }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waited_until_its_deadline_is_handed_to_nobody() {
        let ack_wait = Duration::from_secs(2);
        let mut state = State::default();
        state.pulled.push_back(pulled(1, Instant::now()));
        tokio::time::advance(Duration::from_secs(1)).await;
        state.pulled.push_back(pulled(2, Instant::now()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(state.take(ack_wait).map(|pulled| pulled.delivery.seq), Some(2));
        assert_eq!(state.unseen.iter().map(|(seq, ..)| *seq).collect::<Vec<_>>(), [1], "nobody saw it");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_back_stays_away_from_our_own_pulls() {
        let (mut state, second) = (State::default(), Duration::from_secs(1));
        assert_eq!(state.back_after(Instant::now()), Duration::ZERO, "no pull stands");
        (state.asked, state.asked_until) = (2, Some(Instant::now() + second * 3));
        tokio::time::advance(second).await;
        state.came(1);
        assert_eq!(state.back_after(Instant::now()), second * 2 + BACK_AFTER);
        state.forget();
        assert_eq!(state.back_after(Instant::now()), second * 2 + BACK_AFTER, "it may stand all the same");
        tokio::time::advance(second * 2).await;
        assert_eq!(state.back_after(Instant::now()), Duration::ZERO);
        (state.asked, state.asked_until) = (1, Some(Instant::now() + second));
        state.came(1);
        assert_eq!(state.back_after(Instant::now()), Duration::ZERO, "all that was asked for came");
    }

    #[test]
    fn the_unseen_are_bounded() {
        let mut state = State::default();
        for seq in 0..UNSEEN_MAX as u64 + 10 {
            state.note_unseen(&pulled(seq, Instant::now()).delivery);
        }
        assert_eq!(state.unseen.len(), UNSEEN_MAX);
        assert_eq!(state.unseen.first().map(|(seq, ..)| *seq), Some(10), "the oldest are forgotten");
    }
}
