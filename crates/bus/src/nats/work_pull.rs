//! Pulling work: as much as workers wait for, and ahead of them what they took in the last moments: quick workers need not
//! wait for each message to come from the server, and slow ones hold nothing that others could do.
//!
//! A pulled message keeps its own subject, so a queue has a subscription of its own. A worker that goes away while it
//! waits leaves its pull to the next one; what came for nobody goes back after a while, and not before our own pulls have
//! ended: it would come back by them. No worker saw such a delivery, so it is none of its attempts.

mod state;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::message::OutboundMessage;
use async_nats::{Message, Subject};
use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backend::Outcome;
use crate::error::Error;
use crate::nats::ack::Delivery;
use crate::nats::connection::{Connection, random_name};
use crate::nats::ear::{Ear, TAKEN_AT_ONCE};
use crate::nats::headers;
use crate::nats::member::{Member, outbound};
use crate::nats::work_ends::nak;
pub(crate) use crate::nats::work_pull::state::Pulled;
use crate::nats::work_pull::state::{BACK_AFTER, State};
use crate::under_way::UnderWay;

/// How long a pull of workers that wait stays at the server. One ahead of them stays no longer than what it brings is
/// held: workers that have become busy must not go on being sent what others could do.
const PULL_WAIT: Duration = Duration::from_secs(10);
/// How long after that its silence means that it is lost.
const PULL_GRACE: Duration = Duration::from_secs(2);
/// How long after a pull that failed the next one waits.
const PULL_AGAIN: Duration = Duration::from_millis(250);
/// How long what was pulled for a worker that is gone waits for another one before it goes back.
const HOLD: Duration = Duration::from_secs(1);
/// How long what the server has sent may take to arrive once the pulls are ended: far more than a round trip.
const LEAVE_WAIT: Duration = Duration::from_secs(1);

/// What is asked for at once.
#[derive(Clone, Copy)]
struct Pull {
    batch: usize,
    wait: Duration,
}

/// A pull that is counted and on its way. One that failed, or whose worker went away before it was sent, is counted no
/// more, and whoever still waits asks.
struct Asking<'a> {
    pulls: &'a Pulls,
    batch: usize,
}

impl<'a> Asking<'a> {
    fn of(pulls: &'a Pulls, pull: Pull) -> Self {
        Self { pulls, batch: pull.batch }
    }

    fn done(mut self) {
        self.batch = 0;
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if self.batch > 0 {
            self.pulls.state.lock().came(self.batch);
            self.pulls.changed.notify_waiters();
        }
    }
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
    stopping: CancellationToken,
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
            stopping: CancellationToken::new(),
        });
        connection.tasks.spawn(pulls.clone().listen(ear));
        Ok(pulls)
    }

    /// The next one; cancel safe.
    pub(crate) async fn next(&self) -> Result<Pulled, Error> {
        if let Some(pulled) = self.next_here(0)? {
            return Ok(pulled);
        }
        let _waiting = UnderWay::count(&self.waiting);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(pulled) = self.next_here(1)? {
                return Ok(pulled);
            }
            self.ask_for_missing().await?;
            changed.await;
        }
    }

    /// The next one, where it is here already; then the worker, counted as waiting so often, waits no more.
    pub(crate) fn next_here(&self, counted: usize) -> Result<Option<Pulled>, Error> {
        let (taken, missing) = {
            let mut state = self.state.lock();
            if state.stopped {
                return Err(Error::closed());
            }
            let taken = state.take(self.ack_wait);
            let others = self.waiting.load(Ordering::Acquire).saturating_sub(counted);
            (taken, state.missing(others))
        };
        if taken.is_some() && missing > 0 {
            self.ask_ahead(counted);
        }
        Ok(taken)
    }

    /// Asks for as many as workers wait for and are not asked for yet.
    async fn ask_for_missing(&self) -> Result<(), Error> {
        let asker = self.asker.read().clone();
        if !asker.is_up() {
            // Connected anew, it is asked again.
            return self.connection.check_open();
        }
        match self.count_missing(self.waiting.load(Ordering::Acquire)) {
            Some(pull) => {
                let asking = Asking::of(self, pull);
                self.ask(&asker, pull).await?;
                asking.done();
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Asks ahead of a worker that has its own and does not wait, though it is counted so often.
    fn ask_ahead(&self, counted: usize) {
        let asker = self.asker.read().clone();
        let waiting = self.waiting.load(Ordering::Acquire).saturating_sub(counted);
        let Some(pull) = self.count_missing(waiting) else { return };
        let asking = Asking::of(self, pull);
        if let Some(Ok(())) = self.ask(&asker, pull).now_or_never() {
            asking.done();
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
        let (subject, reply) = (self.subject.clone(), Some(self.inbox.clone()));
        asker.send(OutboundMessage { subject, reply, payload: question, headers: None }).done().await
    }

    async fn listen(self: Arc<Self>, mut ear: Ear) {
        // Only what becomes of the asker's own connection becomes of its pulls.
        let mut link = ear.member().line.link();
        let mut look = tokio::time::interval(self.hold);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut taken = Vec::with_capacity(TAKEN_AT_ONCE);
        let listening = async {
            loop {
                if !Arc::ptr_eq(ear.member(), &self.asker.read()) {
                    *self.asker.write() = ear.member().clone();
                    link = ear.member().line.link();
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
        tokio::select! {
            () = self.connection.stop.cancelled() => {}
            () = self.stopping.cancelled() => {}
            () = listening => {}
        }
        self.leave(ear).await;
    }

    /// Ends the pulls at the server, and gives back at once what they still brought: before the connection ends.
    async fn leave(&self, mut ear: Ear) {
        self.stop();
        // The server ends pulls whose answers nobody hears.
        ear.drain().await;
        let soon = Instant::now() + BACK_AFTER;
        self.state.lock().end_by(soon);
        self.give_back(|_| true);
        let mut taken = Vec::new();
        let leaving = async {
            while ear.some(&mut taken).await {
                self.take(&mut taken).await;
                self.give_back(|_| true);
            }
        };
        let _ = tokio::time::timeout(LEAVE_WAIT, leaving).await;
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
        // By the connection of the pulls: behind what ended them, and as long as it lives.
        let asker = self.asker.read().clone();
        for Pulled { reply, .. } in back {
            match asker.send_unyielding(outbound(reply.clone(), None, word.clone())) {
                Outcome::Ready(Err(_)) => self.connection.send_soon(reply, None, word.clone()),
                sending => self.connection.finish_soon(word.len(), sending),
            }
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

    /// Hands out nothing more; whoever listens gives back what nobody took.
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.stopping.cancel();
        self.changed.notify_waiters();
    }
}
