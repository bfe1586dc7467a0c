//! Work queues: each message to one worker, acknowledgement, redelivery, dead letters.

use std::time::Duration;

use bytes::Bytes;
use tidings_bus::{Bus, DeadLetter, ErrorKind, Job, Work, WorkConfig};

use super::{Fixture, soon, subject, text};

fn work(bus: &Bus, settings: WorkConfig) -> Work {
    bus.work(&subject(bus, "work", "q"), &subject(bus, "dlq", "q"), settings).unwrap()
}

async fn enqueue(work: &Work, names: &[&str]) {
    for name in names {
        let headers = vec![("name".to_owned(), (*name).to_owned())];
        work.enqueue(Bytes::copy_from_slice(name.as_bytes()), headers).await.unwrap();
    }
}

async fn next(work: &Work) -> Job {
    soon(work.next()).await.unwrap()
}

async fn nothing(work: &Work) {
    let waited = tokio::time::timeout(Duration::from_millis(50), work.next()).await;
    assert!(waited.is_err(), "{waited:?}");
}

/// A replicated queue forgets a message a moment after it is stored as done.
async fn shrinks_to(work: &Work, count: usize) {
    let waiting = async {
        while work.depth().await.unwrap() > count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(waiting).await;
}

async fn letters(bus: &Bus) -> Vec<DeadLetter> {
    let found = bus.read(&[subject(bus, "dlq", "q")], 0, 100).await.unwrap();
    found.iter().map(|message| DeadLetter::decode(&message.payload).unwrap()).collect()
}

pub async fn each_goes_to_one_worker(fixture: Fixture) {
    let bus = &fixture.bus;
    let work = work(bus, WorkConfig::default());
    enqueue(&work, &["a", "b", "c", "d"]).await;
    assert_eq!(work.depth().await.unwrap(), 4);
    let (one, two) = (next(&work).await, next(&work.clone()).await);
    assert_eq!((text(&one.payload), text(&two.payload)), ("a", "b"));
    assert_eq!(one.headers, [("name".to_owned(), "a".to_owned())]);
    assert_eq!((one.delivery, one.seq + 1), (1, two.seq));
    one.double_ack().await.unwrap();
    two.ack().await.unwrap();
    for name in ["c", "d"] {
        let job = next(&work).await;
        assert_eq!(text(&job.payload), name);
        job.double_ack().await.unwrap();
    }
    nothing(&work).await;
    shrinks_to(&work, 0).await;
}

pub async fn a_nak_comes_again_later(fixture: Fixture) {
    let bus = &fixture.bus;
    let work = work(bus, WorkConfig::default());
    enqueue(&work, &["a", "b"]).await;
    let begun = std::time::Instant::now();
    next(&work).await.nak(Duration::from_millis(80), "busy").await.unwrap();
    let other = next(&work).await;
    assert_eq!(text(&other.payload), "b", "the others are not held up");
    other.double_ack().await.unwrap();
    let again = next(&work).await;
    assert_eq!((text(&again.payload), again.delivery), ("a", 2));
    assert!(begun.elapsed() >= Duration::from_millis(80));
    drop(again);
    let dropped = next(&work).await;
    assert_eq!(dropped.delivery, 3, "one that is let go comes again");
    dropped.double_ack().await.unwrap();
}

pub async fn the_last_attempt_makes_a_dead_letter(fixture: Fixture) {
    let bus = &fixture.bus;
    let work = work(bus, WorkConfig { deliveries_max: 2, ..WorkConfig::default() });
    enqueue(&work, &["poison", "fine"]).await;
    next(&work).await.nak(Duration::ZERO, "first").await.unwrap();
    next(&work).await.nak(Duration::ZERO, "second").await.unwrap();
    let fine = next(&work).await;
    assert_eq!(text(&fine.payload), "fine");
    fine.double_ack().await.unwrap();
    let found = letters(bus).await;
    assert_eq!(found.len(), 1);
    let letter = &found[0];
    assert_eq!(text(&letter.payload), "poison");
    assert_eq!(letter.headers, [("name".to_owned(), "poison".to_owned())]);
    assert_eq!(letter.subject, subject(bus, "work", "q").as_str());
    let ends: Vec<_> = letter.attempts.iter().map(|(_, end)| end.as_str()).collect();
    assert_eq!(ends, ["nak: first", "nak: second"]);
    assert!(letter.reason.contains("2 attempts"), "{}", letter.reason);
    shrinks_to(&work, 0).await;
}

pub async fn term_and_invalid_are_dead_letters(fixture: Fixture) {
    let bus = &fixture.bus;
    let queue = work(bus, WorkConfig::default());
    let unchecked = work(&fixture.unchecked, WorkConfig::default());
    assert_eq!(queue.enqueue(Bytes::from("bad"), Vec::new()).await.unwrap_err().kind(), ErrorKind::Schema);
    enqueue(&unchecked, &["bad one", "refused", "good"]).await;
    let job = next(&queue).await;
    assert_eq!(text(&job.payload), "refused", "an invalid one never reaches a worker");
    job.term("no such thing").await.unwrap();
    let found = letters(bus).await;
    let reasons: Vec<_> = found.iter().map(|letter| letter.reason.as_str()).collect();
    assert_eq!(reasons, ["invalid: it starts with 'bad'", "no such thing"]);
    assert_eq!(found[1].attempts[0].1, "term: no such thing");
    next(&queue).await.double_ack().await.unwrap();
}

pub async fn the_deadline_to_acknowledge(fixture: Fixture) {
    let bus = &fixture.bus;
    let settings = WorkConfig {
        ack_wait: Duration::from_millis(120),
        in_progress_max: Duration::from_millis(400),
        ..WorkConfig::default()
    };
    let work = work(bus, settings);
    enqueue(&work, &["a"]).await;
    let slow = next(&work).await;
    let begun = std::time::Instant::now();
    // Kept by saying so, but not for ever.
    let waiting = tokio::spawn({
        let work = work.clone();
        async move { work.next().await }
    });
    while slow.in_progress().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(begun.elapsed() < super::SOON);
    }
    assert!(begun.elapsed() >= Duration::from_millis(380), "{:?}", begun.elapsed());
    let again = soon(waiting).await.unwrap().unwrap();
    assert_eq!(again.delivery, 2);
    let late = slow.nak(Duration::ZERO, "late").await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::WrongRevision, "an older delivery has no say");
    again.double_ack().await.unwrap();
    shrinks_to(&work, 0).await;
}

pub async fn a_full_work_queue_refuses(fixture: Fixture) {
    let work = work(&fixture.bus, WorkConfig { messages_max: 2, ..WorkConfig::default() });
    enqueue(&work, &["a", "b"]).await;
    let error = work.enqueue(Bytes::from("c"), Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    next(&work).await.double_ack().await.unwrap();
    shrinks_to(&work, 1).await;
    enqueue(&work, &["c"]).await;
}

pub async fn draining_waits_for_work(fixture: Fixture) {
    let bus = fixture.bus.clone();
    let work = work(&bus, WorkConfig::default());
    enqueue(&work, &["a", "b", "c"]).await;
    let job = next(&work).await;
    let draining = tokio::spawn({
        let bus = bus.clone();
        async move { bus.drain(super::SOON).await }
    });
    let ended = soon(async {
        loop {
            match work.next().await {
                Ok(job) => job.ack().await.unwrap(),
                Err(error) => return error,
            }
        }
    });
    assert_eq!(ended.await.kind(), ErrorKind::Closed, "nothing new is handed out");
    job.double_ack().await.unwrap();
    let report = soon(draining).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
}
