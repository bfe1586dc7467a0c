//! Work queues: a stream and a durable consumer each; workers pull.
//!
//! The server counts deliveries and brings back what was not acknowledged; this side decides what is a dead letter,
//! by that count: an advisory may be missed, a count is not. The dead letter is stored first, then the message ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::backend::Outcome;
use crate::error::{Error, ErrorKind};
use crate::log::{Append, Fence};
use crate::nats::commit::Committer;
use crate::nats::connection::Connection;
use crate::nats::headers;
use crate::nats::names::Names;
use crate::nats::read::Reader;
use crate::nats::stream;
use crate::nats::work_pull::{Pulled, Pulls};
use crate::subject::{KeyMap, Subject};
use crate::under_way::UnderWay;
use crate::work::{RawJob, Settle, WorkBackend, WorkConfig};
use crate::work_counts::WorkCounts;

/// The consumer of every work queue.
pub(crate) const CONSUMER: &str = "worker";
/// Messages that may be out with workers of all processes together.
const OUT_MAX: usize = 10_000;

/// Stores a message in a queue whose stream is there, once for each id that the server remembers.
async fn store(
    reader: &Reader,
    stream: &str,
    queue: &Subject,
    id: &str,
    envelope: Bytes,
) -> Result<u64, Error> {
    let mut map = async_nats::HeaderMap::new();
    headers::put(&mut map, headers::MESSAGE_ID, id);
    let (what, connection) = (format!("the queue '{queue}'"), &reader.connection);
    let stored = connection.store_surely(stream, queue.as_str(), &map, &envelope, reader.deadline, &what);
    Ok(stored.await?.seq)
}

/// Puts a dead letter's message back, then notes that the letter is gone. Between the two the id is what keeps a
/// repeat from being a second message. The queue is as whoever works on it declared it; it is not made here.
pub(crate) async fn replay(
    committer: &Committer,
    queue: &Subject,
    id: &str,
    envelope: Bytes,
    note: Append,
    fence: Fence,
) -> Result<u64, Error> {
    let reader = &committer.reader;
    reader.connection.check_open()?;
    let stream = committer.names.work(queue);
    let look = format!("STREAM.INFO.{stream}");
    match reader.connection.call(&look, &json!({}), reader.deadline).await? {
        Ok(_) => {}
        Err(error) if error.is_missing() => {
            let what = format!("nobody has worked on '{queue}' yet: it has no stream");
            return Err(Error::new(ErrorKind::NoResponders, what));
        }
        Err(error) => return Err(error.to_error(&format!("the queue '{queue}'"))),
    }
    let seq = store(reader, &stream, queue, id, envelope).await?;
    committer.commit(vec![note], vec![fence]).await?;
    Ok(seq)
}

/// What the server is told of work that is done.
const ACK: Bytes = Bytes::from_static(b"+ACK");

/// A delivery that is out.
pub(crate) struct Out {
    pub(crate) reply: async_nats::Subject,
    pub(crate) envelope: Bytes,
    pub(crate) time_ms: i64,
    /// Which delivery it is by the server's count, which counts those too that no worker saw.
    pub(crate) count: u32,
    deadline: Instant,
    latest: Instant,
}

pub(crate) struct NatsWork {
    pub(crate) connection: Arc<Connection>,
    pub(crate) committer: Arc<Committer>,
    pub(crate) reader: Arc<Reader>,
    pub(crate) names: Names,
    pub(crate) queue: Subject,
    pub(crate) dead: Subject,
    pub(crate) config: WorkConfig,
    pub(crate) counts: WorkCounts,
    pub(crate) stream: String,
    ready: OnceCell<Arc<Pulls>>,
    out: Mutex<KeyMap<(u64, u32), Out>>,
    /// Deliveries whose end is on its way to the server.
    pub(crate) settling: AtomicUsize,
    stopped: AtomicBool,
}

impl NatsWork {
    pub(crate) fn new(
        committer: Arc<Committer>,
        queue: Subject,
        dead: Subject,
        config: WorkConfig,
    ) -> Arc<Self> {
        let names = committer.names.clone();
        Arc::new(Self {
            connection: committer.connection.clone(),
            reader: committer.reader.clone(),
            stream: names.work(&queue),
            committer,
            names,
            queue,
            dead,
            config,
            counts: WorkCounts::new(),
            ready: OnceCell::new(),
            out: Mutex::default(),
            settling: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        })
    }

