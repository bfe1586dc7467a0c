//! What is made ready beyond the end of the log: zeros, no damage; never more than there is room for; given back.
#![allow(clippy::unwrap_used, missing_docs)]
#![allow(dead_code, reason = "the simulated disk does more than this asks of it")]

mod sim;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidings_bus::{
    Bus, Class, Embedded, EmbeddedConfig, ErrorKind, RecoveryReport, Registry, SlowReader, Subject,
    TemplateDef,
};

use crate::sim::{Disk, Loss};

const LOG: &str = "00000001.log";
const SEGMENT: usize = 64 * 1024;

struct Opened {
    bus: Bus,
    found: RecoveryReport,
}

impl Opened {
    fn on(disk: &Disk) -> Self {
        let row = TemplateDef {
            name: "room",
            template: "room.{room:slug}.log",
            class: Class::Durable,
            message: "text",
            max_payload: 1 << 20,
            slow: SlowReader::Refuse,
            check: None,
            wide: None,
        };
        // Maintenance, after which room is made ready again, has its turn all the time.
        let maintain_every = Duration::from_millis(1);
        let config =
            EmbeddedConfig { segment_bytes: SEGMENT as u64, maintain_every, ..EmbeddedConfig::default() };
        let backend = Embedded::open_on(config, disk.files()).unwrap();
        let found = backend.recovery().clone();
        Self { bus: Bus::new(backend, Arc::new(Registry::new(None, vec![row]).unwrap())), found }
    }

    fn log(&self) -> Subject {
        self.bus.registry().subject("room", &["hall"]).unwrap()
    }

    async fn append(&self, bytes: usize) -> Result<u64, ErrorKind> {
        let stored = self.bus.append(&self.log(), Bytes::from(vec![b'x'; bytes])).await;
        stored.map_err(|error| error.kind())
    }

    async fn kept(&self) -> usize {
        self.bus.read(&[self.log()], 0, usize::MAX).await.unwrap().len()
    }
}

/// Appends, and again and again until the first one's room has surely been made.
async fn some(opened: &Opened) {
    for _ in 0..3 {
        opened.append(200).await.unwrap();
    }
}

#[tokio::test]
async fn zeros_are_the_end_of_the_log() {
    let disk = Disk::new();
    disk.set_ahead(8_192);
    let running = Opened::on(&disk);
    some(&running).await;
    let killed = disk.after(Loss::All, 1);
    let left = killed.len(LOG);
    assert!(left >= 4_096, "room was made and is on disk: {left}");
    let again = Opened::on(&killed);
    assert_eq!((again.found.torn_bytes, &again.found.damaged[..]), (0, &[][..]));
    assert!(killed.len(LOG) < 2_000, "the zeros are cut off: {}", killed.len(LOG));
    assert_eq!(again.kept().await, 3);
    some(&again).await;
    assert_eq!(Opened::on(&killed.after(Loss::All, 1)).kept().await, 6);
}

#[tokio::test]
async fn an_orderly_end_gives_the_room_back() {
    let disk = Disk::new();
    disk.set_ahead(8_192);
    let opened = Opened::on(&disk);
    some(&opened).await;
    drop(opened);
    assert!(disk.len(LOG) < 2_000, "{}", disk.len(LOG));
}

#[tokio::test]
async fn a_segment_that_is_full_keeps_no_zeros() {
    let disk = Disk::new();
    disk.set_ahead(1 << 20);
    let opened = Opened::on(&disk);
    opened.append(200).await.unwrap();
    opened.append(200).await.unwrap();
    assert_eq!(disk.len(LOG), SEGMENT, "no more than a segment is made ready");
    opened.append(SEGMENT).await.unwrap();
    assert!(disk.len(LOG) < 2_000, "{}", disk.len(LOG));
    // The power went before the shorter length was on disk.
    let disk = disk.after(Loss::None, 1);
    disk.grow(LOG, 5_000);
    let again = Opened::on(&disk);
    assert_eq!((again.found.torn_bytes, &again.found.damaged[..]), (0, &[][..]));
    assert!(disk.len(LOG) < 2_000, "{}", disk.len(LOG));
    assert_eq!(again.kept().await, 3);
}

#[tokio::test]
async fn without_room_to_make_ready_commits_are_stored_all_the_same() {
    let disk = Disk::new();
    disk.set_ahead(8_192);
    let opened = Opened::on(&disk);
    disk.set_room(Some(disk.used() + 3_000));
    let mut stored = 0;
    while opened.append(200).await.is_ok() {
        stored += 1;
    }
    // A segment's head, and 3,000 bytes of commits of less than 300.
    assert!(stored >= 9, "{stored}");
    assert_eq!(opened.append(200).await, Err(ErrorKind::Storage));
    disk.set_room(None);
    while disk.len(LOG) < 8_192 {
        assert!(stored < 25, "room is made ready again");
        opened.append(200).await.unwrap();
        stored += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    some(&opened).await;
    assert_eq!(opened.kept().await, stored + 3);
    let again = Opened::on(&disk.after(Loss::All, 1));
    assert_eq!((again.found.damaged.len(), again.kept().await), (0, stored + 3));
}

/// What is cut off comes back as zeros, whatever stood there.
#[tokio::test]
async fn nothing_of_a_torn_write_stays() {
    for seed in 0..200 {
        let disk = Disk::new();
        disk.set_ahead(8_192);
        let opened = Opened::on(&disk);
        some(&opened).await;
        disk.lose_power_after(seed % 2);
        opened.append(3_000).await.unwrap_err();
        let torn = disk.after(Loss::Torn, seed);
        let again = Opened::on(&torn);
        let kept = again.kept().await;
        let end = if kept == 3 { 1_100 } else { 4_200 };
        assert!(torn.len(LOG) < end, "seed {seed}: {} bytes of {kept}", torn.len(LOG));
        some(&again).await;
        let after = Opened::on(&torn.after(Loss::All, seed));
        assert_eq!((after.found.torn_bytes, after.found.damaged.len()), (0, 0), "seed {seed}");
        assert_eq!(after.kept().await, kept + 3, "seed {seed}");
    }
}
