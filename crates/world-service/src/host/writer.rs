//! A zone's writes to storage: in order, behind the commits, tried again until they are taken. The records of
//! a commit are stamped with its sequence, so that doing them again changes nothing; what waits goes as one transaction.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message as _;
use tidings_bus::{Bus, Message, Subject};
use tidings_protocol::proto::services::v1::MutesChanged;
use tidings_protocol::{AccountId, CharacterId};
use tidings_service::{Dependency, Subjects};
use tidings_storage::{Checkpoint, Record, Stamp, Store};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::config::WRITES_MAX;
use super::unwritten::Unwritten;

/// One thing to be written.
pub enum Write {
    /// What a commit leaves.
    Records(Stamp, Vec<Record>),
    /// A checkpoint; once it is kept, the log is forgotten up to it.
    Checkpoint(Box<Checkpoint>, Subject),
    /// An answer that is true only once everything before it is written.
    Answer(Message, Bytes),
    /// Tells when everything before it is written.
    Flush(oneshot::Sender<()>),
}

/// The queue of writes and the task behind it; both end when this is dropped.
pub struct Writer {
    queue: mpsc::Sender<Write>,
    unwritten: Arc<Unwritten>,
    _task: AbortOnDropHandle<()>,
}

impl Writer {
    /// A writer, on the runtime this is called on.
    pub fn start(store: Store, bus: Bus, storage: Dependency, unwritten: Arc<Unwritten>) -> Self {
        let (queue, writes) = mpsc::channel(WRITES_MAX);
        let task = Task { store, bus, storage, unwritten: Arc::clone(&unwritten) };
        let task = tokio::spawn(task.run(writes));
        Self { queue, unwritten, _task: AbortOnDropHandle::new(task) }
    }

    /// Queues a write; waits where the queue is full.
    pub async fn write(&self, write: Write) {
        if let Write::Records(stamp, records) = &write {
            self.unwritten.add(stamp, records, Instant::now());
        }
        metrics::gauge!("tidings_zone_writes_waiting").set((WRITES_MAX - self.queue.capacity()) as f64);
        if self.queue.send(write).await.is_err() {
            tracing::error!("the writer of a zone has ended before its zone");
        }
    }

    /// Told when everything queued so far is written.
    pub async fn written(&self) -> oneshot::Receiver<()> {
        let (done, written) = oneshot::channel();
        self.write(Write::Flush(done)).await;
        written
    }

    /// Waits until everything queued so far is written.
    pub async fn flush(&self) {
        drop(self.written().await.await);
    }
}

/// Writes taken at once: enough that a burst of moves of one character becomes one.
const TAKEN_MAX: usize = 256;
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);

struct Task {
    store: Store,
    bus: Bus,
    storage: Dependency,
    unwritten: Arc<Unwritten>,
}

impl Task {
    async fn run(self, mut writes: mpsc::Receiver<Write>) {
        let mut taken = Vec::with_capacity(TAKEN_MAX);
        while writes.recv_many(&mut taken, TAKEN_MAX).await > 0 {
            leave_out_superseded(&mut taken);
            let mut commits = Vec::new();
            for write in taken.drain(..) {
                match write {
                    Write::Records(stamp, records) => commits.push((stamp, records)),
                    later => {
                        self.apply(std::mem::take(&mut commits)).await;
                        self.write(later).await;
                    }
                }
            }
            self.apply(commits).await;
        }
    }

    /// What waits goes as one transaction: a commit that storage refuses for good must not hold up the others, so
    /// then each goes alone.
    async fn apply(&self, mut commits: Vec<(Stamp, Vec<Record>)>) {
        commits.retain(|(_, records)| !records.is_empty());
        if commits.is_empty() {
            return;
        }
        if !self.until_done("records", || self.store.apply_all(&commits)).await && commits.len() > 1 {
            for commit in &commits {
                self.until_done("records", || self.store.apply_all(std::slice::from_ref(commit))).await;
            }
        }
        self.unwritten.written(&commits, Instant::now());
        self.tell_mutes(&commits).await;
    }

