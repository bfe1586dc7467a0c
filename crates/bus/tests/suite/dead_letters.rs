//! Dead letters: listed, shown, replayed, taken out, put in.

use std::time::Duration;

use bytes::Bytes;
use tidings_bus::dead_letters::{Imported, Page, Walk};
use tidings_bus::{
    Append, Bus, DeadLetter, DeadLetterQueues, DeadLetters, Error, ErrorKind, Fence, Job, Letter,
    LetterFilter, REPLAY_ID, REPLAY_OF, Work, WorkConfig,
};

use super::{Fixture, soon, subject, text};

fn work(bus: &Bus) -> Work {
    bus.work(&subject(bus, "work", "q"), &subject(bus, "dlq", "q"), WorkConfig::default()).unwrap()
}

fn dead(bus: &Bus) -> DeadLetters {
    bus.dead_letters(&subject(bus, "work", "q"), &subject(bus, "dlq", "q")).unwrap()
}

/// Works off a message of each text by giving it up for the reason.
async fn give_up(bus: &Bus, letters: &[(&str, &str)]) {
    let work = work(bus);
    for (payload, reason) in letters {
        let headers = vec![("name".to_owned(), (*payload).to_owned())];
        work.enqueue(Bytes::copy_from_slice(payload.as_bytes()), headers).await.unwrap();
        next(&work).await.term(reason).await.unwrap();
    }
}

async fn next(work: &Work) -> Job {
    soon(work.next()).await.unwrap()
}

fn everything() -> Walk {
    Walk { filter: LetterFilter::default(), after: 0, through: u64::MAX, limit: 1_000, per_second: 10_000 }
}

async fn all(dead: &DeadLetters) -> Vec<Letter> {
    dead.list(&LetterFilter::default(), 0, 100).await.unwrap().letters
}

fn payloads(page: &Page) -> Vec<&str> {
    page.letters.iter().map(|letter| text(&letter.letter.payload)).collect()
}

fn header<'a>(job: &'a Job, name: &str) -> Option<&'a str> {
    job.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
}

