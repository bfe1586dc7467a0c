//! Opening the log: what is found on disk becomes the view, the buckets and the work queues; the epoch is chosen; the
//! writer starts.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;

use crate::clock::now_ms;
use crate::embedded::buckets::Bucket;
use crate::embedded::config::EmbeddedConfig;
use crate::embedded::disk::active::Active;
use crate::embedded::disk::codec::{Kind, Record};
use crate::embedded::disk::files::FileLayer;
use crate::embedded::disk::inbox::Inbox;
use crate::embedded::disk::recover::{Lost, Mark, Recovered, RecoveryReport, Replay, recover};
use crate::embedded::disk::segment::read_all;
use crate::embedded::disk::writer::{Writer, random};
use crate::embedded::shared::{Shared, key_of};
use crate::embedded::view::{Entry, Place, View};
use crate::error::{Error, ErrorKind};
use crate::registry::Class;
use crate::settings::Retention;
use crate::subject::Subject;

const EPOCH_FILE: &str = "epoch";
const MARK_FILE: &str = "mark";
/// So that an idle writer does not spin.
const SHORTEST_MAINTENANCE: std::time::Duration = std::time::Duration::from_millis(1);

/// A log that is open.
pub(crate) struct Opened {
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) writer: JoinHandle<()>,
    pub(crate) epoch: String,
    pub(crate) report: RecoveryReport,
}

struct Filling<'a> {
    shared: &'a Shared,
    view: View,
}

impl Replay for Filling<'_> {
    fn sound(&mut self, record: &Record<'_>, place: Place, lost: &[Lost]) {
        let subject = || Subject::internal(record.subject.to_owned(), Class::Durable);
        let work = || self.shared.queue(&Subject::internal(record.subject.to_owned(), Class::Work));
        match record.kind {
            Kind::Append => {
                let entry = Entry { seq: record.seq, place };
                self.view.recover(&subject(), entry, record.prev, record.aux, lost);
            }
            Kind::Trim => self.view.trim(&subject(), record.aux.unsigned_abs()),
            Kind::Put => {
                if let Some((bucket, key)) = self.bucket(record) {
                    if record.aux != 0 && record.aux <= now_ms() {
                        bucket.apply_delete(key);
                    } else {
                        let value = Bytes::copy_from_slice(record.payload);
                        bucket.apply_put(key, value, record.seq, record.aux);
                    }
                }
            }
            Kind::Delete => {
                if let Some((bucket, key)) = self.bucket(record) {
                    bucket.apply_delete(key);
                }
            }
            Kind::Work => {
                let envelope = Bytes::copy_from_slice(record.payload);
                work().apply_put(record.seq, record.aux, envelope);
            }
            Kind::Attempt => work().apply_attempt(record.aux.unsigned_abs(), record.payload),
            Kind::Done => work().apply_done(record.aux.unsigned_abs()),
        }
    }

    /// The payload is gone, what it belongs to is known: a reader is told, and an older value does not come back.
    fn damaged(&mut self, record: &Record<'_>, place: Place) {
        match record.kind {
            Kind::Append => {
                let subject = Subject::internal(record.subject.to_owned(), Class::Durable);
                let entry = Entry { seq: record.seq, place };
                self.view.recover(&subject, entry, record.prev, record.aux, &[]);
            }
            Kind::Put => {
                tracing::error!(subject = record.subject, "a value is damaged: the key is taken for absent");
                if let Some((bucket, key)) = self.bucket(record) {
                    bucket.apply_delete(key);
                }
            }
            _ => tracing::error!(subject = record.subject, kind = ?record.kind, "a record is damaged"),
        }
    }
}

impl<'a> Filling<'a> {
    fn bucket<'r>(&self, record: &Record<'r>) -> Option<(&'a Bucket, &'r str)> {
        let (bucket, key) = key_of(record.subject)?;
        Some((self.shared.buckets.get(bucket)?.as_ref(), key))
    }
}

fn storage(files: &dyn FileLayer, error: io::Error) -> Error {
    Error::new(ErrorKind::Storage, format!("the log in {} cannot be opened", files.place())).because(error)
}

fn buckets(config: &EmbeddedConfig) -> Result<HashMap<String, Arc<Bucket>>, Error> {
    let mut buckets = HashMap::new();
    for bucket in &config.buckets {
        bucket.check_name()?;
        if buckets.insert(bucket.name.clone(), Arc::new(Bucket::new(bucket.clone()))).is_some() {
            return Err(Error::new(
                ErrorKind::Subject,
                format!("bucket '{}' is declared twice", bucket.name),
            ));
        }
    }
    Ok(buckets)
}