    async fn write(&self, write: Write) {
        match write {
            Write::Records(stamp, records) => self.apply(vec![(stamp, records)]).await,
            Write::Checkpoint(checkpoint, log) => {
                if self.until_done("checkpoint", || self.store.save_checkpoint(&checkpoint)).await {
                    self.trim(&log, checkpoint.stamp.seq).await;
                }
            }
            Write::Answer(message, answer) => drop(message.respond(answer)),
            Write::Flush(done) => drop(done.send(())),
        }
    }

    /// Tries again while a retry can help. What storage refuses for good is logged and left out: it must not
    /// hold up what comes after it.
    async fn until_done<'a, F>(&'a self, what: &str, attempt: impl Fn() -> F) -> bool
    where
        F: Future<Output = tidings_storage::Result<()>> + 'a,
    {
        let mut wait = RETRY_FIRST;
        loop {
            let Err(error) = attempt().await else {
                self.storage.ready();
                return true;
            };
            metrics::counter!("tidings_zone_write_errors_total").increment(1);
            if !error.is_retryable() {
                tracing::error!(%error, kind = ?error.kind(), what, "storage refuses a zone's write");
                return false;
            }
            tracing::warn!(%error, what, "storage does not take a zone's write; trying again");
            self.storage.failed(error.to_string());
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_MOST);
        }
    }

    async fn trim(&self, log: &Subject, through: u64) {
        if let Err(error) = self.bus.trim(log, through).await {
            tracing::warn!(%log, %error, "a zone's log was not trimmed; the next checkpoint tries again");
        }
    }

    /// Edges that hold an account's mutes load them again.
    async fn tell_mutes(&self, commits: &[(Stamp, Vec<Record>)]) {
        let muters: HashSet<AccountId> = commits
            .iter()
            .flat_map(|(_, records)| records)
            .filter_map(|record| match record {
                Record::Mute { mute, .. } => Some(mute.account),
                _ => None,
            })
            .collect();
        for account in muters {
            let changed = MutesChanged { account: account.to_string() }.encode_to_vec();
            let told = match Subjects(self.bus.registry()).control("mutes") {
                Ok(subject) => self.bus.publish(&subject, changed.into(), Vec::new()).await,
                Err(error) => Err(error),
            };
            if let Err(error) = told {
                tracing::warn!(%error, "edges were not told of a mute; they look again within a minute");
            }
        }
    }
}

/// Of a character's places only the last one matters, as long as nothing that waits for them lies between.
fn leave_out_superseded(writes: &mut [Write]) {
    let mut later: HashSet<CharacterId> = HashSet::new();
    for write in writes.iter_mut().rev() {
        match write {
            Write::Records(_, records) => {
                let mut kept: Vec<Record> = Vec::with_capacity(records.len());
                for record in records.drain(..).rev() {
                    match &record {
                        Record::Character { id, .. } if !later.insert(*id) => {}
                        _ => kept.push(record),
                    }
                }
                kept.reverse();
                *records = kept;
            }
            Write::Checkpoint(..) | Write::Answer(..) | Write::Flush(_) => later.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(id: u128, room: &str) -> Record {
        let room = room.parse().expect("a room");
        Record::Character { id: CharacterId::from_u128(id), room, state: String::new() }
    }

    #[test]
    fn only_the_last_place_of_a_character_is_written() {
        let stamp = |seq| Stamp { epoch: "e".into(), seq };
        let mut writes = vec![
            Write::Records(stamp(1), vec![place(1, "z_a"), place(2, "z_a")]),
            Write::Records(stamp(2), vec![place(1, "z_b"), place(1, "z_c")]),
        ];
        leave_out_superseded(&mut writes);
        let left: Vec<_> = writes
            .into_iter()
            .map(|write| match write {
                Write::Records(_, records) => records,
                _ => vec![],
            })
            .collect();
        assert_eq!(left, vec![vec![place(2, "z_a")], vec![place(1, "z_c")]]);
    }
}