async fn depth_is(work: &Work, count: usize) {
    let waiting = async {
        while work.depth().await.unwrap() != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(waiting).await;
}

pub async fn a_letter_tells_its_history(fixture: Fixture) {
    let bus = &fixture.bus;
    let queue = work(bus);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = vec![("traceparent".to_owned(), trace.to_owned())];
    let seq = queue.enqueue(Bytes::from_static(b"\xff\0"), headers.clone()).await.unwrap();
    next(&queue).await.nak(Duration::ZERO, "busy").await.unwrap();
    let disk = Error::new(ErrorKind::Storage, "the disk is full");
    let error = Error::new(ErrorKind::Publish, "not kept").because(disk);
    next(&queue).await.term_because(&error).await.unwrap();
    let found = all(&dead(bus)).await;
    let [Letter { id, letter }] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(dead(bus).get(*id).await.unwrap().as_ref(), found.first());
    assert_eq!(dead(bus).get(id + 1).await.unwrap(), None);
    assert_eq!((letter.seq, letter.subject.as_str()), (seq, queue_name(bus).as_str()));
    assert_eq!(
        (letter.reason.as_str(), letter.errors.as_slice()),
        ("not kept", &["the disk is full".to_owned()][..])
    );
    let ends: Vec<_> = letter.attempts.iter().map(|(_, end)| end.as_str()).collect();
    assert_eq!(ends, ["nak: busy", "term: not kept"]);
    let times: Vec<i64> = letter.attempts.iter().map(|(time, _)| *time).collect();
    let minute = |time: i64| (letter.dead_ms - time).abs() < 60_000;
    assert!(minute(letter.time_ms) && times.iter().all(|time| minute(*time)), "{letter:?}");
    assert_eq!((&letter.headers, letter.trace_id()), (&headers, Some("0af7651916cd43dd8448eb211c80319c")));
    assert!(!letter.stream.is_empty());
    assert_eq!(DeadLetter::from_line(&found[0].to_line()).unwrap(), *letter, "as a line and back");
}

fn queue_name(bus: &Bus) -> String {
    subject(bus, "work", "q").as_str().to_owned()
}

pub async fn letters_are_found_page_by_page(fixture: Fixture) {
    let bus = &fixture.bus;
    let reasons = ["no such room", "timed out", "no such room", "timed OUT", "no such room"];
    let names = ["a", "b", "c", "d", "e"];
    give_up(bus, &names.into_iter().zip(reasons).collect::<Vec<_>>()).await;
    let dead = dead(bus);
    let filter = |reason: &str| LetterFilter { reason: Some(reason.to_owned()), ..LetterFilter::default() };
    let first = dead.list(&LetterFilter::default(), 0, 2).await.unwrap();
    assert_eq!(payloads(&first), ["a", "b"]);
    let rest = dead.list(&LetterFilter::default(), first.next.unwrap(), 3).await.unwrap();
    assert_eq!((payloads(&rest), rest.next), (vec!["c", "d", "e"], None));
    let timed = dead.list(&filter("Timed out"), 0, 100).await.unwrap();
    assert_eq!((payloads(&timed), timed.next), (vec!["b", "d"], None));
    let one = dead.list(&filter("such"), 0, 1).await.unwrap();
    let two = dead.list(&filter("such"), one.next.unwrap(), 1).await.unwrap();
    assert_eq!((payloads(&one), payloads(&two)), (vec!["a"], vec!["c"]));
    let letters = [first.letters, rest.letters].concat();
    let middle = letters[2].letter.dead_ms;
    let since = LetterFilter { from_ms: Some(middle), ..LetterFilter::default() };
    let before = LetterFilter { until_ms: Some(middle), ..LetterFilter::default() };
    let (since, before) = (dead.list(&since, 0, 9).await.unwrap(), dead.list(&before, 0, 9).await.unwrap());
    assert_eq!(before.letters.len() + since.letters.len(), 5);
    assert!(since.letters.contains(&letters[2]) && !before.letters.contains(&letters[2]));
    let depth = dead.depth().await.unwrap();
    assert_eq!((depth.letters, depth.oldest_ms), (5, Some(letters[0].letter.dead_ms)));
    let every = DeadLetterQueues::new(bus.clone(), "work", "dlq").all().await.unwrap();
    let named: Vec<_> = every.iter().map(|(parameters, _)| parameters.join(".")).collect();
    assert_eq!(named, ["q"]);
    assert_eq!(every[0].1.depth().await.unwrap().letters, 5);
}

pub async fn a_replay_is_marked_and_takes_its_letter_out(fixture: Fixture) {
    let bus = &fixture.bus;
    give_up(bus, &[("a", "first"), ("b", "second"), ("c", "third")]).await;
    let (dead, work) = (dead(bus), work(bus));
    let letters = all(&dead).await;
    assert_eq!(dead.replay(letters[1].id + 1_000).await.unwrap(), None);
    let seq = dead.replay(letters[1].id).await.unwrap().unwrap();
    let job = next(&work).await;
    assert_eq!((text(&job.payload), job.seq, job.delivery), ("b", seq, 1));
    assert_eq!(header(&job, "name"), Some("b"), "its own headers are kept");
    let (of, id) = (header(&job, REPLAY_OF).unwrap(), header(&job, REPLAY_ID).unwrap().to_owned());
    assert_eq!(of, format!("{} {} {}", queue_name(bus), letters[1].letter.seq, letters[1].id));
    assert_eq!(dead.replay(letters[1].id).await.unwrap(), None, "it is gone");
    assert_eq!(all(&dead).await, [letters[0].clone(), letters[2].clone()]);
    // One that fails again is another letter, and its next replay another one.
    job.term("again").await.unwrap();
    let again = all(&dead).await.pop().unwrap();
    assert_eq!((text(&again.letter.payload), again.letter.reason.as_str()), ("b", "again"));
    dead.replay(again.id).await.unwrap().unwrap();
    let job = next(&work).await;
    assert_ne!(header(&job, REPLAY_ID).unwrap(), id);
    assert_eq!(job.headers.iter().filter(|(name, _)| name == REPLAY_ID).count(), 1);
    job.double_ack().await.unwrap();
    depth_is(&work, 0).await;
}

pub async fn many_are_replayed_at_a_pace(fixture: Fixture) {
    let bus = &fixture.bus;
    give_up(bus, &[("a", "keep"), ("b", "go"), ("c", "go"), ("d", "go")]).await;
    // Its form is checked again before it is put back.
    let unchecked = work(&fixture.unchecked);
    unchecked.enqueue(Bytes::from("bad one"), Vec::new()).await.unwrap();
    give_up(bus, &[("e", "go")]).await;
    let (dead, work) = (dead(bus), work(bus));
    assert_eq!(all(&dead).await.len(), 6);
    let filter = LetterFilter { reason: Some("go".to_owned()), ..LetterFilter::default() };
    let begun = std::time::Instant::now();
    let walk = Walk { filter, limit: 3, per_second: 50, ..everything() };
    let done = dead.replay_many(&walk).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(40), "{:?}", begun.elapsed());
    assert_eq!((done.replayed, done.refused), (3, 0));
    let rest = dead.replay_many(&Walk { after: done.next.unwrap(), ..walk }).await.unwrap();
    assert_eq!((rest.replayed, rest.refused, rest.next), (1, 0, None));
    let done = dead.replay_many(&everything()).await.unwrap();
    assert_eq!((done.replayed, done.refused, done.next), (1, 1, None));
    assert!(done.refusals[0].1.contains("it starts with 'bad'"), "{:?}", done.refusals);
    assert_eq!(all(&dead).await.len(), 1, "what was refused stays");
    for name in ["b", "c", "d", "e", "a"] {
        let job = next(&work).await;
        assert_eq!(text(&job.payload), name);
        job.double_ack().await.unwrap();
    }
}

