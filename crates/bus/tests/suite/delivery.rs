//! Publish, subscribe, request, queue groups, slow readers, checks, drain.

use std::time::Duration;

use bytes::Bytes;
use tidings_bus::{Append, Asker, ErrorKind, Pattern, Subject};

use super::{Fixture, soon, subject, text};

pub async fn everyone_subscribed_hears(fixture: Fixture) {
    let bus = &fixture.bus;
    let to = subject(bus, "say", "all of you. *>");
    let mut one = bus.subscribe(&Pattern::from(&to), 16).await.unwrap();
    let mut two = bus.subscribe(&Pattern::from(&to), 16).await.unwrap();
    for number in 0..10 {
        let headers = vec![("n".to_owned(), number.to_string())];
        bus.publish(&to, Bytes::from(format!("line {number}")), headers).await.unwrap();
    }
    for reader in [&mut one, &mut two] {
        for number in 0..10 {
            let message = soon(reader.next()).await.unwrap();
            assert_eq!(text(&message.payload), format!("line {number}"));
            assert_eq!(message.headers, [("n".to_owned(), number.to_string())]);
            assert_eq!(message.subject, to);
            assert!(!message.wants_answer());
        }
    }
    assert!(one.try_next().is_none());
}

pub async fn a_group_shares(fixture: Fixture) {
    let bus = &fixture.bus;
    let to = subject(bus, "say", "group");
    let pattern = Pattern::from(&to);
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(bus.queue_subscribe(&pattern, "g", 64).await.unwrap());
    }
    let mut other = bus.queue_subscribe(&pattern, "h", 64).await.unwrap();
    for number in 0..30 {
        bus.publish(&to, Bytes::from(number.to_string()), Vec::new()).await.unwrap();
    }
    for number in 0..30 {
        assert_eq!(text(&soon(other.next()).await.unwrap().payload), number.to_string());
    }
    let mut heard = Vec::new();
    let listening = async {
        while heard.len() < 30 {
            let waiting = members.iter_mut().map(|member| Box::pin(member.next()));
            let (message, _, _) = futures_util::future::select_all(waiting).await;
            heard.push(text(&message.unwrap().payload).parse::<u32>().unwrap());
        }
    };
    soon(listening).await;
    heard.sort_unstable();
    assert_eq!(heard, (0..30).collect::<Vec<_>>(), "each message went to one member");
}

pub async fn patterns_hear_their_own(fixture: Fixture) {
    let bus = &fixture.bus;
    let every = bus.registry().pattern("say", &[None]).unwrap();
    let mut reader = bus.subscribe(&every, 16).await.unwrap();
    for name in ["ann", "ben"] {
        bus.publish(&subject(bus, "say", name), Bytes::from(name), Vec::new()).await.unwrap();
    }
    bus.publish(&subject(bus, "hint", "a_b"), Bytes::from("other"), Vec::new()).await.unwrap();
    assert_eq!(text(&soon(reader.next()).await.unwrap().payload), "ann");
    assert_eq!(text(&soon(reader.next()).await.unwrap().payload), "ben");
    drop(reader);
    bus.publish(&subject(bus, "say", "ann"), Bytes::from("unheard"), Vec::new()).await.unwrap();
    let mut later = bus.subscribe(&every, 16).await.unwrap();
    assert!(later.try_next().is_none(), "at most once, to everyone subscribed then");
}

pub async fn classes_are_enforced(fixture: Fixture) {
    let bus = &fixture.bus;
    let (log, say) = (subject(bus, "room", "a_b"), subject(bus, "say", "x"));
    let (ask, work) = (subject(bus, "ask", "x"), subject(bus, "work", "x"));
    for wrong in [&log, &ask, &work] {
        let error = bus.publish(wrong, Bytes::new(), Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Subject, "{error}");
    }
    for wrong in [&log, &say, &work] {
        let error = bus.request(wrong, Bytes::new(), Vec::new(), super::SOON).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Subject, "{error}");
    }
    for wrong in [&say, &ask, &work] {
        assert_eq!(bus.append(wrong, Bytes::new()).await.unwrap_err().kind(), ErrorKind::Subject);
        assert_eq!(bus.last(wrong).await.unwrap_err().kind(), ErrorKind::Subject);
        let mut followed = bus.follow(wrong, tidings_bus::From::New);
        assert_eq!(soon(followed.next()).await.unwrap_err().kind(), ErrorKind::Subject);
    }
    for wrong in [&log, &work] {
        let error = bus.subscribe(&Pattern::from(wrong), 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Subject);
    }
}

