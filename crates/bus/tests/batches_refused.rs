//! Batches that are refused for good: set aside one by one, taken out by hand, and nothing behind them waits for ever.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidings_bus::{
    Batcher, Bus, BusConfig, Class, Embedded, EmbeddedConfig, ErrorKind, Nats, NatsConfig, Registry,
    SlowReader, StoredGroup, Subject, TemplateDef,
};
use tidings_test_support::{NatsServer, newest_nats};

/// The largest message of a log, before and after.
const BEFORE: usize = 10_000;
const AFTER: usize = 100;

fn registry(template: &'static str, max_payload: usize) -> Arc<Registry> {
    let row = TemplateDef {
        name: "room",
        template,
        class: Class::Durable,
        message: "any",
        max_payload,
        slow: SlowReader::Refuse,
        check: None,
        wide: None,
    };
    Arc::new(Registry::new(None, vec![row]).unwrap())
}

/// Batches of each of these messages, left on disk since their server was away.
async fn left(folder: &Path, batches: &[&[usize]]) {
    let server = NatsServer::start(newest_nats()).unwrap();
    let mut config = NatsConfig::default().server(server.url());
    config.bus.deadline = Duration::from_secs(1);
    let registry = registry("room.{room:slug}", BEFORE);
    let backend = Nats::connect(config.clone(), registry.clone()).await.unwrap();
    let bus =
        Bus::with_config(backend, registry, BusConfig { deadline: Duration::from_secs(1), ..config.bus });
    let batcher = bus.batcher(folder).await.unwrap();
    drop(server);
    let room = bus.registry().subject("room", &["a"]).unwrap();
    for batch in batches {
        for (place, size) in batch.iter().enumerate() {
            let mut message = vec![b'x'; *size];
            message[0] = b'0' + u8::try_from(place).unwrap();
            batcher.push(&room, Bytes::from(message)).unwrap();
        }
        batcher.flush().await;
    }
    let report = batcher.close(Duration::from_secs(20)).await;
    assert_eq!(report.on_disk, batches.len(), "{report:?}");
}

/// The same folder, over a registry of now.
async fn opened(folder: &Path, registry: Arc<Registry>, refused_bytes: u64) -> (Bus, Batcher) {
    let backend = Embedded::open(EmbeddedConfig::default()).unwrap();
    let mut config = BusConfig::default();
    config.batch.refused_bytes = refused_bytes;
    let bus = Bus::with_config(backend, registry, config);
    let batcher = bus.batcher(folder).await.unwrap();
    (bus, batcher)
}

async fn stored(bus: &Bus, room: &Subject) -> usize {
    bus.read(std::slice::from_ref(room), 0, 1_000).await.unwrap().len()
}

/// Takes a group out, once it is not being sent.
async fn take_out(batcher: &Batcher, number: u64) -> StoredGroup {
    let taken = async {
        loop {
            match batcher.take_out(number, "a test").await {
                Err(error) if error.kind() == ErrorKind::Overloaded => {
                    tokio::time::sleep(error.retry_after().unwrap()).await;
                }
                taken => return taken.unwrap(),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), taken).await.expect("it is always being sent")
}

#[tokio::test]
async fn what_is_refused_for_good_is_set_aside_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    left(folder.path(), &[&[10, AFTER + 1, 10], &[10, 10]]).await;
    let (bus, batcher) = opened(folder.path(), registry("room.{room:slug}", AFTER), 1 << 20).await;
    let report = batcher.recover().await;
    assert_eq!((report.sent, report.on_disk), (4, 0), "{report:?}");
    let room = bus.registry().subject("room", &["a"]).unwrap();
    assert_eq!(stored(&bus, &room).await, 4);
    // Listed, kept over a restart, and given back.
    drop(batcher);
    let batcher = bus.batcher(folder.path()).await.unwrap();
    let [refused] = batcher.refused().try_into().unwrap();
    assert_eq!((refused.subject.as_str(), refused.messages), ("room.a", 1));
    let taken = batcher.take_refused(refused.number).await.unwrap();
    assert_eq!((taken.messages[0].len(), taken.messages[0][0]), (AFTER + 1, b'1'));
    assert!(batcher.refused().is_empty());
    assert_eq!(batcher.take_refused(refused.number).await.unwrap_err().kind(), ErrorKind::Storage);
}

#[tokio::test]
async fn where_no_more_can_be_set_aside_they_hold_their_subject_until_they_are_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    left(folder.path(), &[&[AFTER + 1], &[10, 10], &[10]]).await;
    let (bus, batcher) = opened(folder.path(), registry("room.{room:slug}", AFTER), 10).await;
    let room = bus.registry().subject("room", &["a"]).unwrap();
    let report = batcher.recover().await;
    assert_eq!((report.sent, report.on_disk), (0, 3), "nothing is lost for want of room: {report:?}");
    let first = batcher.failed()[0].clone();
    assert_eq!(first.messages, 1);
    let taken = take_out(&batcher, first.number).await;
    assert_eq!(taken.messages[0].len(), AFTER + 1);
    // What was behind it goes without another word.
    let gone = async {
        while stored(&bus, &room).await < 3 || batcher.report().on_disk > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("what was behind it goes on");
    assert_eq!(batcher.take_out(first.number, "again").await.unwrap_err().kind(), ErrorKind::Storage);
}

#[tokio::test]
async fn a_batch_whose_subject_is_no_more_is_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    left(folder.path(), &[&[10]]).await;
    let (_bus, batcher) = opened(folder.path(), registry("hall.{room:slug}", AFTER), 1 << 20).await;
    assert_eq!(batcher.recover().await.on_disk, 1, "nobody knows where it is to go");
    let number = batcher.failed()[0].number;
    assert_eq!(take_out(&batcher, number).await.subject, "room.a");
    assert!(batcher.failed().is_empty());
}