/// A replay ends between the message and the note; and several replay the same letter at once.
pub async fn a_replay_that_dies_is_stored_once(fixture: Fixture) {
    let bus = &fixture.bus;
    give_up(bus, &[("a", "first"), ("b", "second")]).await;
    let (dead, work) = (dead(bus), work(bus));
    let letters = all(&dead).await;
    let log = subject(bus, "dlq", "q");
    let id = format!("replay-{log}-{}-{}", letters[0].id, letters[0].letter.dead_ms);
    let note = Append { subject: log.clone(), payload: Bytes::new() };
    // A fence that does not hold: whatever the backend stores before it looks is stored.
    let fence = Fence { subject: log.clone(), seq: letters[1].id + 1_000 };
    let died = fixture.backend.replay(&subject(bus, "work", "q"), &id, Bytes::from("\0\0a"), note, fence);
    assert_eq!(died.await.unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(all(&dead).await, letters, "the letter is there until its replay is stored");
    let clone = dead.clone();
    let both = futures_util::future::join(dead.replay(letters[0].id), clone.replay(letters[0].id));
    let other = bus.dead_letters(&subject(bus, "work", "q"), &log).unwrap();
    let (one, two) = futures_util::future::join(both, other.replay(letters[0].id)).await;
    assert!(one.0.is_ok() && one.1.is_ok() && two.is_ok(), "{one:?} {two:?}");
    assert_eq!(all(&dead).await, letters[1..]);
    let job = next(&work).await;
    assert_eq!(text(&job.payload), "a");
    job.double_ack().await.unwrap();
    depth_is(&work, 0).await;
}

pub async fn letters_are_taken_out_for_good(fixture: Fixture) {
    let bus = &fixture.bus;
    give_up(bus, &[("a", "x"), ("b", "y"), ("c", "x"), ("d", "y")]).await;
    let dead = dead(bus);
    let letters = all(&dead).await;
    assert_eq!(dead.remove(&[letters[2].id, letters[2].id + 1_000]).await.unwrap(), 1);
    let log = subject(bus, "dlq", "q");
    assert_eq!(
        bus.read(std::slice::from_ref(&log), 0, 100).await.unwrap().len(),
        5,
        "four letters and a note"
    );
    let filter = LetterFilter { reason: Some("x".to_owned()), ..LetterFilter::default() };
    assert_eq!(dead.purge(&Walk { filter, ..everything() }).await.unwrap(), (1, None));
    assert_eq!(all(&dead).await, [letters[1].clone(), letters[3].clone()]);
    assert!(bus.retained_after(&log).await.unwrap() >= letters[0].id, "what lies in front is trimmed");
    // Who has not read the log before sees the same.
    let fresh = bus.dead_letters(&subject(bus, "work", "q"), &log).unwrap();
    assert_eq!(all(&fresh).await, [letters[1].clone(), letters[3].clone()]);
    assert_eq!(fresh.purge(&everything()).await.unwrap(), (2, None));
    assert_eq!(all(&dead).await, []);
    assert!(bus.read(&[log], 0, 100).await.unwrap().is_empty(), "nothing is left, the notes neither");
    give_up(bus, &[("e", "x")]).await;
    assert_eq!(payloads(&dead.list(&LetterFilter::default(), 0, 9).await.unwrap()), ["e"]);
    assert_eq!(dead.depth().await.unwrap().letters, 1);
}

pub async fn what_was_exported_is_imported_once(fixture: Fixture) {
    let bus = &fixture.bus;
    give_up(bus, &[("a", "x"), ("b", "y"), ("c", "x")]).await;
    let dead = dead(bus);
    let letters = all(&dead).await;
    let exported = || letters.iter().map(|letter| DeadLetter::from_line(&letter.to_line()).unwrap());
    assert_eq!(dead.remove(&[letters[0].id, letters[1].id]).await.unwrap(), 2);
    assert_eq!(dead.import(exported().collect()).await.unwrap(), Imported { stored: 2, known: 1 });
    assert_eq!(dead.import(exported().collect()).await.unwrap(), Imported { stored: 0, known: 3 });
    let back = all(&dead).await;
    let found: Vec<_> = back.iter().map(|letter| letter.letter.clone()).collect();
    let expected: Vec<_> = [2, 0, 1].map(|place: usize| letters[place].letter.clone()).into();
    assert_eq!(found, expected, "with their own times");
    assert_eq!(dead.replay_many(&everything()).await.unwrap().replayed, 3);
}