pub async fn a_request_is_answered(fixture: Fixture) {
    let bus = fixture.bus.clone();
    let ask = subject(&bus, "ask", "time");
    let mut server = bus.queue_subscribe(&Pattern::from(&ask), "g", 16).await.unwrap();
    let serving = tokio::spawn(async move {
        while let Some(message) = server.next().await {
            assert!(message.wants_answer());
            assert!(message.time_left().is_some_and(|left| left > Duration::ZERO && left <= super::SOON));
            let answer = format!("{}!", text(&message.payload));
            message.respond(Bytes::from(answer)).unwrap();
        }
    });
    for number in 0..20 {
        let answer = bus.request(&ask, Bytes::from(number.to_string()), Vec::new(), super::SOON).await;
        assert_eq!(text(&answer.unwrap()), format!("{number}!"));
    }
    serving.abort();
}

/// Keeps what it is told.
#[derive(Default)]
struct Told {
    answers: std::sync::Mutex<Vec<(u64, Result<String, ErrorKind>)>>,
    more: tokio::sync::Notify,
}

impl Asker for Told {
    fn answered(&self, number: u64, answer: Result<Bytes, tidings_bus::Error>) {
        let answer = answer.map(|payload| text(&payload).to_owned()).map_err(|error| error.kind());
        self.answers.lock().unwrap().push((number, answer));
        self.more.notify_one();
    }
}

impl Told {
    /// What it was told once it is so much, by number.
    async fn all(&self, count: usize) -> Vec<(u64, Result<String, ErrorKind>)> {
        while self.answers.lock().unwrap().len() < count {
            soon(self.more.notified()).await;
        }
        let mut answers = self.answers.lock().unwrap().clone();
        answers.sort_by_key(|(number, _)| *number);
        answers
    }
}

pub async fn an_asker_is_told_once(fixture: Fixture) {
    let bus = fixture.bus.clone();
    let (ask, nobody) = (subject(&bus, "ask", "told"), subject(&bus, "ask", "nobody"));
    let mut server = bus.queue_subscribe(&Pattern::from(&ask), "g", 16).await.unwrap();
    let told = std::sync::Arc::new(Told::default());
    let put = |subject: &Subject, payload: &str, number| {
        let payload = Bytes::from(payload.to_owned());
        // The one that is waited for to the end.
        let deadline = Duration::from_millis(if number == 4 { 500 } else { 3_000 });
        bus.ask(subject, payload, Vec::new(), deadline, told.clone(), number);
    };
    put(&nobody, "x", 1);
    put(&ask, "bad", 2);
    for number in 3..6 {
        put(&ask, &number.to_string(), number);
    }
    for _ in 3..6 {
        let message = soon(server.next()).await.unwrap();
        assert!(message.wants_answer());
        // One is let go without an answer.
        if message.payload != "4" {
            let answer = format!("{}!", text(&message.payload));
            message.respond(Bytes::from(answer)).unwrap();
        }
    }
    let expected = [
        (1, Err(ErrorKind::NoResponders)),
        (2, Err(ErrorKind::Schema)),
        (3, Ok("3!".to_owned())),
        (4, Err(ErrorKind::Timeout)),
        (5, Ok("5!".to_owned())),
    ];
    assert_eq!(told.all(5).await, expected);
    drop(server);
    assert_eq!(bus.drain(Duration::from_secs(1)).await.requests, 0, "nothing is left under way");
    assert_eq!(told.all(5).await.len(), 5);
}