    fn declared(&self) -> (Value, Value) {
        let nanoseconds = u64::try_from(self.config.ack_wait.as_nanos()).unwrap_or(u64::MAX);
        let stream = json!({
            "name": self.stream, "subjects": [self.queue.as_str()], "retention": "workqueue",
            "storage": "file", "num_replicas": self.reader.copies.count(), "discard": "new", "max_age": 0,
            "max_msgs": self.config.messages_max, "max_bytes": self.config.bytes_max,
        });
        let consumer = json!({
            "durable_name": CONSUMER, "name": CONSUMER, "ack_policy": "explicit", "deliver_policy": "all",
            "ack_wait": nanoseconds, "filter_subject": self.queue.as_str(), "max_ack_pending": OUT_MAX,
            // The count of deliveries decides here, so that no message is left that nobody delivers.
            "max_deliver": -1,
        });
        (stream, consumer)
    }

    /// Makes the stream and the consumer, or compares those there are.
    async fn ensure(&self) -> Result<&Arc<Pulls>, Error> {
        self.ready.get_or_try_init(|| self.declare()).await
    }

    async fn declare(&self) -> Result<Arc<Pulls>, Error> {
        let (declared, consumer) = self.declared();
        let deadline = self.reader.deadline;
        stream::ensure(&self.connection, &declared, deadline).await?;
        let at = format!("{}.{CONSUMER}", self.stream);
        let found = match self.connection.call(&format!("CONSUMER.INFO.{at}"), &json!({}), deadline).await? {
            Ok(found) => found,
            Err(error) if error.is_missing() => {
                let question = json!({"stream_name": self.stream, "config": consumer});
                self.connection.demand(&format!("CONSUMER.CREATE.{at}"), &question, deadline).await?
            }
            Err(error) => return Err(error.to_error(&format!("the consumer of '{}'", self.queue))),
        };
        stream::compare(&format!("consumer of '{}'", self.queue), &consumer, &found["config"])?;
        Pulls::open(&self.connection, &at, self.config.ack_wait).await
    }

    async fn store(&self, envelope: Bytes) -> Result<u64, Error> {
        self.connection.check_open()?;
        self.connection.check_work(self.queue.as_str(), &envelope)?;
        self.ensure().await?;
        store(&self.reader, &self.stream, &self.queue, &self.committer.ids.next(), envelope).await
    }

    /// A job of what was pulled already.
    fn job_here(self: &Arc<Self>) -> Option<RawJob> {
        if self.stopped.load(Ordering::Acquire) {
            return None;
        }
        let pulled = self.ready.get()?.next_here(0).ok()??;
        self.hand_out(pulled)
    }

    async fn next_job(self: &Arc<Self>) -> Result<RawJob, Error> {
        let pulls = self.ensure().await?;
        loop {
            if self.stopped.load(Ordering::Acquire) {
                return Err(Error::closed());
            }
            let pulled = pulls.next().await?;
            if let Some(job) = self.hand_out(pulled) {
                return Ok(job);
            }
        }
    }

    /// What was pulled as a job, unless its attempts are used up: then it is a dead letter.
    fn hand_out(self: &Arc<Self>, pulled: Pulled) -> Option<RawJob> {
        let Pulled { reply, delivery, envelope, since } = pulled;
        let count = u32::try_from(delivery.count).unwrap_or(u32::MAX);
        let out = Out {
            reply,
            envelope: envelope.clone(),
            time_ms: delivery.time_ms,
            count,
            // It may have waited here.
            deadline: since + self.config.ack_wait,
            latest: since + self.config.in_progress_max,
        };
        let unseen = u32::try_from(self.unseen(delivery.seq, delivery.time_ms).len()).unwrap_or(u32::MAX);
        let number = count.saturating_sub(unseen).max(1);
        if number > self.config.deliveries_max {
            self.bury_soon(delivery.seq, count - 1, out);
            return None;
        }
        self.counts.delivered(number);
        self.out.lock().insert((delivery.seq, number), out);
        Some(RawJob { seq: delivery.seq, delivery: number, time_ms: delivery.time_ms, envelope })
    }

    /// The deliveries of a message that were given back unseen, by the server's count.
    pub(crate) fn unseen(&self, seq: u64, time_ms: i64) -> Vec<u32> {
        self.ready.get().map(|pulls| pulls.unseen(seq, time_ms)).unwrap_or_default()
    }

    /// A message has ended: nothing of it needs to be remembered.
    pub(crate) fn ended(&self, seq: u64, time_ms: i64) {
        if let Some(pulls) = self.ready.get() {
            pulls.ended(seq, time_ms);
        }
    }

    /// A delivery's end, where it is still this worker's; `extend` keeps it.
    fn take_out(&self, seq: u64, delivery: u32, late_too: bool) -> Result<Out, Error> {
        match self.out.lock().remove(&(seq, delivery)) {
            Some(out) if late_too || Instant::now() < out.deadline => Ok(out),
            _ => Err(self.late(seq)),
        }
    }

