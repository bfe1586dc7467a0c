//! Durable logs: commit, fences, read, follow from any place, holes, positions.

use bytes::Bytes;
use tidings_bus::{Append, Bus, ErrorKind, Fence, FollowSet, Followed, From, LogMessage, Subject};

use super::{Fixture, soon, subject, text};

fn append(subject: &Subject, payload: impl Into<String>) -> Append {
    Append { subject: subject.clone(), payload: Bytes::from(payload.into()) }
}

async fn message(set: &mut FollowSet) -> LogMessage {
    match soon(set.next()).await.unwrap() {
        Followed::Message(message) => message,
        hole => panic!("{hole:?}"),
    }
}

async fn texts(set: &mut FollowSet, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(text(&message(set).await.payload).to_owned());
    }
    found
}

fn rooms(bus: &Bus, count: usize) -> Vec<Subject> {
    (0..count).map(|number| subject(bus, "room", &format!("z_r{number}"))).collect()
}

pub async fn a_commit_is_ordered(fixture: Fixture) {
    let bus = &fixture.bus;
    let rooms = rooms(bus, 2);
    let batch = vec![append(&rooms[0], "a"), append(&rooms[1], "b"), append(&rooms[0], "c")];
    let first = bus.commit(batch, Vec::new()).await.unwrap();
    assert_eq!((first.first, first.last), (1, 3), "sequences start at 1 over the whole stream");
    let seq = bus.append(&rooms[1], Bytes::from("d")).await.unwrap();
    assert_eq!(seq, 4);
    let found = bus.read(&rooms, 0, 10).await.unwrap();
    let chain: Vec<_> = found.iter().map(|one| (text(&one.payload), one.seq, one.prev)).collect();
    assert_eq!(chain, [("a", 1, 0), ("b", 2, 0), ("c", 3, 1), ("d", 4, 2)]);
    assert!(found.windows(2).all(|pair| pair[0].time_ms <= pair[1].time_ms));
}