fn new_view(config: &EmbeddedConfig) -> View {
    let prefix = config.prefix.as_ref().map(|prefix| format!("{prefix}.")).unwrap_or_default();
    let mut rules: Vec<(String, Retention)> = config
        .retention_rules
        .iter()
        .map(|(pattern, retention)| (format!("{prefix}{pattern}"), *retention))
        .collect();
    rules.push((format!("{prefix}dlq.*"), Retention::DEAD_LETTERS));
    View::new(config.tail_bytes, config.retention, rules)
}

/// Reads what is there, cuts off what was torn, and starts the writer.
pub(crate) fn open(config: &EmbeddedConfig, files: Arc<dyn FileLayer>) -> Result<Opened, Error> {
    let to_error = |error| storage(files.as_ref(), error);
    let shared = Shared::new(new_view(config), buckets(config)?, files.reads_block());
    let mut filling = Filling { shared: &shared, view: new_view(config) };
    let mark = files.open(MARK_FILE).map_err(to_error)?;
    let marked = read_all(mark.as_ref()).map(|bytes| Mark::decode(&bytes)).unwrap_or_default();
    let recovered = recover(files.as_ref(), marked, &mut filling).map_err(to_error)?;
    let mut view = filling.view;
    let epoch = choose_epoch(files.as_ref(), &recovered).map_err(to_error)?;
    if epoch.1 {
        let fresh = mark
            .write_at(&Mark { seq: recovered.last_seq, group: recovered.last_group }.encode(), 0)
            .and_then(|()| mark.sync());
        fresh.map_err(to_error)?;
    }
    view.age_floor = recovered.age_floor;
    view.settle(recovered.last_seq);
    view.segments = recovered.segments.iter().map(|segment| (segment.head.number, segment.clone())).collect();
    *shared.view.write() = view;
    let shared = Arc::new(shared);
    let inbox = Arc::<Inbox>::default();
    let report = recovered.report.clone();
    let writer = start(config, files.clone(), &shared, &inbox, recovered, mark).map_err(to_error)?;
    Ok(Opened { shared, inbox, writer, epoch: epoch.0, report })
}

/// The epoch, and whether it is a new one: where the log is made, or is behind a number it gave out.
fn choose_epoch(files: &dyn FileLayer, recovered: &Recovered) -> io::Result<(String, bool)> {
    let known = if files.list()?.iter().any(|name| name == EPOCH_FILE) {
        String::from_utf8(read_all(files.open(EPOCH_FILE)?.as_ref())?).ok()
    } else {
        None
    };
    let known = known.filter(|text| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    match known {
        Some(epoch) if !recovered.report.behind && !recovered.segments.is_empty() => Ok((epoch, false)),
        _ => {
            let epoch: String = random()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
            let tmp = format!("{EPOCH_FILE}.tmp");
            let file = files.open(&tmp)?;
            file.set_len(0)?;
            file.write_at(epoch.as_bytes(), 0)?;
            file.sync()?;
            files.rename(&tmp, EPOCH_FILE)?;
            files.sync_folder()?;
            Ok((epoch, true))
        }
    }
}

fn start(
    config: &EmbeddedConfig,
    files: Arc<dyn FileLayer>,
    shared: &Arc<Shared>,
    inbox: &Arc<Inbox>,
    recovered: Recovered,
    mark: Arc<dyn crate::embedded::disk::files::LogFile>,
) -> io::Result<JoinHandle<()>> {
    let newest = recovered.segments.last().cloned();
    let active = newest.zip(recovered.append_at).map(|(segment, len)| Active::new(segment, len));
    let writer = Writer {
        inbox: inbox.clone(),
        shared: shared.clone(),
        files,
        segment_bytes: Writer::segment_bytes(config),
        active,
        next_number: recovered.next_number,
        last_seq: recovered.last_seq,
        group: recovered.last_group,
        synced: recovered.last_group,
        room: Vec::new(),
        crowded: false,
        mark: Some(mark),
        last_time_ms: shared.view.read().last_time_ms(),
        maintained: Instant::now(),
        forget_from: Instant::now() + config.forget_after,
        maintain_every: config.maintain_every.max(SHORTEST_MAINTENANCE),
        compacting: None,
    };
    let ended = Ended(inbox.clone());
    std::thread::Builder::new().name("tidings-log".to_owned()).spawn(move || {
        let _ended = ended;
        writer.run();
    })
}

/// However the writer ends, by a fault of its own too, no commit waits for it.
struct Ended(Arc<Inbox>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
