//! Batches over both backends: grouped, sent again, parked on disk, recovered; nothing lost, each subject in order.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
mod checker;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tidings_bus::backend::{Backend, Outcome};
use tidings_bus::kv::KvBackend;
use tidings_bus::log::FollowSetBackend;
use tidings_bus::resilience::{Move, State, States};
use tidings_bus::work::WorkBackend;
use tidings_bus::{
    Append, BatchReport, Batcher, Bus, BusConfig, Committed, DrainReport, Embedded, EmbeddedConfig, Error,
    ErrorKind, Fence, Headers, LogMessage, Pattern, Subject, Subscription, WorkConfig,
};
use tidings_test_support::{NatsServer, newest_nats};

use crate::checker::{registry, servers};

/// A backend that refuses what it is told to, knows ids as a server does, and notes the sizes of what it takes.
struct Flaky {
    inner: Arc<Embedded>,
    refuse: Mutex<HashSet<String>>,
    /// Messages that are refused for good, and ones of which one try finds no time.
    bad: Mutex<HashSet<Bytes>>,
    late: Mutex<HashSet<Bytes>>,
    known: Mutex<HashSet<String>>,
    taken: Mutex<Vec<(String, usize)>>,
    states: States,
}

impl Backend for Flaky {
    fn publish(&self, subject: &Subject, payload: Bytes, headers: Headers) -> Outcome<'_, ()> {
        self.inner.publish(subject, payload, headers)
    }
    fn subscribe(
        &self,
        pattern: &Pattern,
        group: Option<&str>,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, Error>> {
        self.inner.subscribe(pattern, group, capacity)
    }
    fn request(
        &self,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<Bytes, Error>> {
        self.inner.request(subject, payload, headers, deadline)
    }
    fn commit(&self, batch: Vec<Append>, fences: Vec<Fence>) -> BoxFuture<'_, Result<Committed, Error>> {
        let name = batch[0].subject.as_str().to_owned();
        if self.refuse.lock().contains(&name) {
            return Box::pin(async { Err(Error::new(ErrorKind::Connection, "it is away")) });
        }
        self.taken.lock().push((name, batch.len()));
        self.inner.commit(batch, fences)
    }
    fn commit_once(&self, id: &str, batch: Vec<Append>) -> BoxFuture<'_, Result<(), Error>> {
        let any = |of: &HashSet<Bytes>| batch.iter().any(|one| of.contains(&one.payload));
        if any(&self.bad.lock()) {
            return Box::pin(async { Err(Error::new(ErrorKind::Schema, "it has no form")) });
        }
        if batch.len() == 1 && self.late.lock().remove(&batch[0].payload) {
            return Box::pin(async { Err(Error::new(ErrorKind::Timeout, "nobody knows")) });
        }
        if self.known.lock().contains(id) {
            return Box::pin(async { Ok(()) });
        }
        let (id, committing) = (id.to_owned(), self.commit(batch, Vec::new()));
        Box::pin(async move {
            committing.await?;
            self.known.lock().insert(id);
            Ok(())
        })
    }
    fn connection(&self) -> Option<States> {
        Some(self.states.clone())
    }
    fn read(
        &self,
        subjects: &[Subject],
        after: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LogMessage>, Error>> {
        self.inner.read(subjects, after, limit)
    }
    fn last(&self, subject: &Subject) -> BoxFuture<'_, Result<Option<LogMessage>, Error>> {
        self.inner.last(subject)
    }
    fn trim(&self, subject: &Subject, through: u64) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.trim(subject, through)
    }
    fn logs(&self, pattern: &Pattern) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        self.inner.logs(pattern)
    }
    fn replay(
        &self,
        queue: &Subject,
        id: &str,
        envelope: Bytes,
        note: Append,
        fence: Fence,
    ) -> BoxFuture<'_, Result<u64, Error>> {
        self.inner.replay(queue, id, envelope, note, fence)
    }
    fn follow_set(&self) -> Box<dyn FollowSetBackend> {
        self.inner.follow_set()
    }
    fn epoch(&self) -> String {
        self.inner.epoch()
    }
    fn kv(&self, bucket: &str) -> Result<Arc<dyn KvBackend>, Error> {
        self.inner.kv(bucket)
    }
    fn work(
        &self,
        queue: &Subject,
        dead: &Subject,
        config: WorkConfig,
    ) -> Result<Arc<dyn WorkBackend>, Error> {
        self.inner.work(queue, dead, config)
    }
    fn drain(&self, deadline: Duration) -> BoxFuture<'_, DrainReport> {
        self.inner.drain(deadline)
    }
}

