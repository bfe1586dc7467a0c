//! What a process may send and hear on NATS, made of the registry and of what the process does: for the permissions of
//! its user there. Nobody may send what the server sends on (`bus.live`).

use crate::error::{Error, ErrorKind};
use crate::nats::names::Names;
use crate::nats::work::CONSUMER;
use crate::registry::Registry;
use crate::settings::BucketConfig;
use crate::subject::Subject;

/// What a process does, by the names of templates and buckets. It reads every log: each process hears all that is
/// stored.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// Templates it publishes to, or asks.
    pub publishes: Vec<&'static str>,
    /// Templates it subscribes to, or serves.
    pub subscribes: Vec<&'static str>,
    /// Templates of logs it commits to.
    pub commits: Vec<&'static str>,
    /// Templates of logs it trims. NATS knows one right to take messages out of the stream of all logs: whoever trims any
    /// is trusted with all.
    pub trims: Vec<&'static str>,
    /// Templates of work queues it puts messages into, and dead letters back, where the queue's stream is.
    pub refills: Vec<&'static str>,
    /// Work queues it makes, fills and works off, each by itself: a queue's stream has its name, which no pattern of NATS
    /// holds a part of. Their dead letters go to a log: see `commits`.
    pub works: Vec<Subject>,
    /// Whether it makes what is missing of streams and buckets, and notes the epoch: all but visitors do.
    pub declares: bool,
    /// Whether it looks at all that stands: JetStream's account, and every stream with its consumers.
    pub inspects: bool,
    /// Whether it brings streams and buckets to another form than they have. Queues are no part of it: no pattern of NATS
    /// holds those of one world alone.
    pub changes: bool,
    /// Buckets it reads and watches.
    pub reads: Vec<&'static str>,
    /// Buckets it reads keys of and writes.
    pub writes: Vec<&'static str>,
}

/// Subjects and patterns of NATS that a process may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// What it may send, beside answers to what it was asked.
    pub publish: Vec<String>,
    /// What it may hear.
    pub subscribe: Vec<String>,
}

impl Rights {
    /// What is needed for a part of a system of these buckets. `inbox`: as in `NatsConfig::inbox`.
    pub fn of(
        registry: &Registry,
        buckets: &[BucketConfig],
        inbox: &str,
        part: &Part,
    ) -> Result<Self, Error> {
        let names = Names::new(registry)?;
        let mut rights = Self { publish: Vec::new(), subscribe: vec![format!("{inbox}.>"), names.live()] };
        // A round trip through the own inbox shows that the connection lives.
        rights.publish.push(format!("{inbox}.>"));
        rights.subscribe.push(leader_elected(&names.events()));
        for template in &part.publishes {
            rights.publish.push(registry.widest_of(template)?);
        }
        for template in &part.subscribes {
            rights.subscribe.push(registry.widest_of(template)?);
        }
        rights.streams(&names, buckets, part);
        if part.declares {
            rights.publish.push(names.epoch_note());
        }
        if part.inspects {
            let every = ["STREAM.INFO", "CONSUMER.LIST"].map(|call| api(call, "*"));
            rights.publish.extend(every);
            rights.publish.extend(["$JS.API.INFO", "$JS.API.STREAM.NAMES"].map(str::to_owned));
        }
        for template in &part.commits {
            rights.publish.push(registry.widest_of(template)?);
        }
        if !part.commits.is_empty() {
            rights.publish.push(names.fill());
        }
        for template in &part.trims {
            rights.publish.push(names.trim_notes_of(&registry.widest_of(template)?));
        }
        if !part.trims.is_empty() {
            rights.publish.push(api("STREAM.PURGE", &names.events()));
        }
        for template in &part.refills {
            // A queue's stream is looked at by its name, which no pattern of NATS holds a part of.
            rights.publish.extend([registry.widest_of(template)?, api("STREAM.INFO", "*")]);
        }
        for queue in &part.works {
            rights.work(&names, queue);
        }
        for (bucket, writes) in part
            .reads
            .iter()
            .map(|bucket| (bucket, false))
            .chain(part.writes.iter().map(|bucket| (bucket, true)))
        {
            if !buckets.iter().any(|declared| declared.name == *bucket) {
                return Err(Error::new(ErrorKind::Subject, format!("no bucket '{bucket}' is declared")));
            }
            rights.bucket(&names, bucket, writes);
        }
        rights.publish.sort();
        rights.publish.dedup();
        rights.subscribe.sort();
        rights.subscribe.dedup();
        Ok(rights)
    }

    /// Looking at the streams, making those that are missing, and reading what all read.
    fn streams(&mut self, names: &Names, buckets: &[BucketConfig], part: &Part) {
        let logs = [names.events(), names.notes()];
        let kept = buckets.iter().map(|bucket| names.bucket_stream(&bucket.name));
        for stream in logs.iter().cloned().chain(kept) {
            self.publish.push(api("STREAM.INFO", &stream));
            if part.declares || part.changes {
                self.publish.push(api("STREAM.CREATE", &stream));
            }
            if part.changes {
                self.publish.push(api("STREAM.UPDATE", &stream));
            }
        }
        for stream in &logs {
            self.publish.extend([api("STREAM.MSG.GET", stream), api("DIRECT.GET", stream)]);
        }
    }

    /// The queue's stream and its one consumer: making and asking both, pulls, acknowledgements, and how attempts ended.
    fn work(&mut self, names: &Names, queue: &Subject) {
        let stream = names.work(queue);
        let consumer = format!("{stream}.{CONSUMER}");
        self.publish.extend([queue.as_str().to_owned(), names.attempt_notes(queue)]);
        self.publish.extend(["STREAM.INFO", "STREAM.CREATE"].map(|call| api(call, &stream)));
        let calls = ["CONSUMER.INFO", "CONSUMER.CREATE", "CONSUMER.MSG.NEXT"];
        self.publish.extend(calls.map(|call| api(call, &consumer)));
        self.publish.push(format!("$JS.ACK.{consumer}.>"));
    }

    /// A consumer sends where its maker says, whatever the maker may send: only who is trusted with that watches.
    fn bucket(&mut self, names: &Names, bucket: &str, writes: bool) {
        let stream = names.bucket_stream(bucket);
        self.publish.push(api("STREAM.MSG.GET", &stream));
        if writes {
            self.publish.push(format!("{}>", names.bucket_keys(bucket)));
        } else {
            let consumers = ["CONSUMER.CREATE", "CONSUMER.DELETE"];
            self.publish.extend(consumers.map(|call| api(call, &format!("{stream}.*"))));
            self.publish.push(format!("$JS.FC.{stream}.>"));
        }
    }
}

/// Where the server tells that a stream has another leader.
pub(crate) fn leader_elected(stream: &str) -> String {
    format!("$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.{stream}")
}

fn api(call: &str, of: &str) -> String {
    format!("$JS.API.{call}.{of}")
}
