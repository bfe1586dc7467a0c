//! Handlers of work: acknowledged by what they say, or by how they end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tidings_bus::{Bus, DeadLetter, Failure, Handled, HandlerConfig, Work, WorkConfig};
use tokio_util::sync::CancellationToken;

use super::{Fixture, soon, subject, text};

fn work(bus: &Bus, settings: WorkConfig) -> Work {
    bus.work(&subject(bus, "work", "q"), &subject(bus, "dlq", "q"), settings).unwrap()
}

fn quick() -> HandlerConfig {
    HandlerConfig {
        deadline: Duration::from_millis(300),
        extend_every: Duration::from_millis(50),
        nak_first: Duration::from_millis(10),
        nak_most: Duration::from_millis(20),
        ..HandlerConfig::default()
    }
}

async fn letters(bus: &Bus) -> Vec<(String, Vec<String>)> {
    let found = bus.read(&[subject(bus, "dlq", "q")], 0, 100).await.unwrap();
    let mut letters: Vec<_> = found
        .iter()
        .map(|message| {
            let letter = DeadLetter::decode(&message.payload).unwrap();
            (text(&letter.payload).to_owned(), letter.attempts.into_iter().map(|(_, end)| end).collect())
        })
        .collect();
    letters.sort();
    letters
}

/// Runs handlers until the queue is empty.
async fn handled<F, R>(work: &Work, config: HandlerConfig, handler: F) -> Handled
where
    F: Fn(tidings_bus::Delivery) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (work, stop) = (work.clone(), stop.clone());
        async move { work.handle(config, stop, handler).await.unwrap() }
    });
    soon(async {
        while work.depth().await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    stop.cancel();
    soon(running).await.unwrap()
}

pub async fn each_end_is_told(fixture: Fixture) {
    let bus = &fixture.bus;
    let work = work(bus, WorkConfig { deliveries_max: 2, ..WorkConfig::default() });
    let names = ["fine", "panics", "hangs", "naks", "later", "never"];
    for name in names {
        work.enqueue(Bytes::from(name), Vec::new()).await.unwrap();
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    let counts = handled(&work, quick(), move |delivery| {
        let name = text(&delivery.payload).to_owned();
        noted.lock().push((name.clone(), delivery.delivery));
        let first = delivery.delivery == 1;
        assert!(name != "panics", "at the {}. time", delivery.delivery);
        async move {
            match name.as_str() {
                "hangs" => std::future::pending().await,
                "naks" => Err(Failure::again("busy")),
                "later" if first => Err(Failure::after(Duration::from_millis(1), "once more")),
                "never" => Err(Failure::never("no such thing")),
                _ => Ok(()),
            }
        }
    })
    .await;
    let expected = Handled { acked: 2, naked: 7, termed: 1, panicked: 2, overdue: 2, lost: 0 };
    assert_eq!(counts, expected);
    let mut seen = std::mem::take(&mut *seen.lock());
    seen.sort();
    let twice = ["hangs", "later", "naks", "panics"];
    let mut should: Vec<_> =
        twice.iter().flat_map(|name| [((*name).to_owned(), 1), ((*name).to_owned(), 2)]).collect();
    should.extend([("fine".to_owned(), 1), ("never".to_owned(), 1)]);
    should.sort();
    assert_eq!(seen, should);
    let letters = letters(bus).await;
    let dead: Vec<_> = letters.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(dead, ["hangs", "naks", "never", "panics"]);
    assert!(letters[0].1.iter().all(|end| end.contains("longer than")), "{letters:?}");
    assert_eq!(letters[1].1, ["nak: busy", "nak: busy"]);
    assert_eq!(letters[3].1[1], "nak: the handler panicked: at the 2. time");
}

pub async fn a_long_handler_is_extended_and_holds_up_nobody(fixture: Fixture) {
    let settings = WorkConfig { ack_wait: Duration::from_millis(300), ..WorkConfig::default() };
    let work = work(&fixture.bus, settings);
    for name in ["long", "a", "b", "c"] {
        work.enqueue(Bytes::from(name), Vec::new()).await.unwrap();
    }
    let ended = Arc::new(Mutex::new(Vec::new()));
    let noted = ended.clone();
    let config = HandlerConfig { concurrency: 2, deadline: super::SOON, ..quick() };
    let counts = handled(&work, config, move |delivery| {
        let noted = noted.clone();
        async move {
            if delivery.payload == "long" {
                tokio::time::sleep(Duration::from_millis(900)).await;
            }
            noted.lock().push(text(&delivery.payload).to_owned());
            Ok(())
        }
    })
    .await;
    assert_eq!(counts, Handled { acked: 4, ..Handled::default() }, "none came twice");
    assert_eq!(*ended.lock(), ["a", "b", "c", "long"]);
}

pub async fn stopping_lets_handlers_finish(fixture: Fixture) {
    let work = work(&fixture.bus, WorkConfig::default());
    for number in 0..3 {
        work.enqueue(Bytes::from(number.to_string()), Vec::new()).await.unwrap();
    }
    let stop = CancellationToken::new();
    let within = stop.clone();
    let config = HandlerConfig { concurrency: 1, ..HandlerConfig::default() };
    let handling = work.handle(config, stop, move |_| {
        within.cancel();
        async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(())
        }
    });
    let counts = soon(handling).await.unwrap();
    assert_eq!(counts, Handled { acked: 1, ..Handled::default() });
    soon(async {
        while work.depth().await.unwrap() > 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