fn flaky(change: impl Fn(&mut BusConfig)) -> (Arc<Flaky>, Bus) {
    let inner = Embedded::open(EmbeddedConfig::default()).unwrap();
    let flaky = Arc::new(Flaky {
        inner,
        refuse: Mutex::default(),
        bad: Mutex::default(),
        late: Mutex::default(),
        known: Mutex::default(),
        taken: Mutex::default(),
        states: States::new(),
    });
    let mut config = BusConfig::default();
    config.batch.retries = [10, 20, 40].map(Duration::from_millis).to_vec();
    change(&mut config);
    (flaky.clone(), Bus::with_config(flaky, registry(), config))
}

fn room(bus: &Bus, name: &str) -> Subject {
    bus.registry().subject("room", &[name]).unwrap()
}

fn push(batcher: &Batcher, subject: &Subject, numbers: std::ops::Range<u64>) {
    numbers.for_each(|number| batcher.push(subject, Bytes::from(number.to_string())).unwrap());
}

async fn stored(bus: &Bus, subject: &Subject) -> Vec<u64> {
    let found = bus.read(std::slice::from_ref(subject), 0, 100_000).await.unwrap();
    found.iter().map(|message| std::str::from_utf8(&message.payload).unwrap().parse().unwrap()).collect()
}

async fn open(bus: &Bus, folder: &Path) -> Batcher {
    bus.batcher(folder).await.unwrap()
}

#[tokio::test]
async fn grouped_by_subject_and_sent_by_size_and_time() {
    let (flaky, bus) = flaky(|_| {});
    let folder = tempfile::tempdir().unwrap();
    let batcher = open(&bus, folder.path()).await;
    let (a, b) = (room(&bus, "z_a"), room(&bus, "z_b"));
    let begun = Instant::now();
    push(&batcher, &a, 0..3);
    push(&batcher, &b, 0..1);
    while stored(&bus, &a).await.len() < 3 || stored(&bus, &b).await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(45), "they wait for others");
    let mut taken = std::mem::take(&mut *flaky.taken.lock());
    taken.sort();
    assert_eq!(taken, [(a.as_str().to_owned(), 3), (b.as_str().to_owned(), 1)]);
    push(&batcher, &a, 3..253);
    let report = batcher.flush().await;
    assert_eq!(report, BatchReport { sent: 254, ..BatchReport::default() });
    assert_eq!(stored(&bus, &a).await, (0..253).collect::<Vec<_>>());
    assert!(flaky.taken.lock().iter().all(|(_, size)| *size <= 100));
    assert!(flaky.taken.lock().len() <= 4, "{:?}", flaky.taken.lock());
}