pub async fn a_fence_refuses_the_stale(fixture: Fixture) {
    let bus = &fixture.bus;
    let (owner, other) = (subject(bus, "owner", "z"), subject(bus, "owner", "y"));
    let room = subject(bus, "room", "z_r");
    let fence = |subject: &Subject, seq| Fence { subject: subject.clone(), seq };
    let mine = bus.commit(vec![append(&owner, "me")], vec![fence(&owner, 0)]).await.unwrap().last;
    bus.commit(vec![append(&room, "mine")], vec![fence(&owner, mine)]).await.unwrap();
    let theirs = bus.commit(vec![append(&owner, "them")], vec![fence(&owner, mine)]).await.unwrap().last;
    let batch = vec![append(&room, "late"), append(&room, "late too")];
    let error = bus.commit(batch, vec![fence(&owner, mine)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert!(!error.is_retryable());
    let two = vec![fence(&owner, theirs), fence(&other, 0)];
    bus.commit(vec![append(&room, "both")], two).await.unwrap();
    let stale = vec![fence(&owner, theirs), fence(&other, 7)];
    assert_eq!(bus.commit(vec![append(&room, "one")], stale).await.unwrap_err().kind(), ErrorKind::Fenced);
    let found = bus.read(&[room], 0, 10).await.unwrap();
    let texts: Vec<_> = found.iter().map(|one| text(&one.payload)).collect();
    assert_eq!(texts, ["mine", "both"], "nothing of a refused commit is there");
}

pub async fn last_and_read(fixture: Fixture) {
    let bus = &fixture.bus;
    let rooms = rooms(bus, 3);
    assert!(bus.last(&rooms[0]).await.unwrap().is_none());
    for number in 0..30 {
        bus.append(&rooms[number % 3], Bytes::from(number.to_string())).await.unwrap();
    }
    assert_eq!(text(&bus.last(&rooms[1]).await.unwrap().unwrap().payload), "28");
    let some = bus.read(&rooms[..2], 10, 5).await.unwrap();
    let texts: Vec<_> = some.iter().map(|one| text(&one.payload)).collect();
    assert_eq!(texts, ["10", "12", "13", "15", "16"], "merged in stream order, after 10, at most 5");
    assert!(bus.read(&rooms, 30, 5).await.unwrap().is_empty());
}

pub async fn following_from_any_place(fixture: Fixture) {
    let bus = &fixture.bus;
    let room = subject(bus, "room", "z_r");
    for number in 1..=20 {
        bus.append(&room, Bytes::from(number.to_string())).await.unwrap();
    }
    for after in [0, 7, 19, 20] {
        let mut set = bus.follow(&room, From::After(after));
        for number in after + 1..=20 {
            assert_eq!(message(&mut set).await.seq, number);
        }
        assert!(set.try_next().is_none());
    }
    let mut new = bus.follow(&room, From::New);
    assert!(new.try_next().is_none());
    bus.append(&room, Bytes::from("21")).await.unwrap();
    let found = message(&mut new).await;
    assert_eq!((found.seq, found.prev), (21, 20));
}

pub async fn following_many_in_stream_order(fixture: Fixture) {
    let bus = &fixture.bus;
    let rooms = rooms(bus, 50);
    let mut set = bus.follow_set();
    for room in &rooms {
        set.add(room.clone(), From::New);
    }
    let unheard = subject(bus, "room", "z_unheard");
    for number in 0..200 {
        let batch = vec![append(&rooms[number % 50], number.to_string()), append(&unheard, "x")];
        bus.commit(batch, Vec::new()).await.unwrap();
    }
    let mut before = 0;
    for number in 0..200 {
        let found = message(&mut set).await;
        assert_eq!(text(&found.payload), number.to_string());
        assert!(found.seq > before);
        before = found.seq;
    }
    assert!(set.try_next().is_none());
    // The last message is of a log that is not followed: a follower need not know of it.
    let (at, behind) = set.position();
    assert!((399..=400).contains(&at) && behind.is_empty(), "{at} {behind:?}");
}

pub async fn adding_while_live_catches_up(fixture: Fixture) {
    let bus = &fixture.bus;
    let rooms = rooms(bus, 2);
    for number in 0..1_000 {
        let batch = vec![append(&rooms[0], format!("a{number}")), append(&rooms[1], format!("b{number}"))];
        bus.commit(batch, Vec::new()).await.unwrap();
    }
    let mut set = bus.follow(&rooms[0], From::New);
    bus.append(&rooms[0], Bytes::from("a1000")).await.unwrap();
    assert_eq!(texts(&mut set, 1).await, ["a1000"]);
    set.add(rooms[1].clone(), From::After(0));
    let (at, behind) = set.position();
    assert_eq!((at, behind), (2_001, vec![(rooms[1].clone(), 0)]));
    bus.append(&rooms[0], Bytes::from("a1001")).await.unwrap();
    bus.append(&rooms[1], Bytes::from("b1000")).await.unwrap();
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for found in texts(&mut set, 1_002).await {
        if found.starts_with('a') { a.push(found) } else { b.push(found) }
    }
    assert_eq!(a, ["a1001"]);
    assert_eq!(b, (0..=1_000).map(|number| format!("b{number}")).collect::<Vec<_>>());
    assert!(set.try_next().is_none());
    assert_eq!(set.position(), (2_003, Vec::new()));
}

pub async fn removing_and_adding_anew(fixture: Fixture) {
    let bus = &fixture.bus;
    let rooms = rooms(bus, 2);
    let mut set = bus.follow(&rooms[0], From::After(0));
    set.add(rooms[1].clone(), From::After(0));
    for number in 0..10 {
        bus.append(&rooms[number % 2], Bytes::from(number.to_string())).await.unwrap();
    }
    assert_eq!(texts(&mut set, 3).await, ["0", "1", "2"]);
    set.remove(&rooms[0]);
    assert_eq!(texts(&mut set, 2).await, ["3", "5"]);
    set.add(rooms[0].clone(), From::After(4));
    let mut found = texts(&mut set, 5).await;
    found.sort();
    assert_eq!(found, ["4", "6", "7", "8", "9"], "the removed one from its place, the other on from its own");
    assert!(set.try_next().is_none());
}

pub async fn a_trimmed_log_reports_a_hole(fixture: Fixture) {
    let bus = &fixture.bus;
    let (room, other) = (subject(bus, "room", "z_r"), subject(bus, "room", "z_o"));
    for number in 1..=10 {
        bus.append(&room, Bytes::from(number.to_string())).await.unwrap();
    }
    bus.append(&other, Bytes::from("other")).await.unwrap();
    bus.trim(&room, 4).await.unwrap();
    let mut set = bus.follow(&room, From::After(2));
    match soon(set.next()).await.unwrap() {
        Followed::Hole { subject, after, first } => {
            assert_eq!((subject, after, first), (room.clone(), 2, 5));
        }
        found => panic!("{found:?}"),
    }
    assert_eq!(texts(&mut set, 6).await, ["5", "6", "7", "8", "9", "10"]);
    let mut exact = bus.follow(&room, From::After(4));
    assert_eq!(message(&mut exact).await.seq, 5, "a place at the border misses nothing");
    let found = bus.read(std::slice::from_ref(&room), 0, 3).await.unwrap();
    assert_eq!((found[0].seq, found[0].prev, found[1].prev), (5, 0, 5), "no earlier message is retained");
    bus.trim(&room, 10).await.unwrap();
    assert!(bus.last(&room).await.unwrap().is_none());
    let mut all = bus.follow(&room, From::After(9));
    assert!(matches!(soon(all.next()).await.unwrap(), Followed::Hole { after: 9, first: 11, .. }));
    assert_eq!(texts(&mut bus.follow(&other, From::After(0)), 1).await, ["other"]);
}

pub async fn what_is_no_longer_retained_is_told(fixture: Fixture) {
    let bus = &fixture.bus;
    let (room, zone) = (subject(bus, "room", "z_r"), subject(bus, "zone", "z"));
    let retained_after = async |log: &Subject| bus.retained_after(log).await.unwrap();
    assert_eq!(retained_after(&room).await, 0, "of a log that was never written");
    // The room's are odd, the zone's even.
    for _ in 0..5 {
        bus.append(&room, Bytes::from("room")).await.unwrap();
        bus.append(&zone, Bytes::from("zone")).await.unwrap();
    }
    assert_eq!((retained_after(&room).await, retained_after(&zone).await), (0, 0));
    for (through, expected) in [(0, 0), (4, 3), (2, 3), (5, 5), (100, 9)] {
        bus.trim(&room, through).await.unwrap();
        assert_eq!(retained_after(&room).await, expected, "trimmed through {through}");
    }
    assert!(bus.read(std::slice::from_ref(&room), 0, 10).await.unwrap().is_empty());
    assert_eq!(bus.append(&room, Bytes::from("later")).await.unwrap(), 11);
    assert_eq!((retained_after(&room).await, retained_after(&zone).await), (9, 0), "each log its own");
    // Of a log of which the last is kept, how much was before it is left open.
    let owner = subject(bus, "owner", "z");
    let first = bus.append(&owner, Bytes::from("one")).await.unwrap();
    assert!(retained_after(&owner).await < first);
    let last = bus.append(&owner, Bytes::from("other")).await.unwrap();
    assert!((first..last).contains(&retained_after(&owner).await));
}

pub async fn the_position_resumes_exactly(fixture: Fixture) {
    let bus = &fixture.bus;
    let rooms = rooms(bus, 5);
    let total = 300;
    for number in 0..total {
        bus.append(&rooms[(number * 7) % 5], Bytes::from(number.to_string())).await.unwrap();
    }
    for stop in [0, 1, 50, 299] {
        let mut heard = Vec::new();
        let mut set = bus.follow_set();
        for room in &rooms {
            set.add(room.clone(), From::After(0));
        }
        heard.extend(texts(&mut set, stop).await);
        let (at, behind) = set.position();
        drop(set);
        let mut again = bus.follow_set();
        for room in &rooms {
            let from = behind.iter().find(|(subject, _)| subject == room).map_or(at, |(_, seq)| *seq);
            again.add(room.clone(), From::After(from));
        }
        heard.extend(texts(&mut again, total - stop).await);
        assert!(again.try_next().is_none());
        let mut numbers: Vec<usize> = heard.iter().map(|one| one.parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..total).collect::<Vec<_>>(), "each once, stopped after {stop}");
    }
}

pub async fn one_writer_many_followers(fixture: Fixture) {
    let bus = fixture.bus.clone();
    let rooms = rooms(&bus, 4);
    let total = 400_u64;
    let mut followers = Vec::new();
    for place in 0..4_u64 {
        let (bus, rooms) = (bus.clone(), rooms.clone());
        followers.push(tokio::spawn(async move {
            let mut set = bus.follow_set();
            for room in &rooms {
                set.add(room.clone(), From::After(0));
            }
            let mut last = std::collections::HashMap::new();
            for heard in 0..total {
                let found = message(&mut set).await;
                let before = last.insert(found.subject.clone(), found.seq).unwrap_or(0);
                assert_eq!(found.prev, before, "no gap, nothing twice");
                if place == 3 && heard % 50 == 0 {
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
            }
        }));
    }
    let mut writers = Vec::new();
    for writer in 0..4 {
        let (bus, rooms) = (bus.clone(), rooms.clone());
        writers.push(tokio::spawn(async move {
            for number in 0..total / 4 {
                bus.append(&rooms[writer], Bytes::from(number.to_string())).await.unwrap();
            }
        }));
    }
    for task in writers.into_iter().chain(followers) {
        soon(task).await.unwrap();
    }
}

/// A follower that waits, and before it looks more is stored than the tail holds: all of it comes, with nothing later to
/// wake it. Whatever it looked at last.
pub async fn falling_behind_while_waiting(fixture: Fixture) {
    let bus = &fixture.bus;
    let room = subject(bus, "room", "z_r");
    let mut set = bus.follow(&room, From::New);
    for round in 0..12 {
        for _ in 0..round % 4 {
            assert!(set.try_next().is_none());
        }
        let mut waiting = Box::pin(message(&mut set));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        for number in 0..5 {
            bus.append(&room, Bytes::from(format!("{round} {number} {}", "x".repeat(100)))).await.unwrap();
        }
        let mut found = vec![waiting.await];
        while found.len() < 5 {
            found.push(message(&mut set).await);
        }
        for (number, found) in found.iter().enumerate() {
            let found = text(&found.payload);
            assert!(found.starts_with(&format!("{round} {number} ")), "{round}: {found}");
        }
    }
}

pub async fn each_is_a_commit_of_its_own(fixture: Fixture) {
    let bus = &fixture.bus;
    let owner = subject(bus, "owner", "z");
    let rooms = rooms(bus, 3);
    let fence = |subject: &Subject, seq| Fence { subject: subject.clone(), seq };
    let mine = bus.commit(vec![append(&owner, "me")], vec![fence(&owner, 0)]).await.unwrap().last;
    let batch = |count: usize| (0..count).map(|n| append(&rooms[n % 3], n.to_string())).collect::<Vec<_>>();
    let held = vec![fence(&owner, mine)];
    // Others write between them.
    let (seqs, other) = tokio::join!(bus.commit_each(batch(200), held.clone()), async {
        for _ in 0..20 {
            bus.append(&subject(bus, "room", "z_other"), Bytes::from_static(b"x")).await.unwrap();
        }
    });
    let (seqs, ()) = (seqs.unwrap(), other);
    assert!(seqs.len() == 200 && seqs.is_sorted_by(|one, next| one < next), "{seqs:?}");
    let read = bus.read(&rooms, 0, 1_000).await.unwrap();
    let read: Vec<_> = read.iter().map(|message| (message.seq, text(&message.payload).to_owned())).collect();
    let sent: Vec<_> = seqs.iter().enumerate().map(|(n, seq)| (*seq, n.to_string())).collect();
    assert_eq!(read, sent, "each once, in order");
    assert_eq!(bus.commit_each(batch(1), held.clone()).await.unwrap().len(), 1);

    bus.commit(vec![append(&owner, "them")], held.clone()).await.unwrap();
    let error = bus.commit_each(batch(5), held).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert_eq!(bus.read(&rooms, 0, 1_000).await.unwrap().len(), 201, "nothing of a stale owner's is stored");
    for batch in [Vec::new(), vec![append(&rooms[0], "x"); 1_001]] {
        assert_eq!(bus.commit_each(batch, Vec::new()).await.unwrap_err().kind(), ErrorKind::Publish);
    }
}

pub async fn a_commit_out_of_bounds(fixture: Fixture) {
    let bus = &fixture.bus;
    let room = subject(bus, "room", "z_r");
    for count in [0, tidings_bus::COMMIT_MESSAGES_MAX + 1] {
        let batch = (0..count).map(|_| append(&room, "x")).collect();
        assert_eq!(bus.commit(batch, Vec::new()).await.unwrap_err().kind(), ErrorKind::Publish);
    }
    let most = (0..tidings_bus::COMMIT_MESSAGES_MAX).map(|_| append(&room, "x")).collect();
    assert_eq!(bus.commit(most, Vec::new()).await.unwrap().last, 1_000);
}

pub async fn a_follower_ends_with_the_bus(fixture: Fixture) {
    let bus = fixture.bus.clone();
    let room = subject(&bus, "room", "z_r");
    bus.append(&room, Bytes::from("stored")).await.unwrap();
    let mut reader = bus.follow(&room, From::After(0));
    let mut nothing = bus.follow_set();
    let (one, other) = tokio::join!(bus.drain(super::SOON), soon(nothing.next()));
    assert!(one.is_clean());
    assert_eq!(other.unwrap_err().kind(), ErrorKind::Closed, "one that follows nothing, too");
    assert_eq!(texts(&mut reader, 1).await, ["stored"], "what there is can be read");
    assert_eq!(soon(reader.next()).await.unwrap_err().kind(), ErrorKind::Closed);
}