    fn late(&self, seq: u64) -> Error {
        let what = format!("work {seq} of '{}' was given to another worker", self.queue);
        Error::new(ErrorKind::WrongRevision, what)
    }

    /// The new deadline of a delivery that goes on.
    fn extend(&self, seq: u64, delivery: u32) -> Result<async_nats::Subject, Error> {
        let now = Instant::now();
        match self.out.lock().get_mut(&(seq, delivery)) {
            Some(out) if now < out.deadline => {
                out.deadline = (now + self.config.ack_wait).min(out.latest);
                Ok(out.reply.clone())
            }
            _ => Err(self.late(seq)),
        }
    }

    async fn settle_now(&self, seq: u64, delivery: u32, settle: Settle) -> Result<(), Error> {
        let _settling = UnderWay::count(&self.settling);
        let outcome = self.end(seq, delivery, &settle).await;
        self.counts.settled(&settle, &outcome);
        outcome
    }

    /// Done: the server is told, and does not answer. A late word counts too.
    fn ack(&self, seq: u64, delivery: u32) -> Result<(), Error> {
        let out = self.take_out(seq, delivery, true)?;
        self.connection.send_soon(out.reply, None, ACK);
        self.ended(seq, out.time_ms);
        Ok(())
    }

    async fn end(&self, seq: u64, delivery: u32, settle: &Settle) -> Result<(), Error> {
        match settle {
            Settle::Ack { stored: false } => self.ack(seq, delivery),
            Settle::Ack { stored: true } => {
                // The server takes a late one too, and is right: the work is done.
                let out = self.take_out(seq, delivery, true)?;
                self.tell(&out.reply, ACK).await?;
                self.ended(seq, out.time_ms);
                Ok(())
            }
            Settle::Nak { delay, reason } => {
                let out = self.take_out(seq, delivery, false)?;
                self.nak(seq, delivery, &out, *delay, &format!("nak: {reason}")).await
            }
            Settle::Term { reason } => {
                let out = self.take_out(seq, delivery, true)?;
                let end = format!("term: {reason}");
                self.note_attempt(seq, out.count, &end).await?;
                self.bury(seq, out.count, &out, Some(reason)).await
            }
            Settle::InProgress => {
                let reply = self.extend(seq, delivery)?;
                self.connection.send(reply, None, Bytes::from_static(b"+WPI")).done().await
            }
        }
    }

    /// Hands out nothing more, and gives back what nobody took.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        if let Some(pulls) = self.ready.get() {
            pulls.stop();
        }
    }

    /// Deliveries that workers have.
    pub(crate) fn out_count(&self) -> usize {
        self.out.lock().len() + self.settling.load(Ordering::Acquire)
    }

    async fn depth_now(&self) -> Result<usize, Error> {
        self.ensure().await?;
        let info = stream::info(&self.connection, &self.stream, self.reader.deadline).await?;
        Ok(usize::try_from(info.messages).unwrap_or(usize::MAX))
    }
}

/// The backend's handle of a queue.
pub(crate) struct NatsWorkHandle(pub(crate) Arc<NatsWork>);

impl WorkBackend for NatsWorkHandle {
    fn enqueue(&self, envelope: Bytes) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(self.0.store(envelope))
    }

    fn next(&self) -> Outcome<'_, RawJob> {
        match self.0.job_here() {
            Some(job) => Outcome::Ready(Ok(job)),
            None => Outcome::Later(Box::pin(self.0.next_job())),
        }
    }

    fn settle(&self, seq: u64, delivery: u32, settle: Settle) -> Outcome<'_, ()> {
        if settle != (Settle::Ack { stored: false }) {
            return Outcome::Later(Box::pin(self.0.settle_now(seq, delivery, settle)));
        }
        let outcome = self.0.ack(seq, delivery);
        self.0.counts.settled(&settle, &outcome);
        Outcome::Ready(outcome)
    }

    fn let_go(&self, seq: u64, delivery: u32) {
        self.0.counts.let_go();
        let work = self.0.clone();
        self.0.connection.spawn(async move {
            let _settling = UnderWay::count(&work.settling);
            let Ok(out) = work.take_out(seq, delivery, false) else { return };
            let end = "let go without an answer";
            if let Err(error) = work.nak(seq, delivery, &out, Duration::ZERO, end).await {
                tracing::debug!(%error, seq, "work that was let go comes again after its deadline");
            }
        });
    }

    fn depth(&self) -> BoxFuture<'_, Result<usize, Error>> {
        Box::pin(self.0.depth_now())
    }
}