#[tokio::test]
async fn what_fails_is_parked_with_all_behind_it_and_recovered_by_command() {
    let (flaky, bus) = flaky(|_| {});
    let folder = tempfile::tempdir().unwrap();
    let batcher = open(&bus, folder.path()).await;
    let (a, b) = (room(&bus, "z_a"), room(&bus, "z_b"));
    flaky.refuse.lock().insert(a.as_str().to_owned());
    push(&batcher, &a, 0..5);
    push(&batcher, &b, 0..5);
    let flushing = batcher.flush();
    tokio::pin!(flushing);
    // Appended while a flush is under way.
    assert!(futures_util::poll!(&mut flushing).is_pending());
    push(&batcher, &a, 5..8);
    let report = flushing.await;
    assert_eq!(report.sent, 5, "those that succeed are done");
    assert_eq!(batcher.flush().await, BatchReport { sent: 5, parked: 8, pending: 0, on_disk: 2 });
    assert_eq!(batcher.recover().await.on_disk, 2, "it is still away");
    flaky.refuse.lock().clear();
    push(&batcher, &a, 8..10);
    assert_eq!(batcher.flush().await.on_disk, 3, "behind what is on disk, until that is recovered");
    assert_eq!(batcher.recover().await, BatchReport { sent: 15, parked: 10, pending: 0, on_disk: 0 });
    assert_eq!(stored(&bus, &a).await, (0..10).collect::<Vec<_>>());
    assert_eq!(stored(&bus, &b).await, (0..5).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_on_disk_outlives_the_process_and_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let (flaky, bus) = flaky(|_| {});
    let a = room(&bus, "z_a");
    flaky.refuse.lock().insert(a.as_str().to_owned());
    let batcher = open(&bus, folder.path()).await;
    push(&batcher, &a, 0..4);
    let report = batcher.close(Duration::from_secs(5)).await;
    assert_eq!(
        (report.parked, report.pending, report.on_disk),
        (4, 0, 1),
        "closing parks what fails at once"
    );
    let batcher = open(&bus, folder.path()).await;
    push(&batcher, &a, 4..6);
    // Dropped without a word, at any moment: everything in memory is on disk, and the folder is free.
    drop(batcher);
    for number in 6..30 {
        let batcher = open(&bus, folder.path()).await;
        push(&batcher, &a, number..number + 1);
        tokio::time::sleep(Duration::from_millis(4 * (number - 6))).await;
    }
    flaky.refuse.lock().clear();
    let batcher = open(&bus, folder.path()).await;
    push(&batcher, &a, 30..32);
    batcher.flush().await;
    assert_eq!(batcher.recover().await.on_disk, 0);
    let mut found = stored(&bus, &a).await;
    // Where a drop met a write to the disk a group may be there twice.
    found.dedup();
    assert_eq!(found, (0..32).collect::<Vec<_>>());
}

#[tokio::test]
async fn memory_and_disk_are_bounded_and_nothing_taken_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (flaky, bus) = flaky(|config| {
        config.batch.messages = 10;
        config.batch.pending_messages = 100;
        config.batch.failed_bytes = 500;
    });
    let a = room(&bus, "z_a");
    flaky.refuse.lock().insert(a.as_str().to_owned());
    let batcher = open(&bus, folder.path()).await;
    let (mut taken, mut refused) = (0, 0);
    let begun = Instant::now();
    while refused < 50 {
        match batcher.push(&a, Bytes::from(taken.to_string())) {
            Ok(()) => taken += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Overloaded);
                assert!(error.retry_after().is_some());
                refused += 1;
            }
        }
        assert!(batcher.report().pending <= 100 && begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let report = batcher.report();
    assert!(report.on_disk > 0 && report.parked > 0, "{report:?}");
    flaky.refuse.lock().clear();
    let begun = Instant::now();
    while stored(&bus, &a).await.len() < taken {
        tokio::time::timeout(Duration::from_secs(20), batcher.recover()).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", batcher.report());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(stored(&bus, &a).await, (0..taken as u64).collect::<Vec<_>>());
}

fn message(number: u64) -> Bytes {
    Bytes::from(number.to_string())
}

#[tokio::test]
async fn none_of_a_group_sent_one_by_one_is_taken_for_another() {
    let (flaky, bus) = flaky(|_| {});
    let folder = tempfile::tempdir().unwrap();
    let batcher = open(&bus, folder.path()).await;
    let a = room(&bus, "z_a");
    flaky.bad.lock().insert(message(2));
    flaky.late.lock().insert(message(1));
    push(&batcher, &a, 0..3);
    // 0 is stored, 1 has no time, and 2 keeps what is left from going together.
    assert_eq!(batcher.flush().await, BatchReport { sent: 2, ..BatchReport::default() });
    assert_eq!(stored(&bus, &a).await, [0, 1]);
    assert_eq!(batcher.refused().len(), 1);
}

/// Two messages of one group on disk, of which one is refused for good from now on.
async fn two_on_disk(flaky: &Flaky, bus: &Bus, folder: &Path, bad: u64) -> (Subject, Batcher) {
    let a = room(bus, "z_a");
    flaky.refuse.lock().insert(a.as_str().to_owned());
    let batcher = open(bus, folder).await;
    push(&batcher, &a, 0..2);
    assert_eq!(batcher.flush().await.on_disk, 1);
    flaky.bad.lock().insert(message(bad));
    (a, batcher)
}

#[tokio::test]
async fn what_is_set_aside_of_a_group_on_disk_is_set_aside_once() {
    let (flaky, bus) = flaky(|_| {});
    let folder = tempfile::tempdir().unwrap();
    let (a, mut batcher) = two_on_disk(&flaky, &bus, folder.path(), 0).await;
    for _ in 0..3 {
        assert_eq!(batcher.recover().await.on_disk, 1, "the other is away still");
        assert_eq!(batcher.refused().len(), 1);
        assert_eq!(batcher.failed()[0].messages, 1);
        // It is written, too.
        drop(batcher);
        batcher = open(&bus, folder.path()).await;
    }
    flaky.refuse.lock().clear();
    assert_eq!(batcher.recover().await.on_disk, 0);
    assert_eq!((stored(&bus, &a).await, batcher.refused().len()), (vec![1], 1));
}

#[tokio::test]
async fn what_is_sent_of_a_group_on_disk_is_sent_once() {
    // No room for one that is refused.
    let (flaky, bus) = flaky(|config| config.batch.refused_bytes = 10);
    let folder = tempfile::tempdir().unwrap();
    let (a, batcher) = two_on_disk(&flaky, &bus, folder.path(), 1).await;
    flaky.refuse.lock().clear();
    for _ in 0..3 {
        assert_eq!(batcher.recover().await.on_disk, 1, "it holds its subject");
        // As a server does in time.
        flaky.known.lock().clear();
    }
    assert_eq!(stored(&bus, &a).await, [0]);
    let left = batcher.take_out(batcher.failed()[0].number, "no form").await.unwrap();
    assert_eq!(left.messages, [message(1)]);
}

#[tokio::test]
async fn a_pool_that_is_back_in_part_sends_what_is_on_disk() {
    let (flaky, bus) = flaky(|_| {});
    let folder = tempfile::tempdir().unwrap();
    for by in [Move::Connect, Move::Established] {
        flaky.states.make(by).unwrap();
    }
    let (a, batcher) = (room(&bus, "z_a"), open(&bus, folder.path()).await);
    flaky.refuse.lock().insert(a.as_str().to_owned());
    push(&batcher, &a, 0..3);
    assert_eq!(batcher.flush().await.on_disk, 1);
    flaky.refuse.lock().clear();
    // All of its connections lost, one of them made anew: nobody sees what is between.
    for by in [Move::Lost, Move::Established, Move::Falter] {
        flaky.states.make(by).unwrap();
    }
    let gone = async {
        while batcher.report().on_disk > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("it is sent without a command");
    assert_eq!(stored(&bus, &a).await, [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_server_that_goes_and_comes_back() {
    let mut servers = [NatsServer::start(newest_nats()).unwrap()];
    let (backend, bus) = servers::connect(&servers).await;
    let folder = tempfile::tempdir().unwrap();
    let batcher = open(&bus, folder.path()).await;
    let rooms = ["z_a", "z_b", "z_c"].map(|name| room(&bus, name));
    let mut count = 0;
    let begun = Instant::now();
    let pushed = |count: &mut u64| {
        rooms.iter().for_each(|one| push(&batcher, one, *count..*count + 1));
        *count += 1;
    };
    for phase in 0..3 {
        let until = count + 200;
        while count < until {
            pushed(&mut count);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if phase < 2 {
            servers[0].kill().unwrap();
            while batcher.report().on_disk == 0 {
                pushed(&mut count);
                assert!(begun.elapsed() < Duration::from_secs(40));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            servers[0].restart().unwrap();
            let mut watching = backend.states().watch();
            watching.until(|state| *state == State::Connected).await.unwrap();
            // Without a command: connected anew, what is on disk is sent.
            while batcher.report().on_disk > 0 {
                assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", batcher.report());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    // A group may have failed after the connection was back, while the server was still starting.
    while batcher.flush().await.on_disk > 0 {
        batcher.recover().await;
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", batcher.report());
    }
    let report = batcher.close(Duration::from_secs(20)).await;
    assert_eq!((report.pending, report.on_disk), (0, 0), "{report:?}");
    for one in &rooms {
        let found = stored(&bus, one).await;
        assert_eq!(found, (0..count).collect::<Vec<_>>(), "each once, in order");
    }
    println!("{count} a subject, {report:?}, {:?}", begun.elapsed());
}
