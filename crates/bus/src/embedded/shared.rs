//! What the writer, the readers and the followers share.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use metrics::{Counter, Gauge, Histogram};
use parking_lot::{Mutex, RwLock};

use crate::embedded::buckets::Bucket;
use crate::embedded::disk::codec::{Decoded, Kind, Record, decode_record};
use crate::embedded::disk::segment::name_of;
use crate::embedded::queues::WorkQueue;
use crate::embedded::signal::Signal;
use crate::embedded::view::{Found, LogId, View};
use crate::error::{Error, ErrorKind};
use crate::log::LogMessage;
use crate::registry::Class;
use crate::subject::Subject;

pub(crate) struct Shared {
    pub(crate) view: RwLock<View>,
    pub(crate) buckets: HashMap<String, Arc<Bucket>>,
    pub(crate) queues: Mutex<HashMap<String, Arc<WorkQueue>>>,
    pub(crate) metrics: LogMetrics,
    /// Every follower, also one that follows nothing yet: woken when the bus closes.
    followers: Mutex<Vec<Weak<Signal>>>,
    reads_block: bool,
    closed: AtomicBool,
}

/// Handles looked up once: a recorder is installed before the backend is opened.
pub(crate) struct LogMetrics {
    pub(crate) fell_behind: Counter,
    pub(crate) damaged: Counter,
    pub(crate) stored_bytes: Counter,
    pub(crate) write_failures: Counter,
    pub(crate) compactions: Counter,
    pub(crate) compaction_failures: Counter,
    pub(crate) group_commits: Histogram,
    pub(crate) sync_seconds: Histogram,
    pub(crate) commit_seconds: Histogram,
    pub(crate) segments: Gauge,
}

impl LogMetrics {
    fn new() -> Self {
        Self {
            fell_behind: metrics::counter!("tidings_bus_follower_behind_total"),
            damaged: metrics::counter!("tidings_bus_log_damaged_reads_total"),
            stored_bytes: metrics::counter!("tidings_bus_log_bytes_total"),
            write_failures: metrics::counter!("tidings_bus_log_write_failures_total"),
            compactions: metrics::counter!("tidings_bus_log_compactions_total"),
            compaction_failures: metrics::counter!("tidings_bus_log_compaction_failures_total"),
            group_commits: metrics::histogram!("tidings_bus_log_group_commits"),
            sync_seconds: metrics::histogram!("tidings_bus_log_sync_seconds"),
            commit_seconds: metrics::histogram!("tidings_bus_commit_seconds"),
            segments: metrics::gauge!("tidings_bus_log_segments"),
        }
    }
}

/// A message that was looked for.
pub(crate) struct Loaded {
    pub(crate) log: LogId,
    pub(crate) seq: u64,
    pub(crate) message: Result<LogMessage, Error>,
}

/// The subject a durable value is stored under: no registry makes it, its alphabet has no `$`.
pub(crate) fn key_subject(bucket: &str, key: &str) -> Subject {
    Subject::internal(format!("$KV.{bucket}.{key}"), Class::Durable)
}

/// The bucket and key of such a subject.
pub(crate) fn key_of(subject: &str) -> Option<(&str, &str)> {
    subject.strip_prefix("$KV.")?.split_once('.')
}