pub async fn nobody_serves(fixture: Fixture) {
    let bus = &fixture.bus;
    let ask = subject(bus, "ask", "nobody");
    let error = soon(bus.request(&ask, Bytes::new(), Vec::new(), super::SOON)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoResponders);
    assert!(error.is_retryable());
}

pub async fn the_deadline_holds(fixture: Fixture) {
    let bus = &fixture.bus;
    let ask = subject(bus, "ask", "slow");
    let mut server = bus.subscribe(&Pattern::from(&ask), 16).await.unwrap();
    let asking = bus.request(&ask, Bytes::new(), Vec::new(), Duration::from_millis(30));
    assert_eq!(soon(asking).await.unwrap_err().kind(), ErrorKind::Timeout);
    let message = soon(server.next()).await.unwrap();
    // The one who serves counts from when the question came.
    let late = tokio::time::timeout(super::SOON, async {
        while message.time_left() != Some(Duration::ZERO) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    late.await.expect("its time runs out");
    message.respond(Bytes::new()).unwrap();
}

pub async fn a_responder_that_goes(fixture: Fixture) {
    let bus = fixture.bus.clone();
    let ask = subject(&bus, "ask", "leaving");
    let server = bus.subscribe(&Pattern::from(&ask), 16).await.unwrap();
    let asking = tokio::spawn({
        let (bus, ask) = (bus.clone(), ask.clone());
        async move { bus.request(&ask, Bytes::new(), Vec::new(), Duration::from_secs(2)).await }
    });
    // Let the request reach the queue before its server goes without having read it.
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(server);
    let kind = soon(asking).await.unwrap().unwrap_err().kind();
    assert!(matches!(kind, ErrorKind::NoResponders | ErrorKind::Timeout), "{kind:?}");
}

pub async fn a_request_that_is_let_go(fixture: Fixture) {
    let bus = fixture.bus.clone();
    let ask = subject(&bus, "ask", "dropped");
    let mut server = bus.queue_subscribe(&Pattern::from(&ask), "g", 16).await.unwrap();
    let asking = tokio::spawn({
        let (bus, ask) = (bus.clone(), ask.clone());
        async move { bus.request(&ask, Bytes::new(), Vec::new(), 10 * super::SOON).await }
    });
    drop(soon(server.next()).await.unwrap());
    // At once, long before its deadline; and it is not known what became of it.
    assert_eq!(soon(asking).await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
}

pub async fn slow_readers_by_policy(fixture: Fixture) {
    let bus = &fixture.bus;
    let publish = async |name: &str, parameter: &str| {
        let to = subject(bus, name, parameter);
        let reader = bus.subscribe(&Pattern::from(&to), 4).await.unwrap();
        let mut outcomes = Vec::new();
        for number in 0..10 {
            let sent = bus.publish(&to, Bytes::from(number.to_string()), Vec::new()).await;
            outcomes.push(sent.map_err(|error| error.kind()));
        }
        // The reader looks only when everything has come.
        tokio::time::sleep(fixture.traits.arrives_within).await;
        (reader, outcomes)
    };
    let told = if fixture.traits.publisher_is_told { 6 } else { 0 };
    for (name, parameter, heard) in
        [("hint", "a_b", [6, 7, 8, 9]), ("tick", "a_b", [0, 1, 2, 3]), ("say", "x", [0, 1, 2, 3])]
    {
        let (mut reader, outcomes) = publish(name, parameter).await;
        let refused = outcomes.iter().filter(|one| **one == Err(ErrorKind::Overloaded)).count();
        assert_eq!(
            refused,
            if name == "say" { told } else { 0 },
            "{name}: only `Refuse` tells the publisher"
        );
        for number in heard {
            assert_eq!(text(&soon(reader.next()).await.unwrap().payload), number.to_string(), "{name}");
        }
        assert!(reader.try_next().is_none());
    }
}

pub async fn invalid_is_refused_and_skipped(fixture: Fixture) {
    let bus = &fixture.bus;
    let (say, room) = (subject(bus, "say", "x"), subject(bus, "room", "a_b"));
    let bad = || Bytes::from("bad");
    assert_eq!(bus.publish(&say, bad(), Vec::new()).await.unwrap_err().kind(), ErrorKind::Schema);
    assert_eq!(bus.append(&room, bad()).await.unwrap_err().kind(), ErrorKind::Schema);
    let big = Bytes::from(vec![b'x'; 4_097]);
    assert_eq!(bus.publish(&say, big.clone(), Vec::new()).await.unwrap_err().kind(), ErrorKind::Schema);
    assert_eq!(bus.append(&room, big).await.unwrap_err().kind(), ErrorKind::Schema);

    let mut reader = bus.subscribe(&Pattern::from(&say), 16).await.unwrap();
    let mut followed = bus.follow(&room, tidings_bus::From::After(0));
    for payload in ["bad one", "good"] {
        fixture.unchecked.publish(&say, Bytes::from(payload), Vec::new()).await.unwrap();
        fixture.unchecked.append(&room, Bytes::from(payload)).await.unwrap();
    }
    assert_eq!(text(&soon(reader.next()).await.unwrap().payload), "good");
    let tidings_bus::Followed::Message(message) = soon(followed.next()).await.unwrap() else { panic!() };
    assert_eq!(text(&message.payload), "good");
    assert_eq!(bus.read(std::slice::from_ref(&room), 0, 10).await.unwrap().len(), 1);
}

pub async fn draining_finishes_what_waits(fixture: Fixture) {
    let bus = fixture.bus.clone();
    let (say, ask) = (subject(&bus, "say", "x"), subject(&bus, "ask", "x"));
    let mut reader = bus.subscribe(&Pattern::from(&say), 64).await.unwrap();
    let mut server = bus.subscribe(&Pattern::from(&ask), 64).await.unwrap();
    for number in 0..20 {
        bus.publish(&say, Bytes::from(number.to_string()), Vec::new()).await.unwrap();
    }
    let asking = tokio::spawn({
        let bus = bus.clone();
        async move { bus.request(&ask, Bytes::from("q"), Vec::new(), super::SOON).await }
    });
    let question = soon(server.next()).await.unwrap();
    let draining = tokio::spawn({
        let bus = bus.clone();
        async move { bus.drain(super::SOON).await }
    });
    let mut heard = 0;
    while heard < 20 {
        assert!(soon(reader.next()).await.is_some());
        heard += 1;
    }
    question.respond(Bytes::from("a")).unwrap();
    assert_eq!(text(&soon(asking).await.unwrap().unwrap()), "a");
    let report = soon(draining).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert!(soon(reader.next()).await.is_none());
    let error = bus.publish(&say, Bytes::new(), Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    let batch = vec![Append { subject: subject(&bus, "room", "a_b"), payload: Bytes::new() }];
    assert_eq!(bus.commit(batch, Vec::new()).await.unwrap_err().kind(), ErrorKind::Closed);
}

pub async fn draining_says_what_it_gave_up(fixture: Fixture) {
    let bus = fixture.bus.clone();
    let (say, ask) = (subject(&bus, "say", "x"), subject(&bus, "ask", "x"));
    let _reader = bus.subscribe(&Pattern::from(&say), 64).await.unwrap();
    let mut server = bus.subscribe(&Pattern::from(&ask), 64).await.unwrap();
    for _ in 0..3 {
        bus.publish(&say, Bytes::from("unread"), Vec::new()).await.unwrap();
    }
    let asking = tokio::spawn({
        let bus = bus.clone();
        async move { bus.request(&ask, Bytes::new(), Vec::new(), super::SOON).await }
    });
    let _question = soon(server.next()).await.unwrap();
    let report = soon(bus.drain(Duration::from_millis(30))).await;
    assert_eq!((report.requests, report.messages), (1, 3), "{report:?}");
    asking.abort();
}
