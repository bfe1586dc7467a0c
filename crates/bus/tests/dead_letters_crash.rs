//! Dead letters over a disk that loses power in the middle of replays and removals: a message is in its queue or among
//! the letters, never in both, never in neither unless it was taken out.
#![allow(clippy::unwrap_used, missing_docs)]

#[allow(dead_code, reason = "one of several tests of the disk uses it")]
mod sim;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tidings_bus::{
    Bus, Class, DeadLetters, Embedded, EmbeddedConfig, Error, LetterFilter, Registry, SlowReader,
    TemplateDef, Work, WorkConfig,
};

use crate::sim::{Disk, Loss};

/// Letters of a run.
const LETTERS: usize = 6;
/// Seeds: each another place for the power to go, in another course of events.
const SEEDS: u64 = 150;

fn registry() -> Arc<Registry> {
    let row = |name, template, class| TemplateDef {
        name,
        template,
        class,
        message: "text",
        max_payload: 1 << 20,
        slow: SlowReader::Refuse,
        check: None,
        wide: None,
    };
    let templates =
        vec![row("work", "work.{queue:slug}", Class::Work), row("dlq", "dlq.{queue:slug}", Class::Durable)];
    Arc::new(Registry::new(None, templates).unwrap())
}

fn open(disk: &Disk) -> Result<(Bus, Work, DeadLetters), Error> {
    let maintain_every = Duration::from_millis(1);
    let config = EmbeddedConfig { segment_bytes: 2_048, maintain_every, ..EmbeddedConfig::default() };
    let bus = Bus::new(Embedded::open_on(config, disk.files())?, registry());
    let (queue, dead) =
        (bus.registry().subject("work", &["q"]).unwrap(), bus.registry().subject("dlq", &["q"]).unwrap());
    let work = bus.work(&queue, &dead, WorkConfig::default()).unwrap();
    let letters = bus.dead_letters(&queue, &dead).unwrap();
    Ok((bus, work, letters))
}

async fn list(letters: &DeadLetters) -> Vec<(u64, String)> {
    let page = letters.list(&LetterFilter::default(), 0, 100).await.unwrap();
    let text = |payload: &Bytes| String::from_utf8(payload.to_vec()).unwrap();
    page.letters.iter().map(|letter| (letter.id, text(&letter.letter.payload))).collect()
}

async fn prepare(disk: &Disk) {
    let (_bus, work, _) = open(disk).unwrap();
    for number in 0..LETTERS {
        work.enqueue(Bytes::from(number.to_string()), Vec::new()).await.unwrap();
        work.next().await.unwrap().term("no").await.unwrap();
    }
}

/// Replays and removes until the power goes; answers what was told to be in the queue, gone, and tried to be gone.
async fn change(disk: &Disk, seed: u64) -> [BTreeSet<String>; 3] {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut queued, mut gone, mut tried) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let Ok((_bus, _work, letters)) = open(disk) else { return [queued, gone, tried] };
    let mut left = list(&letters).await;
    disk.lose_power_after(random.random_range(1..40));
    while !left.is_empty() {
        let (id, name) = left.swap_remove(random.random_range(0..left.len()));
        if random.random_bool(0.6) {
            match letters.replay(id).await {
                Ok(Some(_)) => drop(queued.insert(name)),
                Ok(None) => panic!("letter {id} was there"),
                Err(_) => break,
            }
        } else {
            tried.insert(name.clone());
            match letters.remove(&[id]).await {
                Ok(count) => {
                    assert_eq!(count, 1);
                    gone.insert(name);
                }
                Err(_) => break,
            }
        }
    }
    [queued, gone, tried]
}

async fn in_queue(work: &Work) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..work.depth().await.unwrap() {
        let job = work.next().await.unwrap();
        found.push(String::from_utf8(job.payload.to_vec()).unwrap());
        job.double_ack().await.unwrap();
    }
    found
}

#[tokio::test]
async fn a_message_is_in_its_queue_or_among_the_letters() {
    let mut halves = 0;
    for seed in 0..SEEDS {
        let loss = [Loss::All, Loss::Torn, Loss::None][seed as usize % 3];
        let before = Disk::new();
        prepare(&before).await;
        let [queued, gone, tried] = change(&before, seed).await;
        let disk = before.after(loss, seed);
        let (_bus, work, letters) = open(&disk).unwrap();
        let left: BTreeSet<String> = list(&letters).await.into_iter().map(|(_, name)| name).collect();
        let waiting = in_queue(&work).await;
        let again: BTreeSet<String> = waiting.iter().cloned().collect();
        assert_eq!(again.len(), waiting.len(), "seed {seed}: one is in the queue twice: {waiting:?}");
        assert!(again.is_disjoint(&left), "seed {seed}: {again:?} and {left:?}");
        assert!(queued.is_subset(&again), "seed {seed}: replayed {queued:?}, found {again:?}");
        assert!(gone.is_disjoint(&left) && gone.is_disjoint(&again), "seed {seed}: {gone:?} came back");
        for name in (0..LETTERS).map(|number| number.to_string()).filter(|name| !tried.contains(name)) {
            assert!(left.contains(&name) || again.contains(&name), "seed {seed}: {name} is lost");
        }
        halves += usize::from(!left.is_empty() && queued.len() + gone.len() > 0);
        // What is left can be replayed as if nothing had happened.
        for (id, _) in list(&letters).await {
            assert!(letters.replay(id).await.unwrap().is_some(), "seed {seed}");
        }
        assert_eq!(in_queue(&work).await.len(), left.len(), "seed {seed}");
    }
    assert!(halves > 20, "the power goes in the middle, not before or after: {halves}");
}