impl Shared {
    pub(crate) fn new(view: View, buckets: HashMap<String, Arc<Bucket>>, reads_block: bool) -> Self {
        Self {
            view: RwLock::new(view),
            buckets,
            queues: Mutex::default(),
            metrics: LogMetrics::new(),
            followers: Mutex::default(),
            reads_block,
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Nothing more becomes visible: followers, watchers and workers read what there is and end.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        for follower in self.followers.lock().iter().filter_map(Weak::upgrade) {
            follower.raise();
        }
        for bucket in self.buckets.values() {
            bucket.close();
        }
        for queue in self.queues.lock().values() {
            queue.stop();
        }
    }

    /// The signal of a new follower.
    pub(crate) fn signal(&self) -> Arc<Signal> {
        let signal = Arc::<Signal>::default();
        let mut followers = self.followers.lock();
        followers.retain(|follower| follower.strong_count() > 0);
        followers.push(Arc::downgrade(&signal));
        signal
    }

    /// Whether reading what is not in memory waits for a disk.
    pub(crate) fn reads_block(&self) -> bool {
        self.reads_block
    }

    /// The work queue of a subject, made where there is none yet.
    pub(crate) fn queue(&self, subject: &Subject) -> Arc<WorkQueue> {
        let mut queues = self.queues.lock();
        if let Some(queue) = queues.get(subject.as_str()) {
            return queue.clone();
        }
        let queue = WorkQueue::new(subject.clone());
        queues.insert(subject.as_str().to_owned(), queue.clone());
        queue
    }

    /// The messages that were found. May wait for the disk.
    pub(crate) fn load(&self, found: Vec<Found>) -> Vec<Loaded> {
        found.into_iter().map(|found| self.load_one(found)).collect()
    }

    fn load_one(&self, found: Found) -> Loaded {
        let (log, seq) = (found.log, found.entry.seq);
        let message = match read_message(&found) {
            Ok(message) => Ok(message),
            Err(cause) => {
                self.metrics.damaged.increment(1);
                let place = found.entry.place;
                let file = name_of(place.segment);
                let what = format!(
                    "message {seq} of '{}' cannot be read: {file} at offset {}",
                    found.subject, place.offset
                );
                tracing::error!(subject = %found.subject, seq, file, offset = place.offset, "damaged message");
                let error = Error::new(ErrorKind::Storage, what);
                Err(match cause {
                    Some(cause) => error.because(cause),
                    None => error,
                })
            }
        };
        Loaded { log, seq, message }
    }

    /// Whether a record is still wanted: what compaction keeps.
    pub(crate) fn is_wanted(&self, record: &Record<'_>) -> bool {
        match record.kind {
            Kind::Append => {
                let subject = Subject::internal(record.subject.to_owned(), Class::Durable);
                self.view.read().retains(&subject, record.seq)
            }
            // A bucket that is not declared now may be again.
            Kind::Put => key_of(record.subject)
                .and_then(|(bucket, key)| Some((self.buckets.get(bucket)?, key)))
                .is_none_or(|(bucket, key)| bucket.revision(key) == Some(record.seq)),
            Kind::Work => self.has_work(record.subject, record.seq),
            Kind::Attempt => self.has_work(record.subject, record.aux.unsigned_abs()),
            Kind::Trim | Kind::Delete | Kind::Done => false,
        }
    }

    fn has_work(&self, subject: &str, seq: u64) -> bool {
        let queue = self.queues.lock().get(subject).cloned();
        queue.is_some_and(|queue| queue.contains(seq))
    }

    /// The bytes that are still wanted, by segment. A segment that holds damage a reader can still meet is wanted
    /// whole: compacted, it would be forgotten.
    pub(crate) fn live_bytes(&self) -> HashMap<u32, u64> {
        let mut live: HashMap<u32, u64> = HashMap::new();
        let view = self.view.read();
        for log in view.logs() {
            for entry in &log.entries {
                let bytes = live.entry(entry.place.segment).or_default();
                let more = if entry.place.len == 0 { u64::from(u32::MAX) } else { entry.place.len.into() };
                *bytes = bytes.saturating_add(more);
            }
        }
        let starts: Vec<(u64, u32)> =
            view.segments.values().map(|segment| (segment.head.base, segment.head.number)).collect();
        drop(view);
        let mut add = |(seq, bytes): (u64, usize)| {
            let place = starts.partition_point(|(base, _)| *base < seq);
            if let Some((_, number)) = place.checked_sub(1).and_then(|place| starts.get(place)) {
                *live.entry(*number).or_default() += bytes as u64 + 64;
            }
        };
        self.buckets.values().flat_map(|bucket| bucket.sizes()).for_each(&mut add);
        let queues: Vec<_> = self.queues.lock().values().cloned().collect();
        queues.iter().flat_map(|queue| queue.sizes()).for_each(&mut add);
        live
    }
}

fn read_message(found: &Found) -> Result<LogMessage, Option<io::Error>> {
    if let Some(message) = &found.message {
        return Ok(message.clone());
    }
    let place = found.entry.place;
    let segment = found.segment.as_ref().filter(|_| place.len > 0).ok_or(None)?;
    let mut data = vec![0; place.len as usize];
    segment.file.read_at(&mut data, u64::from(place.offset)).map_err(Some)?;
    match decode_record(&data, segment.head.checksum_seed()) {
        Some((Decoded::Sound(record), _)) if record.seq == found.entry.seq && record.kind == Kind::Append => {
            let start = data.len() - record.payload.len();
            let (subject, seq, prev, time_ms) = (found.subject.clone(), record.seq, found.prev, record.aux);
            Ok(LogMessage::new(subject, seq, prev, time_ms, Bytes::from(data).slice(start..)))
        }
        _ => Err(None),
    }
}
