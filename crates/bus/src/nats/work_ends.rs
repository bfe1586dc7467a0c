//! How a delivery of work ends: again after a while, or as a dead letter with its history.
//!
//! The server keeps the count of deliveries and no more. How each ended is a note beside the stream, read when the
//! message is given up, by whichever process does that.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::now_ms;
use crate::dead_letter::{DeadLetter, Origin};
use crate::error::Error;
use crate::log::Append;
use crate::nats::headers;
use crate::nats::tries::{Limit, is_passing};
use crate::nats::work::{NatsWork, Out};

/// How long a dead letter that could not be stored waits for its next try.
const BURY_AGAIN: Duration = Duration::from_secs(1);
/// How long notes of attempts are kept: as long as dead letters.
const NOTE_SECONDS: u64 = 7 * 24 * 3_600;
/// How an attempt ended of which there is no note.
const NO_WORD: &str = "the deadline to acknowledge passed";

/// What gives a delivery back, to come again after a delay.
pub(crate) fn nak(delay: Duration) -> Bytes {
    if delay.is_zero() {
        return Bytes::from_static(b"-NAK");
    }
    format!("-NAK {{\"delay\": {}}}", delay.as_nanos()).into()
}

/// An end that is on its way, counted while it is.
struct Settling(Arc<NatsWork>);

impl Settling {
    fn count(work: Arc<NatsWork>) -> Self {
        work.settling.fetch_add(1, Ordering::AcqRel);
        Self(work)
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.0.settling.fetch_sub(1, Ordering::AcqRel);
    }
}

impl NatsWork {
    /// Says something to the server and waits until it is stored there. A server that was killed may not know that
    /// it handed the message out, and then says nothing: after the deadline to acknowledge it comes again anyway.
    pub(crate) async fn tell(&self, reply: &async_nats::Subject, word: Bytes) -> Result<(), Error> {
        let deadline = self.reader.deadline.min(self.config.ack_wait);
        let mut tries = self.connection.to_stream(&self.stream, deadline)?;
        loop {
            match self.connection.ask(reply.clone(), None, word.clone(), Limit::of(tries.wait())).await {
                Err(error) if is_passing(&error) => tries.again(error).await?,
                outcome => return tries.ended(outcome.map(drop)),
            }
        }
    }

    /// Not done: again after a while, or never, where this was the last attempt.
    pub(crate) async fn nak(
        &self,
        seq: u64,
        delivery: u32,
        out: &Out,
        delay: Duration,
        end: &str,
    ) -> Result<(), Error> {
        self.note_attempt(seq, out.count, end).await?;
        if delivery < self.config.deliveries_max {
            return self.tell(&out.reply, nak(delay)).await;
        }
        self.bury_or_put_off(seq, out.count, out).await;
        Ok(())
    }

    /// The message comes again soon: its dead letter could not be stored.
    pub(crate) fn put_off(&self, out: &Out) {
        self.connection.send_soon(out.reply.clone(), None, nak(BURY_AGAIN));
    }

    /// Notes how an attempt ended, by the server's count of deliveries: all processes have the same.
    pub(crate) async fn note_attempt(&self, seq: u64, count: u32, end: &str) -> Result<(), Error> {
        let mut map = async_nats::HeaderMap::new();
        headers::put_ttl(&mut map, NOTE_SECONDS);
        headers::put(&mut map, headers::MESSAGE_ID, format_args!("{}-{seq}-{count}", self.queue));
        let subject = self.names.attempt_note(&self.queue, seq);
        let note = Bytes::from(format!("{count} {} {end}", now_ms()));
        let (stream, what) = (self.names.notes(), "the note of an attempt");
        let stored = self.connection.store_surely(&stream, &subject, &map, &note, self.reader.deadline, what);
        stored.await.map(drop)
    }

    /// Each attempt among so many deliveries: when it ended, and how. One that was given back unseen is none.
    async fn attempts(&self, seq: u64, count: u32, stored_ms: i64) -> Result<Vec<(i64, String)>, Error> {
        let notes = self.reader.notes(&self.names.attempt_note(&self.queue, seq)).await?;
        let mut attempts: Vec<_> = (0..count).map(|_| (stored_ms, NO_WORD.to_owned())).collect();
        for note in notes {
            let text = String::from_utf8_lossy(&note.payload);
            let mut words = text.splitn(3, ' ');
            let number = words.next().and_then(|word| word.parse::<usize>().ok());
            let time = words.next().and_then(|word| word.parse().ok());
            if let (Some(number), Some(time), Some(end)) = (number, time, words.next())
                && let Some(attempt) = number.checked_sub(1).and_then(|place| attempts.get_mut(place))
            {
                *attempt = (time, end.to_owned());
            }
        }
        let unseen = self.unseen(seq, stored_ms);
        let seen = (1..).zip(attempts).filter(|(number, _)| !unseen.contains(number));
        Ok(seen.map(|(_, attempt)| attempt).collect())
    }

    /// The same as `bury`, by a task: whoever waits for work may stop waiting, and waits for other work. The server has no
    /// more of a queue's messages out than `OUT_MAX`.
    pub(crate) fn bury_soon(self: &Arc<Self>, seq: u64, count: u32, out: Out) {
        // Counted from here on: a drain that looks before the task runs has to wait for it.
        let settling = Settling::count(self.clone());
        self.connection.spawn(async move { settling.0.bury_or_put_off(seq, count, &out).await });
    }

    async fn bury_or_put_off(&self, seq: u64, count: u32, out: &Out) {
        if let Err(error) = self.bury(seq, count, out, None).await {
            tracing::error!(%error, seq, "a dead letter could not be stored: the message stays");
            self.put_off(out);
        }
    }

    /// Stores the dead letter, then ends the message.
    pub(crate) async fn bury(
        &self,
        seq: u64,
        count: u32,
        out: &Out,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let attempts = self.attempts(seq, count, out.time_ms).await?;
        let origin = Origin { subject: self.queue.as_str(), stream: &self.stream, seq, time_ms: out.time_ms };
        let letter = DeadLetter::of(origin, attempts, reason, &out.envelope);
        let append = Append {
            subject: self.dead.clone(),
            payload: letter.encode_within(self.connection.payload_max())?,
        };
        // One letter a message, whoever stores it and however often.
        let id = format!("dead-{}-{seq}-{}", self.queue, out.time_ms);
        let known = self.committer.hub.known_now().await;
        let stored = self.committer.finish_as(id, vec![append], Vec::new()).await?;
        // One that was stored before is told by where it is.
        if stored.last > known {
            self.counts.dead();
        }
        let word = format!("+TERM {}", letter.reason.replace(['\r', '\n'], " "));
        self.tell(&out.reply, word.into()).await?;
        self.ended(seq, out.time_ms);
        Ok(())
    }
}
